//! The processes of runs.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use agent_runner_api::process::RUN_MARKER;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{assert_found_and_left, assert_found_and_mended, found, started};
use crate::support::server::Server;
use crate::support::wait::until;

/// A process that says it belongs to a run; it lives as long as its standard input.
#[expect(clippy::disallowed_methods, reason = "a process that got away")]
fn marked(run: &str) -> Child {
    Command::new("/bin/cat")
        .env(RUN_MARKER, run)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_process_of_a_run_that_has_ended_is_ended() {
    let server = started();
    let run = server.finished("print done");
    server.check_world();
    let mut left = marked(&run.id);
    // Waiting would close it, and end the process kindly.
    let _open = left.stdin.take();
    assert_found_and_mended(&server, "process_left", &format!("pid {}", left.id()));
    assert!(!left.wait().unwrap().success());
}

#[test]
fn a_start_ends_what_is_left_of_runs_that_have_ended() {
    let server = started();
    let run = server.run("sleep 1000");
    run.abort().expect(200);
    server.kill();
    let mut left = marked(&run.id);
    // Waiting would close it, and end the process kindly.
    let _open = left.stdin.take();
    server.start_again();
    assert!(!left.wait().unwrap().success());
    server.check_world();
}

#[test]
fn processes_of_runs_at_work_and_of_other_services_are_let_alone() {
    let server = started();
    let run = server.run("sleep 1000");
    let mut at_work = marked(&run.id);
    let mut foreign = marked("01934e2a-0000-7000-8000-0123456789ab");
    server.check_world();
    super::fix(&server, false);
    for process in [&mut at_work, &mut foreign] {
        assert!(process.try_wait().unwrap().is_none());
        process.kill().unwrap();
        process.wait().unwrap();
    }
    run.abort().expect(200);
}

#[test]
fn an_agent_that_is_killed_while_no_server_is_there_leaves_nothing_to_mend() {
    let server = started();
    let run = server.run("sleep 1000");
    let pid = run.detail()["pid"].as_i64().unwrap();
    server.kill();
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    let exit = server.attempt(&run.id, 1).join("exit.json");
    until("its supervisor has seen it", || exit.exists());
    server.start_again();
    run.wait_for("failed");
    assert_eq!(found(&server), []);
}

#[test]
fn a_running_run_whose_agent_is_gone_is_told_until_its_end_is_recorded() {
    let server = started();
    let run = server.run("sleep 1000");
    let started = fs::read(server.attempt(&run.id, 1).join("started.json")).unwrap();
    let started: Value = serde_json::from_slice(&started).unwrap();
    let pid = |who: &str| {
        let pid = started[who]["pid"].as_i64().unwrap();
        Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
    };
    // A supervisor that is stuck cannot tell that its agent has ended; one that a debugger holds is not woken.
    let supervisor = nix::unistd::Pid::from_raw(pid("supervisor").as_raw_nonzero().get());
    if let Err(why) = nix::sys::ptrace::seize(supervisor, nix::sys::ptrace::Options::empty()) {
        println!("SKIPPED: an agent whose end nobody tells, since this user may not trace: {why}");
        return;
    }
    nix::sys::ptrace::interrupt(supervisor).unwrap();
    until("it is held", || state(pid("supervisor")) == 't');
    kill_process(pid("agent"), Signal::KILL).unwrap();
    until("its agent is gone", || state(pid("agent")) == 'Z');
    let at = format!("pid {}", pid("agent"));
    assert_found_and_left(&server, "process_missing", &at);
    nix::sys::ptrace::detach(supervisor, None).unwrap();
    run.wait_for("failed");
    server.check_world();
}

/// The letter of a process that is there (proc_pid_stat(5)).
fn state(pid: Pid) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit(") ").next().unwrap();
    after_name.chars().next().unwrap()
}

/// The folder of all attempts' cgroups, if this machine lets the server have any; and that of this attempt.
fn cgroups(server: &Server, run: &str) -> Option<(PathBuf, PathBuf)> {
    let started = fs::read(server.attempt(run, 1).join("started.json")).unwrap();
    let started: Value = serde_json::from_slice(&started).unwrap();
    let Some(path) = started["cgroup"]["path"].as_str() else {
        eprintln!("skipped: a test of cgroups that are left: no cgroup may be made here");
        return None;
    };
    let path = PathBuf::from(path);
    Some((path.parent().unwrap().to_owned(), path))
}

/// Red without `check_cgroups`.
#[test]
fn a_cgroup_of_a_run_that_has_ended_is_ended_and_removed() {
    let server = started();
    let run = server.finished("print done");
    let Some((_, cgroup)) = cgroups(&server, &run.id) else {
        return;
    };
    server.check_world();
    fs::create_dir(&cgroup).unwrap();
    let mut left = marked("not a run");
    fs::write(cgroup.join("cgroup.procs"), left.id().to_string()).unwrap();
    // Waiting would close it, and end the process kindly.
    let _open = left.stdin.take();
    assert_found_and_mended(&server, "cgroup_left", cgroup.to_str().unwrap());
    assert!(!left.wait().unwrap().success());
    assert!(!cgroup.exists());
}

#[test]
fn cgroups_of_runs_at_work_and_of_other_services_are_let_alone() {
    let server = started();
    let run = server.run("sleep 1000");
    let Some((all, at_work)) = cgroups(&server, &run.id) else {
        return;
    };
    let foreign = all.join("agent_runner-01934e2a-0000-7000-8000-0123456789ab-1");
    fs::create_dir(&foreign).unwrap();
    server.check_world();
    super::fix(&server, false);
    assert!(at_work.exists() && foreign.exists());
    fs::remove_dir(&foreign).unwrap();
    run.abort().expect(200);
    assert!(!at_work.exists());
}

/// Both killed, and the machine's other work goes on: the next server takes away what nobody else could.
#[test]
fn a_start_takes_away_the_cgroups_of_what_ended_meanwhile() {
    let server = started();
    let run = server.run("wait-for go\nexit 3");
    let Some((_, cgroup)) = cgroups(&server, &run.id) else {
        return;
    };
    server.kill();
    fs::write(run.worktree.join("go"), "").unwrap();
    let exit = server.attempt(&run.id, 1).join("exit.json");
    until("its supervisor has seen it", || exit.exists());
    assert!(cgroup.exists());
    server.start_again();
    run.wait_for("failed");
    until("it is taken away", || !cgroup.exists());
    server.check_world();
}
