//! `restore-backup` and `import`, killed (SIGKILL) at moments over their whole duration: the place has what it had or what
//! it was to have, never something between, and the same command then goes through.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use agent_runner_api::dod::Payload;
use agent_runner_api::journal::Journal;
use agent_runner_api::run::Run;
use agent_runner_api::store::Store;

use crate::support::server::Server;

/// How many moments, spread over the time that the command takes.
const MOMENTS: u32 = 30;

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

/// Kills the command at each moment, on a place of its own that `prepare` has made as it was before.
fn killed_at_each_moment(
    server: &Server,
    arguments: &[&str],
    prepare: impl Fn(&Path),
    mut look: impl FnMut(&BTreeSet<String>),
) -> u32 {
    let place = server.at("place");
    let afresh = || {
        fs::remove_dir_all(&place).ok();
        fs::create_dir(&place).unwrap();
        prepare(&place);
    };
    afresh();
    let begun = Instant::now();
    assert!(start(server, &place, arguments).wait().unwrap().success());
    let whole = begun.elapsed();
    let mut killed = 0;
    for moment in 0..MOMENTS {
        afresh();
        let mut child = start(server, &place, arguments);
        let until = Instant::now() + whole * moment / (MOMENTS - 5);
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().ok();
        killed += u32::from(!child.wait().unwrap().success());
        look(&held(&place));
        let mut again = start(server, &place, arguments);
        assert!(again.wait().unwrap().success(), "moment {moment}");
        look(&held(&place));
        let left = fs::read_dir(&place)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        let restoring = left.filter(|name| name.to_string_lossy().contains("restoring"));
        assert_eq!(restoring.count(), 0);
    }
    killed
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

/// Seen red with the old database moved away before the new one came: at some moments there was none.
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
    let killed = killed_at_each_moment(&server, &arguments, prepare, |held| {
        assert!(*held == old || *held == new, "{held:?}");
        seen.insert(held.clone());
    });
    assert!(killed > MOMENTS / 3, "{killed}");
    assert_eq!(seen.len(), 2);
}

fn run_output(server: &Server, run: &str) -> Vec<u8> {
    fs::read(server.at("state/runs").join(run).join("output")).unwrap()
}

/// Seen red with a transaction for each run instead of one for all.
#[test]
fn an_import_that_is_killed_leaves_all_runs_or_none_and_is_repeated() {
    let (server, file, new) = with_archive(&["export"]);
    let mut seen = BTreeSet::new();
    let arguments = ["import", file.to_str().unwrap()];
    let killed = killed_at_each_moment(
        &server,
        &arguments,
        |_| {},
        |held| {
            assert!(held.is_empty() || *held == new, "{held:?}");
            seen.insert(held.clone());
        },
    );
    assert!(killed > MOMENTS / 3, "{killed}");
    assert_eq!(seen.len(), 2);
}
