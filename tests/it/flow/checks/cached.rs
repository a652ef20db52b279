//! Passes that are known already, said to be.

use serde_json::{Value, json};

use super::{item, log, results};
use crate::support::server::Server;

#[test]
fn a_pass_on_the_same_tree_is_reused_and_said_to_be_and_a_failure_is_run_again() {
    let server = Server::start();
    let count = server.mark_path("count");
    let dod = json!([item("passes", &format!("echo once; echo x >> {count}"))]);
    let first = server
        .checked("write work.txt same", &dod)
        .wait_for("finished");
    let second = server.checked("write work.txt same", &dod);
    let ended = second.wait_for("finished");
    let (ran, known) = (&results(&first, "passes")[0], &results(&ended, "passes")[0]);
    assert_eq!(ran["check"]["cached_from"], Value::Null);
    assert_eq!(known["check"]["cached_from"], ran["evidence_id"]);
    assert_eq!(known["sha256"], ran["sha256"]);
    assert_eq!(known["validated_by"], "check");
    assert_eq!(known["commit"], ended["head"]);
    assert_eq!(log(&second, known), "once\n");
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "x\n");

    // Also by hand, unless it is to be run afresh; a pass that was reused names who ran it.
    second.post("/checks", &json!({})).expect(202);
    let again = second.wait_for("finished");
    assert_eq!(
        results(&again, "passes")[1]["check"]["cached_from"],
        ran["evidence_id"]
    );
    second.post("/checks", &json!({"afresh": true})).expect(202);
    let afresh = second.wait_for("finished");
    assert_eq!(
        results(&afresh, "passes")[2]["check"]["cached_from"],
        Value::Null
    );
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "x\nx\n");
}

/// Seen red: with the newest pass reused whatever came after it, the third result was a pass, and the gate was open.
#[test]
fn a_pass_from_before_a_failure_is_not_reused() {
    let server = Server::start();
    let cmd = format!("test ! -e {}", server.mark_path("broken"));
    let run = server.checked("write work.txt done", &json!([item("tests", &cmd)]));
    run.wait_for("finished");
    server.mark("broken");
    for (afresh, results_by_then) in [(true, 2), (false, 3)] {
        run.post("/checks", &json!({"afresh": afresh})).expect(202);
        let ended = run.wait_for("finished");
        let told = results(&ended, "tests");
        assert_eq!(told.len(), results_by_then);
        let newest = &told.last().unwrap()["check"];
        assert_eq!(
            (&newest["passed"], &newest["cached_from"]),
            (&json!(false), &Value::Null)
        );
        let shut = ("check_failed".to_owned(), "tests".to_owned());
        assert!(run.blockers().contains(&shut), "{:?}", run.blockers());
    }
    std::fs::remove_file(server.mark_path("broken")).unwrap();
    run.post("/checks", &json!({})).expect(202);
    let ended = run.wait_for("finished");
    assert_eq!(results(&ended, "tests")[3]["check"]["passed"], true);
}

/// One check may need what another one has left: none of a list is taken from before unless all are.
#[test]
fn a_list_of_which_one_check_is_not_known_to_pass_is_run_whole() {
    let server = Server::start();
    let dod = json!([
        item("build", "echo built > product"),
        item(
            "tests",
            &format!("test -e product && test -e {}", server.mark_path("right"))
        ),
    ]);
    let run = server.checked("write work.txt done", &dod);
    let first = run.wait_for("finished");
    assert_eq!(results(&first, "build")[0]["check"]["passed"], true);
    assert_eq!(results(&first, "tests")[0]["check"]["passed"], false);
    server.mark("right");
    run.post("/checks", &json!({})).expect(202);
    let second = run.wait_for("finished");
    for key in ["build", "tests"] {
        let newest = results(&second, key).pop().unwrap();
        assert_eq!(newest["check"]["cached_from"], Value::Null, "{key}");
        assert_eq!(newest["check"]["passed"], true, "{key}");
    }
    assert_eq!(second["gate"]["open"], true);
}
