//! A newer program takes over from this one while agents are at work: its database has one step more.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::fake_agent::{newer, prompt};
use crate::support::frames::output_of;
use crate::support::run::Run;
use crate::support::server::{Server, Setup};
use crate::support::wait::until;

const AGENTS: usize = 12;

/// Puts a program under this path, as an installation does: beside it, then renamed.
fn install(from: &Path, path: &Path) {
    let aside = path.with_extension("new");
    fs::copy(from, &aside).unwrap();
    fs::rename(&aside, path).unwrap();
}

/// A server of the program as it is, under a path where another one can be put.
fn server(folder: &Path) -> Server {
    let program = folder.join("service");
    install(env!("CARGO_BIN_EXE_agent_runner_api").as_ref(), &program);
    Setup::new().program(&program).start()
}

fn exit_code(n: usize) -> usize {
    if n.is_multiple_of(3) { 0 } else { n + 10 }
}

fn expected(n: usize) -> &'static str {
    if exit_code(n) == 0 {
        "finished"
    } else {
        "failed"
    }
}

/// How the database stands, read beside the server.
fn database(server: &Server) -> (i64, i64) {
    let db = rusqlite::Connection::open(server.at("runs.db")).unwrap();
    let version = db
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    let moods = "SELECT count(*) FROM moods JOIN runs ON run_id = id
                 WHERE (SELECT mood FROM workflows WHERE name = 'plain') = 'calm'";
    let moods = db.query_row(moods, [], |row| row.get(0)).unwrap_or(-1);
    (version, moods)
}

fn takes_over(stop: impl Fn(&Server)) {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let done = server.finished("write done.txt done");
    done.prove();
    let runs: Vec<Run<'_>> = (0..AGENTS)
        .map(|n| {
            let when = if n % 2 == 0 { "while-down" } else { "after" };
            server.run_plain(&format!(
                "write {n}.txt {n}\nprint before {n}\nwait-for {}\nprint after {n}\nexit {}",
                server.mark_path(when),
                exit_code(n)
            ))
        })
        .collect();
    let talks = server.run(&format!(
        "write one.txt 1\nwait-for {}",
        server.mark_path("after")
    ));
    let before = database(&server);

    stop(&server);
    install(newer(), &folder.path().join("service"));
    server.mark("while-down");
    until("half of the agents have ended", || {
        let ended = |n: usize| server.attempt(&runs[n].id, 1).join("exit.json").exists();
        (0..AGENTS).step_by(2).all(ended)
    });
    server.start_again();
    let all = i64::try_from(AGENTS + 2).unwrap();
    assert_eq!(
        database(&server),
        (before.0 + 1, all),
        "all rows are there, migrated"
    );

    // Agents of the new program beside those of the old one.
    let late = server.run_plain("print late\nexit 3");
    assert_eq!(late.wait_for("failed")["exit_code"], 3);
    // A supervisor of the old program is asked by the new one.
    let aborted = &runs[1];
    aborted.abort().expect(200);
    assert_eq!(
        aborted.detail()["attempts"][0]["failure"]["code"],
        "stopped"
    );
    server.mark("after");
    for (n, run) in runs.iter().enumerate().filter(|(n, _)| *n != 1) {
        let ended = run.wait_for(expected(n));
        assert_eq!(ended["exit_code"], exit_code(n), "agent {n}");
        let printed = format!("before {n}\nafter {n}\n");
        assert_eq!(run.output(), printed.as_bytes(), "agent {n}");
        let frames = run.frames(Some("0")).until_status(expected(n));
        assert_eq!(
            output_of(&frames),
            printed.as_bytes(),
            "agent {n}: told once"
        );
    }
    let session = talks.wait_for("finished")["session_id"].clone();
    talks
        .post("/messages", &json!({"text": prompt("write two.txt 2")}))
        .expect(200);
    assert_eq!(talks.wait_for("finished")["session_id"], session);
    talks.prove();
    talks.merge().expect(200);
    done.merge().expect(200);
    for file in ["one.txt", "two.txt", "done.txt"] {
        assert!(
            server.repo.file("HEAD", file).is_some(),
            "{file} has landed"
        );
    }
    assert_eq!(server.world(), Vec::<Value>::new());
}

/// Seen red: with `app::serve_with` opening the database by its own steps, it stays at the older version.
#[test]
fn a_newer_program_takes_over_after_a_stop() {
    takes_over(|server| assert!(server.terminate().success()));
}

#[test]
fn a_newer_program_takes_over_after_a_crash() {
    takes_over(Server::kill);
}

#[test]
fn the_program_before_it_does_not_touch_what_the_newer_one_has_written() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let run = server.run_plain(&format!("wait-for {}\nexit 7", server.mark_path("go")));
    server.terminate();
    install(newer(), &folder.path().join("service"));
    server.start_again();
    server.kill();
    let written = database(&server);
    install(
        env!("CARGO_BIN_EXE_agent_runner_api").as_ref(),
        &folder.path().join("service"),
    );
    let refused = server.command().output().unwrap();
    assert_eq!(
        refused.status.code(),
        Some(13),
        "{}",
        String::from_utf8_lossy(&refused.stderr)
    );
    assert_eq!(database(&server), written);
    // Back to the newer one; the agent has noticed nothing of all this.
    install(newer(), &folder.path().join("service"));
    server.start_again();
    server.mark("go");
    assert_eq!(run.wait_for("failed")["exit_code"], 7);
}

/// The program is replaced, and the service not yet started again: what it starts meanwhile is its own kind.
///
/// Seen red: with the supervisors started by the program's path, here one that does nothing.
#[test]
fn a_service_whose_program_was_replaced_still_starts_agents_with_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let other = folder.path().join("other");
    fs::write(&other, "#!/bin/sh\nexit 1\n").unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).unwrap();
    install(&other, &folder.path().join("service"));
    let run = server.run_plain("print hello\nexit 4");
    assert_eq!(run.wait_for("failed")["exit_code"], 4);
    assert_eq!(run.output(), b"hello\n");
}

/// What this program cannot read is not taken for an agent that is gone.
///
/// Seen red: with what cannot be read taken for lost, the run has failed while its agent works.
#[test]
fn records_of_a_newer_program_are_no_end_of_an_agent() {
    let server = Server::start();
    let wait = |n| format!("print {n}\nwait-for {}\nexit 5", server.mark_path("go"));
    let (kept, aborted) = (server.run_plain(&wait(1)), server.run_plain(&wait(2)));
    server.kill();
    let records = [&kept, &aborted].map(|run| server.attempt(&run.id, 1).join("started.json"));
    let before = fs::read(&records[0]).unwrap();
    for path in &records {
        let mut record: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        record["version"] = json!(2);
        fs::write(path, record.to_string()).unwrap();
    }
    server.start_again();
    for run in [&kept, &aborted] {
        until("it is told", || {
            run.detail()["supervisor_silent"] == "unreadable"
        });
        assert_eq!(run.status(), "running");
    }
    assert_eq!(
        server.get("/api/health").expect(200)["running"],
        2,
        "they keep their slots"
    );
    aborted.abort().expect(200);
    assert_eq!(aborted.status(), "aborted");
    fs::write(&records[0], before).unwrap();
    until("it is found again", || {
        kept.detail()["supervisor_silent"] == Value::Null
    });
    server.mark("go");
    assert_eq!(kept.wait_for("failed")["exit_code"], 5);
    server.check_world();
}
