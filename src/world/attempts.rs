//! I9, I10, and of I5 what is below the state root: what is recorded of an attempt is what its supervisor wrote down,
//! what it printed is there, and no files are there of runs that nobody knows.
//!
//! What was brought here from an archive may lack records and output, so only what is there is compared: a run without
//! a folder says nothing. A record that says more than `unknown` is no violation either: it came too late.

use std::path::{Path, PathBuf};

use super::finding::{Code, Finding, Remedy};
use super::{CheckError, failed, names_in};
use crate::process;
use crate::run::event::AttemptEnd;
use crate::run::state::AttemptStage;
use crate::run::{Exit, Outcome, Run, RunId};
use crate::runner::files::{Files, RunFiles};
use crate::store::audit::Audit;

const BY_HAND: &str = "look at the attempt's folder, and judge the work by its evidence alone";

/// What lies there, whoever's it is.
pub(super) struct Seen {
    /// The runs that have a folder.
    runs: Vec<RunId>,
    /// The folders of rounds of checks.
    rounds: Vec<PathBuf>,
}

pub(super) fn seen(files: &Files) -> Result<Seen, CheckError> {
    let runs = names_in(&files.runs())?;
    let rounds = names_in(&files.checks())?;
    Ok(Seen {
        runs: runs.iter().filter_map(|name| name.parse().ok()).collect(),
        rounds: rounds
            .iter()
            .map(|name| files.checks().join(name))
            .collect(),
    })
}

pub(super) fn check(files: &Files, seen: &Seen, audit: &Audit) -> Result<Vec<Finding>, CheckError> {
    let mut findings = rounds(files, &seen.rounds, audit);
    for run in &seen.runs {
        let of_run = files.of_run(*run);
        match audit.runs.get(run) {
            Some(told) => {
                findings.extend(of_known(&of_run, &told.run)?);
            }
            None if audit.known.contains_key(run) => {}
            None => {
                let at = of_run.root().display().to_string();
                let detail = format!("files of run {run}, of which the journal has nothing");
                findings.push(Finding::new(Code::FilesOrphaned, at, detail).of(*run).by_hand(
                    "an import that was interrupted is to be repeated; else a database that was brought back may have \
                     forgotten the run: remove them if nobody needs them",
                ));
            }
        }
    }
    Ok(findings)
}

/// The files of rounds of checks that no run has under way. Its logs are evidence by then.
fn rounds(files: &Files, seen: &[PathBuf], audit: &Audit) -> Vec<Finding> {
    // An event that cannot be read may tell of one.
    if seen.is_empty() || !audit.unreadable.is_empty() {
        return Vec::new();
    }
    let runs = audit.runs.values();
    let under_way: Vec<PathBuf> = runs
        .filter_map(|told| told.run.round_under_way())
        .map(|round| files.of_round(round))
        .collect();
    let over = seen.iter().filter(|folder| !under_way.contains(folder));
    over.map(|folder| {
        let at = folder.display().to_string();
        let detail = "the files of a round of checks that is over";
        let finding = Finding::new(Code::ChecksLeft, at, detail);
        finding.by(Remedy::TakeRound(folder.clone()), "they are removed")
    })
    .collect()
}

fn of_known(files: &RunFiles, run: &Run) -> Result<Vec<Finding>, CheckError> {
    let mut findings = Vec::new();
    let mut printed = 0;
    for attempt in &run.attempts {
        let AttemptStage::Ended { end: Some(end), .. } = &attempt.stage else {
            continue;
        };
        let dir = files.attempt(attempt.number);
        findings.extend(exit(run.id, &dir, end));
        if attempt.output_from < printed || end.output_to < attempt.output_from {
            let detail = format!(
                "attempt {} of run {} is said to have printed bytes {} to {}, after byte {printed}",
                attempt.number, run.id, attempt.output_from, end.output_to
            );
            let finding = Finding::new(Code::OutputCut, dir.display().to_string(), detail);
            findings.push(finding.of(run.id).by_hand(BY_HAND));
        }
        printed = end.output_to;
    }
    let output = files.output();
    let there = match std::fs::metadata(&output) {
        Ok(file) => Some(file.len()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(format!("look at {}", output.display()))(error)),
    };
    if let Some(there) = there
        && there < printed
    {
        let detail = format!(
            "the output of run {} had {printed} bytes and has {there}",
            run.id
        );
        let finding = Finding::new(Code::OutputCut, output.display().to_string(), detail);
        findings.push(
            finding
                .of(run.id)
                .by_hand("bring the file back from a backup with output"),
        );
    }
    findings.extend(unknown_attempts(files, run)?);
    Ok(findings)
}

/// What the journal says of the end of an attempt, against what its supervisor wrote down.
fn exit(run: RunId, dir: &Path, end: &AttemptEnd) -> Option<Finding> {
    let found = |code, detail| {
        let finding = Finding::new(code, dir.display().to_string(), detail);
        Some(finding.of(run).by_hand(BY_HAND))
    };
    if end.exit == Exit::Unknown {
        let success = end.outcome == Outcome::Finished;
        let detail = format!("run {run} finished, and it is not known how its agent ended");
        return success.then(|| found(Code::ExitUnproven, detail)).flatten();
    }
    if !dir.is_dir() {
        return None;
    }
    match process::exit_of(dir) {
        Ok(Some(record)) if record.exit == end.exit && record.ended_by == end.ended_by => None,
        Ok(Some(record)) => found(
            Code::ExitDiffers,
            format!(
                "an attempt of run {run} is recorded with {:?} by {:?}, and its supervisor saw {:?} by {:?}",
                end.exit, end.ended_by, record.exit, record.ended_by
            ),
        ),
        Ok(None) => found(
            Code::ExitUnproven,
            format!(
                "an attempt of run {run} is recorded with {:?}, and no record says so",
                end.exit
            ),
        ),
        Err(error) => found(
            Code::ExitUnproven,
            format!(
                "an attempt of run {run} is recorded with {:?}, and {error}",
                end.exit
            ),
        ),
    }
}

/// Folders of attempts that the journal does not know.
fn unknown_attempts(files: &RunFiles, run: &Run) -> Result<Vec<Finding>, CheckError> {
    let mut findings = Vec::new();
    for name in names_in(&files.attempts())? {
        let known = name
            .parse::<u32>()
            .is_ok_and(|number| run.attempts.iter().any(|attempt| attempt.number == number));
        if !known {
            let at = files.attempts().join(&name).display().to_string();
            let detail = format!("files of an attempt of run {} that it never made", run.id);
            let finding = Finding::new(Code::FilesOrphaned, at, detail).of(run.id);
            findings.push(finding.by_hand(
                "a database that was brought back may have forgotten it: remove them if nobody needs them",
            ));
        }
    }
    Ok(findings)
}
