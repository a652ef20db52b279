//! What somebody else took away: a worktree, a branch, a base. Each is told by name, and nothing is stuck.

use std::fs;

use serde_json::json;

use crate::support::server::Server;
use crate::support::wait::until;

#[test]
fn a_worktree_that_is_gone_does_not_hinder_the_merge() {
    let server = Server::start();
    let run = server.finished("write work.txt done");
    run.prove();
    fs::remove_dir_all(&run.worktree).unwrap();
    run.merge().expect(200);
    run.wait_until_gone();
    assert_eq!(server.repo.read("work.txt"), "done\n");
    until("git knows it no more", || {
        server.repo.git(&["worktree", "list"]).lines().count() == 1
    });
}

#[test]
fn a_worktree_that_is_gone_does_not_hinder_the_abort() {
    let server = Server::start();
    let finished = server.finished("write work.txt done");
    fs::remove_dir_all(&finished.worktree).unwrap();
    finished.abort().expect(200);
    assert!(!server.repo.has_branch(&finished.branch));
    let running = server.run("sleep 1000");
    fs::remove_dir_all(&running.worktree).unwrap();
    running.abort().expect(200);
    assert!(!server.repo.has_branch(&running.branch));
}

#[test]
fn a_follow_up_without_its_worktree_fails_by_name_and_the_run_can_be_aborted() {
    let server = Server::start();
    let run = server.finished("write work.txt done");
    fs::remove_dir_all(&run.worktree).unwrap();
    run.post("/messages", &json!({"text": "more"})).expect(200);
    let failed = run.wait_for("failed");
    assert_eq!(
        failed["failure"]["code"], "spawn_failed",
        "{}",
        failed["failure"]
    );
    let file = json!({"item_key": "review", "payload_path": "work.txt"});
    run.post("/evidence", &file).expect_problem(422, "invalid");
    run.abort().expect(200);
}

#[test]
fn a_branch_that_is_gone_shuts_the_gate() {
    let server = Server::start();
    let run = server.finished("write work.txt done");
    run.prove();
    server
        .repo
        .git(&["update-ref", "-d", &format!("refs/heads/{}", run.branch)]);
    let refused = run.merge().expect_problem(409, "gate_closed");
    assert_eq!(refused["blockers"][0]["code"], "branch_missing");
    assert_eq!(run.detail()["gate"]["open"], false);
    run.get("/diff").expect_problem(409, "no_head");
    run.abort().expect(200);
}

#[test]
fn a_base_that_is_gone_shuts_the_gate() {
    let server = Server::start();
    server.repo.git(&["branch", "release"]);
    let run = server.run_with("write work.txt done", &json!({"base": "release"}));
    run.wait_for("finished");
    run.prove();
    server.repo.git(&["branch", "-q", "-D", "release"]);
    let refused = run.merge().expect_problem(409, "gate_closed");
    assert_eq!(refused["blockers"][0]["code"], "base_missing");
    run.abort().expect(200);
}

#[test]
fn what_has_taken_the_place_and_the_name_of_a_restored_run_is_kept_aside() {
    let server = Server::start();
    let run = server.finished("write work.txt done");
    let tip = server.repo.commit_of(&run.branch).unwrap();
    run.abort().expect(200);
    fs::create_dir(&run.worktree).unwrap();
    fs::write(run.worktree.join("mine.txt"), "mine\n").unwrap();
    server.repo.git(&["checkout", "-q", "-b", &run.branch]);
    let of_the_name = server.repo.commit("named.txt", "named\n");
    server.repo.git(&["checkout", "-q", "master"]);
    run.post("/restore", &json!({})).expect(200);
    assert_eq!(server.repo.commit_of(&run.branch).unwrap(), tip);
    assert!(run.worktree.join("work.txt").exists());
    assert!(!run.worktree.join("mine.txt").exists());
    let kept = server.repo.git(&[
        "for-each-ref",
        "--format=%(refname)",
        "refs/agent_runner/preserved/leftover",
    ]);
    let has = |file: &str, text: &str| {
        kept.lines()
            .any(|name| server.repo.file(name, file).as_deref() == Some(text))
    };
    assert!(has("mine.txt", "mine\n"), "{kept}");
    assert!(has("named.txt", "named\n"), "{kept}");
    let reached = server
        .repo
        .git(&["for-each-ref", "--contains", &of_the_name]);
    assert!(!reached.is_empty());
}
