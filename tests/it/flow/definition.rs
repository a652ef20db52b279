//! Where a run's Definition of Done comes from: the workflow, the repository, the app's page, the request.

use serde_json::{Value, json};

use crate::support::repo::git;
use crate::support::run::Run;
use crate::support::server::{Server, Setup, request};

/// The page of an app in a monorepo.
const PAGE: &str = "---
title: Shop
status: doing
e2e_checks:
  - id: build
    cmd: \"true\"
    timeout_s: 120
  - id: smoke
    cmd: \"sleep 60 &\"
    health: \"http://127.0.0.1:8486/api/health\"
---
# Shop
";

fn server(files: &[(&str, &str)]) -> Server {
    let setup = Setup::new();
    setup.repo.commit_all(files);
    setup.start()
}

/// A workflow of these items whose agent writes a file.
fn workflow(server: &Server, dod: &Value) {
    let workflow = json!({"prompt_template": "{{ prompt }}\n{% for item in dod %}<{{ item.key }}>{% endfor %}", "dod": dod});
    server.put("/api/workflows/mine", &workflow).expect(201);
}

fn asked(more: &Value) -> Value {
    let mut body = request("write work.txt done", &json!({"mode": "mine"}));
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn items(run: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = run["dod_items"].as_array().unwrap().iter();
    all.map(|item| (text(&item["item_key"]), text(&item["title"])))
        .collect()
}

fn item<'a>(run: &'a Value, key: &str) -> &'a Value {
    let mut all = run["dod_items"].as_array().unwrap().iter();
    all.find(|item| item["item_key"] == key).unwrap()
}

#[test]
fn the_four_sources_are_merged_by_key_and_later_ones_take_the_place_of_earlier_ones() {
    let server = server(&[
        (
            ".agent_runner/dod/20-late.toml",
            "[[item]]\nkey = \"b\"\ntitle = \"late file\"\nrequired = false\n",
        ),
        (
            ".agent_runner/dod/10-early.toml",
            "[[item]]\nkey = \"a\"\ntitle = \"file\"\n[[item]]\nkey = \"b\"\ntitle = \"early file\"\n",
        ),
        (".agent_runner/dod/notes.md", "no items"),
        ("apps/shop/page.md", PAGE),
        ("apps/shop/other.md", "# no front matter\n"),
        (
            "apps/mill/page.md",
            "---\ne2e_checks:\n  - {id: mill, cmd: 'true'}\n---\n",
        ),
    ]);
    workflow(
        &server,
        &json!([{"key": "review"}, {"key": "a", "title": "workflow"}, {"key": "build", "title": "workflow"}]),
    );
    let more = json!({
        "kanban_app": "shop",
        "dod": [{"key": "smoke", "title": "request"}, {"key": "own", "title": "request"}],
    });
    let run = Run::of(&server, &server.create(&asked(&more)).expect(201));
    let detail = run.detail();
    let expected = [
        ("review", "review"),
        ("a", "file"),
        ("build", "e2e: build"),
        ("b", "late file"),
        ("smoke", "request"),
        ("own", "request"),
    ];
    let expected = expected.map(|(key, title)| (key.to_owned(), title.to_owned()));
    assert_eq!(items(&detail), expected);
    assert_eq!(
        item(&detail, "build")["check"],
        json!({"cmd": "true", "timeout_s": 120, "health": null, "red_green": false, "junit": null, "min_tests": null})
    );
    assert_eq!(item(&detail, "build")["validator"], "check");
    assert_eq!(item(&detail, "b")["required"], false);
    assert_eq!(
        item(&detail, "smoke")["check"],
        Value::Null,
        "the whole item is another one"
    );
    let base = server.repo.master();
    let at = |kind: &str, name: &str, keys: &Value| json!({"kind": kind, "name": name, "commit": base, "keys": keys});
    assert_eq!(
        detail["dod_sources"],
        json!([
            {"kind": "workflow", "name": "mine", "commit": null, "keys": ["review", "a", "build"]},
            at("repository", ".agent_runner/dod/10-early.toml", &json!(["a", "b"])),
            at("repository", ".agent_runner/dod/20-late.toml", &json!(["b"])),
            at("app_page", "apps/shop/page.md", &json!(["build", "smoke"])),
            {"kind": "request", "name": null, "commit": null, "keys": ["smoke", "own"]},
        ])
    );
    let digest = detail["dod_digest"].as_str().unwrap();
    assert_eq!(digest.len(), 64, "{digest}");
    let prompt = std::fs::read_to_string(server.attempt(&run.id, 1).join("prompt")).unwrap();
    assert!(
        prompt.ends_with("<review><a><build><b><smoke><own>"),
        "{prompt}"
    );
    // The same sources make the same definition, and another request another one.
    let again = Run::of(&server, &server.create(&asked(&more)).expect(201));
    assert_eq!(again.detail()["dod_digest"], digest);
    let other = Run::of(&server, &server.create(&asked(&json!({}))).expect(201));
    assert_ne!(other.detail()["dod_digest"], digest);
    assert_eq!(items(&other.detail()).len(), 4, "no page without an app");
}

#[test]
fn an_app_without_a_page_and_an_app_with_a_strange_name_have_no_checks() {
    let server = server(&[("apps/shop/page.md", PAGE), ("apps/page.md", PAGE)]);
    for app in [
        "none",
        "*",
        "..",
        ".",
        "../apps/shop",
        "shop/",
        "{shop}",
        "shop\\",
        "sh?p",
    ] {
        let run = server.run_with("write work.txt done", &json!({"kanban_app": app}));
        assert_eq!(items(&run.detail()).len(), 1, "{app}");
    }
}

#[test]
fn pages_are_where_the_setting_says() {
    let setup = Setup::new().flag("--app-pages", "docs/**/{kanban_app}.md");
    setup
        .repo
        .commit_all(&[("docs/a/b/shop.md", PAGE), ("apps/shop/page.md", PAGE)]);
    let server = setup.start();
    let run = server.run_with("write work.txt done", &json!({"kanban_app": "shop"}));
    assert_eq!(run.detail()["dod_sources"][1]["name"], "docs/a/b/shop.md");
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place_and_nothing_is_changed() {
    let server = Server::start();
    let refused = |files: &[(&str, &str)], sentence: &str| {
        server.repo.commit_all(files);
        let body = request("write work.txt done", &json!({"kanban_app": "shop"}));
        let problem = server
            .create(&body)
            .expect_problem(422, "definition_unreadable");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(sentence), "{sentence}: {detail}");
        assert!(detail.contains(&server.repo.master()), "{detail}");
        let (path, _) = sentence.split_once(':').unwrap();
        assert_eq!(problem["paths"], json!([path]), "{problem}");
    };
    let toml = ".agent_runner/dod/a.toml";
    refused(
        &[(toml, "[[item]]\nkey = \"a\"\nnecessary = true\n")],
        ".agent_runner/dod/a.toml:3:1: unknown field `necessary`, expected one of",
    );
    refused(
        &[(
            toml,
            "[[item]]\nkey = \"a\"\n\n[item.check]\ncmd = \"x\"\ntimeout_s = 0\n",
        )],
        ".agent_runner/dod/a.toml:6:13: item/0/check/timeout_s: must be from 1 to 86400 seconds",
    );
    refused(
        &[(toml, "[[item]]\nkey = \"a\"\nvalidator = \"check\"\n")],
        ".agent_runner/dod/a.toml:3:13: item/0/validator: `check` accepts its own evidence only: write a `check` with its `cmd`",
    );
    refused(
        &[(toml, "[[item]]\nkey = \"a\"\nwhen.changed = [\"[\"]\n")],
        ".agent_runner/dod/a.toml:3:17: item/0/when/changed/0: error parsing glob",
    );
    let long = format!("# {}\n", "x".repeat(256 * 1024));
    refused(
        &[(toml, &long)],
        ".agent_runner/dod/a.toml: has over 256 KiB",
    );
    let page = "---\ntitle: x\ne2e_checks:\n  - id: a\n    cmd: ''\n---\n";
    refused(
        &[(toml, ""), ("apps/shop/page.md", page)],
        "apps/shop/page.md:5:10: e2e_checks/0/cmd: write the command that shows it",
    );
    refused(
        &[(
            "apps/shop/page.md",
            "---\ne2e_checks:\n  - {id: a, run: x}\n---\n",
        )],
        "apps/shop/page.md:3:",
    );
    refused(
        &[("apps/shop/page.md", PAGE), ("apps/shop/second.md", PAGE)],
        "apps/shop/second.md: `apps/shop/page.md` has `e2e_checks` as well",
    );
    // A folder or file that is a link could lead anywhere.
    server.repo.as_the_user(|root| {
        std::fs::remove_file(root.join("apps/shop/second.md")).unwrap();
        std::fs::remove_file(root.join(toml)).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.join(toml)).unwrap();
    });
    refused(&[], ".agent_runner/dod/a.toml: must be a regular file");
    server.repo.as_the_user(|root| {
        std::fs::remove_dir_all(root.join(".agent_runner")).unwrap();
        std::os::unix::fs::symlink("elsewhere", root.join(".agent_runner")).unwrap();
    });
    refused(&[], ".agent_runner: must be a folder");
    assert_eq!(server.get("/api/runs").expect(200)["runs"], json!([]));
    // Another app does not ask for that page, but every run asks for the repository's items.
    server
        .repo
        .as_the_user(|root| std::fs::remove_file(root.join(".agent_runner")).unwrap());
    server
        .repo
        .commit_all(&[("apps/shop/page.md", "---\n: [\n---\n")]);
    server.run("write work.txt done");
}

#[test]
fn a_workflow_is_refused_with_the_place_inside_its_check() {
    let server = Server::start();
    for (item, pointer) in [
        (
            json!({"key": "a", "check": {"cmd": "x", "timeout_s": 0}}),
            "/dod/0/check/timeout_s",
        ),
        (
            json!({"key": "a", "check": {"cmd": "x", "timeout_s": "1"}}),
            "/dod/0/check/timeout_s",
        ),
        (
            json!({"key": "a", "check": {"cmd": "x", "colour": 1}}),
            "/dod/0/check/colour",
        ),
        (json!({"key": "a", "check": {}}), "/dod/0/check/cmd"),
        (
            json!({"key": "a", "check": {"cmd": "x", "health": "http://example.org/"}}),
            "/dod/0/check/health",
        ),
        (
            json!({"key": "a", "validator": "check"}),
            "/dod/0/validator",
        ),
        (
            json!({"key": "a", "when": {"changed": ["ok", "["]}}),
            "/dod/0/when/changed/1",
        ),
        (
            json!({"key": "a", "when": {"changed": []}}),
            "/dod/0/when/changed",
        ),
        (
            json!({"key": "a", "protects": ["/etc/**"]}),
            "/dod/0/protects/0",
        ),
        (json!({"key": "definition-changed"}), "/dod/0/key"),
    ] {
        let refused = server
            .put(
                "/api/workflows/wrong",
                &json!({"prompt_template": "x", "dod": [item]}),
            )
            .expect_problem(422, "invalid");
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{item}");
        let body = request("print x", &json!({"dod": [item]}));
        let refused = server.create(&body).expect_problem(422, "invalid");
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{item}");
    }
    server
        .get("/api/workflows/wrong")
        .expect_problem(404, "not_found");
}

#[test]
fn an_item_applies_once_the_work_changes_what_it_is_for() {
    let toml = "[[item]]\nkey = \"migrations\"\nrequired = false\nwhen.changed = [\"migrations/**\"]\n\
                [[item]]\nkey = \"lists\"\nrequired = false\nwhen.changed = [\"*.txt\"]\n";
    let server = server(&[
        (".agent_runner/dod/a.toml", toml),
        ("migrations/1.sql", "1\n"),
    ]);
    let script = format!(
        "sh echo x > a.txt && git commit -qam x\nwait-for {}",
        server.mark_path("go")
    );
    let applies = |run: &Run<'_>, key: &str| item(&run.detail(), key)["applies"].clone();
    let run = server.run(&script);
    assert_eq!(applies(&run, "review"), true);
    assert_eq!(
        item(&run.detail(), "migrations")["when"],
        json!({"changed": ["migrations/**"]})
    );
    server.mark("go");
    run.wait_for("finished");
    assert_eq!(applies(&run, "migrations"), false);
    assert_eq!(applies(&run, "lists"), true);
    // What the base brings meanwhile is not the work's.
    server.repo.commit_all(&[("migrations/2.sql", "2\n")]);
    assert_eq!(applies(&run, "migrations"), false);
    // Nor is the work's what has landed with it, once it has.
    run.prove();
    run.merge().expect(200);
    run.wait_until_gone();
    assert_eq!(applies(&run, "migrations"), false);
    assert_eq!(applies(&run, "lists"), true);
    // A file that only moves is gone from its place.
    let mover = server.finished("sh git mv migrations/1.sql elsewhere.sql");
    assert_eq!(applies(&mover, "migrations"), true);
    mover.abort().expect(200);
    assert_eq!(applies(&mover, "migrations"), true);
    // Its work is kept for a while only.
    server.repo.as_the_user(|root| {
        let kept = format!("refs/agent_runner/preserved/{}", mover.id);
        git(root, &["update-ref", "-d", &kept]);
        git(root, &["prune", "--expire=now"]);
    });
    assert_eq!(applies(&mover, "migrations"), Value::Null);
    server.leave_wrong("the work of an aborted run was taken away by hand");
}

/// A run that waits is read again when its base commit is fixed: the items of the repository are those of that commit,
/// the request's and the workflow's come back where the repository no longer writes them.
#[test]
fn a_run_that_waited_has_the_definition_of_the_commit_that_it_starts_from() {
    let toml = ".agent_runner/dod/a.toml";
    let setup = Setup::new().flag("--max-running", "1");
    setup.repo.commit_all(&[(
        toml,
        "[[item]]\nkey = \"stays\"\n[[item]]\nkey = \"review\"\ntitle = \"file\"\n[[item]]\nkey = \"goes\"\n",
    )]);
    let server = setup.start();
    let first = server.run(&format!("wait-for {}", server.mark_path("go")));
    let waits = server.queued("write work.txt done");
    let same = server.queued("write work.txt done");
    let before = waits.detail();
    assert_eq!(items(&before).len(), 3);
    server.repo.commit_all(&[(
        toml,
        "[[item]]\nkey = \"stays\"\ntitle = \"new\"\n[[item]]\nkey = \"comes\"\n",
    )]);
    server.mark("go");
    first.wait_for("finished");
    let after = waits.wait_for("finished");
    let keys: Vec<_> = items(&after).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["review", "stays", "comes"]);
    assert_eq!(item(&after, "stays")["title"], "new");
    assert_ne!(
        item(&after, "review")["title"],
        "file",
        "the workflow's own again"
    );
    for key in ["review", "stays"] {
        assert_eq!(item(&after, key)["id"], item(&before, key)["id"]);
    }
    assert_ne!(after["dod_digest"], before["dod_digest"]);
    assert_eq!(after["dod_sources"][1]["commit"], server.repo.master());
    let prompt = std::fs::read_to_string(server.attempt(&waits.id, 1).join("prompt")).unwrap();
    let (_, told) = prompt
        .split_once("The base has moved since this was written.")
        .unwrap();
    assert!(
        told.contains("- comes: comes (required)") && !told.contains("goes"),
        "{told}"
    );
    same.wait_for("finished");
    server.check_world();
}

#[test]
fn a_run_that_waited_fails_by_name_if_its_definition_cannot_be_read_any_more() {
    let server = Setup::new().flag("--max-running", "1").start();
    let first = server.run(&format!("wait-for {}", server.mark_path("go")));
    let waits = server.queued("write work.txt done");
    server
        .repo
        .commit_all(&[(".agent_runner/dod/a.toml", "[[item]]\nkey = 1\n")]);
    server.mark("go");
    first.wait_for("finished");
    let failed = waits.wait_for("failed");
    assert_eq!(failed["failure"]["code"], "definition_unreadable");
    let detail = failed["failure"]["detail"].as_str().unwrap();
    assert!(
        detail.contains(".agent_runner/dod/a.toml:2:7: "),
        "{detail}"
    );
    // Once it is mended, the run can be tried again.
    server
        .repo
        .commit_all(&[(".agent_runner/dod/a.toml", "[[item]]\nkey = \"a\"\n")]);
    waits.post("/retry", &json!({})).expect(200);
    assert_eq!(items(&waits.wait_for("finished")).len(), 2);
}

#[test]
fn a_repeated_request_has_its_first_answer_though_the_definition_cannot_be_read_any_more() {
    let server = Server::start();
    let body = request("write work.txt done", &json!({}));
    let ask = || {
        let key = [("idempotency-key", "once")];
        server.client().post_with("/api/runs", &key, &body)
    };
    let first = ask().expect(201);
    server
        .repo
        .commit_all(&[(".agent_runner/dod/a.toml", "[[item]]\nkey = 1\n")]);
    assert_eq!(ask().expect(201), first);
    server
        .create(&body)
        .expect_problem(422, "definition_unreadable");
}

#[test]
fn too_many_items_together_are_refused() {
    let toml: String = (0..60)
        .map(|n| format!("[[item]]\nkey = \"k{n}\"\n"))
        .collect();
    let more: String = (60..120)
        .map(|n| format!("[[item]]\nkey = \"k{n}\"\n"))
        .collect();
    let server = server(&[
        (".agent_runner/dod/a.toml", &toml),
        (".agent_runner/dod/b.toml", &more),
    ]);
    let problem = server
        .create(&request("print x", &json!({})))
        .expect_problem(422, "definition_unreadable");
    assert!(
        problem["detail"].as_str().unwrap().contains("121 items"),
        "{problem}"
    );
}
