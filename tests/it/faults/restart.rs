//! Fifty agents at work while the service is stopped, its program replaced, and the service started again.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::frames::output_of;
use crate::support::run::Run;
use crate::support::server::{Server, Setup};
use crate::support::wait::until;

use super::figures::Figures;

const AGENTS: usize = 50;
/// Generous: two seconds on a machine that does nothing else.
const READY: Duration = Duration::from_secs(10);
/// What an agent floods its output with.
const LINE: &[u8] = b"a line of a flood, again and again\n";

/// When an agent ends: before the stop, while no service is there, or after it.
const ENDS: [&str; 3] = ["before", "while-down", "after"];

fn ends(n: usize) -> &'static str {
    ENDS[n % ENDS.len()]
}

fn exit_code(n: usize) -> usize {
    if n.is_multiple_of(7) { 0 } else { n + 10 }
}

fn script(server: &Server, n: usize) -> String {
    let waits = ENDS.iter().map(|when| {
        let going = format!("wait-for {}\nflood {}", server.mark_path(when), 1000 + n);
        format!("{going}\nprint agent {n} {when}")
    });
    let until_end = ends(n);
    let last = ENDS.iter().position(|when| *when == until_end).unwrap();
    let steps: Vec<_> = waits.take(last + 1).collect();
    format!("{}\nexit {}", steps.join("\n"), exit_code(n))
}

/// Every byte that the agent prints.
fn output(n: usize) -> Vec<u8> {
    let last = ENDS.iter().position(|when| *when == ends(n)).unwrap();
    let flood: Vec<u8> = LINE.iter().copied().cycle().take(1000 + n).collect();
    let steps = ENDS.iter().take(last + 1);
    steps
        .flat_map(|when| [flood.clone(), format!("agent {n} {when}\n").into_bytes()].concat())
        .collect()
}

/// Another program under the same path: the same code, other bytes.
fn put_program(path: &Path, ending: &str) {
    let aside = path.with_extension("new");
    fs::copy(env!("CARGO_BIN_EXE_agent_runner_api"), &aside).unwrap();
    let mut file = fs::File::options().append(true).open(&aside).unwrap();
    std::io::Write::write_all(&mut file, ending.as_bytes()).unwrap();
    drop(file);
    fs::rename(&aside, path).unwrap();
}

fn wait_for_ends(server: &Server, runs: &[Run<'_>], when: &str) {
    server.mark(when);
    until(when, || {
        let ended = |n: usize| server.attempt(&runs[n].id, 1).join("exit.json").exists();
        (0..AGENTS).filter(|n| ends(*n) == when).all(ended)
    });
}

/// Seen red: with the exit records that `runner::recover` finds taken for lost, the agents that ended while no service was
/// there have no exit code.
#[test]
fn fifty_agents_outlive_a_stop_and_a_new_program_and_lose_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("service");
    put_program(&program, "old");
    let server = Setup::new()
        .program(&program)
        .flag("--max-running", "60")
        .start();
    let runs: Vec<_> = (0..AGENTS)
        .map(|n| server.run_plain(&script(&server, n)))
        .collect();
    wait_for_ends(&server, &runs, "before");

    let (mut stopped, mut ready) = (Figures::default(), Figures::default());
    let status = stopped.time(|| server.terminate());
    assert!(status.success(), "{status}");
    put_program(&program, "new");
    wait_for_ends(&server, &runs, "while-down");
    ready.time(|| {
        server.start_again();
        server.get("/api/health").expect(200);
    });
    let at_work = (0..AGENTS).filter(|n| ends(*n) == "after").count();
    until("those that ended are told", || {
        server.get("/api/health").expect(200)["running"] == at_work
    });
    // Supervisors of the old program and agents of the new one at once.
    let late = server.run_plain("print late\nexit 3");
    assert_eq!(late.wait_for("failed")["exit_code"], 3);
    server.mark("after");
    for (n, run) in runs.iter().enumerate() {
        let expected = if exit_code(n) == 0 {
            "finished"
        } else {
            "failed"
        };
        let ended = run.wait_for(expected);
        assert_eq!(ended["exit_code"], exit_code(n), "agent {n}");
        assert_eq!(ended["attempts"].as_array().unwrap().len(), 1, "agent {n}");
        assert!(run.output() == output(n), "agent {n}: other bytes are kept");
        let told = run.frames(Some("0")).until_status(expected);
        assert!(
            output_of(&told) == output(n),
            "agent {n}: other bytes are told"
        );
    }
    println!("stopped: {stopped}; ready with {AGENTS} agents: {ready}");
    assert!(ready.worst() < READY, "{ready}");
}
