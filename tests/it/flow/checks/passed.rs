//! What passes opens the gate, what does not keeps it shut by its name.

use serde_json::{Value, json};

use super::{code, item, log, results};
use crate::support::repo::git;
use crate::support::server::{Server, Setup};
use crate::support::wait::until;

#[test]
fn checks_that_pass_open_the_gate_without_a_person() {
    let server = Server::start();
    let dod = json!([
        item("work", "test -e work.txt"),
        item("said", "echo seen; cat work.txt")
    ]);
    let run = server.checked("write work.txt done", &dod);
    let ended = run.wait_for("finished");
    assert_eq!(ended["gate"], json!({"open": true, "blockers": []}));
    for key in ["work", "said"] {
        let shown = results(&ended, key);
        assert_eq!(shown.len(), 1, "{shown:#?}");
        assert_eq!(shown[0]["validated_by"], "check");
        assert_eq!(shown[0]["commit"], ended["head"]);
        assert_eq!(shown[0]["check"]["passed"], true);
        assert_eq!(shown[0]["check"]["exit_code"], 0);
        assert_eq!(shown[0]["check"]["cached_from"], Value::Null);
    }
    assert_eq!(log(&run, &results(&ended, "said")[0]), "seen\ndone\n");
    // Told in order, and never at rest in between.
    let frames = run
        .frames(Some("0"))
        .until(|frame| frame.json["status"] == "finished");
    let told: Vec<String> = frames
        .iter()
        .filter(|frame| !["connected", "output", "session"].contains(&frame.name.as_str()))
        .map(|frame| match frame.json["checks"]["state"].as_str() {
            Some(state) => format!("checks {state}"),
            None => format!(
                "{} {}",
                frame.name,
                frame.json["status"].as_str().unwrap_or("")
            ),
        })
        .collect();
    assert_eq!(
        told[told.len() - 8..],
        [
            "status checking",
            "status checking",
            "checks started",
            "evidence ",
            "validated ",
            "evidence ",
            "validated ",
            "checks ended"
        ]
    );
    assert_eq!(run.merge().expect(200)["status"], "merged");
}

#[test]
fn a_check_that_fails_keeps_the_gate_shut_and_says_why() {
    let server = Server::start();
    let dod = json!([
        item("fine", "true"),
        item("broken", "echo the reason; exit 3"),
        {"key": "note", "required": false, "check": {"cmd": "no-such-program-at-all"}},
    ]);
    let run = server.checked("write work.txt done", &dod);
    let ended = run.wait_for("finished");
    assert_eq!(code(&ended, "fine"), None);
    assert_eq!(code(&ended, "broken").as_deref(), Some("exit_code"));
    assert_eq!(code(&ended, "note").as_deref(), Some("not_found"));
    let broken = &results(&ended, "broken")[0];
    assert_eq!(broken["rejected_by"], "check");
    assert_eq!(broken["reason"], "exit_code: it ended with 3");
    assert_eq!(broken["check"]["exit_code"], 3);
    assert_eq!(log(&run, broken), "the reason\n");
    assert_eq!(
        run.blockers(),
        [("check_failed".to_owned(), "broken".to_owned())]
    );
    run.merge().expect_problem(409, "gate_closed");
}

#[test]
fn a_run_that_failed_is_not_checked_until_its_branch_moves() {
    let server = Server::start();
    let run = server.checked(
        "write work.txt done\nexit 3",
        &json!([item("work", "true")]),
    );
    let failed = run.wait_for("failed");
    assert_eq!(results(&failed, "work"), Vec::<Value>::new());
    git(
        &run.worktree,
        &["commit", "--quiet", "--allow-empty", "-m", "by hand"],
    );
    run.detail();
    until("it was checked", || {
        !results(&run.detail(), "work").is_empty()
    });
    assert_eq!(
        run.wait_for("failed")["failure"]["code"],
        failed["failure"]["code"]
    );
}

#[test]
fn a_commit_after_the_checks_makes_them_stale_and_they_run_again() {
    let server = Server::start();
    let dod = json!([item("work", "test ! -e broken.txt")]);
    let run = server.checked("write work.txt done", &dod);
    let first = run.wait_for("finished");
    assert_eq!(first["gate"]["open"], true);
    std::fs::write(run.worktree.join("broken.txt"), "").unwrap();
    git(&run.worktree, &["add", "."]);
    git(
        &run.worktree,
        &["commit", "--quiet", "-m", "after the checks"],
    );
    // Whoever looks notices it; a merge is refused while they run, and by what they come to.
    let refused = run.merge();
    assert_eq!(refused.status, 409, "{refused:?}");
    let second = run.wait_for("finished");
    let shown = results(&second, "work");
    assert_eq!(shown.len(), 2, "{shown:#?}");
    assert_eq!(shown[0]["stale"], true);
    assert_eq!(shown[1]["stale"], false);
    assert_eq!(shown[1]["commit"], second["head"]);
    assert_ne!(first["head"], second["head"]);
    assert_eq!(code(&second, "work").as_deref(), Some("exit_code"));
    run.merge().expect_problem(409, "gate_closed");
}

#[test]
fn a_branch_that_moves_while_checks_run_is_checked_once_they_are_over() {
    let server = Server::start();
    let dod = json!([item("work", &server.held("begun", "go"))]);
    let run = server.checked("write work.txt done", &dod);
    server.wait_for_mark("begun");
    git(
        &run.worktree,
        &["commit", "--quiet", "--allow-empty", "-m", "meanwhile"],
    );
    std::fs::write(run.worktree.join("more.txt"), "").unwrap();
    git(&run.worktree, &["add", "."]);
    git(&run.worktree, &["commit", "--quiet", "-m", "and more"]);
    server.mark("go");
    let ended = run.wait_for("finished");
    let shown = results(&ended, "work");
    assert_eq!(shown.len(), 2, "{shown:#?}");
    assert_eq!(shown[1]["commit"], ended["head"]);
    assert_eq!(ended["gate"]["open"], true, "{:#}", ended["gate"]);
}

#[test]
fn a_run_whose_checks_wait_for_their_turn_says_so() {
    let server = Setup::new().flag("--max-checks", "1").start();
    let first = server.checked(
        "write work.txt 1",
        &json!([item("work", &server.held("first", "go"))]),
    );
    server.wait_for_mark("first");
    let second = server.checked("write work.txt 2", &json!([item("work", "true")]));
    second.wait_for("checking");
    let round = || second.get("/checks").expect(200)["round"].clone();
    until("it waits for its turn", || round()["waiting"] == true);
    assert_eq!(round()["position"], 1);
    assert_eq!(round()["running"], Value::Null);
    let going_on = first.get("/checks").expect(200)["round"].clone();
    assert_eq!(going_on["waiting"], false);
    assert_eq!(going_on["running"], "work");
    server.mark("go");
    first.wait_for("finished");
    second.wait_for("finished");
    assert_eq!(round(), Value::Null);
}
