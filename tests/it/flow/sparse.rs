//! Runs that have some folders of a monorepo only.

use std::fs;

use serde_json::{Value, json};

use crate::support::run::Run;
use crate::support::server::{Server, Setup};

/// A repository of two apps; the workflow `app` gives a run the folder of its app.
fn monorepo(setup: Setup) -> Server {
    setup.repo.commit_all(&[
        ("apps/list", "shop board\n"),
        ("apps/shop/src/main", "shop\n"),
        ("apps/board/main", "board\n"),
        ("docs/page", "page\n"),
    ]);
    let server = setup.start();
    let workflow = json!({
        "prompt_template": "{{ prompt }} of {{ sparse | join(',') }}",
        "dod": [
            {"key": "review"},
            {"key": "docs", "required": true, "when": {"changed": ["docs/**"]}},
        ],
        "settings": {"sparse": ["apps/{kanban_app}"]},
    });
    server.put("/api/workflows/app", &workflow).expect(201);
    server
}

fn of_app(app: &str) -> Value {
    json!({"mode": "prompt", "workflow": "app", "kanban_app": app})
}

/// The script's run of this app, at its end.
fn finished<'a>(server: &'a Server, app: &str, script: &str) -> Run<'a> {
    let run = server.run_with(script, &of_app(app));
    run.wait_for("finished");
    run
}

fn changed_keys(run: &Run<'_>) -> Vec<String> {
    let items = run.detail()["dod_items"].as_array().unwrap().clone();
    let applies = items.iter().filter(|item| item["applies"] != false);
    applies
        .map(|item| item["item_key"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_run_of_an_app_has_its_folders_only_and_lands_with_the_whole_tree() {
    let server = monorepo(Setup::new());
    let config = fs::read(server.repo.root().join(".git/config")).unwrap();
    let before = server.repo.master();
    let script = "sh find . -type f -not -path ./.git | sort
                  sh echo edited > apps/shop/src/main
                  git add -A
                  git commit -q -m edited
                  sh mkdir docs && echo new > docs/new && git status --porcelain";
    let run = finished(&server, "shop", script);
    let output = String::from_utf8(run.output()).unwrap();
    let has = "./.gitignore\n./a.txt\n./apps/list\n./apps/shop/src/main\n./b.txt\n?? docs/new\n";
    let lines = output.replace("?? docs/\n", "?? docs/new\n");
    assert!(lines.contains(has), "{output}");
    assert_eq!(changed_keys(&run), ["review", "docs"]);
    assert_eq!(run.detail()["sparse"], json!(["apps/shop"]));
    run.prove_item("review");
    run.prove_item("docs");
    // The base moves on, outside of the folders.
    server.repo.commit("docs/page", "another page");
    run.merge().expect(200);
    let landed = server
        .repo
        .git(&["diff", "--name-status", &before, "master"]);
    assert_eq!(landed, "M\tapps/shop/src/main\nA\tdocs/new\nM\tdocs/page\n");
    run.wait_until_gone();
    assert_eq!(
        fs::read(server.repo.root().join(".git/config")).unwrap(),
        config
    );
    server.check_world();
}

#[test]
fn what_is_outside_keeps_an_item_off_that_applies_to_it() {
    let server = monorepo(Setup::new());
    let run = finished(&server, "board", "sh echo edited > apps/board/main");
    let detail = run.detail();
    assert_eq!(changed_keys(&run), ["review"], "{detail:#}");
    let head = detail["head"].as_str().unwrap();
    let changed = server.repo.git(&["diff", "--name-status", "master", head]);
    assert_eq!(changed, "M\tapps/board/main\n");
}

#[test]
fn an_aborted_sparse_run_is_restored_with_its_folders_and_goes_on_there() {
    let server = monorepo(Setup::new());
    let run = finished(
        &server,
        "shop",
        "sh echo edited > apps/shop/src/main\nsh mkdir docs && echo new > docs/new",
    );
    fs::write(run.worktree.join("apps/shop/late"), "late\n").unwrap();
    fs::write(run.worktree.join("docs/late"), "late\n").unwrap();
    run.abort().expect(200);
    run.wait_until_gone();
    run.post("/restore", &json!({})).expect(200);
    // What was committed outside of the folders is not checked out; what was not is there.
    assert!(!run.worktree.join("docs/new").exists());
    assert!(run.worktree.join("docs/late").exists());
    assert!(!run.worktree.join("apps/board").exists());
    run.post("/retry", &json!({}));
    let ended = run.wait_for("finished");
    let head = ended["head"].as_str().unwrap();
    let changed = server.repo.git(&["diff", "--name-status", "master", head]);
    assert_eq!(
        changed,
        "A\tapps/shop/late\nM\tapps/shop/src/main\nA\tdocs/late\nA\tdocs/new\n"
    );
    server.check_world();
}

#[test]
fn folders_that_cannot_be_are_refused_where_they_were_said() {
    let server = monorepo(Setup::new());
    let refused = |body: Value, pointer: &str, says: &str| {
        let mut asked = json!({"mode": "prompt", "prompt": "x"});
        let more = body.as_object().unwrap().clone();
        asked.as_object_mut().unwrap().extend(more);
        let problem = server.post("/api/runs", &asked).expect(422);
        let field = &problem["errors"][0];
        assert_eq!(field["pointer"], pointer, "{problem:#}");
        let detail = field["detail"].as_str().unwrap();
        assert!(detail.contains(says), "{detail}");
    };
    for (folder, says) in [
        ("/etc", "absolute"),
        ("apps/../..", "`..`"),
        ("apps/.git", "git's own"),
        ("", "bytes long"),
        ("apps/none", "no folder `apps/none`"),
        ("apps/list", "no folder `apps/list`"),
    ] {
        refused(json!({"sparse": ["apps/shop", folder]}), "/sparse/1", says);
    }
    refused(
        json!({"sparse": vec!["apps"; 101]}),
        "/sparse",
        "at most 100",
    );
    refused(
        json!({"workflow": "app"}),
        "/kanban_app",
        "needs a `kanban_app`",
    );
    refused(of_app("none"), "/kanban_app", "no folder `apps/none`");
    refused(of_app("../docs"), "/kanban_app", "`..`");
    let bad = json!({"prompt_template": "x", "settings": {"sparse": ["fine", "../x"]}});
    let problem = server.put("/api/workflows/bad", &bad).expect(422);
    assert_eq!(problem["errors"][0]["pointer"], "/settings/sparse/1");
}

#[test]
fn a_request_without_folders_has_the_whole_tree() {
    let server = monorepo(Setup::new());
    let mut body = of_app("shop");
    body["sparse"] = json!([]);
    let run = server.run_with("sh ls docs", &body);
    let ended = run.wait_for("finished");
    assert!(String::from_utf8(run.output()).unwrap().contains("page"));
    assert_eq!(ended["sparse"], json!([]));
}
