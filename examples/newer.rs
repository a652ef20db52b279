//! The program of a later day: this one, with one step more for its database.
//!
//! The tests of an upgrade put it in the place of the program while agents are at work. It is built from the same
//! library, so that nothing in the product is there for them but what any newer program needs.

use std::ffi::OsString;
use std::process::ExitCode;

use agent_runner_api::config::{Config, ServerArgs, Surroundings};
use agent_runner_api::store::migrate::STEPS;
use agent_runner_api::{app, cli, telemetry};
use clap::Parser;

/// Changes a table with rows in it, makes another one, and fills it from what is there.
const NEXT: &str = "
ALTER TABLE workflows ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm';
CREATE TABLE moods (run_id TEXT PRIMARY KEY, mood TEXT NOT NULL) STRICT;
INSERT INTO moods SELECT id, status FROM runs;
";

#[derive(Parser)]
struct Newer {
    #[command(flatten)]
    server: ServerArgs,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = cli::hidden(&arguments) {
        return code;
    }
    let args = Newer::parse_from(arguments);
    let around = Surroundings::of_this_process();
    let config = Config::load(&args.server, &around).expect("the settings are good");
    telemetry::start(&config.log).expect("the log level is one");
    let mut steps = STEPS.to_vec();
    steps.push(NEXT);
    match app::serve_with(config, &around, &steps) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
