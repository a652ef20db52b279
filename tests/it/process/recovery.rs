//! The server dies, the supervisor dies, records are torn: what a later server finds.

#![expect(
    clippy::disallowed_methods,
    reason = "real processes that play a part: a starter that dies, an innocent one"
)]

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use agent_runner_api::process::{
    Attachment, Ended, Identity, Killed, StartError, Started, Supervised, attach, start,
};
use agent_runner_api::run::{EndedBy, Exit, Silence};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::stage::{PATIENCE, Stage, binary, ended, recorded, until};

/// What a server that does not answer may cost: two seconds for its silence, and the killing.
const SILENCE: Duration = Duration::from_secs(4);

fn signal(identity: &Identity, signal: Signal) {
    kill_process(Pid::from_raw(identity.pid).unwrap(), signal).unwrap();
}

async fn attached(stage: &Stage) -> Supervised {
    match attach(&stage.dir()).await.unwrap() {
        Attachment::Live(supervised) => supervised,
        other => panic!("{other:?}"),
    }
}

/// Starts it and waits until its script says `touch ready`.
async fn ready(stage: &Stage) -> Supervised {
    let supervised = stage.start().await;
    until("it is ready", || stage.work("ready").exists()).await;
    supervised
}

#[tokio::test]
async fn the_agent_outlives_who_started_its_supervisor() {
    let stage = Stage::of("touch ready\nwait-for go\nprint after\nexit 42");
    // What `start` does, done by a shell that is killed like a crashing server, with the report's reader gone.
    let launch = stage.dir().join("launch.json");
    fs::create_dir_all(stage.dir()).unwrap();
    let mut record = serde_json::to_value(&stage.launch).unwrap();
    record["version"] = json!(1);
    fs::write(&launch, record.to_string()).unwrap();
    let mut starter = Command::new("sh")
        .args(["-c", "\"$0\" supervise \"$1\" & wait"])
        .arg(binary())
        .arg(stage.dir())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("it is ready", || stage.work("ready").exists()).await;
    starter.kill().unwrap();
    starter.wait().unwrap();
    drop(starter.stdout.take());

    let supervised = attached(&stage).await;
    fs::write(stage.work("go"), "").unwrap();
    let record = recorded(&supervised).await;
    assert_eq!(
        (record.exit, record.ended_by),
        (Exit::Code(42), EndedBy::Itself)
    );
    assert_eq!(stage.output_text(), "after\n");
}

#[test]
fn an_agent_is_found_again_after_the_runtime_that_started_it_is_gone() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let stage = Stage::of("touch ready\nwait-for go\nexit 9");
    let started = runtime().block_on(async { ready(&stage).await.started().clone() });
    runtime().block_on(async {
        let supervised = attached(&stage).await;
        assert_eq!(supervised.started(), &started);
        fs::write(stage.work("go"), "").unwrap();
        assert_eq!(recorded(&supervised).await.exit, Exit::Code(9));
        let found = attach(&stage.dir()).await.unwrap();
        assert!(
            matches!(&found, Attachment::Ended(record) if record.exit == Exit::Code(9)),
            "{found:?}"
        );
    });
}

#[tokio::test]
async fn a_killed_supervisor_takes_its_agent_along_and_nobody_knows_the_exit() {
    let stage = Stage::of("touch ready\nwait-for never");
    let supervised = ready(&stage).await;
    let Started {
        supervisor, agent, ..
    } = supervised.started().clone();
    signal(&supervisor, Signal::KILL);
    until("the agent is gone", || !agent.alive().unwrap()).await;
    assert!(matches!(ended(&supervised).await, Ended::Lost(_)));
    assert!(matches!(
        attach(&stage.dir()).await.unwrap(),
        Attachment::Lost(_)
    ));
}

#[tokio::test]
async fn a_stopped_supervisor_is_woken_to_end_its_agent() {
    let stage = Stage::of("hold held\nspawn-setsid 3600 pid\ntouch ready\nwait-for never");
    let held = stage.held_fifo();
    ready(&stage).await;
    let supervised = attached(&stage).await;
    signal(&supervised.started().supervisor, Signal::STOP);
    until("it is stopped", || {
        supervised.held() == Some(Silence::Stopped)
    })
    .await;

    let begun = Instant::now();
    let killed = attached(&stage).await.kill(EndedBy::Stop).await;
    assert!(matches!(killed, Killed::Asked(_)), "{killed:?}");
    assert!(begun.elapsed() < SILENCE / 2, "{:?}", begun.elapsed());
    held.assert_all_gone_within(Duration::from_secs(1));
    let record = recorded(&supervised).await;
    assert_eq!(
        (record.exit, record.ended_by),
        (Exit::Signal(9), EndedBy::Stop)
    );
}

/// Here it is alive and at work, but its socket leads to somebody who never answers.
#[tokio::test]
async fn a_mute_supervisor_keeps_nobody_waiting_and_is_killed_with_all_it_had() {
    let stage = Stage::of(
        // The second one has no marker to be found by.
        "hold held\nspawn-setsid 3600 pid\nsh (env -i setsid sleep 3600 >/dev/null 2>&1 &)\ntouch ready\nwait-for never",
    );
    let held = stage.held_fifo();
    ready(&stage).await;
    let supervised = attached(&stage).await;
    let socket = stage.dir().join("control.sock");
    fs::remove_file(&socket).unwrap();
    let _mute = UnixListener::bind(&socket).unwrap();

    let begun = Instant::now();
    let supervised_again = attached(&stage).await;
    assert!(
        begun.elapsed() < SILENCE / 2,
        "attach: {:?}",
        begun.elapsed()
    );
    let begun = Instant::now();
    supervised_again.stop(EndedBy::Stop).await.unwrap_err();
    assert!(begun.elapsed() < SILENCE, "stop: {:?}", begun.elapsed());
    let begun = Instant::now();
    let killed = supervised_again.kill(EndedBy::Stop).await;
    assert!(begun.elapsed() < SILENCE, "kill: {:?}", begun.elapsed());
    assert!(
        matches!(killed, Killed::ByForce { swept: 3.., .. }),
        "{killed:?}"
    );
    held.assert_all_gone_within(Duration::from_secs(1));
    assert_eq!(ended(&supervised).await.exit(), Exit::Unknown);
}

/// A debugger cannot be argued with: nothing is asked, and nobody waits.
#[tokio::test]
async fn a_traced_supervisor_is_killed_at_once_with_all_it_had() {
    let stage = Stage::of("hold held\nspawn-setsid 3600 pid\ntouch ready\nwait-for never");
    let held = stage.held_fifo();
    let supervised = ready(&stage).await;
    let pid = nix::unistd::Pid::from_raw(supervised.started().supervisor.pid);
    if let Err(why) = nix::sys::ptrace::seize(pid, nix::sys::ptrace::Options::empty()) {
        println!("skipped: a traced supervisor, since this user may not trace: {why}");
        return;
    }
    nix::sys::ptrace::interrupt(pid).unwrap();
    until("it is held", || supervised.held() == Some(Silence::Traced)).await;

    let begun = Instant::now();
    let killed = supervised.kill(EndedBy::Stop).await;
    assert!(begun.elapsed() < SILENCE / 4, "{:?}", begun.elapsed());
    assert!(
        matches!(killed, Killed::ByForce { swept: 2.., .. }),
        "{killed:?}"
    );
    held.assert_all_gone_within(Duration::from_secs(1));
    assert_eq!(ended(&supervised).await.exit(), Exit::Unknown);
}

#[tokio::test]
async fn every_cut_of_the_exit_record_is_unknown_and_never_a_code() {
    let stage = Stage::of("exit 0");
    stage.run().await;
    let path = stage.dir().join("exit.json");
    let whole = fs::read(&path).unwrap();
    for length in [0, 1, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let found = attach(&stage.dir()).await.unwrap();
        assert!(matches!(found, Attachment::Lost(_)), "{length}: {found:?}");
    }
    fs::write(&path, &whole).unwrap();
    let found = attach(&stage.dir()).await.unwrap();
    assert!(matches!(found, Attachment::Ended(_)), "{found:?}");
}

#[tokio::test]
async fn a_torn_start_record_is_lost_and_its_processes_are_ended() {
    let stage = Stage::of("touch ready\nwait-for never");
    let supervised = ready(&stage).await;
    fs::write(stage.dir().join("started.json"), "{\"version\":1,\"ru").unwrap();
    let found = attach(&stage.dir()).await.unwrap();
    assert!(
        matches!(&found, Attachment::Lost(lost) if lost.swept == 1),
        "{found:?}"
    );
    ended(&supervised).await;
}

#[tokio::test]
async fn what_was_never_started_never_will_be() {
    let stage = Stage::of("touch ready");
    let found = attach(&stage.dir()).await.unwrap();
    assert!(
        matches!(found, Attachment::NeverStarted),
        "no folder: {found:?}"
    );

    // The server wrote its launch and died; its supervisor comes after the next server has looked.
    fs::create_dir_all(stage.dir()).unwrap();
    let mut record = serde_json::to_value(&stage.launch).unwrap();
    record["version"] = json!(1);
    fs::write(stage.dir().join("launch.json"), record.to_string()).unwrap();
    let found = attach(&stage.dir()).await.unwrap();
    assert!(matches!(found, Attachment::NeverStarted), "{found:?}");
    let late = Command::new(binary())
        .arg("supervise")
        .arg(stage.dir())
        .output()
        .unwrap();
    assert_eq!(late.status.code(), Some(1));
    assert!(!stage.work("ready").exists());
}

/// A supervisor that is stuck before it has started its agent: here a process that holds the launch's lock for ever.
#[tokio::test]
async fn a_supervisor_that_is_stuck_before_the_start_is_ended_within_seconds() {
    let stage = Stage::of("touch ready");
    fs::create_dir_all(stage.dir()).unwrap();
    fs::write(stage.dir().join("launch.json"), "{}").unwrap();
    let mut stuck = Command::new("flock")
        .args([
            "--no-fork",
            "launch.json",
            "sh",
            "-c",
            "touch held; exec sleep 3600",
        ])
        .current_dir(stage.dir())
        .spawn()
        .unwrap();
    until("it holds the lock", || stage.dir().join("held").exists()).await;
    let supervisor = identity_of(&stuck);
    let claim = json!({"version": 1, "supervisor": supervisor});
    fs::write(stage.dir().join("supervisor.json"), claim.to_string()).unwrap();
    let begun = Instant::now();
    let found = attach(&stage.dir()).await.unwrap();
    assert!(matches!(found, Attachment::NeverStarted), "{found:?}");
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(stuck.wait().unwrap().code(), None);
}

#[tokio::test]
async fn a_supervisor_in_the_middle_of_starting_is_waited_for() {
    let stage = Stage::of("wait-for go\nexit 4");
    // The start is begun and nobody waits for it: the server died.
    let dir = stage.dir();
    let begun = tokio::time::timeout(
        Duration::from_micros(1),
        start(binary(), &dir, &stage.launch, &stage.containment),
    )
    .await;
    drop(begun);
    until("the launch is written", || dir.join("launch.json").exists()).await;
    match attach(&dir).await.unwrap() {
        // The supervisor was faster with the lock: it is waited for until the agent runs.
        Attachment::Live(supervised) => {
            fs::write(stage.work("go"), "").unwrap();
            assert_eq!(recorded(&supervised).await.exit, Exit::Code(4));
        }
        // The look was faster: it is sealed, and the agent never comes.
        Attachment::NeverStarted => {
            let again = start(
                binary(),
                &dir.join("again"),
                &stage.launch,
                &stage.containment,
            )
            .await;
            fs::write(stage.work("go"), "").unwrap();
            assert_eq!(recorded(&again.unwrap()).await.exit, Exit::Code(4));
            assert!(!dir.join("started.json").exists());
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_pid_that_came_back_as_somebody_else_is_never_signalled() {
    let stage = Stage::of("exit 0");
    stage.run().await;
    fs::remove_file(stage.dir().join("exit.json")).unwrap();
    let mut innocent = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let mut other_start = serde_json::to_value(identity_of(&innocent)).unwrap();
    other_start["start_ticks"] = json!(1);
    change(&stage.dir().join("started.json"), |record| {
        record["supervisor"] = other_start.clone();
        record["agent"] = other_start.clone();
    });
    let found = attach(&stage.dir()).await.unwrap();
    assert!(
        matches!(&found, Attachment::Lost(lost) if lost.swept == 0),
        "{found:?}"
    );
    drop(innocent.stdin.take());
    assert_eq!(
        innocent.wait().unwrap().code(),
        Some(0),
        "it ended by itself"
    );
}

#[tokio::test]
async fn records_of_another_boot_are_lost_without_a_look_at_any_process() {
    let stage = Stage::of("touch ready\nwait-for go\nexit 6");
    let supervised = ready(&stage).await;
    let path = stage.dir().join("started.json");
    let before = fs::read(&path).unwrap();
    change(&path, |record| {
        record["supervisor"]["boot_id"] = json!("another");
        record["agent"]["boot_id"] = json!("another");
        record["attempt"] = json!(uuid::Uuid::now_v7());
    });
    let found = attach(&stage.dir()).await.unwrap();
    assert!(matches!(found, Attachment::Lost(_)), "{found:?}");
    fs::write(&path, before).unwrap();
    fs::write(stage.work("go"), "").unwrap();
    assert_eq!(
        recorded(&supervised).await.exit,
        Exit::Code(6),
        "it was left alone"
    );
}

#[tokio::test]
async fn a_directory_with_a_path_longer_than_a_sockets_works_all_the_way() {
    let stage = Stage::of("touch ready\nwait-for never");
    let long = stage.dir().join("d".repeat(100)).join("e".repeat(100));
    let supervised = start(binary(), &long, &stage.launch, &stage.containment)
        .await
        .unwrap();
    until("it is ready", || stage.work("ready").exists()).await;
    let found = attach(&long).await.unwrap();
    assert!(matches!(&found, Attachment::Live(live) if live.dir() == long));
    supervised.stop(EndedBy::Stop).await.unwrap();
    assert_eq!(recorded(&supervised).await.ended_by, EndedBy::Stop);
}

#[tokio::test]
async fn twenty_agents_are_all_found_again_with_their_own_exit_codes() {
    let stages: Vec<Stage> = (0..20)
        .map(|n| Stage::of(&format!("wait-for go\nprint {n}\nexit {n}")))
        .collect();
    for stage in &stages {
        stage.start().await;
    }
    for (n, stage) in (0..).zip(&stages) {
        let supervised = attached(stage).await;
        fs::write(stage.work("go"), "").unwrap();
        assert_eq!(recorded(&supervised).await.exit, Exit::Code(n));
        assert_eq!(stage.output_text(), format!("{n}\n"));
    }
}

#[tokio::test]
async fn a_start_that_is_refused_leaves_no_process() {
    let mut stage = Stage::of("");
    stage.launch.argv = vec!["/no/such/program".to_owned()];
    let outcome = start(binary(), &stage.dir(), &stage.launch, &stage.containment).await;
    assert!(
        matches!(outcome, Err(StartError::Refused(_))),
        "{outcome:?}"
    );
    let text = fs::read_to_string(stage.dir().join("started.json")).unwrap();
    let started: Started = serde_json::from_str(&text).unwrap();
    assert!(!started.agent.alive().unwrap());
    let begun = Instant::now();
    while started.supervisor.alive().unwrap() {
        assert!(begun.elapsed() < PATIENCE);
        tokio::task::yield_now().await;
    }
}

fn identity_of(child: &Child) -> Identity {
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    Identity::of(pid).unwrap()
}

fn change(path: &Path, edit: impl FnOnce(&mut Value)) {
    let mut record = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    edit(&mut record);
    fs::write(path, record.to_string()).unwrap();
}
