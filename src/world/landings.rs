//! I1, I7: what is recorded as merged is in the base, is the merge that was allowed, has the tree that was checked, and
//! its note.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::{Code, Finding, Remedy};
use super::{CheckError, Runs};
use crate::dod::Head;
use crate::gate::{self, Proof};
use crate::git::RefName;
use crate::run::{CommitId, Phase, Run};
use crate::runner::Context;
use crate::store::audit::Told;

pub(super) async fn check(context: &Context, runs: &Runs) -> Result<Vec<Finding>, CheckError> {
    let mut by_base: BTreeMap<&str, Vec<(&Told, &CommitId)>> = BTreeMap::new();
    let mut commits = BTreeSet::new();
    for told in runs.values() {
        if let Phase::Merged { commit, .. } = &told.run.phase {
            let landed = by_base.entry(&told.run.spec.base).or_default();
            landed.push((told, commit));
            commits.insert(commit.clone());
        }
    }
    let parents = context.repository.parents_of_all(&commits).await?;
    let noted = context.repository.notes().await?;
    let mut findings = Vec::new();
    for (base, landed) in by_base {
        let tip = match RefName::branch(base) {
            Ok(name) => context.repository.resolve(&name).await?,
            Err(_) => None,
        };
        let there = landed.iter().map(|(_, commit)| (*commit).clone());
        let there: BTreeSet<_> = there.filter(|c| parents.contains_key(c)).collect();
        let outside = match &tip {
            Some(tip) => context.repository.not_in_history(&there, tip).await?,
            None => there,
        };
        let checked = landed.iter().filter(|(told, _)| has_checks(&told.run));
        let checked = checked.map(|(_, commit)| (*commit).clone());
        let checked: BTreeSet<_> = checked.filter(|c| parents.contains_key(c)).collect();
        let trees = context.repository.trees_of_all(&checked).await?;
        for (told, commit) in landed {
            let run = &told.run;
            let Some(parents) = parents.get(commit) else {
                findings.push(missing(run, commit, base, "is not in the repository"));
                continue;
            };
            if outside.contains(commit) {
                findings.push(missing(run, commit, base, &format!("is not in `{base}`")));
            }
            match changed(told, commit, parents) {
                Some(changed) => findings.push(changed),
                // It is written before the worktree goes.
                None if run.placed || noted.contains_key(commit) => {}
                None => findings.push(without_note(run, commit)),
            }
            if let (Some(tree), [onto, head]) = (trees.get(commit), parents.as_slice()) {
                let merge = Head {
                    commit: commit.clone(),
                    tree: tree.clone(),
                };
                findings.extend(unproven(context, run, onto, head, &merge).await?);
            }
        }
    }
    Ok(findings)
}

fn has_checks(run: &Run) -> bool {
    let mut items = run.items.iter();
    items.any(|item| item.spec.required && item.spec.check.is_some())
}

async fn unproven(
    context: &Context,
    run: &Run,
    onto: &CommitId,
    head: &CommitId,
    merge: &Head,
) -> Result<Option<Finding>, CheckError> {
    let head = match &run.head {
        Some(recorded) if recorded.commit == *head => recorded.clone(),
        _ => Head {
            commit: head.clone(),
            tree: context.repository.tree_of(head).await?,
        },
    };
    let ask = |changed: &[String]| {
        let proof = Proof {
            items: &run.items,
            evidence: &run.evidence,
            changed,
        };
        gate::unproven(&head, merge, &proof)
    };
    // Which items apply is asked of git only where it matters.
    let every = run.items.iter().filter_map(|item| item.spec.when.as_ref());
    let changed: Vec<String> = if every.count() == 0 {
        Vec::new()
    } else {
        context
            .repository
            .changed_paths(onto, &merge.commit)
            .await?
    };
    let keys: Vec<String> = ask(&changed)
        .iter()
        .filter_map(|id| run.item(*id))
        .map(|item| format!("`{}`", item.spec.key))
        .collect();
    if keys.is_empty() {
        return Ok(None);
    }
    let detail = format!(
        "run {} is merged as {}, and no check of that tree has passed for {}",
        run.id,
        merge.commit,
        keys.join(", ")
    );
    let finding = Finding::new(Code::MergeUnproven, merge.commit.as_str(), detail).of(run.id);
    Ok(Some(finding.by_hand(
        "run the checks on this commit by hand, and revert it if they do not pass",
    )))
}

fn missing(run: &Run, commit: &CommitId, base: &str, how: &str) -> Finding {
    let detail = format!("run {} is merged, and its commit {commit} {how}", run.id);
    Finding::new(Code::MergeMissing, commit.as_str(), detail)
        .of(run.id)
        .by_hand(format!(
            "somebody moved `{base}` back: merge {commit} by hand if that was not meant; it is not merged again by itself"
        ))
}

fn without_note(run: &Run, commit: &CommitId) -> Finding {
    let detail = format!(
        "the merge {commit} of run {} has no note in {}",
        run.id,
        RefName::notes()
    );
    Finding::new(Code::NoteMissing, commit.as_str(), detail)
        .of(run.id)
        .by(Remedy::Note(run.id), "it is written again from the journal")
}

fn changed(told: &Told, commit: &CommitId, parents: &[CommitId]) -> Option<Finding> {
    let allowed = told.landing.as_ref()?;
    if parents == [allowed.onto.clone(), allowed.head.clone()] {
        return None;
    }
    let run = told.run.id;
    let found: Vec<&str> = parents.iter().map(CommitId::as_str).collect();
    let detail = format!(
        "the merge of run {run} was allowed for {} onto {}, and has the parents {}",
        allowed.head,
        allowed.onto,
        found.join(", ")
    );
    let finding = Finding::new(Code::MergeChanged, commit.as_str(), detail).of(run);
    Some(finding.by_hand("look at what this commit brought into the base"))
}
