//! The journal and the tables.

use serde_json::{Value, json};

use super::{assert_found_and_left, assert_found_and_mended, database, one, started};
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
             VALUES ('k', '', '00000000-0000-7000-8000-000000000000', '2026-01-01T00:00:00Z')",
        )
        .unwrap();
    assert_found_and_left(&server, "request_lost", "idempotency");
    let health: Value = server.get("/api/doctor").expect(200);
    assert_eq!(health["healthy"], false);
}
