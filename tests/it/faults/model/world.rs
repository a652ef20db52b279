//! A state of the model: the run as the journal tells it, and the world around it.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use agent_runner_api::dod::{Evidence, EvidenceKind, Head, Item, ItemSpec, Payload, Verdict};
use agent_runner_api::gate::{self, Facts};
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
    /// The head that the base has.
    pub landed: Option<u8>,
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

/// The merge commit of this head on this base.
pub fn candidate(head: u8, onto: u8) -> CommitId {
    commit(100 + 10 * head + onto)
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
        let created = Event::Created {
            spec: spec(),
            branch: "auto/x".to_owned(),
            worktree_path: "/x".to_owned(),
            items: vec![review],
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
        let permit = gate::ask(&Facts {
            status: self.run.status(),
            accidental_stub: false,
            head: head.as_ref(),
            onto: Some(&commit(50 + self.base)),
            contained: self.landed.is_some(),
            items: &self.run.items,
            evidence: &self.run.evidence,
            changed: None,
        })
        .ok()?;
        Some(Permitted {
            head: number(&permit.head().commit),
            onto: self.base,
            age: 0,
        })
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

    pub fn can_attach(&self) -> bool {
        self.run.evidence.len() < MOST_EVIDENCE
    }

    pub fn can_try_again(&self) -> bool {
        self.run.attempts.len() < MOST_ATTEMPTS
    }

    pub fn can_move_base(&self) -> bool {
        self.base < MOST_MOVES && self.landed.is_none()
    }

    /// Whether no more evidence can be brought in this model, and what is there does not do; or there is nothing to merge.
    pub fn is_used_up(&self) -> bool {
        !self.can_attach() || !self.can_commit()
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
            Phase::Merged { commit, .. } => (0, number(commit)),
            _ => (0, 0),
        };
        let evidence = self.run.evidence.iter().map(|e| {
            let verdict = match e.verdict {
                Verdict::Open => 0_u8,
                Verdict::Validated { .. } => 1,
                Verdict::Rejected { .. } => 2,
            };
            (number(&e.head.commit), verdict)
        });
        let evidence: Vec<(u8, u8)> = evidence.collect();
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
                self.permitted.as_ref().map(|p| (p.head, p.onto, p.age > 0)),
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
    let n = u128::try_from(state.run.evidence.len()).unwrap();
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
        author: agent_runner_api::dod::Author::Operator,
        created_at: Timestamp::UNIX_EPOCH,
        verdict: Verdict::Open,
    }
}
