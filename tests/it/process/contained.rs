//! Attempts in a cgroup of their own, made by hand: ended as one, on record, and taken away.
//!
//! Needs a cgroup2 that this process may write to and Linux 5.14; where that is not had, each test says so by name.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_runner_api::process::{Attachment, Containment, Wanted, attach, end_cgroup};
use agent_runner_api::run::{EndedBy, Exit, NoticeCode};
use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};

use super::stage::{Held, Stage, ended, recorded, until};

/// Survivors of an attempt that is over: there are none from the beginning.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The cgroups of this machine, or why a test is skipped.
pub async fn cgroups(test: &str) -> Option<Arc<Containment>> {
    match Containment::find(Wanted::Cgroup, None).await {
        Ok(found) => Some(Arc::new(found)),
        Err(why) => {
            eprintln!("skipped: {test}: {why}");
            None
        }
    }
}

async fn stage(test: &str, script: &str) -> Option<Stage> {
    let mut stage = Stage::of(script);
    stage.containment = cgroups(test).await?;
    Some(stage)
}

async fn holding(test: &str, escape: &str, then: &str) -> Option<(Stage, Held)> {
    let stage = stage(test, &format!("hold held\n{escape}\n{then}")).await?;
    let held = stage.held_fifo();
    Some((stage, held))
}

/// Leaves its session and group at each fork, thousands of times a second, without the marker in its environment: neither a
/// group nor a search finds it. It is waited for: before its exec it has the marker still.
pub const LEAVING_HOPPER: &str = "sh (env -i perl -MPOSIX -e 'POSIX::setsid(); open F, q(>hopping); close F; while (1) { fork and POSIX::_exit(0); POSIX::setsid() }' >/dev/null 2>&1 &)\nwait-for hopping";

/// Red with `cgroup.kill` taken out of `Cgroup::kill_all`: the leaving hopper then outlives its supervisor, which the search
/// by marker cannot change. (It is why this matrix has one row more than that of `escape`.)
#[rstest]
#[case::plain("spawn-child 3600 pid")]
#[case::setsid("spawn-setsid 3600 pid")]
#[case::double_fork("spawn-double-fork 3600 pid")]
#[case::setsid_and_double_fork("spawn-setsid-double-fork 3600 pid")]
#[case::nohup("spawn-nohup 3600 pid")]
#[case::shell_in_the_background("sh (setsid nohup sleep 3600 >/dev/null 2>&1 &) ; touch pid")]
#[case::hopper("hopper pid")]
#[case::fast_hopper("sh (perl -e 'while (1) { fork and exit }' >/dev/null 2>&1 &) ; touch pid")]
#[case::leaving_hopper(LEAVING_HOPPER)]
#[tokio::test]
async fn nothing_is_left_in_a_cgroup(
    #[case] escape: &str,
    #[values("its own end", "a stop", "the death of its supervisor")] by: &str,
) {
    let then = match by {
        "its own end" => "exit 5",
        _ => "touch ready\nwait-for never",
    };
    let Some((stage, held)) = holding("nothing_is_left_in_a_cgroup", escape, then).await else {
        return;
    };
    let supervised = stage.start().await;
    let cgroup = supervised.started().cgroup.clone().expect("it has one");
    match by {
        "its own end" => {
            let record = recorded(&supervised).await;
            assert_eq!(
                (record.exit, record.ended_by),
                (Exit::Code(5), EndedBy::Itself)
            );
            assert!(record.swept >= 1 && record.left == 0, "{record:?}");
        }
        "a stop" => {
            until("it is ready", || stage.work("ready").exists()).await;
            supervised.stop(EndedBy::Stop).await.unwrap();
            let record = recorded(&supervised).await;
            assert_eq!((record.ended_by, record.left), (EndedBy::Stop, 0));
        }
        _ => {
            until("it is ready", || stage.work("ready").exists()).await;
            let begun = Instant::now();
            let supervisor = Pid::from_raw(supervised.started().supervisor.pid).unwrap();
            kill_process(supervisor, Signal::KILL).unwrap();
            assert_eq!(ended(&supervised).await.exit(), Exit::Unknown);
            println!("{escape}: ended after {:?}", begun.elapsed());
        }
    }
    held.assert_all_gone_within(AT_ONCE);
    assert!(!cgroup.path.exists(), "the cgroup is taken away");
}

/// Where `/proc` says that a process is.
fn cgroup_of(pid: i32) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("0::"));
    line.unwrap().to_owned()
}

fn ends_with(inside: &str, path: &Path) -> bool {
    path.ends_with(inside.trim_start_matches('/'))
}

/// Red with the gate's process not put into the cgroup: the agent's own line then names another one.
#[tokio::test]
async fn the_agent_is_in_its_cgroup_from_its_first_instruction_and_the_record_says_where() {
    let test = "the_agent_is_in_its_cgroup";
    let Some(stage) = stage(test, "sh cat /proc/self/cgroup\nwait-for go").await else {
        return;
    };
    let supervised = stage.start().await;
    let started = supervised.started().clone();
    let cgroup = started.cgroup.clone().unwrap();
    assert!(started.notices.is_empty(), "{:?}", started.notices);
    let agents: PathBuf = cgroup.path.join("agent");
    assert!(ends_with(&cgroup_of(started.supervisor.pid), &cgroup.path));
    assert!(ends_with(&cgroup_of(started.agent.pid), &agents));
    until("it told", || stage.output_text().contains("0::")).await;
    let told = stage.output_text();
    let told = told.lines().find_map(|line| line.strip_prefix("0::"));
    assert!(ends_with(told.unwrap(), &agents), "{told:?}");

    // Whoever comes later finds it by the record alone.
    let Attachment::Live(again) = attach(&stage.dir()).await.unwrap() else {
        panic!("it runs");
    };
    assert_eq!(again.started().cgroup, Some(cgroup.clone()));
    fs::write(stage.work("go"), "").unwrap();
    assert_eq!(recorded(&again).await.exit, Exit::Code(0));
    assert!(!cgroup.path.exists());
}

/// The limits are asked of the kernel by reading them back; on a machine whose controllers are those of version 1 none holds.
/// Red with the check taken out of `place`.
#[tokio::test]
async fn limits_that_the_kernel_does_not_hold_are_told_by_name() {
    let test = "limits_that_the_kernel_does_not_hold";
    let Some(mut stage) = stage(test, "exit 0").await else {
        return;
    };
    stage.launch.limits.memory_bytes = Some(1 << 30);
    stage.launch.limits.tasks = Some(100);
    stage.launch.limits.cpu_weight = Some(50);
    let supervised = stage.start().await;
    let had = stage.containment.controllers();
    let expected: Vec<&str> = [
        ("memory", "max_memory_bytes"),
        ("pids", "max_tasks"),
        ("cpu", "cpu_weight"),
    ]
    .into_iter()
    .filter_map(|(controller, limit)| (!had.contains(&controller)).then_some(limit))
    .collect();
    let notices = &supervised.started().notices;
    match expected.is_empty() {
        true => assert!(notices.is_empty(), "{notices:?}"),
        false => {
            assert_eq!(notices.len(), 1, "{notices:?}");
            assert_eq!(notices[0].code, NoticeCode::LimitsNotEnforced);
            assert!(
                notices[0].detail.starts_with(&expected.join(", ")),
                "{notices:?}"
            );
        }
    }
    recorded(&supervised).await;
}

/// Without any cgroup, the same is said of every limit.
#[tokio::test]
async fn limits_without_a_cgroup_are_told_as_well() {
    let mut stage = Stage::of("exit 0");
    stage.launch.limits.tasks = Some(100);
    let supervised = stage.start().await;
    let notices = &supervised.started().notices;
    assert_eq!(notices[0].code, NoticeCode::LimitsNotEnforced);
    assert_eq!(
        notices[0].detail,
        "max_tasks not enforced: it has no cgroup of its own"
    );
    recorded(&supervised).await;
}

/// Red with the refusal taken out of `placed`: the agent then runs outside of any cgroup.
#[tokio::test]
async fn a_supervisor_whose_starter_died_before_it_was_placed_starts_no_agent() {
    let stage = Stage::of("touch ran");
    let dir = stage.dir();
    fs::create_dir(&dir).unwrap();
    let mut launch = serde_json::to_value(&stage.launch).unwrap();
    launch["version"] = 1.into();
    fs::write(dir.join("launch.json"), launch.to_string()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a starter that dies")]
    let mut supervisor = std::process::Command::new(super::stage::binary())
        .arg("supervise")
        .arg(&dir)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(supervisor.stdin.take());
    let said = supervisor.wait_with_output().unwrap();
    assert_eq!(said.status.code(), Some(1));
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("ended before it said where to run"), "{said}");
    let found = attach(&dir).await.unwrap();
    assert!(matches!(found, Attachment::NeverStarted), "{found:?}");
    assert!(!stage.work("ran").exists());
}

/// A supervisor of the next version, started by a service of the version before, which says nothing and gives no pipe.
#[tokio::test]
async fn a_supervisor_that_nobody_places_starts_its_agent() {
    let stage = Stage::of("exit 7");
    let dir = stage.dir();
    fs::create_dir(&dir).unwrap();
    let mut launch = serde_json::to_value(&stage.launch).unwrap();
    launch["version"] = 1.into();
    fs::write(dir.join("launch.json"), launch.to_string()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a starter of an older version")]
    let said = std::process::Command::new(super::stage::binary())
        .arg("supervise")
        .arg(&dir)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_eq!(said.status.code(), Some(0));
    let Attachment::Ended(record) = attach(&dir).await.unwrap() else {
        panic!("it ended");
    };
    assert_eq!(record.exit, Exit::Code(7));
}

/// What is left of a cgroup is listed with its run, and ended as one.
#[tokio::test]
async fn a_cgroup_that_is_left_is_found_and_ended() {
    let test = "a_cgroup_that_is_left_is_found_and_ended";
    let Some((stage, held)) = holding(test, LEAVING_HOPPER, "touch ready\nwait-for never").await
    else {
        return;
    };
    let supervised = stage.start().await;
    until("it is ready", || stage.work("ready").exists()).await;
    let ours = || {
        let all = stage.containment.cgroups().unwrap();
        all.into_iter().find(|left| left.run == stage.launch.run)
    };
    let left = ours().unwrap();
    assert!(left.populated);
    assert_eq!(Some(&left.cgroup), supervised.started().cgroup.as_ref());
    end_cgroup(&left.cgroup).unwrap();
    held.assert_all_gone_within(AT_ONCE);
    assert_eq!(ours(), None);
    assert_eq!(ended(&supervised).await.exit(), Exit::Unknown);
    // Again is as good.
    end_cgroup(&left.cgroup).unwrap();
}
