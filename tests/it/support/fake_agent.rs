//! The scripted agent of `examples/fake_agent.rs`, and prompts that hold its scripts; and the other examples.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The scripted agent.
pub fn fake_agent() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| built("fake_agent"))
}

/// The program of a later day, whose database has one step more.
pub fn newer() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| built("newer"))
}

/// `cargo test --test it` does not build examples, so they are built here.
#[expect(clippy::disallowed_methods, reason = "cargo, for an example")]
fn built(example: &str) -> PathBuf {
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--example", example]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    assert!(cargo.status().unwrap().success());
    let program = Path::new(env!("CARGO_BIN_EXE_agent_runner_api"));
    program.parent().unwrap().join("examples").join(example)
}

/// A prompt on which the scripted agent carries out these lines.
pub fn prompt(script: &str) -> String {
    let lines: Vec<&str> = script.lines().map(str::trim_start).collect();
    format!("```script\n{}\n```\n", lines.join("\n").trim())
}
