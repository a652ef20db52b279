//! A database that another program holds for writing: reads go on, writes wait or are refused, nothing is lost.

use serde_json::json;

use crate::support::server::{Server, request};

#[test]
fn while_another_program_writes_reads_go_on_and_what_was_answered_is_stored() {
    let server = Server::start();
    let known = server.finished("exit 0");
    let working = server.run(&format!(
        "print at work\nwait-for {}",
        server.mark_path("go")
    ));
    let other = rusqlite::Connection::open(server.at("runs.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // The agent ends while nothing can be written.
    server.mark("go");
    // Each waits five seconds for the lock: together they hold it for ten.
    let mut said = Vec::new();
    for n in 0..2 {
        let note =
            json!({"item_key": "review", "kind": "text", "payload_text": format!("note {n}")});
        let answer = known.post("/evidence", &note);
        answer.expect_problem(503, "degraded");
        assert_eq!(answer.header("retry-after"), "1");
        said.push(answer);
        assert_eq!(server.get("/api/health").expect(200)["status"], "ok");
        assert_eq!(known.detail()["dod_items"][0]["evidence"], json!([]));
    }
    let waits = std::thread::scope(|scope| {
        let create = scope.spawn(|| server.create(&request("exit 0", &json!({}))));
        other.execute_batch("ROLLBACK").unwrap();
        create.join().unwrap()
    });
    // It came before the lock was gone, or after: it waited.
    let id = waits.expect(201)["run_id"].clone();
    working.wait_for("finished");
    known.say("review", "afterwards");
    let runs = server.get("/api/runs").expect(200)["runs"].clone();
    let ids: Vec<_> = runs
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["id"].clone())
        .collect();
    assert_eq!(ids, [id, json!(working.id), json!(known.id)]);
    assert_eq!(
        known.detail()["dod_items"][0]["evidence"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}
