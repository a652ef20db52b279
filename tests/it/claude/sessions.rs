//! Sessions that go on, and what the agent is given.

use agent_runner_api::agent::Session;
use agent_runner_api::run::{FailureCode, Hooks, Outcome};
use uuid::Uuid;

use super::stage::{ENOUGH, Stage, fresh, judged};
use crate::support::claude_program::wait_for_file;
use crate::support::mock_api::{Answer, MockApi, Scenario};

#[test]
fn a_follow_up_goes_on_with_the_session_and_its_cost() {
    let api = MockApi::start();
    let Some(stage) = Stage::set(&api.serve(Scenario::answers_a_follow_up())) else {
        return;
    };
    let id = Uuid::now_v7();
    let (first, outcome) = judged(&stage.run(Session::Fresh(id), "the first prompt"));
    assert_eq!(outcome, Outcome::Finished);
    assert_eq!(
        first.session_id(),
        Some(id.to_string().as_str()),
        "the id is ours"
    );

    let resumed = Session::Resume(id.to_string());
    let (second, outcome) = judged(&stage.run(resumed, "the second prompt"));
    assert_eq!(outcome, Outcome::Finished);
    assert_eq!(second.session_id(), first.session_id());
    assert_eq!(
        second.last_final().map(|last| last.text.as_str()),
        Some("SECOND")
    );
    let last_call = api.calls().pop().expect("there was a call");
    assert!(
        last_call.messages_text().contains("the first prompt"),
        "the model sees what was before"
    );

    // The session's cost is of both attempts; the attempt's own is what it adds.
    let before = first.session_cost_usd();
    let (Some(one), Some(both)) = (before, second.session_cost_usd()) else {
        panic!("both tell a cost");
    };
    assert!(both > one, "{both} after {one}");
    let added = second.attempt_cost_usd(before).expect("it is told");
    assert!((added - (both - one)).abs() < 1e-9);
}

#[test]
fn a_follow_up_may_cost_what_its_run_has_left() {
    let api = MockApi::start();
    let endless = Scenario::of([
        Answer::text("FIRST"),
        Answer::bash("echo one"),
        Answer::bash("echo two"),
        Answer::text("THIRD"),
    ]);
    let Some(mut stage) = Stage::set(&api.serve(endless)) else {
        return;
    };
    stage.spec.limits.max_cost_usd = Some(0.007);
    let id = Uuid::now_v7();
    let (first, outcome) = judged(&stage.run(Session::Fresh(id), "the first prompt"));
    assert_eq!(outcome, Outcome::Finished);

    // One call costs 0.0046: one was made, so the first of this attempt goes over, though alone it would not.
    stage.spent_usd = first.session_cost_usd().expect("it is told");
    let ended = stage.run(Session::Resume(id.to_string()), "the second prompt");
    let Outcome::Failed(failure) = judged(&ended).1 else {
        panic!("{ended:?}")
    };
    assert_eq!(failure.code, FailureCode::CostLimit, "{ended:?}");
    assert_eq!(api.calls().len(), 2);
}

#[test]
fn a_follow_up_goes_on_after_a_kill_in_mid_tool() {
    let api = MockApi::start();
    let Some(stage) = Stage::set(&api.serve(Scenario::runs_a_command_until_told_to_stop())) else {
        return;
    };
    let id = Uuid::now_v7();
    let mut process = stage.start(Session::Fresh(id), "run something long");
    wait_for_file(&stage.worktree().join("tool.pid"), ENOUGH);
    process.kill();
    process.end(ENOUGH);

    let ended = stage.run(Session::Resume(id.to_string()), "go on");
    let (transcript, outcome) = judged(&ended);
    assert_eq!(outcome, Outcome::Finished, "{ended:?}");
    assert_eq!(transcript.session_id(), Some(id.to_string().as_str()));
}

#[test]
fn a_session_that_there_never_was_is_unknown() {
    let api = MockApi::start();
    let Some(stage) = Stage::set(&api.serve(Scenario::answers_a_follow_up())) else {
        return;
    };
    let ended = stage.run(Session::Resume(Uuid::now_v7().to_string()), "go on");
    let (_, outcome) = judged(&ended);
    let Outcome::Failed(failure) = outcome else {
        panic!("{ended:?}")
    };
    assert_eq!(failure.code, FailureCode::UnknownSession, "{ended:?}");
    assert!(api.calls().is_empty());
}

#[test]
fn the_agents_commands_see_the_built_environment_and_nothing_of_the_services() {
    let api = MockApi::start();
    let Some(mut stage) = Stage::set(&api.serve(Scenario::of([
        Answer::bash("env > seen.env; git config core.hooksPath > seen.hooks"),
        Answer::text("DONE"),
    ]))) else {
        return;
    };
    stage
        .spec
        .env
        .insert("OF_THE_REQUEST".to_owned(), "yes".to_owned());
    let ended = stage.run(fresh(), "look around");
    assert_eq!(judged(&ended).1, Outcome::Finished, "{ended:?}");

    let seen =
        std::fs::read_to_string(stage.worktree().join("seen.env")).expect("the agent wrote it");
    for there in [
        "OF_THE_REQUEST=yes",
        "AGENT_RUNNER_RUN_ID=",
        "TERM=dumb",
        "GIT_TERMINAL_PROMPT=0",
    ] {
        assert!(seen.contains(there), "no {there} in {seen}");
    }
    assert!(!seen.contains("SECRET_OF_THE_SERVICE"), "{seen}");
    let hooks =
        std::fs::read_to_string(stage.worktree().join("seen.hooks")).expect("the agent wrote it");
    assert_eq!(hooks.trim(), "/dev/null");
}

#[test]
fn a_repositorys_own_settings_are_not_read_without_being_asked_for() {
    let api = MockApi::start();
    let Some(mut stage) = Stage::set(&api.serve(Scenario::always(Answer::text("DONE")))) else {
        return;
    };
    let folder = stage.worktree().join(".claude");
    std::fs::create_dir(&folder).expect("a folder can be made");
    let hook = serde_json::json!({"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "touch hook-ran"}]}]}});
    std::fs::write(folder.join("settings.json"), hook.to_string()).expect("it can be written");
    let ran = stage.worktree().join("hook-ran");

    assert_eq!(judged(&stage.run(fresh(), "anything")).1, Outcome::Finished);
    assert!(!ran.exists(), "the hook ran");

    // And the test can fail: asked for, they are read.
    stage.spec.settings.setting_sources = Some(vec!["user".to_owned(), "project".to_owned()]);
    assert_eq!(judged(&stage.run(fresh(), "anything")).1, Outcome::Finished);
    assert!(ran.exists(), "the hook did not run");
}

#[test]
fn the_agents_own_commits_run_the_repositorys_hooks_only_where_they_are_inherited() {
    let api = MockApi::start();
    let url = api.serve(Scenario::edits_a_file_and_commits_it());
    for (hooks, expected) in [(Hooks::Skip, false), (Hooks::Inherit, true)] {
        let Some(mut stage) = Stage::set(&url) else {
            return;
        };
        stage.spec.settings.hooks = hooks;
        let ran = stage.repository_with_a_hook();
        let ended = stage.run(fresh(), "write and commit");
        assert_eq!(judged(&ended).1, Outcome::Finished, "{ended:?}");
        assert!(
            stage.worktree().join(".git/refs/heads/main").exists(),
            "it was committed"
        );
        assert_eq!(ran.exists(), expected, "{hooks:?}");
    }
}
