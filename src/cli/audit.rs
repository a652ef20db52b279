//! `audit verify`: whether the journal is as it was written, without a server.

use serde_json::json;

use super::error::CliError;
use super::exit_code::ExitCode;
use super::screen;
use crate::app::verify::{ChainReport, audit_chain};
use crate::config::{Config, ServerArgs, Surroundings};

#[derive(Debug, clap::Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Follow the chain of hashes over all events
    Verify(VerifyArgs),
}

#[derive(Debug, clap::Args)]
struct VerifyArgs {
    /// One line of JSON instead of words
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: ServerArgs,
}

pub fn audit(args: &AuditArgs, around: &Surroundings) -> Result<ExitCode, CliError> {
    let What::Verify(args) = &args.what;
    let config = Config::load(&args.settings, around)?;
    let report = audit_chain(&config)?;
    if args.json {
        screen::json_line(&json!(report))?;
    } else {
        show(&report)?;
    }
    Ok(match report.whole {
        true => ExitCode::Ok,
        false => ExitCode::Damaged,
    })
}

fn show(report: &ChainReport) -> Result<(), CliError> {
    if let Some(seq) = report.broken_at {
        screen::line(format!("BROKEN at event {seq}: it is not what was written"))?;
    }
    if report.missing_at_end > 0 {
        screen::line(format!(
            "{} events are GONE from the end",
            report.missing_at_end
        ))?;
    }
    if report.missing_between > 0 {
        screen::line(format!(
            "{} events are GONE from the middle",
            report.missing_between
        ))?;
    }
    let head = report.head.as_deref().unwrap_or("none");
    let events = report.events;
    screen::line(match report.whole {
        true => format!("{events} events, whole; the newest has the hash {head}"),
        false => format!("{events} events; the newest says it has the hash {head}"),
    })
}
