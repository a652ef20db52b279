//! What was shown for the work of a run, and who accepted it: the facts that trailers and attestations are made of.

use serde::{Deserialize, Serialize};

use crate::clock::rfc3339;
use crate::dod::{Author, Evidence, EvidenceKind, Head, ItemSpec, Verdict, definition};
use crate::run::{CommitId, EvidenceId, Run, RunId, TreeId};

/// What was shown for the work of a run. The predicate of our own attestation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// The run.
    pub run: RunId,
    /// The branch that it lands on.
    pub base: String,
    /// Where that was: the first parent of the merge; nothing before a merge.
    pub onto: Option<CommitId>,
    /// The work.
    pub head: Head,
    /// The digest of the Definition of Done: SHA-256 of `items` as compact JSON.
    pub dod_digest: String,
    /// The Definition of Done.
    pub items: Vec<ItemSpec>,
    /// The evidence that was accepted for the work, in the order in which it was attached.
    pub accepted: Vec<Accepted>,
}

/// A piece of evidence that counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accepted {
    /// The key of its item.
    pub item: String,
    /// Its id.
    pub evidence: EvidenceId,
    /// What it is.
    pub kind: EvidenceKind,
    /// SHA-256 of its payload.
    pub sha256: String,
    /// Bytes of its payload.
    pub size: u64,
    /// Who brought it.
    pub author: Author,
    /// Their name, if it is known.
    pub author_name: Option<String>,
    /// The commit and tree that it speaks of.
    pub of: Head,
    /// Whether that is what the merge results in, and not the work.
    pub candidate: bool,
    /// Whether the same patch was on another base when it was attached.
    pub carried: bool,
    /// Who accepted it; `check` for a check that passed.
    pub validated_by: String,
    /// When.
    pub validated_at: String,
    /// Why an operator accepted it in the place of the item's check, if so.
    pub overrides: Option<String>,
}

impl Shown {
    /// What was shown for this work, and for the tree of its merge if it has one.
    #[must_use]
    pub fn of(run: &Run, head: &Head, merged: Option<&TreeId>) -> Shown {
        let accepted = run.evidence.iter();
        Shown {
            run: run.id,
            base: run.spec.base.clone(),
            onto: None,
            head: head.clone(),
            dod_digest: dod_digest(run),
            items: defined_items(run),
            accepted: accepted
                .filter(|evidence| counts(evidence, head, merged))
                .filter_map(|evidence| accepted_as(run, evidence, head))
                .collect(),
        }
    }
}

/// Whether the evidence counts for this work, or for the tree of its merge.
pub(super) fn counts(evidence: &Evidence, head: &Head, merged: Option<&TreeId>) -> bool {
    evidence.counts(Some(head))
        || (matches!(evidence.verdict, Verdict::Validated { .. })
            && speaks_of_merge(evidence, head, merged))
}

/// Whether the evidence speaks of what merging this work results in.
pub(super) fn speaks_of_merge(evidence: &Evidence, head: &Head, merged: Option<&TreeId>) -> bool {
    evidence.check.is_some()
        && Some(&evidence.head.tree) == merged
        && (evidence.candidate_of.is_some() || evidence.is_stale(Some(head)))
}

fn accepted_as(run: &Run, evidence: &Evidence, head: &Head) -> Option<Accepted> {
    let Verdict::Validated { by, at, overrides } = &evidence.verdict else {
        return None;
    };
    Some(Accepted {
        item: run.item(evidence.item_id)?.spec.key.clone(),
        evidence: evidence.id,
        kind: evidence.payload.kind(),
        sha256: evidence.sha256.clone(),
        size: evidence.size,
        author: evidence.author,
        author_name: evidence.author_name.clone(),
        of: evidence.head.clone(),
        candidate: !evidence.counts(Some(head)),
        carried: evidence.counts(Some(head)) && evidence.is_carried(Some(head)),
        validated_by: by.clone(),
        validated_at: rfc3339(*at),
        overrides: overrides.clone(),
    })
}

/// The items that the Definition of Done had when it was fixed: without those that evidence has added since. Of a run
/// whose definition was never fixed, all.
#[must_use]
pub fn defined_items(run: &Run) -> Vec<ItemSpec> {
    let defined = |key: &String| match &run.definition {
        Some(definition) => definition.sources.iter().any(|s| s.keys.contains(key)),
        None => true,
    };
    let specs = run.items.iter().map(|item| &item.spec);
    specs.filter(|spec| defined(&spec.key)).cloned().collect()
}

/// The digest of the run's Definition of Done: that which was recorded, else that of its items.
#[must_use]
pub fn dod_digest(run: &Run) -> String {
    match &run.definition {
        Some(definition) => definition.digest.clone(),
        None => definition::digest(&defined_items(run)),
    }
}
