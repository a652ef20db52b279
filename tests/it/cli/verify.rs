//! `verify` and `audit verify`: what was proven is told so, and what somebody has changed is told by name.

use agent_runner_api::dod::Head;
use serde_json::{Value, json};

use super::program::Ended;
use crate::support::checked::Books;
use crate::support::repo::git;
use crate::support::run::Run;
use crate::support::server::{Server, Setup};

/// The program with a command, on the folders of this server.
pub fn ask(server: &Setup, arguments: &[&str]) -> Ended {
    let command = server.command();
    #[expect(
        clippy::disallowed_methods,
        reason = "the program under test is started here"
    )]
    let mut plain = std::process::Command::new(command.get_program());
    plain.env_clear();
    for (name, value) in command.get_envs() {
        plain.env(name, value.unwrap());
    }
    plain.args(arguments);
    for (name, path) in [
        ("--db", "runs.db"),
        ("--state-root", "state"),
        ("--repo-root", "repository"),
    ] {
        plain.arg(format!("{name}={}", server.at(path).display()));
    }
    let output = plain.current_dir(server.at("home")).output().unwrap();
    Ended::from(output)
}

/// The program with a command that talks to this server.
pub fn talk(server: &Server, arguments: &[&str]) -> Ended {
    super::program::Program::talking_to(&server.client().url).run(arguments)
}

/// What `verify` says of this: its exit code, and what failed.
#[track_caller]
fn failed(server: &Setup, what: &str) -> Vec<String> {
    let ended = ask(server, &["verify", what, "--json"]);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"));
    let lines = report["lines"].as_array().unwrap().iter();
    let failed: Vec<String> = lines
        .filter(|line| line["status"] == "failed")
        .map(|line| line["what"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        ended.code,
        if failed.is_empty() { 0 } else { 20 },
        "{ended:?}"
    );
    assert_eq!(report["proven"], failed.is_empty());
    failed
}

/// A run that has landed, proven by a person's words, a file and a check; and its merge.
fn merged(server: &Server) -> (Run<'_>, String) {
    let run = server.finished("write work.txt done");
    let file = json!({"item_key": "review", "kind": "file", "payload_path": "work.txt"});
    let evidence = run.post("/evidence", &file).expect(201)["id"].clone();
    run.validate(evidence.as_str().unwrap()).expect(200);
    let books = Books::of(server, &run.id);
    let tests = books.item("tests", "cargo test");
    books.checked(tests, true);
    drop(books);
    server.start_again();
    let commit = run.merge().expect(200)["commit"]
        .as_str()
        .unwrap()
        .to_owned();
    run.wait_until_gone();
    (run, commit)
}

fn database(server: &Server, change: &str) {
    let connection = rusqlite::Connection::open(server.at("runs.db")).unwrap();
    connection
        .busy_timeout(crate::support::wait::PATIENCE)
        .unwrap();
    connection.execute_batch(change).unwrap();
}

#[test]
fn a_merge_is_verified_by_commit_run_or_branch_with_and_without_a_server() {
    let server = Server::start();
    let (run, commit) = merged(&server);
    for what in [
        &commit,
        &commit[..10],
        "master",
        "HEAD",
        &run.id,
        &run.id[..13],
    ] {
        assert_eq!(failed(&server, what), [""; 0], "{what}");
    }
    let ended = ask(&server, &["verify", &commit]);
    let what: Vec<String> = ended
        .stdout
        .lines()
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|c| !c.is_empty())
                .take(2)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    assert_eq!(
        what,
        [
            "ok run",
            "ok base",
            "ok parents",
            "ok tree",
            "ok trailers",
            "ok definition",
            "ok item review",
            "ok item tests",
            "ok payloads",
            "ok note",
            "ok rows",
            "ok journal",
            "skipped signature",
            format!("{commit} is what was proven").as_str(),
        ],
        "{ended:?}"
    );
    // While a server works, nothing of it is touched.
    server.check_world();
    server.kill();
    assert_eq!(failed(&server, &commit), [""; 0]);

    assert_eq!(ask(&server, &["verify", "nothing"]).code, 4);
    assert_eq!(ask(&server, &["verify", "0badcafe"]).code, 4);
}

#[test]
fn a_commit_that_is_no_merge_of_a_run_is_not_proven() {
    let server = Server::start();
    server.repo.commit("c.txt", "by hand\n");
    assert_eq!(failed(&server, "master"), ["parents"]);
    server.repo.git(&["checkout", "-q", "-b", "side", "HEAD~1"]);
    server.repo.commit("d.txt", "by hand\n");
    server.repo.git(&["checkout", "-q", "master"]);
    server
        .repo
        .git(&["merge", "-q", "--no-ff", "-m", "by hand", "side"]);
    assert_eq!(failed(&server, "master"), ["run"]);
    let run = server.finished("write work.txt done");
    assert_eq!(
        ask(&server, &["verify", &run.id]).code,
        5,
        "it has not merged"
    );
}

#[test]
fn a_row_that_somebody_has_changed_is_found() {
    let server = Server::start();
    server.leave_wrong("the test changes rows");
    let (_, commit) = merged(&server);
    database(
        &server,
        "UPDATE dod_evidence SET reason = 'x' WHERE author = 'check'",
    );
    assert_eq!(failed(&server, &commit), ["rows"]);
}

#[test]
fn an_event_that_somebody_has_changed_is_found() {
    let server = Server::start();
    server.leave_wrong("the test changes events");
    let (_, commit) = merged(&server);
    database(
        &server,
        "DROP TRIGGER events_never_change; \
         UPDATE events SET body = replace(body, 'Vera Validator', 'Nora Nobody')",
    );
    let found = failed(&server, &commit);
    assert_eq!(found, ["trailers", "note", "rows", "journal"]);
}

#[test]
fn a_payload_that_somebody_has_changed_or_taken_is_found() {
    let server = Server::start();
    server.leave_wrong("the test changes payloads");
    let (run, commit) = merged(&server);
    let sha256 = run.get("/evidence").expect(200)["evidence"][0]["sha256"].clone();
    let sha256 = sha256.as_str().unwrap();
    let payload = server.at("state/evidence").join(&sha256[..2]).join(sha256);
    std::fs::write(&payload, "other words\n").unwrap();
    assert_eq!(failed(&server, &commit), ["payloads"]);
    std::fs::remove_file(&payload).unwrap();
    assert_eq!(failed(&server, &commit), ["payloads"]);
}

/// The merge as somebody would make it anew, with this tree and these words.
fn forged(server: &Server, commit: &str, tree: &str, message: &str) -> String {
    let (onto, head) = (format!("{commit}^1"), format!("{commit}^2"));
    let made = ["commit-tree", "-p", &onto, "-p", &head, "-m", message, tree];
    let made = server.repo.git(&made).trim().to_owned();
    server.repo.git(&["reset", "-q", "--hard", &made]);
    made
}

#[test]
fn a_forged_trailer_or_another_tree_is_found() {
    let server = Server::start();
    server.leave_wrong("the test puts another commit in the merge's place");
    let (_, commit) = merged(&server);
    let message = server.repo.git(&["log", "-1", "--format=%B", &commit]);
    let message = message.replace("Vera Validator", "Nora Nobody");
    let tree = format!("{commit}^{{tree}}");
    let other = forged(&server, &commit, &tree, &message);
    assert_eq!(
        failed(&server, &other),
        ["run", "parents", "trailers", "note"]
    );
    // The true one is not in the base any more.
    assert_eq!(failed(&server, &commit), ["base"]);

    server.repo.git(&["reset", "-q", "--hard", &commit]);
    server.repo.commit("evil.txt", "nobody has seen this\n");
    let message = server.repo.git(&["log", "-1", "--format=%B", &commit]);
    let other = forged(&server, &commit, "HEAD^{tree}", &message);
    assert_eq!(failed(&server, &other), ["run", "parents", "tree", "note"]);
}

#[test]
fn a_note_that_somebody_has_changed_or_removed_is_found() {
    let server = Server::start();
    server.leave_wrong("the test removes a note");
    let (_, commit) = merged(&server);
    let notes = |args: &[&str]| {
        server
            .repo
            .git(&[&["notes", "--ref=agent_runner"], args].concat());
    };
    notes(&["append", "-m", "and more", &commit]);
    assert_eq!(failed(&server, &commit), ["note"]);
    notes(&["remove", &commit]);
    assert_eq!(failed(&server, &commit), ["note"]);
}

/// A clone with its notes, and no database.
fn cloned(server: &Server) -> Setup {
    let setup = Setup::new();
    let from = server.repo.root().display().to_string();
    let to = setup.at("repository");
    std::fs::remove_dir_all(&to).unwrap();
    git(
        &setup.at("home"),
        &["clone", "-q", &from, to.to_str().unwrap()],
    );
    let notes = "refs/notes/agent_runner:refs/notes/agent_runner";
    git(&to, &["fetch", "-q", "origin", notes]);
    setup
}

#[test]
fn a_clone_without_the_database_is_held_against_its_note() {
    let server = Server::start();
    let (run, commit) = merged(&server);
    let clone = cloned(&server);
    assert_eq!(failed(&clone, &commit), [""; 0]);
    let ended = ask(&clone, &["verify", &commit, "--json"]);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["database"], false);
    assert_eq!(report["run_id"], run.id.as_str());
    assert!(!clone.at("state").exists(), "nothing is made");

    let root = clone.at("repository");
    let note = git(&root, &["notes", "--ref=agent_runner", "show", &commit]);
    let put = |text: &str| {
        std::fs::write(clone.at("note"), text).unwrap();
        let file = clone.at("note");
        let file = file.to_str().unwrap();
        git(
            &root,
            &[
                "notes",
                "--ref=agent_runner",
                "add",
                "-f",
                "-F",
                file,
                &commit,
            ],
        );
    };
    put(&note.replace("Vera Validator", "Nora Nobody"));
    assert_eq!(failed(&clone, &commit), ["trailers", "note"]);
    put(&note.replace("\"PASSED\"", "\"FAILED\""));
    assert_eq!(failed(&clone, &commit), ["checks", "note"]);
    put(&note.replace("found it good", "found it"));
    assert_eq!(failed(&clone, &commit), ["definition", "note"]);
    put("no statement");
    assert_eq!(failed(&clone, &commit), ["note"]);
    git(&root, &["notes", "--ref=agent_runner", "remove", &commit]);
    assert_eq!(failed(&clone, &commit), ["note"]);
}

/// Nobody has checked what the merge with a base that had moved results in.
#[test]
fn a_merge_on_a_moved_base_needs_its_checks_on_the_merge_itself() {
    let server = Server::start();
    server.leave_wrong("the test lands by hand what the service would not");
    let run = server.finished("write work.txt done");
    run.prove();
    server.repo.commit("other.txt", "by somebody else\n");
    let books = Books::of(&server, &run.id);
    let tests = books.item("tests", "cargo test");
    books.checked(tests, true);
    let id: agent_runner_api::run::RunId = run.id.parse().unwrap();
    let before = books.run();
    let head = before.head.clone().unwrap();
    let message = agent_runner_api::proof::message(
        "Merge",
        &agent_runner_api::proof::Shown::of(&before, &head, None),
    );
    let onto = server.repo.master();
    let tree = server
        .repo
        .git(&["merge-tree", "--write-tree", &onto, head.commit.as_str()]);
    let made = [
        "commit-tree",
        "-p",
        &onto,
        "-p",
        head.commit.as_str(),
        "-m",
        &message,
        tree.trim(),
    ];
    let commit = server.repo.git(&made).trim().to_owned();
    server.repo.git(&["reset", "-q", "--hard", &commit]);
    books.record(agent_runner_api::run::Event::MergeStarted {
        onto: onto.parse().unwrap(),
        head: head.commit.clone(),
        candidate: commit.parse().unwrap(),
    });
    books.record(agent_runner_api::run::Event::Merged {
        commit: commit.parse().unwrap(),
    });
    assert_eq!(books.run().id, id);
    assert_eq!(failed(&server, &commit), ["tree", "note"]);

    let merge = Head {
        commit: commit.parse().unwrap(),
        tree: tree.trim().parse().unwrap(),
    };
    books.checked_on(tests, true, merge, Some(&head));
    drop(books);
    server.start_again();
    run.wait_until_gone();
    assert_eq!(failed(&server, &commit), [""; 0]);
}

#[test]
fn the_journal_is_followed_to_its_end() {
    let server = Server::start();
    server.leave_wrong("the test changes events");
    let (_, _) = merged(&server);
    let ended = ask(&server, &["audit", "verify", "--json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["whole"], true);
    assert!(report["events"].as_u64().unwrap() > 10, "{report}");
    let head = report["head"].as_str().unwrap().to_owned();
    let said = ask(&server, &["audit", "verify"]).stdout;
    let expected = format!(
        "{} events, whole; the newest has the hash {head}\n",
        report["events"]
    );
    assert_eq!(said, expected);

    database(
        &server,
        "DROP TRIGGER events_never_change; UPDATE events SET at = '' WHERE seq = 5",
    );
    let ended = ask(&server, &["audit", "verify"]);
    assert_eq!(ended.code, 18, "{ended:?}");
    assert!(ended.stdout.starts_with("BROKEN at event 5"), "{ended:?}");
    database(
        &server,
        "DROP TRIGGER events_never_go; DELETE FROM events WHERE seq = (SELECT max(seq) FROM events); \
         DELETE FROM events WHERE seq = 7",
    );
    let report = ask(&server, &["audit", "verify", "--json"]).stdout;
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["missing_at_end"], 1);
    assert_eq!(report["missing_between"], 1);
    assert_eq!(ask(&Setup::new(), &["audit", "verify"]).code, 4);
}
