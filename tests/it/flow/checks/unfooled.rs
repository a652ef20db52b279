//! Ways in which work that is not done looks as if it were.

use serde_json::json;

use super::{code, item, log, results};
use crate::support::server::Server;

#[test]
fn an_exit_of_0_with_failed_tests_in_its_report_does_not_pass() {
    let server = Server::start();
    let report = r#"<testsuite tests="2" failures="1"><testcase name="a"/><testcase name="b"><failure/></testcase></testsuite>"#;
    let check = json!({"cmd": format!("echo '{report}' > junit.xml"), "junit": "junit.xml"});
    let run = server.checked(
        "write work.txt done",
        &json!([{"key": "tests", "check": check}]),
    );
    let ended = run.wait_for("finished");
    assert_eq!(code(&ended, "tests").as_deref(), Some("tests_failed"));
    assert_eq!(ended["gate"]["open"], false);
}

#[test]
fn a_check_that_runs_no_test_does_not_pass() {
    let server = Server::start();
    let nothing =
        "echo 'test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out'";
    let run = server.checked("write work.txt done", &json!([item("tests", nothing)]));
    let ended = run.wait_for("finished");
    assert_eq!(code(&ended, "tests").as_deref(), Some("no_tests"));
    assert_eq!(ended["gate"]["open"], false);
}

#[test]
fn a_tool_that_the_agent_has_patched_in_its_folder_or_on_its_path_is_not_what_checks_run() {
    let server = Server::start();
    server.repo.commit(".gitignore", "tools\n");
    let script = "
        mkdir tools
        sh printf '#!/bin/sh\\nexit 0\\n' > tools/prove-it && chmod +x tools/prove-it
        sh mkdir -p $HOME/bin && cp tools/prove-it $HOME/bin/prove-it
        sh PATH=$PWD/tools:$PATH prove-it && echo fooled > work.txt
    ";
    let run = server.checked(
        script,
        &json!([item("folder", "tools/prove-it"), item("path", "prove-it")]),
    );
    let ended = run.wait_for("finished");
    assert!(
        run.worktree.join("tools/prove-it").exists(),
        "the tool is there"
    );
    assert!(
        run.worktree.join("work.txt").exists(),
        "and it works for the agent"
    );
    for key in ["folder", "path"] {
        assert_eq!(code(&ended, key).as_deref(), Some("not_found"), "{key}");
    }
}

#[test]
fn the_command_is_that_of_the_definition_and_not_what_the_agent_makes_of_it() {
    let server = Server::start();
    let asked = "touch $AGENT_RUNNER_RUN_ID; grep -q real work.txt";
    let run = server.checked(
        "write work.txt made up\nsh printf 'alias grep=true\\n' > .profile; cp .profile $HOME/.profile; cp .profile $HOME/.shrc",
        &json!([item("work", asked)]),
    );
    let ended = run.wait_for("finished");
    assert_eq!(code(&ended, "work").as_deref(), Some("exit_code"));
    assert_eq!(results(&ended, "work")[0]["check"]["cmd"], asked);
}

#[test]
fn what_checks_have_shown_of_another_run_counts_there_alone() {
    let server = Server::start();
    let dod = json!([item("work", "grep -q right work.txt")]);
    let right = server.checked("write work.txt right", &dod);
    let right_ended = right.wait_for("finished");
    let wrong = server.checked("write work.txt wrong", &dod);
    let wrong_ended = wrong.wait_for("finished");
    assert_eq!(code(&right_ended, "work"), None);
    assert_eq!(code(&wrong_ended, "work").as_deref(), Some("exit_code"));
    let shown = results(&right_ended, "work")[0]["evidence_id"]
        .as_str()
        .unwrap()
        .to_owned();
    wrong.validate(&shown).expect_problem(404, "not_found");
    // Nor can anybody say that a check has brought what they bring.
    let forged = json!({"item_key": "work", "payload_text": "it passes", "author": "check"});
    wrong
        .post("/evidence", &forged)
        .expect_problem(422, "invalid");
    wrong.merge().expect_problem(409, "gate_closed");
    assert!(log(&wrong, &results(&wrong_ended, "work")[0]).is_empty());
}
