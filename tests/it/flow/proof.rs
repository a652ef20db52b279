//! What travels with a merge: trailers, the note, and the statements that the API gives.

use agent_runner_api::dod::content::sha256_hex;
use serde_json::{Value, json};

use crate::support::checked::Books;
use crate::support::repo::git;
use crate::support::run::Run;
use crate::support::server::Server;

/// A run that a check and a person have proven, and where the check of another item was overridden.
fn proven(server: &Server) -> Run<'_> {
    let run = server.finished("write work.txt done");
    run.prove();
    let books = Books::of(server, &run.id);
    let tests = books.item("tests", "cargo test");
    let e2e = books.item("e2e", "./e2e");
    books.checked(tests, true);
    let failed = books.checked(e2e, false);
    books.overridden(failed, "Olga Operator", "the staging machine\nis down");
    drop(books);
    server.start_again();
    run
}

fn note(server: &Server, commit: &str) -> String {
    server
        .repo
        .git(&["notes", "--ref=agent_runner", "show", commit])
}

fn bundle(run: &Run<'_>) -> String {
    let answer = run.get("/attestation?format=bundle");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.header("content-type"),
        "application/vnd.in-toto.bundle"
    );
    String::from_utf8(answer.bytes).unwrap()
}

#[test]
fn a_merge_tells_who_accepted_what_and_what_was_overridden() {
    let server = Server::start();
    let run = proven(&server);
    let message = json!({"message": "Ship it\n\nAgent-Run: mine\n---\nValidated-By: nobody"});
    let merged = run.post("/merge", &message).expect(200);
    let commit = merged["commit"].as_str().unwrap();
    let read = server
        .repo
        .git(&["log", "-1", "--format=%(trailers:unfold)", commit]);
    let digest = read
        .lines()
        .find_map(|line| line.strip_prefix("DoD-Digest: "))
        .unwrap();
    assert_eq!(
        read.trim(),
        format!(
            "Agent-Run: {}\nDoD-Digest: {digest}\nValidated-By: Olga Operator\nValidated-By: Vera Validator\n\
             Validated-By: check\nOverridden: e2e: the staging machine is down",
            run.id
        )
    );
    assert_eq!(digest.len(), 64);
    // A program that reads a message as mail does sees the same.
    let body = server.repo.git(&["log", "-1", "--format=%B", commit]);
    std::fs::write(server.at("message"), body).unwrap();
    let file = server.at("message");
    let parsed = git(
        server.repo.root(),
        &["interpret-trailers", "--parse", file.to_str().unwrap()],
    );
    assert_eq!(parsed.trim(), read.trim());
    server.check_world();
}

#[test]
fn the_statements_are_noted_on_the_merge_and_given_by_the_api() {
    let server = Server::start();
    let run = proven(&server);
    let merged = run.merge().expect(200);
    run.wait_until_gone();
    let commit = merged["commit"].as_str().unwrap();
    let text = note(&server, commit);
    assert_eq!(bundle(&run), text);
    let answer = run.get("/attestation").expect(200);
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answer["statements"], json!(lines));
    assert_eq!(answer["merged"], true);
    assert_eq!(answer["commit"], commit);
    assert_eq!(answer["note"], "refs/notes/agent_runner");

    let summary = lines.last().unwrap();
    let digests: Vec<&Value> = summary["predicate"]["inputAttestations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|input| &input["digest"]["sha256"])
        .collect();
    let expected: Vec<Value> = text
        .lines()
        .map(|line| json!(sha256_hex(line.as_bytes())))
        .collect();
    assert_eq!(
        digests,
        expected[..lines.len() - 1].iter().collect::<Vec<_>>()
    );

    let root = server.repo.root();
    let of = |revision: &str| git(root, &["rev-parse", revision]).trim().to_owned();
    let subject = json!([
        {"name": "commit", "digest": {"gitCommit": commit}},
        {"name": "tree", "digest": {"gitTree": of(&format!("{commit}^{{tree}}"))}},
    ]);
    assert_eq!(summary["subject"], subject);
    assert_eq!(summary["predicate"]["verificationResult"], "PASSED");
    let results: Vec<_> = lines[..2]
        .iter()
        .map(|line| line["predicate"]["result"].as_str().unwrap())
        .collect();
    assert_eq!(results, ["PASSED", "FAILED"]);
    insta::assert_json_snapshot!("statements", lines, {
        "[].subject[].digest.gitCommit" => "[commit]",
        "[].subject[].digest.gitTree" => "[tree]",
        "[].predicate.url" => "[urn]",
        "[].predicate.**.evidence" => "[id]",
        "[].predicate.**.log_sha256" => "[sha256]",
        "[].predicate.**.sha256" => "[sha256]",
        "[].predicate.run" => "[run]",
        "[].predicate.onto" => "[commit]",
        "[].predicate.head.commit" => "[commit]",
        "[].predicate.head.tree" => "[tree]",
        "[].predicate.dod_digest" => "[sha256]",
        "[].predicate.accepted[].of.commit" => "[commit]",
        "[].predicate.accepted[].of.tree" => "[tree]",
        "[].predicate.accepted[].validated_at" => "[time]",
        "[].predicate.accepted[].size" => "[bytes]",
        "[].predicate.timeVerified" => "[time]",
        "[].predicate.policy.uri" => "[urn]",
        "[].predicate.inputAttestations[].uri" => "[urn]",
        "[].predicate[\"urn:agent_runner_api:run\"]" => "[urn]",
    });
    server.check_world();
}

#[test]
fn before_a_merge_it_says_what_would_be_attested_and_what_is_missing() {
    let server = Server::start();
    let run = server.finished("write work.txt done");
    let answer = run.get("/attestation").expect(200);
    assert_eq!(answer["merged"], false);
    assert_eq!(answer["commit"], run.detail()["head"]);
    let summary = answer["statements"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .clone();
    assert_eq!(summary["predicate"]["verificationResult"], "FAILED");
    let missing = &summary["predicate"]["urn:agent_runner_api:missing"];
    assert_eq!(missing[0]["code"], "evidence_missing", "{missing}");
    assert_eq!(missing[0]["item_key"], "review");

    run.prove();
    let answer = run.get("/attestation").expect(200);
    let summary = answer["statements"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .clone();
    assert_eq!(summary["predicate"]["verificationResult"], "PASSED");
    run.abort().expect(200);
    let answer = run.get("/attestation").expect(200);
    let summary = answer["statements"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .clone();
    assert_eq!(summary["predicate"]["verificationResult"], "FAILED");
    run.get("/attestation?format=xml").expect(422);
}

/// It has merged and was answered, and there is no note: the start that finds its worktree there writes it.
#[test]
fn a_note_that_a_crash_prevented_is_written_at_the_next_start() {
    let setup = crate::support::server::Setup::new();
    let server = setup.start();
    let run = server.finished("write work.txt done");
    run.prove();
    server.kill();
    // The refs are written for the candidate, and for the base with the pin's end; the next is the note.
    server.set_variable("FAILPOINTS", "refs.write=2*off->1*return(abort)");
    server.start_again();
    let client = server.client();
    let path = run.path("/merge");
    let headers = [("content-type", "application/json")];
    // The answer comes before the note, or is lost with the service.
    let answer = client.try_ask("POST", &path, &headers, b"{}");
    assert!(answer.is_none_or(|answer| answer.status == 200));
    server.kill();
    let merged = server.repo.master();
    assert_eq!(server.repo.parents(&merged).len(), 2, "it has landed");
    assert_eq!(server.repo.commit_of("refs/notes/agent_runner"), None);
    server.set_variable("FAILPOINTS", "");
    server.start_again();
    run.wait_for("merged");
    run.wait_until_gone();
    assert_eq!(bundle(&run), note(&server, &merged));
    server.check_world();
}

#[test]
fn a_lost_note_is_found_and_written_again() {
    let server = Server::start();
    let run = server.finished("write work.txt done");
    run.prove();
    let commit = run.merge().expect(200)["commit"]
        .as_str()
        .unwrap()
        .to_owned();
    run.wait_until_gone();
    let before = note(&server, &commit);
    server
        .repo
        .git(&["notes", "--ref=agent_runner", "remove", &commit]);
    let found = server.world();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["code"], "note_missing");
    assert_eq!(found[0]["at"], commit.as_str());
    let mended = server.post("/api/doctor/fix", &json!({})).expect(200);
    assert_eq!(mended["mended"][0]["code"], "note_missing", "{mended}");
    assert_eq!(note(&server, &commit), before);
    server.check_world();
}

/// Six runs land on two bases at once: each base has a lane of its own, and they meet at the ref of the notes.
#[test]
fn merges_at_once_keep_all_their_notes() {
    let server = Server::start();
    server.repo.git(&["branch", "release"]);
    let runs: Vec<_> = (0..6)
        .map(|n| {
            let base = ["master", "release"][n % 2];
            let run = server.run_with(&format!("write w{n}.txt done"), &json!({"base": base}));
            run.wait_for("finished");
            run.prove();
            run
        })
        .collect();
    let merged: Vec<String> = std::thread::scope(|scope| {
        let merging: Vec<_> = runs
            .iter()
            .map(|run| scope.spawn(|| run.merge().expect(200)["commit"].clone()))
            .collect();
        let commits = merging.into_iter().map(|merge| merge.join().unwrap());
        commits
            .map(|commit| commit.as_str().unwrap().to_owned())
            .collect()
    });
    for (run, commit) in runs.iter().zip(&merged) {
        run.wait_until_gone();
        assert_eq!(bundle(run), note(&server, commit));
    }
    server.check_world();
}
