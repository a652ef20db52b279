//! The whole way of a run that goes well, with the shapes that clients see on it.

use serde_json::{Value, json};

use crate::support::server::{Server, request};
use crate::support::wait::until;

/// The fields of a run, as the contract lists them.
const RUN: &[&str] = &[
    "id",
    "run_id",
    "workflow",
    "mode",
    "issue_id",
    "card_id",
    "kanban_app",
    "prompt",
    "agent",
    "stub_reason",
    "model",
    "branch",
    "worktree_path",
    "sse_url",
    "base",
    "base_commit",
    "head",
    "pid",
    "status",
    "failure",
    "exit_code",
    "session_id",
    "usage",
    "cost_usd",
    "created_at",
    "started_at",
    "ended_at",
    "merged_at",
    "merge_commit",
    "aborted_at",
    "output_pruned_at",
    "labels",
];
const DETAIL: &[&str] = &["dod_items", "gate", "attempts"];
const ITEM: &[&str] = &[
    "id",
    "item_key",
    "title",
    "required",
    "status",
    "accepts",
    "validator",
    "check",
    "evidence",
];
const EVIDENCE: &[&str] = &[
    "id",
    "evidence_id",
    "item_id",
    "item_key",
    "kind",
    "payload_path",
    "payload_url",
    "payload_text",
    "commit",
    "tree",
    "sha256",
    "size",
    "author",
    "stale",
    "created_at",
    "validated_at",
    "validated_by",
    "rejected_at",
    "reason",
];

#[track_caller]
fn assert_has(value: &Value, fields: &[&str]) {
    let object = value.as_object().expect("an object");
    for field in fields {
        assert!(
            object.contains_key(*field),
            "{field} is missing in {value:#}"
        );
    }
}

#[test]
fn a_run_walks_from_request_to_merge() {
    let server = Server::start();
    let before = server.repo.master();
    let go = server.mark_path("go");
    let script = format!(
        "write work.txt done by an agent
         git add -A
         git commit -q -m work
         claude-tool Bash {{\"command\": \"true\"}}
         wait-for {go}"
    );
    let more = json!({"card_id": "CARD-7", "kanban_app": "board", "labels": {"team": "blue"}});
    let answer = server.create(&request(&script, &more));
    let created = answer.expect(201);
    assert_has(
        &created,
        &["run_id", "branch", "worktree_path", "sse_url", "status"],
    );
    assert_eq!(created["status"], "running");
    let run = crate::support::run::Run::of(&server, &created);
    assert_eq!(created["sse_url"], run.path("/sse"));
    assert_eq!(answer.header("location"), run.path(""));
    assert!(run.branch.starts_with("auto/card-7-"), "{}", run.branch);
    assert!(run.worktree.starts_with(server.at("worktrees")));
    assert!(run.worktree.join("a.txt").exists());

    let running = run.detail();
    assert_has(&running, RUN);
    assert_has(&running, DETAIL);
    assert_eq!(running["status"], "running");
    assert!(running["pid"].is_u64());
    assert_eq!(running["base"], "master");
    assert_eq!(running["base_commit"], before);
    assert_eq!(running["labels"], json!({"team": "blue"}));
    for unknown in [
        "ended_at",
        "merged_at",
        "merge_commit",
        "aborted_at",
        "failure",
        "exit_code",
        "issue_id",
    ] {
        assert_eq!(running[unknown], Value::Null, "{unknown}");
    }
    run.merge().expect_problem(409, "run_active");

    server.mark("go");
    let finished = run.wait_for("finished");
    assert_eq!(finished["exit_code"], 0);
    assert_eq!(finished["pid"], Value::Null);
    assert!(finished["session_id"].is_string());
    assert_eq!(finished["usage"]["input_tokens"], 3600);
    assert_eq!(finished["cost_usd"], 0.01);
    assert!(finished["started_at"].is_string() && finished["ended_at"].is_string());
    let head = server.repo.commit_of(&run.branch).unwrap();
    assert_eq!(finished["head"], head.as_str());
    assert_eq!(finished["attempts"][0]["why"], "first");

    let item = finished["dod_items"][0].clone();
    assert_has(&item, ITEM);
    assert_eq!(item["status"], "pending");
    assert_eq!(item["required"], true);
    let by_id = json!({"item_id": item["id"], "kind": "text", "payload_text": "looked at it"});
    let evidence = run.post("/evidence", &by_id).expect(201);
    assert_has(&evidence, EVIDENCE);
    assert_eq!(evidence["commit"], head.as_str());
    assert_eq!(evidence["stale"], false);
    let file = json!({"item_key": "review", "kind": "file", "payload_path": "work.txt"});
    assert_eq!(run.post("/evidence", &file).expect(201)["size"], 17);
    let url = json!({"item_key": "review", "kind": "url", "payload_url": "https://example.org/1"});
    run.post("/evidence", &url).expect(201);
    assert_eq!(run.detail()["dod_items"][0]["status"], "done");

    let judged = run.validate(evidence["id"].as_str().unwrap()).expect(200);
    assert_eq!(judged["status"], "validated");
    assert_eq!(judged["evidence"]["validated_by"], "Vera Validator");
    assert_eq!(judged["item"]["status"], "validated");
    let proven = run.detail();
    assert_eq!(proven["gate"], json!({"open": true, "blockers": []}));

    let merged = run.merge().expect(200);
    assert_eq!(merged["status"], "merged");
    let commit = merged["commit"].as_str().unwrap();
    assert_eq!(server.repo.master(), commit);
    assert_eq!(server.repo.parents(commit), [before, head]);
    let message = server.repo.git(&["log", "-1", "--format=%B", commit]);
    assert!(
        message.contains(&format!("Agent-Run: {}", run.id)),
        "{message}"
    );
    assert!(
        message.contains("Validated-By: Vera Validator"),
        "{message}"
    );
    assert_eq!(server.repo.read("work.txt"), "done by an agent\n");
    assert_eq!(server.repo.status(), "", "the checkout is clean");
    assert_eq!(
        merged["fast_forwarded"],
        json!([server.repo.root().display().to_string()])
    );

    run.wait_until_gone();
    let end = run.detail();
    assert_eq!(end["status"], "merged");
    assert_eq!(end["merge_commit"], commit);
    assert!(end["merged_at"].is_string());
    assert_eq!(
        run.merge().expect(200)["commit"],
        commit,
        "asked again, the same answer"
    );
    run.abort().expect_problem(409, "already_merged");
    server.check_world();
}

#[test]
fn the_list_has_every_field_newest_first_and_takes_filters_and_pages() {
    let server = Server::start();
    let first = server.run_with("exit 0", &json!({"kanban_app": "one"}));
    first.wait_for("finished");
    let second = server.run_with("exit 3", &json!({"kanban_app": "two"}));
    second.wait_for("failed");
    let ids = |query: &str| {
        let page = server.get(&format!("/api/runs{query}")).expect(200);
        let runs = page["runs"].as_array().unwrap().clone();
        runs.iter().for_each(|run| assert_has(run, RUN));
        let ids: Vec<_> = runs
            .iter()
            .map(|run| run["id"].as_str().unwrap().to_owned())
            .collect();
        (ids, page["next_cursor"].clone())
    };
    let both = vec![second.id.clone(), first.id.clone()];
    assert_eq!(ids(""), (both.clone(), Value::Null));
    assert_eq!(ids("?status=finished").0, std::slice::from_ref(&first.id));
    assert_eq!(ids("?status=finished,failed&since=1h").0, both);
    assert_eq!(ids("?app=two").0, std::slice::from_ref(&second.id));
    assert!(ids("?since=2100-01-01T00:00:00Z").0.is_empty());
    let (newest, cursor) = ids("?limit=1");
    assert_eq!(newest, std::slice::from_ref(&second.id));
    let rest = ids(&format!("?limit=1&cursor={}", cursor.as_str().unwrap()));
    assert_eq!(rest, (vec![first.id.clone()], Value::Null));
    server
        .get("/api/runs?status=sleepy")
        .expect_problem(422, "invalid");
    server
        .get("/api/runs?cursor=nonsense")
        .expect_problem(422, "invalid");
    server.check_world();
}

#[test]
fn health_tells_where_the_server_is_and_what_it_does() {
    let server = Server::start();
    let health = server.get("/api/health").expect(200);
    assert_eq!(health["status"], "ok");
    let port = server
        .client()
        .url
        .rsplit(':')
        .next()
        .unwrap()
        .parse::<u16>();
    assert_eq!(health["port"], port.unwrap());
    assert!(health["db"].as_str().unwrap().ends_with("runs.db"));
    assert_eq!(health["agent"], "claude");
    assert_eq!(health["running"], 0);
    let run = server.run(&format!("wait-for {}", server.mark_path("go")));
    assert_eq!(server.get("/api/health").expect(200)["running"], 1);
    server.mark("go");
    run.wait_for("finished");
    until("the slot is free", || {
        server.get("/api/health").expect(200)["running"] == 0
    });
    server.check_world();
}
