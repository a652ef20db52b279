//! What a start of an agent costs, counted: commits, processes, descriptors of the service.

use std::fs;

use crate::support::server::{Server, Setup};
use crate::support::wait::until;

/// The passages of all processes so far, in their order.
fn passages(server: &Server) -> Vec<String> {
    let lines = fs::read_to_string(server.at("marks/trace")).unwrap_or_default();
    let names = lines
        .lines()
        .filter_map(|line| Some(line.split_once(' ')?.1));
    names.map(str::to_owned).collect()
}

/// Not seen red as a test. strace counted four before: one for the request, one for the intent to make its place, one for the
/// place, one for the intent to start its agent.
#[test]
fn an_agent_works_after_two_commits_and_two_processes() {
    let setup = Setup::new();
    let trace = setup.at("marks/trace").display().to_string();
    let server = setup.variable("FAILPOINTS_TRACE", &trace).start();
    // What a service does once is done.
    server.run("write work.txt done").wait_for("finished");
    let before = passages(&server).len();
    let run = server.run("sleep 1000");
    let all = passages(&server);
    let at_work = all[before..]
        .iter()
        .position(|name| name == "supervise:agent.started");
    let until_then = &all[before..][..at_work.expect("its agent works")];
    let count = |wanted: &str| until_then.iter().filter(|name| *name == wanted).count();
    let seen = [
        "store.committed",
        "supervisor.spawn",
        "supervise:gate.spawn",
        "exec-gate:agent.exec",
    ]
    .map(|name| (name, count(name)));
    assert_eq!(
        seen,
        [
            ("store.committed", 2),
            ("supervisor.spawn", 1),
            ("supervise:gate.spawn", 1),
            ("exec-gate:agent.exec", 1),
        ],
        "{until_then:#?}"
    );
    run.abort().expect(200);
}

/// What the descriptors of the service lead to.
fn descriptors(server: &Server) -> Vec<String> {
    let folder = fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap();
    let links = folder.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.map(|link| link.display().to_string()).collect()
}

/// Not seen red as a test. Counted in `/proc` before, each run at work had three: an inotify of its own, its output, the pidfd.
#[test]
fn a_run_at_work_costs_the_service_one_descriptor() {
    const RUNS: usize = 5;
    let server = Server::start();
    let of_runs = server.at("state/runs").display().to_string();
    let runs: Vec<_> = (0..RUNS).map(|_| server.run("sleep 1000")).collect();
    let count = |part: &str| {
        let all = descriptors(&server);
        all.iter().filter(|link| link.contains(part)).count()
    };
    // Files are opened for moments.
    until("no file of a run is open", || count(&of_runs) == 0);
    until("each supervisor has its descriptor", || {
        count("pidfd") == RUNS
    });
    assert!(count("inotify") <= 1, "{:#?}", descriptors(&server));
    for run in runs {
        run.abort().expect(200);
    }
    until("none is left of runs that have ended", || {
        count("pidfd") == 0
    });
}
