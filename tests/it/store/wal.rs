//! The write-ahead log does not grow with what is written, and nobody waits for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agent_runner_api::store::{Store, StoreError, whole};
use rusqlite::{Connection, params};
use tempfile::TempDir;

use crate::support::wait::until;

const WRITES: usize = 20_000;
const WRITERS: usize = 64;
/// Without anybody who begins the log anew, these writes make one of more than 100 MiB.
const BOUND: u64 = 64 * 1024 * 1024;

/// Writes so much, and says how long the log was at its longest.
fn write(store: &Store) -> u64 {
    let longest = AtomicU64::new(0);
    let wal = whole::wal_of(store.path());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let writers = (0..WRITERS).map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in (writer..WRITES).step_by(WRITERS) {
                    // Spread over the whole index, as ids of clients are.
                    let key = format!("{:x}-{n}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
                    let row = move |db: &Connection| {
                        db.execute(
                            "INSERT INTO idempotency (key, body_sha256, run_id, answer_json, created_at) VALUES (?, ?, ?, ?, ?)",
                            params![key, "", "run", "x".repeat(2_000), "2026"],
                        )
                        .map_err(|source| StoreError::Sqlite { attempted: "write", source })
                    };
                    store.write(row).await.unwrap();
                }
            })
        });
        let writers: Vec<_> = writers.collect();
        for writer in writers {
            while !writer.is_finished() {
                let len = std::fs::metadata(&wal).map_or(0, |file| file.len());
                longest.fetch_max(len, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            writer.await.unwrap();
        }
    });
    longest.into_inner()
}

fn rows(db: &Connection) -> Result<usize, StoreError> {
    db.query_row("SELECT count(*) FROM idempotency", [], |row| row.get(0))
        .map_err(|source| StoreError::Sqlite {
            attempted: "count",
            source,
        })
}

fn is_cut(store: &Store) -> bool {
    std::fs::metadata(whole::wal_of(store.path())).map_or(0, |file| file.len()) == 0
}

#[test]
fn the_log_stays_short_while_many_write_and_is_cut_when_it_is_quiet() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(&folder.path().join("runs.db")).unwrap();
    let longest = write(&store);
    assert_eq!(store.read(rows).unwrap(), WRITES);
    assert!(longest < BOUND, "{longest}");
    until("the log is cut", || is_cut(&store));
}

#[test]
fn a_reader_that_stays_holds_nobody_up_and_sees_its_moment() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(&folder.path().join("runs.db")).unwrap();
    let moment = whole::open_to_read(store.path()).unwrap();
    assert_eq!(rows(&moment).unwrap(), 0);
    write(&store);
    assert_eq!(store.read(rows).unwrap(), WRITES);
    assert_eq!(rows(&moment).unwrap(), 0);
    assert!(
        !is_cut(&store),
        "what the reader does not see is in the log"
    );
    drop(moment);
    until("the log is cut", || is_cut(&store));
    assert_eq!(store.read(rows).unwrap(), WRITES);
}
