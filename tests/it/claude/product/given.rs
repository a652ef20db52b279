//! What the agent is given: its prompt whatever it looks like, its variables, its workflow's settings.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::{MODEL, Product, events, of_type, replayed};
use crate::support::mock_api::{Answer, Scenario};
use crate::support::run::Run;

#[test]
fn a_prompt_arrives_as_it_is_however_long_and_whatever_it_looks_like() {
    let Some(product) = Product::start() else {
        return;
    };
    let mark = product.api.mark(Scenario::always(Answer::text("DONE")));
    // More than an argument can hold; words that would be options and templates elsewhere.
    let filler = "0123456789abcdef ".repeat(16 * 1024);
    let prompt = format!("--help {{{{ branch }}}} $(touch x) äöü {mark} {filler} the end of it");
    let body = json!({"mode": "prompt", "prompt": prompt, "model": MODEL});
    let created = product.server.create(&body).expect(201);
    Run::of(&product.server, &created).wait_for("finished");
    let calls = product.api.calls();
    assert_eq!(calls.len(), 1);
    let texts: Vec<&str> = calls[0].body["messages"][0]["content"]
        .as_array()
        .expect("a list of blocks")
        .iter()
        .filter_map(|block| block["text"].as_str())
        .collect();
    assert!(
        texts.iter().any(|text| text.contains(&prompt)),
        "not as it is"
    );
}

#[test]
fn a_workflow_decides_what_the_agent_gets_and_runs() {
    let Some(product) = Product::start() else {
        return;
    };
    let server = &product.server;
    let ran = server.at("hook-ran");
    server.repo.as_the_user(|root| {
        let hook = root.join(".git/hooks/pre-commit");
        fs::write(&hook, format!("#!/bin/sh\n: > '{}'\n", ran.display())).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    });
    let look = "env > seen; git add seen; git commit -q -m seen";
    let run_with = |more: &Value| {
        let scenario = Scenario::of([Answer::bash(look), Answer::text("DONE")]);
        let prompt = format!("look around {}", product.api.mark(scenario));
        let mut body = json!({"mode": "prompt", "prompt": prompt, "model": MODEL});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        let created = server.create(&body).expect(201);
        let finished = Run::of(server, &created).wait_for("finished");
        let head = finished["head"].as_str().unwrap().to_owned();
        server.repo.file(&head, "seen").expect("it was committed")
    };

    let seen = run_with(&json!({"env": {"OF_THE_REQUEST": "yes"}}));
    assert!(seen.contains("OF_THE_REQUEST=yes"), "{seen}");
    assert!(!seen.contains("OF_THE_SERVICE"), "{seen}");
    assert!(!ran.exists(), "the repository's hook ran");

    let settings = json!({"hooks": "inherit", "pass_env": ["OF_THE_SERVICE"]});
    put_workflow(&product, "open", &settings);
    let seen = run_with(&json!({"mode": "open"}));
    assert!(seen.contains("OF_THE_SERVICE=its own"), "{seen}");
    assert!(ran.exists(), "the repository's hook did not run");
}

#[test]
fn what_an_agent_is_not_permitted_is_seen_and_not_done() {
    let Some(product) = Product::start() else {
        return;
    };
    put_workflow(&product, "careful", &json!({"permission_mode": "default"}));
    let mark = product
        .api
        .mark(Scenario::edits_a_file_and_runs_a_command());
    let body = json!({"mode": "careful", "prompt": mark, "model": MODEL});
    let created = product.server.create(&body).expect(201);
    let run = Run::of(&product.server, &created);
    let finished = run.wait_for("finished");
    assert_eq!(
        finished["head"], finished["base_commit"],
        "nothing was written"
    );
    let events = events(&replayed(&run, &product.server, "finished"));
    let ends = of_type(&events, "tool_end");
    assert_eq!(ends[0]["is_error"], true, "{ends:#?}");
    assert!(!of_type(&events, "notice").is_empty(), "{events:#?}");
}

/// A workflow whose template is that of `prompt`.
#[track_caller]
fn put_workflow(product: &Product, name: &str, settings: &Value) {
    let prompt = product.server.get("/api/workflows/prompt").expect(200);
    let workflow = json!({"prompt_template": prompt["prompt_template"], "settings": settings});
    let put = product
        .server
        .put(&format!("/api/workflows/{name}"), &workflow);
    assert!(put.status < 300, "{}", String::from_utf8_lossy(&put.bytes));
}
