//! Starts that fail: each with its sentence and its exit code.

use std::fs;
use std::process::{Output, Stdio};

use crate::support::server::Setup;

/// How this start ends, which must end by itself.
fn refused(setup: &Setup) -> Output {
    let output = setup.command().stderr(Stdio::piped()).output().unwrap();
    assert!(output.stdout.is_empty(), "{output:?}");
    output
}

#[track_caller]
fn assert_refused(setup: &Setup, code: i32, sentence: &str) {
    let output = refused(setup);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(sentence), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn a_folder_that_is_no_repository() {
    let setup = Setup::new();
    let home = setup.at("home").display().to_string();
    assert_refused(&setup.flag("--repo-root", &home), 10, &home);
    let setup = Setup::new().flag("--repo-root", "/no/such/folder");
    assert_refused(&setup, 10, "/no/such/folder");
}

#[test]
fn a_base_branch_that_is_not_there() {
    let setup = Setup::new().flag("--base-branch", "trunk");
    assert_refused(&setup, 11, "trunk");
    let empty = Setup::new();
    fs::remove_dir_all(empty.repo.root().join(".git")).unwrap();
    empty.repo.git(&["init", "-q", "-b", "master"]);
    assert_refused(&empty, 11, "master");
}

#[test]
fn a_machine_without_git() {
    let setup = Setup::new();
    let empty = setup.at("marks").display().to_string();
    assert_refused(&setup.variable("PATH", &empty), 12, "git");
}

#[test]
fn a_database_of_a_newer_version() {
    let setup = Setup::new();
    let db = rusqlite::Connection::open(setup.at("runs.db")).unwrap();
    db.pragma_update(None, "user_version", 4_000).unwrap();
    drop(db);
    assert_refused(&setup, 13, "newer");
}

#[test]
fn a_port_that_is_taken() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    assert_refused(&Setup::new().flag("--port", &port), 14, &port);
}

#[test]
fn a_folder_that_cannot_be_written_to() {
    for flag in ["--worktrees-root", "--state-root"] {
        let setup = Setup::new();
        fs::write(setup.at("in-the-way"), "a file").unwrap();
        let path = setup.at("in-the-way").display().to_string();
        assert_refused(&setup.flag(flag, &path), 15, &path);
    }
}

#[test]
fn a_setting_that_is_wrong() {
    let setup = Setup::new().flag("--max-running", "many");
    assert_refused(&setup, 16, "max-running");
}

#[test]
fn a_database_that_is_none() {
    let setup = Setup::new();
    fs::write(
        setup.at("runs.db"),
        "this is no database, it is a text\n".repeat(100),
    )
    .unwrap();
    assert_refused(&setup, 18, "runs.db");
}

#[test]
fn a_database_that_another_server_works_on() {
    let server = Setup::new().start();
    let run = server.run("sleep 1000");
    assert_refused(&server, 17, "another server works on the database");
    assert_eq!(run.status(), "running");
    server.kill();
    server.start_again();
    assert_eq!(run.status(), "running");
}

#[test]
fn the_default_base_is_master_then_main_then_that_of_head() {
    for (branches, expected) in [
        (&["main", "master"][..], "master"),
        (&["main"], "main"),
        (&[], "trunk"),
    ] {
        let setup = Setup::new();
        setup.repo.git(&["branch", "-m", "master", "trunk"]);
        for branch in branches {
            setup.repo.git(&["branch", branch]);
        }
        let server = setup.start();
        assert_eq!(server.get("/api/health").expect(200)["base"], expected);
    }
}
