//! What the repository has not got of runs that were brought back: no archive holds commits.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::clock;
use crate::config::{Config, Surroundings};
use crate::git::{Program, RefName, Repository};
use crate::run::{CommitId, Phase, Run};
use crate::runner::files::Files;

/// A sentence for each run whose branch or commits the repository has not got, or one why that is not known.
pub async fn lacks(config: &Config, around: &Surroundings, runs: &[Run]) -> Vec<String> {
    match look(config, around, runs).await {
        Ok(lacking) => lacking,
        Err(why) => vec![format!(
            "whether the repository {} has the branches and commits of these runs is not known: {why:#}",
            config.repo_root.display()
        )],
    }
}

async fn look(config: &Config, around: &Surroundings, runs: &[Run]) -> anyhow::Result<Vec<String>> {
    let path = around.variable("PATH").unwrap_or_default();
    let program = Program::find(path.as_ref()).await?;
    let view = Files::below(config.state_root.clone()).git_view();
    let repository = Repository::open(program, &config.repo_root, &view).await?;
    let mut lacking = Vec::new();
    for (run, commit, what) in wanted(config, runs) {
        if !repository.has_commit(commit).await? {
            lacking.push(format!("run {}: its {what} {commit} is not there", run.id));
        } else if matches!(run.phase, Phase::AtRest { .. } | Phase::Running)
            && !repository
                .branch_exists(&RefName::branch(&run.branch)?)
                .await?
        {
            lacking.push(format!(
                "run {}: its branch {} is not there",
                run.id, run.branch
            ));
        }
    }
    Ok(lacking)
}

/// The commits that something of a run still depends on. Of merged ones, the newest of each base: it has the others in
/// its history.
fn wanted<'a>(config: &Config, runs: &'a [Run]) -> Vec<(&'a Run, &'a CommitId, &'static str)> {
    let kept = jiff::SignedDuration::from_hours(24 * i64::from(config.preserved_keep_days));
    let oldest = clock::now().saturating_sub(kept).unwrap_or(Timestamp::MIN);
    let mut merged: BTreeMap<&str, (Timestamp, &Run, &CommitId)> = BTreeMap::new();
    let mut wanted = Vec::new();
    for run in runs {
        match &run.phase {
            Phase::Merged { commit, at } => {
                let newest = merged.entry(&run.spec.base).or_insert((*at, run, commit));
                if *at >= newest.0 {
                    *newest = (*at, run, commit);
                }
            }
            Phase::Aborted { at, preserved, .. } => {
                let preserved = preserved.as_ref().filter(|_| *at >= oldest);
                wanted.extend(preserved.map(|commit| (run, commit, "preserved commit")));
            }
            _ => match (&run.head, &run.base_commit) {
                (Some(head), _) => wanted.push((run, &head.commit, "head")),
                (None, Some(base)) => wanted.push((run, base, "base commit")),
                (None, None) => {}
            },
        }
    }
    let merged = merged.into_values();
    wanted.extend(merged.map(|(_, run, commit)| (run, commit, "merge commit")));
    wanted
}
