//! How often an agent was told what checks have said of its work, and why it is not told again. Pure.

use serde::{Deserialize, Serialize};

use super::event::AttemptKind;
use super::ids::ItemId;
use super::outcome::Outcome;
use super::spec::AgentKind;
use super::state::Run;

/// The most times that an agent can be told about one item.
pub const MOST: u32 = 100;

/// Why an agent is not told what checks have said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Untold {
    /// It is not to be told at all.
    Off,
    /// The agent keeps no session that could go on.
    NoSession,
    /// It did not end well: what checks say is not what it is to look at first.
    AgentFailed,
    /// It was told about this item as often as it may be.
    Limit,
    /// The run has spent what it may.
    Budget,
}

impl Untold {
    /// Whether there is no more of it: it was sent as often as it may be, or nothing is left to spend.
    #[must_use]
    pub fn is_exhausted(self) -> bool {
        matches!(self, Untold::Limit | Untold::Budget)
    }
}

/// How often the run's agent was told about the check of this item.
#[must_use]
pub fn sent(run: &Run, item: ItemId) -> u32 {
    let told = |why: &AttemptKind| matches!(why, AttemptKind::Feedback { items, .. } if items.contains(&item));
    let count = run.attempts.iter().filter(|a| told(&a.why)).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// How often the run's agent may be told about one item, where `most` is the service's own limit.
#[must_use]
pub fn most(run: &Run, most: u32) -> u32 {
    run.spec.settings.feedback.unwrap_or(most).min(MOST)
}

/// Why the run's agent is not told about a failed check of this item; nothing if it is. `most` is the service's limit.
#[must_use]
pub fn untold(run: &Run, item: ItemId, most: u32) -> Option<Untold> {
    let most = self::most(run, most);
    let spent = run.spec.limits.max_cost_usd;
    if most == 0 {
        Some(Untold::Off)
    } else if run.spec.agent != AgentKind::Claude || run.session_id.is_none() {
        Some(Untold::NoSession)
    } else if !matches!(run.outcome(), Some(Outcome::Finished)) {
        Some(Untold::AgentFailed)
    } else if sent(run, item) >= most {
        Some(Untold::Limit)
    } else if spent.is_some_and(|most| run.spent_usd() >= most) {
        Some(Untold::Budget)
    } else {
        None
    }
}
