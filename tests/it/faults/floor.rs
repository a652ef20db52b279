//! The floor: what makes things grow is refused or waits while too little is free, what ends things goes on.

use serde_json::json;

use crate::support::mount::Mounted;
use crate::support::server::{Setup, request};
use crate::support::wait::until;

const MIB: u64 = 1 << 20;

/// Seen red: without `has_room` in `App::create` the request is answered with 202; without `fill_when_there_is_room` the
/// queued run has not finished after a minute.
#[test]
fn under_the_floor_nothing_is_begun_and_what_is_there_can_be_ended() {
    let Some(disk) = Mounted::tmpfs(64 * MIB) else {
        return;
    };
    let server = Setup::below(disk.path())
        .flag("--disk-floor-bytes", "32MiB")
        .flag("--max-running", "1")
        .start();
    let merged = server.finished("write merged.txt yes");
    let aborted = server.finished("write aborted.txt yes");
    let again = [("idempotency-key", "once")];
    let asked = request("exit 0", &json!({}));
    let client = server.client();
    let answer = client.post_with("/api/runs", &again, &asked).expect(201);
    let id = answer["run_id"].as_str().unwrap().to_owned();
    until("the run with a key is at rest", || {
        server.get(&format!("/api/runs/{id}")).expect(200)["status"] == "finished"
    });
    let working = server.run(&format!("wait-for {}", server.mark_path("go")));
    let waiting = server.queued("write waiting.txt yes");
    assert_eq!(waiting.detail()["waits_for"], "slot");

    let filler = disk.path().join("filler");
    let most = usize::try_from(disk.free() - 16 * MIB).unwrap();
    std::fs::write(&filler, vec![1; most]).unwrap();
    server.mark("go");
    working.wait_for("finished");

    let problem = server.create(&asked).expect_problem(507, "disk_low");
    let free = problem["free_bytes"].as_u64().unwrap();
    // Files of a database come and go meanwhile.
    assert!(free.abs_diff(16 * MIB) < MIB, "{problem}");
    assert_eq!(problem["needed_bytes"], 32 * MIB);
    assert!(problem["detail"].as_str().unwrap().contains("make room"));
    working
        .post("/retry", &json!({}))
        .expect_problem(507, "disk_low");
    let words = json!({"text": "go on"});
    let message = working.post("/messages", &words);
    message.expect_problem(507, "disk_low");
    // The same request as before the floor was reached has the same answer.
    let same = client.post_with("/api/runs", &again, &asked).expect(201);
    assert_eq!(same["run_id"], answer["run_id"]);

    assert_eq!(waiting.detail()["waits_for"], "disk");
    let list = server.get("/api/runs?status=queued").expect(200);
    assert_eq!(list["runs"][0]["waits_for"], "disk");
    let health = server.get("/api/health").expect(200);
    assert_eq!(health["status"], "ok");
    assert_eq!(health["disk"][0]["floor_bytes"], 32 * MIB);
    assert_eq!(
        health["disk"][0]["holds"],
        json!(["database", "state", "worktrees", "repository"])
    );
    let warnings = health["warnings"].to_string();
    assert!(warnings.contains("no agent is started"), "{warnings}");

    merged.prove();
    merged.merge().expect(200);
    aborted.abort().expect(200);
    aborted
        .post("/restore", &json!({}))
        .expect_problem(507, "disk_low");
    assert_eq!(waiting.status(), "queued");

    std::fs::remove_file(&filler).unwrap();
    waiting.wait_for("finished");
    aborted.post("/restore", &json!({})).expect(200);
    server.check_world();
}

/// Not seen red: nothing was taken out for it. It does not fill the disk; it sees only that 0 is taken and a run works.
#[test]
fn a_floor_of_nothing_is_none() {
    let Some(disk) = Mounted::tmpfs(16 * MIB) else {
        return;
    };
    let server = Setup::below(disk.path())
        .flag("--disk-floor-bytes", "0")
        .start();
    server.finished("write a.txt b");
}
