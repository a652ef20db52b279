//! An app in a small monorepo: cargo builds it, starts it and tests it, as its page says, and only what has passed lands.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::held::Held;
use crate::support::run::Run;
use crate::support::server::{Server, Setup};

const PAGE: &str = r#"---
e2e_checks:
  - id: build
    cmd: "cargo build --offline"
    timeout_s: 120
  - id: smoke
    cmd: "./target/debug/app --port 8486 --db /tmp/app_e2e.db &"
    health: "http://127.0.0.1:8486/api/health"
  - id: tests
    cmd: "cargo test --offline"
---
# Demo
"#;
const PORT: u16 = 8486;
const MANIFEST: &str = r#"[package]
name = "demo"
version = "0.1.0"
edition = "2024"

[[bin]]
name = "app"
path = "src/main.rs"
"#;
const LOCK: &str = "version = 4\n\n[[package]]\nname = \"demo\"\nversion = \"0.1.0\"\n";
/// It and what it starts, in a session of its own, hold the FIFO open. It and its test say that they are there.
const APP: &str = r#"use std::io::{Read, Write};

fn main() {
    let port: u16 = flag("--port").parse().unwrap();
    std::fs::write(flag("--db"), title()).unwrap();
    let held = std::fs::File::options().write(true).open("{held}").unwrap();
    tell("app");
    let mut left = std::process::Command::new("setsid");
    left.args(["sleep", "1000"]).stdout(held.try_clone().unwrap()).spawn().unwrap();
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut asked = [0; 1024];
        let read = stream.read(&mut asked).unwrap();
        let status = status(&asked[..read]);
        write!(stream, "HTTP/1.1 {status} -\r\nContent-Length: 0\r\n\r\n").unwrap();
    }
}

fn tell(word: &str) {
    let mut order = std::fs::File::options().create(true).append(true).open("{order}").unwrap();
    writeln!(order, "{word}").unwrap();
}

fn flag(name: &str) -> String {
    std::env::args().skip_while(|word| word != name).nth(1).unwrap()
}

fn status(asked: &[u8]) -> u16 {
    if asked.starts_with(b"GET /api/health ") { 200 } else { 404 }
}

fn title() -> &'static str {
    "demo"
}

#[test]
fn it_has_its_title() {
    tell("tests");
    assert_eq!(title(), "demo");
}
"#;

/// Checks find cargo and rustc where those are that build this.
fn setup() -> Setup {
    let setup = Setup::new().flag("--max-feedback", "0");
    let bin = setup.at("bin");
    let toolchain = Path::new(env!("CARGO")).parent().unwrap();
    let path = format!(
        "{}:{}:/usr/local/bin:/usr/bin:/bin",
        bin.display(),
        toolchain.display()
    );
    let cargo_home = setup.at("home/cargo").display().to_string();
    setup
        .variable("PATH", &path)
        .variable("CARGO_HOME", &cargo_home)
}

/// Whether lists of checks have networks of their own here. Without, the app must take the port that it is given.
fn has_own_networks(server: &Server) -> bool {
    server.get("/api/health").expect(200)["check_network"]["kind"] == "own"
}

/// Commits the monorepo; what tells whether all is gone that the app was.
fn monorepo(server: &Server) -> Held {
    let held = server.mark_path("held");
    let reader = Held::at(held.as_ref());
    let page = match has_own_networks(server) {
        true => PAGE.to_owned(),
        false => PAGE.replace("8486", "$PORT"),
    };
    let app = APP
        .replace("{held}", &held)
        .replace("{order}", &server.mark_path("order"));
    server.repo.commit_all(&[
        (".gitignore", "target\n"),
        (
            "Cargo.toml",
            "[workspace]\nresolver = \"3\"\nmembers = [\"apps/demo\"]\n",
        ),
        ("Cargo.lock", LOCK),
        ("apps/demo/Cargo.toml", MANIFEST),
        ("apps/demo/demo.md", &page),
        ("apps/demo/src/main.rs", &app),
    ]);
    reader
}

/// A run of the app whose agent and checks are at their end.
fn demo<'a>(server: &'a Server, script: &str) -> (Run<'a>, Value) {
    let run = server.run_with(script, &json!({"kanban_app": "demo"}));
    let ended = run.wait_for("finished");
    (run, ended)
}

/// The one result of an item's check.
#[track_caller]
fn result(detail: &Value, key: &str) -> Value {
    let items = detail["dod_items"].as_array().unwrap();
    let item = items.iter().find(|item| item["item_key"] == key).unwrap();
    let evidence = item["evidence"].as_array().unwrap();
    assert_eq!(evidence.len(), 1, "{item:#}");
    assert_eq!(evidence[0]["author"], "check");
    evidence[0]["check"].clone()
}

fn blocker(code: &str, item: &str) -> (String, String) {
    (code.to_owned(), item.to_owned())
}

/// Seen red with the checks in the machine's network: the smoke check ends with `port_in_use`.
#[test]
fn an_app_is_built_started_and_tested_while_its_very_port_is_taken_and_lands() {
    let server = setup().start_at(PORT);
    if !has_own_networks(&server) {
        println!(
            "SKIPPED an_app_is_built_started_and_tested_while_its_very_port_is_taken_and_lands: no network of its own can \
             be had here, so the app is tried on a free port"
        );
    }
    let held = monorepo(&server);
    let agents = "sh echo '// by the agent' >> apps/demo/src/main.rs";
    let (run, ended) = demo(&server, agents);
    for (key, passed) in [("build", None), ("smoke", None), ("tests", Some(1))] {
        let check = result(&ended, key);
        assert_eq!(check["passed"], true, "{key}: {check:#}");
        assert_eq!(check["own_network"], has_own_networks(&server));
        assert_eq!(check["counts"]["passed"].as_u64(), passed, "{check:#}");
    }
    let order = std::fs::read_to_string(server.mark_path("order")).unwrap();
    assert_eq!(
        order, "app\ntests\n",
        "the app was there when it was tested"
    );
    held.assert_all_gone();
    assert_eq!(run.blockers(), [blocker("evidence_missing", "review")]);
    run.merge().expect_problem(409, "gate_closed");
    run.prove();
    let merged = run.merge().expect(200);
    assert_eq!(merged["commit"], server.repo.master().as_str());
    let landed = server.repo.read("apps/demo/src/main.rs");
    assert!(landed.ends_with("// by the agent\n"), "{landed}");
    run.wait_until_gone();
    server.check_world();
}

#[test]
fn an_app_whose_test_the_agent_has_broken_does_not_land() {
    let server = setup().start();
    let held = monorepo(&server);
    let master = server.repo.master();
    // The first place is what the test is about, the second one the test itself.
    let breaks = "sh sed -i '0,/\"demo\"/s//\"damo\"/' apps/demo/src/main.rs";
    let (run, ended) = demo(&server, breaks);
    for key in ["build", "smoke"] {
        assert_eq!(result(&ended, key)["passed"], true);
    }
    let tests = result(&ended, "tests");
    assert_eq!(tests["passed"], false, "{tests:#}");
    let counts = &tests["counts"];
    assert_eq!(
        (&counts["passed"], &counts["failed"]),
        (&json!(0), &json!(1))
    );
    held.assert_all_gone();
    run.prove_item("review");
    assert_eq!(run.blockers(), [blocker("check_failed", "tests")]);
    run.merge().expect_problem(409, "gate_closed");
    assert_eq!(server.repo.master(), master);
    server.check_world();
}

#[test]
fn an_agent_that_rewrites_the_checks_of_its_app_is_held_to_the_old_ones_and_to_a_person() {
    let server = setup().start();
    let _held = monorepo(&server);
    let weaker = "sh sed -i 's/cargo test --offline/true/' apps/demo/demo.md";
    let (run, ended) = demo(&server, weaker);
    let tests = result(&ended, "tests");
    assert_eq!(tests["cmd"], "cargo test --offline");
    assert_eq!(tests["counts"]["passed"], 1);
    run.prove_item("review");
    let changed = "definition-changed";
    assert_eq!(run.blockers(), [blocker("evidence_not_validated", changed)]);
    let refused = run.merge().expect_problem(409, "gate_closed");
    assert_eq!(refused["blockers"][0]["item_key"], changed);
    let items = ended["dod_items"].as_array().unwrap();
    let item = items.iter().find(|item| item["item_key"] == changed);
    let evidence = &item.unwrap()["evidence"][0];
    let text = evidence["payload_text"].as_str().unwrap();
    assert!(text.contains("cargo test --offline"), "{text}");
    run.validate(evidence["evidence_id"].as_str().unwrap())
        .expect(200);
    run.merge().expect(200);
    let page = server.repo.read("apps/demo/demo.md");
    assert!(page.contains("cmd: \"true\""), "{page}");
    run.wait_until_gone();
    server.check_world();
}
