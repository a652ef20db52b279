//! What is recorded of attempts, and what they have printed.

use std::fs;
use std::path::Path;

use super::{assert_found_and_left, assert_found_and_mended, found, started};

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn an_exit_that_is_another_one_than_the_supervisor_saw_is_found() {
    let server = started();
    let run = server.finished("print done");
    let attempt = server.attempt(&run.id, 1);
    let record = fs::read_to_string(attempt.join("exit.json")).unwrap();
    let other = record.replace(r#""value":0"#, r#""value":7"#);
    assert_ne!(other, record);
    fs::write(attempt.join("exit.json"), other).unwrap();
    assert_found_and_left(&server, "exit_differs", &text(&attempt));
}

#[test]
fn an_exit_code_without_a_whole_record_is_found() {
    let server = started();
    let run = server.finished("print done");
    let attempt = server.attempt(&run.id, 1);
    let record = fs::read(attempt.join("exit.json")).unwrap();
    fs::write(attempt.join("exit.json"), &record[..record.len() / 2]).unwrap();
    assert_found_and_left(&server, "exit_unproven", &text(&attempt));
    fs::remove_file(attempt.join("exit.json")).unwrap();
    assert_found_and_left(&server, "exit_unproven", &text(&attempt));
    // Of a run that was brought here from an archive there may be nothing at all.
    fs::remove_dir_all(&attempt).unwrap();
    assert_eq!(found(&server), []);
}

#[test]
fn files_of_a_round_of_checks_that_is_over_are_removed() {
    let server = started();
    server.finished("print done");
    let left = server.at("state/checks/0123456789ab");
    fs::create_dir_all(left.join("head/src")).unwrap();
    fs::write(left.join("head/src/main.rs"), "").unwrap();
    assert_found_and_mended(&server, "checks_left", &text(&left));
    assert!(!left.exists());
}

#[test]
fn output_that_was_cut_is_found() {
    let server = started();
    let run = server.finished("print one\nprint two");
    let output = server.at("state/runs").join(&run.id).join("output");
    let bytes = fs::read(&output).unwrap();
    fs::write(&output, &bytes[..bytes.len() - 1]).unwrap();
    assert_found_and_left(&server, "output_cut", &text(&output));
    fs::write(&output, &bytes).unwrap();
    server.check_world();
}

#[test]
fn files_of_runs_and_attempts_that_nobody_knows_stay_and_are_told() {
    let server = started();
    let run = server.finished("print done");
    let second = server.attempt(&run.id, 2);
    fs::create_dir(&second).unwrap();
    assert_found_and_left(&server, "files_orphaned", &text(&second));
    fs::remove_dir(&second).unwrap();
    let unknown = server.at("state/runs/01934e2a-0000-7000-8000-0123456789ab");
    fs::create_dir(&unknown).unwrap();
    assert_found_and_left(&server, "files_orphaned", &text(&unknown));
    assert!(unknown.exists());
}
