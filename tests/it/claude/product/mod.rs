//! The real Claude Code through the whole product: the real binary, real git, a real SQLite; the model's API alone is
//! faked. What the agent itself does in each case is tested beside this; here it is what the service makes of it.

mod command_line;
mod endings;
mod given;
mod killed;
mod limits;
mod own_run;
mod session;
mod told;
mod walk;

use std::os::unix::fs::symlink;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::claude_program::{claude_for_tests, wait_for_file};
use crate::support::frames::Frame;
use crate::support::mock_api::{Answer, MockApi, Scenario};
use crate::support::run::Run;
use crate::support::server::{Server, Setup};
use crate::support::wait::PATIENCE;

/// The model of all runs here: one whose price the agent knows.
const MODEL: &str = "claude-sonnet-4-5";

/// A server whose `claude` is the real one, and the API that its agents talk to.
struct Product {
    server: Server,
    api: MockApi,
}

impl Product {
    /// `None` where there is no Claude Code.
    #[track_caller]
    fn start() -> Option<Product> {
        Product::of(Setup::new())
    }

    /// One that can be started again where its agents know it.
    #[track_caller]
    fn start_on_a_port_of_its_own() -> Option<Product> {
        Product::of(Setup::new().on_a_port_of_its_own())
    }

    #[track_caller]
    fn of(setup: Setup) -> Option<Product> {
        let claude = claude_for_tests()?;
        let api = MockApi::start();
        let setup = setup.without_claude();
        // As people have it: a link to the link that npm made.
        symlink(claude, setup.at("bin/claude")).unwrap();
        let server = setup
            .variable("ANTHROPIC_API_KEY", "sk-test")
            .variable("ANTHROPIC_BASE_URL", &api.url())
            .variable("CLAUDE_CODE_MAX_RETRIES", "1")
            // What no agent gets unless its workflow says so.
            .variable("OF_THE_SERVICE", "its own")
            .flag("--max-running", "8")
            .start();
        Some(Product { server, api })
    }

    /// A run whose model says what the scenario has.
    #[track_caller]
    fn run(&self, scenario: Scenario) -> Run<'_> {
        self.run_with(scenario, &json!({}))
    }

    /// The same, with limits.
    #[track_caller]
    fn run_with(&self, scenario: Scenario, limits: &Value) -> Run<'_> {
        let prompt = format!("do what the test says {}", self.api.mark(scenario));
        let body = json!({"mode": "prompt", "prompt": prompt, "model": MODEL, "limits": limits});
        let created = self.server.create(&body).expect(201);
        assert_eq!(created["status"], "running", "{created:#}");
        Run::of(&self.server, &created)
    }

    /// The code and the detail with which a run of this scenario fails.
    #[track_caller]
    fn failure(&self, scenario: Scenario, limits: &Value) -> (String, String) {
        let failed = self.run_with(scenario, limits).wait_for("failed");
        failure_of(&failed)
    }
}

/// The run when its second attempt is at its end, which must be this one.
#[track_caller]
fn second_end(run: &Run<'_>, status: &str) -> Value {
    let end = run.wait_for(status);
    assert_eq!(end["attempts"].as_array().map(Vec::len), Some(2), "{end:#}");
    end
}

#[track_caller]
fn failure_of(run: &Value) -> (String, String) {
    let text = |name: &str| run["failure"][name].as_str().map(str::to_owned);
    match (text("code"), text("detail")) {
        (Some(code), Some(detail)) => (code, detail),
        _ => panic!("no failure: {run:#}"),
    }
}

/// A command that tells its shell's pid and goes on for a minute.
fn long_command() -> Answer {
    Answer::bash("echo $$ > tool.pid.new; mv tool.pid.new tool.pid; sleep 60; echo never")
}

/// The pids of a run in the middle of a tool: the agent's and the tool's.
#[track_caller]
fn in_mid_tool(run: &Run<'_>) -> (i32, i32) {
    let told = wait_for_file(&run.worktree.join("tool.pid"), PATIENCE);
    let tool = told.trim().parse().expect("the tool tells its pid");
    let agent = run.detail()["pid"].as_i64().expect("it is running");
    let agent = i32::try_from(agent).expect("it is a pid");
    assert!(is_alive(agent) && is_alive(tool));
    (agent, tool)
}

/// Whether this process runs; one that only waits to be reaped does not.
fn is_alive(pid: i32) -> bool {
    stat(pid).is_some_and(|stat| !matches!(stat[0].as_str(), "Z" | "X"))
}

fn parent(pid: i32) -> i32 {
    let stat = stat(pid).expect("it is alive");
    stat[1].parse().expect("proc_pid_stat(5)")
}

/// What `/proc` says of a process after its name: its state, its parent …
fn stat(pid: i32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    Some(after_name.split_whitespace().map(str::to_owned).collect())
}

/// SIGKILL to this process alone.
fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL).expect("it is alive");
}

/// What the agent did, as the frames tell it.
fn events(frames: &[Frame]) -> Vec<Value> {
    let output = frames.iter().filter(|frame| frame.name == "output");
    let events = output.flat_map(|frame| frame.json["events"].as_array().expect("a list").clone());
    events.collect()
}

/// The events of one type.
fn of_type<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events
        .iter()
        .filter(|event| event["type"] == name)
        .collect()
}

/// The stream of a run from its beginning until it says this status.
#[track_caller]
fn replayed(run: &Run<'_>, server: &Server, status: &str) -> Vec<Frame> {
    let mut frames = server.frames(&run.path("/sse?after=0"), None);
    frames.until_status(status)
}
