//! Worktrees, branches, refs and the trash.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use super::{assert_found_and_left, assert_found_and_mended, fix, found, names, started};
use crate::support::server::Setup;
use crate::support::wait::until;

const AUTO: &str = "auto/by-hand-0badcafe";

#[test]
fn a_branch_of_ours_that_no_run_has_is_kept_and_removed() {
    let server = started();
    server.repo.git(&["branch", AUTO]);
    server.repo.git(&["branch", "auto/not-ours"]);
    let tip = server.repo.master();
    assert_found_and_mended(&server, "place_orphaned", &format!("refs/heads/{AUTO}"));
    assert!(!server.repo.has_branch(AUTO));
    assert!(server.repo.has_branch("auto/not-ours"));
    let kept = format!("refs/agent_runner/preserved/leftover/{AUTO}/{}", &tip[..12]);
    assert_eq!(server.repo.commit_of(&kept).unwrap(), tip);
}

#[test]
fn a_worktree_that_the_database_has_forgotten_is_kept_whole_and_removed_only_when_asked() {
    let setup = Setup::new();
    let server = setup.start();
    server.kill();
    let (old, now) = (server.at("old.db"), server.at("runs.db"));
    fs::copy(&now, &old).unwrap();
    server.start_again();
    let run = server.finished("write work.txt committed");
    fs::write(run.worktree.join("later.txt"), "not committed").unwrap();
    server.kill();
    for name in ["runs.db-wal", "runs.db-shm"] {
        fs::remove_file(server.at(name)).ok();
    }
    fs::copy(old, now).unwrap();
    // What it printed is told by another name.
    fs::remove_dir_all(server.at("state/runs").join(&run.id)).unwrap();
    server.start_again();
    let at = run.worktree.display().to_string();
    assert!(run.worktree.exists(), "a start does not take it away");
    assert_found_and_mended(&server, "place_orphaned", &at);
    assert!(!run.worktree.exists() && !server.repo.has_branch(&run.branch));
    let refs = format!("refs/agent_runner/preserved/leftover/{}", run.branch);
    let kept = server
        .repo
        .git(&["for-each-ref", "--format=%(refname)", &refs]);
    let has = |name: &str| kept.lines().any(|at| server.repo.file(at, name).is_some());
    assert!(has("work.txt") && has("later.txt"), "{kept}");
}

#[test]
fn a_worktree_that_somebody_else_made_stays() {
    let server = started();
    let path = server.at("worktrees/by-hand-0badcafe");
    let path = path.to_str().unwrap();
    server
        .repo
        .git(&["worktree", "add", "-q", "-b", AUTO, path]);
    assert_found_and_left(&server, "place_orphaned", path);
}

#[test]
fn a_branch_that_is_checked_out_elsewhere_stays() {
    let server = started();
    let path = server.at("mine");
    let path = path.to_str().unwrap();
    server
        .repo
        .git(&["worktree", "add", "-q", "-b", AUTO, path]);
    assert_found_and_left(&server, "place_orphaned", &format!("refs/heads/{AUTO}"));
}

#[test]
fn a_run_without_its_worktree_or_its_branch_is_told() {
    let server = started();
    let run = server.finished("write work.txt done");
    let path = run.worktree.display().to_string();
    fs::remove_dir_all(&run.worktree).unwrap();
    assert_found_and_left(&server, "worktree_missing", &path);
    let name = format!("refs/heads/{}", run.branch);
    server.repo.git(&["update-ref", "-d", &name]);
    let codes: Vec<_> = found(&server).into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes, ["worktree_missing", "branch_missing"]);
}

#[test]
fn a_worktree_of_an_aborted_run_stays_and_is_told() {
    let server = started();
    let run = server.run("sleep 1000");
    run.abort().expect(200);
    server.check_world();
    fs::create_dir(&run.worktree).unwrap();
    assert_found_and_left(&server, "place_left", &run.worktree.display().to_string());
}

#[test]
fn preserved_work_that_lost_its_ref_gets_it_back() {
    let server = started();
    let run = server.finished("write work.txt done");
    run.abort().expect(200);
    let name = format!("refs/agent_runner/preserved/{}", run.id);
    server.repo.git(&["update-ref", "-d", &name]);
    assert_found_and_mended(&server, "preserved_missing", &name);
    run.post("/restore", &serde_json::json!({})).expect(200);
    assert!(run.worktree.join("work.txt").exists());
    server.check_world();
}

#[test]
fn preserved_work_of_no_known_run_stays() {
    let server = started();
    let name = "refs/agent_runner/preserved/01934e2a-0000-7000-8000-0123456789ab";
    server.repo.git(&["update-ref", name, "HEAD"]);
    assert_found_and_left(&server, "ref_orphaned", name);
}

#[test]
fn a_candidate_that_nobody_lands_is_let_go_once_it_is_old() {
    let server = started();
    let tip = server.repo.master();
    let name = format!("refs/agent_runner/candidates/{tip}");
    server.repo.git(&["update-ref", &name, &tip]);
    server.check_world();
    let file = File::open(server.repo.root().join(".git").join(&name)).unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    file.set_modified(long_ago).unwrap();
    assert_found_and_mended(&server, "candidate_left", &name);
}

#[test]
fn trash_that_is_not_emptied_is_emptied() {
    let server = started();
    // A version 7 UUID of 2024.
    let slot = server.at("worktrees/.trash/018d0000000070008000000000000000");
    until("the start has emptied the trash", || {
        fs::create_dir_all(slot.join("inside")).unwrap();
        !found(&server).is_empty()
    });
    assert_found_and_mended(&server, "trash_left", slot.to_str().unwrap());
    assert!(!slot.exists());
}

#[test]
fn several_at_once_are_each_told_and_mended() {
    let server = started();
    server.repo.git(&["branch", AUTO]);
    server.repo.git(&["branch", "auto/another-1badcafe"]);
    let mended = fix(&server, false)["mended"].clone();
    assert_eq!(names(&mended).len(), 2, "{mended}");
    server.check_world();
}
