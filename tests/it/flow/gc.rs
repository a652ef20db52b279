//! What is past its time goes, with a report; everything else stays, with the reason.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::server::{Server, Setup};
use crate::support::wait::{PATIENCE, until};

/// A server that keeps preserved work for so many days and has looked once after its start.
fn keeping(days: &str) -> Server {
    let server = Setup::new().flag("--preserved-keep-days", days).start();
    until("it has looked", || {
        server.log().contains("looked at the world")
    });
    server
}

fn dry(server: &Server) -> Value {
    let report = server.get("/api/gc").expect(200);
    let asked = server
        .post("/api/gc", &json!({"dry_run": true}))
        .expect(200);
    assert_eq!(report, asked);
    assert_eq!(report["dry_run"], true);
    report
}

fn gc(server: &Server) -> Value {
    let report = server.post("/api/gc", &json!({})).expect(200);
    assert_eq!(report["dry_run"], false);
    report
}

/// `what at` of each.
fn of(report: &Value, list: &str) -> Vec<String> {
    let items = report[list].as_array().unwrap().iter();
    items
        .map(|item| {
            format!(
                "{} {}",
                item["what"].as_str().unwrap(),
                item["at"].as_str().unwrap()
            )
        })
        .collect()
}

fn long_ago(path: &Path) {
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(then)
        .unwrap();
}

#[test]
fn preserved_work_goes_when_its_time_is_over_and_a_restore_says_so() {
    let server = keeping("0");
    let run = server.finished("write work.txt done");
    run.abort().expect(200);
    until("the trash is empty", || {
        fs::read_dir(server.at("worktrees/.trash")).is_ok_and(|mut trash| trash.next().is_none())
    });
    let name = format!("refs/agent_runner/preserved/{}", run.id);
    let expected = [format!("preserved {name}")];
    let report = dry(&server);
    assert_eq!(of(&report, "gone"), expected);
    assert_eq!(report["gone"][0]["run_id"], run.id.as_str());
    assert!(
        server.repo.commit_of(&name).is_some(),
        "a dry run does nothing"
    );
    assert_eq!(of(&gc(&server), "gone"), expected);
    assert_eq!(server.repo.commit_of(&name), None);
    assert_eq!(of(&gc(&server), "gone"), [""; 0]);
    let refused = run
        .post("/restore", &json!({}))
        .expect_problem(409, "cannot_restore");
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("was kept for 0 days"), "{detail}");
    server.check_world();
}

#[test]
fn what_is_still_to_be_kept_stays_and_is_told_until_when() {
    let server = keeping("30");
    let aborted = server.finished("write work.txt done");
    aborted.abort().expect(200);
    let unknown = "refs/agent_runner/preserved/01934e2a-0000-7000-8000-0123456789ab";
    server.repo.git(&["update-ref", unknown, "HEAD"]);
    let report = gc(&server);
    let mut left = of(&report, "left");
    left.sort();
    let mut expected = [
        format!("preserved refs/agent_runner/preserved/{}", aborted.id),
        format!("preserved {unknown}"),
    ];
    expected.sort();
    assert_eq!(left, expected);
    assert!(report["left"].to_string().contains("it is kept until"));
    aborted.post("/restore", &json!({})).expect(200);
    assert!(
        gc(&server)["left"]
            .to_string()
            .contains("its run has not ended")
    );
    assert!(
        server.repo.commit_of(unknown).is_some(),
        "another service may know it"
    );
    server.repo.git(&["update-ref", "-d", unknown]);
}

#[test]
fn leftovers_go_when_the_base_has_them_or_when_they_were_seen_long_enough() {
    let server = keeping("0");
    let repo = &server.repo;
    let below = "refs/agent_runner/preserved/leftover/auto/by-hand-0badcafe";
    let (in_base, beside) = (format!("{below}/in-base"), format!("{below}/beside"));
    repo.git(&["update-ref", &in_base, "HEAD"]);
    let commit = repo.git(&["commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "beside"]);
    repo.git(&["update-ref", &beside, commit.trim()]);
    let first = gc(&server);
    assert_eq!(of(&first, "gone"), [format!("leftover {in_base}")]);
    assert_eq!(
        of(&first, "left"),
        [format!("leftover {beside}")],
        "seen for the first time"
    );
    // A restart does not begin its time anew: the start itself lets it go.
    server.restart();
    until("it has gone", || repo.commit_of(&beside).is_none());
    assert_eq!(of(&gc(&server), "gone"), [""; 0]);
}

/// A payload of the content store that no evidence names.
fn unnamed(server: &Server, name: &str) -> PathBuf {
    let sha256 = name.repeat(64);
    let folder = server.at("state/evidence").join(&sha256[..2]);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(&sha256), "four").unwrap();
    folder.join(sha256)
}

#[test]
fn payloads_and_uploads_that_nothing_names_go_after_a_day() {
    let server = keeping("30");
    let run = server.finished("write work.txt done");
    let file = json!({"item_key": "review", "payload_path": "work.txt"});
    let evidence = run.post("/evidence", &file).expect(201);
    let sha256 = evidence["sha256"].as_str().unwrap();
    let named = server.at("state/evidence").join(&sha256[..2]).join(sha256);
    let (old, young) = (unnamed(&server, "a"), unnamed(&server, "b"));
    let upload = server.at("state/uploads/cut-short");
    let aside = server.at("state/evidence/aside/cut-short");
    for path in [&upload, &aside] {
        fs::write(path, "half").unwrap();
    }
    for path in [&named, &old, &upload, &aside] {
        long_ago(path);
    }
    let expected = [
        format!("payload {}", old.display()),
        format!("unfinished_upload {}", aside.display()),
        format!("unfinished_upload {}", upload.display()),
    ];
    assert_eq!(of(&dry(&server), "gone"), expected);
    let report = gc(&server);
    assert_eq!(of(&report, "gone"), expected);
    assert_eq!(report["freed_bytes"], 12);
    assert!(named.exists() && young.exists());
    assert!(!old.exists() && !upload.exists() && !aside.exists());
    server.check_world();
}

#[test]
fn idempotency_keys_are_forgotten_after_30_days() {
    let server = keeping("30");
    let body = json!({"mode": "prompt", "prompt": "x"});
    let ask = |key: &str| {
        let answer = server
            .client()
            .post_with("/api/runs", &[("idempotency-key", key)], &body);
        answer.json()["run_id"].as_str().unwrap().to_owned()
    };
    let (old, young) = (ask("old"), ask("young"));
    let database = Connection::open(server.at("runs.db")).unwrap();
    database.busy_timeout(PATIENCE).unwrap();
    let age = "UPDATE idempotency SET created_at = '2024-01-01T00:00:00.000Z' WHERE key = 'old'";
    assert_eq!(database.execute(age, ()).unwrap(), 1);
    assert_eq!(
        of(&dry(&server), "gone"),
        ["idempotency_keys 1 idempotency keys"]
    );
    assert_eq!(
        of(&gc(&server), "gone"),
        ["idempotency_keys 1 idempotency keys"]
    );
    assert_eq!(ask("young"), young);
    assert_ne!(ask("old"), old);
}

fn words(server: &Server, run: &str) -> Vec<PathBuf> {
    let folder = server.at("state/runs").join(run);
    vec![folder.join("output"), folder.join("attempts/1/stderr")]
}

/// A server that keeps no output of runs that are over, and no preserved work, once it is asked to let go.
fn keeping_no_output() -> Server {
    let server = Setup::new()
        .flag("--preserved-keep-days", "0")
        .flag("--keep-output-days", "0")
        .start();
    until("it has looked", || {
        server.log().contains("looked at the world")
    });
    server
}

/// Seen red with the files deleted and no event: the run does not say so, and its output is empty without a word.
#[test]
fn output_past_its_time_goes_and_the_run_says_so() {
    let server = keeping_no_output();
    let over = server.finished("print some words\nwrite work.txt done");
    over.abort().expect(200);
    let live = server.finished("print other words");
    let bytes = fs::metadata(&words(&server, &over.id)[0]).unwrap().len();
    assert!(bytes > 0);

    let report = dry(&server);
    let found = report["gone"].as_array().unwrap();
    let found = found.iter().find(|item| item["what"] == "output").unwrap();
    assert_eq!(found["run_id"], over.id.as_str());
    assert!(found["bytes"].as_u64().unwrap() >= bytes);
    assert!(
        words(&server, &over.id)[0].exists(),
        "a dry run does nothing"
    );
    assert_eq!(over.detail()["output_pruned_at"], Value::Null);

    let what = format!("output {}", words(&server, &over.id)[0].display());
    assert!(of(&gc(&server), "gone").contains(&what));
    for file in words(&server, &over.id) {
        assert!(!file.exists(), "{}", file.display());
    }
    let at = over.detail()["output_pruned_at"].clone();
    assert!(at.is_string(), "{at}");
    let list = server.get("/api/runs?status=aborted").expect(200);
    assert_eq!(list["runs"][0]["output_pruned_at"], at);
    let refused = over.get("/output").expect_problem(410, "output_pruned");
    assert!(
        refused["detail"]
            .as_str()
            .unwrap()
            .contains(at.as_str().unwrap())
    );
    assert!(words(&server, &live.id)[0].exists());
    assert_eq!(live.detail()["output_pruned_at"], Value::Null);
    assert_eq!(of(&gc(&server), "gone"), [""; 0]);
    server.check_world();
}

#[test]
fn output_of_a_run_that_can_be_restored_stays() {
    let server = Setup::new().flag("--keep-output-days", "0").start();
    let run = server.finished("print some words\nwrite work.txt done");
    run.abort().expect(200);
    let report = gc(&server);
    let what = format!("output {}", words(&server, &run.id)[0].display());
    assert!(of(&report, "left").contains(&what), "{report:#}");
    assert!(words(&server, &run.id)[0].exists());
    run.post("/restore", &json!({})).expect(200);
    assert!(!of(&gc(&server), "left").contains(&what), "its run goes on");
}

#[test]
fn output_that_a_crash_has_left_goes_with_the_next_look() {
    let server = keeping_no_output();
    let run = server.finished("print some words");
    run.abort().expect(200);
    gc(&server);
    let output = &words(&server, &run.id)[0];
    fs::write(output, "left").unwrap();
    assert_eq!(
        of(&dry(&server), "gone"),
        [format!("output {}", output.display())]
    );
    gc(&server);
    assert!(!output.exists());
}

#[test]
fn above_the_size_that_is_kept_the_runs_that_ended_first_lose_their_output() {
    const GIB: u64 = 1 << 30;
    let server = Setup::new()
        .flag("--preserved-keep-days", "0")
        .flag("--keep-output-gib", "1")
        .start();
    until("it has looked", || {
        server.log().contains("looked at the world")
    });
    let mut runs = Vec::new();
    for _ in 0..3 {
        let run = server.finished("print some words");
        run.abort().expect(200);
        runs.push(run.id.clone());
    }
    assert!(
        !gc(&server).to_string().contains("\"output\""),
        "it is little"
    );
    // Of the second one a GiB, without a block on the disk.
    let second = &words(&server, &runs[1])[0];
    let file = File::options().write(true).open(second).unwrap();
    file.set_len(GIB).unwrap();
    let report = gc(&server);
    let gone = of(&report, "gone").join(" ");
    assert!(gone.contains(&runs[0]) && gone.contains(&runs[1]), "{gone}");
    assert!(!gone.contains(&runs[2]), "{gone}");
    assert!(words(&server, &runs[2])[0].exists());
    assert!(report["freed_bytes"].as_u64().unwrap() >= GIB);
}
