//! The clock of the service jumps, by libfaketime, while agents work and between two starts. Only the time of day: the
//! monotonic clock goes on, as it does on a machine.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::mount::skip;
use crate::support::server::{Server, Setup};
use crate::support::wait::until;

const DAY: i64 = 24 * 60 * 60;

/// libfaketime, as Debian's package `faketime` puts it there. `None`, said by name, without it.
fn libfaketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten();
    let found = folders
        .filter_map(|entry| Some(entry.ok()?.path().join("faketime/libfaketime.so.1")))
        .find(|library| library.is_file());
    if found.is_none() {
        skip("no libfaketime in /usr/lib; Debian's package `faketime` has it");
    }
    found
}

/// A server whose clock can be set.
struct Clocked {
    server: Server,
}

impl Clocked {
    fn start() -> Option<Clocked> {
        let library = libfaketime()?;
        let setup = Setup::new();
        let set_to = setup.at("clock");
        fs::write(&set_to, "+0\n").unwrap();
        let set_to = set_to.to_str().unwrap().to_owned();
        let server = setup
            .variable("LD_PRELOAD", library.to_str().unwrap())
            .variable("FAKETIME_TIMESTAMP_FILE", &set_to)
            .variable("FAKETIME_NO_CACHE", "1")
            .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .start();
        Some(Clocked { server })
    }

    /// From now on the service's clock is so many seconds ahead.
    fn jump(&self, seconds: i64) {
        let aside = self.server.at("clock.new");
        fs::write(&aside, format!("{seconds:+}\n")).unwrap();
        fs::rename(aside, self.server.at("clock")).unwrap();
    }

    /// How many seconds a time is ahead of the real one.
    #[expect(clippy::disallowed_methods, reason = "the time that it really is")]
    fn ahead(time: &Value) -> i64 {
        let time: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
        time.as_second() - jiff::Timestamp::now().as_second()
    }
}

/// The ids of all runs, by pages of one.
fn paged(server: &Server) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server
            .get(&format!("/api/runs?limit=1{cursor}"))
            .expect(200);
        let runs = page["runs"].as_array().unwrap().iter();
        ids.extend(runs.map(|run| run["id"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
    }
}

#[test]
fn a_day_forward_and_two_back_change_no_limit_and_no_order() {
    let Some(clocked) = Clocked::start() else {
        return;
    };
    let server = &clocked.server;
    // Both limits are far below a day; one has said its last word as well.
    let limits = json!({"limits": {"timeout_s": 3000, "idle_timeout_s": 3000}});
    let script = format!(
        "claude-init\nclaude-text all done\nclaude-result success\nwait-for {}\nexit 0",
        server.mark_path("go")
    );
    let lingers = server.run_with(&script, &limits);
    let works = server.run_with(&format!("wait-for {}", server.mark_path("go")), &limits);
    let mut ids = vec![lingers.id.clone(), works.id.clone()];
    let mut after = String::new();
    for jump in [DAY, -DAY, 0] {
        clocked.jump(jump);
        let run = server.finished("write a.txt b");
        let created = Clocked::ahead(&run.detail()["created_at"]);
        assert!((created - jump).abs() < 60, "{created}");
        run.prove();
        after = run.id.clone();
        ids.push(run.id.clone());
        for going in [&lingers, &works] {
            assert_eq!(going.status(), "running", "{:#}", going.detail());
        }
        // The start again is at this time too.
        server.restart();
        for going in [&lingers, &works] {
            assert_eq!(going.status(), "running", "{:#}", going.detail());
        }
        server.get("/api/health").expect(200);
    }
    let merged = server.post(&format!("/api/runs/{after}/merge"), &json!({}));
    merged.expect(200);
    clocked.jump(-DAY);
    server.mark("go");
    for going in [&lingers, &works] {
        assert_eq!(going.wait_for("finished")["exit_code"], 0);
    }
    let mut listed = paged(server);
    listed.sort();
    ids.sort();
    assert_eq!(listed, ids, "each is listed once");
    let mut frames = server.frames("/api/events?after=0", None);
    let mut last = 0;
    let merged = frames.until(|frame| frame.json["status"] == "merged");
    for frame in merged {
        let (seq, _) = frame.place();
        assert!(seq >= last, "{seq} after {last}");
        last = seq;
    }
    server.check_world();
}

/// Seen red: with `Before::agrees_with` always true the log says `let go what="preserved"` in the other year, and the restore
/// is refused.
#[test]
fn work_that_is_kept_outlives_a_start_in_another_year() {
    let Some(clocked) = Clocked::start() else {
        return;
    };
    let server = &clocked.server;
    let run = server.finished("write kept.txt kept");
    run.abort().expect(200);
    clocked.jump(10 * 365 * DAY);
    server.restart();
    until("it has let nothing go, or the work", || {
        let log = server.log();
        log.contains("nothing past its time is let go")
            || log.contains("what was past its time is gone")
    });
    clocked.jump(0);
    server.restart();
    let restored = run.post("/restore", &json!({})).expect(200);
    assert_eq!(restored["status"], "finished");
    assert!(run.worktree.join("kept.txt").exists());
}
