//! Seeing that a run's branch is somewhere else than it was: whoever looks at a run at rest notices it, and its checks
//! begin again.

use super::carried::carries;
use super::checks::wanted;
use super::definition::with_what_follows;
use super::driver::{Ask, Driver};
use super::gate::current_head;
use super::{Context, Runner};
use crate::dod::Head;
use crate::journal::Answer;
use crate::run::{Command, Event, Phase, RoundWhy, Run};

impl Runner {
    /// The work as git has it now. If it moved while the run is at rest, that is recorded, and a round of checks begins.
    ///
    /// # Errors
    /// git or the database failed.
    pub async fn notice_head(&self, run: &Run) -> anyhow::Result<Option<Head>> {
        let head = current_head(self.context(), run).await?;
        if let Some(now) = &head
            && notice(self.context(), run, now, true).await?
        {
            self.send(run.id, Ask::CarryOut { after_crash: false });
        }
        Ok(head)
    }
}

/// Records where the branch of a run at rest is, if that is news, with the round of checks that follows if it is to
/// `check`; whether one has begun.
pub(super) async fn notice(
    context: &Context,
    run: &Run,
    now: &Head,
    check: bool,
) -> anyhow::Result<bool> {
    if !matches!(run.phase, Phase::AtRest { .. }) || run.head.as_ref() == Some(now) {
        return Ok(false);
    }
    let round = match check {
        true => wanted::round(context, run, now, RoundWhy::HeadMoved).await?,
        false => None,
    };
    let begins = round.is_some();
    let carries = carries(context, run, now).await?;
    let moved = Event::HeadMoved {
        head: now.clone(),
        carries: carries.clone(),
    };
    let command = Command::SeeHead {
        head: now.clone(),
        carries,
        defined: with_what_follows(context, run, moved).await?.split_off(1),
        round,
    };
    match context.journal.ask(run.id, command).await? {
        Answer::Done(_) => Ok(begins),
        // Something else happened to the run in the same moment, or another has noticed it.
        Answer::Already(_) | Answer::No(_) => Ok(false),
    }
}

impl Runner {
    /// The same, without checks: who asks next is about to ask for them.
    ///
    /// # Errors
    /// git or the database failed.
    pub async fn notice_head_alone(&self, run: &Run) -> anyhow::Result<Option<Head>> {
        let head = current_head(self.context(), run).await?;
        if let Some(now) = &head {
            notice(self.context(), run, now, false).await?;
        }
        Ok(head)
    }
}

impl Driver {
    /// Sees where the branch is before anything is decided on it.
    pub(super) async fn see_head(&mut self, run: &Run) -> anyhow::Result<()> {
        let head = current_head(self.context(), run).await?;
        if let Some(now) = &head
            && notice(self.context(), run, now, true).await?
        {
            self.carry_out_round(false).await?;
        }
        Ok(())
    }
}
