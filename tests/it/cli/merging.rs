//! `merge` on a real server: it waits for its turn and for the checks on the result, and tells how far it is.

use serde_json::json;

use super::program::Program;
use crate::support::server::Server;

#[test]
fn merge_waits_for_the_checks_on_the_result_and_tells_how_they_ended() {
    let server = Server::start();
    let proven = |file: &str, cmd: &str| {
        let dod = json!({"dod": [{"key": "tests", "check": {"cmd": cmd}}]});
        let run = server.run_with(&format!("write {file} by the agent"), &dod);
        run.wait_for("finished");
        run.prove();
        run
    };
    let lands = proven("one.txt", "test -e one.txt");
    let fails = proven("two.txt", "test ! -e other.txt");
    server.repo.commit("other.txt", "by somebody else\n");
    let url = server.client().url;
    let merge = |id: &str, more: &[&str]| {
        let arguments = [&["merge", id], more].concat();
        Program::talking_to(&url).run(&arguments)
    };

    let ended = merge(&lands.id, &[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let commit = lands.wait_for("merged")["merge_commit"].clone();
    let last = ended.stdout.lines().last().unwrap();
    assert_eq!(last, format!("merged as {}", commit.as_str().unwrap()));

    let would = merge(&fails.id, &["--dry-run"]);
    assert_eq!(would.code, 0, "{would:?}");
    assert!(would.stdout.contains("on the result: tests"), "{would:?}");
    let ended = merge(&fails.id, &[]);
    assert_eq!(ended.code, 5, "{ended:?}");
    assert!(
        ended.stderr.contains("candidate_checks_failed"),
        "{ended:?}"
    );
    assert!(ended.stderr.contains("`tests`"), "{ended:?}");
    assert_eq!(fails.status(), "finished");
}
