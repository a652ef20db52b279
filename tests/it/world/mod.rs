//! Each way in which the world can be wrong, made by hand: it is found, by its name, and nothing else is; and what can
//! be mended is.

mod attempts;
mod inside;
mod journal;
mod landings;
mod payloads;
mod places;
mod processes;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::run::Run;
use crate::support::server::Server;
use crate::support::wait::{PATIENCE, until};

/// A server that has looked at the world after its start, and will not do so again by itself.
#[track_caller]
fn started() -> Server {
    let server = Server::start();
    until("it has looked", || {
        server.log().contains("looked at the world")
    });
    server
}

/// What is found, as `code at`.
#[track_caller]
fn found(server: &Server) -> Vec<(String, String)> {
    names(&Value::Array(server.world()))
}

fn names(findings: &Value) -> Vec<(String, String)> {
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let findings = findings.as_array().unwrap().iter();
    findings
        .map(|finding| (text(finding, "code"), text(finding, "at")))
        .collect()
}

fn one(code: &str, at: &str) -> Vec<(String, String)> {
    vec![(code.to_owned(), at.to_owned())]
}

/// It is found and mended: first only told, then done, then there is nothing more to do.
#[track_caller]
fn assert_found_and_mended(server: &Server, code: &str, at: &str) {
    let expected = one(code, at);
    assert_eq!(found(server), expected);
    let told = fix(server, true);
    assert_eq!(names(&told["mended"]), expected, "{told}");
    assert_eq!(found(server), expected, "a dry run does nothing");
    let done = fix(server, false);
    assert_eq!(names(&done["mended"]), expected, "{done}");
    assert_eq!(done["left"], json!([]));
    server.check_world();
    assert_eq!(fix(server, false)["mended"], json!([]));
}

/// It is found, and left for a person.
#[track_caller]
fn assert_found_and_left(server: &Server, code: &str, at: &str) {
    server.leave_wrong("a person must decide");
    let expected = one(code, at);
    assert_eq!(found(server), expected);
    let done = fix(server, false);
    assert_eq!(done["mended"], json!([]));
    assert_eq!(names(&done["left"]), expected, "{done}");
    assert_eq!(found(server), expected);
}

#[track_caller]
fn fix(server: &Server, dry_run: bool) -> Value {
    server
        .post("/api/doctor/fix", &json!({"dry_run": dry_run}))
        .expect(200)
}

/// The database, as somebody else opens it.
fn database(server: &Server) -> Connection {
    let connection = Connection::open(server.at("runs.db")).unwrap();
    connection.busy_timeout(PATIENCE).unwrap();
    connection
}

/// A run that has landed.
#[track_caller]
fn merged(server: &Server) -> Run<'_> {
    let run = server.finished("write work.txt done");
    run.prove();
    run.merge().expect(200);
    run.wait_until_gone();
    run
}
