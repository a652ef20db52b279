//! What can happen next, and what comes of it.

use agent_runner_api::run::event::{AgentProcess, AttemptEnd};
use agent_runner_api::run::state::AttemptStage;
use agent_runner_api::run::{
    AttemptId, CandidateRound, Command, Decision, EndedBy, Event, EvidenceId, Exit, Failure,
    FailureCode, Outcome, Phase, RoundId, decide,
};
use uuid::Uuid;

use super::world::{Agent, State, candidate, checked, commit, head, number, words};

/// The model, and what is taken out of it to see that it would be missed.
#[derive(Debug, Clone, Default)]
pub struct Life {
    pub without: Option<Taken>,
}

/// A protection that can be taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// A merge is decided on the version of the run that the gate was asked about.
    Version,
    /// After a crash in a merge git alone says whether it has happened.
    LookAtGit,
    /// What is decided is looked up in the state as it is, also for an abort.
    Decision,
    /// An abort ends the agent before it says that it has.
    EndAgent,
    /// Only a candidate that is cleared lands.
    Clear,
}

impl Taken {
    /// Each with the property that finds it out.
    pub const ALL: [(Taken, &'static str); 5] = [
        (
            Taken::Version,
            "merged only with an open gate at that very head",
        ),
        (
            Taken::LookAtGit,
            "what says merged is in the base, and only that",
        ),
        (Taken::Decision, "what is decided can follow"),
        (Taken::EndAgent, "no agent works for a run that is over"),
        (Taken::Clear, "what landed was checked on its very tree"),
    ];
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    // The driver.
    Place,
    StartAgent,
    TellStarted,
    FailToStart,
    TellEnd,
    Settle,
    AskGate,
    TakeTurn,
    MakeCandidate,
    CheckCandidate { passed: bool },
    BeginMerge,
    MoveBase,
    TellMerged,
    StopMerge,
    FinishAbort,
    ClearPlace,
    // Clients.
    QueueMerge,
    CancelMerge,
    Attach,
    Validate(u8),
    Reject(u8),
    Retry,
    Abort,
    Restore,
    // The world.
    EndAgent { well: bool },
    Commit,
    CommitOnBase,
    Crash,
    StartService,
}

impl Step {
    pub const ALL: [Step; 33] = [
        Step::Place,
        Step::StartAgent,
        Step::TellStarted,
        Step::FailToStart,
        Step::TellEnd,
        Step::Settle,
        Step::AskGate,
        Step::TakeTurn,
        Step::MakeCandidate,
        Step::CheckCandidate { passed: true },
        Step::CheckCandidate { passed: false },
        Step::QueueMerge,
        Step::CancelMerge,
        Step::BeginMerge,
        Step::MoveBase,
        Step::TellMerged,
        Step::StopMerge,
        Step::FinishAbort,
        Step::ClearPlace,
        Step::Attach,
        Step::Validate(0),
        Step::Validate(1),
        Step::Reject(0),
        Step::Reject(1),
        Step::Retry,
        Step::Abort,
        Step::Restore,
        Step::EndAgent { well: true },
        Step::EndAgent { well: false },
        Step::Commit,
        Step::CommitOnBase,
        Step::Crash,
        Step::StartService,
    ];

    /// Whether it happens without anybody asking for it, and is no misfortune.
    pub fn is_by_itself(self) -> bool {
        !matches!(
            self,
            Step::AskGate
                | Step::Attach
                | Step::Validate(_)
                | Step::Reject(_)
                | Step::Retry
                | Step::Abort
                | Step::Restore
                | Step::Commit
                | Step::CommitOnBase
                | Step::Crash
        )
    }

    pub fn can_happen(self, state: &State) -> bool {
        let phase = &state.run.phase;
        let of_the_world = matches!(
            self,
            Step::EndAgent { .. } | Step::Commit | Step::CommitOnBase | Step::StartService
        );
        if !state.up && !of_the_world {
            return false;
        }
        let waits = matches!(phase, Phase::MergeQueued { .. });
        let stage = state.run.attempt().map(|attempt| &attempt.stage);
        match self {
            Step::Place => matches!(phase, Phase::Queued) && stage == Some(&AttemptStage::Waiting),
            Step::StartAgent | Step::FailToStart => {
                matches!(phase, Phase::Preparing) && state.agent == Agent::No
            }
            Step::TellStarted => matches!(phase, Phase::Preparing) && state.agent != Agent::No,
            Step::TellEnd => {
                matches!(phase, Phase::Running) && matches!(state.agent, Agent::Ended { .. })
            }
            Step::Settle => matches!(phase, Phase::Checking { .. }),
            Step::AskGate => state.permitted.is_none() && !waits,
            Step::TakeTurn => state.permitted.is_none() && waits,
            Step::MakeCandidate => waits && state.needs_candidate(),
            Step::CheckCandidate { .. } => waits && state.can_check(),
            Step::QueueMerge => {
                let cleared = state.permitted.as_ref().map(|p| p.cleared);
                cleared == Some(false) && state.can_wait()
            }
            // Also what the driver does if the gate is shut, or a check has failed or could not be run.
            Step::CancelMerge => waits,
            Step::BeginMerge => state.permitted.is_some(),
            Step::MoveBase => match phase {
                Phase::Merging { onto, .. } => {
                    state.landed.is_none() && number(onto) == 50 + state.base
                }
                _ => false,
            },
            Step::TellMerged => matches!(phase, Phase::Merging { .. }),
            Step::StopMerge => match phase {
                Phase::Merging { onto, .. } => {
                    state.landed.is_none() && number(onto) != 50 + state.base
                }
                _ => false,
            },
            Step::FinishAbort => matches!(phase, Phase::Aborting { .. }),
            Step::ClearPlace => matches!(phase, Phase::Merged { .. }) && state.run.placed,
            Step::Attach => state.can_attach() && state.branch.is_some(),
            Step::Validate(n) | Step::Reject(n) => usize::from(n) < state.words(),
            Step::Retry => state.can_try_again(),
            Step::Restore => !state.was_checked(),
            Step::Abort | Step::Crash => true,
            Step::EndAgent { .. } => state.agent_works(),
            Step::Commit => state.can_commit(),
            Step::CommitOnBase => state.can_move_base(),
            Step::StartService => !state.up,
        }
    }

    pub fn happen(self, state: &State, life: &Life) -> Option<State> {
        let mut next = state.clone();
        match self {
            Step::EndAgent { well } => next.agent = Agent::Ended { well },
            Step::Commit => {
                next.commits += 1;
                next.branch = Some(next.commits);
            }
            Step::CommitOnBase => next.base += 1,
            Step::Crash => {
                next.up = false;
                next.permitted = None;
                next.made = false;
            }
            Step::StartService => {
                next.up = true;
                // Whatever the base has, if the look at git is taken out.
                if life.without == Some(Taken::LookAtGit)
                    && matches!(next.run.phase, Phase::Merging { .. })
                {
                    next.record(&stopped());
                }
            }
            Step::Attach
            | Step::Validate(_)
            | Step::Reject(_)
            | Step::Retry
            | Step::Abort
            | Step::Restore
            | Step::QueueMerge
            | Step::CancelMerge
            | Step::BeginMerge => self.ask(&mut next, life),
            _ => self.drive(&mut next, life),
        }
        (next != *state).then_some(next)
    }

    /// A request, decided by the product and recorded if it says so.
    fn ask(self, next: &mut State, life: &Life) {
        let evidence = |n: u8| EvidenceId(Uuid::from_u128(100 + u128::from(n)));
        let now = next.branch.map(head);
        let by = "somebody".to_owned();
        let command = match self {
            Step::Attach => Command::Attach {
                evidence: words(next, now.clone().unwrap_or_else(|| head(0))),
                new_item: None,
            },
            Step::Validate(n) => Command::Validate {
                overrides: None,
                evidence: evidence(n),
                by,
                head: now,
            },
            Step::Reject(n) => Command::Reject {
                evidence: evidence(n),
                by,
                reason: "no".to_owned(),
            },
            Step::Retry => Command::Retry {
                attempt: AttemptId(Uuid::from_u128(11)),
            },
            Step::Restore => Command::Restore,
            Step::QueueMerge => {
                next.permitted = None;
                Command::QueueMerge { message: None }
            }
            Step::CancelMerge => {
                next.permitted = None;
                Command::CancelMerge { why: String::new() }
            }
            Step::BeginMerge => {
                let Some(permitted) = next.permitted.take() else {
                    return;
                };
                if !permitted.cleared && life.without != Some(Taken::Clear) {
                    return;
                }
                let age = if life.without == Some(Taken::Version) {
                    0
                } else {
                    permitted.age
                };
                Command::Merge {
                    onto: commit(50 + permitted.onto),
                    head: commit(permitted.head),
                    candidate: candidate(permitted.head, permitted.onto).commit,
                    version: next.run.version - age,
                }
            }
            _ => Command::Abort,
        };
        if life.without == Some(Taken::Decision) && self == Step::Abort {
            next.record(&Event::AbortStarted);
            return;
        }
        if let Decision::Do(events) = decide(&next.run, &command) {
            for event in &events {
                next.record(event);
            }
            if self == Step::Restore {
                next.branch = Some(next.commits);
            }
        }
    }

    /// A step of the driver: an effect, or what it tells the journal.
    fn drive(self, next: &mut State, life: &Life) {
        let attempt = next.run.attempt().map(|attempt| attempt.id);
        let attempt = attempt.expect("a run has an attempt");
        match self {
            Step::Place => {
                next.record(&Event::Placing {
                    base_commit: commit(50 + next.base),
                });
                next.record(&Event::Placed);
                next.record(&Event::AttemptStarting {
                    attempt,
                    session_id: None,
                    output_from: 0,
                });
                next.branch = next.branch.or(Some(next.commits));
                next.agent = Agent::No;
            }
            Step::StartAgent => next.agent = Agent::Works,
            Step::TellStarted => next.record(&Event::AttemptStarted {
                attempt,
                process: AgentProcess {
                    pid: 1,
                    boot_id: String::new(),
                    start_time: 1,
                },
                notices: Vec::new(),
            }),
            Step::FailToStart => next.record(&Event::StartFailed {
                failure: Failure::new(FailureCode::SpawnFailed, ""),
            }),
            Step::TellEnd => {
                let well = next.agent == Agent::Ended { well: true };
                next.record(&ended(attempt, well));
            }
            Step::Settle => {
                let at = next.branch.unwrap_or(next.commits);
                next.record(&Event::Settled {
                    carries: None,
                    head: head(at),
                    leftovers: false,
                    checks: false,
                });
            }
            Step::AskGate | Step::TakeTurn => next.permitted = next.asked_gate(),
            Step::MakeCandidate => {
                if let Some(permitted) = next.permitted.take() {
                    next.record(&Event::CandidateMade {
                        candidate: CandidateRound {
                            id: RoundId(Uuid::from_u128(20)),
                            onto: commit(50 + permitted.onto),
                            head: commit(permitted.head),
                            candidate: candidate(permitted.head, permitted.onto),
                            items: vec![next.run.items[1].id],
                        },
                    });
                    next.made = true;
                }
            }
            Step::CheckCandidate { passed } => {
                if let Phase::MergeQueued {
                    candidate: Some(round),
                    ..
                } = &next.run.phase
                {
                    let work = Some(round.head.clone());
                    let evidence = checked(next, round.candidate.clone(), work, passed);
                    next.record(&Event::EvidenceAttached { evidence });
                }
            }
            Step::MoveBase => {
                if let Phase::Merging { head, onto, .. } = &next.run.phase {
                    next.landed = Some((number(head), number(onto) - 50));
                }
            }
            Step::TellMerged => {
                if let (Phase::Merging { candidate, .. }, Some(_)) = (&next.run.phase, next.landed)
                {
                    let commit = candidate.clone();
                    next.record(&Event::Merged { commit });
                }
            }
            Step::StopMerge => next.record(&stopped()),
            Step::FinishAbort => {
                if life.without != Some(Taken::EndAgent) {
                    next.agent = Agent::No;
                }
                next.branch = None;
                next.record(&Event::Aborted {
                    preserved: None,
                    missed: Vec::new(),
                    preserving: false,
                });
            }
            _ => {
                next.branch = None;
                next.record(&Event::PlaceRemoved {
                    branch_deleted: true,
                });
            }
        }
    }
}

fn stopped() -> Event {
    Event::MergeStopped {
        code: "base_moved".to_owned(),
        detail: String::new(),
    }
}

fn ended(attempt: AttemptId, well: bool) -> Event {
    Event::AttemptEnded {
        attempt,
        end: AttemptEnd {
            exit: Exit::Code(i32::from(!well)),
            ended_by: EndedBy::Itself,
            outcome: if well {
                Outcome::Finished
            } else {
                Outcome::Failed(Failure::new(FailureCode::ExitCode, ""))
            },
            session_id: None,
            model: None,
            usage: None,
            session_cost_usd: None,
            cost_usd: None,
            turns: None,
            output_to: 0,
            notices: Vec::new(),
        },
    }
}
