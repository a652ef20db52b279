//! What Claude Code does with what its own run offers it: the MCP server, and the hook before it ends.

use std::fs;

use serde_json::{Value, json};

use super::{MODEL, Product, events, of_type, replayed};
use crate::support::claude_program::wait_for_file;
use crate::support::mock_api::{Answer, Scenario};
use crate::support::run::Run;
use crate::support::wait::PATIENCE;

/// The tools are deferred: the model asks for them before it can call them.
fn finds_the_tools() -> Answer {
    Answer::Tool(
        "ToolSearch",
        json!({"query": "select:mcp__agent_runner__definition_of_done,mcp__agent_runner__attach_evidence", "max_results": 5}),
    )
}

fn attaches(item: &str, text: &str) -> Answer {
    Answer::Tool(
        "mcp__agent_runner__attach_evidence",
        json!({"item_key": item, "text": text}),
    )
}

fn reads_what_is_asked() -> Answer {
    Answer::Tool("mcp__agent_runner__definition_of_done", json!({}))
}

fn commits() -> Answer {
    Answer::bash(
        "echo work > work.txt && git add work.txt && git -c user.name=A -c user.email=a@example.invalid commit -q -m work",
    )
}

/// A run of a workflow whose only item is one that an agent can bring evidence for.
#[track_caller]
fn run_of<'a>(product: &'a Product, scenario: Scenario, settings: &Value) -> Run<'a> {
    let workflow = json!({
        "prompt_template": "{{ prompt }}", "dod": [{"key": "tests", "title": "The tests pass"}], "settings": settings,
    });
    let put = product.server.put("/api/workflows/proven", &workflow);
    assert!(put.status < 300, "{}", String::from_utf8_lossy(&put.bytes));
    let prompt = format!("do what the test says {}", product.api.mark(scenario));
    let body = json!({"mode": "proven", "prompt": prompt, "model": MODEL});
    Run::of(&product.server, &product.server.create(&body).expect(201))
}

/// The texts of what the tools answered, in their order.
fn answers(product: &Product, run: &Run<'_>) -> Vec<(String, bool)> {
    let events = events(&replayed(run, &product.server, "finished"));
    let ends = of_type(&events, "tool_end").into_iter();
    ends.map(|end| {
        let text = end["text"].as_str().unwrap_or_default().to_owned();
        (text, end["is_error"] == true)
    })
    .collect()
}

#[track_caller]
fn authors(run: &Run<'_>) -> Vec<Value> {
    let all = run.get("/evidence").expect(200);
    let all = all["evidence"].as_array().unwrap().iter();
    all.map(|evidence| evidence["author"].clone()).collect()
}

#[test]
fn claude_reads_what_its_run_must_show_and_attaches_it() {
    let Some(product) = Product::start() else {
        return;
    };
    for mode in ["bypassPermissions", "acceptEdits", "dontAsk", "default"] {
        let scenario = Scenario::of([
            finds_the_tools(),
            reads_what_is_asked(),
            attaches("tests", "12 passed"),
            Answer::text("DONE"),
        ]);
        let run = run_of(&product, scenario, &json!({"permission_mode": mode}));
        run.wait_for("finished");
        let answers = answers(&product, &run);
        let told = &answers[1];
        assert!(
            !told.1
                && told
                    .0
                    .contains("- tests (required, pending): The tests pass"),
            "{mode}: {answers:#?}"
        );
        assert!(
            !answers[2].1 && answers[2].0.starts_with("Attached to `tests`."),
            "{mode}: {answers:#?}"
        );
        assert_eq!(authors(&run), ["agent"], "{mode}");
        let shut = ("evidence_not_validated".to_owned(), "tests".to_owned());
        assert!(
            run.blockers().contains(&shut),
            "{mode}: {:?}",
            run.blockers()
        );
    }
}

#[test]
fn what_a_workflow_disallows_stays_disallowed() {
    let Some(product) = Product::start() else {
        return;
    };
    let scenario = Scenario::of([
        finds_the_tools(),
        attaches("tests", "12 passed"),
        Answer::text("DONE"),
    ]);
    let settings =
        json!({"disallowed_tools": ["mcp__agent_runner__attach_evidence"], "stop_hook_blocks": 0});
    let run = run_of(&product, scenario, &settings);
    run.wait_for("finished");
    assert_eq!(authors(&run), Vec::<Value>::new());
}

#[test]
fn an_agent_that_would_end_with_nothing_shown_is_sent_back_and_then_ends() {
    let Some(product) = Product::start() else {
        return;
    };
    // It brings what it is told to.
    let brings = Scenario::of([
        commits(),
        Answer::text("I am done."),
        finds_the_tools(),
        attaches("tests", "12 passed"),
        Answer::text("Now I am done."),
    ]);
    let run = run_of(&product, brings, &json!({}));
    run.wait_for("finished");
    let calls = product.api.calls();
    assert_eq!(calls.len(), 5);
    let told = calls[2].messages_text();
    assert!(
        told.contains("Before you end: these required items"),
        "{told}"
    );
    assert!(
        told.contains("- tests: The tests pass (text, file or url)"),
        "{told}"
    );
    assert_eq!(authors(&run), ["agent"]);
    assert_eq!(
        run.blockers(),
        [("evidence_not_validated".to_owned(), "tests".to_owned())]
    );

    // It does not, and is not told twice.
    let refuses = Scenario::always(Answer::text("I am done."));
    let run = run_of(&product, refuses, &json!({}));
    run.wait_for("finished");
    assert_eq!(product.api.calls().len(), 5 + 2);
    assert_eq!(
        run.blockers(),
        [
            ("nothing_to_merge".to_owned(), String::new()),
            ("evidence_missing".to_owned(), "tests".to_owned()),
        ]
    );

    // Nobody sends it back.
    let run = run_of(
        &product,
        Scenario::always(Answer::text("I am done.")),
        &json!({"stop_hook_blocks": 0}),
    );
    run.wait_for("finished");
    assert_eq!(product.api.calls().len(), 5 + 2 + 1);
}

/// The repository's own hooks and servers are not run; ours, given by file, are.
#[test]
fn the_repositorys_own_hooks_and_servers_stay_out_where_ours_are_in() {
    let Some(product) = Product::start() else {
        return;
    };
    let ran = product.server.at("repository-hook-ran");
    let settings = json!({"hooks": {"Stop": [{"hooks": [
        {"type": "command", "command": format!("touch '{}'", ran.display())},
    ]}]}});
    let servers = json!({"mcpServers": {"of_the_repository": {"command": "touch", "args": [ran.display().to_string()]}}});
    product.server.repo.as_the_user(|root| {
        fs::create_dir_all(root.join(".claude")).unwrap();
        fs::write(root.join(".claude/settings.json"), settings.to_string()).unwrap();
        fs::write(root.join(".mcp.json"), servers.to_string()).unwrap();
    });
    product.server.repo.git(&["add", ".claude", ".mcp.json"]);
    product
        .server
        .repo
        .git(&["commit", "-q", "-m", "of the repository"]);
    let run = run_of(
        &product,
        Scenario::always(Answer::text("I am done.")),
        &json!({}),
    );
    run.wait_for("finished");
    assert_eq!(product.api.calls().len(), 2, "ours has sent it back once");
    assert!(!ran.exists(), "a hook or a server of the repository ran");
}

#[test]
fn claude_goes_on_with_its_tools_after_the_service_was_restarted() {
    let Some(product) = Product::start_on_a_port_of_its_own() else {
        return;
    };
    let scenario = Scenario::of([
        finds_the_tools(),
        reads_what_is_asked(),
        Answer::bash(
            "echo > at.work; i=0; while [ ! -e go.on ] && [ $i -lt 1200 ]; do sleep 0.1; i=$((i+1)); done; rm at.work go.on",
        ),
        attaches("tests", "12 passed"),
        Answer::text("DONE"),
    ]);
    let run = run_of(&product, scenario, &json!({}));
    wait_for_file(&run.worktree.join("at.work"), PATIENCE);
    product.server.restart();
    fs::write(run.worktree.join("go.on"), "").unwrap();
    run.wait_for("finished");
    let answers = answers(&product, &run);
    assert!(
        answers[3].0.starts_with("Attached to `tests`."),
        "{answers:#?}"
    );
    assert_eq!(authors(&run), ["agent"]);
}
