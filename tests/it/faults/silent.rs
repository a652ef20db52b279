//! Supervisors that say nothing: stopped, mute, or stuck before they have started their agent. The run tells it, the agent
//! goes on, its limits hold, an abort works, and no start waits for them.

use std::fs;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::frames::Frames;
use crate::support::held::Held;
use crate::support::run::Run;
use crate::support::server::{Server, Setup};
use crate::support::wait::until;

use super::figures::Figures;
use super::supervisor::{AGENTS, Agent, agents, signal};

/// Within this a run tells that its supervisor is stopped.
const TOLD: Duration = Duration::from_secs(5);
/// What twenty silent ones may add to a start: nothing, but the machine does other things too. One after the other, they
/// would add forty seconds.
const LATER: Duration = Duration::from_secs(5);
/// Twenty at once, which waited for one after the other would take forty seconds for their supervisors alone.
const ABORTS: Duration = Duration::from_secs(30);
/// The five questions of a vigil, two seconds each, and two seconds between them where they are answered at once.
const MUTE: Duration = Duration::from_secs(20);

/// Waits for the frame that says how it is with the supervisor.
fn told(frames: &mut Frames, silent: &Value) {
    frames.until(|frame| {
        let told = frame.json.get("supervisor_silent");
        frame.name == "status" && told.is_some_and(|told| told == silent)
    });
}

/// Does it for each at once; how long each took.
fn at_once<'a, T: Sync>(all: &'a [T], what: impl Fn(&'a T) + Sync) -> Figures {
    let mut figures = Figures::default();
    let what = &what;
    thread::scope(|scope| {
        let tasks: Vec<_> = all
            .iter()
            .map(|one| {
                scope.spawn(move || {
                    let begun = Instant::now();
                    what(one);
                    begun.elapsed()
                })
            })
            .collect();
        for task in tasks {
            figures.add(task.join().unwrap());
        }
    });
    figures
}

fn start_again(server: &Server) -> Figures {
    let mut ready = Figures::default();
    ready.time(|| {
        server.start_again();
        server.get("/api/health").expect(200);
    });
    ready
}

/// Seen red: with the vigil not looking at the state of the process, it still waited for a word after a minute and a half; not
/// waking it, after half a minute. Somebody who traces a supervisor (`t`) is not tried here.
#[test]
fn stopped_supervisors_are_told_within_five_seconds_and_woken_and_their_agents_go_on() {
    let server = Server::start();
    let runs: Vec<_> = (0..AGENTS)
        .map(|n| {
            let go = server.mark_path("go");
            server.run_plain(&format!(
                "print before {n}\nwait-for {go}\nprint after {n}\nexit {}",
                n + 1
            ))
        })
        .collect();
    let figures = at_once(&runs, |run| {
        let mut frames = run.frames(None);
        signal(&server, run, "supervisor", Signal::STOP);
        told(&mut frames, &json!("stopped"));
    });
    let mut frames: Vec<_> = runs.iter().map(|run| run.frames(Some("0"))).collect();
    for (run, frames) in runs.iter().zip(&mut frames) {
        told(frames, &json!("stopped"));
        told(frames, &Value::Null);
        assert_eq!(run.detail()["supervisor_silent"], Value::Null);
    }
    server.mark("go");
    for (n, run) in runs.iter().enumerate() {
        let ended = run.wait_for("failed");
        assert_eq!(ended["exit_code"], n + 1, "{ended:#}");
        assert_eq!(run.output(), format!("before {n}\nafter {n}\n").as_bytes());
    }
    server.check_world();
    println!(
        "{AGENTS} supervisors stopped: told {figures}; {} over {TOLD:?}",
        figures.over(TOLD)
    );
    // All at once on few cores: twice the promise for the last of them.
    assert!(figures.worst() < TOLD * 2, "{figures}");
}

/// Seen red: with `News::Over` passed over, the run is not over after a minute.
#[test]
fn a_supervisor_that_somebody_keeps_stopped_is_told_so_and_its_agents_limit_holds() {
    let limit = Duration::from_secs(15);
    let server = Server::start();
    let held = Held::at(&server.at("marks/held"));
    let script = format!(
        "hold {}\nwrite work.txt half\nspawn-setsid-double-fork 1000 {}\nsleep 1000",
        server.mark_path("held"),
        server.mark_path("away")
    );
    let begun = Instant::now();
    let run = server.run_with(&script, &json!({"limits": {"timeout_s": limit.as_secs()}}));
    server.wait_for_mark("away");
    let mut frames = run.frames(None);
    for _ in 0..3 {
        signal(&server, &run, "supervisor", Signal::STOP);
        told(&mut frames, &json!("stopped"));
        told(&mut frames, &Value::Null);
    }
    signal(&server, &run, "supervisor", Signal::STOP);
    told(&mut frames, &json!("stopped"));
    let detail = run.detail();
    assert_eq!(detail["status"], "running");
    assert_eq!(detail["supervisor_silent"], "stopped");
    let failed = run.wait_for("failed");
    println!(
        "a limit of {limit:?} held without the supervisor: {:?}",
        begun.elapsed()
    );
    assert_eq!(failed["failure"]["code"], "wall_clock_limit", "{failed:#}");
    assert_eq!(failed["exit_code"], Value::Null);
    assert_eq!(failed["supervisor_silent"], Value::Null);
    assert!(begun.elapsed() > limit, "{:?}", begun.elapsed());
    held.assert_all_gone();
    let head = failed["head"].as_str().unwrap();
    assert_eq!(server.repo.file(head, "work.txt").unwrap(), "half\n");
    server.check_world();
}

/// Seen red, of an older state: with runs taken up one after the other and each supervisor asked how it is. Taken up one
/// after the other alone it stays green: nobody who is taken up is asked any more.
#[test]
fn twenty_stopped_supervisors_hold_up_neither_a_start_nor_an_abort() {
    let server = Server::start();
    let agents = agents(&server);
    server.kill();
    let undisturbed = start_again(&server);
    server.kill();
    for agent in &agents {
        signal(&server, &agent.run, "supervisor", Signal::STOP);
    }
    let ready = start_again(&server);
    for agent in &agents {
        assert_eq!(agent.run.status(), "running");
    }
    server.finished("print others go on");
    // Some are woken by then, and some are not: an abort wakes them.
    for agent in &agents {
        signal(&server, &agent.run, "supervisor", Signal::STOP);
    }
    let aborts = at_once(&agents, |agent| aborted(agent, "stopped"));
    until("all slots are free", || {
        server.get("/api/health").expect(200)["running"] == 0
    });
    server.check_world();
    println!(
        "{AGENTS} supervisors stopped: ready {ready}, undisturbed {undisturbed}; aborts {aborts}"
    );
    assert!(ready.worst() < undisturbed.worst() + LATER, "{ready}");
    assert!(aborts.worst() < ABORTS, "{aborts}");
}

fn aborted(agent: &Agent<'_>, code: &str) {
    agent.run.abort().expect(200);
    let detail = agent.run.detail();
    assert_eq!(detail["status"], "aborted");
    let end = &detail["attempts"][0];
    assert_eq!(end["failure"]["code"], code, "{end:#}");
    assert_eq!(end["exit_code"], Value::Null);
    agent.held.assert_all_gone();
}

/// They work, but their sockets lead to somebody who never answers: each question costs its two seconds.
///
/// Seen red: with one lock around all questions, the twentieth run tells it after minutes.
#[test]
fn twenty_mute_supervisors_are_found_out_side_by_side_and_ended_unasked() {
    let server = Server::start();
    let agents = agents(&server);
    server.kill();
    let undisturbed = start_again(&server);
    server.kill();
    let _mute: Vec<_> = agents
        .iter()
        .map(|agent| mute(&server, &agent.run))
        .collect();
    let ready = start_again(&server);
    let found = at_once(&agents, |agent| {
        told(&mut agent.run.frames(Some("0")), &json!("mute"));
    });
    for agent in &agents {
        assert_eq!(agent.run.detail()["supervisor_silent"], "mute");
    }
    let aborts = at_once(&agents, |agent| aborted(agent, "unknown"));
    println!(
        "{AGENTS} supervisors mute: ready {ready}, undisturbed {undisturbed}; told {found}; aborts {aborts}"
    );
    assert!(ready.worst() < undisturbed.worst() + LATER, "{ready}");
    assert!(found.worst() < MUTE * 2, "{found}");
    assert!(aborts.worst() < ABORTS, "{aborts}");
}

/// Somebody who never answers, in the place of the run's supervisor. Its socket's path has at most 107 bytes.
fn mute(server: &Server, run: &Run<'_>) -> UnixListener {
    let aside = server.at(&format!("m{}", run.id));
    let socket = server.attempt(&run.id, 1).join("control.sock");
    let listener = UnixListener::bind(&aside).unwrap();
    fs::rename(&aside, &socket).unwrap();
    listener
}

/// Their standard error is a FIFO that nobody reads: they hang before their agent's start, and hold its launch.
///
/// Seen red: with the runs taken up one after the other it was not over when it was ended after 41 s.
#[test]
fn twenty_supervisors_stuck_before_their_agents_start_cost_a_start_two_seconds_together() {
    let most = AGENTS.to_string();
    let server = Setup::new().flag("--max-running", &most).start();
    let go = server.mark_path("go");
    let first: Vec<_> = (0..AGENTS)
        .map(|_| server.run(&format!("wait-for {go}")))
        .collect();
    let stuck: Vec<_> = (0..AGENTS)
        .map(|n| server.queued(&format!("write work.txt {n}")))
        .collect();
    for run in &stuck {
        let dir = server.attempt(&run.id, 1);
        fs::create_dir_all(&dir).unwrap();
        rustix::fs::mknodat(
            CWD,
            dir.join("stderr"),
            FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
    }
    server.mark("go");
    for run in &first {
        run.wait_for("finished");
    }
    for run in &stuck {
        let claim = server.attempt(&run.id, 1).join("supervisor.json");
        until("its supervisor has the launch", || claim.exists());
    }
    server.kill();
    let ready = start_again(&server);
    for run in &stuck {
        let ended = run.wait_for("finished");
        assert_eq!(ended["attempts"].as_array().unwrap().len(), 2, "{ended:#}");
    }
    server.check_world();
    println!("{AGENTS} supervisors stuck before the start: ready {ready}");
    assert!(ready.worst() < Duration::from_secs(2) + LATER, "{ready}");
}
