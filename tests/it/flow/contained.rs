//! What holds agents together, from the outside: what health and the run say of it, and what a restart leaves alone.

use std::process::Stdio;

use serde_json::json;

use crate::support::mount::skip;
use crate::support::server::{Server, Setup};
use crate::support::user_systemd::UserSystemd;

fn none() -> Setup {
    Setup::new().flag("--containment", "none")
}

#[test]
fn health_the_doctor_and_the_log_say_what_holds_agents_together() {
    let server = none().start();
    let expected = json!({
        "kind": "none",
        "detail": "each attempt has its supervisor alone",
        "controllers": [],
        "passed_over": [],
    });
    assert_eq!(
        server.get("/api/health").expect(200)["containment"],
        expected
    );
    let doctor = server.get("/api/doctor").expect(200);
    let findings = doctor["findings"].as_array().unwrap();
    let finding = findings
        .iter()
        .find(|finding| finding["what"] == "containment");
    assert_eq!(
        finding.unwrap()["detail"],
        "each attempt has its supervisor alone; no limits can be held"
    );
    assert!(
        server
            .log()
            .contains("each attempt has its supervisor alone")
    );
}

#[test]
fn what_is_passed_over_has_its_reason() {
    let server = Server::start();
    let contained = server.get("/api/health").expect(200)["containment"].clone();
    let first = contained["passed_over"][0].as_str().unwrap();
    assert_eq!(
        first,
        "no scopes of systemd: the environment names no D-Bus of this user"
    );
    assert_ne!(contained["kind"], "systemd");
}

#[test]
fn what_is_asked_for_and_is_not_there_is_no_start() {
    let setup = Setup::new().flag("--containment", "systemd");
    let ended = setup.command().stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(16), "{said}");
    let sentence = "a user's systemd cannot be had: the environment names no D-Bus of this user; take what there is with --containment auto";
    assert!(said.contains(sentence), "{said}");
}

/// Red with the notice taken out of `place`.
#[test]
fn limits_that_are_not_held_are_told_on_the_run_and_in_the_log() {
    let server = none().flag("--limits-max-tasks", "200").start();
    let limits = json!({"max_memory_bytes": 1 << 30, "max_tasks": 1000});
    let run = server.run_with("print hello", &json!({"limits": limits}));
    let detail = run.wait_for("finished");
    // No more than the server gives.
    assert_eq!(detail["limits"]["max_tasks"], 200);
    let detail_said = "max_memory_bytes, max_tasks not enforced: it has no cgroup of its own";
    let notices = json!([{"code": "limits_not_enforced", "detail": detail_said}]);
    assert_eq!(detail["attempts"][0]["notices"], notices);
    assert!(server.log().contains(detail_said));
    server.check_world();
}

/// As systemd does at `systemctl restart` with its default `KillMode`: everything in the service's cgroup is killed. Red with
/// `--containment none`: the supervisors are in it.
/// Whether the limits of this controller can be held here; says by name that the test is skipped if not.
fn can_hold(server: &Server, controller: &str) -> bool {
    let health = server.get("/api/health").expect(200);
    let controllers = health["containment"]["controllers"].as_array().unwrap();
    let held = controllers.iter().any(|one| one == controller);
    if !held {
        skip(&format!(
            "no cgroup of ours has the controller {controller}"
        ));
    }
    held
}

/// Red with `pids.max` not written: all hundred are started.
#[test]
fn an_agent_that_forks_without_end_meets_its_limit() {
    let server = Server::start();
    if !can_hold(&server, "pids") {
        return;
    }
    let bomb = "sh for i in $(seq 100); do sleep 60 & done; echo all started";
    let run = server.run_with(bomb, &json!({"limits": {"max_tasks": 40}}));
    let detail = run.wait_for("failed");
    let notices = detail["attempts"][0]["notices"].to_string();
    assert!(notices.contains("tasks_limit"), "{notices}");
    assert!(!String::from_utf8_lossy(&run.output()).contains("all started"));
}

/// Red with `memory.max` not written: it has all that it wants.
#[test]
fn an_agent_that_takes_too_much_memory_has_failed_for_that() {
    let server = Server::start();
    if !can_hold(&server, "memory") {
        return;
    }
    let hungry = "sh head -c 400000000 /dev/zero | tail -c 300000000 > /dev/null";
    let run = server.run_with(
        hungry,
        &json!({"limits": {"max_memory_bytes": 100_000_000}}),
    );
    let detail = run.wait_for("failed");
    assert_eq!(detail["failure"]["code"], "out_of_memory", "{detail:#}");
}

#[test]
fn the_end_of_the_services_cgroup_leaves_agents_in_their_scopes_alone() {
    let test = "the_end_of_the_services_cgroup_leaves_agents_alone";
    let Some(systemd) = UserSystemd::start(test) else {
        return;
    };
    let setup = Setup::new()
        .flag("--containment", "systemd")
        .variable("DBUS_SESSION_BUS_ADDRESS", &systemd.bus());
    let server = setup.start();
    let contained = server.get("/api/health").expect(200)["containment"].clone();
    assert_eq!(contained["kind"], "systemd", "{contained}");
    let service = systemd.cgroup("the.service");
    std::fs::create_dir(&service).unwrap();
    std::fs::write(service.join("cgroup.procs"), server.pid().to_string()).unwrap();

    let run = server.run("print before\nwait-for go\nprint after\nexit 5");
    let pid = run.detail()["pid"].clone();
    assert_eq!(run.status(), "running");
    std::fs::write(service.join("cgroup.kill"), "1").unwrap();
    server.wait_until_gone();
    server.start_again();
    assert_eq!(run.detail()["pid"], pid, "it is the same agent");
    std::fs::write(run.worktree.join("go"), "").unwrap();
    let detail = run.wait_for("failed");
    assert_eq!(detail["exit_code"], 5);
    server.check_world();
}
