//! What has landed.

use agent_runner_api::dod::Head;
use serde_json::json;

use super::{assert_found_and_left, database, found, merged, one, started};
use crate::support::checked::Books;
use crate::support::wait::until;

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

/// Seen red with `landings` not asking about checks: nothing was found.
#[test]
fn a_merge_whose_tree_no_check_has_passed_on_is_found() {
    let server = started();
    let run = server.finished("write work.txt done");
    run.prove();
    let moved = server.repo.commit("other.txt", "by somebody else\n");
    run.merge().expect(200);
    run.wait_until_gone();
    server.check_world();
    let commit = run.detail()["merge_commit"].as_str().unwrap().to_owned();
    assert_eq!(server.repo.parents(&commit)[0], moved);
    // Somebody writes a required check into the journal of the run, and that it has passed on the work as it was alone.
    let books = Books::of(&server, &run.id);
    let tests = books.item("tests", "cargo test");
    books.checked(tests, true);
    drop(books);
    server.start_again();
    until("it has looked", || {
        server.log().matches("looked at the world").count() == 2
    });
    let at_commit = one("merge_unproven", &commit);
    assert_eq!(found(&server), at_commit);
    let told = server.world();
    let detail = told[0]["detail"].as_str().unwrap();
    assert!(
        detail.contains("`tests`") && detail.contains(&run.id),
        "{detail}"
    );
    let done = super::fix(&server, false);
    assert_eq!(done["mended"], json!([]), "a person must decide");
    assert_eq!(found(&server), at_commit);
    // Once it has passed on what landed, that is proven.
    let tree = server
        .repo
        .git(&["rev-parse", &format!("{commit}^{{tree}}")]);
    let landed = Head {
        commit: commit.parse().unwrap(),
        tree: tree.trim().parse().unwrap(),
    };
    let books = Books::of(&server, &run.id);
    let work = books.run().head.unwrap();
    books.checked_on(tests, true, landed, Some(&work));
    drop(books);
    server.start_again();
    server.check_world();
}
