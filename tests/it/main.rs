//! The one test binary. Every test uses real git, a real SQLite and real processes; the model's API alone is faked.

mod checks;
mod claude;
mod cli;
mod crash;
mod faults;
mod flow;
mod git;
mod house_rules;
mod http;
mod migrations;
mod process;
mod store;
mod support;
mod world;
