//! The door for people: one program that is the server, and the commands that talk to one over HTTP.
//!
//! One file a command. Each has its options and one function that asks the server and shows the answer; what a run may
//! do is decided by the server alone. `wire/` is how it is asked, `screen/` how it is shown.

mod abort;
mod agent;
mod archive;
mod audit;
mod check;
mod completions;
mod demo;
mod doctor;
mod error;
mod evidence;
mod exit_code;
mod follow;
mod gc;
mod list;
mod logs;
mod merge;
mod message;
mod process_side;
mod reject;
mod restore;
mod retry;
mod run;
mod screen;
mod serve;
mod show;
mod stats;
mod systemd;
mod validate;
mod verify;
mod wire;
mod workflows;

use std::ffi::OsString;

use clap::{CommandFactory as _, Parser, Subcommand};

pub use error::CliError;
pub use exit_code::ExitCode;
pub use process_side::hidden;

use crate::config::{ServerArgs, Surroundings};

/// Runs headless coding agents in their own git worktrees and merges only what is proven done.
///
/// Without a command it is the server. With a command it talks to a running one.
#[derive(Debug, Parser)]
#[command(
    name = "agent_runner_api",
    version,
    max_term_width = 100,
    args_conflicts_with_subcommands = true,
    after_help = ExitCode::table()
)]
struct Cli {
    #[command(flatten)]
    server: ServerArgs,
    /// Print the settings in force and where each comes from, then stop
    #[arg(long, help_heading = "Server settings")]
    print_config: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a run
    Run(Box<run::RunArgs>),
    /// List runs, newest first
    List(list::ListArgs),
    /// Show a run: its Definition of Done, its evidence, its gate
    Show(show::ShowArgs),
    /// Show what a run's agent did, or follow it
    Logs(logs::LogsArgs),
    /// Add or list the evidence of a run
    Evidence(evidence::EvidenceArgs),
    /// Run the checks of a run's items on its work, and wait for what they come to
    Check(check::CheckArgs),
    /// Accept a piece of evidence
    Validate(validate::ValidateArgs),
    /// Refuse a piece of evidence
    Reject(reject::RejectArgs),
    /// Merge a run's branch into the base branch, if its gate is open
    Merge(merge::MergeArgs),
    /// End a run and remove its worktree and branch; its work is preserved
    Abort(abort::AbortArgs),
    /// Bring back the branch and worktree of an aborted run
    Restore(restore::RestoreArgs),
    /// Start the agent of an ended run afresh
    Retry(retry::RetryArgs),
    /// Continue the agent's session with a message
    Message(message::MessageArgs),
    /// Read and change workflows
    Workflows(workflows::WorkflowsArgs),
    /// For the agent of a run: its own Definition of Done, evidence, results of checks
    Agent(agent::AgentArgs),
    /// Check what the server needs, and say what to do
    Doctor(doctor::DoctorArgs),
    /// Let go of what is past its time: preserved work, leftovers, trash, payloads that nothing names
    Gc(gc::GcArgs),
    /// Write database and evidence into one file, also while the server runs
    Backup(archive::BackupArgs),
    /// Bring back a backup; the server must be stopped
    RestoreBackup(archive::RestoreBackupArgs),
    /// Write the runs that are at rest or have ended into one file, for another database
    Export(archive::ExportArgs),
    /// Take in the runs of an export; the server must be stopped
    Import(archive::ImportArgs),
    /// Show how often what was called done was done, by workflow, agent and model
    Stats(stats::StatsArgs),
    /// Check a merge against repository and database, without the server
    Verify(verify::VerifyArgs),
    /// Check the journal's chain of hashes, without the server
    Audit(audit::AuditArgs),
    /// Show a run from request to merge, with a scripted agent in a temporary repository
    Demo(demo::DemoArgs),
    /// Print completions for a shell
    Completions(completions::CompletionsArgs),
    /// Install the server as a systemd unit of the user
    Service(systemd::ServiceArgs),
}

/// Carries out a command line; the first argument is the program's name. Says on standard error why it failed.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(told) => {
            // Help and version come here too. That nobody reads them is no failure.
            let _ = told.print();
            return if told.use_stderr() {
                ExitCode::Usage
            } else {
                ExitCode::Ok
            };
        }
    };
    match carry_out(cli) {
        Ok(code) => code,
        Err(why) => {
            if let Some(message) = why.message() {
                screen::remark(format!(
                    "{}: {message}",
                    screen::styled(screen::BAD, "error")
                ));
            }
            why.exit_code()
        }
    }
}

fn carry_out(cli: Cli) -> Result<ExitCode, CliError> {
    let around = Surroundings::of_this_process();
    let done = match cli.command {
        None if cli.print_config => serve::print_config(&cli.server, &around),
        None => serve::serve(&cli.server, &around),
        Some(Command::Run(args)) => run::run(&args, &around),
        Some(Command::List(args)) => list::list(&args, &around),
        Some(Command::Show(args)) => show::show(&args, &around),
        Some(Command::Logs(args)) => logs::logs(&args, &around),
        Some(Command::Evidence(args)) => evidence::evidence(&args, &around),
        Some(Command::Check(args)) => check::check(&args, &around),
        Some(Command::Validate(args)) => validate::validate(&args, &around),
        Some(Command::Reject(args)) => reject::reject(&args, &around),
        Some(Command::Merge(args)) => merge::merge(&args, &around),
        Some(Command::Abort(args)) => abort::abort(&args, &around),
        Some(Command::Restore(args)) => restore::restore(&args, &around),
        Some(Command::Retry(args)) => retry::retry(&args, &around),
        Some(Command::Message(args)) => message::message(&args, &around),
        Some(Command::Workflows(args)) => workflows::workflows(&args, &around),
        Some(Command::Agent(args)) => agent::agent(&args, &around),
        Some(Command::Doctor(args)) => return doctor::doctor(&args, &around),
        Some(Command::Gc(args)) => gc::gc(&args, &around),
        Some(Command::Backup(args)) => return archive::backup(&args, &around),
        Some(Command::RestoreBackup(args)) => return archive::restore_backup(&args, &around),
        Some(Command::Export(args)) => return archive::export(&args, &around),
        Some(Command::Import(args)) => return archive::import(&args, &around),
        Some(Command::Stats(args)) => stats::stats(&args, &around),
        Some(Command::Verify(args)) => return verify::verify(&args, &around),
        Some(Command::Audit(args)) => return audit::audit(&args, &around),
        Some(Command::Demo(args)) => demo::demo(&args, &around),
        Some(Command::Completions(args)) => completions::completions(&args, Cli::command()),
        Some(Command::Service(args)) => systemd::service(&args, &around),
    };
    done.map(|()| ExitCode::Ok)
}
