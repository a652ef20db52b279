//! Who may accept what, in whose place, and for how long it holds.

use serde_json::{Value, json};

use crate::support::repo::git;
use crate::support::run::Run;
use crate::support::server::Server;

/// A finished run with the review and one item more.
fn finished_with<'a>(server: &'a Server, item: &Value) -> Run<'a> {
    let run = server.run_with("write work.txt done", &json!({"dod": [item]}));
    run.wait_for("finished");
    run
}

fn validate(run: &Run<'_>, evidence: &str, body: &Value) -> crate::support::client::Answer {
    run.post(&format!("/evidence/{evidence}/validate"), body)
}

fn attach(run: &Run<'_>, evidence: &Value) -> String {
    let attached = run.post("/evidence", evidence).expect(201);
    attached["evidence_id"].as_str().unwrap().to_owned()
}

fn blocker_of(run: &Run<'_>, item: &str) -> Option<String> {
    let all = run.blockers();
    let mut of_item = all.into_iter().filter(|(_, key)| key == item);
    of_item.next().map(|(code, _)| code)
}

#[test]
fn who_attached_evidence_does_not_validate_it_under_any_spelling() {
    let server = Server::start();
    let run = server.finished("write work.txt done");
    let by_ada = json!({"item_key": "review", "payload_text": "read", "attached_by": "Ada"});
    let evidence = attach(&run, &by_ada);
    for name in ["Ada", "ada", " ADA "] {
        validate(&run, &evidence, &json!({"validated_by": name}))
            .expect_problem(403, "own_evidence");
    }
    assert_eq!(
        blocker_of(&run, "review").as_deref(),
        Some("evidence_not_validated")
    );
    validate(&run, &evidence, &json!({"validated_by": "Grace"})).expect(200);
    assert_eq!(
        run.detail()["dod_items"][0]["evidence"][0]["attached_by"],
        "Ada"
    );
    run.merge().expect(200);
}

#[test]
fn nobody_brings_evidence_in_the_name_of_a_check_or_of_the_service() {
    let server = Server::start();
    let run = server.finished("write work.txt done");
    for author in ["check", "service"] {
        let forged = json!({"item_key": "review", "payload_text": "passed", "author": author});
        let refused = run
            .post("/evidence", &forged)
            .expect_problem(422, "invalid");
        assert_eq!(refused["errors"][0]["pointer"], "/author");
    }
    let mine = run.say("review", "read");
    for name in ["check", "Service", "agent"] {
        validate(&run, &mine, &json!({"validated_by": name})).expect_problem(403, "own_evidence");
    }
}

#[test]
fn a_reason_is_not_taken_where_there_is_no_check() {
    let server = Server::start();
    let run = server.finished("write work.txt done");
    let evidence = run.say("review", "read");
    let body = json!({"validated_by": "Vera Validator", "override": "in a hurry"});
    validate(&run, &evidence, &body).expect_problem(409, "nothing_to_override");
    assert_eq!(
        blocker_of(&run, "review").as_deref(),
        Some("evidence_not_validated")
    );
}

/// The database itself refuses it, whatever a program above it forgets. Seen red: without the trigger of 0008 each
/// update is taken.
#[test]
fn the_database_takes_no_validation_by_the_author() {
    let server = Server::start();
    let run = server.finished("write work.txt done");
    let by_ada = json!({"item_key": "review", "payload_text": "read", "attached_by": "Ada"});
    let evidence = attach(&run, &by_ada);
    let database = rusqlite::Connection::open(server.at("runs.db")).unwrap();
    for name in ["ada", "agent", "Service", "check"] {
        let update = "UPDATE dod_evidence SET validated_by = ? WHERE id = ?";
        let refused = database.execute(update, [name, &evidence]).unwrap_err();
        assert!(
            refused.to_string().contains("not validated by its author"),
            "{name}: {refused}"
        );
    }
}

/// Commits on the base, and brings the run's branch onto it.
fn rebase(server: &Server, run: &Run<'_>) {
    server.repo.commit("other.txt", "by somebody else\n");
    git(&run.worktree, &["rebase", "-q", "master"]);
}

/// Seen red: with `carries` always nothing, the review is stale after the rebase.
#[test]
fn what_a_person_has_seen_holds_for_the_same_patch_on_another_base() {
    let server = Server::start();
    let run = server.finished("write work.txt done");
    run.prove();
    let before = run.detail()["head"].clone();
    rebase(&server, &run);
    // Whoever asks next makes the service see it.
    run.say("notes", "rebased");
    let detail = run.detail();
    assert_ne!(detail["head"], before);
    let evidence = &detail["dod_items"][0]["evidence"][0];
    assert_eq!(
        (&evidence["stale"], &evidence["carried"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(run.blockers(), []);
    // Once more, and the patch is another one.
    std::fs::write(run.worktree.join("work.txt"), "changed\n").unwrap();
    git(
        &run.worktree,
        &["commit", "-q", "-a", "--amend", "--no-edit"],
    );
    run.say("notes", "amended");
    assert_eq!(
        blocker_of(&run, "review").as_deref(),
        Some("evidence_stale")
    );
}

#[test]
fn an_item_that_asks_for_it_is_shown_anew_when_the_base_has_moved() {
    let server = Server::start();
    let item = json!({"key": "fits", "title": "It fits the base", "revalidate": "on_base_change"});
    let run = finished_with(&server, &item);
    run.prove_item("fits");
    run.prove_item("review");
    assert_eq!(run.blockers(), []);
    server.repo.commit("other.txt", "by somebody else\n");
    assert_eq!(blocker_of(&run, "fits").as_deref(), Some("evidence_stale"));
    assert_eq!(blocker_of(&run, "review"), None);
    run.prove_item("fits");
    run.merge().expect(200);
}
