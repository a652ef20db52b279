//! The program: everything it does is in [`agent_runner_api::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    agent_runner_api::cli::main(std::env::args_os()).into()
}
