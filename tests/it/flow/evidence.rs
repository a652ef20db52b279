//! Evidence: what is taken, what is refused by name, and that its bytes outlive the worktree.

use std::fs::{self, File};

use serde_json::{Value, json};

use crate::support::run::Run;
use crate::support::server::Server;

/// A finished run whose worktree holds every kind of file that is no evidence.
fn with_odd_files(server: &Server) -> Run<'_> {
    let run = server.finished("write work.txt done");
    let worktree = &run.worktree;
    fs::create_dir(worktree.join("folder")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", worktree.join("link")).unwrap();
    std::os::unix::fs::symlink("work.txt", worktree.join("link-inside")).unwrap();
    std::os::unix::fs::symlink("/etc", worktree.join("folder/link")).unwrap();
    fs::hard_link(worktree.join("b.txt"), worktree.join("second-name")).unwrap();
    let fifo = worktree.join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    run
}

#[test]
fn only_regular_files_inside_the_worktree_are_taken() {
    let server = Server::start();
    let run = with_odd_files(&server);
    let outside = server.repo.root().join("b.txt").display().to_string();
    let around = run
        .worktree
        .join("../../repository/b.txt")
        .display()
        .to_string();
    for path in [
        "/etc/passwd",
        &outside,
        &around,
        "../outside.txt",
        "folder/../../outside.txt",
        "link",
        "link-inside",
        "folder/link/passwd",
        "fifo",
        "second-name",
        "folder",
        ".",
        "",
        "missing.txt",
        "work.txt/below",
    ] {
        let evidence = json!({"item_key": "review", "kind": "file", "payload_path": path});
        let refused = run
            .post("/evidence", &evidence)
            .expect_problem(422, "invalid");
        assert_eq!(refused["errors"][0]["pointer"], "/payload_path", "{path}");
    }
    assert_eq!(run.get("/evidence").expect(200)["evidence"], json!([]));
    for path in [
        "work.txt",
        "./work.txt",
        &run.worktree.join("work.txt").display().to_string(),
    ] {
        let evidence = json!({"item_key": "review", "kind": "file", "payload_path": path});
        run.post("/evidence", &evidence).expect(201);
    }
    server.check_world();
}

#[test]
fn a_file_over_the_limit_is_refused() {
    let server = Server::start();
    let run = server.finished("write work.txt done");
    let huge = File::create(run.worktree.join("huge")).unwrap();
    huge.set_len(300 * 1024 * 1024).unwrap();
    let evidence = json!({"item_key": "review", "kind": "file", "payload_path": "huge"});
    run.post("/evidence", &evidence)
        .expect_problem(413, "too_large");
    let kept = fs::read_dir(server.at("state/evidence")).unwrap();
    let files = kept.filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_file());
    assert_eq!(files.count(), 0, "nothing is left of it");
    server.check_world();
}

#[test]
fn evidence_has_exactly_one_payload_that_fits_its_kind() {
    let server = Server::start();
    let run = server.finished("write work.txt done");
    for wrong in [
        json!({"item_key": "review", "kind": "text"}),
        json!({"item_key": "review", "kind": "text", "payload_text": ""}),
        json!({"item_key": "review", "kind": "text", "payload_text": " \n"}),
        json!({"item_key": "review", "kind": "text", "payload_text": "x", "payload_url": "https://example.org"}),
        json!({"item_key": "review", "kind": "file", "payload_text": "x"}),
        json!({"item_key": "review", "kind": "picture", "payload_text": "x"}),
        json!({"item_key": "review", "kind": "url", "payload_url": "example.org"}),
        json!({"item_key": "review", "kind": "url", "payload_url": "javascript:alert(1)"}),
        json!({"item_key": "review", "kind": "url", "payload_url": "file:///etc/passwd"}),
        json!({"item_key": "review", "kind": "url", "payload_url": "https://"}),
        json!({"item_key": "review", "kind": "url", "payload_url": "https://example.org/a b"}),
        json!({"kind": "text", "payload_text": "x"}),
        json!({"item_key": "no key!", "kind": "text", "payload_text": "x"}),
        json!({"item_key": "", "kind": "text", "payload_text": "x"}),
        json!({"item_key": "review", "payload_text": "x", "colour": "red"}),
        json!({"item_key": "review", "payload_text": 7}),
    ] {
        let answer = run.post("/evidence", &wrong);
        assert_eq!(answer.status, 422, "{wrong}: {}", answer.json());
    }
    assert_eq!(run.detail()["dod_items"].as_array().unwrap().len(), 1);
    assert_eq!(run.get("/evidence").expect(200)["evidence"], json!([]));
    server.check_world();
}

#[test]
fn an_item_takes_the_kinds_that_it_names() {
    let server = Server::start();
    let dod = json!({"dod": [{"key": "shot", "accepts": ["file"]}]});
    let run = server.run_with("write work.txt done", &dod);
    run.wait_for("finished");
    let text = json!({"item_key": "shot", "kind": "text", "payload_text": "looks fine"});
    run.post("/evidence", &text)
        .expect_problem(422, "kind_not_accepted");
    let file = json!({"item_key": "shot", "kind": "file", "payload_path": "work.txt"});
    run.post("/evidence", &file).expect(201);
    server.check_world();
}

#[test]
fn payloads_come_back_byte_for_byte_after_the_worktree_is_gone() {
    let server = Server::start();
    let run = server.finished("write work.txt done");
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    fs::write(run.worktree.join("log.bin"), &bytes).unwrap();
    let evidence = json!({"item_key": "log", "kind": "file", "payload_path": "log.bin"});
    let of_path = run.post("/evidence", &evidence).expect(201);
    fs::write(run.worktree.join("log.bin"), "something else\n").unwrap();

    let picture: Vec<u8> = bytes.iter().rev().copied().collect();
    let fields = [("item_key", "picture"), ("kind", "file")];
    let path = run.path("/evidence");
    let upload = server
        .client()
        .upload(&path, &fields, ("shot.png", &picture));
    let uploaded = upload.expect(201);
    assert_eq!(uploaded["payload_path"], "shot.png");
    assert_eq!(uploaded["size"], 300_000);
    assert_eq!(fs::read_dir(server.at("state/uploads")).unwrap().count(), 0);

    let text = run.say("words", "wörtlich\n\n");
    run.prove();
    run.merge().expect(200);
    run.wait_until_gone();
    let payload = |evidence: &Value| {
        let id = evidence["evidence_id"].as_str().unwrap().to_owned();
        run.get(&format!("/evidence/{id}/payload"))
    };
    assert_eq!(payload(&of_path).bytes, bytes);
    assert_eq!(payload(&uploaded).bytes, picture);
    assert_eq!(payload(&uploaded).header("content-type"), "image/png");
    assert!(
        payload(&uploaded)
            .header("content-disposition")
            .starts_with("attachment")
    );
    let words = run.get(&format!("/evidence/{text}/payload"));
    assert_eq!(words.bytes, "wörtlich\n\n".as_bytes());
    let all = run.get("/evidence").expect(200);
    assert_eq!(all["evidence"].as_array().unwrap().len(), 4);
    assert_eq!(all["evidence"][0]["sha256"], of_path["sha256"]);
    server.check_world();
}

#[test]
fn an_upload_needs_a_file_and_knows_its_fields() {
    let server = Server::start();
    let run = server.finished("write work.txt done");
    let path = run.path("/evidence");
    let client = server.client();
    let wrong = client.upload(
        &path,
        &[("item_key", "shot"), ("colour", "red")],
        ("a.png", b"x"),
    );
    wrong.expect_problem(422, "invalid");
    let nameless = client.upload(&path, &[("item_key", "shot")], ("", b"x"));
    nameless.expect_problem(422, "invalid");
    let escaping = client.upload(&path, &[("item_key", "shot")], ("../../a.png", b"x"));
    assert_eq!(escaping.expect(201)["payload_path"], "a.png");
    let broken = [("content-type", "multipart/form-data; boundary=x")];
    let answer = client.ask("POST", &path, &broken, b"no such thing");
    answer.expect_problem(400, "bad_multipart");
    assert_eq!(
        run.get("/evidence").expect(200)["evidence"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    server.check_world();
}

#[test]
fn unknown_evidence_is_not_found() {
    let server = Server::start();
    let run = server.finished("write work.txt done");
    let other = server.finished("write work.txt done");
    let evidence = other.say("review", "of the other run");
    for id in ["0190a0", "nonsense", "..", &evidence] {
        run.get(&format!("/evidence/{id}/payload"))
            .expect_problem(404, "not_found");
        let validate = format!("/evidence/{id}/validate");
        let by = json!({"validated_by": "Vera"});
        run.post(&validate, &by).expect_problem(404, "not_found");
    }
    server.check_world();
}
