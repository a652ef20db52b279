//! Requests at once: whatever their order, each thing happens once.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;

use serde_json::json;

use crate::support::client::Answer;
use crate::support::server::{Server, request};

/// Asks these at the same moment.
fn at_once(server: &Server, asks: &[(String, serde_json::Value)]) -> Vec<Answer> {
    let barrier = Barrier::new(asks.len());
    thread::scope(|scope| {
        let threads: Vec<_> = asks
            .iter()
            .map(|(path, body)| {
                let (client, barrier) = (server.client(), &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    client.post(path, body)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

#[test]
fn eight_merges_at_once_land_one_commit_each() {
    let server = Server::start();
    let before = server.repo.master();
    let runs: Vec<_> = (1..=8)
        .map(|n| server.run(&format!("write work-{n}.txt {n}")))
        .collect();
    for run in &runs {
        run.wait_for("finished");
        run.prove();
    }
    let asks: Vec<_> = runs
        .iter()
        .map(|run| (run.path("/merge"), json!({})))
        .collect();
    let answers = at_once(&server, &asks);
    let commits: BTreeSet<_> = answers
        .iter()
        .map(|answer| answer.expect(200)["commit"].as_str().unwrap().to_owned())
        .collect();
    let landed: BTreeSet<_> = server.repo.landed_since(&before).into_iter().collect();
    assert_eq!(commits.len(), 8);
    assert_eq!(landed, commits);
    for (n, run) in (1..=8).zip(&runs) {
        assert_eq!(server.repo.read(&format!("work-{n}.txt")), format!("{n}\n"));
        run.wait_until_gone();
    }
    assert_eq!(server.repo.status(), "");
    server.check_world();
}

#[test]
fn a_request_is_answered_when_its_agent_works_however_many_come_and_end_at_once() {
    let server = Server::start();
    let body = request("exit 0", &json!({}));
    for _ in 0..3 {
        let asks = vec![("/api/runs".to_owned(), body.clone()); 8];
        for answer in at_once(&server, &asks) {
            let status = answer.expect(201)["status"].clone();
            assert!(status != "queued" && status != "preparing", "{status}");
        }
    }
    server.check_world();
}

#[test]
fn two_merges_at_once_of_one_run_land_it_once() {
    let server = Server::start();
    let before = server.repo.master();
    let run = server.finished("write work.txt done");
    run.prove();
    let ask = (run.path("/merge"), json!({}));
    let answers = at_once(&server, &[ask.clone(), ask]);
    let landed = server.repo.landed_since(&before);
    assert_eq!(landed.len(), 1);
    for answer in answers {
        assert_eq!(answer.expect(200)["commit"], landed[0].as_str());
    }
    server.check_world();
}

#[test]
fn a_merge_and_an_abort_at_once_are_one_of_both() {
    let server = Server::start();
    for round in 0..4 {
        let before = server.repo.master();
        let run = server.finished(&format!("write work-{round}.txt done"));
        run.prove();
        let asks = [
            (run.path("/merge"), json!({})),
            (run.path("/abort"), json!({})),
        ];
        let answers = at_once(&server, &asks);
        let (merge, abort) = (answers[0].status, answers[1].status);
        let status = run.status();
        let landed = server.repo.landed_since(&before).len();
        let expected = match status.as_str() {
            "merged" => (200, 409, 1),
            "aborted" => (409, 200, 0),
            other => panic!("{other}: merge {merge}, abort {abort}"),
        };
        assert_eq!((merge, abort, landed), expected, "{status}");
        run.wait_until_gone();
    }
    server.check_world();
}

#[test]
fn two_validations_and_a_merge_at_once_land_only_what_is_proven() {
    let server = Server::start();
    let before = server.repo.master();
    let run = server.finished("write work.txt done");
    let evidence = run.say("review", "read");
    let validate = (
        run.path(&format!("/evidence/{evidence}/validate")),
        json!({"validated_by": "Vera"}),
    );
    let merge = (run.path("/merge"), json!({}));
    let answers = at_once(&server, &[validate.clone(), merge, validate]);
    answers[0].expect(200);
    answers[2].expect(200);
    let landed = server.repo.landed_since(&before).len();
    match answers[1].status {
        200 => assert_eq!(landed, 1),
        409 => {
            assert_eq!(answers[1].json()["code"], "gate_closed");
            assert_eq!(landed, 0);
            run.merge().expect(200);
        }
        other => panic!("{other}"),
    }
    server.check_world();
}
