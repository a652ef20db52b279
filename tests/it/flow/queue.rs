//! Slots and the queue: in order, also across a crash.

use serde_json::json;

use crate::support::run::Run;
use crate::support::server::{Server, Setup};

fn one_slot() -> Server {
    Setup::new().flag("--max-running", "1").start()
}

#[test]
fn runs_wait_in_their_order_and_start_when_the_slot_is_free() {
    let server = one_slot();
    let script = |n: u32| {
        format!(
            "sh echo {n} >> {}\nwait-for {}",
            server.mark_path("order"),
            server.mark_path(&n.to_string())
        )
    };
    let first = server.run(&script(1));
    let second = server.queued(&script(2));
    let third = server.queued(&script(3));
    assert_eq!(second.detail()["queue_position"], 1);
    assert_eq!(third.detail()["queue_position"], 2);
    let listed = server.get("/api/runs?status=queued").expect(200)["runs"].clone();
    assert_eq!(listed[0]["queue_position"], 2);
    assert_eq!(listed[1]["queue_position"], 1);
    assert_eq!(server.get("/api/health").expect(200)["queued"], 2);
    assert!(!second.worktree.exists());
    assert_eq!(first.detail()["queue_position"], json!(null));

    server.restart();
    assert_eq!(first.status(), "running");
    assert_eq!(second.detail()["queue_position"], 1);
    assert_eq!(third.detail()["queue_position"], 2);
    server.mark("1");
    first.wait_for("finished");
    second.wait_for("running");
    assert_eq!(third.detail()["queue_position"], 1);
    server.mark("2");
    second.wait_for("finished");
    third.wait_for("running");
    server.mark("3");
    third.wait_for("finished");
    let order = std::fs::read_to_string(server.mark_path("order")).unwrap();
    assert_eq!(order, "1\n2\n3\n");
    server.check_world();
}

#[test]
fn an_abort_gives_its_slot_to_the_next() {
    let server = one_slot();
    let first = server.run("sleep 1000");
    let second = server.queued("write work.txt done");
    let third = server.queued("write work.txt done");
    second.abort().expect(200);
    assert_eq!(third.detail()["queue_position"], 1);
    first.abort().expect(200);
    third.wait_for("finished");
    server.check_world();
}

#[test]
fn a_slot_that_came_free_while_no_server_was_there_is_given_at_the_start() {
    let server = one_slot();
    let first = server.run(&format!("wait-for {}\nexit 7", server.mark_path("go")));
    let second = server.queued("write work.txt done");
    server.kill();
    server.mark("go");
    let exit = server.attempt(&first.id, 1).join("exit.json");
    crate::support::wait::until("the agent has ended", || exit.exists());
    server.start_again();
    second.wait_for("finished");
    assert_eq!(first.wait_for("failed")["exit_code"], 7);
    server.check_world();
}

#[test]
fn a_run_that_could_not_be_started_gives_its_slot_back() {
    let server = one_slot();
    let nothing = json!({
        "prompt_template": "x", "agent": "command", "settings": {"command": ["/no/such/program"]},
    });
    server.put("/api/workflows/nothing", &nothing).expect(201);
    let first = server.run("sleep 1000");
    let failing = server.create(&json!({"mode": "nothing"})).expect(202);
    let failing = Run::of(&server, &failing);
    let last = server.queued("write work.txt done");
    first.abort().expect(200);
    last.wait_for("finished");
    assert_eq!(failing.detail()["failure"]["code"], "spawn_failed");
    server.check_world();
}

#[test]
fn a_follow_up_waits_in_the_queue_too() {
    let server = one_slot();
    let first = server.finished("write work.txt done");
    let second = server.run("sleep 1000");
    let message = json!({"text": "go on"});
    let answer = first.post("/messages", &message).expect(202);
    assert_eq!(answer["queue_position"], 1);
    assert_eq!(first.status(), "queued");
    first
        .post("/messages", &message)
        .expect_problem(409, "run_active");
    second.abort().expect(200);
    assert_eq!(
        first.wait_for("finished")["attempts"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    server.check_world();
}
