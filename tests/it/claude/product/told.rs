//! What checks have said comes back to the agent, in its own session.

use serde_json::json;

use super::{MODEL, Product};
use crate::support::mock_api::{Answer, Scenario};
use crate::support::run::Run;

/// Seen red by a feedback that is never sent (`max_feedback` 0): the run then rests with a shut gate after one attempt.
#[test]
fn an_agent_is_sent_back_by_a_failed_check_until_it_passes() {
    let Some(product) = Product::start() else {
        return;
    };
    let scenario = Scenario::of([
        Answer::write("sum.txt", "5\n"),
        Answer::text("DONE: the sum is written."),
        Answer::write("note.txt", "looked at it\n"),
        Answer::text("DONE: a note is added."),
        Answer::write("answer.txt", "4\n"),
        Answer::text("DONE: the answer is right now."),
    ]);
    let check = "test -e answer.txt || { echo 'two and two are four, write that into answer.txt'; exit 1; }";
    let workflow = json!({
        "prompt_template": "{{ prompt }}", "dod": [{"key": "sum", "check": {"cmd": check}}],
    });
    product.server.put("/api/workflows/checked", &workflow);
    let prompt = format!("do what the test says {}", product.api.mark(scenario));
    let body = json!({"mode": "checked", "prompt": prompt, "model": MODEL});
    let run = Run::of(&product.server, &product.server.create(&body).expect(201));
    let ended = run.wait_for("finished");

    let attempts = ended["attempts"].as_array().unwrap();
    let why: Vec<_> = attempts.iter().map(|attempt| &attempt["why"]).collect();
    assert_eq!(why, ["first", "feedback", "feedback"], "{ended:#}");
    let session = &ended["session_id"];
    assert!(attempts.iter().all(|a| a["session_id"] == *session));
    // The model itself was told, each time after what it had said before.
    let asked = product.api.calls().pop().unwrap().messages_text();
    assert_eq!(
        asked.matches("two and two are four").count(),
        4,
        "command and log, twice: {asked}"
    );
    for said in [
        "do what the test says",
        "the sum is written",
        "exit_code: it ended with 1",
    ] {
        assert!(asked.contains(said), "the model does not see {said:?}");
    }
    let shown = ended["dod_items"][0]["evidence"].as_array().unwrap();
    let passed: Vec<_> = shown.iter().map(|e| &e["check"]["passed"]).collect();
    assert_eq!(passed, [false, false, true]);
    assert_eq!(ended["gate"]["open"], true, "{:#}", ended["gate"]);
    assert_eq!(run.merge().expect(200)["status"], "merged");
    assert_eq!(product.server.repo.read("answer.txt"), "4\n");
}
