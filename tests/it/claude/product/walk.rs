//! The whole way of work that goes well.

use serde_json::{Value, json};

use super::{MODEL, Product, events, in_mid_tool, of_type, replayed};
use crate::support::frames::{Frame, output_of};
use crate::support::mock_api::{Scenario, TOKENS};

#[test]
fn what_claude_wrote_is_proven_and_merged() {
    let Some(product) = Product::start() else {
        return;
    };
    let (server, before) = (&product.server, product.server.repo.master());
    let run = product.run(Scenario::edits_a_file_and_runs_a_command());
    let mut live = run.frames(None);
    let finished = run.wait_for("finished");

    // The detail.
    let session = finished["session_id"].as_str().expect("a session");
    let usage = json!({
        "input_tokens": 3 * TOKENS.0,
        "output_tokens": 3 * TOKENS.1,
        "cache_read_input_tokens": 3 * TOKENS.2,
        "cache_creation_input_tokens": 3 * TOKENS.3,
    });
    assert_eq!(finished["usage"], usage, "three calls");
    let cost = finished["cost_usd"].as_f64().expect("a cost");
    assert!(cost > 0.0);
    assert_eq!(finished["exit_code"], 0);
    assert_eq!(finished["agent"], "claude");
    assert_eq!(finished["model"], MODEL);
    assert_eq!(finished["stub_reason"], Value::Null);
    let attempt = &finished["attempts"][0];
    assert_eq!(attempt["turns"], 3);
    assert_eq!(attempt["session_id"], session);
    assert_eq!(attempt["cost_usd"], cost);

    // The list.
    let list = server.get("/api/runs").expect(200);
    for field in ["session_id", "usage", "cost_usd", "status", "head"] {
        assert_eq!(list["runs"][0][field], finished[field], "{field}");
    }

    // The stream: as it came, and from its beginning.
    let live = live.until_status("finished");
    let all = replayed(&run, server, "finished");
    let last = &all[all.len() - 1].json;
    for field in ["session_id", "usage", "cost_usd"] {
        assert_eq!(last[field], finished[field], "{field}");
        assert_eq!(live[live.len() - 1].json[field], finished[field], "{field}");
    }
    assert_eq!(output_of(&all), run.output(), "every byte, once");
    let told = all.iter().find(|frame| frame.name == "session");
    let told = &told.expect("the session is told when it is known").json;
    assert_eq!(
        (&told["session_id"], &told["model"]),
        (&json!(session), &json!(MODEL))
    );

    let events = events(&all);
    let starts = of_type(&events, "tool_start");
    let ends = of_type(&events, "tool_end");
    let names: Vec<_> = starts.iter().map(|start| start["name"].as_str()).collect();
    assert_eq!(names, [Some("Write"), Some("Bash")]);
    let ids = |events: &[&Value]| events.iter().map(|e| e["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&starts), ids(&ends), "each start has its end");
    assert!(ends.iter().all(|end| end["is_error"] == false), "{ends:?}");
    let printed = ends[1]["text"].as_str().expect("what the command printed");
    assert_eq!(printed, "hello from the mock\n?? hello.txt");
    let texts = of_type(&events, "text");
    assert_eq!(texts[texts.len() - 1]["text"], "DONE: hello.txt written.");
    let finals = of_type(&events, "final");
    assert_eq!(finals.len(), 1);
    assert_eq!(finals[0]["success"], true);
    assert_eq!(finals[0]["cost_usd"], cost);

    // Evidence, validation, merge.
    let file = json!({"item_key": "review", "kind": "file", "payload_path": "hello.txt"});
    let evidence = run.post("/evidence", &file).expect(201);
    assert_eq!(evidence["commit"], finished["head"]);
    run.validate(evidence["id"].as_str().unwrap()).expect(200);
    let merged = run.merge().expect(200);
    let commit = merged["commit"].as_str().unwrap();
    assert_eq!(server.repo.master(), commit);
    let head = finished["head"].as_str().unwrap().to_owned();
    assert_eq!(server.repo.parents(commit), [before, head]);
    assert_eq!(server.repo.read("hello.txt"), "hello from the mock\n");
    assert_eq!(server.repo.status(), "");
    run.wait_until_gone();
}

#[test]
fn what_claude_committed_itself_is_the_head_as_it_is() {
    let Some(product) = Product::start() else {
        return;
    };
    let repo = &product.server.repo;
    let run = product.run(Scenario::edits_a_file_and_commits_it());
    let finished = run.wait_for("finished");
    let head = finished["head"].as_str().unwrap();
    assert_eq!(repo.commit_of(&run.branch).as_deref(), Some(head));
    assert_eq!(repo.parents(head), [repo.master()], "its own commit alone");
    let told = repo.git(&["log", "-1", "--format=%an: %s", head]);
    assert_eq!(told.trim(), "Agent: hello: written by the agent");
    run.prove();
    run.merge().expect(200);
    assert_eq!(repo.read("hello.txt"), "hello from the mock\n");
}

#[test]
fn a_tool_is_seen_while_it_goes_on() {
    let Some(product) = Product::start() else {
        return;
    };
    let run = product.run(Scenario::runs_a_command_until_told_to_stop());
    let mut stream = product.server.frames(&run.path("/sse?after=0"), None);
    let has =
        |frame: &Frame, name: &str| !of_type(&events(std::slice::from_ref(frame)), name).is_empty();
    let seen = stream.until(|frame| has(frame, "tool_start"));
    assert!(!seen.iter().any(|frame| has(frame, "tool_end")));
    assert_eq!(run.status(), "running");
    in_mid_tool(&run);
    std::fs::write(run.worktree.join("tool.stop"), "").unwrap();
    let rest = stream.until_status("finished");
    assert!(rest.iter().any(|frame| has(frame, "tool_end")));
}
