//! `verify`: whether a merge is what was proven, looked at in repository and database without a server.

use std::path::PathBuf;

use serde_json::json;

use super::error::CliError;
use super::exit_code::ExitCode;
use super::screen::{self, escape_line, style_of, styled};
use crate::app::verify::{Report, VerifyError, Wanted, verify as look};
use crate::config::{Config, ServerArgs, Surroundings};

#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// Merge commit, as git takes it (a hash, a branch, HEAD); or the id of a merged run, or 6 or more characters that begin it
    #[arg(value_name = "COMMIT")]
    what: String,
    /// Who may sign merges, as ssh-keygen(1) has it; signatures are judged with this only
    #[arg(long, value_name = "FILE")]
    allowed_signers: Option<PathBuf>,
    /// One line of JSON instead of words
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: ServerArgs,
}

pub fn verify(args: &VerifyArgs, around: &Surroundings) -> Result<ExitCode, CliError> {
    let config = Config::load(&args.settings, around)?;
    let allowed = args.allowed_signers.as_ref();
    let wanted = Wanted {
        what: args.what.clone(),
        allowed_signers: allowed.map(|file| around.current_dir.join(file)),
    };
    let report = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(look(&config, around, &wanted))?;
    if args.json {
        screen::json_line(&json!(report))?;
    } else {
        show(&report)?;
    }
    Ok(match report.proven {
        true => ExitCode::Ok,
        false => ExitCode::Unproven,
    })
}

fn show(report: &Report) -> Result<(), CliError> {
    for line in &report.lines {
        let status = line.status.as_str();
        let what = escape_line(&line.what);
        let detail = escape_line(&line.detail);
        let status = styled(style_of(status), format!("{status:<7}"));
        screen::line(format!("{status}  {what:<14}  {detail}"))?;
    }
    let commit = &report.commit;
    screen::line(match (report.proven, report.database) {
        (true, true) => format!("{commit} is what was proven"),
        (true, false) => format!("{commit} is what its note says; there is no database to ask"),
        (false, _) => format!("{commit} is NOT what was proven"),
    })
}

impl From<VerifyError> for CliError {
    fn from(error: VerifyError) -> Self {
        let code = match &error {
            VerifyError::Repository(_) => ExitCode::NotARepository,
            VerifyError::Program(_) => ExitCode::GitTooOld,
            VerifyError::NotFound(_) | VerifyError::NoDatabase(_) => ExitCode::NotFound,
            VerifyError::NotMerged(_) => ExitCode::Refused,
            _ => ExitCode::Failed,
        };
        CliError::Start(code, error.into())
    }
}
