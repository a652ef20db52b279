//! What has landed.

use super::{assert_found_and_left, database, merged, one, started};

#[test]
fn a_merge_that_somebody_took_out_of_the_base_is_an_alarm_and_is_not_merged_again() {
    let server = started();
    let before = server.repo.master();
    let run = merged(&server);
    server.check_world();
    let commit = run.detail()["merge_commit"].as_str().unwrap().to_owned();
    server.repo.git(&["reset", "-q", "--hard", &before]);
    assert_found_and_left(&server, "merge_missing", &commit);
    assert_eq!(server.repo.master(), before);
    server.repo.git(&["reset", "-q", "--hard", &commit]);
    server.check_world();
}

#[test]
fn a_merge_of_something_else_than_what_was_proven_is_found() {
    let server = started();
    server.leave_wrong("nobody can know what was meant");
    let run = merged(&server);
    let landed = run.detail()["merge_commit"].as_str().unwrap().to_owned();
    // Somebody replaces it by a commit with one parent, in the base and in the journal.
    let tree = format!("{landed}^{{tree}}");
    let other = server.repo.git(&[
        "commit-tree",
        "-p",
        &format!("{landed}^1"),
        "-m",
        "other",
        &tree,
    ]);
    let other = other.trim();
    server.repo.git(&["reset", "-q", "--hard", other]);
    database(&server)
        .execute_batch(&format!(
            "DROP TRIGGER events_never_change; UPDATE events SET body = replace(body, '{landed}', '{other}'); \
             UPDATE runs SET merge_commit = '{other}'"
        ))
        .unwrap();
    let found = super::found(&server);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[0].0, "chain_broken");
    assert_eq!(found[1..], one("merge_changed", other));
}
