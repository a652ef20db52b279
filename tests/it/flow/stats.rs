//! Honesty figures over a history that is made for them.

use agent_runner_api::run::event::AttemptKind;
use agent_runner_api::run::phase::{Round, RoundWhy};
use agent_runner_api::run::{AttemptId, Event, Failure, FailureCode, ItemId, RoundId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::checked::Books;
use crate::support::repo::git;
use crate::support::run::Run;
use crate::support::server::Server;

/// A round of the item's check after the agent has ended, and what it came to.
fn round(books: &Books<'_>, item: ItemId, passed: bool) {
    books.record(Event::ChecksStarted {
        round: Round {
            id: RoundId(Uuid::now_v7()),
            head: books.run().head.unwrap(),
            items: vec![item],
            why: RoundWhy::AgentEnded,
            afresh: false,
        },
    });
    books.checked(item, passed);
    books.record(Event::ChecksEnded {
        cut_short: None,
        goes_on: false,
    });
}

/// A check failed on what the agent called finished, was sent back, and then no agent could be started.
fn claimed_and_sent_back(books: &Books<'_>) {
    let item = books.item("tests", "cargo test");
    round(books, item, false);
    // On the same commit it is the same claim.
    round(books, item, false);
    books.record(Event::AttemptQueued {
        attempt: AttemptId(Uuid::now_v7()),
        why: AttemptKind::Feedback {
            text: "the tests fail".to_owned(),
            items: vec![item],
        },
    });
    books.record(Event::StartFailed {
        failure: Failure::new(FailureCode::SpawnFailed, "there is no agent"),
    });
}

/// Lands it with evidence for the review; a person's new commit makes the first one stale, and a failed check is
/// overridden.
fn reopened_and_overridden(server: &Server, run: &Run<'_>) {
    run.prove();
    git(
        &run.worktree,
        &["commit", "-q", "--allow-empty", "-m", "no change"],
    );
    std::fs::write(run.worktree.join("more.txt"), "more\n").unwrap();
    git(&run.worktree, &["add", "-A"]);
    git(&run.worktree, &["commit", "-q", "-m", "more"]);
    run.prove();
    let books = Books::of(server, &run.id);
    let e2e = books.item("e2e", "./e2e");
    let failed = books.checked(e2e, false);
    books.overridden(failed, "Olga Operator", "staging is down");
    drop(books);
    server.start_again();
    run.merge().expect(200);
    run.wait_until_gone();
}

fn figures(server: &Server, query: &str) -> Value {
    server.get(&format!("/api/stats{query}")).expect(200)
}

#[test]
fn each_figure_is_what_has_happened() {
    let server = Server::start();
    assert_eq!(figures(&server, "")["groups"], json!([]));
    assert_eq!(
        figures(&server, "")["total"]["first_pass_rate"],
        Value::Null
    );

    let first_pass = server.finished("write one.txt done");
    let second = server.finished("write two.txt done");
    let third = server.finished("write three.txt done");
    let aborted = server.run_plain("print done");
    aborted.wait_for("finished");
    aborted.abort().expect(200);

    first_pass.prove();
    let books = Books::of(&server, &first_pass.id);
    let item = books.item("tests", "cargo test");
    round(&books, item, true);
    drop(books);
    let books = Books::of_stopped(&server, &second.id);
    claimed_and_sent_back(&books);
    drop(books);
    server.start_again();
    first_pass.merge().expect(200);
    first_pass.wait_until_gone();
    reopened_and_overridden(&server, &third);

    let stats = figures(&server, "?workflow=prompt");
    let groups = stats["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 1, "{stats:#}");
    let group = &groups[0];
    assert_eq!(group["workflow"], "prompt");
    assert_eq!(group["agent"], "claude");
    let expected = json!({
        "runs": 3, "merged": 2, "aborted": 0, "failed": 1, "reached_proof": 3, "first_pass": 1, "first_pass_rate": 0.3333,
        "evidence": 7, "rejected_evidence": 3, "reopened_items": 1, "claims_against_evidence": 1, "feedback_attempts": 1,
        "overrides": 1,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&group[name], value, "{name}: {group:#}");
        assert_eq!(&stats["total"][name], value, "{name}");
    }
    let median = group["median_to_merge_s"].as_f64().unwrap();
    assert!(median > 0.0 && median < 600.0, "{median}");

    let all = figures(&server, "");
    assert_eq!(all["groups"].as_array().unwrap().len(), 2, "{all:#}");
    assert_eq!(all["total"]["aborted"], 1);
    assert_eq!(figures(&server, "?app=none")["total"]["runs"], 0);
    assert_eq!(
        figures(&server, "?since=2100-01-01T00:00:00Z")["total"]["runs"],
        0
    );
    assert_eq!(figures(&server, "?since=7d")["total"]["runs"], 4);
    server.get("/api/stats?since=never").expect(422);
    server.get("/api/stats?status=merged").expect(422);

    let said = crate::cli::verify::talk(&server, &["stats", "--json"]);
    let said: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(said, all);
    let table = crate::cli::verify::talk(&server, &["stats", "--workflow", "prompt"]).stdout;
    assert!(table.starts_with("WORKFLOW  AGENT"), "{table}");
    assert!(table.contains("33%"), "{table}");
    server.check_world();
}
