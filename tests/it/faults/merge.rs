//! Many merges, in waves of two to eight at once: the service killed in the middle of them, the base moved under them,
//! the base checked out.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use serde_json::Value;

use crate::support::repo::{Repo, try_git};
use crate::support::run::Run;
use crate::support::server::Server;
use crate::support::wait::{PATIENCE, until};

use super::chance::{Chance, times};

/// Merges of each of the three tests, at the least.
const MERGES: usize = 20;

/// Runs with proven work, each on a file of its own.
fn proven<'a>(server: &'a Server, wave: &str, many: usize) -> Vec<Run<'a>> {
    let runs: Vec<_> = (0..many)
        .map(|n| server.run_plain(&format!("write {wave}-{n}.txt {n}")))
        .collect();
    for run in &runs {
        run.wait_for("finished");
        run.prove();
    }
    runs
}

/// Asks for all these merges at once, and does `meanwhile` what it is told with the number of answers so far.
fn merge_at_once(
    server: &Server,
    runs: &[Run<'_>],
    meanwhile: impl FnOnce(&AtomicUsize),
) -> Vec<Option<Value>> {
    let answered = AtomicUsize::new(0);
    thread::scope(|scope| {
        let asks: Vec<_> = runs
            .iter()
            .map(|run| {
                let (client, path, answered) = (server.client(), run.path("/merge"), &answered);
                scope.spawn(move || {
                    let answer = client.try_ask("POST", &path, &[], b"")?;
                    answered.fetch_add(1, Ordering::Relaxed);
                    (answer.status == 200).then(|| answer.json())
                })
            })
            .collect();
        meanwhile(&answered);
        asks.into_iter().map(|ask| ask.join().unwrap()).collect()
    })
}

/// Each run has merged, by exactly one commit of the base with the run's head for its second parent; and that commit is
/// what any answer said.
fn assert_each_landed_once(repo: &Repo, before: &str, runs: &[Run<'_>], answers: &[Option<Value>]) {
    let landed = repo.landed_since(before);
    let mut told = BTreeSet::new();
    for (run, answer) in runs.iter().zip(answers) {
        let detail = run.detail();
        assert_eq!(detail["status"], "merged", "{detail:#}");
        let commit = detail["merge_commit"].as_str().unwrap().to_owned();
        if let Some(answer) = answer {
            assert_eq!(
                answer["commit"],
                commit.as_str(),
                "an answer of 200 was true"
            );
        }
        assert_eq!(detail["head"], repo.parents(&commit)[1].as_str());
        told.insert(commit);
    }
    assert_eq!(landed.len(), runs.len());
    assert_eq!(landed.into_iter().collect::<BTreeSet<_>>(), told);
}

/// Waits until the base has moved so often, and notices in the same moment.
fn wait_for_moves(repo: &Repo, moves: usize) {
    let tip = repo.root().join(".git/refs/heads/master");
    let begun = Instant::now();
    for _ in 0..moves {
        let before = fs::read(&tip).unwrap();
        while fs::read(&tip).unwrap() == before {
            assert!(begun.elapsed() < PATIENCE, "the base does not move");
        }
    }
}

/// Seen red: without the look at git in `Driver::finish_merge` (a merging run is set back at the start, whatever the base
/// has), a run whose base had moved before the kill cannot be merged any more.
#[test]
fn merges_that_a_kill_interrupts_land_once() {
    let server = Server::start();
    let mut chance = Chance::of("merge, killed");
    let (mut merges, mut kills, mut told) = (0, 0, 0);
    while merges < times(MERGES) {
        let runs = proven(&server, &format!("killed-{merges}"), 2 + chance.below(7));
        let before = server.repo.master();
        let mut answers = vec![None; runs.len()];
        // Killed at least once, and at most until the last has landed.
        loop {
            let left = runs.len() - server.repo.landed_since(&before).len();
            let moves = 1 + chance.below(left.min(3));
            let later = [0, chance.below(20_000)][chance.below(2)];
            let more = merge_at_once(&server, &runs, |_| {
                wait_for_moves(&server.repo, moves);
                // No event tells of the moments after it.
                for _ in 0..later {
                    thread::yield_now();
                }
                server.kill();
            });
            kills += 1;
            server.start_again();
            for run in &runs {
                until("it is one or the other", || {
                    ["finished", "merged"].contains(&&*run.status())
                });
            }
            for (answer, more) in answers.iter_mut().zip(more) {
                *answer = answer.take().or(more);
            }
            if kills % 2 == 0 || server.repo.landed_since(&before).len() == runs.len() {
                break;
            }
        }
        told += answers.iter().flatten().count();
        for run in &runs {
            run.merge().expect(200);
            run.wait_until_gone();
        }
        assert_each_landed_once(&server.repo, &before, &runs, &answers);
        assert_eq!(server.repo.status(), "");
        merges += runs.len();
    }
    println!(
        "{merges} merges, {kills} kills in the middle, {told} answered before or after a kill"
    );
}

/// Seen red: with the order of merges (the lane of the base) and the compare-and-swap of `merge::land` both taken out, merges
/// that were answered by 200 are not in the base.
#[test]
fn merges_at_once_all_land_in_a_clean_checkout() {
    let server = Server::start();
    let mut chance = Chance::of("merge, at once");
    let mut merges = 0;
    while merges < times(MERGES) {
        let many = 2 + chance.below(7);
        let runs = proven(&server, &format!("at-once-{merges}"), many);
        let before = server.repo.master();
        let answers = merge_at_once(&server, &runs, |_| {});
        assert!(answers.iter().all(Option::is_some), "{answers:?}");
        assert_each_landed_once(&server.repo, &before, &runs, &answers);
        assert_eq!(server.repo.status(), "");
        for n in 0..many {
            let file = format!("at-once-{merges}-{n}.txt");
            assert_eq!(server.repo.read(&file), format!("{n}\n"));
        }
        merges += many;
    }
    println!("{merges} merges in waves of two to eight");
}

/// Somebody else's commit on top of master, without a checkout; whether it came in time.
fn move_base(repo: &Repo) -> bool {
    let master = repo.master();
    let tree = format!("{master}^{{tree}}");
    let commit = repo.git(&[
        "commit-tree",
        &tree,
        "-p",
        &master,
        "-m",
        "by somebody else",
    ]);
    let update = ["update-ref", "refs/heads/master", commit.trim(), &master];
    try_git(repo.root(), &update).status.success()
}

/// Seen red: as the test before it.
#[test]
fn merges_on_a_base_that_moves_land_once_and_lose_nobodys_commit() {
    let server = Server::start();
    server.repo.git(&["checkout", "-q", "-b", "elsewhere"]);
    let mut chance = Chance::of("merge, moved");
    let (mut merges, mut moves) = (0, 0);
    while merges < times(MERGES) {
        let many = 2 + chance.below(7);
        let runs = proven(&server, &format!("moved-{merges}"), many);
        let before = server.repo.master();
        let mut moved = 0;
        let answers = merge_at_once(&server, &runs, |answered| {
            // Less often than a merge tries again.
            while moved < 8 && answered.load(Ordering::Relaxed) < many {
                moved += usize::from(move_base(&server.repo));
                for _ in 0..chance.below(20_000) {
                    thread::yield_now();
                }
            }
        });
        assert!(answers.iter().all(Option::is_some), "{answers:?}");
        assert_each_landed_once(&server.repo, &before, &runs, &answers);
        let range = format!("{before}..master");
        let others = [
            "rev-list",
            "--count",
            "--first-parent",
            "--no-merges",
            &range,
        ];
        assert_eq!(server.repo.git(&others).trim(), moved.to_string());
        moves += moved;
        merges += many;
    }
    println!("{merges} merges while somebody else moved the base {moves} times");
}
