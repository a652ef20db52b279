//! `restore-backup` and `import`, killed (SIGKILL) after each step that can be seen from outside: the place has what it had or what
//! it was to have, never something between, and the same command then goes through.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use agent_runner_api::dod::Payload;
use agent_runner_api::journal::Journal;
use agent_runner_api::run::Run;
use agent_runner_api::store::Store;

use crate::support::server::Server;

/// More steps than are looked for: a start of a new database alone has some.
const MOST_STEPS: usize = 40;

/// The program with a command on the database `db` and the state root `state` below `place`.
#[expect(
    clippy::disallowed_methods,
    reason = "the program under test is started here"
)]
fn start(server: &Server, place: &Path, arguments: &[&str]) -> Child {
    let like = server.command();
    let mut command = Command::new(like.get_program());
    command.args(arguments);
    for (name, value) in [
        ("--db", place.join("runs.db")),
        ("--state-root", place.join("state")),
        ("--repo-root", server.at("repository")),
    ] {
        command.arg(format!("{name}={}", value.display()));
    }
    let command = command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", server.at("home"));
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null());
    quiet.stderr(Stdio::null()).spawn().unwrap()
}

/// What is in the place: its runs, each with its payloads and its output as far as its events tell of them.
#[track_caller]
fn held(place: &Path) -> BTreeSet<String> {
    if !place.join("runs.db").exists() {
        return BTreeSet::new();
    }
    let store = Store::open(&place.join("runs.db")).unwrap();
    store.verify().unwrap();
    let runs = Journal::open(store).unwrap().all().unwrap();
    for run in &runs {
        has_its_files(place, run);
    }
    runs.iter().map(|run| run.id.to_string()).collect()
}

#[track_caller]
fn has_its_files(place: &Path, run: &Run) {
    for evidence in &run.evidence {
        if matches!(evidence.payload, Payload::File { .. }) {
            let sha256 = &evidence.sha256;
            let file = place.join("state/evidence").join(&sha256[..2]).join(sha256);
            assert_eq!(fs::metadata(file).unwrap().len(), evidence.size);
        }
    }
    let output = place
        .join("state/runs")
        .join(run.id.to_string())
        .join("output");
    assert!(output.exists(), "{}", output.display());
}

/// The names in the place, and how long its log is: each step of what is put in place changes one of them.
fn seen_from_outside(place: &Path) -> Vec<(OsString, u64)> {
    let entries = fs::read_dir(place).unwrap().flatten().map(|entry| {
        let name = entry.file_name();
        let is_log = name.to_string_lossy().ends_with("-wal");
        let len = || entry.metadata().map_or(0, |meta| meta.len());
        let len = if is_log { len() } else { 0 };
        (name, len)
    });
    let mut seen: Vec<_> = entries.collect();
    seen.sort();
    seen
}

/// Kills the command as soon as its first step is seen, then as soon as the second is, and so on until it ends before
/// that; each time on a place that `prepare` has made as it was before. How often it was killed.
fn killed_at_each_step(
    server: &Server,
    arguments: &[&str],
    prepare: impl Fn(&Path),
    mut look: impl FnMut(&BTreeSet<String>),
) -> usize {
    let place = server.at("place");
    for step in 0..MOST_STEPS {
        fs::remove_dir_all(&place).ok();
        fs::create_dir(&place).unwrap();
        prepare(&place);
        let mut child = start(server, &place, arguments);
        let (mut steps, mut last) = (0, seen_from_outside(&place));
        while steps <= step && child.try_wait().unwrap().is_none() {
            let now = seen_from_outside(&place);
            steps += usize::from(now != last);
            last = now;
        }
        child.kill().ok();
        let ended = child.wait().unwrap().success();
        look(&held(&place));
        let mut again = start(server, &place, arguments);
        assert!(again.wait().unwrap().success(), "step {step}");
        look(&held(&place));
        let left = seen_from_outside(&place).into_iter();
        let restoring = left.filter(|(name, _)| name.to_string_lossy().contains("restoring"));
        assert_eq!(restoring.count(), 0);
        if ended {
            return step;
        }
    }
    MOST_STEPS
}

/// Three runs with payloads and output, and an archive of them that this command writes.
fn with_archive(command: &[&str]) -> (Server, PathBuf, BTreeSet<String>) {
    let server = Server::start();
    let mut ids = BTreeSet::new();
    for n in 0..3 {
        let run = server.finished(&format!("print {n}\nwrite work.txt {n}"));
        let fields = [("item_key", "review"), ("kind", "file")];
        let bytes = vec![n; 1 << 20];
        let path = run.path("/evidence");
        server
            .client()
            .upload(&path, &fields, ("shot.png", &bytes))
            .expect(201);
        ids.insert(run.id.clone());
    }
    server.terminate();
    let file = server.at("archive.tar");
    let mut arguments = vec![command[0], file.to_str().unwrap()];
    arguments.extend(&command[1..]);
    let place = server.at("");
    assert!(start(&server, &place, &arguments).wait().unwrap().success());
    (server, file, ids)
}

/// Seen red with the old database moved away before the new one came, and 50 ms between for a slow disk: there was none.
/// Without the 50 ms no kill of this test fell between the two renames.
#[test]
fn a_restore_that_is_killed_leaves_the_old_or_the_new_database_and_is_repeated() {
    let (server, file, new) = with_archive(&["backup", "--with-output"]);
    // What is there before: another run, in a database whose server was killed.
    let other = Server::start();
    let run = other.finished("print old");
    other.kill();
    let old = BTreeSet::from([run.id.clone()]);
    let prepare = |place: &Path| {
        for name in ["runs.db", "runs.db-wal", "runs.db-shm"] {
            if other.at(name).exists() {
                fs::copy(other.at(name), place.join(name)).unwrap();
            }
        }
        let output = place.join("state/runs").join(&run.id);
        fs::create_dir_all(&output).unwrap();
        fs::write(output.join("output"), run_output(&other, &run.id)).unwrap();
    };
    let mut seen = BTreeSet::new();
    let arguments = ["restore-backup", file.to_str().unwrap(), "--replace"];
    let killed = killed_at_each_step(&server, &arguments, prepare, |held| {
        assert!(*held == old || *held == new, "{held:?}");
        seen.insert(held.clone());
    });
    assert!(killed > 2, "{killed}");
    assert_eq!(seen.len(), 2);
}

fn run_output(server: &Server, run: &str) -> Vec<u8> {
    fs::read(server.at("state/runs").join(run).join("output")).unwrap()
}

/// Seen red with a transaction for each run instead of one for all, and 50 ms between for a slow disk.
#[test]
fn an_import_that_is_killed_leaves_all_runs_or_none_and_is_repeated() {
    let (server, file, new) = with_archive(&["export"]);
    let mut seen = BTreeSet::new();
    let arguments = ["import", file.to_str().unwrap()];
    let killed = killed_at_each_step(
        &server,
        &arguments,
        |_| {},
        |held| {
            assert!(held.is_empty() || *held == new, "{held:?}");
            seen.insert(held.clone());
        },
    );
    assert!(killed > 2, "{killed}");
    assert_eq!(seen.len(), 2);
}
