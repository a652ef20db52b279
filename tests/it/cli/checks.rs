//! `check`: waits for the round that it asks for, and its exit code says what came of it.

use serde_json::json;

use super::program::Program;
use crate::support::run::Run;
use crate::support::server::Server;

fn checked<'a>(server: &'a Server, dod: &serde_json::Value) -> Run<'a> {
    let workflow =
        json!({"prompt_template": "{{ prompt }}", "dod": dod, "settings": {"feedback": 0}});
    server.put("/api/workflows/checked", &workflow);
    let run = server.run_with("write work.txt done", &json!({"mode": "checked"}));
    run.wait_for("finished");
    run
}

#[test]
fn the_exit_code_says_whether_the_checks_passed() {
    let server = Server::start();
    let url = server.client().url;
    let dod = json!([
        {"key": "fine", "check": {"cmd": "true"}},
        {"key": "broken", "check": {"cmd": "exit 4"}},
    ]);
    let run = checked(&server, &dod);
    let fine = Program::talking_to(&url).run(&["check", &run.id, "--item", "fine"]);
    assert_eq!(fine.code, 0, "{fine:?}");
    assert!(
        fine.stdout.contains("+ fine passed known from evidence"),
        "{fine:?}"
    );
    let all = Program::talking_to(&url).run(&["check", &run.id, "--afresh"]);
    assert_eq!(all.code, 19, "{all:?}");
    for told in [
        "+ fine passed",
        "- broken failed: exit_code: it ended with 4",
    ] {
        assert!(all.stdout.contains(told), "{all:?}");
    }
    assert!(all.stderr.contains("did not pass: broken"), "{all:?}");
    let unknown = Program::talking_to(&url).run(&["check", &run.id, "--item", "other"]);
    assert_eq!(unknown.code, 1, "{unknown:?}");
    assert!(unknown.stderr.contains("no item `other`"), "{unknown:?}");
}
