//! The abort takes everything away and loses nothing; the restore brings it back.

use std::fs;

use serde_json::{Value, json};

use crate::support::held::Held;
use crate::support::repo::git;
use crate::support::run::Run;
use crate::support::server::{Server, Setup};

#[test]
fn an_abort_ends_all_that_the_agent_has_started_and_keeps_its_work() {
    let server = Server::start();
    let held = Held::at(&server.at("marks/held"));
    let pid = |name: &str| server.mark_path(&format!("{name}.pid"));
    let run = server.run(&format!(
        "hold {}
         ignore INT
         ignore TERM
         write committed.txt one
         git add -A
         git commit -q -m one
         write uncommitted.txt two
         spawn-child 1000 {}
         spawn-setsid 1000 {}
         spawn-double-fork 1000 {}
         spawn-setsid-double-fork 1000 {}
         spawn-nohup 1000 {}
         touch {}
         sleep 1000",
        server.mark_path("held"),
        pid("child"),
        pid("setsid"),
        pid("fork"),
        pid("both"),
        pid("nohup"),
        server.mark_path("started"),
    ));
    server.wait_for_mark("started");
    let aborted = run.abort().expect(200);
    held.assert_all_gone();
    assert_eq!(aborted["status"], "aborted");
    assert!(aborted["aborted_at"].is_string());
    assert!(!run.worktree.exists());
    assert!(!server.repo.has_branch(&run.branch));
    assert_eq!(server.repo.git(&["worktree", "list"]).lines().count(), 1);
    let detail = run.detail();
    let kept = detail["preserved_commit"].as_str().unwrap();
    assert_eq!(server.repo.file(kept, "uncommitted.txt").unwrap(), "two\n");
    assert_eq!(server.repo.file(kept, "committed.txt").unwrap(), "one\n");

    // Asked again, it is as it is.
    let again = run.abort().expect(200);
    assert_eq!(again["aborted_at"], aborted["aborted_at"]);
    assert_eq!(run.detail()["preserved_commit"], kept);
    let refused = run.merge().expect(409);
    assert_eq!(refused["blockers"][0]["code"], "run_aborted");
    run.post("/messages", &json!({"text": "go on"}))
        .expect_problem(409, "run_aborted");
    run.post(
        "/evidence",
        &json!({"item_key": "review", "payload_text": "x"}),
    )
    .expect_problem(409, "run_aborted");
    server.check_world();
}

#[test]
fn two_aborts_at_once_are_both_answered() {
    let server = Server::start();
    let run = server.run("sleep 1000");
    let answers = std::thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(|| run.abort()));
        threads.map(|thread| thread.join().unwrap())
    });
    for answer in answers {
        assert_eq!(answer.expect(200)["status"], "aborted");
    }
    server.check_world();
}

#[test]
fn a_restore_brings_branch_and_uncommitted_work_back() {
    let server = Server::start();
    let run = server.run(&format!(
        "write committed.txt one
         git add -A
         git commit -q -m one
         write uncommitted.txt two
         write b.txt changed
         touch {}
         sleep 1000",
        server.mark_path("written")
    ));
    server.wait_for_mark("written");
    let tip = server.repo.commit_of(&run.branch).unwrap();
    run.abort().expect(200);
    let restored = run.post("/restore", &json!({})).expect(200);
    assert_eq!(restored["status"], "failed");
    assert_eq!(restored["aborted_at"], Value::Null);
    assert_eq!(server.repo.commit_of(&run.branch).unwrap(), tip);
    let read = |name: &str| fs::read_to_string(run.worktree.join(name)).unwrap();
    assert_eq!(read("committed.txt"), "one\n");
    assert_eq!(read("uncommitted.txt"), "two\n");
    assert_eq!(read("b.txt"), "changed\n");
    run.post("/restore", &json!({}))
        .expect_problem(409, "not_aborted");

    // It lives on: another attempt, and the end of all runs.
    run.abort().expect(200);
    run.post("/restore", &json!({})).expect(200);
    assert_eq!(read("uncommitted.txt"), "two\n");
    server.check_world();
}

#[test]
fn a_finished_run_can_be_aborted_restored_and_merged() {
    let server = Server::start();
    let run = server.finished("write work.txt done");
    run.prove();
    run.abort().expect(200);
    assert!(!run.worktree.exists());
    assert_eq!(
        run.post("/restore", &json!({})).expect(200)["status"],
        "finished"
    );
    run.merge().expect(200);
    assert_eq!(server.repo.read("work.txt"), "done\n");
    server.check_world();
}

#[test]
fn a_queued_run_is_aborted_without_ever_starting() {
    let server = Setup::new().flag("--max-running", "1").start();
    let first = server.run("sleep 1000");
    let second = server.queued("write never.txt never");
    let aborted = second.abort().expect(200);
    assert_eq!(aborted["status"], "aborted");
    assert_eq!(aborted["started_at"], Value::Null);
    assert!(!second.worktree.exists());
    first.abort().expect(200);
    let third = server.finished("write work.txt done");
    assert_eq!(second.status(), "aborted");
    assert_eq!(third.detail()["status"], "finished");
    server.check_world();
}

/// The worktree of a finished run, with a file in it that nobody has committed.
fn with_uncommitted(server: &Server) -> Run<'_> {
    let run = server.finished("write work.txt done");
    fs::write(run.worktree.join("later.txt"), "later").unwrap();
    run
}

/// To be red with the snapshot before the answer (500), and without the row of `preserving` in `take_up` (nothing is kept
/// after the start). Not seen red yet.
#[test]
fn an_abort_is_answered_before_uncommitted_work_is_read_and_a_start_keeps_it() {
    // The first is that of the settling.
    let strikes = "snapshot.write=1*off->return(error)";
    let server = Setup::new().variable("FAILPOINTS", strikes).start();
    let run = with_uncommitted(&server);
    let tip = server.repo.commit_of(&run.branch).unwrap();
    let aborted = run.abort_only().expect(200);
    assert_eq!(aborted["status"], "aborted");
    assert_eq!(aborted["preserving"], true);
    assert!(!run.worktree.exists());
    assert!(!server.repo.has_branch(&run.branch));
    assert_eq!(server.repo.git(&["worktree", "list"]).lines().count(), 1);
    let kept = format!("refs/agent_runner/preserved/{}", run.id);
    assert_eq!(server.repo.commit_of(&kept).unwrap(), tip);
    let aside = server.at(&format!("worktrees/.leaving/{}/files/later.txt", run.id));
    assert!(aside.exists());
    assert_eq!(run.abort_only().expect(200)["preserving"], true);
    server.check_world();

    server.kill();
    server.set_variable("FAILPOINTS", "");
    server.start_again();
    run.wait_until_preserved();
    assert_eq!(server.repo.file(&kept, "later.txt").unwrap(), "later");
    assert_eq!(
        run.detail()["preserved_commit"],
        server.repo.commit_of(&kept).unwrap()
    );
    assert!(!aside.exists());
    server.check_world();
}

#[test]
fn a_restore_brings_back_what_was_still_to_be_kept() {
    let strikes = "snapshot.write=1*off->return(delay)";
    let server = Setup::new().variable("FAILPOINTS", strikes).start();
    let run = with_uncommitted(&server);
    assert_eq!(run.abort_only().expect(200)["preserving"], true);
    run.post("/restore", &json!({})).expect(200);
    let later = fs::read_to_string(run.worktree.join("later.txt")).unwrap();
    assert_eq!(later, "later");
    server.check_world();
}

#[test]
fn a_stream_tells_when_the_work_of_an_aborted_run_is_kept() {
    let server = Server::start();
    let run = with_uncommitted(&server);
    let mut frames = run.frames(None);
    run.abort_only().expect(200);
    let mut told = Vec::new();
    while told.last().is_none_or(|(name, _)| name != "preserved") {
        let frame = frames.next().expect("it is told");
        told.push((frame.name.clone(), frame.json.clone()));
    }
    let aborted = told.iter().find(|(name, _)| name == "aborted").unwrap();
    assert_eq!(aborted.1["preserving"], true);
    let preserved = &told.last().unwrap().1;
    assert_eq!(preserved["preserving"], false);
    assert_eq!(
        preserved["preserved_commit"],
        run.detail()["preserved_commit"]
    );
}

#[test]
fn a_worktree_whose_head_is_elsewhere_is_kept_before_the_answer() {
    let server = Server::start();
    let run = with_uncommitted(&server);
    let in_worktree = |args: &[&str]| git(&run.worktree, args);
    in_worktree(&["checkout", "-q", "--detach"]);
    in_worktree(&["commit", "-q", "--allow-empty", "-m", "elsewhere"]);
    let elsewhere = in_worktree(&["rev-parse", "HEAD"]);
    assert_eq!(run.abort_only().expect(200)["preserving"], false);
    let kept = format!("refs/agent_runner/preserved/{}", run.id);
    let history = server.repo.git(&["rev-list", &kept]);
    assert!(history.contains(elsewhere.trim()), "{history}");
    assert_eq!(server.repo.file(&kept, "later.txt").unwrap(), "later");
    server.check_world();
}
