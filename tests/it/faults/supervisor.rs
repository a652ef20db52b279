//! Supervisors and agents killed, twenty of each kind: what is not known is `unknown`, and nothing is left. Those that
//! are only silent are in `silent.rs`.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::held::Held;
use crate::support::run::Run;
use crate::support::server::{Server, Setup};

use super::chance::times;
use super::figures::Figures;

/// On each server, as many as may work there at once with some slots left.
pub(super) const AGENTS: usize = 20;
/// Within this a run says what became of it; six times as long is given to ten at once on a machine that does other things too.
const UNKNOWN: Duration = Duration::from_secs(5);
/// Generous: two seconds on a machine that does nothing else.
const READY: Duration = Duration::from_secs(10);

/// One agent at work that has started a process of its own, which left its group.
pub(super) struct Agent<'a> {
    pub run: Run<'a>,
    pub held: Held,
}

pub(super) fn agents(server: &Server) -> Vec<Agent<'_>> {
    let all = (0..AGENTS).map(|n| {
        let held = Held::at(&server.at(&format!("marks/held-{n}")));
        let run = server.run_plain(&format!(
            "hold {}
             print {n}
             write work.txt {n}
             spawn-setsid-double-fork 1000 {}
             wait-for never",
            server.mark_path(&format!("held-{n}")),
            server.mark_path(&format!("ready-{n}"))
        ));
        Agent { run, held }
    });
    let all = all.collect();
    for n in 0..AGENTS {
        server.wait_for_mark(&format!("ready-{n}"));
    }
    all
}

/// Sends a signal to one process of the run's attempt: `supervisor` or `agent`.
pub(super) fn signal(server: &Server, run: &Run<'_>, who: &str, signal: Signal) {
    let started = fs::read(server.attempt(&run.id, 1).join("started.json")).unwrap();
    let started: Value = serde_json::from_slice(&started).unwrap();
    let pid = started[who]["pid"].as_i64().unwrap();
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    match kill_process(pid, signal) {
        // An agent may be gone with its supervisor already.
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => panic!("{who}: {error}"),
    }
}

/// Kills these processes of twenty agents: half of them beside the service, half while there is none.
fn killed(who: &[&str], code: &str) {
    for _ in 0..times(1) {
        let server = Setup::new().start();
        let agents = agents(&server);
        let (beside, alone) = agents.split_at(AGENTS / 2);
        let kill = |some: &[Agent<'_>]| {
            for agent in some {
                for who in who {
                    signal(&server, &agent.run, who, Signal::KILL);
                }
            }
        };
        let mut told = Figures::default();
        kill(beside);
        told.time(|| assert_all_failed(&server, beside, code));
        server.kill();
        kill(alone);
        let mut ready = Figures::default();
        ready.time(|| {
            server.start_again();
            server.get("/api/health").expect(200);
        });
        assert_all_failed(&server, &agents, code);
        println!("{who:?} killed, {AGENTS} in all: told {told}; ready {ready}");
        assert!(told.worst() < UNKNOWN * 6, "{told}");
        assert!(ready.worst() < READY, "{ready}");
    }
}

fn assert_all_failed(server: &Server, agents: &[Agent<'_>], code: &str) {
    for agent in agents {
        let ended = agent.run.wait_for("failed");
        assert_eq!(ended["failure"]["code"], code, "{ended:#}");
        assert_eq!(ended["exit_code"], Value::Null);
        let head = ended["head"].as_str().unwrap();
        assert!(server.repo.file(head, "work.txt").is_some());
        agent.held.assert_all_gone();
    }
}

/// Seen red: with `force::kill_all` taken out of `process::supervised::concluded`, what left the agent's group is left.
#[test]
fn a_killed_supervisor_is_unknown_and_leaves_nothing() {
    killed(&["supervisor"], "unknown");
}

/// Seen red: with the supervisor's sweep taken out, what left the agent's group is left.
#[test]
fn a_killed_agent_is_told_as_killed_and_leaves_nothing() {
    killed(&["agent"], "killed");
}

/// The protection is that of a killed supervisor; it was taken out, and seen red, there.
#[test]
fn a_killed_agent_and_supervisor_are_unknown_and_leave_nothing() {
    killed(&["supervisor", "agent"], "unknown");
}
