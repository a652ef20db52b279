//! No statement reads more than it answers with: the plan of each statement of `src/store/`, as SQLite makes it.
//!
//! The statements are taken from the source, so that none can be forgotten: every string there that begins as one. What is
//! put together from pieces is asked for in all its forms.

use std::collections::BTreeSet;
use std::path::Path;

use agent_runner_api::store::{Store, list};
use rusqlite::Connection;
use tempfile::TempDir;

/// Strings that are a piece of a statement, by how they begin, and where the whole is asked for.
const PIECES: &[(&str, &str)] = &[
    (
        "SELECT {COLUMNS} FROM runs",
        "`list::sql`, in all its forms",
    ),
    (
        "SELECT name, description, prompt_template",
        "workflows: a person writes them",
    ),
    ("DELETE FROM {table} WHERE {column} = ?", "`clearing_a_run`"),
    (
        "SELECT * FROM ({select}) WHERE {column} = '{run}'",
        "verify of one merge",
    ),
];

/// Statements that may take long, by how they begin, each with its reason.
const MAY_TAKE_LONG: &[(&str, &str)] = &[
    (
        "SELECT run_id, version, at, body FROM events ORDER BY seq",
        "an export tells all of it",
    ),
    (
        "SELECT * FROM runs ORDER BY id",
        "doctor --deep compares all rows",
    ),
    (
        "SELECT run_id, path, branch, base_commit, created_at, removed_at FROM worktrees",
        "doctor --deep compares all rows",
    ),
    (
        "SELECT * FROM dod_items ORDER BY",
        "doctor --deep compares all rows",
    ),
    (
        "SELECT * FROM dod_evidence ORDER BY",
        "doctor --deep compares all rows",
    ),
    (
        "SELECT told, branch FROM (SELECT DISTINCT run_id AS told FROM events)",
        "doctor --deep",
    ),
    (
        "SELECT run_id FROM idempotency WHERE",
        "the doctor; keys are kept for 30 days",
    ),
    ("SELECT count(*) FROM events", "audit verify counts them"),
    (
        "SELECT id FROM runs ORDER BY id",
        "a backup is looked at as a whole",
    ),
    (
        "SELECT DISTINCT sha256 FROM dod_evidence",
        "a backup, and the daily gc, look at all payloads",
    ),
    ("SELECT id FROM (SELECT", "a backup is looked at as a whole"),
    (
        "SELECT r.workflow, r.agent, r.model",
        "figures are counted from all runs that are asked for",
    ),
];

/// Tables that do not grow with the history.
const SMALL: &[&str] = &["workflows", "run_counts", "sqlite_sequence", "CONSTANT"];

/// A statement inside of another one, whose own lines are looked at too.
const INNER: &str = "(subquery-";

/// Indexes of what is there now, and so as short as that: to go through one is no scan of a history.
const OF_THE_LIVE: &[&str] = &["runs_queue", "runs_merge_queue", "worktrees_there"];

/// The strings of a source text, without its comments and its tests.
fn strings(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap();
    let code: Vec<&str> = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let code = code.join("\n");
    let (mut found, mut rest) = (Vec::new(), code.chars().peekable());
    while let Some(next) = rest.next() {
        match next {
            // A character, of which a quotation mark may be one.
            '\'' => {
                let mut ahead = rest.clone();
                if ahead.next() == Some('"') && ahead.next() == Some('\'') {
                    rest.nth(1);
                }
            }
            '"' => {
                let mut string = String::new();
                while let Some(c) = rest.next() {
                    match c {
                        '"' => break,
                        '\\' => match rest.next() {
                            Some('\n') => while rest.next_if(|c| c.is_whitespace()).is_some() {},
                            Some('n') => string.push('\n'),
                            Some(other) => string.push(other),
                            None => {}
                        },
                        c => string.push(c),
                    }
                }
                found.push(string.trim().to_owned());
            }
            _ => {}
        }
    }
    found
}

fn is_statement(text: &str) -> bool {
    ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"]
        .iter()
        .any(|verb| {
            text.strip_prefix(verb)
                .is_some_and(|rest| rest.starts_with([' ', '\n']))
        })
}

fn begins<'a>(list: &[(&'a str, &str)], sql: &str) -> Option<&'a str> {
    let mut found = list.iter().map(|(begin, _)| *begin);
    found.find(|begin| sql.starts_with(begin))
}

/// Every statement of the store.
fn statements() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "rs") {
            let source = std::fs::read_to_string(&path).unwrap();
            found.extend(
                strings(&source)
                    .into_iter()
                    .filter(|text| is_statement(text)),
            );
        }
    }
    let pieces = PIECES.iter().map(|(begin, _)| *begin);
    let unused: Vec<&str> = pieces
        .filter(|begin| !found.iter().any(|sql| sql.starts_with(begin)))
        .collect();
    assert!(unused.is_empty(), "no such piece any more: {unused:?}");
    found.retain(|sql| begins(PIECES, sql).is_none());
    for statuses in 0..=9 {
        found.extend([true, false].map(|of_app| list::sql(statuses, of_app)));
    }
    let clearing_a_run = [
        ("runs", "id"),
        ("worktrees", "run_id"),
        ("dod_items", "run_id"),
        ("dod_evidence", "run_id"),
    ];
    found.extend(
        clearing_a_run.map(|(table, column)| format!("DELETE FROM {table} WHERE {column} = ?")),
    );
    found
}

/// How SQLite goes about it, line by line.
fn plan(connection: &Connection, sql: &str) -> Result<Vec<String>, rusqlite::Error> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
    let parameters = vec![rusqlite::types::Null; statement.parameter_count()];
    let lines = statement.query_map(rusqlite::params_from_iter(parameters), |row| row.get(3))?;
    lines.collect()
}

/// Whether a line of a plan reads more than is answered with.
fn is_long(line: &str) -> bool {
    let scans = line.strip_prefix("SCAN ").is_some_and(|scanned| {
        let table = scanned.split(' ').next().unwrap_or_default();
        let live = OF_THE_LIVE.iter().any(|index| scanned.ends_with(index));
        !SMALL.contains(&table) && !live && !table.starts_with(INNER)
    });
    scans
        || line.contains("TEMP B-TREE FOR ORDER BY")
        || line.contains("LAST TERM")
        || line.contains("AUTOMATIC")
}

/// What does not go by an index, or cannot be done at all; and which of the exceptions were needed.
fn wrong(connection: &Connection) -> (Vec<String>, BTreeSet<&'static str>) {
    let (mut wrong, mut excused) = (Vec::new(), BTreeSet::new());
    for sql in statements() {
        match plan(connection, &sql) {
            Ok(lines) if !lines.iter().any(|line| is_long(line)) => {}
            Ok(lines) => match begins(MAY_TAKE_LONG, &sql) {
                Some(excuse) => drop(excused.insert(excuse)),
                None => wrong.push(format!("{sql}\n    {}", lines.join("\n    "))),
            },
            Err(error) => wrong.push(format!("{sql}\n    {error}")),
        }
    }
    (wrong, excused)
}

fn database() -> (TempDir, Connection) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("runs.db");
    drop(Store::open(&path).unwrap());
    let connection = Connection::open(&path).unwrap();
    (folder, connection)
}

#[test]
fn no_statement_reads_more_than_it_answers_with() {
    let (_folder, connection) = database();
    let all = statements();
    assert!(all.len() > 60, "{} statements were found", all.len());
    let (wrong, excused) = wrong(&connection);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let listed: BTreeSet<&str> = MAY_TAKE_LONG.iter().map(|(begin, _)| *begin).collect();
    assert_eq!(excused, listed, "an exception that nothing needs");
}

/// Seen red without `runs_by_app_and_status`.
#[test]
fn a_page_is_found_by_all_that_is_asked_for() {
    let (_folder, connection) = database();
    for statuses in 0..=9 {
        for of_app in [true, false] {
            let lines = plan(&connection, &list::sql(statuses, of_app)).unwrap();
            let searches: Vec<&String> =
                lines.iter().filter(|line| line.contains("runs")).collect();
            assert_eq!(searches.len(), statuses.max(1));
            for search in searches {
                assert_eq!(search.contains("status=?"), statuses > 0, "{search}");
                assert_eq!(search.contains("kanban_app=?"), of_app, "{search}");
                assert!(search.contains("(created_at,id)<(?,?)"), "{search}");
            }
        }
    }
}

/// No index is there that nothing needs; and without any one of them the plans are others, so that they are looked at.
#[test]
fn without_any_one_of_the_indexes_some_statement_goes_another_way() {
    let (_folder, connection) = database();
    let all = statements();
    let plans = || {
        let plans = all
            .iter()
            .map(|sql| plan(&connection, sql).map_err(|error| error.to_string()));
        plans.collect::<Vec<_>>()
    };
    let mut statement = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")
        .unwrap();
    let indexes: Vec<String> = statement
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(indexes.len() > 10, "{indexes:?}");
    drop(statement);
    let before = plans();
    for index in indexes {
        connection
            .execute_batch(&format!("BEGIN; DROP INDEX {index}"))
            .unwrap();
        assert!(plans() != before, "nothing needs {index}");
        connection.execute_batch("ROLLBACK").unwrap();
    }
}
