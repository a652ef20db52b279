//! The landing: on a base that moved, that conflicts, or that somebody works in.

use std::fs;

use serde_json::json;

use crate::support::repo::git;
use crate::support::run::Run;
use crate::support::server::Server;

/// A run with proven work that changes this file.
fn proven<'a>(server: &'a Server, file: &str) -> Run<'a> {
    let run = server.finished(&format!("write {file} by the agent"));
    run.prove();
    run
}

#[test]
fn a_base_that_moved_gets_the_work_on_top() {
    let server = Server::start();
    let run = proven(&server, "work.txt");
    let moved = server.repo.commit("other.txt", "by somebody else\n");
    let merged = run.merge().expect(200);
    let commit = merged["commit"].as_str().unwrap();
    let head = run.detail()["head"].as_str().unwrap().to_owned();
    assert_eq!(server.repo.parents(commit), [moved, head]);
    assert_eq!(server.repo.read("work.txt"), "by the agent\n");
    assert_eq!(server.repo.read("other.txt"), "by somebody else\n");
    server.check_world();
}

#[test]
fn a_conflict_names_its_files_and_moves_nothing() {
    let server = Server::start();
    let run = proven(&server, "a.txt");
    let moved = server.repo.commit("a.txt", "by somebody else\n");
    for body in [json!({}), json!({"dry_run": true})] {
        let refused = run
            .post("/merge", &body)
            .expect_problem(409, "merge_conflict");
        assert_eq!(refused["paths"], json!(["a.txt"]));
    }
    assert_eq!(server.repo.master(), moved);
    assert_eq!(server.repo.status(), "");
    assert_eq!(run.status(), "finished");

    // Solved on the branch, proven again, it lands.
    git(
        &run.worktree,
        &["merge", "-q", "-X", "ours", "-m", "solved", "master"],
    );
    run.prove();
    run.merge().expect(200);
    assert_eq!(server.repo.read("a.txt"), "by the agent\n");
    server.check_world();
}

#[test]
fn changes_apart_in_the_checkout_of_the_base_stay_as_they_are() {
    let server = Server::start();
    let run = proven(&server, "work.txt");
    server.repo.write("b.txt", "half written\n");
    server.repo.write("a.txt", "staged\n");
    server.repo.git(&["add", "a.txt"]);
    server.repo.write("notes.txt", "untracked\n");
    let before = server.repo.status();
    run.merge().expect(200);
    assert_eq!(server.repo.status(), before);
    assert_eq!(server.repo.read("b.txt"), "half written\n");
    assert_eq!(server.repo.read("work.txt"), "by the agent\n");
    server.check_world();
}

#[test]
fn changes_in_the_way_are_refused_before_anything_moved() {
    let server = Server::start();
    let run = proven(&server, "a.txt");
    let before = server.repo.master();
    server.repo.write("a.txt", "half written\n");
    let refused = run.merge().expect_problem(409, "base_checked_out_dirty");
    assert_eq!(refused["paths"], json!(["a.txt"]));
    assert_eq!(server.repo.master(), before);
    assert_eq!(server.repo.read("a.txt"), "half written\n");
    assert_eq!(server.repo.status(), " M a.txt\n");
    assert_eq!(run.status(), "finished");

    server.repo.git(&["checkout", "-q", "a.txt"]);
    run.merge().expect(200);
    assert_eq!(server.repo.read("a.txt"), "by the agent\n");
    assert_eq!(server.repo.status(), "");
    server.check_world();
}

#[test]
fn an_untracked_file_in_the_way_is_not_overwritten() {
    let server = Server::start();
    let run = proven(&server, "work.txt");
    let before = server.repo.master();
    server.repo.write("work.txt", "by the owner\n");
    let refused = run.merge().expect_problem(409, "base_checked_out_dirty");
    assert_eq!(refused["paths"], json!(["work.txt"]));
    assert_eq!(server.repo.master(), before);
    assert_eq!(server.repo.read("work.txt"), "by the owner\n");
    server.check_world();
}

#[test]
fn a_base_that_is_checked_out_nowhere_moves_alone() {
    let server = Server::start();
    server.repo.git(&["checkout", "-q", "-b", "elsewhere"]);
    let run = proven(&server, "work.txt");
    let merged = run.merge().expect(200);
    assert_eq!(merged["fast_forwarded"], json!([]));
    assert_eq!(server.repo.master(), merged["commit"].as_str().unwrap());
    assert!(!server.repo.root().join("work.txt").exists());
    assert_eq!(server.repo.status(), "");
    server.check_world();
}

#[test]
fn a_run_lands_on_the_base_that_it_was_asked_for() {
    let server = Server::start();
    let master = server.repo.master();
    server.repo.git(&["branch", "release"]);
    let run = server.run_with("write work.txt done", &json!({"base": "release"}));
    run.wait_for("finished");
    run.prove();
    let merged = run.merge().expect(200);
    assert_eq!(merged["base"], "release");
    assert_eq!(
        server.repo.commit_of("release").unwrap(),
        merged["commit"].as_str().unwrap()
    );
    assert_eq!(server.repo.master(), master);
    server.check_world();
}

#[test]
fn a_dry_run_says_that_it_would_merge_and_moves_nothing() {
    let server = Server::start();
    let run = server.finished("write work.txt done");
    let before = server.repo.git(&["for-each-ref"]);
    let dry = json!({"dry_run": true});
    run.post("/merge", &dry).expect_problem(409, "gate_closed");
    run.prove();
    let would = run.post("/merge", &dry).expect(200);
    assert_eq!(would["status"], "would_merge");
    assert!(would["commit"].is_null());
    assert_eq!(server.repo.git(&["for-each-ref"]), before);
    assert_eq!(run.status(), "finished");
    assert_eq!(run.merge().expect(200)["status"], "merged");
    server.check_world();
}

#[test]
fn a_message_of_ones_own_keeps_the_trailers() {
    let server = Server::start();
    let run = proven(&server, "work.txt");
    let message = json!({"message": "Land it\n\nBecause it is good."});
    run.post("/merge", &message).expect(200);
    let landed = server.repo.git(&["log", "-1", "--format=%B", "master"]);
    assert!(
        landed.starts_with("Land it\n\nBecause it is good.\n"),
        "{landed}"
    );
    let trailers = server.repo.git(&[
        "log",
        "-1",
        "--format=%(trailers:key=Agent-Run,valueonly)",
        "master",
    ]);
    assert_eq!(trailers.trim(), run.id);
    run.post("/merge", &json!({"message": " "}))
        .expect_problem(422, "invalid");
    server.check_world();
}

#[test]
fn what_was_written_after_the_end_is_kept_when_the_worktree_goes() {
    let server = Server::start();
    let run = proven(&server, "work.txt");
    fs::write(run.worktree.join("late.txt"), "late\n").unwrap();
    run.merge().expect(200);
    run.wait_until_gone();
    let kept = format!("refs/agent_runner/preserved/{}", run.id);
    let commit = server.repo.commit_of(&kept).expect("it is preserved");
    assert_eq!(server.repo.file(&commit, "late.txt").unwrap(), "late\n");
    assert!(!server.repo.root().join("late.txt").exists());
    server.check_world();
}

#[test]
fn a_branch_is_kept_after_its_merge_if_that_is_wanted() {
    let server = crate::support::server::Setup::new()
        .flag("--keep-branch", "true")
        .start();
    let run = proven(&server, "work.txt");
    run.merge().expect(200);
    crate::support::wait::until("the worktree is gone", || !run.worktree.exists());
    assert!(server.repo.has_branch(&run.branch));
    server.check_world();
}
