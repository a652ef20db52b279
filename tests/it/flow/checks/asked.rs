//! Checks by hand: asked for, looked at, stopped.

use serde_json::{Value, json};

use super::{item, results};
use crate::support::server::Server;
use crate::support::wait::until;

#[test]
fn checks_are_asked_for_by_hand_for_all_items_or_for_some() {
    let server = Server::start();
    let dod =
        json!([item("one", "true"), item("two", "true"), {"key": "review", "required": false}]);
    let run = server.checked("write work.txt done", &dod);
    let ended = run.wait_for("finished");
    let asked = run
        .post("/checks", &json!({"items": ["two"], "afresh": true}))
        .expect(202);
    assert_eq!(asked["items"], json!(["two"]));
    assert_eq!(asked["head"], ended["head"]);
    assert!(asked["round_id"].is_string());
    let after = run.wait_for("finished");
    assert_eq!(results(&after, "one").len(), 1);
    assert_eq!(results(&after, "two").len(), 2);
    let unknown = json!({"items": ["two", "three", "review"]});
    let refused = run.post("/checks", &unknown).expect_problem(422, "invalid");
    let pointers: Vec<&Value> = refused["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| &e["pointer"])
        .collect();
    assert_eq!(pointers, ["/items/1", "/items/2"]);
    let shown = run.get("/checks").expect(200);
    assert_eq!(shown["round"], Value::Null);
    assert_eq!(shown["items"].as_array().unwrap().len(), 2);
    assert_eq!(shown["items"][1]["newest"]["check"]["passed"], true);
    let none = server.finished("write work.txt done");
    none.post("/checks", &json!({}))
        .expect_problem(422, "invalid");
}

#[test]
fn while_checks_run_evidence_is_taken_and_nothing_else_begins() {
    let server = Server::start();
    let dod = json!([item("work", &server.held("begun", "go")), {"key": "review"}]);
    let run = server.checked("write work.txt done", &dod);
    server.wait_for_mark("begun");
    assert_eq!(run.status(), "checking");
    run.post("/checks", &json!({}))
        .expect_problem(409, "run_active");
    run.post("/messages", &json!({"text": "more"}))
        .expect_problem(409, "run_active");
    run.post("/retry", &json!({}))
        .expect_problem(409, "run_active");
    run.merge().expect_problem(409, "run_active");
    let read = run.say("review", "read and found good");
    run.validate(&read).expect(200);
    server.mark("go");
    assert_eq!(run.wait_for("finished")["gate"]["open"], true);
}

#[test]
fn a_round_that_is_stopped_proves_nothing_of_what_was_not_run() {
    let server = Server::start();
    let dod = json!([
        item("first", "true"),
        item("second", &server.held("begun", "never"))
    ]);
    let run = server.checked("write work.txt done", &dod);
    server.wait_for_mark("begun");
    until("the first is recorded", || {
        !results(&run.detail(), "first").is_empty()
    });
    let mut frames = run.frames(None);
    let stopped = server
        .client()
        .ask("DELETE", &run.path("/checks"), &[], b"")
        .expect(200);
    assert_eq!(stopped["round"], Value::Null);
    assert_eq!(stopped["status"], "finished");
    let frames = frames.until(|frame| frame.json["checks"]["state"] == "ended");
    let ended = &frames.last().unwrap().json["checks"];
    assert_eq!(ended["cut_short"], "somebody has stopped it");
    let detail = run.detail();
    assert_eq!(results(&detail, "first").len(), 1);
    assert_eq!(results(&detail, "second").len(), 0);
    assert_eq!(
        run.blockers(),
        [("check_not_run".to_owned(), "second".to_owned())]
    );
    // Again it is as it is.
    server
        .client()
        .ask("DELETE", &run.path("/checks"), &[], b"")
        .expect(200);
}
