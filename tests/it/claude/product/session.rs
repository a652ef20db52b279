//! Follow-ups in the agent's own session.

use serde_json::{Value, json};

use super::{Product, events, failure_of, of_type, second_end};
use crate::support::mock_api::{Answer, Scenario};

#[test]
fn a_message_goes_on_with_the_session_and_is_paid_once() {
    let Some(product) = Product::start() else {
        return;
    };
    let run = product.run(Scenario::of([
        Answer::write("first.txt", "first\n"),
        Answer::text("FIRST"),
        Answer::write("second.txt", "second\n"),
        Answer::text("SECOND"),
    ]));
    let first = run.wait_for("finished");
    let evidence = run.say("review", "good so far");
    run.validate(&evidence).expect(200);
    run.post("/messages", &json!({"text": "now the second part"}))
        .expect(200);
    let second = second_end(&run, "finished");

    assert_eq!(second["session_id"], first["session_id"]);
    let attempts = second["attempts"].as_array().unwrap();
    assert_eq!(attempts[1]["why"], "message");
    assert_eq!(attempts[1]["message"], "now the second part");
    assert_eq!(attempts[1]["session_id"], first["session_id"]);
    assert_eq!(attempts[0]["output_to"], attempts[1]["output_from"]);
    let asked = product.api.calls().pop().unwrap().messages_text();
    for said in ["do what the test says", "FIRST", "now the second part"] {
        assert!(asked.contains(said), "the model does not see {said:?}");
    }

    // The agent counts a session's cost from its beginning, so its last word has what the run has cost.
    let mut stream = product.server.frames(&run.path("/sse?after=0"), None);
    let mut all = stream.until_status("finished");
    all.extend(stream.until_status("finished"));
    let events = events(&all);
    let finals = of_type(&events, "final");
    let cost = |run: &Value| run["cost_usd"].as_f64().expect("a cost");
    assert_eq!(finals.len(), 2);
    assert!((cost(finals[0]) - cost(&first)).abs() < 1e-9);
    assert!((cost(finals[1]) - cost(&second)).abs() < 1e-9);
    let of_attempts: f64 = attempts.iter().map(cost).sum();
    assert!((cost(&second) - of_attempts).abs() < 1e-9);
    assert!((cost(&attempts[0]) - cost(&first)).abs() < 1e-9);
    // Each attempt made two calls of the same tokens.
    assert!(
        (cost(&second) - 2.0 * cost(&first)).abs() < 1e-9,
        "{second:#}"
    );
    assert_eq!(first["usage"]["output_tokens"], 50);
    assert_eq!(second["usage"]["output_tokens"], 100);

    // The work has moved, so what was said of it before no longer proves it.
    assert_eq!(
        run.blockers(),
        [("evidence_stale".to_owned(), "review".to_owned())]
    );
    run.prove();
    run.merge().expect(200);
    for (name, text) in [("first.txt", "first\n"), ("second.txt", "second\n")] {
        assert_eq!(product.server.repo.read(name), text);
    }
}

#[test]
fn a_retry_is_a_session_of_its_own() {
    let Some(product) = Product::start() else {
        return;
    };
    let run = product.run(Scenario::always(Answer::text("DONE")));
    let first = run.wait_for("finished");
    run.post("/retry", &json!({})).expect(200);
    let second = second_end(&run, "finished");
    assert_ne!(second["session_id"], first["session_id"]);
    let cost = |run: &Value| run["cost_usd"].as_f64().expect("a cost");
    assert!((cost(&second) - 2.0 * cost(&first)).abs() < 1e-9);
    let asked = product.api.calls().pop().unwrap();
    assert_eq!(asked.answers_so_far(), 0, "nothing of the first is known");
}

#[test]
fn a_session_that_is_gone_is_told_and_a_retry_begins_another() {
    let Some(product) = Product::start() else {
        return;
    };
    let run = product.run(Scenario::always(Answer::text("DONE")));
    run.wait_for("finished");
    std::fs::remove_dir_all(product.server.at("home/.claude/projects")).unwrap();
    run.post("/messages", &json!({"text": "go on"})).expect(200);
    let failed = second_end(&run, "failed");
    assert_eq!(failure_of(&failed).0, "unknown_session", "{failed:#}");
    assert_eq!(product.api.calls().len(), 1, "the model was not asked");
    run.post("/retry", &json!({})).expect(200);
    let finished = run.wait_for("finished");
    assert_eq!(finished["attempts"].as_array().map(Vec::len), Some(3));
}
