//! How many runs have each status is what it is when somebody counts them.

use std::collections::BTreeMap;

use agent_runner_api::store::{Store, runs};
use rusqlite::{Connection, params};
use tempfile::TempDir;

const NEW: &str = "INSERT INTO runs (id, workflow, mode, agent, branch, worktree_path, base, status, created_at) \
    VALUES (?1, 'auto', 'auto', 'stub', ?1, '/w', 'master', ?2, '2026-11-23T00:00:00.000Z') \
    ON CONFLICT (id) DO UPDATE SET status = ?2";

fn counted(connection: &Connection) -> BTreeMap<String, u64> {
    let mut statement = connection
        .prepare("SELECT status, count(*) FROM runs GROUP BY status")
        .unwrap();
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    rows.map(Result::unwrap).collect()
}

/// Seen red without the trigger for deleted rows.
#[test]
fn the_counts_by_status_are_those_of_the_rows() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("runs.db");
    let store = Store::open(&path).unwrap();
    let connection = Connection::open(&path).unwrap();
    let words = ["queued", "running", "finished", "merged", "aborted"];
    for step in 0_usize..400 {
        let id = format!("run-{}", step * 7 % 40);
        if step % 11 == 10 {
            connection
                .execute("DELETE FROM runs WHERE id = ?", [&id])
                .unwrap();
        } else {
            let word = words[step * 3 % words.len()];
            connection.execute(NEW, params![id, word]).unwrap();
        }
        if step % 50 == 49 {
            let counts = store.read(runs::counts).unwrap();
            assert_eq!(
                counts.into_iter().collect::<BTreeMap<_, _>>(),
                counted(&connection)
            );
        }
    }
}
