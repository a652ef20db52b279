//! All that is attested of a run's work: a statement for each check, one for what was accepted, one for the gate.

use jiff::Timestamp;

use super::shown::{Shown, speaks_of_merge};
use super::statement::{DOD_PREDICATE, of_check, of_gate, statement, subject};
use super::urn;
use crate::clock::rfc3339;
use crate::dod::{Evidence, Head};
use crate::gate::Blocker;
use crate::run::{CommitId, Run, TreeId};

/// The commits of a merge, as git has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merge {
    /// The merge commit.
    pub commit: CommitId,
    /// Its tree.
    pub tree: TreeId,
    /// Its first parent.
    pub onto: CommitId,
    /// Its second parent, with its tree: the work.
    pub head: Head,
    /// When it was recorded.
    pub at: Timestamp,
}

/// Statements, a line of JSON each; that of the gate is the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The statements.
    pub lines: Vec<String>,
}

impl Bundle {
    /// As the note has it: each line ended by a newline (JSON Lines, as an in-toto Bundle).
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

/// What is attested of a run that has merged.
#[must_use]
pub fn of_merge(run: &Run, merge: &Merge) -> Bundle {
    let mut shown = Shown::of(run, &merge.head, Some(&merge.tree));
    shown.onto = Some(merge.onto.clone());
    let of_gate = Said {
        commit: &merge.commit,
        tree: &merge.tree,
        at: merge.at,
        missing: &[],
    };
    bundle(run, &shown, Some(&merge.tree), &of_gate)
}

/// What would be attested of a run's work as it is: `missing` is why it may not merge.
#[must_use]
pub fn of_head(run: &Run, head: &Head, missing: &[Blocker], at: Timestamp) -> Bundle {
    let shown = Shown::of(run, head, None);
    let of_gate = Said {
        commit: &head.commit,
        tree: &head.tree,
        at,
        missing,
    };
    bundle(run, &shown, None, &of_gate)
}

/// What the gate said, of what, and when.
struct Said<'a> {
    commit: &'a CommitId,
    tree: &'a TreeId,
    at: Timestamp,
    missing: &'a [Blocker],
}

fn bundle(run: &Run, shown: &Shown, merged: Option<&TreeId>, said: &Said<'_>) -> Bundle {
    let head = &shown.head;
    let mut inputs: Vec<(String, String)> = checks(run, head, merged)
        .into_iter()
        .filter_map(|e| Some((urn::of_evidence(run.id, e.id), of_check(run, e)?)))
        .collect();
    let accepted = statement(subject(&head.commit, &head.tree), DOD_PREDICATE, shown);
    inputs.push((urn::of_definition(run.id), accepted.line()));
    let named: Vec<_> = inputs
        .iter()
        .map(|(uri, line)| (uri.clone(), line.as_str()))
        .collect();
    let summary = of_gate(
        run,
        subject(said.commit, said.tree),
        &shown.dod_digest,
        &named,
        rfc3339(said.at),
        said.missing,
    );
    let lines = inputs.into_iter().map(|(_, line)| line);
    Bundle {
        lines: lines.chain([summary]).collect(),
    }
}

/// What checks have brought for the work and for its merge: of each item what counts; if nothing does, the newest.
fn checks<'a>(run: &'a Run, head: &Head, merged: Option<&TreeId>) -> Vec<&'a Evidence> {
    let mut found = Vec::new();
    for item in &run.items {
        let by_checks = || {
            let of_item = run.evidence.iter().filter(|e| e.item_id == item.id);
            of_item.filter(|e| e.check.is_some())
        };
        let of_work =
            || by_checks().filter(|e| e.candidate_of.is_none() && !e.is_stale(Some(head)));
        let before = found.len();
        found.extend(of_work().filter(|e| e.counts(Some(head))));
        if found.len() == before {
            found.extend(of_work().next_back());
        }
        found.extend(by_checks().filter(|e| speaks_of_merge(e, head, merged)));
    }
    found
}
