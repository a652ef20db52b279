//! Ends that come from outside, in the middle of a tool; and the server's own.

use agent_runner_api::process::sweep_marked;
use serde_json::{Value, json};

use super::{Product, failure_of, in_mid_tool, is_alive, kill, long_command, parent, second_end};
use crate::support::mock_api::{Answer, Scenario};
use crate::support::run::Run;
use crate::support::wait::until;

/// Nothing that carries the run's mark is there any more.
#[track_caller]
fn assert_nothing_survives(run: &Run<'_>, tool: i32) {
    assert!(!is_alive(tool), "the tool survives");
    assert_eq!(
        sweep_marked(run.id.parse().unwrap()),
        0,
        "something survives"
    );
}

#[test]
fn a_kill_in_mid_tool_is_told_and_nothing_survives_and_a_message_goes_on() {
    let Some(product) = Product::start() else {
        return;
    };
    let run = product.run(Scenario::of([
        Answer::write("hello.txt", "before the kill\n"),
        long_command(),
        Answer::text("DONE: after all."),
    ]));
    let (agent, tool) = in_mid_tool(&run);
    kill(agent);
    let failed = run.wait_for("failed");
    assert_nothing_survives(&run, tool);

    let (code, detail) = failure_of(&failed);
    assert_eq!(code, "killed", "{failed:#}");
    assert!(detail.contains("signal 9"), "{detail}");
    assert_eq!(failed["exit_code"], Value::Null);
    assert_eq!(failed["attempts"][0]["signal"], 9);
    assert!(
        failed["usage"]["input_tokens"]
            .as_u64()
            .is_some_and(|tokens| tokens > 0)
    );
    let head = failed["head"].as_str().expect("what it had done is kept");
    let kept = product.server.repo.file(head, "hello.txt");
    assert_eq!(kept.as_deref(), Some("before the kill\n"));

    run.post("/messages", &json!({"text": "go on"})).expect(200);
    let finished = second_end(&run, "finished");
    assert_eq!(finished["session_id"], failed["session_id"]);
    assert_eq!(finished["failure"], Value::Null);
}

#[test]
fn an_abort_in_mid_tool_leaves_nothing_but_the_work() {
    let Some(product) = Product::start() else {
        return;
    };
    let repo = &product.server.repo;
    let run = product.run(Scenario::of([
        Answer::write("hello.txt", "before the abort\n"),
        long_command(),
        Answer::text("DONE: after all."),
    ]));
    let (agent, tool) = in_mid_tool(&run);
    let aborted = run.abort().expect(200);
    assert_eq!(aborted["status"], "aborted");
    assert!(!is_alive(agent));
    assert_nothing_survives(&run, tool);
    assert!(!run.worktree.exists());
    assert!(!repo.has_branch(&run.branch));
    let kept = run.detail()["preserved_commit"].as_str().map(str::to_owned);
    let kept = repo.file(&kept.expect("the work is kept"), "hello.txt");
    assert_eq!(kept.as_deref(), Some("before the abort\n"));

    run.post("/restore", &json!({})).expect(200);
    assert!(repo.has_branch(&run.branch));
    let back = std::fs::read_to_string(run.worktree.join("hello.txt")).unwrap();
    assert_eq!(back, "before the abort\n");
    // And its session is still there.
    run.post("/messages", &json!({"text": "go on"})).expect(200);
    second_end(&run, "finished");
}

#[test]
fn what_a_tool_left_behind_ends_with_the_run() {
    let Some(product) = Product::start() else {
        return;
    };
    let leave = "setsid nohup sleep 60 >/dev/null 2>&1 & echo $! > left.pid";
    let run = product.run(Scenario::of([
        Answer::bash(leave),
        Answer::bash("kill -0 $(cat left.pid) && echo it goes on > alive"),
        Answer::text("DONE"),
    ]));
    let finished = run.wait_for("finished");
    let head = finished["head"].as_str().unwrap();
    let said = product.server.repo.file(head, "alive");
    assert_eq!(
        said.as_deref(),
        Some("it goes on\n"),
        "while the agent works"
    );
    let left = product.server.repo.file(head, "left.pid").unwrap();
    assert_nothing_survives(&run, left.trim().parse().unwrap());
}

#[test]
fn the_death_of_its_supervisor_is_an_unknown_end_and_nothing_survives() {
    let Some(product) = Product::start() else {
        return;
    };
    let run = product.run(Scenario::of([long_command(), Answer::text("never said")]));
    let (agent, tool) = in_mid_tool(&run);
    kill(parent(agent));
    let failed = run.wait_for("failed");
    assert_eq!(failure_of(&failed).0, "unknown", "{failed:#}");
    assert!(!is_alive(agent));
    assert_nothing_survives(&run, tool);
}

#[test]
fn the_death_of_the_server_does_not_touch_its_agents() {
    let Some(product) = Product::start() else {
        return;
    };
    let server = &product.server;
    let goes_on = product.run(Scenario::runs_a_command_until_told_to_stop());
    let ends_alone = product.run(Scenario::runs_a_command_until_told_to_stop());
    let stop = |run: &Run<'_>| std::fs::write(run.worktree.join("tool.stop"), "").unwrap();
    let (agent, _) = in_mid_tool(&goes_on);
    in_mid_tool(&ends_alone);

    server.kill();
    stop(&ends_alone);
    let record = server.attempt(&ends_alone.id, 1).join("exit.json");
    until("the agent ends without a server", || record.exists());
    server.start_again();

    let running = goes_on.detail();
    assert_eq!(
        (&running["status"], &running["pid"]),
        (&json!("running"), &json!(agent))
    );
    stop(&goes_on);
    for run in [&goes_on, &ends_alone] {
        let finished = run.wait_for("finished");
        assert_eq!(finished["exit_code"], 0);
        assert_eq!(
            finished["usage"]["output_tokens"], 50,
            "two calls, each once"
        );
        assert!(finished["cost_usd"].as_f64().is_some_and(|cost| cost > 0.0));
        assert!(finished["session_id"].is_string());
        assert_eq!(finished["attempts"].as_array().map(Vec::len), Some(1));
    }
}
