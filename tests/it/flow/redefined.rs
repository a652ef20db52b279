//! An agent that changes what decides whether it is done: its own Definition of Done stays, and a person looks at it.

use serde_json::{Value, json};

use crate::support::run::Run;
use crate::support::server::{Server, Setup};

const KEY: &str = "definition-changed";
const TOML: &str = ".agent_runner/dod/a.toml";
const PAGE: &str = "---\ne2e_checks:\n  - id: build\n    cmd: ./scripts/check.sh\n---\n# Shop\n";

/// A repository with an item of its own, an app's page, and the script of its check.
fn server() -> Server {
    let setup = Setup::new();
    setup.repo.commit_all(&[
        (
            TOML,
            "[[item]]\nkey = \"own\"\nprotects = [\"config/**\"]\n",
        ),
        ("apps/shop/page.md", PAGE),
        ("scripts/check.sh", "exit 0\n"),
        ("scripts/other.sh", "exit 0\n"),
        ("config/runner.toml", "strict = true\n"),
    ]);
    setup.start()
}

fn shop<'a>(server: &'a Server, script: &str) -> Run<'a> {
    let run = server.run_with(script, &json!({"kanban_app": "shop"}));
    run.wait_for("finished");
    run
}

fn item(run: &Run<'_>) -> Option<Value> {
    let detail = run.detail();
    let mut all = detail["dod_items"].as_array().unwrap().iter();
    all.find(|item| item["item_key"] == KEY).cloned()
}

fn blocks(run: &Run<'_>) -> Option<String> {
    let blockers = run.blockers().into_iter();
    blockers
        .filter(|(_, key)| key == KEY)
        .map(|(code, _)| code)
        .next()
}

#[test]
fn a_change_of_its_own_definition_waits_for_a_person_and_changes_nothing_now() {
    let server = server();
    let script = format!("sh printf '[[item]]\\nkey = \"own\"\\nrequired = false\\n' > {TOML}");
    let run = server.run(&script);
    let before = run.detail();
    let after = run.wait_for("finished");
    assert_eq!(after["dod_digest"], before["dod_digest"]);
    assert_eq!(after["dod_sources"], before["dod_sources"]);
    let own = |detail: &Value| detail["dod_items"][1].clone();
    assert_eq!(
        own(&after),
        own(&before),
        "its own is as at the base commit"
    );
    let item = item(&run).expect("the change is told");
    assert_eq!(
        (
            &item["required"],
            &item["validator"],
            &item["applies"],
            &item["status"]
        ),
        (
            &json!(true),
            &json!("operator"),
            &json!(true),
            &json!("done")
        )
    );
    let evidence = &item["evidence"][0];
    assert_eq!(evidence["author"], "service");
    let text = evidence["payload_text"].as_str().unwrap();
    for told in [TOML, "-protects = [\"config/**\"]", "+required = false"] {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert_eq!(blocks(&run).as_deref(), Some("evidence_not_validated"));
    let id = evidence["evidence_id"].as_str().unwrap();
    // The service does not accept what it brought.
    let by = json!({"validated_by": "service"});
    run.post(&format!("/evidence/{id}/validate"), &by)
        .expect_problem(403, "own_evidence");
    run.validate(id).expect(200);
    assert_eq!(blocks(&run), None);
    server.check_world();
}

#[test]
fn a_change_that_is_taken_back_asks_for_nobody() {
    let server = server();
    let run = server.finished(&format!("sh echo '# weaker' >> {TOML}"));
    assert!(blocks(&run).is_some());
    let back = crate::support::fake_agent::prompt(&format!(
        "sh git checkout -q master -- {TOML} && echo done > work.txt"
    ));
    run.post("/messages", &json!({"text": back})).expect(200);
    run.wait_for("finished");
    let item = item(&run).unwrap();
    assert_eq!(item["applies"], false, "{item}");
    assert_eq!(item["evidence"].as_array().unwrap().len(), 1);
    // And once more: new evidence of the new change, for the same item.
    let again = crate::support::fake_agent::prompt("sh echo 'strict = false' > config/runner.toml");
    run.post("/messages", &json!({"text": again})).expect(200);
    run.wait_for("finished");
    let item = self::item(&run).unwrap();
    assert_eq!(
        (&item["applies"], &item["status"]),
        (&json!(true), &json!("done"))
    );
    let text = item["evidence"][1]["payload_text"].as_str().unwrap();
    assert!(
        text.contains("config/runner.toml") && !text.contains(TOML),
        "{text}"
    );
    server.check_world();
}

#[test]
fn checks_of_the_page_count_and_its_prose_does_not() {
    let server = server();
    let prose = shop(&server, "sh echo More about the shop. >> apps/shop/page.md");
    assert_eq!(item(&prose), None);
    let weaker = shop(
        &server,
        "sh sed -i 's/check.sh/other.sh/' apps/shop/page.md",
    );
    let text = item(&weaker).unwrap()["evidence"][0]["payload_text"].clone();
    assert!(
        text.as_str().unwrap().contains("apps/shop/page.md"),
        "{text}"
    );
    let broken = shop(&server, "sh sed -i 's/id:/di:/' apps/shop/page.md");
    assert!(
        blocks(&broken).is_some(),
        "checks that cannot be read differ"
    );
    let second = shop(
        &server,
        "sh sed 's/build/more/' apps/shop/page.md > apps/shop/second.md",
    );
    assert!(blocks(&second).is_some(), "a second page with checks");
    let gone = shop(&server, "sh git rm -q apps/shop/page.md");
    assert!(blocks(&gone).is_some());
    // Of another app's run this is a file like any other.
    let other = server.finished("sh sed -i 's/check.sh/other.sh/' apps/shop/page.md");
    assert_eq!(item(&other), None);
}

#[test]
fn the_script_of_a_check_and_what_an_item_protects_count() {
    let server = server();
    let script = shop(&server, "sh echo 'true' > scripts/check.sh");
    assert_eq!(
        script.detail()["dod_items"][2]["protects"],
        json!(["scripts/check.sh"])
    );
    let text = item(&script).unwrap()["evidence"][0]["payload_text"].clone();
    assert!(text.as_str().unwrap().contains("+true"), "{text}");
    let moved = shop(&server, "sh git mv scripts/check.sh scripts/gone.sh");
    assert!(blocks(&moved).is_some());
    let config = server.finished("sh echo 'strict = false' > config/runner.toml");
    assert!(blocks(&config).is_some());
    let added = server.finished("sh echo x > config/more.toml");
    assert!(blocks(&added).is_some());
    let other = shop(&server, "sh echo 'true' > scripts/other.sh");
    assert_eq!(item(&other), None, "no check runs it");
    // Without the app nobody runs that script.
    let none = server.finished("sh echo 'true' > scripts/check.sh");
    assert_eq!(item(&none), None);
}

#[test]
fn what_a_person_commits_afterwards_counts_as_well() {
    let server = server();
    let run = server.finished("write work.txt done");
    assert_eq!(item(&run), None);
    crate::support::repo::git(&run.worktree, &["rm", "-q", TOML]);
    crate::support::repo::git(&run.worktree, &["commit", "-q", "-m", "gone"]);
    // Whoever brings or accepts evidence speaks of the work as it is: then the move is noticed.
    run.say("review", "read");
    assert_eq!(blocks(&run).as_deref(), Some("evidence_not_validated"));
    server.check_world();
}

#[test]
fn nobody_makes_that_item_in_the_services_place() {
    let server = server();
    let run = server.finished("write work.txt done");
    let evidence = json!({"item_key": KEY, "payload_text": "nothing to see"});
    let refused = run
        .post("/evidence", &evidence)
        .expect_problem(422, "invalid");
    assert_eq!(refused["errors"][0]["pointer"], "/item_key");
}

#[test]
fn what_others_have_changed_on_the_base_is_not_the_works() {
    let server = server();
    let script = format!(
        "wait-for {}\nsh git merge -q master && echo done > work.txt",
        server.mark_path("go")
    );
    let run = server.run(&script);
    server
        .repo
        .commit_all(&[(TOML, "[[item]]\nkey = \"other\"\n")]);
    server.mark("go");
    run.wait_for("finished");
    assert_eq!(item(&run), None);
    let keys: Vec<_> = run.detail()["dod_items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i["item_key"].clone())
        .collect();
    assert_eq!(keys, ["review", "own"]);
}
