//! The server killed in the middle of one thing: it is done then, or not, or goes on, and never half.

use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use serde_json::json;

use crate::support::client::Client;
use crate::support::held::Held;
use crate::support::repo::Repo;
use crate::support::run::Run;
use crate::support::server::{Server, Setup, request};
use crate::support::wait::{PATIENCE, until};

#[test]
fn what_was_accepted_is_there_after_a_crash_right_after_the_answer() {
    let server = Setup::new().flag("--max-running", "1").start();
    let go = server.mark_path("go");
    let first = server.run(&format!("wait-for {go}\nwrite first.txt done"));
    server.restart();
    let second = server.queued(&format!("wait-for {go}\nwrite second.txt done"));
    server.restart();
    let third = server.queued("write third.txt done");
    server.restart();
    assert_eq!(first.status(), "running");
    assert_eq!(second.detail()["queue_position"], 1);
    assert_eq!(third.detail()["queue_position"], 2);
    server.mark("go");
    for run in [first, second, third] {
        run.wait_for("finished");
    }
    server.check_world();
}

/// Sends a request with a key of its own, and kills the server at this moment of it; then the same again.
fn killed_while_it_starts(moment: impl Fn(&Server) -> PathBuf) {
    let server = Server::start();
    let held = Held::at(&server.at("marks/held"));
    let script = format!(
        "hold {}\nsh echo once >> {}\nwrite work.txt done",
        server.mark_path("held"),
        server.mark_path("times")
    );
    let body = request(&script, &json!({}));
    let key = [
        ("idempotency-key", "mine"),
        ("content-type", "application/json"),
    ];
    let ask =
        |client: &Client| client.try_ask("POST", "/api/runs", &key, body.to_string().as_bytes());
    let moment = moment(&server);
    thread::scope(|scope| {
        let client = server.client();
        scope.spawn(move || ask(&client));
        until("the moment comes", || below(&moment));
        server.kill();
    });
    server.start_again();
    let answer = ask(&server.client()).unwrap();
    assert!([201, 202].contains(&answer.status), "{}", answer.json());
    let run = Run::of(&server, &answer.json());
    run.wait_for("finished");
    held.assert_all_gone();
    let times = std::fs::read_to_string(server.mark_path("times")).unwrap();
    assert_eq!(times, "once\n", "its agent worked once");
    let runs = server.get("/api/runs").expect(200)["runs"].clone();
    assert_eq!(runs.as_array().unwrap().len(), 1);
    assert_eq!(server.repo.git(&["worktree", "list"]).lines().count(), 2);
    run.prove();
    run.merge().expect(200);
}

/// Whether there is something at this path, of which `*` is any name.
fn below(path: &std::path::Path) -> bool {
    let mut found = vec![PathBuf::from("/")];
    for part in path.iter().skip(1) {
        found = match part.to_str() {
            Some("*") => {
                let entries = found.iter().filter_map(|folder| folder.read_dir().ok());
                entries
                    .flatten()
                    .filter_map(|entry| Some(entry.ok()?.path()))
                    .collect()
            }
            _ => found
                .iter()
                .map(|folder| folder.join(part))
                .filter(|path| path.exists())
                .collect(),
        };
    }
    !found.is_empty()
}

#[test]
fn a_crash_while_the_worktree_is_made() {
    killed_while_it_starts(|server| server.at("worktrees/*"));
}

#[test]
fn a_crash_before_the_agent_is_started() {
    killed_while_it_starts(|server| server.at("state/runs/*"));
}

#[test]
fn a_crash_when_the_supervisor_has_its_orders() {
    killed_while_it_starts(|server| server.at("state/runs/*/attempts/1/launch.json"));
}

#[test]
fn a_crash_when_the_agent_has_started() {
    killed_while_it_starts(|server| server.at("state/runs/*/attempts/1/started.json"));
}

#[test]
fn a_crash_when_the_agent_has_ended() {
    killed_while_it_starts(|server| server.at("state/runs/*/attempts/1/exit.json"));
}

/// What is landed is landed once, and a run says so if and only if it is.
fn assert_landed_once(repo: &Repo, since: &str, runs: &[Run<'_>]) {
    let landed = repo.landed_since(since);
    let merged: Vec<_> = runs
        .iter()
        .map(Run::detail)
        .filter(|run| run["status"] == "merged")
        .collect();
    assert_eq!(merged.len(), landed.len());
    for run in merged {
        assert!(
            landed
                .iter()
                .any(|commit| run["merge_commit"] == commit.as_str())
        );
    }
}

#[test]
fn a_crash_in_the_middle_of_many_merges() {
    let server = Server::start();
    let runs: Vec<_> = (1..=6)
        .map(|n| server.run(&format!("write work-{n}.txt {n}")))
        .collect();
    for run in &runs {
        run.wait_for("finished");
        run.prove();
    }
    let before = server.repo.master();
    for _ in 0..3 {
        let master = server.repo.master();
        thread::scope(|scope| {
            for run in &runs {
                let (client, path) = (server.client(), run.path("/merge"));
                scope.spawn(move || client.try_ask("POST", &path, &[], b""));
            }
            until("one has landed", || server.repo.master() != master);
            server.kill();
        });
        server.start_again();
        for run in &runs {
            until("it is one or the other", || {
                ["finished", "merged"].contains(&&*run.status())
            });
        }
        assert_landed_once(&server.repo, &before, &runs);
        if server.repo.landed_since(&before).len() == runs.len() {
            break;
        }
    }
    for run in &runs {
        run.merge().expect(200);
        run.wait_until_gone();
    }
    assert_landed_once(&server.repo, &before, &runs);
    assert_eq!(server.repo.landed_since(&before).len(), runs.len());
    assert_eq!(server.repo.status(), "");
    for n in 1..=6 {
        assert_eq!(server.repo.read(&format!("work-{n}.txt")), format!("{n}\n"));
    }
    server.check_world();
}

#[test]
fn a_crash_right_after_the_base_has_moved_is_made_good_before_anything_else_lands() {
    let server = Server::start();
    let tip = server.repo.root().join(".git/refs/heads/master");
    for round in 0..4 {
        let before = server.repo.master();
        let runs = ["one", "two"].map(|name| server.run(&format!("write {name}-{round} done")));
        for run in &runs {
            run.wait_for("finished");
            run.prove();
        }
        thread::scope(|scope| {
            let (client, path) = (server.client(), runs[0].path("/merge"));
            scope.spawn(move || client.try_ask("POST", &path, &[], b""));
            let begun = Instant::now();
            while std::fs::read_to_string(&tip).unwrap().trim() == before {
                assert!(begun.elapsed() < PATIENCE);
            }
            server.kill();
        });
        server.start_again();
        runs[1].merge().expect(200);
        runs[0].merge().expect(200);
        assert_landed_once(&server.repo, &before, &runs);
        assert_eq!(server.repo.landed_since(&before).len(), 2);
        assert_eq!(server.repo.status(), "");
        assert_eq!(server.repo.read(&format!("one-{round}")), "done\n");
        assert_eq!(server.repo.read(&format!("two-{round}")), "done\n");
    }
    server.check_world();
}

#[test]
fn a_crash_right_after_a_merge_leaves_no_worktree_behind() {
    let server = Server::start();
    let run = server.finished("write work.txt done");
    run.prove();
    run.merge().expect(200);
    server.restart();
    assert_eq!(run.status(), "merged");
    run.wait_until_gone();
    assert_eq!(server.repo.status(), "");
    server.check_world();
}

#[test]
fn a_crash_in_the_middle_of_an_abort_is_finished_at_the_next_start() {
    let server = Server::start();
    let held = Held::at(&server.at("marks/held"));
    let run = server.run(&format!(
        "hold {}
         write work.txt half
         spawn-setsid-double-fork 1000 {}
         sleep 1000",
        server.mark_path("held"),
        server.mark_path("away")
    ));
    server.wait_for_mark("away");
    let exit = server.attempt(&run.id, 1).join("exit.json");
    thread::scope(|scope| {
        let (client, path) = (server.client(), run.path("/abort"));
        scope.spawn(move || client.try_ask("POST", &path, &[], b""));
        until("the agent has ended", || exit.exists());
        server.kill();
    });
    server.start_again();
    run.wait_for("aborted");
    run.wait_until_preserved();
    let aborted = run.detail();
    held.assert_all_gone();
    assert!(!run.worktree.exists() && !server.repo.has_branch(&run.branch));
    let kept = aborted["preserved_commit"]
        .as_str()
        .expect("its work is kept");
    assert_eq!(server.repo.file(kept, "work.txt").unwrap(), "half\n");
    server.check_world();
}

#[test]
fn requests_in_flight_when_the_server_dies_are_there_if_they_were_answered() {
    let server = Setup::new().flag("--max-running", "3").start();
    let body = request("exit 0", &json!({})).to_string();
    let accepted: Vec<String> = thread::scope(|scope| {
        let asking: Vec<_> = (0..4)
            .map(|_| {
                let (client, body) = (server.client(), body.as_bytes());
                scope.spawn(move || {
                    let kind = [("content-type", "application/json")];
                    let mut accepted = Vec::new();
                    while let Some(answer) = client.try_ask("POST", "/api/runs", &kind, body) {
                        accepted.push(answer.json()["run_id"].as_str().unwrap().to_owned());
                    }
                    accepted
                })
            })
            .collect();
        // Four of them may not be answered yet.
        until("some are accepted", || {
            server.get("/api/runs").expect(200)["runs"]
                .as_array()
                .unwrap()
                .len()
                > 8
        });
        server.kill();
        asking
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    server.start_again();
    assert!(accepted.len() > 3);
    until("all have ended", || {
        let open = server
            .get("/api/runs?status=queued,preparing,running,checking")
            .expect(200);
        open["runs"] == json!([])
    });
    let list = server.get("/api/runs?limit=500").expect(200);
    for run in list["runs"].as_array().unwrap() {
        assert_eq!(run["status"], "finished", "{run:#}");
    }
    for id in accepted {
        assert_eq!(
            server.get(&format!("/api/runs/{id}")).expect(200)["status"],
            "finished"
        );
    }
    server.check_world();
}
