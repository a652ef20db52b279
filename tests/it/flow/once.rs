//! Once is enough: repeated requests, and one live run for a card or an issue.

use std::thread;

use serde_json::json;

use crate::support::run::Run;
use crate::support::server::{Server, request};

const KEY: &[(&str, &str)] = &[("idempotency-key", "a key of one's own")];

#[test]
fn the_same_key_and_body_give_the_same_answer_also_after_a_crash() {
    let server = Server::start();
    let body = request("sleep 1000", &json!({}));
    let first = server.client().post_with("/api/runs", KEY, &body);
    let answer = first.expect(201);
    let again = server.client().post_with("/api/runs", KEY, &body);
    assert_eq!(again.expect(201), answer);
    server.restart();
    let again = server.client().post_with("/api/runs", KEY, &body);
    assert_eq!(again.expect(201), answer);
    let other = request("exit 0", &json!({}));
    let refused = server.client().post_with("/api/runs", KEY, &other);
    refused.expect_problem(422, "idempotency_mismatch");
    let runs = server.get("/api/runs").expect(200)["runs"].clone();
    assert_eq!(runs.as_array().unwrap().len(), 1);
}

#[test]
fn many_requests_at_once_with_one_key_make_one_run() {
    let server = Server::start();
    let body = request("exit 0", &json!({}));
    let ids = thread::scope(|scope| {
        let asks = [(); 6].map(|()| {
            scope.spawn(|| {
                let answer = server.client().post_with("/api/runs", KEY, &body);
                assert!([201, 202].contains(&answer.status), "{}", answer.json());
                answer.json()["run_id"].as_str().unwrap().to_owned()
            })
        });
        asks.map(|ask| ask.join().unwrap())
    });
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let runs = server.get("/api/runs").expect(200)["runs"].clone();
    assert_eq!(runs.as_array().unwrap().len(), 1);
}

#[test]
fn a_key_of_another_shape_is_refused() {
    let server = Server::start();
    let body = request("exit 0", &json!({}));
    for key in ["", &"x".repeat(256)] {
        let headers = [("idempotency-key", key)];
        let answer = server.client().post_with("/api/runs", &headers, &body);
        answer.expect_problem(422, "invalid");
    }
}

#[test]
fn a_card_and_an_issue_have_one_live_run_each() {
    let server = Server::start();
    for field in ["card_id", "issue_id"] {
        let mut body = request("sleep 1000", &json!({}));
        body[field] = json!("7");
        let live = Run::of(&server, &server.create(&body).expect(201));
        let refused = server.create(&body).expect_problem(409, "live_run");
        assert_eq!(refused["run_id"], live.id);
        let mut parallel = body.clone();
        parallel["allow_parallel"] = json!(true);
        let beside = Run::of(&server, &server.create(&parallel).expect(201));
        beside.abort().expect(200);
        live.abort().expect(200);
        let after = Run::of(&server, &server.create(&body).expect(201));
        after.abort().expect(200);
    }
}

#[test]
fn a_merged_or_failed_run_leaves_its_card_free_and_a_finished_one_does_not() {
    let server = Server::start();
    let card = json!({"card_id": "7"});
    server.run_with("exit 3", &card).wait_for("failed");
    let run = server.run_with("write work.txt done", &card);
    run.wait_for("finished");
    let again = request("write more.txt done", &card);
    server.create(&again).expect_problem(409, "live_run");
    run.prove();
    run.merge().expect(200);
    let next = Run::of(&server, &server.create(&again).expect(201));
    next.wait_for("finished");
}
