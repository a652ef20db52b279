//! Random histories: whatever is asked and whatever happens, in any order, what must always hold holds.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

use super::event::{AgentProcess, AttemptEnd, AttemptKind};
use super::{
    AgentKind, AgentSettings, AttemptId, CandidateRound, Command, CommitId, Decision, EndedBy,
    Event, EvidenceId, Exit, Failure, FailureCode, ItemId, Limits, Outcome, Phase, Round, RoundId,
    RoundWhy, Run, RunId, Spec, apply, begin, decide,
};
use crate::dod::check::{CheckRecord, CheckSpec, End, Failed, FailedCode};
use crate::dod::{
    Author, Evidence, EvidenceKind, Head, Item, ItemSpec, Payload, Validator, Verdict,
};
use crate::gate::{self, Facts, Permit, Proof};

/// What is tried next.
#[derive(Debug, Clone)]
enum Step {
    Place,
    Start,
    FailToStart,
    End(bool),
    Settle(u8, bool),
    Check(u8),
    SeeHead(u8, bool),
    EndChecks(bool),
    Attach(u8),
    Validate(usize),
    Reject(usize),
    Message,
    Retry,
    /// The check of the work itself ends.
    CheckWork {
        passed: bool,
    },
    Merge {
        stale_version: bool,
        onto: u8,
    },
    QueueMerge,
    CancelMerge,
    /// A candidate on the base that the work began from, or on one that has moved.
    MakeCandidate {
        onto: u8,
    },
    /// Its check ends.
    CheckCandidate {
        passed: bool,
    },
    Land,
    StopMerge,
    Abort,
    FinishAbort,
    Restore,
    MoveHead(u8),
    ClearPlace,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Place),
        3 => Just(Step::Start),
        1 => Just(Step::FailToStart),
        3 => any::<bool>().prop_map(Step::End),
        3 => (0..3_u8, any::<bool>()).prop_map(|(n, checks)| Step::Settle(n, checks)),
        2 => (0..3_u8).prop_map(Step::Check),
        1 => (0..3_u8, any::<bool>()).prop_map(|(n, checks)| Step::SeeHead(n, checks)),
        3 => any::<bool>().prop_map(Step::EndChecks),
        3 => (0..2_u8).prop_map(Step::Attach),
        3 => (0..4_usize).prop_map(Step::Validate),
        1 => (0..4_usize).prop_map(Step::Reject),
        1 => Just(Step::Message),
        1 => Just(Step::Retry),
        3 => any::<bool>().prop_map(|passed| Step::CheckWork { passed }),
        3 => (any::<bool>(), 200..202_u8)
            .prop_map(|(stale_version, onto)| Step::Merge { stale_version, onto }),
        2 => Just(Step::QueueMerge),
        1 => Just(Step::CancelMerge),
        3 => (200..202_u8).prop_map(|onto| Step::MakeCandidate { onto }),
        3 => any::<bool>().prop_map(|passed| Step::CheckCandidate { passed }),
        2 => Just(Step::Land),
        1 => Just(Step::StopMerge),
        1 => Just(Step::Abort),
        1 => Just(Step::FinishAbort),
        1 => Just(Step::Restore),
        1 => (0..3_u8).prop_map(Step::MoveHead),
        1 => Just(Step::ClearPlace),
    ];
    prop::collection::vec(step, 0..60)
}

/// To a run at rest whose review is validated, so that more histories come to a merge.
fn all_but_the_checks() -> Vec<Step> {
    vec![
        Step::Place,
        Step::Start,
        Step::End(true),
        Step::Settle(0, false),
        Step::Attach(0),
        Step::Validate(0),
        Step::CheckWork { passed: true },
    ]
}

fn commit(n: u8) -> CommitId {
    format!("{n:040x}").parse().unwrap()
}

fn head(n: u8) -> Head {
    Head {
        commit: commit(n),
        tree: format!("{:040x}", u64::from(n) + 1000).parse().unwrap(),
    }
}

/// The merge of this work: on the base that it began from its tree is the work's own.
fn candidate(work: u8, onto: u8) -> Head {
    let tree = if onto == 200 { work } else { 50 + work };
    Head {
        commit: commit(100 + 10 * work + (onto - 200)),
        tree: head(tree).tree,
    }
}

fn number(commit: &CommitId) -> u8 {
    u8::from_str_radix(&commit.as_str()[32..], 16).unwrap()
}

fn new_run() -> Run {
    let spec = Spec {
        workflow: "prompt".to_owned(),
        mode: "prompt".to_owned(),
        issue_id: None,
        card_id: None,
        kanban_app: None,
        prompt: None,
        full_prompt: String::new(),
        agent: AgentKind::Claude,
        stub: None,
        model: None,
        base: "master".to_owned(),
        sparse: Default::default(),
        limits: Limits::default(),
        env: BTreeMap::new(),
        labels: BTreeMap::new(),
        settings: AgentSettings::default(),
    };
    let item = |key: &str, required| Item {
        id: ItemId(Uuid::now_v7()),
        spec: ItemSpec {
            key: key.to_owned(),
            title: key.to_owned(),
            required,
            accepts: vec![EvidenceKind::Text],
            ..ItemSpec::of("", "")
        },
    };
    let mut tests = item("tests", true);
    tests.spec.validator = Validator::Check;
    tests.spec.check = Some(CheckSpec::of("cargo test"));
    let created = Event::Created {
        spec,
        branch: "auto/x-00000000".to_owned(),
        worktree_path: "/w/x".to_owned(),
        items: vec![item("review", true), item("note", false), tests],
    };
    let run = begin(RunId(Uuid::now_v7()), Timestamp::UNIX_EPOCH, &created).unwrap();
    let queued = Event::AttemptQueued {
        attempt: AttemptId(Uuid::now_v7()),
        why: AttemptKind::First,
    };
    apply(run, Timestamp::UNIX_EPOCH, &queued).unwrap()
}

fn evidence(run: &Run, item: u8) -> Evidence {
    Evidence {
        id: EvidenceId(Uuid::now_v7()),
        item_id: run.items[usize::from(item)].id,
        payload: Payload::Text {
            text: "seen".to_owned(),
        },
        head: run.head.clone().unwrap_or_else(|| head(0)),
        base_commit: commit(0),
        onto: None,
        check: None,
        candidate_of: None,
        carried_to: Vec::new(),
        author_name: None,
        sha256: String::new(),
        size: 4,
        author: Author::Operator,
        created_at: Timestamp::UNIX_EPOCH,
        verdict: Verdict::Open,
    }
}

fn round(run: &Run, n: u8) -> Round {
    Round {
        id: RoundId(Uuid::now_v7()),
        head: head(n),
        items: vec![run.items[0].id],
        why: RoundWhy::Asked,
        afresh: false,
    }
}

fn ask_gate(run: &Run, onto: u8) -> Option<Permit> {
    gate::ask(&Facts {
        status: run.status_for_gate(),
        accidental_stub: false,
        head: run.head.as_ref(),
        onto: Some(&commit(onto)),
        contained: false,
        items: &run.items,
        evidence: &run.evidence,
        changed: None,
    })
    .ok()
}

fn gate_of(run: &Run) -> bool {
    ask_gate(run, 200).is_some()
}

/// The check of `tests` ends on this tree.
fn checked(run: &Run, on: Head, candidate_of: Option<CommitId>, passed: bool) -> Vec<Event> {
    let evidence = Evidence {
        payload: Payload::Text {
            text: "log".to_owned(),
        },
        head: on,
        check: Some(CheckRecord {
            key: String::new(),
            cmd: "cargo test".to_owned(),
            end: End::Exited {
                code: i32::from(!passed),
            },
            failed: (!passed).then(|| Failed {
                code: FailedCode::ExitCode,
                detail: String::new(),
            }),
            duration_ms: 1,
            counts: None,
            environment: String::new(),
            tools: BTreeMap::new(),
            own_network: false,
            cached_from: None,
            on_base: None,
        }),
        candidate_of,
        author: Author::Check,
        ..evidence(run, 2)
    };
    let (id, by) = (evidence.id, "check".to_owned());
    let verdict = if passed {
        Event::EvidenceValidated {
            evidence: id,
            by,
            overrides: None,
        }
    } else {
        Event::EvidenceRejected {
            evidence: id,
            by,
            reason: "exit_code".to_owned(),
        }
    };
    vec![Event::EvidenceAttached { evidence }, verdict]
}

/// The candidate that would land on this base: the one on record, or a new one; nothing if the base or the work moved on
/// from the one on record.
fn landing(run: &Run, onto: u8) -> Option<Head> {
    let work = run.head.as_ref()?;
    match &run.phase {
        Phase::MergeQueued { candidate, .. } => {
            let round = candidate.as_ref()?;
            let same = round.onto == commit(onto) && round.head == work.commit;
            same.then(|| round.candidate.clone())
        }
        _ => Some(candidate(number(&work.commit), onto)),
    }
}

/// What this step comes to: events, as the driver or `decide` would give them.
fn events(run: &Run, step: &Step) -> Vec<Event> {
    let asked = |command: &Command| match decide(run, command) {
        Decision::Do(events) => events,
        Decision::Already | Decision::No(_) => Vec::new(),
    };
    let attempt = run.attempts.last().unwrap().id;
    let some_evidence = |n: usize| {
        run.evidence
            .get(n)
            .map_or(EvidenceId(Uuid::nil()), |e| e.id)
    };
    match step {
        Step::Place => vec![
            Event::Placing {
                base_commit: commit(0),
            },
            Event::Placed,
        ],
        Step::Start => vec![
            Event::AttemptStarting {
                attempt,
                session_id: None,
                output_from: 0,
            },
            Event::AttemptStarted {
                attempt,
                process: AgentProcess {
                    pid: 1,
                    boot_id: String::new(),
                    start_time: 1,
                },
                notices: Vec::new(),
            },
        ],
        Step::FailToStart => vec![Event::StartFailed {
            failure: Failure::new(FailureCode::SpawnFailed, ""),
        }],
        Step::End(well) => vec![Event::AttemptEnded {
            attempt,
            end: AttemptEnd {
                exit: Exit::Code(0),
                ended_by: EndedBy::Itself,
                outcome: if *well {
                    Outcome::Finished
                } else {
                    Outcome::Failed(Failure::new(FailureCode::Unknown, ""))
                },
                session_id: Some("s".to_owned()),
                model: None,
                usage: None,
                session_cost_usd: None,
                cost_usd: None,
                turns: None,
                output_to: 0,
                notices: Vec::new(),
            },
        }],
        Step::Settle(n, checks) => {
            let settled = Event::Settled {
                carries: None,
                head: head(*n),
                leftovers: false,
                checks: *checks,
            };
            let started = checks.then(|| Event::ChecksStarted {
                round: round(run, *n),
            });
            [Some(settled), started].into_iter().flatten().collect()
        }
        Step::Check(n) => asked(&Command::Check {
            round: round(run, *n),
            carries: None,
        }),
        Step::SeeHead(n, checks) => asked(&Command::SeeHead {
            head: head(*n),
            carries: None,
            defined: Vec::new(),
            round: checks.then(|| round(run, *n)),
        }),
        Step::EndChecks(goes_on) => {
            let ended = Event::ChecksEnded {
                cut_short: None,
                goes_on: *goes_on,
            };
            let feedback = goes_on.then(|| Event::AttemptQueued {
                attempt: AttemptId(Uuid::now_v7()),
                why: AttemptKind::Feedback {
                    text: String::new(),
                    items: vec![run.items[0].id],
                },
            });
            [Some(ended), feedback].into_iter().flatten().collect()
        }
        Step::MoveHead(n) => vec![Event::HeadMoved {
            head: head(*n),
            carries: None,
        }],
        Step::Attach(item) => asked(&Command::Attach {
            evidence: evidence(run, *item),
            new_item: None,
        }),
        Step::Validate(n) => asked(&Command::Validate {
            evidence: some_evidence(*n),
            by: "somebody".to_owned(),
            overrides: None,
            head: run.head.clone(),
        }),
        Step::Reject(n) => asked(&Command::Reject {
            evidence: some_evidence(*n),
            by: "somebody".to_owned(),
            reason: "no".to_owned(),
        }),
        Step::Message => asked(&Command::Message {
            attempt: AttemptId(Uuid::now_v7()),
            text: "more".to_owned(),
        }),
        Step::Retry => asked(&Command::Retry {
            attempt: AttemptId(Uuid::now_v7()),
        }),
        Step::CheckWork { passed } => match (&run.phase, &run.head) {
            (Phase::AtRest { .. }, Some(work)) => checked(run, work.clone(), None, *passed),
            _ => Vec::new(),
        },
        Step::QueueMerge => asked(&Command::QueueMerge { message: None }),
        Step::CancelMerge => asked(&Command::CancelMerge { why: String::new() }),
        Step::MakeCandidate { onto } => match &run.head {
            Some(work) => vec![Event::CandidateMade {
                candidate: CandidateRound {
                    id: RoundId(Uuid::now_v7()),
                    onto: commit(*onto),
                    head: work.commit.clone(),
                    candidate: candidate(number(&work.commit), *onto),
                    items: vec![run.items[2].id],
                },
            }],
            None => Vec::new(),
        },
        Step::CheckCandidate { passed } => match &run.phase {
            Phase::MergeQueued {
                candidate: Some(round),
                ..
            } => {
                let of = Some(round.head.clone());
                checked(run, round.candidate.clone(), of, *passed)
            }
            _ => Vec::new(),
        },
        Step::Merge {
            stale_version,
            onto,
        } => {
            let (Some(permit), Some(candidate)) = (ask_gate(run, *onto), landing(run, *onto))
            else {
                return Vec::new();
            };
            let proof = Proof {
                items: &run.items,
                evidence: &run.evidence,
                changed: &[],
            };
            let Ok(cleared) = gate::clear(permit, candidate, &proof) else {
                return Vec::new();
            };
            let events = asked(&Command::Merge {
                onto: cleared.onto().clone(),
                head: cleared.head().commit.clone(),
                candidate: cleared.candidate().commit.clone(),
                version: run.version - u64::from(*stale_version),
            });
            assert!(
                !stale_version || events.is_empty(),
                "a merge was decided on an older version of the run"
            );
            events
        }
        Step::Land => vec![Event::Merged {
            commit: match &run.phase {
                Phase::Merging { candidate, .. } => candidate.clone(),
                _ => commit(201),
            },
        }],
        Step::StopMerge => vec![Event::MergeStopped {
            code: "base_moved".to_owned(),
            detail: String::new(),
        }],
        Step::Abort => asked(&Command::Abort),
        Step::FinishAbort => vec![Event::Aborted {
            preserved: None,
            missed: Vec::new(),
            preserving: false,
        }],
        Step::Restore => asked(&Command::Restore),
        Step::ClearPlace => vec![Event::PlaceRemoved {
            branch_deleted: true,
        }],
    }
}

/// Whether somebody else than the gate or git decides on this step: what `decide` allows, `apply` must take.
fn is_asked(step: &Step) -> bool {
    matches!(
        step,
        Step::Attach(_)
            | Step::Validate(_)
            | Step::Reject(_)
            | Step::Message
            | Step::Retry
            | Step::Check(_)
            | Step::SeeHead(..)
            | Step::Merge { .. }
            | Step::QueueMerge
            | Step::CancelMerge
            | Step::Abort
            | Step::Restore
    )
}

proptest! {
    #[test]
    fn what_must_always_hold_holds_in_every_history(ready in any::<bool>(), steps in steps()) {
        let mut run = new_run();
        let first = if ready { all_but_the_checks() } else { Vec::new() };
        for step in first.into_iter().chain(steps) {
            let before = run.clone();
            let wanted = events(&run, &step);
            let mut taken = 0;
            for event in &wanted {
                match apply(run.clone(), Timestamp::UNIX_EPOCH, event) {
                    Ok(next) => { run = next; taken += 1; }
                    Err(_) => break,
                }
            }
            if is_asked(&step) {
                prop_assert_eq!(taken, wanted.len(), "decided, and then illegal: {:?} in {:?}", step, before.phase);
            }
            // Terminal states never change; an abort is undone by one step alone.
            if let Phase::Merged { .. } = before.phase {
                prop_assert_eq!(&run.phase, &before.phase);
                prop_assert_eq!(&run.evidence, &before.evidence);
            }
            if let Phase::Aborted { .. } = before.phase {
                prop_assert!(run.phase == before.phase || matches!(step, Step::Restore));
            }
            // What lands was let through by the gate in the very state in which the landing began.
            if matches!(run.phase, Phase::Merging { .. }) && !matches!(before.phase, Phase::Merging { .. }) {
                prop_assert!(gate_of(&before));
                let required = &before.items[0];
                let proven = before.evidence.iter().any(|e| {
                    e.item_id == required.id
                        && matches!(e.verdict, Verdict::Validated { .. })
                        && Some(&e.head.tree) == before.head.as_ref().map(|h| &h.tree)
                });
                prop_assert!(proven);
                // And the newest word of the check on the very tree that lands is that it passes.
                let Phase::Merging { onto, candidate: lands, .. } = &run.phase else { unreachable!() };
                let work = number(&before.head.as_ref().unwrap().commit);
                let made = candidate(work, number(onto));
                prop_assert_eq!(lands, &made.commit);
                let of_tree = |e: &&Evidence| e.check.is_some() && e.head.tree == made.tree;
                let newest = before.evidence.iter().rfind(of_tree);
                let passed = newest.is_some_and(|e| matches!(e.verdict, Verdict::Validated { .. }));
                prop_assert!(passed);
            }
            // While it lands, what the gate was asked about stands still.
            if matches!(before.phase, Phase::Merging { .. }) && matches!(run.phase, Phase::Merging { .. }) {
                prop_assert_eq!(&run.evidence, &before.evidence);
                prop_assert_eq!(&run.head, &before.head);
            }
            if let (Phase::Merged { .. }, false) = (&run.phase, matches!(before.phase, Phase::Merged { .. })) {
                let was_landing = matches!(before.phase, Phase::Merging { .. });
                prop_assert!(was_landing);
            }
            // While checks run, nothing else begins, and after them the outcome is what it was.
            if let Phase::Checking { outcome, round: Some(round) } = &before.phase
                && let Phase::AtRest { outcome: after } = &run.phase
            {
                prop_assert_eq!(outcome, after);
                prop_assert!(run.evidence_before_round <= run.evidence.len());
                prop_assert!(!round.items.is_empty());
            }
            prop_assert!(run.version >= before.version);
        }
    }
}
