//! The gate: shut with its reasons, until each required item is proven for the work as it is.

use serde_json::json;

use crate::support::repo::git;
use crate::support::run::blockers;
use crate::support::server::Server;

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |&(code, item): &(&str, &str)| (code.to_owned(), item.to_owned());
    expected.iter().map(owned).collect()
}

#[test]
fn a_shut_gate_names_each_required_item_with_what_it_lacks() {
    let server = Server::start();
    let before = server.repo.master();
    let dod = json!({"dod": [
        {"key": "tests", "title": "The tests pass"},
        {"key": "docs", "title": "It is described", "required": false},
    ]});
    let run = server.run_with("write work.txt done", &dod);
    run.wait_for("finished");
    let missing = [
        ("evidence_missing", "review"),
        ("evidence_missing", "tests"),
    ];
    assert_eq!(run.blockers(), pairs(&missing));
    let refused = run.merge().expect_problem(409, "gate_closed");
    assert_eq!(blockers(&refused), pairs(&missing));

    let review = run.say("review", "read");
    let tests = run.say("tests", "they pass");
    let unvalidated = [
        ("evidence_not_validated", "review"),
        ("evidence_not_validated", "tests"),
    ];
    assert_eq!(run.blockers(), pairs(&unvalidated));
    run.validate(&review).expect(200);

    let no = json!({"validated_by": "Vera Validator", "reason": "no log is attached"});
    let rejected = run
        .post(&format!("/evidence/{tests}/reject"), &no)
        .expect(200);
    assert_eq!(rejected["status"], "rejected");
    assert_eq!(rejected["item"]["status"], "failed");
    assert_eq!(run.blockers(), pairs(&[("evidence_rejected", "tests")]));
    let gate = run.get("/gate").expect(200);
    let detail = gate["blockers"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("no log is attached"), "{detail}");
    run.validate(&tests)
        .expect_problem(409, "evidence_rejected");
    run.merge().expect_problem(409, "gate_closed");
    assert_eq!(server.repo.master(), before);

    let tests = run.say("tests", "they pass, and here is the log");
    run.validate(&tests).expect(200);
    run.validate(&tests).expect(200);
    assert_eq!(
        run.get("/gate").expect(200),
        json!({"open": true, "blockers": []})
    );
    run.merge().expect(200);
}

#[test]
fn evidence_goes_stale_when_the_work_changes() {
    let server = Server::start();
    let run = server.finished("write work.txt done");
    run.prove();
    let open = run.say("review", "not looked at yet");
    std::fs::write(run.worktree.join("work.txt"), "changed after the review\n").unwrap();
    git(&run.worktree, &["commit", "-q", "-a", "-m", "one more"]);
    assert_eq!(run.blockers(), pairs(&[("evidence_stale", "review")]));
    run.merge().expect_problem(409, "gate_closed");
    run.validate(&open).expect_problem(409, "evidence_stale");
    let detail = run.detail();
    let head = server.repo.commit_of(&run.branch).unwrap();
    assert_eq!(detail["head"], head.as_str());
    assert_eq!(detail["dod_items"][0]["status"], "pending");
    assert_eq!(detail["dod_items"][0]["evidence"][0]["stale"], true);

    run.prove();
    let merged = run.merge().expect(200);
    assert_eq!(merged["head"], head.as_str());
    assert_eq!(server.repo.read("work.txt"), "changed after the review\n");
}

#[test]
fn a_commit_that_leaves_the_tree_as_it_was_leaves_the_evidence_fresh() {
    let server = Server::start();
    let run = server.finished("write work.txt done");
    run.prove();
    git(
        &run.worktree,
        &["commit", "-q", "--allow-empty", "-m", "nothing"],
    );
    let head = server.repo.commit_of(&run.branch).unwrap();
    assert_eq!(run.merge().expect(200)["head"], head.as_str());
}

#[test]
fn an_unknown_key_makes_an_item_that_is_not_required_and_an_unknown_id_is_not_found() {
    let server = Server::start();
    let run = server.finished("write work.txt done");
    run.say("screenshots", "looks fine");
    let items = run.detail()["dod_items"].clone();
    assert_eq!(items[1]["item_key"], "screenshots");
    assert_eq!(items[1]["required"], false);
    assert_eq!(run.blockers(), pairs(&[("evidence_missing", "review")]));
    let id = uuid::Uuid::now_v7().to_string();
    let unknown = json!({"item_id": id, "kind": "text", "payload_text": "hm"});
    run.post("/evidence", &unknown)
        .expect_problem(404, "not_found");
    assert_eq!(run.detail()["dod_items"].as_array().unwrap().len(), 2);
}

#[test]
fn the_agent_does_not_validate_its_own_evidence() {
    let server = Server::start();
    let run = server.finished("write work.txt done");
    let evidence = json!({"item_key": "review", "payload_text": "I am done", "author": "agent"});
    let attached = run.post("/evidence", &evidence).expect(201);
    let path = format!("/evidence/{}/validate", attached["id"].as_str().unwrap());
    for by in ["agent", "Agent", "check"] {
        let by = json!({"validated_by": by});
        run.post(&path, &by).expect_problem(403, "own_evidence");
    }
    run.post(&path, &json!({"validated_by": "  "}))
        .expect_problem(422, "invalid");
    assert_eq!(
        run.blockers(),
        pairs(&[("evidence_not_validated", "review")])
    );
}
