//! Every migration, on a database that already holds rows.

use std::collections::BTreeSet;
use std::path::PathBuf;

use agent_runner_api::store::migrate::{migrate, migrate_to, newest};
use agent_runner_api::store::{Store, StoreError};
use rusqlite::Connection;
use rusqlite::types::Value;
use tempfile::TempDir;

/// A row for each table, as the version that made the table would have written it. A new table gets its row here.
const ROWS: &[(&str, &str)] = &[
    (
        "workflows",
        "INSERT INTO workflows (name, prompt_template, created_at, updated_at)
         VALUES ('fix', '{{ prompt }}', '2026-11-23T00:00:00.000Z', '2026-11-23T00:00:00.000Z')",
    ),
    (
        "runs",
        "INSERT INTO runs (id, workflow, mode, prompt, agent, branch, worktree_path, base, status, created_at)
         VALUES ('run-1', 'fix', 'fix', 'Löse es', 'claude', 'auto/fix-1', '/w/fix-1', 'master', 'running',
                 '2026-11-23T00:00:01.000Z')",
    ),
    (
        "worktrees",
        "INSERT INTO worktrees (run_id, path, branch, base_commit, created_at)
         VALUES ('run-1', '/w/fix-1', 'auto/fix-1', 'c0ffee', '2026-11-23T00:00:02.000Z')",
    ),
    (
        "dod_items",
        "INSERT INTO dod_items
           (id, run_id, item_key, title, required, status, accepts_json, validator, position, created_at)
         VALUES ('item-1', 'run-1', 'tests', 'They pass', 1, 'done', '[\"text\"]', 'operator', 0,
                 '2026-11-23T00:00:01.000Z')",
    ),
    (
        "dod_evidence",
        "INSERT INTO dod_evidence
           (id, run_id, item_id, kind, payload_text, \"commit\", tree, base_commit, sha256, size, author, created_at)
         VALUES ('evidence-1', 'run-1', 'item-1', 'text', 'ok', 'c0ffee', '7ree', 'c0ffee', 'abc', 2, 'operator',
                 '2026-11-23T00:00:03.000Z')",
    ),
    // Written by the row of `runs`: this one changes nothing.
    (
        "run_counts",
        "INSERT INTO run_counts (status, runs) VALUES ('running', 1) ON CONFLICT (status) DO NOTHING",
    ),
    (
        "events",
        "INSERT INTO events (run_id, name, version, at, body, previous_hash, hash)
         VALUES ('run-1', 'created', 1, '2026-11-23T00:00:01.000Z', '{}', '', 'abc')",
    ),
    (
        "idempotency",
        "INSERT INTO idempotency (key, body_sha256, run_id, created_at)
         VALUES ('key-1', 'abc', 'run-1', '2026-11-23T00:00:01.000Z')",
    ),
];

/// A database of this version with a row in each of its tables.
struct Old {
    path: PathBuf,
    connection: Connection,
    _folder: TempDir,
}

impl Old {
    fn of_version(version: usize) -> Old {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("runs.db");
        let mut connection = Connection::open(&path).unwrap();
        connection
            .pragma_update(None, "foreign_keys", "ON")
            .unwrap();
        migrate_to(&mut connection, version).unwrap();
        let tables = tables(&connection);
        for (_, insert) in ROWS.iter().filter(|(table, _)| tables.contains(*table)) {
            connection.execute(insert, []).unwrap();
        }
        Old {
            path,
            connection,
            _folder: folder,
        }
    }

    fn newest() -> Old {
        Old::of_version(newest())
    }
}

fn tables(connection: &Connection) -> BTreeSet<String> {
    let named = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let mut statement = connection.prepare(named).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

fn columns(connection: &Connection, table: &str) -> Vec<String> {
    let mut statement = connection
        .prepare("SELECT name FROM pragma_table_info(?1)")
        .unwrap();
    let rows = statement.query_map([table], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// All rows of the table, in these columns.
fn rows(connection: &Connection, table: &str, columns: &[String]) -> Vec<Vec<Value>> {
    let list: Vec<String> = columns.iter().map(|name| format!("\"{name}\"")).collect();
    let all = format!("SELECT {} FROM {table} ORDER BY 1", list.join(", "));
    let mut statement = connection.prepare(&all).unwrap();
    let rows = statement
        .query_map([], |row| (0..columns.len()).map(|at| row.get(at)).collect())
        .unwrap();
    rows.map(Result::unwrap).collect()
}

fn version(connection: &Connection) -> i64 {
    connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap()
}

fn newest_number() -> i64 {
    i64::try_from(newest()).unwrap()
}

#[test]
fn every_version_comes_to_the_newest_with_its_rows() {
    for from in 1..=newest() {
        let mut old = Old::of_version(from);
        let before: Vec<_> = tables(&old.connection)
            .into_iter()
            .map(|table| {
                let columns = columns(&old.connection, &table);
                let rows = rows(&old.connection, &table, &columns);
                (table, columns, rows)
            })
            .collect();
        // The eighth makes none.
        let made = from - usize::from(from >= 8);
        assert_eq!(before.len(), made, "a table each");
        migrate(&mut old.connection).unwrap();
        assert_eq!(version(&old.connection), newest_number());
        for (table, columns, kept) in before {
            assert_eq!(kept.len(), 1, "{table} of version {from} has a row");
            assert_eq!(
                rows(&old.connection, &table, &columns),
                kept,
                "{table} of version {from}"
            );
        }
    }
}

#[test]
fn the_counts_by_status_begin_with_the_rows_that_are_there() {
    let mut old = Old::of_version(8);
    migrate(&mut old.connection).unwrap();
    let counts = rows(
        &old.connection,
        "run_counts",
        &["status".to_owned(), "runs".to_owned()],
    );
    assert_eq!(counts, [[Value::Text("running".into()), Value::Integer(1)]]);
}

#[test]
fn every_table_has_a_row_in_these_tests() {
    let known: BTreeSet<String> = ROWS.iter().map(|(table, _)| (*table).to_owned()).collect();
    assert_eq!(tables(&Old::newest().connection), known);
}

#[test]
fn the_first_five_migrations_make_the_five_tables_of_the_contract() {
    let five = [
        "dod_evidence",
        "dod_items",
        "runs",
        "workflows",
        "worktrees",
    ];
    let found = tables(&Old::of_version(5).connection);
    assert_eq!(found, five.map(str::to_owned).into());
}

#[test]
fn migrating_again_changes_nothing() {
    let mut old = Old::newest();
    let schema = |connection: &Connection| {
        let columns = ["type", "name", "sql"].map(str::to_owned);
        rows(connection, "sqlite_schema", &columns)
    };
    let before = schema(&old.connection);
    migrate(&mut old.connection).unwrap();
    migrate(&mut old.connection).unwrap();
    assert_eq!(schema(&old.connection), before);
    assert_eq!(version(&old.connection), newest_number());
}

#[test]
fn the_store_opens_a_database_of_the_first_version_and_again() {
    let Old {
        path,
        connection,
        _folder,
    } = Old::of_version(1);
    drop(connection);
    drop(Store::open(&path).unwrap());
    drop(Store::open(&path).unwrap());
    let connection = Connection::open(&path).unwrap();
    assert_eq!(version(&connection), newest_number());
    let names = rows(&connection, "workflows", &["name".to_owned()]);
    assert_eq!(names, [[Value::Text("fix".into())]]);
}

#[test]
fn an_older_program_refuses_a_database_of_a_newer_one_and_does_not_touch_it() {
    let old = Old::newest();
    let newer = newest_number() + 1;
    old.connection
        .pragma_update(None, "user_version", newer)
        .unwrap();
    match Store::open(&old.path) {
        Err(StoreError::TooNew { found, known }) => {
            assert_eq!((found, known), (newer, newest_number()));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(version(&old.connection), newer);
    assert_eq!(rows(&old.connection, "runs", &["id".to_owned()]).len(), 1);
}

#[test]
fn events_are_neither_changed_nor_deleted() {
    let old = Old::newest();
    for forbidden in [
        "UPDATE events SET body = '{\"forged\": true}'",
        "UPDATE events SET seq = 7",
        "DELETE FROM events",
    ] {
        let refused = old.connection.execute(forbidden, []).unwrap_err();
        assert!(
            refused.to_string().contains("the journal is append-only"),
            "{forbidden}: {refused}"
        );
    }
    let body = rows(&old.connection, "events", &["body".to_owned()]);
    assert_eq!(body, [[Value::Text("{}".into())]]);
}

#[test]
fn what_is_no_database_is_called_damaged() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("runs.db");
    std::fs::write(&path, "this is a letter, not a database".repeat(200)).unwrap();
    let refused = Store::open(&path);
    assert!(
        matches!(refused, Err(StoreError::Damaged(_))),
        "{refused:?}"
    );
}
