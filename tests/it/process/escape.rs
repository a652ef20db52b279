//! Every way that we know to leave a process group, and none that leaves a survivor.
//!
//! The seven: a plain child, a session of its own, an orphan, an orphan in a session of its own, one that forks and exits
//! for ever, one that takes a new session with each fork, and one in a process namespace of its own. Each also without
//! the marker in its environment, as far as the supervisor lives: where it was killed, the marker is all there is.
//!
//! Red with the sweep taken out of the supervisor (what was killed is then only the process group), and with
//! `PR_SET_CHILD_SUBREAPER` taken out (orphans then belong to init).

use std::time::{Duration, Instant};

use agent_runner_api::process::{Killed, sweep_marked};
use agent_runner_api::run::{EndedBy, Exit};
use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};

use super::stage::{Held, Stage, ended, recorded, until};

/// Survivors of an attempt that is over: there are none from the beginning.
const AT_ONCE: Duration = Duration::from_secs(1);

fn stage(escape: &str, then: &str) -> (Stage, Held) {
    let stage = Stage::of(&format!("hold held\n{escape}\n{then}"));
    let held = stage.held_fifo();
    (stage, held)
}

#[rstest]
#[case::plain("spawn-child 3600 pid")]
#[case::setsid("spawn-setsid 3600 pid")]
#[case::double_fork("spawn-double-fork 3600 pid")]
#[case::setsid_and_double_fork("spawn-setsid-double-fork 3600 pid")]
#[case::nohup("spawn-nohup 3600 pid")]
#[case::shell_in_the_background("sh (setsid nohup sleep 3600 >/dev/null 2>&1 &) ; touch pid")]
#[case::hopper("hopper pid")]
#[case::fast_hopper("sh (perl -e 'while (1) { fork and exit }' >/dev/null 2>&1 &) ; touch pid")]
#[case::session_hopper(
    "sh (perl -e 'use POSIX; while (1) { fork and exit; POSIX::setsid() }' >/dev/null 2>&1 &) ; touch pid"
)]
#[case::namespaces(
    "sh (unshare --user --map-root-user --pid --mount-proc --fork setsid sleep 3600 >/dev/null 2>&1 &) ; touch pid"
)]
#[tokio::test]
async fn nothing_is_left(
    #[case] escape: &str,
    #[values("its own end", "a stop", "an abort", "the death of its supervisor")] by: &str,
) {
    if escape.contains("unshare") && !namespaces() {
        println!("skipped: namespaces, since this user may not make any");
        return;
    }
    nothing_is_left_of(escape, by).await;
}

/// The marker is gone; the supervisor finds them as what they are, its descendants.
#[rstest]
#[case::plain("sh (env -i sleep 3600 >/dev/null 2>&1 &) ; touch pid")]
#[case::setsid("sh (env -i setsid sleep 3600 >/dev/null 2>&1 &) ; touch pid")]
#[case::hopper(
    "sh (env -i perl -e 'use POSIX; while (1) { fork and exit; POSIX::setsid() }' >/dev/null 2>&1 &) ; touch pid"
)]
#[tokio::test]
async fn nothing_is_left_that_has_cleared_its_environment(
    #[case] escape: &str,
    #[values("its own end", "a stop", "an abort")] by: &str,
) {
    nothing_is_left_of(escape, by).await;
}

/// Whether namespaces can be made here.
#[expect(clippy::disallowed_methods, reason = "a question to the system")]
fn namespaces() -> bool {
    let made = std::process::Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--pid",
            "--mount-proc",
            "--fork",
            "true",
        ])
        .output();
    made.is_ok_and(|output| output.status.success())
}

/// Which the quiet and the busy machine are measured by: from the request to the end of the last process.
async fn nothing_is_left_of(escape: &str, by: &str) {
    match by {
        "its own end" => {
            let (stage, held) = stage(escape, "exit 5");
            let record = stage.run().await;
            assert_eq!(
                (record.exit, record.ended_by),
                (Exit::Code(5), EndedBy::Itself)
            );
            assert!(record.swept >= 1 && record.left == 0, "{record:?}");
            held.assert_all_gone_within(AT_ONCE);
        }
        "a stop" => {
            let (stage, held) = stage(escape, "touch ready\nwait-for never");
            let supervised = stage.start().await;
            until("it is ready", || stage.work("ready").exists()).await;
            supervised.stop(EndedBy::Stop).await.unwrap();
            let record = recorded(&supervised).await;
            assert_eq!((record.ended_by, record.left), (EndedBy::Stop, 0));
            held.assert_all_gone_within(AT_ONCE);
        }
        "an abort" => {
            let (stage, held) = stage(escape, "touch ready\nwait-for never");
            let supervised = stage.start().await;
            until("it is ready", || stage.work("ready").exists()).await;
            let begun = Instant::now();
            let killed = supervised.kill(EndedBy::Stop).await;
            assert!(matches!(killed, Killed::Asked(_)), "{killed:?}");
            held.assert_all_gone_within(AT_ONCE.saturating_sub(begun.elapsed()));
            println!(
                "gone after {:.1} ms",
                begun.elapsed().as_secs_f64() * 1000.0
            );
            let record = recorded(&supervised).await;
            assert_eq!((record.ended_by, record.left), (EndedBy::Stop, 0));
        }
        _ => {
            let (stage, held) = stage(escape, "touch ready\nwait-for never");
            let supervised = stage.start().await;
            until("it is ready", || stage.work("ready").exists()).await;
            let supervisor = Pid::from_raw(supervised.started().supervisor.pid).unwrap();
            kill_process(supervisor, Signal::KILL).unwrap();
            assert_eq!(ended(&supervised).await.exit(), Exit::Unknown);
            held.assert_all_gone_within(AT_ONCE);
        }
    }
}

/// The marker alone, without any record; the supervisor then sees its agent killed.
#[tokio::test]
async fn a_sweep_by_marker_ends_this_run_and_no_other() {
    let (swept, held) = stage(
        "spawn-setsid-double-fork 3600 pid",
        "touch ready\nwait-for never",
    );
    let (other, _held) = stage(
        "spawn-setsid-double-fork 3600 pid",
        "touch ready\nwait-for go",
    );
    let (of_swept, of_other) = (swept.start().await, other.start().await);
    for stage in [&swept, &other] {
        until("it is ready", || stage.work("ready").exists()).await;
    }
    assert_eq!(sweep_marked(swept.launch.run), 2);
    held.assert_all_gone_within(AT_ONCE);
    assert_eq!(recorded(&of_swept).await.exit, Exit::Signal(9));
    std::fs::write(other.work("go"), "").unwrap();
    let record = recorded(&of_other).await;
    assert_eq!((record.exit, record.swept), (Exit::Code(0), 1));
}
