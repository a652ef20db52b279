//! Limits of a run: those that the agent holds, and those that the service holds for it.

use serde_json::json;

use super::{Product, failure_of, in_mid_tool, is_alive, long_command, second_end};
use crate::support::mock_api::{Answer, Scenario};

#[test]
fn the_limits_that_claude_holds_have_their_names() {
    let Some(product) = Product::start() else {
        return;
    };
    let endless = || Scenario::always(Answer::bash("echo again"));
    let turns = product.run_with(endless(), &json!({"max_turns": 2}));
    let cost = product.run_with(endless(), &json!({"max_cost_usd": 0.01}));

    let failed = turns.wait_for("failed");
    assert_eq!(failure_of(&failed).0, "turn_limit", "{failed:#}");
    assert!(failed["cost_usd"].as_f64().is_some_and(|cost| cost > 0.0));
    let failed = cost.wait_for("failed");
    assert_eq!(failure_of(&failed).0, "cost_limit", "{failed:#}");
    assert!(failed["cost_usd"].as_f64().is_some_and(|cost| cost >= 0.01));
    // What is used up stays used up.
    let again = cost.post("/messages", &json!({"text": "go on"}));
    assert!(again.status < 300, "{again:?}");
    let failed = second_end(&cost, "failed");
    assert_eq!(failure_of(&failed).0, "cost_limit", "{failed:#}");
}

#[test]
fn an_api_that_says_nothing_more_is_the_idle_limit() {
    let Some(product) = Product::start() else {
        return;
    };
    let run = product.run_with(
        Scenario::always(Answer::Hang),
        &json!({"idle_timeout_s": 3}),
    );
    let failed = run.wait_for("failed");
    assert_eq!(failure_of(&failed).0, "idle_limit", "{failed:#}");
    assert!(failed["session_id"].is_string(), "it can be continued");
}

#[test]
fn the_wall_clock_ends_a_tool_that_goes_on() {
    let Some(product) = Product::start() else {
        return;
    };
    let scenario = Scenario::of([long_command(), Answer::text("never said")]);
    let run = product.run_with(scenario, &json!({"timeout_s": 6}));
    let (_, tool) = in_mid_tool(&run);
    let failed = run.wait_for("failed");
    assert_eq!(failure_of(&failed).0, "wall_clock_limit", "{failed:#}");
    assert!(!is_alive(tool));
}
