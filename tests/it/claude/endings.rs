//! How it can end, each way seen on the real program.

use std::time::Duration;

use agent_runner_api::run::{Exit, FailureCode, Outcome, Usage};

use super::stage::{ENOUGH, Stage, fresh, judged};
use crate::support::claude_program::wait_for_file;
use crate::support::mock_api::{Answer, MockApi, Scenario, TOKENS};

/// The code and the detail of a failure.
fn failure(outcome: &Outcome) -> (FailureCode, &str) {
    match outcome {
        Outcome::Finished => panic!("it was taken for a success"),
        Outcome::Failed(failure) => (failure.code, &failure.detail),
    }
}

#[test]
fn work_that_is_done_is_finished_with_session_usage_and_cost() {
    let api = MockApi::start();
    let Some(stage) = Stage::set(&api.serve(Scenario::edits_a_file_and_runs_a_command())) else {
        return;
    };
    let ended = stage.run(fresh(), "write hello.txt");
    let (transcript, outcome) = judged(&ended);

    assert_eq!(outcome, Outcome::Finished, "{ended:?}");
    assert!(transcript.session_id().is_some());
    assert_eq!(transcript.model(), Some("claude-sonnet-4-5"));
    let (input_tokens, output_tokens, cache_read_input_tokens, cache_creation_input_tokens) =
        TOKENS;
    let call = Usage {
        input_tokens,
        output_tokens,
        cache_read_input_tokens,
        cache_creation_input_tokens,
    };
    assert_eq!(
        transcript.usage(),
        call.plus(call).plus(call),
        "three calls"
    );
    assert!(transcript.session_cost_usd().is_some_and(|cost| cost > 0.0));
    assert_eq!(transcript.open_tools(), 0);
    let written = std::fs::read_to_string(stage.worktree().join("hello.txt"));
    assert_eq!(
        written.expect("the agent wrote it"),
        "hello from the mock\n"
    );
    assert!(
        api.calls()
            .iter()
            .all(|call| call.key.as_deref() == Some("sk-test"))
    );
}

#[test]
fn an_api_that_fails_is_an_api_error_with_its_status() {
    let api = MockApi::start();
    let Some(stage) = Stage::set(&api.serve(Scenario::every_call_answers(500))) else {
        return;
    };
    let ended = stage.run(fresh(), "anything");
    let (transcript, outcome) = judged(&ended);

    let (code, detail) = failure(&outcome);
    assert_eq!(code, FailureCode::ApiError, "{ended:?}");
    assert!(detail.contains("500"), "{detail}");
    assert_eq!(
        transcript.last_retry().map(|retry| retry.status),
        Some(Some(500))
    );
}

#[test]
fn an_api_that_refuses_the_key_is_auth() {
    let api = MockApi::start();
    let Some(stage) = Stage::set(&api.serve(Scenario::every_call_answers(401))) else {
        return;
    };
    let ended = stage.run(fresh(), "anything");
    let (_, outcome) = judged(&ended);
    assert_eq!(failure(&outcome).0, FailureCode::Auth, "{ended:?}");
}

#[test]
fn an_api_that_asks_to_come_back_in_an_hour_is_rate_limited() {
    let api = MockApi::start();
    let Some(stage) = Stage::set(&api.serve(Scenario::always(Answer::RetryAfter(429, 3600))))
    else {
        return;
    };
    let ended = stage.run(fresh(), "anything");
    let (_, outcome) = judged(&ended);
    assert_eq!(failure(&outcome).0, FailureCode::RateLimited, "{ended:?}");
}

#[test]
fn no_key_at_all_is_auth() {
    let api = MockApi::start();
    let Some(mut stage) = Stage::set(&api.serve(Scenario::always(Answer::text("never said"))))
    else {
        return;
    };
    stage.server_env.remove("ANTHROPIC_API_KEY");
    let ended = stage.run(fresh(), "anything");
    let (_, outcome) = judged(&ended);
    assert_eq!(failure(&outcome).0, FailureCode::Auth, "{ended:?}");
    assert!(api.calls().is_empty());
}

#[test]
fn a_connection_that_breaks_off_each_time_is_an_api_error() {
    let api = MockApi::start();
    let Some(stage) = Stage::set(&api.serve(Scenario::always(Answer::Cut("half a ".to_owned()))))
    else {
        return;
    };
    let ended = stage.run(fresh(), "anything");
    let (_, outcome) = judged(&ended);
    assert_eq!(failure(&outcome).0, FailureCode::ApiError, "{ended:?}");
}

#[test]
fn an_answer_without_an_end_exits_with_0_and_is_not_a_success() {
    let api = MockApi::start();
    let Some(stage) = Stage::set(&api.serve(Scenario::always(Answer::NoEnd("half a ".to_owned()))))
    else {
        return;
    };
    let ended = stage.run(fresh(), "anything");
    let (_, outcome) = judged(&ended);

    assert_eq!(ended.exit, Exit::Code(0));
    assert_eq!(
        failure(&outcome),
        (FailureCode::CutOff, "the model's answer has no end: half a")
    );
}

#[test]
fn a_slow_answer_is_waited_for() {
    let api = MockApi::start();
    let slow = Answer::Slow("one two three".to_owned(), Duration::from_millis(50));
    // Here the prompt says which scenario it is, as where one service has runs of several.
    let mark = api.mark(Scenario::of([slow]));
    let Some(stage) = Stage::set(&api.url()) else {
        return;
    };
    let (transcript, outcome) = judged(&stage.run(fresh(), &format!("count to three {mark}")));
    assert_eq!(outcome, Outcome::Finished);
    assert_eq!(
        transcript.last_final().map(|last| last.text.as_str()),
        Some("one two three")
    );
}

#[test]
fn a_terminate_signal_while_the_model_speaks_is_killed_without_a_last_word() {
    let api = MockApi::start();
    let Some(stage) = Stage::set(&api.serve(Scenario::always(Answer::Hang))) else {
        return;
    };
    let process = stage.start(fresh(), "anything");
    api.wait_for_calls(1, ENOUGH);
    process.signal(rustix::process::Signal::TERM);
    let ended = process.end(ENOUGH);
    let (transcript, outcome) = judged(&ended);

    assert_eq!(
        ended.exit,
        Exit::Code(143),
        "Claude Code tells the signal in its code"
    );
    assert_eq!(transcript.finals(), 0);
    assert_eq!(
        failure(&outcome),
        (FailureCode::Killed, "signal 15 ended it")
    );
}

#[test]
fn a_kill_in_the_middle_of_a_tool_is_killed() {
    let api = MockApi::start();
    let Some(stage) = Stage::set(&api.serve(Scenario::runs_a_command_until_told_to_stop())) else {
        return;
    };
    let mut process = stage.start(fresh(), "run something long");
    wait_for_file(&stage.worktree().join("tool.pid"), ENOUGH);
    process.kill();
    let ended = process.end(ENOUGH);
    let (transcript, outcome) = judged(&ended);

    assert_eq!(ended.exit, Exit::Signal(9));
    assert_eq!(
        failure(&outcome),
        (
            FailureCode::Killed,
            "signal 9 ended it, with 1 tools going on"
        )
    );
    assert!(
        transcript.usage().input_tokens > 0,
        "what was used until then is told"
    );
}

#[test]
fn an_interruption_exits_with_0_and_is_not_a_success() {
    let api = MockApi::start();
    let Some(stage) = Stage::set(&api.serve(Scenario::runs_a_command_until_told_to_stop())) else {
        return;
    };
    let process = stage.start(fresh(), "run something long");
    wait_for_file(&stage.worktree().join("tool.pid"), ENOUGH);
    process.signal(rustix::process::Signal::INT);
    let ended = process.end(ENOUGH);
    let (_, outcome) = judged(&ended);

    assert_eq!(ended.exit, Exit::Code(0));
    assert_eq!(failure(&outcome).0, FailureCode::Killed, "{ended:?}");
}

#[test]
fn a_background_command_gives_two_last_words_and_the_last_one_counts() {
    let api = MockApi::start();
    let Some(stage) = Stage::set(&api.serve(Scenario::has_two_last_words())) else {
        return;
    };
    let ended = stage.run(fresh(), "run something in the background");
    let (transcript, outcome) = judged(&ended);

    assert_eq!(outcome, Outcome::Finished, "{ended:?}");
    assert_eq!(transcript.finals(), 2, "{}", ended.stdout);
    let last = transcript.last_final().expect("there are two");
    assert_eq!(last.text, "DONE: the background command is over.");
}

#[test]
fn the_limits_of_a_run_are_the_agents_limits() {
    let api = MockApi::start();
    let endless = || Scenario::always(Answer::bash("echo again"));
    let Some(mut stage) = Stage::set(&api.serve(endless())) else {
        return;
    };
    stage.spec.limits.max_turns = Some(2);
    let ended = stage.run(fresh(), "go on for ever");
    assert_eq!(
        failure(&judged(&ended).1).0,
        FailureCode::TurnLimit,
        "{ended:?}"
    );

    stage.spec.limits.max_turns = None;
    stage.spec.limits.max_cost_usd = Some(0.01);
    let ended = stage.run(fresh(), "go on for ever");
    assert_eq!(
        failure(&judged(&ended).1).0,
        FailureCode::CostLimit,
        "{ended:?}"
    );
}
