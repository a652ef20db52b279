//! Attempts in scopes of a real systemd of the tests' own, and a systemd that is silent, gone, or never was.

use std::fs;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_runner_api::process::{Containment, Wanted};
use agent_runner_api::run::{EndedBy, Exit, NoticeCode};
use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};
use zbus::{Connection, OwnedObjectPath, OwnedVariant};

use super::contained::LEAVING_HOPPER;
use super::stage::{Stage, ended, recorded, until};
use crate::support::user_systemd::UserSystemd;

/// Survivors of an attempt that is over: there are none from the beginning.
const AT_ONCE: Duration = Duration::from_secs(1);
/// What systemd is given for an answer, with room for a busy machine.
const BUDGET: Duration = Duration::from_secs(5);

const MANAGER: &str = "org.freedesktop.systemd1.Manager";

async fn found(systemd: &UserSystemd) -> Arc<Containment> {
    let found = Containment::find(Wanted::Systemd, Some(&systemd.bus())).await;
    Arc::new(found.unwrap())
}

async fn connected(systemd: &UserSystemd) -> Connection {
    let bus = systemd.bus();
    let builder = zbus::connection::Builder::address(bus.as_str());
    builder.build().await.unwrap()
}

/// A property of a unit, as systemd tells it.
async fn property(bus: &Connection, unit: &str, interface: &str, name: &str) -> OwnedVariant {
    let systemd = Some("org.freedesktop.systemd1");
    let path = "/org/freedesktop/systemd1";
    let answer = bus.call_method(systemd, path, Some(MANAGER), "GetUnit", &(unit));
    let unit: OwnedObjectPath = answer.await.unwrap().body().deserialize().unwrap();
    let asked = (format!("org.freedesktop.systemd1.{interface}"), name);
    let properties = Some("org.freedesktop.DBus.Properties");
    let answer = bus.call_method(systemd, unit, properties, "Get", &asked);
    answer.await.unwrap().body().deserialize().unwrap()
}

/// Seen red without `Delegate`, `Slice` and `Description` in `scope::properties`, each taken out by itself: by its own line.
#[tokio::test]
async fn an_attempt_has_a_scope_with_its_limits_in_our_slice() {
    let Some(systemd) = UserSystemd::start("an_attempt_has_a_scope") else {
        return;
    };
    let mut stage = Stage::of("wait-for go\nexit 3");
    stage.containment = found(&systemd).await;
    assert_eq!(stage.containment.kind(), "systemd");
    stage.launch.limits.memory_bytes = Some(1 << 30);
    stage.launch.limits.tasks = Some(100);
    stage.launch.limits.cpu_weight = Some(50);
    let begun = Instant::now();
    let supervised = stage.start().await;
    println!("started in a scope after {:?}", begun.elapsed());

    let unit = format!("agent_runner-{}-1.scope", stage.launch.run);
    let bus = connected(&systemd).await;
    let told =
        async |interface, name| format!("{:?}", *property(&bus, &unit, interface, name).await);
    assert_eq!(told("Scope", "MemoryMax").await, "U64(1073741824)");
    assert_eq!(told("Scope", "TasksMax").await, "U64(100)");
    assert_eq!(told("Scope", "CPUWeight").await, "U64(50)");
    assert_eq!(told("Scope", "Delegate").await, "Bool(true)");
    assert!(
        told("Scope", "Slice")
            .await
            .contains("app-agent_runner.slice")
    );
    assert!(
        told("Unit", "Description")
            .await
            .contains("attempt 1 of run")
    );
    assert!(told("Unit", "ActiveState").await.contains("active"));

    let started = supervised.started();
    let cgroup = started.cgroup.clone().unwrap();
    let slice = systemd.cgroup("app.slice/app-agent_runner.slice");
    assert_eq!(cgroup.path, slice.join(&unit));
    let procs = |name: &str| fs::read_to_string(cgroup.path.join(name)).unwrap();
    assert_eq!(
        procs("cgroup.procs").trim(),
        started.supervisor.pid.to_string()
    );
    assert_eq!(
        procs("agent/cgroup.procs").trim(),
        started.agent.pid.to_string()
    );
    // Of these three, the machine's cgroup2 may have none: then it is said, and not pretended.
    if stage.containment.controllers().is_empty() {
        assert_eq!(started.notices[0].code, NoticeCode::LimitsNotEnforced);
    }

    fs::write(stage.work("go"), "").unwrap();
    assert_eq!(recorded(&supervised).await.exit, Exit::Code(3));
    until("systemd has taken the scope away", || !cgroup.path.exists()).await;
}

/// Red with `cgroup.kill` taken out of `Cgroup::kill_all`.
#[rstest]
#[tokio::test]
async fn nothing_is_left_in_a_scope(#[values("a stop", "the death of its supervisor")] by: &str) {
    let Some(systemd) = UserSystemd::start("nothing_is_left_in_a_scope") else {
        return;
    };
    let mut stage = Stage::of(&format!(
        "hold held\n{LEAVING_HOPPER}\ntouch ready\nwait-for never"
    ));
    stage.containment = found(&systemd).await;
    let held = stage.held_fifo();
    let supervised = stage.start().await;
    until("it is ready", || stage.work("ready").exists()).await;
    if by == "a stop" {
        supervised.stop(EndedBy::Stop).await.unwrap();
        let record = recorded(&supervised).await;
        assert_eq!((record.ended_by, record.left), (EndedBy::Stop, 0));
    } else {
        let supervisor = Pid::from_raw(supervised.started().supervisor.pid).unwrap();
        kill_process(supervisor, Signal::KILL).unwrap();
        assert_eq!(ended(&supervised).await.exit(), Exit::Unknown);
    }
    held.assert_all_gone_within(AT_ONCE);
    let left = || stage.containment.cgroups().unwrap();
    until("systemd has taken the scope away", || left().is_empty()).await;
}

/// Seen red with a budget of a minute in `Scopes::start`: the start was still waiting when the test was ended after 58 s.
#[tokio::test]
async fn a_systemd_that_falls_silent_costs_one_start_its_budget_and_is_told() {
    let Some(systemd) = UserSystemd::start("a_systemd_that_falls_silent") else {
        return;
    };
    let containment = found(&systemd).await;
    systemd.signal(Signal::STOP);
    for (number, budget) in [(1, BUDGET), (2, Duration::from_secs(1))] {
        let mut stage = Stage::of("exit 4");
        stage.containment = Arc::clone(&containment);
        let begun = Instant::now();
        let supervised = stage.start().await;
        assert!(
            begun.elapsed() < budget,
            "start {number}: {:?}",
            begun.elapsed()
        );
        let notice = &supervised.started().notices[0];
        assert_eq!(notice.code, NoticeCode::NotContained);
        assert!(notice.detail.contains("no answer"), "{}", notice.detail);
        assert_eq!(recorded(&supervised).await.exit, Exit::Code(4));
    }
    systemd.signal(Signal::CONT);
}

#[tokio::test]
async fn a_systemd_that_is_gone_is_told_and_the_agent_runs() {
    let Some(systemd) = UserSystemd::start("a_systemd_that_is_gone") else {
        return;
    };
    let mut stage = Stage::of("exit 4");
    stage.containment = found(&systemd).await;
    systemd.signal(Signal::KILL);
    let supervised = stage.start().await;
    let notice = &supervised.started().notices[0];
    assert_eq!(notice.code, NoticeCode::NotContained);
    assert_eq!(recorded(&supervised).await.exit, Exit::Code(4));
}

/// Seen red with a budget of a minute in `Scopes::find`: it was still waiting when the test was ended after 58 s.
#[tokio::test]
async fn a_bus_that_takes_the_call_and_stays_silent_is_passed_over_within_its_budget() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bus");
    let _silent = UnixListener::bind(&path).unwrap();
    let bus = format!("unix:path={}", path.display());
    let begun = Instant::now();
    let asked = Containment::find(Wanted::Systemd, Some(&bus)).await;
    assert!(begun.elapsed() < BUDGET, "{:?}", begun.elapsed());
    let why = asked.unwrap_err().to_string();
    assert!(why.contains("no answer within 1 s"), "{why}");
    let found = Containment::find(Wanted::Best, Some(&bus)).await.unwrap();
    assert!(found.passed_over()[0].contains("no answer"), "{found:?}");
    assert_ne!(found.kind(), "systemd");
}

#[tokio::test]
async fn a_bus_that_is_not_there_is_told() {
    for (bus, said) in [
        (Some("unix:path=/nonexistent/bus"), "/nonexistent/bus"),
        (Some("nonsense"), "nonsense"),
        (None, "names no D-Bus"),
    ] {
        let why = Containment::find(Wanted::Systemd, bus).await.unwrap_err();
        assert!(why.to_string().contains(said), "{why}");
    }
}
