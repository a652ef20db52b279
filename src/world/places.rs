//! I5, I13: every worktree, branch and ref of ours belongs to a run, every run at rest has its own, and preserved
//! work is there. The notes on merges, `refs/notes/agent_runner`, are looked at by `landings`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;

use super::finding::{Code, Finding, Remedy};
use super::{CheckError, failed, names_in};
use crate::clock;
use crate::git::{BranchName, Checkout, Head, RefName};
use crate::process;
use crate::run::{CommitId, Phase, Run, RunId};
use crate::runner::Context;
use crate::runner::pool::Wrong;
use crate::store::audit::Audit;
use crate::worktree::{self, Place, leaving_below, trash_below};

const BRANCHES: &str = "refs/heads/auto/";
const PRESERVED: &str = "refs/agent_runner/preserved/";
/// Work that was in the way or that nobody knew: kept until a person lets it go.
const LEFTOVER: &str = "refs/agent_runner/preserved/leftover/";
const CANDIDATES: &str = "refs/agent_runner/candidates/";
/// A candidate is pinned before its landing is recorded, and landed or let go in seconds.
const CANDIDATE_AGE: Duration = Duration::from_secs(60);
/// The trash is emptied at each removal, at each start and every day.
const TRASH_AGE: SignedDuration = SignedDuration::from_hours(48);

/// Work is kept within seconds of an abort, also of a large worktree on a busy machine.
const LEAVING_AGE: SignedDuration = SignedDuration::from_mins(10);

/// What lies there, whoever's it is.
pub(super) struct Seen {
    /// All branches that may be of ours, and all refs that are.
    refs: BTreeMap<String, CommitId>,
    /// What lies in the root of the worktrees, but for hidden files.
    folders: BTreeSet<String>,
    /// What has left its place.
    leaving: BTreeSet<String>,
    /// The ids of what lies on the pool's shelf.
    slots: Vec<String>,
}

pub(super) async fn seen(context: &Context) -> Result<Seen, CheckError> {
    let mut refs = context.repository.refs_below(BRANCHES).await?;
    refs.extend(context.repository.refs_below("refs/agent_runner/").await?);
    Ok(Seen {
        refs: refs.into_iter().collect(),
        folders: names_in(&context.config.worktrees_root)?
            .into_iter()
            .filter(|name| !name.starts_with('.'))
            .collect(),
        leaving: names_in(&leaving_below(&context.config.worktrees_root))?
            .into_iter()
            .collect(),
        slots: context.pool.on_shelf()?,
    })
}

pub(super) fn check(
    context: &Context,
    seen: &Seen,
    audit: &Audit,
) -> Result<Vec<Finding>, CheckError> {
    let root = &context.config.worktrees_root;
    let runs = &audit.runs;
    let mut findings = orphans(context, seen, audit)?;
    for told in runs.values() {
        findings.extend(of_run(root, seen, &told.run));
        findings.extend(preserved(context, seen, &told.run));
    }
    findings.extend(refs(context, seen, audit));
    findings.extend(leaving(root, seen, audit));
    findings.extend(slots(context, seen));
    let trash = trash_below(root);
    let left = worktree::left_in_trash(&trash);
    if !left.is_empty() {
        let detail = format!("the trash cannot be emptied: {}", left.join("; "));
        let finding = Finding::new(Code::TrashLeft, trash.display().to_string(), detail);
        findings.push(finding.by(
            Remedy::EmptyTrash,
            "it is tried again: at each removal, each start and every day",
        ));
    } else if let Some(old) = names_in(&trash)?.iter().find(|name| is_old(name)) {
        let at = trash.join(old).display().to_string();
        let finding = Finding::new(Code::TrashLeft, at, "the trash is not emptied");
        findings.push(finding.by(Remedy::EmptyTrash, "the trash is emptied"));
    }
    Ok(findings)
}

/// What has left its place and belongs to no run that keeps it, or is not kept for long.
fn leaving(root: &Path, seen: &Seen, audit: &Audit) -> Vec<Finding> {
    let finding = |name: &str, detail: String| {
        let at = leaving_below(root).join(name).display().to_string();
        Finding::new(Code::LeavingLeft, at, detail)
    };
    let mut findings = Vec::new();
    for name in &seen.leaving {
        let run = name.parse::<RunId>().ok();
        let told = run.and_then(|run| audit.runs.get(&run));
        let known = run.is_some_and(|run| audit.known.contains_key(&run));
        match told.map(|told| &told.run) {
            Some(run) if matches!(run.phase, Phase::Aborting { .. }) => {}
            Some(run) if run.is_preserving() => {
                let Phase::Aborted { at, .. } = run.phase else {
                    continue;
                };
                if clock::now().duration_since(at) > LEAVING_AGE {
                    let detail = format!("the uncommitted work of run {} is not kept yet", run.id);
                    findings.push(finding(name, detail).of(run.id).by_hand(
                        "it is tried again every few seconds and at each start; the log says what is in the way",
                    ));
                }
            }
            // Not among what was looked at.
            None if known => {}
            _ => findings.push(
                finding(name, "a worktree that no run takes away".to_owned()).by_hand(
                    "it may be somebody's work: look at it, and remove it if nobody needs it",
                ),
            ),
        }
    }
    findings
}

/// Worktrees of the pool that are not what it takes them for.
fn slots(context: &Context, seen: &Seen) -> Vec<Finding> {
    let wrong = context.pool.wrong(&seen.slots).into_iter();
    let findings = wrong.map(|(id, wrong)| {
        let (code, detail) = match wrong {
            Wrong::Unknown => (
                Code::SlotOrphaned,
                "a worktree of the pool that it does not know",
            ),
            Wrong::Touched => (
                Code::SlotTouched,
                "somebody was at a worktree that stands ready",
            ),
        };
        let at = context.pool.folder().join(&id).display().to_string();
        let mend = "it is taken away, and another one made";
        Finding::new(code, at, detail).by(Remedy::GiveBack(id), mend)
    });
    findings.collect()
}

/// The name of what is in the trash has the time when it came there.
fn is_old(name: &str) -> bool {
    let since = uuid::Uuid::try_parse(name)
        .ok()
        .and_then(|id| id.get_timestamp());
    let seconds = since.and_then(|at| i64::try_from(at.to_unix().0).ok());
    let since = seconds.and_then(|s| jiff::Timestamp::from_second(s).ok());
    since.is_some_and(|since| clock::now().duration_since(since) > TRASH_AGE)
}

/// Worktrees and branches of runs that the journal does not know.
fn orphans(context: &Context, seen: &Seen, audit: &Audit) -> Result<Vec<Finding>, CheckError> {
    let of_rows = audit.known.values().flatten().map(String::as_str);
    let of_events = audit.runs.values().map(|told| told.run.branch.as_str());
    let known: BTreeSet<&str> = of_rows.chain(of_events).collect();
    let of_folders = seen.folders.iter().map(|name| format!("auto/{name}"));
    let of_refs = seen.refs.keys();
    let of_refs = of_refs.filter_map(|name| name.strip_prefix("refs/heads/").map(str::to_owned));
    let all: BTreeSet<String> = of_folders.chain(of_refs).collect();
    let unknown = all
        .into_iter()
        .filter(|name| !known.contains(name.as_str()));
    let unknown: Vec<BranchName> = unknown
        .filter_map(|name| BranchName::try_from(name).ok())
        .filter(ends_in_an_id)
        .collect();
    if unknown.is_empty() {
        return Ok(Vec::new());
    }
    let others = Others {
        checkouts: context.repository.checkouts()?,
        at_work: process::folders_at_work().map_err(failed("list the processes"))?,
        may_be_told: !audit.unreadable.is_empty(),
    };
    let orphans = unknown.iter();
    Ok(orphans
        .map(|branch| orphan(context, seen, &others, branch))
        .collect())
}

/// Ours end in the short id of their run.
fn ends_in_an_id(branch: &BranchName) -> bool {
    let last = branch.as_str().rsplit('-').next().unwrap_or_default();
    last.len() == 8 && last.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Who else may need an orphan.
struct Others {
    checkouts: Vec<Checkout>,
    at_work: Vec<(i32, PathBuf)>,
    /// Whether an event that cannot be read may tell of it.
    may_be_told: bool,
}

fn orphan(context: &Context, seen: &Seen, others: &Others, branch: &BranchName) -> Finding {
    let place = Place::new(&context.config.worktrees_root, branch);
    let path = place.path();
    let has_folder = seen.folders.contains(branch.folder());
    let (at, detail) = if has_folder {
        (path.display().to_string(), "a worktree that no run has")
    } else {
        (branch.to_ref().to_string(), "a branch that no run has")
    };
    let finding = Finding::new(Code::PlaceOrphaned, at, detail);
    if has_folder && !worktree::is_registered(&context.repository, &place) {
        return finding
            .by_hand("it was not made by this service: remove it by hand if nobody needs it");
    }
    let on_branch = Head::On(branch.to_ref().to_string());
    let mut checkouts = others.checkouts.iter();
    if let Some(elsewhere) = checkouts.find(|c| c.head == on_branch && c.path != path) {
        let path = elsewhere.path.display();
        return finding.by_hand(format!(
            "it is checked out at {path}: somebody may work there"
        ));
    }
    let mut at_work = others.at_work.iter();
    if let Some((pid, _)) = at_work.find(|(_, folder)| folder.starts_with(&path)) {
        return finding.by_hand(format!("process {pid} works in it: end that first"));
    }
    if others.may_be_told {
        return finding
            .by_hand("an event that cannot be read may tell of it: see to the journal first");
    }
    let kept = format!("{LEFTOVER}{branch}/");
    let mend = format!("its work is kept under {kept}, then worktree and branch are removed");
    finding.by(Remedy::SetAside(place), mend)
}

/// The place of a run that the journal knows.
fn of_run(root: &Path, seen: &Seen, run: &Run) -> Vec<Finding> {
    let Ok(branch) = BranchName::try_from(run.branch.clone()) else {
        return Vec::new();
    };
    let has_folder = seen.folders.contains(branch.folder());
    let path = root.join(branch.folder()).display().to_string();
    let name = branch.to_ref().to_string();
    let id = run.id;
    let mut findings = Vec::new();
    match &run.phase {
        Phase::Queued | Phase::Running | Phase::AtRest { .. } | Phase::MergeQueued { .. }
            if run.placed =>
        {
            if !has_folder {
                let detail = format!("the worktree of run {id} is gone");
                let finding = Finding::new(Code::WorktreeMissing, path, detail).of(id);
                findings.push(finding.by_hand("abort the run: what is on its branch is preserved"));
            }
            // An agent at work may do with its branch what it likes, and what it left is settled after it.
            let at_rest = matches!(run.phase, Phase::AtRest { .. } | Phase::MergeQueued { .. });
            if at_rest && !seen.refs.contains_key(&name) {
                let detail = format!("the branch of run {id} is gone");
                let head = run
                    .head
                    .as_ref()
                    .map_or("HEAD", |head| head.commit.as_str());
                let finding = Finding::new(Code::BranchMissing, name, detail).of(id);
                findings
                    .push(finding.by_hand(format!("make it again: git branch {branch} {head}")));
            }
        }
        // A crash in the middle of a restore, or somebody made it by hand: it may be somebody's work.
        Phase::Aborted { .. } if has_folder => {
            let detail = format!("run {id} is aborted, and its worktree is there");
            let finding = Finding::new(Code::PlaceLeft, path, detail).of(id);
            findings.push(finding.by_hand(format!(
                "agent_runner_api restore {id}, and abort it again if it is to go"
            )));
        }
        Phase::Merged { .. } if has_folder && !run.placed => {
            let detail = format!("run {id} is merged, and its worktree is there again");
            let finding = Finding::new(Code::PlaceLeft, path, detail).of(id);
            findings.push(finding.by_hand("remove it by hand if nobody needs it"));
        }
        _ => {}
    }
    findings
}

/// What was preserved of an aborted run, as long as it is to be kept.
fn preserved(context: &Context, seen: &Seen, run: &Run) -> Option<Finding> {
    let Phase::Aborted {
        at,
        preserved: Some(commit),
        ..
    } = &run.phase
    else {
        return None;
    };
    let keep = SignedDuration::from_hours(24 * i64::from(context.config.preserved_keep_days));
    let name = RefName::preserved(run.id).to_string();
    if seen.refs.contains_key(&name) || clock::now().duration_since(*at) > keep {
        return None;
    }
    let detail = format!("the preserved work of run {} has no ref", run.id);
    let finding = Finding::new(Code::PreservedMissing, name, detail).of(run.id);
    let mend = "the ref is made again, if the commit is still there";
    Some(finding.by(Remedy::KeepAgain(run.id, commit.clone()), mend))
}

/// Refs of ours that belong to nothing.
fn refs(context: &Context, seen: &Seen, audit: &Audit) -> Vec<Finding> {
    let landing: BTreeSet<&CommitId> = audit
        .runs
        .values()
        .filter_map(|told| match &told.run.phase {
            Phase::Merging { candidate, .. } => Some(candidate),
            Phase::MergeQueued {
                candidate: Some(round),
                ..
            } => Some(&round.candidate.commit),
            _ => None,
        })
        .collect();
    let mut findings = Vec::new();
    for (name, commit) in &seen.refs {
        if name.starts_with(LEFTOVER) || name.starts_with("refs/heads/") {
            continue;
        }
        if let Some(run) = name.strip_prefix(PRESERVED) {
            let run = run.parse::<RunId>().ok();
            if !run.is_some_and(|run| audit.known.contains_key(&run)) {
                let finding =
                    Finding::new(Code::RefOrphaned, name, "preserved work of no known run");
                findings.push(
                    finding
                        .by_hand("it is work: look at it, and delete the ref if nobody needs it"),
                );
            }
        } else if name.starts_with(CANDIDATES) {
            let file = context.repository.common_dir().join(name);
            if !landing.contains(commit) && !is_young(&file) {
                let detail = "a candidate that nobody lands is held";
                let finding = Finding::new(Code::CandidateLeft, name, detail);
                findings.push(finding.by(Remedy::Release(commit.clone()), "its ref is deleted"));
            }
        } else {
            let finding = Finding::new(
                Code::RefOrphaned,
                name,
                "a ref that this version does not know",
            );
            findings.push(
                finding.by_hand("a newer version may have made it; delete it if nobody needs it"),
            );
        }
    }
    findings
}

/// Whether this ref was written a moment ago. Packed ones are old.
fn is_young(file: &Path) -> bool {
    let written = std::fs::metadata(file).and_then(|meta| meta.modified());
    written
        .ok()
        .and_then(|at| at.elapsed().ok())
        .is_some_and(|age| age < CANDIDATE_AGE)
}
