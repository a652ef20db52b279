//! A state of the model: the run as the journal tells it, and the world around it.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use agent_runner_api::dod::check::{CheckRecord, CheckSpec, End, Failed, FailedCode};
use agent_runner_api::dod::{
    Author, Evidence, EvidenceKind, Head, Item, ItemSpec, Payload, Validator, Verdict,
};
use agent_runner_api::gate::{self, Facts, Proof};
use agent_runner_api::run::event::AttemptKind;
use agent_runner_api::run::{
    AgentKind, AgentSettings, AttemptId, CommitId, Event, ItemId, Limits, Outcome, Phase, Run,
    RunId, Spec, apply, begin,
};
use jiff::Timestamp;
use uuid::Uuid;

/// How much the world may do, so that there is an end of states.
const MOST_COMMITS: u8 = 1;
const MOST_EVIDENCE: usize = 2;
const MOST_ATTEMPTS: usize = 2;
/// Commits of somebody else on the base.
const MOST_MOVES: u8 = 1;
/// Checks of candidates.
const MOST_CHECKS: usize = 1;

/// What an agent is doing, whether the journal knows it or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Agent {
    No,
    Works,
    Ended { well: bool },
}

/// What the gate let through and nobody has acted on yet. A crash forgets it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Permitted {
    pub head: u8,
    pub onto: u8,
    /// How many events have come since.
    pub age: u64,
    /// Whether the candidate was cleared as well.
    pub cleared: bool,
}

#[derive(Debug, Clone)]
pub struct State {
    /// As the journal tells it.
    pub run: Arc<Run>,
    /// Whether the service lives.
    pub up: bool,
    pub agent: Agent,
    /// The tip of the branch; nothing while there is none.
    pub branch: Option<u8>,
    /// How many commits there were on the branch.
    pub commits: u8,
    /// Where the base would be without this run.
    pub base: u8,
    /// The head that the base has, and where it was before.
    pub landed: Option<(u8, u8)>,
    /// Whether the candidate on record was made in this life of the service.
    pub made: bool,
    pub permitted: Option<Permitted>,
    /// Whether it has ever said so.
    pub was_merged: bool,
    pub was_aborted: bool,
    /// Whether an event was decided that cannot follow.
    pub illegal: bool,
}

pub fn commit(n: u8) -> CommitId {
    format!("{n:040x}").parse().unwrap()
}

/// The number of the commit.
pub fn number(commit: &CommitId) -> u8 {
    u8::from_str_radix(&commit.as_str()[32..], 16).unwrap()
}

pub fn head(n: u8) -> Head {
    Head {
        commit: commit(n),
        tree: format!("{:040x}", u64::from(n) + 1000).parse().unwrap(),
    }
}

/// The merge commit of this head on this base. Its tree is that of the work for the first head on the first base alone.
pub fn candidate(work: u8, onto: u8) -> Head {
    let n = 100 + 10 * work + onto;
    Head {
        commit: commit(n),
        tree: head(if (work, onto) == (0, 0) { work } else { n }).tree,
    }
}

fn spec() -> Spec {
    Spec {
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
        env: std::collections::BTreeMap::new(),
        labels: std::collections::BTreeMap::new(),
        settings: AgentSettings::default(),
    }
}

impl State {
    pub fn new() -> State {
        let review = Item {
            id: ItemId(Uuid::from_u128(1)),
            spec: ItemSpec {
                accepts: vec![EvidenceKind::Text],
                ..ItemSpec::of("review", "review")
            },
        };
        let tests = Item {
            id: ItemId(Uuid::from_u128(3)),
            spec: ItemSpec {
                key: "tests".to_owned(),
                validator: Validator::Check,
                check: Some(CheckSpec::of("cargo test")),
                ..review.spec.clone()
            },
        };
        let created = Event::Created {
            spec: spec(),
            branch: "auto/x".to_owned(),
            worktree_path: "/x".to_owned(),
            items: vec![review, tests],
        };
        let run = begin(RunId(Uuid::from_u128(2)), Timestamp::UNIX_EPOCH, &created).unwrap();
        let queued = Event::AttemptQueued {
            attempt: AttemptId(Uuid::from_u128(10)),
            why: AttemptKind::First,
        };
        State {
            run: Arc::new(apply(run, Timestamp::UNIX_EPOCH, &queued).unwrap()),
            up: true,
            agent: Agent::No,
            branch: None,
            commits: 0,
            base: 0,
            landed: None,
            made: false,
            permitted: None,
            was_merged: false,
            was_aborted: false,
            illegal: false,
        }
    }

    /// Puts this into the journal.
    pub fn record(&mut self, event: &Event) {
        match apply(Run::clone(&self.run), Timestamp::UNIX_EPOCH, event) {
            Ok(run) => self.run = Arc::new(run),
            Err(_) => self.illegal = true,
        }
        if let Some(permitted) = &mut self.permitted {
            permitted.age += 1;
        }
        self.was_merged |= matches!(self.run.phase, Phase::Merged { .. });
        self.was_aborted |= matches!(self.run.phase, Phase::Aborted { .. });
    }

    pub fn agent_works(&self) -> bool {
        self.agent == Agent::Works
    }

    /// Whether the gate would let this through now.
    pub fn asked_gate(&self) -> Option<Permitted> {
        let head = self.branch.map(head);
        let status = match self.run.phase {
            // Its turn has come.
            Phase::MergeQueued { .. } => self.run.status_for_gate(),
            _ => self.run.status(),
        };
        let permit = gate::ask(&Facts {
            status,
            accidental_stub: false,
            head: head.as_ref(),
            onto: Some(&commit(50 + self.base)),
            contained: self.landed.is_some(),
            // The checks of the work itself have always passed in this model.
            items: &self.run.items[..1],
            evidence: &self.run.evidence,
            changed: None,
        })
        .ok()?;
        let work = number(&permit.head().commit);
        let cleared = self.candidate_now(work).is_some_and(|candidate| {
            let mut evidence = self.run.evidence.clone();
            evidence.insert(0, checked(self, permit.head().clone(), None, true));
            let proof = Proof {
                items: &self.run.items[1..],
                evidence: &evidence,
                changed: &[],
            };
            gate::clear(permit, candidate, &proof).is_ok()
        });
        Some(Permitted {
            head: work,
            onto: self.base,
            age: 0,
            cleared,
        })
    }

    /// The candidate that could land now: of a run that waits the one on record, if nothing has moved since it was made.
    fn candidate_now(&self, work: u8) -> Option<Head> {
        let now = candidate(work, self.base);
        match &self.run.phase {
            Phase::MergeQueued { candidate, .. } => {
                let on_record = candidate.as_ref().map(|round| &round.candidate);
                (self.made && on_record == Some(&now)).then_some(now)
            }
            _ => Some(now),
        }
    }

    /// Whether a new candidate would be another one.
    pub fn needs_candidate(&self) -> bool {
        let work = self.permitted.as_ref().map(|permitted| permitted.head);
        work.is_some_and(|work| self.candidate_now(work).is_none())
    }

    pub fn can_check(&self) -> bool {
        let Phase::MergeQueued {
            candidate: Some(round),
            ..
        } = &self.run.phase
        else {
            return false;
        };
        let checks = || self.run.evidence.iter().filter(|e| e.check.is_some());
        let known = checks().any(|e| e.head.tree == round.candidate.tree);
        self.made && !known && checks().count() < MOST_CHECKS
    }

    /// Whether the newest word on the tree of this merge is that its check has passed.
    pub fn is_checked(&self, work: u8, onto: u8) -> bool {
        let merge = candidate(work, onto);
        let of_tree = |e: &&Evidence| e.check.is_some() && e.head.tree == merge.tree;
        let newest = self.run.evidence.iter().rfind(of_tree);
        merge.tree == head(work).tree
            || newest.is_some_and(|e| matches!(e.verdict, Verdict::Validated { .. }))
    }

    /// Whether the required item has validated evidence of this very work.
    pub fn is_proven(&self, at: u8) -> bool {
        let counts =
            |e: &Evidence| e.head == head(at) && matches!(e.verdict, Verdict::Validated { .. });
        self.run.evidence.iter().any(counts)
    }

    pub fn can_commit(&self) -> bool {
        self.branch.is_some() && self.commits < MOST_COMMITS
    }

    /// How many words there are as evidence.
    pub fn words(&self) -> usize {
        let words = self.run.evidence.iter().filter(|e| e.check.is_none());
        words.count()
    }

    pub fn can_attach(&self) -> bool {
        self.words() < MOST_EVIDENCE
    }

    pub fn can_try_again(&self) -> bool {
        self.run.attempts.len() < MOST_ATTEMPTS && !self.was_checked()
    }

    /// Whether a candidate was checked.
    pub fn was_checked(&self) -> bool {
        self.run.evidence.iter().any(|e| e.check.is_some())
    }

    /// Whether it may wait for its turn: in its first life, so that there is an end of states.
    pub fn can_wait(&self) -> bool {
        let over = matches!(
            self.run.phase,
            Phase::Aborting { .. } | Phase::Aborted { .. }
        );
        self.run.attempts.len() == 1 && !self.was_aborted && !over
    }

    pub fn can_move_base(&self) -> bool {
        self.base < MOST_MOVES && self.landed.is_none()
    }

    /// Whether no more evidence can be brought in this model, and what is there does not do; or there is nothing to merge.
    pub fn is_used_up(&self) -> bool {
        !self.can_attach()
            || !self.can_commit()
            || self.was_checked()
            || (self.base > 0 && !self.can_wait())
    }

    /// What two states have in common that cannot be told apart by what may come.
    fn key(&self) -> impl Hash + PartialEq + use<> {
        let outcome = |outcome: Option<&Outcome>| match outcome {
            None => 0_u8,
            Some(Outcome::Finished) => 1,
            Some(Outcome::Failed(_)) => 2,
        };
        let phase = match &self.run.phase {
            Phase::Merging {
                onto, candidate, ..
            } => (number(onto), number(candidate)),
            Phase::MergeQueued {
                candidate: Some(round),
                ..
            } => (number(&round.onto), number(&round.candidate.commit)),
            Phase::Merged { commit, .. } => (0, number(commit)),
            _ => (0, 0),
        };
        // In which order words and checks came makes no difference.
        let told = |of_check: bool| {
            let of_kind = move |e: &&Evidence| e.check.is_some() == of_check;
            let evidence = self.run.evidence.iter().filter(of_kind).map(|e| {
                let verdict = match e.verdict {
                    Verdict::Open => 0_u8,
                    Verdict::Validated { .. } => 1,
                    Verdict::Rejected { .. } => 2,
                };
                (number(&e.head.commit), verdict)
            });
            evidence.collect::<Vec<_>>()
        };
        let evidence = (told(false), told(true));
        (
            (
                self.run.phase.word(),
                self.run.status(),
                outcome(self.run.outcome()),
                phase,
                self.run.placed,
                self.run.attempts.len(),
                self.run.head.as_ref().map(|head| number(&head.commit)),
                evidence,
                self.run.base_commit.is_some(),
            ),
            (
                self.up,
                self.agent,
                self.branch,
                self.commits,
                self.base,
                self.landed,
                self.made,
                self.permitted
                    .as_ref()
                    .map(|p| (p.head, p.onto, p.age > 0, p.cleared)),
                self.was_merged,
                self.was_aborted,
                self.illegal,
            ),
            self.run.process().is_some(),
            self.run
                .attempt()
                .map(|attempt| std::mem::discriminant(&attempt.stage)),
        )
    }
}

impl PartialEq for State {
    fn eq(&self, other: &State) -> bool {
        self.key() == other.key()
    }
}

impl Eq for State {}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// Words as evidence for the one item.
pub fn words(state: &State, head: Head) -> Evidence {
    let n = u128::try_from(state.words()).unwrap();
    Evidence {
        id: agent_runner_api::run::EvidenceId(Uuid::from_u128(100 + n)),
        item_id: state.run.items[0].id,
        payload: Payload::Text {
            text: "seen".to_owned(),
        },
        head,
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

/// What the check of `tests` came to on this tree.
pub fn checked(state: &State, on: Head, candidate_of: Option<CommitId>, passed: bool) -> Evidence {
    let at = Timestamp::UNIX_EPOCH;
    let by = "check".to_owned();
    let n = u128::try_from(state.run.evidence.len()).unwrap();
    Evidence {
        id: agent_runner_api::run::EvidenceId(Uuid::from_u128(200 + n)),
        item_id: state.run.items[1].id,
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
            tools: std::collections::BTreeMap::new(),
            own_network: false,
            cached_from: None,
            on_base: None,
        }),
        candidate_of,
        author: Author::Check,
        verdict: if passed {
            Verdict::Validated {
                by,
                at,
                overrides: None,
            }
        } else {
            Verdict::Rejected {
                by,
                at,
                reason: "exit_code".to_owned(),
            }
        },
        ..words(state, on)
    }
}
