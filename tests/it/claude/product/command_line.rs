//! `run --follow`: what a person sees of it.

use std::process::Command;

use super::{MODEL, Product};
use crate::support::mock_api::Scenario;

#[test]
fn the_command_line_shows_what_claude_does_as_it_comes() {
    let Some(product) = Product::start() else {
        return;
    };
    let (code, shown) = followed(&product, Scenario::edits_a_file_and_runs_a_command());
    assert_eq!(code, Some(0), "{shown}");
    assert_in_order(
        &shown,
        &[
            "status    running",
            "> Write ",
            "> Bash cat hello.txt && git status --short",
            "  hello from the mock (1 more line)",
            "DONE: hello.txt written.",
            "= done, 3 turns, 6600 tokens in, 75 out, $0.0",
            "finished",
        ],
    );
    assert!(!shown.contains('\u{1b}'), "no colours without a terminal");
}

#[test]
fn the_command_line_says_why_a_run_failed() {
    let Some(product) = Product::start() else {
        return;
    };
    let (code, shown) = followed(&product, Scenario::every_call_answers(500));
    assert_eq!(code, Some(6), "{shown}");
    assert_in_order(
        &shown,
        &[
            "! the model's API answered 500; again in ",
            "= failed (api_error, 500) ",
            "failed",
            "error: the run is failed: the API answered 500: ",
            "(api_error)",
        ],
    );
}

/// What `run --follow` shows on its two streams, one after the other, and its exit code.
#[expect(
    clippy::disallowed_methods,
    reason = "the program under test is started here"
)]
fn followed(product: &Product, scenario: Scenario) -> (Option<i32>, String) {
    let prompt = format!("write hello.txt {}", product.api.mark(scenario));
    let output = Command::new(env!("CARGO_BIN_EXE_agent_runner_api"))
        .args(["run", "--follow", "--model", MODEL, "--prompt", &prompt])
        .args(["--server", &product.server.client().url])
        .env_clear()
        .env("HOME", product.server.at("home"))
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout) + &text(output.stderr),
    )
}

#[track_caller]
fn assert_in_order(shown: &str, pieces: &[&str]) {
    let mut rest = shown;
    for piece in pieces {
        let Some((_, after)) = rest.split_once(piece) else {
            panic!("no {piece:?}, or not in its place:\n{shown}");
        };
        rest = after;
    }
}
