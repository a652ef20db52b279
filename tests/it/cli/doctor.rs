//! What `doctor` sees of this machine and of a server.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::fake_server::{FakeServer, Reply};
use super::program::{Ended, Program};

fn check(ended: &Ended, name: &str) -> Value {
    let all: Value = serde_json::from_str(&ended.stdout).unwrap();
    let found = all["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["name"] == name);
    found.unwrap().clone()
}

/// A home with a repository (as far as can be seen from outside) and an agent on PATH.
fn a_good_machine() -> Program {
    let program = Program::new();
    fs::create_dir(program.home().join(".git")).unwrap();
    for name in ["git", "claude"] {
        let path = program.home().join(name);
        fs::write(&path, "#!/bin/sh\necho git version 2.47.3\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = program.home().to_str().unwrap().to_owned();
    program.with("PATH", &path)
}

#[test]
fn a_good_machine_without_a_server_passes() {
    let ended = a_good_machine().run(&["doctor", "--port", "0", "--json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    for name in [
        "git",
        "repository",
        "agent",
        "worktrees",
        "state",
        "database",
        "port",
    ] {
        assert_eq!(check(&ended, name)["status"], "ok", "{name}: {ended:?}");
    }
    assert_eq!(check(&ended, "systemd")["status"], "warn");
}

#[test]
fn what_is_wrong_is_named_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let program = Program::new().with("PATH", "/nowhere");
    fs::write(program.home().join("agent_runs.db"), "no database at all").unwrap();
    fs::write(program.home().join("file"), "").unwrap();
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let arguments = [
        "doctor",
        "--port",
        &port,
        "--worktrees-root",
        "file/x",
        "--server",
        &closed,
        "--json",
    ];
    let ended = program.run(&arguments);
    assert_eq!(ended.code, 1, "{ended:?}");
    let expected = [
        ("git", "fail", "git was not found on PATH"),
        ("repository", "fail", "not the top of a git repository"),
        ("agent", "warn", "no program claude"),
        ("worktrees", "fail", "is no folder"),
        ("database", "fail", "is not an SQLite database"),
        ("port", "fail", "something else listens"),
        ("systemd", "warn", "no user systemd is running here"),
    ];
    for (name, status, said) in expected {
        let check = check(&ended, name);
        assert_eq!(check["status"], status, "{check}");
        assert!(check["detail"].as_str().unwrap().contains(said), "{check}");
        assert!(!check["advice"].as_str().unwrap().is_empty(), "{check}");
    }
}

#[test]
fn the_servers_own_checks_are_shown_and_count() {
    let findings = json!({"healthy": false, "findings": [
        {"what": "journal", "level": "error", "detail": "the chain is broken: restore a backup"},
    ]});
    let server = FakeServer::start(vec![("GET /api/doctor", Reply::json(200, &findings))]);
    let ended = a_good_machine().run(&["doctor", "--port", "0", "--server", &server.url]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stdout.contains("the chain is broken"), "{ended:?}");
}

/// `doctor --fix` with these arguments against a server that can mend one thing; with what the server was asked.
fn fixed(arguments: &[&str]) -> (Ended, Value) {
    let findings = json!({"dry_run": false, "left": [], "mended": [{
        "what": "journal", "level": "error", "detail": "the rows differ", "code": "rows_differ",
        "at": "runs", "mend": "they are written anew", "mendable": true,
    }]});
    let server = FakeServer::start(vec![("POST /api/doctor/fix", Reply::json(200, &findings))]);
    let arguments = [
        &["doctor", "--port", "0", "--server", &server.url, "--fix"],
        arguments,
    ];
    let ended = a_good_machine().run(&arguments.concat());
    (ended, server.asked_once().json())
}

#[test]
fn fix_shows_first_what_it_would_mend_and_how_to_do_it() {
    let (ended, asked) = fixed(&[]);
    assert_eq!(asked, json!({"dry_run": true}));
    assert_eq!(ended.code, 1, "the error is still there: {ended:?}");
    for said in [
        "would be mended:",
        "rows_differ",
        "the rows differ (runs): they are written anew",
        "doctor --fix --yes",
    ] {
        assert!(ended.stdout.contains(said), "{said}: {ended:?}");
    }
}

#[test]
fn fix_with_yes_mends() {
    let (ended, asked) = fixed(&["--yes"]);
    assert_eq!(asked, json!({"dry_run": false}));
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stdout.starts_with("mended:"), "{ended:?}");
    assert!(!ended.stdout.contains("--yes"), "{ended:?}");
}

#[test]
fn yes_means_nothing_without_fix() {
    let ended = a_good_machine().run(&["doctor", "--yes"]);
    assert_eq!(ended.code, 2, "{ended:?}");
}
