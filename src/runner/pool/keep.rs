//! The keeper of the pool: one task that makes slots, brings them along with the base and gives them back.
//!
//! It is woken by a claim, by a landing and by the doctor. Whoever else moves the base is noticed by a look at the two files
//! that git can have it in, once a second: two stats, and no process as long as they are what they were.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::plan::{self, Facts, Next};
use super::{Doing, Pool, Ready};
use crate::git::RefName;
use crate::run::CommitId;
use crate::runner::Context;
use crate::worktree::{self, Pace, pool};

/// How often it is looked for what nobody tells of: the base moved by hand, room, idleness, another server gone.
const LOOK: Duration = Duration::from_secs(1);
/// How long after a failure it is tried again, at first; twice as long each time, up to the most.
const AGAIN: Duration = Duration::from_secs(2);
const MOST_AGAIN: Duration = Duration::from_secs(60);

/// Keeps the pool as it should be, until the service stops. The slots stay for the next start.
pub async fn keep(context: Arc<Context>) {
    let closing = context.closing.clone();
    let mut keeper = Keeper {
        context: &context,
        base: None,
    };
    closing.run_until_cancelled(keeper.work()).await;
}

/// Whoever has woken it starts an agent or answers a merge just now, and is not to share the processor with a checkout.
const GIVE_WAY: Duration = Duration::from_millis(30);

/// What git can have a ref in, as it was: its own file, and that of packed refs.
type Files = [Option<(SystemTime, u64)>; 2];

struct Keeper<'a> {
    context: &'a Context,
    /// Where the base was, when its files were so.
    base: Option<(Files, Option<CommitId>)>,
}

impl Keeper<'_> {
    fn pool(&self) -> &Pool {
        &self.context.pool
    }

    async fn work(&mut self) {
        let mut again = AGAIN;
        loop {
            let pause = match self.step().await {
                Ok(Doing::Filling) => {
                    again = AGAIN;
                    continue;
                }
                Ok(doing) => {
                    again = AGAIN;
                    let is_over = doing == Doing::Off;
                    self.pool().state().doing = doing;
                    if is_over {
                        return;
                    }
                    LOOK
                }
                Err(error) => {
                    let why = format!("{error:#}");
                    tracing::warn!(
                        error = why,
                        "the pool of ready worktrees cannot be kept; it is tried again"
                    );
                    self.pool().state().doing = Doing::Failing(why);
                    let pause = again;
                    again = MOST_AGAIN.min(again * 2);
                    // A wake is of no use before.
                    tokio::time::sleep(pause).await;
                    continue;
                }
            };
            // One that came since the look is kept.
            let woken = tokio::time::timeout(pause, self.pool().woken.notified()).await;
            if woken.is_ok() {
                tokio::time::sleep(GIVE_WAY).await;
            }
        }
    }

    /// Does one thing, and answers [`Doing::Filling`] as long as there is more to do.
    async fn step(&mut self) -> anyhow::Result<Doing> {
        let size = self.pool().figures().size;
        let is_off = self.pool().size == super::PoolSize::Fixed(0);
        if self.pool().state().held.is_none() {
            if is_off && !self.pool().shelf.folder().exists() {
                return Ok(Doing::Off);
            }
            let Some(held) = self.pool().shelf.hold()? else {
                return Ok(Doing::Elsewhere);
            };
            self.take_up(held).await?;
        }
        self.sweep().await;
        let base = self.base().await?;
        let facts = self.facts(size, base.as_ref());
        match plan::next(facts) {
            Next::GiveBack => self.give_one_back(base.as_ref()).await?,
            Next::CatchUp | Next::Make => {
                let Some(base) = base else {
                    return Ok(Doing::Full);
                };
                self.pool().state().doing = Doing::Filling;
                match facts.stale {
                    0 => self.make(&base).await?,
                    _ => self.catch_up(&base).await?,
                }
            }
            Next::NoRoom => return Ok(Doing::LowDisk),
            Next::Nothing if is_off => return Ok(Doing::Off),
            Next::Nothing if size == 0 => return Ok(Doing::Idle),
            Next::Nothing => return Ok(Doing::Full),
        }
        Ok(Doing::Filling)
    }

    /// The slots of an earlier start.
    async fn take_up(&self, held: pool::Held) -> anyhow::Result<()> {
        let found = pool::recover(&self.context.repository, &self.pool().shelf).await?;
        self.pool().empty_trash_later();
        let mut state = self.pool().state();
        let found = found.into_iter();
        state.ready = found.map(|(slot, at)| Ready::of(slot, at)).collect();
        state.held = Some(held);
        Ok(())
    }

    /// Gives back what lies on the shelf and is nobody's: what somebody was at, or what could not be given back before.
    async fn sweep(&self) {
        let seen = self.pool().on_shelf().unwrap_or_default();
        for (id, _) in self.pool().wrong(&seen) {
            let dropped = self.pool().drop_wrong(&id).await;
            if let Err(error) = dropped {
                tracing::debug!(slot = id, %error, "a worktree of the pool could not be given back");
            }
        }
    }

    fn facts(&self, size: usize, base: Option<&CommitId>) -> Facts {
        let room = &self.context.room;
        let weight = self.pool().state().weight;
        let (low, fits) = (room.low().is_some(), room.fits(weight));
        let state = self.pool().state();
        let stale = state
            .ready
            .iter()
            .filter(|ready| Some(&ready.commit) != base);
        Facts {
            size,
            ready: state.ready.len(),
            stale: stale.count(),
            has_base: base.is_some(),
            low,
            fits,
        }
    }

    /// Where the base is.
    async fn base(&mut self) -> anyhow::Result<Option<CommitId>> {
        let name = RefName::branch(&self.context.base)?;
        let git_dir = self.context.repository.common_dir();
        // Before git is asked: what changes after that is seen by the next look.
        let files = [git_dir.join(name.as_str()), git_dir.join("packed-refs")].map(stamp);
        if let Some((then, base)) = &self.base
            && *then == files
        {
            return Ok(base.clone());
        }
        // A file that was written just now may be written again within the same tick of its time.
        let is_settled = files.iter().flatten().all(|(at, _)| {
            at.elapsed()
                .is_ok_and(|age| age > Duration::from_millis(50))
        });
        let base = self.context.repository.resolve(&name).await?;
        self.base = is_settled.then(|| (files, base.clone()));
        Ok(base)
    }

    async fn make(&self, base: &CommitId) -> anyhow::Result<()> {
        let (pool, repo) = (self.pool(), &self.context.repository);
        let slot = pool.shelf.new_slot();
        pool.state().busy.insert(slot.id().to_owned());
        let made = pool::make(repo, &pool.shelf, &slot, base).await;
        let weight = match &made {
            Ok(()) => worktree::weigh(slot.folder()).await,
            Err(_) => 0,
        };
        let mut state = pool.state();
        state.busy.remove(slot.id());
        made?;
        state.weight = weight;
        state.ready.push(Ready::of(slot, base.clone()));
        Ok(())
    }

    /// One that cannot be brought along is given back, and another made.
    async fn catch_up(&self, base: &CommitId) -> anyhow::Result<()> {
        let (pool, repo) = (self.pool(), &self.context.repository);
        let Some(Ready { slot, commit, .. }) = self.take_out(|at| at != base) else {
            return Ok(());
        };
        let steps = (&commit, base);
        let begun = Instant::now();
        let caught_up = pool::catch_up(repo, &slot, steps, Pace::Background).await;
        let took = begun.elapsed();
        if let Err(error) = &caught_up {
            tracing::warn!(slot = slot.id(), %error, "a ready worktree could not be brought to the base");
            pool.give_back(&slot).await;
        }
        let mut state = pool.state();
        state.busy.remove(slot.id());
        if caught_up.is_ok() {
            state.followed.times += 1;
            state.followed.took += took;
            state.ready.push(Ready::of(slot, base.clone()));
        }
        Ok(())
    }

    async fn give_one_back(&self, base: Option<&CommitId>) -> anyhow::Result<()> {
        let pool = self.pool();
        let stale = self.take_out(|at| Some(at) != base);
        let Some(Ready { slot, .. }) = stale.or_else(|| self.take_out(|_| true)) else {
            return Ok(());
        };
        let given = pool::give_back(&pool.shelf, &slot).await;
        pool.state().busy.remove(slot.id());
        given?;
        pool.empty_trash_later();
        Ok(())
    }

    fn take_out(&self, which: impl Fn(&CommitId) -> bool) -> Option<Ready> {
        let mut state = self.pool().state();
        let at = state.ready.iter().position(|ready| which(&ready.commit))?;
        let ready = state.ready.swap_remove(at);
        state.busy.insert(ready.slot.id().to_owned());
        Some(ready)
    }
}

fn stamp(path: PathBuf) -> Option<(SystemTime, u64)> {
    let meta = path.symlink_metadata().ok()?;
    Some((meta.modified().ok()?, meta.len()))
}
