//! The program: everything it does is in [`agent_runner_api::cli`].

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    agent_runner_api::effect::arm();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match agent_runner_api::cli::hidden(&arguments) {
        Some(code) => code,
        None => agent_runner_api::cli::main(arguments).into(),
    }
}
