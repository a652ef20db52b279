//! Workflows of one's own, and the agent that is any program.

use serde_json::json;

use crate::support::fake_agent::{fake_agent, prompt};
use crate::support::run::Run;
use crate::support::server::Server;

#[test]
fn a_workflow_is_made_changed_used_and_removed() {
    let server = Server::start();
    let names = || {
        let all = server.get("/api/workflows").expect(200)["workflows"].clone();
        let names = all.as_array().unwrap().iter();
        names
            .map(|workflow| workflow["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(), ["auto", "prompt"]);
    let path = "/api/workflows/fix";
    let workflow = json!({
        "description": "Fix it", "dod": [{"key": "fixed", "title": "It is fixed"}],
        "prompt_template": "Fix {{ issue_id }} on {{ branch }}:\n{{ prompt }}\n{% for item in dod %}{{ item.key }} {% endfor %}",
    });
    let made = server.put(path, &workflow).expect(201);
    assert_eq!(made["built_in"], false);
    assert_eq!(
        server.put(path, &workflow).expect(200)["description"],
        "Fix it"
    );
    assert_eq!(names(), ["auto", "fix", "prompt"]);
    let body =
        json!({"mode": "fix", "issue_id": "ISSUE-1", "prompt": prompt("sh echo done > work.txt")});
    let run = Run::of(&server, &server.create(&body).expect(201));
    let ended = run.wait_for("finished");
    assert_eq!(ended["workflow"], "fix");
    assert_eq!(ended["dod_items"][0]["item_key"], "fixed");
    let prompt = std::fs::read_to_string(server.attempt(&run.id, 1).join("prompt")).unwrap();
    assert!(
        prompt.starts_with(&format!("Fix ISSUE-1 on {}:\n", run.branch)),
        "{prompt}"
    );
    assert!(prompt.trim_end().ends_with("fixed"), "{prompt}");

    let client = server.client();
    assert_eq!(client.ask("DELETE", path, &[], b"").status, 204);
    server.get(path).expect_problem(404, "not_found");
    client
        .ask("DELETE", path, &[], b"")
        .expect_problem(404, "not_found");
    server.create(&body).expect_problem(422, "unknown_mode");
    assert_eq!(
        run.detail()["dod_items"][0]["item_key"],
        "fixed",
        "runs keep what they were made with"
    );
}

#[test]
fn a_built_in_workflow_can_be_changed_and_brought_back() {
    let server = Server::start();
    let (client, path) = (server.client(), "/api/workflows/prompt");
    let original = server.get(path).expect(200);
    assert_eq!(original["built_in"], true);
    client
        .ask("DELETE", path, &[], b"")
        .expect_problem(409, "workflow_conflict");
    let changed = json!({"prompt_template": "{{ prompt }}", "dod": [{"key": "mine"}]});
    assert_eq!(server.put(path, &changed).expect(200)["built_in"], true);
    let run = server.finished("write work.txt done");
    assert_eq!(run.detail()["dod_items"][0]["item_key"], "mine");
    assert_eq!(client.ask("DELETE", path, &[], b"").status, 204);
    assert_eq!(server.get(path).expect(200), original);
}

#[test]
fn a_workflow_that_cannot_work_is_refused() {
    let server = Server::start();
    for (workflow, pointer) in [
        (json!({"prompt_template": "{{ prompt"}), "/prompt_template"),
        (
            json!({"prompt_template": "x", "dod": [{"key": "a"}, {"key": "a"}]}),
            "/dod/1/key",
        ),
        (
            json!({"prompt_template": "x", "agent": "command"}),
            "/settings/command",
        ),
        (
            json!({"prompt_template": "x", "env": {"LD_PRELOAD": "x"}}),
            "/env/LD_PRELOAD",
        ),
        (
            json!({"prompt_template": "x", "limits": {"timeout_s": 0}}),
            "/limits/timeout_s",
        ),
        (
            json!({"prompt_template": "x", "limits": {"max_cost_usd": -1}}),
            "/limits/max_cost_usd",
        ),
        (
            json!({"prompt_template": "x", "settings": {"permission_mode": "anything"}}),
            "/settings/permission_mode",
        ),
        (
            json!({"prompt_template": "x", "settings": {"setting_sources": ["user", "--x"]}}),
            "/settings/setting_sources",
        ),
        (json!({"prompt_template": "x", "colour": "red"}), "/colour"),
        (json!({}), "/prompt_template"),
    ] {
        let refused = server
            .put("/api/workflows/wrong", &workflow)
            .expect_problem(422, "invalid");
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{workflow}");
    }
    let fine = json!({"prompt_template": "x"});
    server
        .put("/api/workflows/two%20words", &fine)
        .expect_problem(422, "invalid");
    server
        .get("/api/workflows/wrong")
        .expect_problem(404, "not_found");
}

/// A workflow whose agent is the scripted one, as any program is.
fn of_a_command() -> serde_json::Value {
    json!({
        "prompt_template": "{{ prompt }}", "agent": "command", "dod": [{"key": "review"}],
        "env": {"COLOUR": "blue"}, "settings": {"command": [fake_agent(), "an argument"]},
    })
}

#[test]
fn any_program_can_be_the_agent() {
    let server = Server::start();
    server
        .put("/api/workflows/mine", &of_a_command())
        .expect(201);
    let start = |script: &str| {
        let body = json!({"mode": "mine", "prompt": prompt(script), "env": {"SHAPE": "round"}});
        Run::of(&server, &server.create(&body).expect(201))
    };
    let run = start("args\nenv COLOUR\nenv SHAPE\nenv HOME\nwrite work.txt done");
    let ended = run.wait_for("finished");
    assert_eq!(ended["agent"], "command");
    assert_eq!(ended["session_id"], json!(null));
    let home = server.at("home").display().to_string();
    let expected = format!("[\"an argument\"]\nblue\nround\n{home}\n");
    assert_eq!(String::from_utf8(run.output()).unwrap(), expected);
    run.post("/messages", &json!({"text": "more"}))
        .expect_problem(409, "no_session");
    run.prove();
    run.merge().expect(200);

    let failed = start("print-error it is broken\nexit 3").wait_for("failed");
    assert_eq!(failed["exit_code"], 3);
    assert_eq!(failed["failure"]["code"], "exit_code");
    let detail = failed["failure"]["detail"].as_str().unwrap();
    assert!(detail.contains("it is broken"), "{detail}");
}

#[test]
fn a_program_that_is_not_there_fails_the_run_by_name() {
    let server = Server::start();
    let mut workflow = of_a_command();
    workflow["settings"]["command"] = json!(["/no/such/program"]);
    server.put("/api/workflows/mine", &workflow).expect(201);
    let answer = server
        .create(&json!({"mode": "mine", "prompt": "x"}))
        .expect(201);
    let run = Run::of(&server, &answer);
    let failed = run.detail();
    assert_eq!(failed["status"], "failed");
    assert_eq!(failed["failure"]["code"], "spawn_failed");
    workflow["settings"]["command"] = json!([fake_agent()]);
    server.put("/api/workflows/mine", &workflow).expect(200);
    run.abort().expect(200);
    assert!(!run.worktree.exists());
}

#[test]
fn a_limit_that_the_agent_cannot_be_held_to_is_refused() {
    let server = Server::start();
    let mut workflow = of_a_command();
    workflow["limits"] = json!({"max_cost_usd": 1.0});
    let refused = server
        .put("/api/workflows/mine", &workflow)
        .expect_problem(422, "invalid");
    assert_eq!(refused["errors"][0]["pointer"], "/limits/max_cost_usd");
    server
        .put("/api/workflows/mine", &of_a_command())
        .expect(201);
    let body = json!({"mode": "mine", "prompt": "x", "limits": {"max_turns": 3}});
    let refused = server.create(&body).expect_problem(422, "invalid");
    assert_eq!(refused["errors"][0]["pointer"], "/limits/max_turns");
}
