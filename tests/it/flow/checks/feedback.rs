//! The agent is told what did not pass, in the session that it has, as often as it may be.

use serde_json::{Value, json};

use super::{code, item, results};
use crate::support::server::{Server, Setup};

/// A check that passes once there are so many lines in `tries.txt`, and otherwise prints what the agent is to do.
fn needs(lines: usize) -> String {
    format!(
        "printf '```script\\nargs\\nsh echo again >> tries.txt\\n```\\n'; test $(wc -l < tries.txt) -ge {lines}"
    )
}

#[track_caller]
fn feedback<'a>(detail: &'a Value, key: &str) -> &'a Value {
    let items = detail["dod_items"].as_array().unwrap();
    &items.iter().find(|item| item["item_key"] == key).unwrap()["feedback"]
}

#[test]
fn an_agent_is_told_what_did_not_pass_and_goes_on_until_it_does() {
    let server = Server::start();
    let dod = json!([item("fine", "true"), item("tries", &needs(3))]);
    let run = server.checked("sh echo once > tries.txt", &dod);
    let ended = run.wait_for("finished");
    let attempts = ended["attempts"].as_array().unwrap();
    let why: Vec<&str> = attempts
        .iter()
        .map(|a| a["why"].as_str().unwrap())
        .collect();
    assert_eq!(why, ["first", "feedback", "feedback"]);
    let session = &ended["session_id"];
    assert!(
        attempts
            .iter()
            .all(|attempt| attempt["session_id"] == *session)
    );
    let told = attempts[1]["message"].as_str().unwrap();
    for words in [
        "## tries",
        "exit_code: it ended with 1",
        "Command: printf",
        "again >> tries.txt",
    ] {
        assert!(told.contains(words), "{words:?} is not in {told}");
    }
    assert!(!told.contains("## fine"), "{told}");
    assert_eq!(results(&ended, "tries").len(), 3);
    assert_eq!(code(&ended, "tries"), None);
    assert_eq!(ended["gate"]["open"], true);
    assert_eq!(
        feedback(&ended, "tries"),
        &json!({"sent": 2, "max": 2, "exhausted": true, "why_not": "limit"})
    );
    assert_eq!(feedback(&ended, "fine")["sent"], 0);
}

#[test]
fn an_agent_is_told_as_often_as_it_may_be_and_then_it_stays_failed() {
    let server = Server::start();
    let run = server.checked(
        "sh echo once > tries.txt",
        &json!([item("tries", &needs(9))]),
    );
    let ended = run.wait_for("finished");
    assert_eq!(ended["attempts"].as_array().unwrap().len(), 3);
    assert_eq!(code(&ended, "tries").as_deref(), Some("exit_code"));
    assert_eq!(ended["gate"]["open"], false);
    assert_eq!(feedback(&ended, "tries")["exhausted"], true);
    // By hand it is only said: whoever asked decides.
    run.post("/checks", &json!({})).expect(202);
    assert_eq!(
        run.wait_for("finished")["attempts"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

#[test]
fn a_workflow_says_how_often_and_the_budget_of_the_run_is_its_end() {
    let server = Setup::new().flag("--max-feedback", "0").start();
    let dod = json!([item("tries", &needs(9))]);
    let off = server
        .checked("sh echo once > tries.txt", &dod)
        .wait_for("finished");
    assert_eq!(off["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(
        feedback(&off, "tries"),
        &json!({"sent": 0, "max": 0, "exhausted": false, "why_not": "off"})
    );
    let workflow =
        json!({"prompt_template": "{{ prompt }}", "dod": dod, "settings": {"feedback": 5}});
    server.put("/api/workflows/told", &workflow);
    // What a session has cost is told of the whole of it.
    let costly = "printf '```script\\nclaude-result success 0.02\\n```\\n'; exit 1";
    let more = json!({
        "mode": "told", "limits": {"max_cost_usd": 0.015}, "dod": [item("tries", costly)],
    });
    let run = server.run_with("write work.txt done\nclaude-result success 0.01", &more);
    let ended = run.wait_for("finished");
    // The second attempt has used up what was left.
    assert_eq!(ended["attempts"].as_array().unwrap().len(), 2, "{ended:#}");
    assert_eq!(
        feedback(&ended, "tries"),
        &json!({"sent": 1, "max": 5, "exhausted": true, "why_not": "budget"})
    );
}

#[test]
fn an_agent_without_a_session_is_not_told_and_that_is_said() {
    let server = Setup::new().variable("AGENT_RUNNER_STUB", "1").start();
    let run = server.checked("write work.txt done", &json!([item("work", "exit 1")]));
    let ended = run.wait_for("finished");
    assert_eq!(ended["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(feedback(&ended, "work")["why_not"], "no_session");
    assert_eq!(feedback(&ended, "work")["exhausted"], false);
}
