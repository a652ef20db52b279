//! The payloads of evidence.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::{assert_found_and_left, started};
use crate::support::run::Run;
use crate::support::server::Server;

/// A payload of the run, and what it is called in a finding.
fn payload(server: &Server, run: &Run<'_>) -> (PathBuf, String) {
    let fields = [("item_key", "review"), ("kind", "file")];
    let path = run.path("/evidence");
    let attached = server
        .client()
        .upload(&path, &fields, ("shot.png", b"a picture"));
    let attached = attached.expect(201);
    let sha256 = attached["sha256"].as_str().unwrap();
    let file = server.at("state/evidence").join(&sha256[..2]).join(sha256);
    (file, format!("sha256 {sha256}"))
}

#[test]
fn a_payload_that_is_gone_is_missed() {
    let server = started();
    let run = server.finished("print done");
    let (file, at) = payload(&server, &run);
    server.check_world();
    fs::remove_file(file).unwrap();
    assert_found_and_left(&server, "payload_missing", &at);
}

#[test]
fn a_byte_that_was_flipped_is_seen_also_after_the_merge() {
    let server = started();
    let run = server.finished("write work.txt done");
    let (file, at) = payload(&server, &run);
    run.prove();
    run.merge().expect(200);
    run.wait_until_gone();
    server.check_world();
    let mut bytes = fs::read(&file).unwrap();
    bytes[3] ^= 1;
    fs::write(&file, &bytes).unwrap();
    server.leave_wrong("nobody knows the bytes that were there");
    // As many bytes as there were: only a look at each of them sees it.
    assert_eq!(server.world(), Vec::<Value>::new());
    let found = super::names(&Value::Array(server.whole_world()));
    assert_eq!(found, super::one("payload_changed", &at));
    bytes.pop();
    fs::write(&file, bytes).unwrap();
    assert_found_and_left(&server, "payload_changed", &at);
}

#[test]
fn a_doctor_says_how_much_it_has_looked_at() {
    let server = started();
    let run = server.finished("print done");
    payload(&server, &run);
    let said = |path: &str| {
        let doctor = server.get(path).expect(200);
        let findings = doctor["findings"].as_array().unwrap();
        let world = findings.iter().find(|f| f["what"] == "world").unwrap();
        assert_eq!(world["level"], "ok");
        world["detail"].as_str().unwrap().to_owned()
    };
    let (quick, deep) = (said("/api/doctor"), said("/api/doctor?deep=true"));
    assert!(
        quick.contains("1 of 1 runs, the sizes of 1 payloads"),
        "{quick}"
    );
    assert!(deep.contains("1 runs, every byte of 1 payloads"), "{deep}");
    server.get("/api/doctor?deep=perhaps").expect(422);
}
