//! May it merge? A pure question about facts, with a `Permit` or every `Blocker` for an answer.
//!
//! The gate is never stored: it is asked again each time, from the facts as they are. Only `ask` makes a
//! permit, and making a candidate needs it. `clear` is the second question, about the candidate: was what would land
//! checked? Only `clear` makes a `Cleared`, and landing consumes it: nothing lands that was not asked about and checked.

mod lacking;

use serde::{Deserialize, Serialize};

use crate::dod::check::CheckRecord;
use crate::dod::{Evidence, Head, Item, Verdict};
use crate::run::Status;
use crate::run::{CommitId, EvidenceId, ItemId};

/// What the gate looks at.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// Where the run is in its life.
    pub status: Status,
    /// Whether the stub carried it for want of an agent.
    pub accidental_stub: bool,
    /// The branch as it is in git now; nothing if it is gone.
    pub head: Option<&'a Head>,
    /// The base branch as it is in git now; nothing if it is gone.
    pub onto: Option<&'a CommitId>,
    /// Whether the base contains the head already.
    pub contained: bool,
    /// The Definition of Done.
    pub items: &'a [Item],
    /// The evidence, in the order in which it was attached.
    pub evidence: &'a [Evidence],
    /// The paths that the work changes; nothing if that is not known.
    pub changed: Option<&'a [String]>,
}

impl Facts<'_> {
    /// Whether the item applies to this work. One whose paths are not known does.
    fn has_to_show(&self, item: &Item) -> bool {
        self.changed
            .is_none_or(|changed| item.spec.applies(changed))
    }
}

/// Leave to land exactly this head on exactly this base. Only the gate makes it.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    head: Head,
    onto: CommitId,
}

impl Permit {
    /// What may land.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Where it may land.
    #[must_use]
    pub fn onto(&self) -> &CommitId {
        &self.onto
    }
}

/// Leave to move the base to exactly this candidate. Only [`clear`] makes it.
#[derive(Debug, PartialEq, Eq)]
pub struct Cleared {
    permit: Permit,
    candidate: Head,
}

impl Cleared {
    /// What may land.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.permit.head
    }

    /// Where it may land.
    #[must_use]
    pub fn onto(&self) -> &CommitId {
        &self.permit.onto
    }

    /// What the base becomes, and the tree that is proven.
    #[must_use]
    pub fn candidate(&self) -> &Head {
        &self.candidate
    }
}

/// What the second question looks at.
#[derive(Debug, Clone)]
pub struct Proof<'a> {
    /// The Definition of Done.
    pub items: &'a [Item],
    /// The evidence, in the order in which it was attached.
    pub evidence: &'a [Evidence],
    /// The paths that the candidate changes in the base.
    pub changed: &'a [String],
}

/// Was what would land checked? `candidate` is the merge commit that was made with the permit.
///
/// # Errors
/// The items, in their order, whose check has not passed on exactly the candidate's tree and was not overridden.
pub fn clear(permit: Permit, candidate: Head, proof: &Proof<'_>) -> Result<Cleared, Vec<ItemId>> {
    let unproven = unproven(&permit.head, &candidate, proof);
    if unproven.is_empty() {
        Ok(Cleared { permit, candidate })
    } else {
        Err(unproven)
    }
}

/// The required items that apply and whose check has neither passed on exactly this merge's tree nor was overridden.
#[must_use]
pub fn unproven(head: &Head, merge: &Head, proof: &Proof<'_>) -> Vec<ItemId> {
    proof
        .items
        .iter()
        .filter(|item| item.spec.required && item.spec.check.is_some())
        .filter(|item| !is_proven(item.id, proof.evidence, head, merge))
        .filter(|item| item.spec.applies(proof.changed))
        .map(|item| item.id)
        .collect()
}

/// Whether the newest word of the item's check on the candidate's tree is that it passed, or an operator has overridden
/// the check for this work or this tree.
fn is_proven(item: ItemId, evidence: &[Evidence], head: &Head, candidate: &Head) -> bool {
    let of_item = || evidence.iter().filter(|e| e.item_id == item);
    let overridden = |e: &Evidence| {
        let by_operator =
            matches!(&e.verdict, Verdict::Validated { overrides, .. } if overrides.is_some());
        by_operator && (e.head.tree == candidate.tree || e.counts(Some(head)))
    };
    let newest = of_item().rfind(|e| e.check.is_some() && e.head.tree == candidate.tree);
    let passed = |e: &Evidence| {
        // What waits for a person has passed as well; what a person turned down has not.
        let turned_down = matches!(&e.verdict, Verdict::Rejected { .. });
        !turned_down && e.check.as_ref().is_some_and(CheckRecord::passed)
    };
    newest.is_some_and(passed) || of_item().any(overridden)
}

/// The names of the reasons for a shut gate. Stable: clients match on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BlockerCode {
    /// The agent works or waits, or a merge is under way.
    RunActive,
    /// The run has merged.
    AlreadyMerged,
    /// The run was aborted.
    RunAborted,
    /// The stub carried the run because no agent was found.
    StubRun,
    /// The run's branch is gone.
    BranchMissing,
    /// The base branch is gone.
    BaseMissing,
    /// The base contains the head already.
    NothingToMerge,
    /// No item is required: a gate that asks for nothing proves nothing.
    NothingRequired,
    /// A required item has no evidence.
    EvidenceMissing,
    /// A required item has evidence that nobody has validated.
    EvidenceNotValidated,
    /// A required item has evidence for another state of the work only.
    EvidenceStale,
    /// The newest evidence of a required item was rejected.
    EvidenceRejected,
    /// The check of a required item has not been run on this work.
    CheckNotRun,
    /// The check of a required item did not pass on this work.
    CheckFailed,
}

/// One reason for a shut gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Blocker {
    /// The stable name.
    pub code: BlockerCode,
    /// The item that is missing something.
    #[schema(value_type = Option<String>)]
    pub item_id: Option<ItemId>,
    /// Its key.
    pub item_key: Option<String>,
    /// The evidence that does not do.
    #[schema(value_type = Option<String>)]
    pub evidence_id: Option<EvidenceId>,
    /// The reason, for a person, with what to do.
    pub detail: String,
}

/// May it merge?
///
/// # Errors
/// Every reason why not, in the order in which they are best dealt with.
pub fn ask(facts: &Facts<'_>) -> Result<Permit, Vec<Blocker>> {
    let mut blockers = life(facts);
    blockers.extend(items(facts));
    match (facts.head, facts.onto) {
        (Some(head), Some(onto)) if blockers.is_empty() => Ok(Permit {
            head: head.clone(),
            onto: onto.clone(),
        }),
        _ => Err(blockers),
    }
}

fn life(facts: &Facts<'_>) -> Vec<Blocker> {
    let mut blockers = Vec::new();
    let mut block = |code, detail: String| {
        blockers.push(Blocker {
            code,
            item_id: None,
            item_key: None,
            evidence_id: None,
            detail,
        });
    };
    match facts.status {
        Status::Merged => block(BlockerCode::AlreadyMerged, "the run has merged".to_owned()),
        Status::Aborted => block(
            BlockerCode::RunAborted,
            "the run was aborted; `restore` brings it back".to_owned(),
        ),
        active if active.is_active() => block(
            BlockerCode::RunActive,
            format!("the run is {}; wait until it is finished", active.as_str()),
        ),
        _ => {}
    }
    if facts.accidental_stub {
        block(
            BlockerCode::StubRun,
            "no agent was found, so the stub carried this run and nothing was done".to_owned(),
        );
    }
    if matches!(facts.status, Status::Finished | Status::Failed) {
        if facts.head.is_none() {
            block(
                BlockerCode::BranchMissing,
                "the run's branch is gone from the repository".to_owned(),
            );
        } else if facts.contained {
            block(
                BlockerCode::NothingToMerge,
                "the base contains everything that is on the branch".to_owned(),
            );
        }
        if facts.onto.is_none() {
            block(
                BlockerCode::BaseMissing,
                "the base branch is gone from the repository".to_owned(),
            );
        }
    }
    blockers
}

fn items(facts: &Facts<'_>) -> Vec<Blocker> {
    if matches!(facts.status, Status::Merged | Status::Aborted) {
        return Vec::new();
    }
    let mut required = facts
        .items
        .iter()
        .filter(|item| item.spec.required && facts.has_to_show(item))
        .peekable();
    if required.peek().is_none() {
        return vec![Blocker {
            code: BlockerCode::NothingRequired,
            item_id: None,
            item_key: None,
            evidence_id: None,
            detail: "no item of the Definition of Done is required; name one that is".to_owned(),
        }];
    }
    required
        .filter_map(|item| lacking::of(item, facts))
        .collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::dod::check::{CheckSpec, End, Failed, FailedCode};
    use crate::dod::{Author, ItemSpec, Payload, Validator, When};

    fn head(commit: u8, tree: u8) -> Head {
        Head {
            commit: format!("{commit:040x}").parse().unwrap(),
            tree: format!("{tree:040x}").parse().unwrap(),
        }
    }

    fn item(required: bool, when: Option<&str>) -> Item {
        Item {
            id: ItemId(Uuid::from_u128(1)),
            spec: ItemSpec {
                required,
                validator: Validator::Check,
                check: Some(CheckSpec::of("true")),
                when: when.map(|pattern| When {
                    changed: vec![pattern.to_owned()],
                }),
                ..ItemSpec::of("tests", "tests")
            },
        }
    }

    /// What a check, or somebody with `overrides`, said of this tree.
    fn evidence(of: &Head, passed: bool, overrides: bool, candidate: bool) -> Evidence {
        let record = CheckRecord {
            key: String::new(),
            cmd: "true".to_owned(),
            end: End::Exited {
                code: i32::from(!passed),
            },
            failed: (!passed).then(|| Failed {
                code: FailedCode::ExitCode,
                detail: "it ended with 1".to_owned(),
            }),
            duration_ms: 1,
            counts: None,
            environment: String::new(),
            tools: std::collections::BTreeMap::new(),
            own_network: false,
            cached_from: None,
            on_base: None,
        };
        let at = Timestamp::UNIX_EPOCH;
        Evidence {
            id: EvidenceId(Uuid::from_u128(7)),
            item_id: ItemId(Uuid::from_u128(1)),
            payload: Payload::Text {
                text: "log".to_owned(),
            },
            head: of.clone(),
            base_commit: head(0, 0).commit,
            onto: None,
            check: Some(record),
            candidate_of: candidate.then(|| head(1, 1).commit),
            carried_to: Vec::new(),
            author_name: None,
            sha256: String::new(),
            size: 3,
            author: Author::Check,
            created_at: at,
            verdict: match (passed, overrides) {
                (true, false) => Verdict::Validated {
                    by: "check".to_owned(),
                    at,
                    overrides: None,
                },
                (_, true) => Verdict::Validated {
                    by: "Vera".to_owned(),
                    at,
                    overrides: Some("known".to_owned()),
                },
                (false, false) => Verdict::Rejected {
                    by: "check".to_owned(),
                    at,
                    reason: "exit_code".to_owned(),
                },
            },
        }
    }

    fn is_clear(item: Item, evidence: &[Evidence], changed: &[&str]) -> bool {
        let permit = Permit {
            head: head(1, 1),
            onto: head(2, 2).commit,
        };
        let changed: Vec<String> = changed.iter().map(|path| (*path).to_owned()).collect();
        let proof = Proof {
            items: &[item],
            evidence,
            changed: &changed,
        };
        clear(permit, head(3, 3), &proof).is_ok()
    }

    #[test]
    fn what_lands_is_what_was_checked() {
        let (work, candidate, other) = (head(1, 1), head(3, 3), head(4, 4));
        let same_tree = head(1, 3);
        let check = |of, passed| evidence(of, passed, false, false);
        let on_candidate = |of, passed| evidence(of, passed, false, true);
        let overridden = |of, on| evidence(of, false, true, on);
        let human = Evidence {
            check: None,
            author: Author::Operator,
            ..check(&candidate, true)
        };
        for (told, evidence, expected) in [
            ("nothing", vec![], false),
            ("of the work alone", vec![check(&work, true)], false),
            (
                "of the work, whose tree it is",
                vec![check(&same_tree, true)],
                true,
            ),
            (
                "of the candidate",
                vec![on_candidate(&candidate, true)],
                true,
            ),
            (
                "of another candidate",
                vec![on_candidate(&other, true)],
                false,
            ),
            ("failed", vec![on_candidate(&candidate, false)], false),
            (
                "passed, then failed",
                vec![
                    on_candidate(&candidate, true),
                    on_candidate(&candidate, false),
                ],
                false,
            ),
            (
                "failed, then passed",
                vec![
                    on_candidate(&candidate, false),
                    on_candidate(&candidate, true),
                ],
                true,
            ),
            ("words of somebody", vec![human], false),
            (
                "overridden for the work",
                vec![overridden(&work, false)],
                true,
            ),
            (
                "overridden for the candidate",
                vec![overridden(&candidate, true)],
                true,
            ),
            (
                "overridden for another",
                vec![overridden(&other, true)],
                false,
            ),
            (
                "overridden for old work",
                vec![overridden(&other, false)],
                false,
            ),
        ] {
            assert_eq!(
                is_clear(item(true, None), &evidence, &[]),
                expected,
                "{told}"
            );
        }
    }

    /// What the gate says of an item with a check, with this evidence for the work as it is.
    fn says(validator: Validator, evidence: &[Evidence]) -> Option<BlockerCode> {
        let mut asked = item(true, None);
        asked.spec.validator = validator;
        let answer = ask(&Facts {
            status: Status::Finished,
            accidental_stub: false,
            head: Some(&head(1, 1)),
            onto: Some(&head(2, 2).commit),
            contained: false,
            items: &[asked],
            evidence,
            changed: None,
        });
        answer.err().map(|blockers| blockers[0].code)
    }

    #[test]
    fn the_newest_word_of_a_check_counts_and_a_person_speaks_for_a_persons_item() {
        let work = head(1, 1);
        let check = |passed| evidence(&work, passed, false, false);
        let overridden = evidence(&work, false, true, false);
        let by_vera = Evidence {
            check: None,
            author: Author::Operator,
            verdict: Verdict::Validated {
                by: "Vera".to_owned(),
                at: Timestamp::UNIX_EPOCH,
                overrides: None,
            },
            ..check(true)
        };
        let (failed, not_run) = (BlockerCode::CheckFailed, BlockerCode::CheckNotRun);
        let open = BlockerCode::EvidenceNotValidated;
        for (validator, evidence, expected) in [
            (Validator::Check, vec![], Some(not_run)),
            (Validator::Check, vec![check(true)], None),
            (
                Validator::Check,
                vec![check(true), check(false)],
                Some(failed),
            ),
            (Validator::Check, vec![check(false), check(true)], None),
            (Validator::Check, vec![by_vera.clone()], Some(not_run)),
            (
                Validator::Check,
                vec![overridden.clone(), check(false)],
                None,
            ),
            (Validator::Operator, vec![check(true)], Some(open)),
            (Validator::Operator, vec![check(true), by_vera], None),
        ] {
            assert_eq!(says(validator, &evidence), expected, "{evidence:#?}");
        }
    }

    #[test]
    fn only_what_is_required_and_applies_is_asked_for() {
        assert!(is_clear(item(false, None), &[], &["a"]));
        assert!(is_clear(item(true, Some("db/**")), &[], &["src/a"]));
        assert!(!is_clear(item(true, Some("db/**")), &[], &["db/1.sql"]));
        let unchecked = Item {
            spec: ItemSpec {
                check: None,
                ..item(true, None).spec
            },
            ..item(true, None)
        };
        assert!(is_clear(unchecked, &[], &[]));
    }
}
