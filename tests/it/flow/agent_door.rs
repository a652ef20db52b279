//! The token of a run's agent: what it opens, what it does not, and how long.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use agent_runner_api::http::openapi;
use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::own_run::{Own, RELEASE, WAITING, waiting};
use crate::support::server::{Server, Setup};

/// What the token opens, of its own run.
const OPEN: &[&str] = &[
    "GET /api/runs/{id}",
    "GET /api/runs/{id}/gate",
    "GET /api/runs/{id}/checks",
    "GET /api/runs/{id}/evidence",
    "GET /api/runs/{id}/evidence/{eid}/payload",
    "POST /api/runs/{id}/evidence",
    "POST /api/runs/{id}/may-end",
    "POST /mcp",
];

/// Every operation of the OpenAPI document, as method and path.
fn operations() -> Vec<(String, String)> {
    let document = serde_json::to_value(openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap().clone();
    let all = paths.into_iter().flat_map(|(path, item)| {
        let methods: Vec<_> = item.as_object().unwrap().keys().cloned().collect();
        methods
            .into_iter()
            .map(move |method| (method.to_uppercase(), path.clone()))
    });
    all.collect()
}

/// Asks for an operation with this token, about this run and this evidence of it.
fn ask(client: &Client, token: &str, (method, path): (&str, &str), run: &str, eid: &str) -> Answer {
    let path = path
        .replace("{id}", run)
        .replace("{eid}", eid)
        .replace("{name}", "prompt");
    let authorization = format!("Bearer {token}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ];
    let body: &[u8] = if method == "GET" { b"" } else { b"{}" };
    client.ask(method, &path, &headers, body)
}

#[test]
fn an_agents_token_opens_its_own_run_and_nothing_else() {
    let server = Server::start();
    let client = server.client();
    let (one, other) = (server.run(WAITING), server.run(WAITING));
    let (of_one, of_other) = (one.say("review", "mine"), other.say("review", "not mine"));
    let token = Own::of(&server, &one).token;
    // The rest of a detail changes while its agent works.
    let shown = |detail: Value| ["status", "dod_items", "labels"].map(|name| detail[name].clone());
    let before = (shown(one.detail()), shown(other.detail()));
    let mut opened = Vec::new();
    for (method, path) in operations() {
        let asked = (method.as_str(), path.as_str());
        let name = format!("{method} {path}");
        let own = ask(&client, &token, asked, &one.id, &of_one);
        if OPEN.contains(&name.as_str()) {
            assert!(![401, 403].contains(&own.status), "{name}: {own:?}");
            opened.push(name.clone());
        } else {
            own.expect_problem(403, "forbidden");
        }
        if path.contains("{id}") {
            ask(&client, &token, asked, &other.id, &of_other).expect_problem(403, "forbidden");
            let shouted = other.id.to_uppercase();
            ask(&client, &token, asked, &shouted, &of_other).expect_problem(403, "forbidden");
            // The first letters of both ids are the time, and the same.
            let short = ask(&client, &token, asked, &one.id[..6], &of_one);
            assert!(short.status >= 400, "{name}: {short:?}");
        }
        for wrong in ["", "x", &token[..token.len() - 1], &format!("{token}A")] {
            ask(&client, wrong, asked, &one.id, &of_one).expect_problem(401, "unauthorized");
        }
    }
    assert!(opened.len() >= 7, "{opened:?}");
    for (method, path) in [
        ("GET", "/nowhere"),
        ("PATCH", "/api/runs/{id}"),
        ("DELETE", "/mcp"),
    ] {
        ask(&client, &token, (method, path), &one.id, "").expect_problem(403, "forbidden");
    }
    let authorizations = [
        "Basic x".to_owned(),
        token.clone(),
        format!("Token {token}"),
    ];
    for authorization in authorizations {
        let headers = [("authorization", authorization.as_str())];
        let answer = client.ask("GET", "/api/health", &headers, b"");
        answer.expect_problem(401, "unauthorized");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
    assert_eq!(
        (shown(one.detail()), shown(other.detail())),
        before,
        "nothing was changed"
    );
}

#[test]
fn what_an_agent_attaches_is_an_agents_whatever_it_says_and_it_validates_nothing() {
    let server = Server::start();
    let run = server.finished("sh echo work > work.txt");
    let own = Own::of(&server, &run);
    let evidence = json!({"item_key": "review", "payload_text": "I say so", "author": "operator", "attached_by": "Vera"});
    let attached = own.post(&run.path("/evidence"), &evidence).expect(201);
    assert_eq!(attached["author"], "agent");
    assert_eq!(attached["attached_by"], Value::Null);
    let id = attached["id"].as_str().unwrap();
    let by = json!({"validated_by": "Vera Validator"});
    own.post(&run.path(&format!("/evidence/{id}/validate")), &by)
        .expect_problem(403, "forbidden");
    own.post(&run.path("/merge"), &json!({}))
        .expect_problem(403, "forbidden");
    let uploaded = own.upload(
        &run.path("/evidence"),
        &[("item_key", "review"), ("author", "operator")],
    );
    assert_eq!(uploaded.expect(201)["author"], "agent");
    // Somebody else does.
    run.validate(id).expect(200);
    run.merge().expect(200);
    own.get(&run.path("")).expect_problem(403, "forbidden");
}

#[test]
fn a_token_ends_with_its_run_and_is_back_with_it() {
    let server = Server::start();
    let run = server.run(WAITING);
    let own = Own::of(&server, &run);
    own.get(&run.path("")).expect(200);
    run.abort().expect(200);
    own.get(&run.path("")).expect_problem(403, "forbidden");
    own.tool("definition_of_done", &json!({}))
        .expect_problem(403, "forbidden");
    run.post("/restore", &json!({})).expect(200);
    own.get(&run.path("")).expect(200);
}

#[test]
fn a_token_outlives_a_restart_and_is_told_nowhere() {
    let server = Setup::new().on_a_port_of_its_own().start();
    let run = server.run(&waiting(&server));
    let own = Own::of(&server, &run);
    server.restart();
    assert_eq!(own.get(&run.path("")).expect(200)["status"], "running");
    own.post(
        &run.path("/evidence"),
        &json!({"item_key": "review", "payload_text": "still me"}),
    )
    .expect(201);

    let pid = run.detail()["pid"].as_u64().unwrap();
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    let arguments = String::from_utf8_lossy(&arguments);
    assert!(arguments.contains("mcp.json"), "{arguments}");
    server.mark(RELEASE);
    run.wait_for("finished");
    let mut frames = run.frames(Some("0"));
    let told: Vec<String> = frames
        .until_status("finished")
        .iter()
        .map(|frame| frame.json.to_string())
        .collect();
    let secret = own.token.rsplit('.').next().unwrap();
    for (what, text) in [
        ("the arguments", arguments.as_ref()),
        ("the log", server.log().as_str()),
        ("the stream", told.concat().as_str()),
        ("the detail", run.detail().to_string().as_str()),
    ] {
        assert!(!text.contains(secret), "{what}");
    }
    let attempt = server.attempt(&run.id, 1);
    for file in [
        attempt.join("mcp.json"),
        attempt.join("settings.json"),
        server.at("state/token-secret"),
    ] {
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
}

#[test]
fn a_workflow_can_leave_the_server_and_the_hook_out() {
    let server = Server::start();
    let files = |settings: Value| {
        let workflow = json!({
            "prompt_template": "{{ prompt }}", "dod": [{"key": "review"}], "settings": settings,
        });
        server.put("/api/workflows/own", &workflow);
        let run = server.run_with("print done", &json!({"mode": "own"}));
        run.wait_for("finished");
        let attempt = server.attempt(&run.id, 1);
        ["mcp.json", "settings.json"].map(|name| attempt.join(name).exists())
    };
    assert_eq!(files(json!({})), [true, true]);
    assert_eq!(files(json!({"mcp": false})), [false, true]);
    assert_eq!(files(json!({"stop_hook_blocks": 0})), [true, false]);
    let workflow = json!({"prompt_template": "x", "settings": {"stop_hook_blocks": 9}});
    let problem = server.put("/api/workflows/own", &workflow);
    let problem = problem.expect_problem(422, "invalid");
    assert_eq!(
        problem["errors"][0]["pointer"],
        "/settings/stop_hook_blocks"
    );
}

#[test]
fn any_program_can_ask_from_its_shell() {
    let server = Server::start();
    let program = env!("CARGO_BIN_EXE_agent_runner_api");
    let run = server.run_plain(&format!(
        "sh echo work > work.txt && git add work.txt && git commit -q -m work
         sh {program} agent dod > dod.out
         sh {program} agent dod --json > dod.json
         sh {program} agent evidence --item review --text 'read it all' > evidence.out
         sh {program} agent evidence --item review --path work.txt >> evidence.out
         sh {program} agent evidence --item review --path ../elsewhere 2> refused.out; echo $? >> refused.out
         sh {program} agent checks > checks.out
         sh {program} validate $AGENT_RUNNER_RUN_ID 00000000 --by me > validate.out 2>&1"
    ));
    let finished = run.wait_for("finished");
    let head = finished["head"].as_str().unwrap();
    let read = |name: &str| server.repo.file(head, name).expect(name);
    let dod = read("dod.out");
    assert!(
        dod.contains("- review (required, pending): review"),
        "{dod}"
    );
    assert!(
        dod.contains("missing: `review`: there is no evidence"),
        "{dod}"
    );
    let json: Value = serde_json::from_str(&read("dod.json")).unwrap();
    assert_eq!(json["items"][0]["missing"]["code"], "evidence_missing");
    assert!(read("evidence.out").starts_with("Attached to `review`."));
    assert_eq!(read("evidence.out").lines().count(), 2);
    let refused = read("refused.out");
    assert!(
        refused.contains("must lie inside the run's worktree"),
        "{refused}"
    );
    assert!(refused.ends_with("\n1\n"), "{refused}");
    assert!(read("checks.out").contains("No item of the Definition of Done has a check."));
    let evidence = run.get("/evidence").expect(200);
    let authors: Vec<_> = evidence["evidence"]
        .as_array()
        .unwrap()
        .iter()
        .map(|evidence| evidence["author"].clone())
        .collect();
    assert_eq!(authors, ["agent", "agent"]);
}

/// What a hook says to an agent: twice with something new, and no more; nothing where the service cannot be asked.
#[test]
fn a_stop_hook_sends_an_agent_back_for_what_it_can_bring_and_no_more() {
    let server = Server::start();
    let program = env!("CARGO_BIN_EXE_agent_runner_api");
    let workflow = json!({
        "prompt_template": "{{ prompt }}", "agent": "command", "settings": {"command": [crate::support::fake_agent::fake_agent()]},
        "dod": [
            {"key": "review"}, {"key": "tests", "title": "The tests pass"}, {"key": "docs"}, {"key": "optional", "required": false},
            {"key": "built", "check": {"cmd": "true"}}, {"key": "migrated", "when": {"changed": ["migrations/**"]}},
        ],
    });
    server.put("/api/workflows/proven", &workflow);
    let hook = |active: bool, to: &str| {
        format!(
            "sh echo '{{\"stop_hook_active\": {active}}}' | {program} agent stop-hook > {to}; echo $? >> {to}\n"
        )
    };
    let script = [
        "sh echo work > work.txt && git add work.txt && git commit -q -m work\n".to_owned(),
        hook(false, "first"),
        hook(true, "nothing_new"),
        format!("sh {program} agent evidence --item tests --text '12 passed' > said\n"),
        hook(true, "second"),
        hook(false, "third"),
        "sh echo '{}' | AGENT_RUNNER_URL=http://127.0.0.1:1 ".to_owned()
            + &format!("{program} agent stop-hook > unreachable 2> why; echo $? >> unreachable\n"),
        "sh echo '{}' | AGENT_RUNNER_TOKEN=x ".to_owned()
            + &format!("{program} agent stop-hook > unknown 2> why; echo $? >> unknown\n"),
    ]
    .concat();
    let run = server.run_with(&script, &json!({"mode": "proven"}));
    let finished = run.wait_for("finished");
    let head = finished["head"].as_str().unwrap();
    let read = |name: &str| server.repo.file(head, name).expect(name);
    let said = |name: &str| -> Option<String> {
        let text = read(name);
        let (word, code) = text.rsplit_once("0\n").expect("it ended with 0");
        assert_eq!(code, "");
        if word.is_empty() {
            return None;
        }
        let word: Value = serde_json::from_str(word).unwrap();
        assert_eq!(word["decision"], "block");
        Some(word["reason"].as_str().unwrap().to_owned())
    };
    let first = said("first").expect("it is sent back");
    assert!(
        first.contains("- tests: The tests pass (text, file or url)\n- docs: docs"),
        "{first}"
    );
    for not in ["review", "optional", "built", "migrated"] {
        assert!(!first.contains(&format!("- {not}:")), "{first}");
    }
    assert_eq!(said("nothing_new"), None);
    // What it brought counts for the commit, which has not moved.
    let second = said("second").expect("there is something new");
    assert!(
        second.contains("- docs:") && !second.contains("- tests:"),
        "{second}"
    );
    for may_end in ["third", "unreachable", "unknown"] {
        assert_eq!(said(may_end), None, "{may_end}");
    }
}

#[test]
fn nobody_but_an_agent_asks_whether_it_may_end() {
    let server = Server::start();
    let run = server.finished("print done");
    let ending = json!({"attempt_id": "x"});
    run.post("/may-end", &ending)
        .expect_problem(401, "unauthorized");
    let own = Own::of(&server, &run);
    let answer = own.post(&run.path("/may-end"), &ending).expect(200);
    assert_eq!(answer["may_end"], true, "its agent has ended: {answer}");
}
