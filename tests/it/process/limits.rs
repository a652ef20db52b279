//! Ends that the agent did not choose.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use agent_runner_api::process::{LaunchLimits, StopSignal, StopStep};
use agent_runner_api::run::{EndedBy, Exit};
use rustix::process::{Pid, Signal, kill_process};

use super::stage::{Stage, binary, recorded, until};

/// Longer than any test takes: who waits for it has not understood that now is now.
const FOR_EVER_MS: u64 = 3_600_000;

fn step(signal: StopSignal, grace_ms: u64) -> StopStep {
    StopStep { signal, grace_ms }
}

#[tokio::test]
async fn the_wall_clock_limit_ends_an_agent_that_prints_and_prints() {
    let mut stage = Stage::of("sh while :; do echo tick; sleep 0.02; done");
    stage.launch.limits.wall_clock_ms = Some(300);
    let record = stage.run().await;
    assert_eq!(record.ended_by, EndedBy::WallClock);
    assert!(record.duration_ms >= 300, "{record:?}");
}

#[tokio::test]
async fn the_idle_limit_ends_an_agent_that_has_fallen_silent_and_no_other() {
    let ticks = "sh for i in 1 2 3 4 5 6 7 8; do echo tick; sleep 0.1; done";
    let mut stage = Stage::of(&format!("{ticks}\nwait-for never"));
    stage.launch.limits.idle_ms = Some(700);
    let record = stage.run().await;
    assert_eq!(record.ended_by, EndedBy::Idle);
    assert_eq!(
        stage.output_text(),
        "tick\n".repeat(8),
        "not before it was silent"
    );
}

#[tokio::test]
async fn the_output_limit_ends_a_flood_at_once() {
    let mut stage = Stage::of("ignore INT\nignore TERM\nflood 400000000000");
    stage.launch.limits.output_bytes = Some(1_000_000);
    let record = stage.run().await;
    assert_eq!(
        (record.ended_by, record.exit),
        (EndedBy::OutputSize, Exit::Signal(9))
    );
    assert!(record.output_to > 1_000_000);
    assert_eq!(
        record.output_to,
        fs::metadata(&stage.launch.output).unwrap().len()
    );
}

#[tokio::test]
async fn limits_that_are_not_reached_change_nothing() {
    let mut stage = Stage::of("print-raw 1234\nexit 7");
    stage.launch.limits = LaunchLimits {
        wall_clock_ms: Some(FOR_EVER_MS),
        idle_ms: Some(FOR_EVER_MS),
        output_bytes: Some(4),
        ..LaunchLimits::default()
    };
    let record = stage.run().await;
    assert_eq!(
        (record.ended_by, record.exit),
        (EndedBy::Itself, Exit::Code(7))
    );
}

#[tokio::test]
async fn a_stop_asks_first_with_the_gentlest_signal() {
    let mut stage = Stage::of("touch ready\nwait-for never");
    stage.launch.stop = vec![step(StopSignal::Int, FOR_EVER_MS)];
    let supervised = stage.start().await;
    until("it is ready", || stage.work("ready").exists()).await;
    let status = supervised.stop(EndedBy::Stop).await.unwrap();
    assert_eq!(status.stopping, Some(EndedBy::Stop));
    let record = recorded(&supervised).await;
    assert_eq!(
        (record.ended_by, record.exit),
        (EndedBy::Stop, Exit::Signal(2))
    );
}

#[tokio::test]
async fn an_agent_that_ignores_the_first_signal_gets_the_second() {
    let mut stage = Stage::of("ignore INT\ntouch ready\nwait-for never");
    stage.launch.stop = vec![
        step(StopSignal::Int, 50),
        step(StopSignal::Term, FOR_EVER_MS),
    ];
    let supervised = stage.start().await;
    until("it is ready", || stage.work("ready").exists()).await;
    supervised.stop(EndedBy::Lingering).await.unwrap();
    let record = recorded(&supervised).await;
    assert_eq!(
        (record.ended_by, record.exit),
        (EndedBy::Lingering, Exit::Signal(15))
    );
}

#[tokio::test]
async fn an_agent_that_ignores_both_is_killed() {
    let mut stage = Stage::of("ignore INT\nignore TERM\ntouch ready\nwait-for never");
    stage.launch.stop = vec![step(StopSignal::Int, 50), step(StopSignal::Term, 50)];
    let supervised = stage.start().await;
    until("it is ready", || stage.work("ready").exists()).await;
    supervised.stop(EndedBy::Stop).await.unwrap();
    let record = recorded(&supervised).await;
    assert_eq!(
        (record.ended_by, record.exit),
        (EndedBy::Stop, Exit::Signal(9))
    );
}

#[tokio::test]
async fn asking_twice_means_now() {
    let mut stage = Stage::of("ignore INT\ntouch ready\nwait-for never");
    stage.launch.stop = vec![step(StopSignal::Int, FOR_EVER_MS)];
    let supervised = stage.start().await;
    until("it is ready", || stage.work("ready").exists()).await;
    supervised.stop(EndedBy::Lingering).await.unwrap();
    supervised.stop(EndedBy::Stop).await.unwrap();
    let record = recorded(&supervised).await;
    assert_eq!(
        (record.ended_by, record.exit),
        (EndedBy::Lingering, Exit::Signal(9))
    );
}

#[tokio::test]
async fn a_kill_does_not_ask() {
    let mut stage = Stage::of("touch ready\nwait-for never");
    stage.launch.stop = vec![step(StopSignal::Int, FOR_EVER_MS)];
    let supervised = stage.start().await;
    until("it is ready", || stage.work("ready").exists()).await;
    supervised.kill(EndedBy::Stop).await;
    let record = recorded(&supervised).await;
    assert_eq!(
        (record.ended_by, record.exit),
        (EndedBy::Stop, Exit::Signal(9))
    );
}

#[tokio::test]
async fn a_term_for_the_supervisor_is_a_stop_of_the_agent() {
    let stage = Stage::of("touch ready\nwait-for never");
    let supervised = stage.start().await;
    until("it is ready", || stage.work("ready").exists()).await;
    let supervisor = Pid::from_raw(supervised.started().supervisor.pid).unwrap();
    kill_process(supervisor, Signal::TERM).unwrap();
    let record = recorded(&supervised).await;
    assert_eq!(
        (record.ended_by, record.exit),
        (EndedBy::Stop, Exit::Signal(2))
    );
}

/// Red with the sockets left blocking, and with the limit on their number taken out.
#[tokio::test]
async fn silent_and_nonsensical_clients_keep_nobody_waiting() {
    let stage = Stage::of("touch ready\nwait-for never");
    let supervised = stage.start().await;
    let connect = || UnixStream::connect(stage.dir().join("control.sock")).unwrap();
    let silent: Vec<UnixStream> = (0..40).map(|_| connect()).collect();
    for nonsense in [&b"\xff\xfe{}\n"[..], b"{\"stop\":\n", &[b'x'; 100_000]] {
        // The supervisor may hang up before all of it is said.
        let _refused = connect().write_all(nonsense);
    }
    let mut unknown = connect();
    unknown.write_all(b"{\"dance\":{}}\n").unwrap();
    let mut answer = String::new();
    unknown.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("{\"error\":"), "{answer}");

    let begun = Instant::now();
    supervised.status().await.unwrap();
    let descriptors = format!("/proc/{}/fd", supervised.started().supervisor.pid);
    let open = fs::read_dir(descriptors).unwrap().count();
    assert!(open < 40, "{open} descriptors");
    supervised.kill(EndedBy::Stop).await;
    let record = recorded(&supervised).await;
    assert_eq!(record.ended_by, EndedBy::Stop);
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    drop(silent);
}

/// Seen red without the handlers that the gate installs right before its exec: the stop then waits for ever.
#[tokio::test]
async fn what_was_ignored_where_the_service_was_started_is_not_ignored_by_the_agent() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut stage = Stage::of("touch ready\nwait-for never");
    stage.launch.stop = vec![step(StopSignal::Int, FOR_EVER_MS)];
    let folder = tempfile::tempdir().unwrap();
    let deaf = folder.path().join("deaf");
    let program = binary().display();
    let script = format!("#!/bin/sh\ntrap '' HUP INT QUIT TERM CHLD\nexec {program} \"$@\"\n");
    std::fs::write(&deaf, script).unwrap();
    std::fs::set_permissions(&deaf, std::fs::Permissions::from_mode(0o755)).unwrap();
    let supervised =
        agent_runner_api::process::start(&deaf, &stage.dir(), &stage.launch, &stage.containment)
            .await
            .unwrap();
    until("it is ready", || stage.work("ready").exists()).await;
    supervised.stop(EndedBy::Stop).await.unwrap();
    let record = recorded(&supervised).await;
    assert_eq!(
        (record.ended_by, record.exit),
        (EndedBy::Stop, Exit::Signal(2))
    );
}
