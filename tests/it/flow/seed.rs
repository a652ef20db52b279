//! Runs whose worktrees begin with what git ignores in the main checkout.

use std::fs;

use serde_json::json;

use crate::support::server::{Server, Setup};

/// A server whose repository has something ignored, which is seeded.
fn seeding(copy: &str) -> Server {
    let setup = Setup::new()
        .flag("--seed", "ignored/deep,none")
        .flag("--seed-copy", copy);
    setup.repo.as_the_user(|root| {
        fs::create_dir_all(root.join("ignored/deep")).unwrap();
        fs::write(root.join("ignored/deep/cache"), "cached\n").unwrap();
        fs::write(root.join("ignored/other"), "other\n").unwrap();
    });
    setup.start()
}

fn way(server: &Server) -> String {
    let health = server.get("/api/health").expect(200);
    let seed = &health["seed"];
    assert_eq!(seed["paths"], json!(["ignored/deep", "none"]));
    let root = server.repo.root().to_str().unwrap();
    assert_eq!(seed["source"], root);
    let way = seed["way"].as_str().unwrap();
    assert_eq!(
        seed["why_not_reflink"].is_null(),
        way == "reflink",
        "{seed}"
    );
    way.to_owned()
}

#[test]
fn a_run_begins_with_what_is_seeded_and_does_not_commit_it() {
    let server = seeding("true");
    let way = way(&server);
    assert!(["copy", "reflink"].contains(&&*way), "{way}");
    let run = server.finished(
        "sh cat ignored/deep/cache && find ignored -type f && echo mine > ignored/deep/cache",
    );
    let output = String::from_utf8(run.output()).unwrap();
    assert!(output.contains("cached\nignored/deep/cache\n"), "{output}");
    assert_eq!(run.detail()["head"], server.repo.master());
    assert_eq!(server.repo.read("ignored/deep/cache"), "cached\n");
    let log = server.log();
    let told = log.lines().find(|line| line.contains("seeded")).unwrap();
    for word in [&*format!("way=\"{way}\""), "files=1", "bytes=7", "ms="] {
        assert!(told.contains(word), "{word}: {told}");
    }
    server.repo.assert_yours_is_untouched();
}

#[test]
fn where_bytes_cannot_be_shared_nothing_is_seeded_and_that_is_told() {
    let server = seeding("false");
    let way = way(&server);
    let run = server.finished("sh ls ignored/deep/cache || echo nothing");
    let output = String::from_utf8(run.output()).unwrap();
    assert_eq!(output.contains("nothing"), way == "none", "{way}: {output}");
    let told = server.log().contains("files cannot share their bytes");
    assert_eq!(told, way == "none");
}

#[test]
fn a_workflow_says_what_its_runs_are_seeded_with() {
    let server = seeding("true");
    let workflow = |seed| json!({"prompt_template": "{{ prompt }}", "dod": [{"key": "review"}], "settings": {"seed": seed}});
    let files = |name: &str, seed| {
        server
            .put(&format!("/api/workflows/{name}"), &workflow(seed))
            .expect(201);
        let script = "sh ls ignored || echo nothing";
        let run = server.run_with(script, &json!({"workflow": name}));
        run.wait_for("finished");
        String::from_utf8(run.output()).unwrap()
    };
    assert!(files("other", json!(["ignored/other"])).contains("other\n"));
    assert!(files("none", json!([])).contains("nothing\n"));
    let bad = server.put("/api/workflows/bad", &workflow(json!(["../x"])));
    let problem = bad.expect(422);
    assert_eq!(problem["errors"][0]["pointer"], "/settings/seed/0");
}
