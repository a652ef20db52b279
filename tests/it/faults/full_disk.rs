//! Everything that the service writes on one small file system, filled to the last block while agents work and clients
//! ask; then room is made a little at a time, so that each step of everything meets the end of the disk somewhere.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::client::Answer;
use crate::support::fake_agent::fake_agent;
use crate::support::mount::Mounted;
use crate::support::run::Run;
use crate::support::server::{Server, Setup, request};
use crate::support::wait::until;

const MIB: u64 = 1 << 20;
/// How much room is made at a time, at first.
const STEP: u64 = 12 * 1024;
/// So often; more is free then than all that is asked for needs.
const STEPS: usize = 40;

/// What takes the room.
struct Ballast {
    path: PathBuf,
    file: File,
}

impl Ballast {
    /// Takes so many bytes.
    fn of(disk: &Mounted, bytes: u64) -> Ballast {
        let path = disk.path().join("ballast");
        let mut file = File::create(&path).unwrap();
        file.write_all(&vec![5; usize::try_from(bytes).unwrap()])
            .unwrap();
        Ballast { path, file }
    }

    /// Takes all that is left, to the last block.
    fn take_the_rest(&mut self) {
        for size in [64 * 1024, 4096, 512] {
            while self.file.write_all(&vec![7; size]).is_ok() {}
        }
    }

    fn make_room(&self, bytes: u64) {
        let size = self.file.metadata().unwrap().len();
        self.file.set_len(size.saturating_sub(bytes)).unwrap();
    }

    fn make_all_room(self) {
        fs::remove_file(&self.path).unwrap();
    }
}

/// What was answered with 2xx, and has to be there in the end.
#[derive(Default)]
struct Accepted {
    runs: Vec<(String, i64)>,
    payloads: BTreeMap<String, Vec<u8>>,
    words: BTreeMap<String, String>,
    merges: Vec<(String, String)>,
    refused: usize,
}

impl Accepted {
    /// The answer, if it is one of success; else it says that the disk is full, and what to do.
    fn take(&mut self, answer: &Answer) -> Option<Value> {
        if answer.status < 300 {
            return Some(answer.json());
        }
        let problem = answer.expect_problem(507, "disk_full");
        assert!(problem["detail"].as_str().unwrap().contains("Make room"));
        self.refused += 1;
        None
    }
}

fn put_plain(server: &Server) {
    let workflow = json!({
        "prompt_template": "{{ prompt }}", "agent": "command", "dod": [{"key": "review"}],
        "settings": {"command": [fake_agent()]},
    });
    server.put("/api/workflows/plain", &workflow).expect(201);
}

/// Writes into its worktree until nothing goes in any more, and ends with this code.
fn glutton(server: &Server, file: &str, code: i64) -> String {
    format!(
        "wait-for {}\nsh head -c 200M /dev/urandom > {file} 2>&- || true\nexit {code}",
        server.mark_path("fill")
    )
}

/// Asks for one of everything.
fn ask_all(server: &Server, n: usize, rested: &[Run<'_>], kept: &Run<'_>, told: &mut Accepted) {
    let code = 3 + i64::try_from(n % 5).unwrap();
    let run = request(
        &format!("write new.txt {n}\nexit {code}"),
        &json!({"mode": "plain"}),
    );
    if let Some(created) = told.take(&server.create(&run)) {
        let id = created["run_id"].as_str().unwrap().to_owned();
        told.runs.push((id, code));
    }
    let text = format!("note {n}");
    let note = json!({"item_key": "notes", "kind": "text", "payload_text": text});
    if let Some(attached) = told.take(&kept.post("/evidence", &note)) {
        let id = attached["evidence_id"].as_str().unwrap().to_owned();
        told.take(&kept.validate(&id));
        told.words.insert(id, text);
    }
    let bytes: Vec<u8> = (0..20_000).map(|i: usize| (i * n % 251) as u8).collect();
    let path = kept.path("/evidence");
    let uploaded = server
        .client()
        .upload(&path, &[("item_key", "shots")], ("a.png", &bytes));
    if let Some(attached) = told.take(&uploaded) {
        let id = attached["evidence_id"].as_str().unwrap().to_owned();
        told.payloads.insert(id, bytes);
    }
    // Half of them merge, half are aborted; again and again until each is.
    for (at, run) in rested.iter().enumerate().skip(n % 4).step_by(4) {
        let status = run.status();
        if at % 2 == 0 && status != "merged" {
            if let Some(merged) = told.take(&run.merge()) {
                let commit = merged["commit"].as_str().unwrap().to_owned();
                told.merges.push((run.id.clone(), commit));
            }
        } else if at % 2 == 1 && status != "aborted" {
            told.take(&run.abort_only());
        }
    }
    server.get("/api/health").expect(200);
    server.get("/api/runs").expect(200);
    kept.detail();
}

/// Seen red: without room of its own for the exit record, at every size neither end is recorded on the full disk; with
/// `Refused::Internal` for every failure, 500 is answered. With `SettleFailed` recorded also for lack of room it was red once
/// in three (8 MiB: a run was not at rest after a minute; then green, and green at 32 MiB): it does not reliably see that.
#[rstest]
#[case(8)]
#[case(16)]
#[case(32)]
#[case(64)]
fn a_full_disk_refuses_clearly_and_loses_nothing(#[case] size: u64) {
    let Some(disk) = Mounted::tmpfs(size * MIB) else {
        return;
    };
    let setup = Setup::below(disk.path()).flag("--max-running", "3");
    // The log would be cut off where it becomes interesting.
    let log = tempfile::NamedTempFile::new().unwrap();
    symlink(log.path(), setup.at("server.log")).unwrap();
    let server = setup.start();
    put_plain(&server);
    let before = server.repo.master();
    let kept = server.run_plain("write kept.txt yes");
    kept.wait_for("finished");
    let rested: Vec<_> = (0..8)
        .map(|n| {
            let run = server.run_plain(&format!("write rested-{n}.txt {n}"));
            run.wait_for("finished");
            run.prove();
            run
        })
        .collect();
    let mut told = Accepted::default();
    // One fills the disk with what git does not look at, one with what is to be committed.
    let gluttons = [("ignored", 17), ("b.txt", 0)].map(|(file, code)| {
        let run = server.run_plain(&glutton(&server, file, code));
        told.runs.push((run.id.clone(), code));
        run
    });
    // Room for what the second one leaves to be committed as well.
    let mut ballast = Ballast::of(&disk, disk.free() * 4 / 5);
    server.mark("fill");
    until("both have found the disk full", || {
        gluttons
            .iter()
            .all(|run| server.attempt(&run.id, 1).join("exit.json").exists())
    });
    ballast.take_the_rest();
    assert_eq!(disk.free(), 0);
    for n in 0..STEPS {
        ask_all(&server, n, &rested, &kept, &mut told);
        ballast.make_room(STEP * (1 + n as u64 / 8));
    }
    assert!(told.refused > 0);
    ballast.make_all_room();
    fs::remove_file(gluttons[0].worktree.join("ignored")).unwrap();
    // What the second one has left takes as much again as an object: on the smallest disk that would be all there is.
    disk.grow(2 * size * MIB);
    // What was begun goes on by itself, and everything goes through.
    let refused = told.refused;
    let mut n = STEPS;
    until("nothing is refused any more", || {
        let before = told.refused;
        for _ in 0..4 {
            ask_all(&server, n, &rested, &kept, &mut told);
            n += 1;
        }
        told.refused == before
    });
    println!(
        "{size} MiB: {refused} refused, {} runs, {} payloads, {} merges accepted",
        told.runs.len(),
        told.payloads.len(),
        told.merges.len()
    );
    assert_kept(&server, &told, &kept);
    for (n, run) in rested.iter().enumerate() {
        assert_eq!(run.status(), ["merged", "aborted"][n % 2]);
    }
    let landed = server.repo.landed_since(&before);
    assert_eq!(landed.len(), rested.len() / 2);
    server.repo.git(&["fsck", "--no-progress", "--no-dangling"]);
    assert_eq!(server.repo.status(), "");
    until("all that must hold holds", || server.world().is_empty());
    let log = server.log();
    assert!(!log.contains("panicked"));
}

/// All that was answered with success is there.
#[track_caller]
fn assert_kept(server: &Server, told: &Accepted, kept: &Run<'_>) {
    for (id, code) in &told.runs {
        let path = format!("/api/runs/{id}");
        until("the run is at rest", || {
            let status = server.get(&path).expect(200)["status"].clone();
            status == "finished" || status == "failed"
        });
        let run = server.get(&path).expect(200);
        assert_eq!(run["exit_code"], *code, "{run:#}");
        let expected = if *code == 0 { "finished" } else { "failed" };
        assert_eq!(run["status"], expected, "{run:#}");
    }
    let evidence = kept.get("/evidence").expect(200).to_string();
    for id in told.words.keys() {
        assert!(evidence.contains(id), "{evidence}");
    }
    for (id, bytes) in &told.payloads {
        let payload = kept.get(&format!("/evidence/{id}/payload"));
        assert_eq!(payload.status, 200);
        assert!(payload.bytes == *bytes, "the payload of {id}");
    }
    for (id, commit) in &told.merges {
        let run = server.get(&format!("/api/runs/{id}")).expect(200);
        assert_eq!(run["merge_commit"], *commit);
        let range = ["merge-base", "--is-ancestor", commit, "master"];
        server.repo.git(&range);
    }
}
