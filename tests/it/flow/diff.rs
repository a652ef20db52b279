//! What a run has changed, as a client reads it.

use serde_json::json;

use crate::support::server::Server;

#[test]
fn a_diff_is_told_as_patch_as_numbers_and_as_files() {
    let server = Server::start();
    let run = server.finished("append a.txt line 10\nwrite new.txt new\nremove b.txt");
    let diff = |format: &str| run.get(&format!("/diff{format}")).expect(200);
    let patch = diff("");
    assert_eq!(patch["base_commit"], server.repo.master());
    assert_eq!(patch["head"], run.detail()["head"]);
    assert_eq!(patch["truncated"], false);
    let text = patch["patch"].as_str().unwrap();
    assert!(
        text.contains("\n+line 10\n") && text.contains("\n-b\n"),
        "{text}"
    );
    assert_eq!(
        diff("?format=stat")["stat"],
        "1\t0\ta.txt\n0\t1\tb.txt\n1\t0\tnew.txt\n"
    );
    let file = |path: &str, status: &str, added: u32, removed: u32| json!({"path": path, "status": status, "added": added, "removed": removed});
    assert_eq!(
        diff("?format=files")["files"],
        json!([
            file("a.txt", "modified", 1, 0),
            file("b.txt", "deleted", 0, 1),
            file("new.txt", "added", 1, 0),
        ])
    );
    run.get("/diff?format=colour")
        .expect_problem(422, "invalid");

    // It stays the run's own when the base moves on, and after the merge.
    server.repo.commit("other.txt", "by somebody else\n");
    run.prove();
    run.merge().expect(200);
    run.wait_until_gone();
    assert_eq!(diff("")["patch"], text);
}
