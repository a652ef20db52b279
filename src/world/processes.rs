//! I3, I4: a run that is running has a living process, and no process of a run is left that is not at work.

use super::finding::{Code, Finding, Remedy};
use super::{CheckError, failed};
use crate::process::{self, Identity, LeftCgroup, Marked};
use crate::run::event::AgentProcess;
use crate::run::{Phase, Run};
use crate::runner::files::Files;
use crate::store::audit::{Audit, Told};

/// The processes that carry a run's marker.
pub(super) fn seen() -> Result<Vec<Marked>, CheckError> {
    process::marked().map_err(failed("list the processes"))
}

pub(super) fn check(
    files: &Files,
    seen: &[Marked],
    audit: &Audit,
) -> Result<Vec<Finding>, CheckError> {
    let mut findings = Vec::new();
    let runs = &audit.runs;
    for Marked { identity, run } in seen {
        let at = format!("pid {}", identity.pid);
        let end = Remedy::End(*run, identity.clone());
        match runs.get(run) {
            Some(told) if told.run.may_have_processes() => {}
            Some(told) => {
                let status = told.run.status().as_str();
                let detail = format!("a process of run {run} is left, and the run is {status}");
                let finding = Finding::new(Code::ProcessLeft, at, detail).of(*run);
                findings.push(finding.by(end, "the process is ended"));
            }
            // Its end was not told by what was looked at, or cannot be read: unknown is not dead.
            None if audit.known.contains_key(run) => {}
            // Another service on this machine has runs of its own.
            None if !files.of_run(*run).exist() => {}
            None => {
                let detail =
                    format!("a process works for run {run}, and the journal has nothing of it");
                let finding = Finding::new(Code::ProcessOrphaned, at, detail).of(*run);
                findings.push(finding.by(end, "the process is ended; its worktree stays"));
            }
        }
    }
    for told in runs.values() {
        findings.extend(missing(&told.run)?);
    }
    Ok(findings)
}

/// Cgroups of runs that are not at work: what is in them is killed. Those of another service are its own.
pub(super) fn check_cgroups(seen: &[LeftCgroup], audit: &Audit) -> Vec<Finding> {
    let left = seen.iter().filter_map(|left| {
        let told = audit.runs.get(&left.run)?;
        (!told.run.may_have_processes()).then_some((left, told))
    });
    let finding = |(left, told): (&LeftCgroup, &Told)| {
        let (run, status) = (left.run, told.run.status().as_str());
        let inside = match left.populated {
            true => "with processes in it",
            false => "empty",
        };
        let detail = format!("the cgroup of run {run} is left, {inside}, and the run is {status}");
        let at = left.cgroup.path.display().to_string();
        Finding::new(Code::CgroupLeft, at, detail).of(run).by(
            Remedy::EndCgroup(run, left.cgroup.clone()),
            "what is in it is ended, and it is removed",
        )
    };
    left.map(finding).collect()
}

/// The agent of a run that is running, if it is not there. Its driver takes a moment to record its end; the two looks
/// are further apart than that.
fn missing(run: &Run) -> Result<Option<Finding>, CheckError> {
    let (Phase::Running, Some(process)) = (&run.phase, run.process()) else {
        return Ok(None);
    };
    let alive = identity(process)
        .alive()
        .map_err(failed(format!("look for process {}", process.pid)))?;
    if alive {
        return Ok(None);
    }
    let detail = format!("run {} is running, and its agent is gone", run.id);
    let finding = Finding::new(Code::ProcessMissing, format!("pid {}", process.pid), detail);
    Ok(Some(finding.of(run.id).by_hand(
        "abort the run, or start the service again: it records how the agent ended",
    )))
}

fn identity(process: &AgentProcess) -> Identity {
    Identity {
        boot_id: process.boot_id.clone(),
        pid: i32::try_from(process.pid).unwrap_or(0),
        start_ticks: process.start_time,
        pidfd_inode: None,
    }
}
