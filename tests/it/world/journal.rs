//! The journal and the tables.

use agent_runner_api::dod::content::hex;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{assert_found_and_left, assert_found_and_mended, database, one, started};
use crate::support::run::Run;
use crate::support::server::Server;
use crate::support::wait::until;

#[test]
fn a_row_that_says_something_else_than_the_events_is_written_anew() {
    let server = started();
    let run = server.finished("print done");
    run.say("review", "words");
    database(&server)
        .execute_batch("UPDATE runs SET status = 'merged'; UPDATE dod_items SET status = 'validated'; DELETE FROM worktrees")
        .unwrap();
    assert_eq!(listed(&server), "merged");
    assert_found_and_mended(&server, "rows_differ", "dod_items, runs, worktrees");
    assert_eq!(listed(&server), "finished");
    let evidence = run.get("/evidence").expect(200);
    assert!(evidence.to_string().contains("words"), "{evidence}");
}

fn listed(server: &Server) -> String {
    let list = server.get("/api/runs").expect(200);
    list["runs"][0]["status"].as_str().unwrap().to_owned()
}

#[test]
fn a_start_writes_wrong_rows_anew_by_itself() {
    let server = started();
    server.finished("print done");
    server.kill();
    database(&server)
        .execute_batch("UPDATE runs SET status = 'failed'")
        .unwrap();
    server.start_again();
    until("the row is right", || listed(&server) == "finished");
    until("it is told", || server.log().contains("rows_differ"));
    server.check_world();
}

#[test]
fn a_row_without_any_event_stays_and_is_told() {
    let server = started();
    server.finished("print done");
    database(&server)
        .execute_batch(
            "INSERT INTO runs (id, workflow, mode, agent, branch, worktree_path, base, status, created_at, phase) \
             VALUES ('00000000-0000-7000-8000-000000000000', 'x', 'x', 'stub', 'x', 'x', 'x', 'failed', \
             '2026-01-01T00:00:00Z', 'at_rest')",
        )
        .unwrap();
    assert_found_and_left(&server, "rows_differ", "runs");
}

#[test]
fn an_event_that_was_changed_is_found_where_it_is_and_the_tables_are_not_made_after_it() {
    let server = started();
    server.finished("print done");
    database(&server)
        .execute_batch(
            "DROP TRIGGER events_never_change; UPDATE events SET body = body || ' ' WHERE seq = 3",
        )
        .unwrap();
    assert_found_and_left(&server, "chain_broken", "event 3");
    database(&server)
        .execute_batch("UPDATE runs SET status = 'failed'")
        .unwrap();
    let left = super::fix(&server, false);
    assert_eq!(
        left["mended"],
        json!([]),
        "the journal is not to be believed"
    );
    let mut expected = one("chain_broken", "event 3");
    expected.extend(one("rows_differ", "runs"));
    assert_eq!(super::names(&left["left"]), expected);
}

#[test]
fn events_that_are_gone_from_the_end_are_missed() {
    let server = started();
    let run = server.finished("print done");
    run.say("review", "words");
    server.kill();
    database(&server)
        .execute_batch(
            "DROP TRIGGER events_never_go; DELETE FROM events WHERE seq = (SELECT max(seq) FROM events); \
             DELETE FROM dod_evidence; UPDATE dod_items SET status = 'pending'",
        )
        .unwrap();
    server.start_again();
    assert_found_and_left(&server, "events_missing", "events");
}

#[test]
fn an_accepted_request_that_the_journal_has_lost_is_told() {
    let server = started();
    database(&server)
        .execute_batch(
            "INSERT INTO idempotency (key, body_sha256, run_id, created_at) \
             VALUES ('k', '', '00000000-0000-7000-8000-000000000000', strftime('%Y-%m-%dT%H:%M:%fZ'))",
        )
        .unwrap();
    assert_found_and_left(&server, "request_lost", "idempotency");
    let health: Value = server.get("/api/doctor").expect(200);
    assert_eq!(health["healthy"], false);
}

#[test]
fn events_that_are_gone_from_the_middle_are_missed() {
    let server = started();
    server.leave_wrong("nothing here can know what was written");
    server.finished("print done");
    database(&server)
        .execute_batch("DROP TRIGGER events_never_go; DELETE FROM events WHERE seq = 3")
        .unwrap();
    let found = super::found(&server);
    assert!(
        found.contains(&one("chain_broken", "event 4")[0]),
        "{found:?}"
    );
    assert!(
        found.contains(&one("events_missing", "events")[0]),
        "{found:?}"
    );
}

/// An event that a newer program has written, of a run whose worktree is there.
fn unreadable(server: &Server) -> Run<'_> {
    server.leave_wrong("nothing here can read it");
    let run = server.finished("write work.txt done");
    let database = database(server);
    let last = "SELECT hash, at FROM events ORDER BY seq DESC LIMIT 1";
    let (previous, at): (String, String) = database
        .query_row(last, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    let (name, body) = ("of_tomorrow", r#"{"event":"of_tomorrow"}"#);
    let mut hash = Sha256::new();
    for part in [&previous, &run.id, name, &at, body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let row = [
        &run.id,
        name,
        "2",
        &at,
        body,
        &previous,
        &hex(&hash.finalize()),
    ];
    let insert = "INSERT INTO events (run_id, name, version, at, body, previous_hash, hash) VALUES (?, ?, ?, ?, ?, ?, ?)";
    database.execute(insert, row).unwrap();
    run
}

#[test]
fn an_event_that_cannot_be_read_is_told_and_nothing_of_its_run_is_touched() {
    let server = started();
    let run = unreadable(&server);
    let found = super::found(&server);
    let codes: Vec<_> = found.iter().map(|(code, _)| code.as_str()).collect();
    assert_eq!(codes, ["event_unreadable"], "{found:?}");
    let told = server.world()[0].clone();
    assert_eq!(told["run_id"], run.id);
    assert!(told["mend"].to_string().contains("newer version"), "{told}");
    assert_eq!(super::fix(&server, false)["mended"], json!([]));
    assert!(run.worktree.exists());
    // Also of a run that the tables have forgotten.
    database(&server)
            .execute_batch("PRAGMA foreign_keys = OFF; DELETE FROM runs; DELETE FROM worktrees; DELETE FROM dod_items")
            .unwrap();
    let place = run.worktree.display().to_string();
    let found = super::found(&server);
    assert!(
        found.contains(&one("place_orphaned", &place)[0]),
        "{found:?}"
    );
    assert_eq!(super::fix(&server, false)["mended"], json!([]));
    assert!(run.worktree.exists() && server.repo.has_branch(&run.branch));
}

#[test]
fn what_cannot_be_read_is_refused_by_name_and_other_runs_go_on() {
    let server = started();
    let run = unreadable(&server);
    let body = json!({});
    let refused = [
        run.get(""),
        run.get("/gate"),
        run.get("/diff"),
        run.get("/evidence"),
        run.get("/sse"),
        run.get("/output"),
        run.post("/merge", &body),
        run.post("/abort", &body),
        run.post("/restore", &body),
        run.post("/retry", &body),
        run.post("/messages", &json!({"text": "go on"})),
        run.post(
            "/evidence",
            &json!({"item_key": "review", "kind": "text", "payload_text": "x"}),
        ),
    ];
    for (n, answer) in refused.into_iter().enumerate() {
        let problem = answer.expect(503);
        assert_eq!(problem["code"], "unreadable", "{n}: {problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains("event") && detail.contains("doctor"),
            "{detail}"
        );
    }
    assert_eq!(listed(&server), "finished");
    let mut all = server.frames("/api/events?after=0", None);
    let other = server.finished("print done");
    while all.next().unwrap().json["run_id"] != json!(other.id) {}
    server.restart();
    other.wait_for("finished");
    assert_eq!(run.get("").expect(503)["code"], "unreadable");
}
