//! Ends that the model's API makes.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Product, events, failure_of, of_type, replayed};
use crate::support::mock_api::{Answer, Scenario};

#[test]
fn an_api_that_fails_is_told_with_its_status() {
    let Some(product) = Product::start() else {
        return;
    };
    let run = product.run(Scenario::every_call_answers(500));
    let failed = run.wait_for("failed");
    let (code, detail) = failure_of(&failed);
    assert_eq!(code, "api_error", "{failed:#}");
    assert!(detail.contains("500"), "{detail}");
    assert_eq!(failed["attempts"][0]["failure"], failed["failure"]);
    let all = replayed(&run, &product.server, "failed");
    assert_eq!(all[all.len() - 1].json["failure"], failed["failure"]);
    let events = events(&all);
    let retries = of_type(&events, "retry");
    assert_eq!(retries.len(), 1, "one is allowed here: {events:#?}");
    assert_eq!(retries[0]["status"], 500);
    run.merge().expect_problem(409, "gate_closed");
}

#[test]
fn each_refusal_of_the_api_has_its_name() {
    let Some(product) = Product::start() else {
        return;
    };
    let mut seen = Vec::new();
    let runs = [
        Scenario::every_call_answers(401),
        Scenario::every_call_answers(403),
        Scenario::always(Answer::RetryAfter(429, 3600)),
        Scenario::every_call_answers(529),
    ]
    .map(|scenario| product.run(scenario));
    for (run, status) in runs.iter().zip(["401", "403", "429", "529"]) {
        let (code, detail) = failure_of(&run.wait_for("failed"));
        assert!(detail.contains(status), "{status}: {detail}");
        seen.push(code);
    }
    assert_eq!(seen, ["auth", "auth", "rate_limited", "api_error"]);
}

#[test]
fn half_an_answer_is_never_finished() {
    let Some(product) = Product::start() else {
        return;
    };
    let none = json!({});
    let breaks_off = Scenario::always(Answer::Cut("half a ".to_owned()));
    let (code, detail) = product.failure(breaks_off, &none);
    assert_eq!(code, "api_error", "{detail}");
    // The agent exits with 0 and calls it a success.
    let no_end = Scenario::always(Answer::NoEnd("half a ".to_owned()));
    let failed = product.run(no_end).wait_for("failed");
    assert_eq!(failed["exit_code"], 0);
    let (code, detail) = failure_of(&failed);
    assert_eq!(
        (code.as_str(), detail.as_str()),
        ("cut_off", "the model's answer has no end: half a")
    );
}

#[test]
fn a_slow_answer_is_streamed_and_waited_for() {
    let Some(product) = Product::start() else {
        return;
    };
    let slow = Answer::Slow("one two three".to_owned(), Duration::from_millis(50));
    let run = product.run(Scenario::of([slow]));
    run.wait_for("finished");
    let events = events(&replayed(&run, &product.server, "finished"));
    assert_eq!(of_type(&events, "final")[0]["text"], "one two three");
}

#[test]
fn a_command_in_the_background_gives_two_last_words_and_one_end() {
    let Some(product) = Product::start() else {
        return;
    };
    let run = product.run(Scenario::has_two_last_words());
    let finished = run.wait_for("finished");
    let all = replayed(&run, &product.server, "finished");
    let events = events(&all);
    let finals = of_type(&events, "final");
    let texts: Vec<_> = finals.iter().map(|last| last["text"].as_str()).collect();
    let expected = [
        "The command runs in the background.",
        "DONE: the background command is over.",
    ];
    assert_eq!(texts, expected.map(Some));
    assert_eq!(
        finished["cost_usd"], finals[1]["cost_usd"],
        "the session's, once"
    );
    assert_eq!(finished["usage"]["output_tokens"], 75, "of both turns");
    let said: Vec<_> = all
        .iter()
        .filter(|frame| frame.name == "status")
        .map(|frame| frame.json["status"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(
        said.iter().filter(|status| **status == "finished").count(),
        1
    );
    assert_eq!(
        said.iter().filter(|status| **status == "checking").count(),
        1,
        "{said:?}"
    );
    assert_eq!(finished["attempts"].as_array().map(Vec::len), Some(1));
    assert_eq!(finished["failure"], Value::Null);
}
