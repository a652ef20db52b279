//! Failures inside, as the service knows them of itself.

use std::fs;

use super::{assert_found_and_left, started};
use crate::support::wait::until;

#[test]
fn an_answer_that_is_the_services_fault_is_told_with_its_request_until_the_next_start() {
    let server = started();
    let run = server.finished("print done");
    server.check_world();
    let kept = server.at("state/evidence");
    fs::rename(&kept, server.at("state/gone")).unwrap();
    fs::write(&kept, "no folder").unwrap();
    let path = run.path("/evidence");
    let fields = [("item_key", "review"), ("kind", "file")];
    let file = ("shot.png", &b"a picture"[..]);
    let failed = server.client().upload(&path, &fields, file).expect(500);
    fs::remove_file(&kept).unwrap();
    fs::rename(server.at("state/gone"), &kept).unwrap();
    assert_found_and_left(&server, "request_failed", &format!("POST {path}"));
    let told = server.world()[0]["detail"].as_str().unwrap().to_owned();
    let id = failed["request_id"].as_str().unwrap();
    assert!(told.contains(id), "{told}");
    server.restart();
    until("it has looked", || {
        server.log().matches("looked at the world").count() == 2
    });
    server.check_world();
}
