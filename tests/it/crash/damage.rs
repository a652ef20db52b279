//! A database that is not what was written: named and refused, or whole; never fewer runs without a word.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::support::server::{Server, Setup};
use agent_runner_api::journal::Journal;
use agent_runner_api::run::{Event, Run, RunId, Status};
use agent_runner_api::shape::request::RunFilter;
use agent_runner_api::store::{Store, StoreError, list, whole};

/// What a start reads of a database.
type Read = (Vec<Run>, Vec<String>);

fn read(db: &Path) -> Result<Read, StoreError> {
    let store = Store::open(db)?;
    store.verify()?;
    let list = store.read(|db| list::page(db, &RunFilter::default(), None, 500))?;
    let all = Journal::open(store)?.all()?;
    Ok((all, list.into_iter().map(|run| run.id).collect()))
}

/// A server that has ended, with runs that finished, merged and were aborted; its database, alone in its file.
fn with_runs() -> (Server, PathBuf) {
    let server = Server::start();
    for n in 0..4 {
        let run = server.finished(&format!("write {n}.txt {n}"));
        run.prove();
        match n {
            0 => drop(run.merge().expect(200)),
            1 => drop(run.abort().expect(200)),
            _ => {}
        }
    }
    server.terminate();
    let db = server.at("alone.db");
    whole::copy(&server.at("runs.db"), &db).unwrap();
    (server, db)
}

/// Numbers that look random and are the same at each run of the test (xorshift, Marsaglia 2003).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % n as u64).unwrap()
    }
}

/// Seen red without `Store::verify`: an event with one letter changed opened without a word.
#[test]
fn a_database_with_one_byte_changed_opens_with_all_runs_or_is_refused() {
    let (server, db) = with_runs();
    let original = read(&db).unwrap();
    assert_eq!(original.0.len(), 4);
    let bytes = fs::read(&db).unwrap();
    let mut dice = Dice(0x5eed_2026_1123);
    let mut refused = 0;
    for n in 0..100 {
        let mut bytes = bytes.clone();
        // Some in the first page: the header and the tables' definitions.
        let at = dice.below(if n % 4 == 0 { 4096 } else { bytes.len() });
        bytes[at] ^= 1 << dice.below(8);
        // A name of its own: a store's writer closes its file a moment after the store is gone.
        let changed = server.at(&format!("changed-{n}.db"));
        fs::write(&changed, &bytes).unwrap();
        match read(&changed) {
            Ok(found) => assert_eq!(found, original, "byte {at} of {}", bytes.len()),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 10, "{refused}");
}

/// Seen red without the check of the log in `Store::open`: the server starts on an empty database.
#[test]
fn a_database_that_is_gone_or_empty_beside_its_log_is_not_made_anew() {
    let server = Server::start();
    server.finished("exit 0");
    server.kill();
    assert!(fs::metadata(server.at("runs.db-wal")).unwrap().len() > 0);
    let bytes = fs::read(server.at("runs.db")).unwrap();
    for gone in [true, false] {
        match gone {
            true => fs::remove_file(server.at("runs.db")).unwrap(),
            false => fs::write(server.at("runs.db"), b"").unwrap(),
        }
        refused(&server, "its write-ahead log is there");
    }
    fs::write(server.at("runs.db"), bytes).unwrap();
    server.start_again();
    assert_eq!(
        server.get("/api/runs").expect(200)["runs"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

/// The program says why it does not start, and ends with the code for damage.
#[track_caller]
fn refused(server: &Setup, why: &str) {
    let mut command = server.command();
    let ended = command.stderr(Stdio::piped()).output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(18), "{told}");
    assert!(
        told.contains(why) && told.contains("restore-backup"),
        "{told}"
    );
}

#[test]
fn a_damaged_database_is_refused_at_the_start_with_what_to_do() {
    let (server, db) = with_runs();
    let bytes = fs::read(&db).unwrap();
    let words = b"read and found good";
    // Each place of these words: some are in the journal's rows, some in those of the evidence's table.
    let places: Vec<usize> = (0..bytes.len() - words.len())
        .filter(|at| &bytes[*at..at + words.len()] == words)
        .collect();
    let mut told = 0;
    for at in places {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let copy = server.at(&format!("copy-{at}.db"));
        fs::write(&copy, &changed).unwrap();
        if read(&copy).is_err() {
            fs::write(server.at("runs.db"), &changed).unwrap();
            refused(&server, "of the journal is not what was written");
            told += 1;
        }
    }
    assert_eq!(told, 4, "each of four events is looked at");
    fs::write(server.at("runs.db"), vec![b'x'; 8192]).unwrap();
    refused(&server, "file is not a database");
}

/// What a crash cuts off a log was never answered: nothing of it is in the database's file yet, for the log is synced
/// before it is carried over. What is left is a beginning.
#[test]
fn a_log_that_was_cut_short_is_survived() {
    let (server, db) = with_runs();
    let versions = |runs: &[Run]| -> BTreeMap<RunId, u64> {
        runs.iter().map(|run| (run.id, run.version)).collect()
    };
    let before = versions(&read(&db).unwrap().0);
    let bytes = fs::read(&db).unwrap();
    let journal = Journal::open(Store::open(&db).unwrap()).unwrap();
    let all = journal.all().unwrap();
    let run = all
        .iter()
        .find(|run| run.status() == Status::Finished)
        .unwrap();
    let head = run.head.clone().unwrap();
    // Who reads an old moment keeps the log from being carried over.
    let moment = whole::open_to_read(&db).unwrap();
    whole::schema(&moment).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for _ in 0..5 {
        let moved = vec![Event::HeadMoved {
            head: head.clone(),
            carries: None,
        }];
        runtime.block_on(journal.record(run.id, moved)).unwrap();
    }
    assert_eq!(
        fs::read(&db).unwrap()[100..],
        bytes[100..],
        "all of it is in the log"
    );
    let log_bytes = fs::read(whole::wal_of(&db)).unwrap();
    let mut seen = BTreeSet::new();
    let mut dice = Dice(0x0109_cafe);
    for n in 0..30 {
        // A name of its own: a store's writer closes its file a moment after the store is gone.
        let cut = server.at(&format!("cut-{n}.db"));
        fs::copy(&db, &cut).unwrap();
        let cut_log = whole::wal_of(&cut);
        fs::write(cut_log, &log_bytes[..dice.below(log_bytes.len())]).unwrap();
        let left = versions(&read(&cut).unwrap().0);
        assert!(left.keys().eq(before.keys()));
        seen.insert(left[&run.id] - before[&run.id]);
    }
    assert!(
        seen.len() > 2 && seen.iter().all(|more| *more < 5),
        "{seen:?}"
    );
}
