//! Random histories: whatever is asked and whatever happens, in any order, what must always hold holds.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

use super::event::{AgentProcess, AttemptEnd, AttemptKind};
use super::{
    AgentKind, AgentSettings, AttemptId, Command, CommitId, Decision, EndedBy, Event, EvidenceId,
    Exit, Failure, FailureCode, ItemId, Limits, Outcome, Phase, Round, RoundId, RoundWhy, Run,
    RunId, Spec, apply, begin, decide,
};
use crate::dod::{Author, Evidence, EvidenceKind, Head, Item, ItemSpec, Payload, Verdict};
use crate::gate::{self, Facts};

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
    Merge { stale_version: bool },
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
        3 => any::<bool>().prop_map(|stale_version| Step::Merge { stale_version }),
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

fn commit(n: u8) -> CommitId {
    format!("{n:040x}").parse().unwrap()
}

fn head(n: u8) -> Head {
    Head {
        commit: commit(n),
        tree: format!("{:040x}", u64::from(n) + 1000).parse().unwrap(),
    }
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
    let created = Event::Created {
        spec,
        branch: "auto/x-00000000".to_owned(),
        worktree_path: "/w/x".to_owned(),
        items: vec![item("review", true), item("note", false)],
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

fn gate_of(run: &Run) -> bool {
    gate::ask(&Facts {
        status: run.status(),
        accidental_stub: false,
        head: run.head.as_ref(),
        onto: Some(&commit(200)),
        contained: false,
        items: &run.items,
        evidence: &run.evidence,
        changed: None,
    })
    .is_ok()
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
        Step::Merge { stale_version } => {
            if !gate_of(run) {
                return Vec::new();
            }
            let events = asked(&Command::Merge {
                onto: commit(200),
                head: run.head.clone().unwrap().commit,
                candidate: commit(201),
                version: run.version - u64::from(*stale_version),
            });
            assert!(
                !stale_version || events.is_empty(),
                "a merge was decided on an older version of the run"
            );
            events
        }
        Step::Land => vec![Event::Merged {
            commit: commit(201),
        }],
        Step::StopMerge => vec![Event::MergeStopped {
            code: "base_moved".to_owned(),
            detail: String::new(),
        }],
        Step::Abort => asked(&Command::Abort),
        Step::FinishAbort => vec![Event::Aborted {
            preserved: None,
            missed: Vec::new(),
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
            | Step::Abort
            | Step::Restore
    )
}

proptest! {
    #[test]
    fn what_must_always_hold_holds_in_every_history(steps in steps()) {
        let mut run = new_run();
        for step in steps {
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
