//! The worktrees that stand ready: who gets which, and what is known of them.
//!
//! `keep` fills the pool beside everything else, one worktree at a time; `plan` says what it does next. A start takes a
//! slot out of the list and never waits for the keeper: what is being made or caught up is nobody's until it is ready.
//!
//! Deliberately absent: what a slot is on disk (`worktree::pool`).

mod keep;
mod plan;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::clean_up::empty_trash;
use crate::config::Config;
pub use crate::config::PoolSize;
use crate::git::{Error, Repository};
use crate::run::CommitId;
use crate::worktree::pool::{Held, Shelf, Slot, Untouched};
use crate::worktree::{self, CreateError, Pace, Place, Seeded, Seeding, pool};

pub use keep::keep;
use plan::Recent;

/// A slot that is ready.
#[derive(Debug)]
struct Ready {
    slot: Slot,
    commit: CommitId,
    /// How it looked when it became ready.
    look: Option<Untouched>,
}

/// The pool of one server.
#[derive(Debug)]
pub struct Pool {
    shelf: Shelf,
    size: PoolSize,
    idle: Option<Duration>,
    state: Mutex<State>,
    /// Something happened that may give the keeper work.
    woken: Notify,
}

#[derive(Debug)]
struct State {
    /// Ours alone, once that is sure.
    held: Option<Held>,
    ready: Vec<Ready>,
    /// In somebody's hands: being made, caught up, claimed or given back.
    busy: BTreeSet<String>,
    claims: Claims,
    followed: Followed,
    recent: Recent,
    /// What a slot takes of the disk, once one was made.
    weight: u64,
    doing: Doing,
}

/// How the places of runs came to be, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Claims {
    /// A slot at exactly the commit.
    pub hit: u64,
    /// A slot that was brought to it while the run waited.
    pub caught_up: u64,
    /// No slot: made anew.
    pub made: u64,
}

/// How the slots followed the base, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Followed {
    /// How often one was brought to where the base was then.
    pub times: u64,
    /// How long that took together.
    pub took: Duration,
}

/// What the keeper does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doing {
    /// It has not begun.
    Starting,
    /// There is to be no pool.
    Off,
    /// Another server has the shelf.
    Elsewhere,
    /// A slot is made or brought to the base.
    Filling,
    /// All are there.
    Full,
    /// No run has come for long.
    Idle,
    /// There is too little room.
    LowDisk,
    /// It failed and is tried again: why.
    Failing(String),
}

impl Doing {
    /// The word for it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Doing::Starting => "starting",
            Doing::Off => "off",
            Doing::Elsewhere => "elsewhere",
            Doing::Filling => "filling",
            Doing::Full => "full",
            Doing::Idle => "idle",
            Doing::LowDisk => "low_disk",
            Doing::Failing(_) => "failing",
        }
    }
}

/// What is known of the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// How many slots there are to be now.
    pub size: usize,
    /// How many are ready.
    pub ready: usize,
    /// The commits that they are at, the newest slot last.
    pub at: Vec<CommitId>,
    /// How places came to be.
    pub claims: Claims,
    /// How slots followed the base.
    pub followed: Followed,
    /// What the keeper does.
    pub doing: Doing,
}

impl Pool {
    /// An empty one; [`keep`] fills it.
    #[must_use]
    pub fn new(config: &Config, repository: &Repository) -> Pool {
        Pool {
            shelf: Shelf::new(&config.worktrees_root, repository),
            size: config.pool,
            idle: config.pool_idle,
            state: Mutex::new(State {
                held: None,
                ready: Vec::new(),
                busy: BTreeSet::new(),
                claims: Claims::default(),
                followed: Followed::default(),
                recent: Recent::new(Instant::now()),
                weight: 0,
                doing: Doing::Starting,
            }),
            woken: Notify::new(),
        }
    }

    /// The base may have moved.
    pub fn wake(&self) {
        self.woken.notify_one();
    }

    /// Makes the worktree of a run with its branch at `commit`: of a slot, if there is one, else anew. There already,
    /// exactly so, is as good. Answers what was seeded, if anything was to be and the worktree was not there.
    ///
    /// # Errors
    /// As [`worktree::create`] has them.
    pub async fn place(
        &self,
        repo: &Repository,
        place: &Place,
        commit: &CommitId,
        seeding: Option<&Seeding>,
    ) -> Result<Option<Seeded>, CreateError> {
        let is_there = place.path().symlink_metadata().is_ok();
        if is_there && worktree::is_made(repo, place, commit).await? {
            return Ok(None);
        }
        // Ready ones have all folders of the tree.
        let ready = place.cone().is_whole().then(|| self.take(commit)).flatten();
        let claimed = match ready {
            Some(ready) => self.claim(repo, ready, place, commit).await,
            None => false,
        };
        let seeded = match (claimed, seeding) {
            (true, None) => None,
            (true, Some(seeding)) => worktree::seed_claimed(repo, place, seeding).await?,
            (false, _) => {
                let seeded = worktree::create_seeded(repo, place, commit, seeding).await?;
                self.state().claims.made += 1;
                seeded
            }
        };
        self.state().recent.claimed(Instant::now());
        self.wake();
        Ok(seeded)
    }

    /// Whether the slot has become the place. If not, the place can still be made.
    async fn claim(
        &self,
        repo: &Repository,
        ready: Ready,
        place: &Place,
        commit: &CommitId,
    ) -> bool {
        let Ready {
            slot, commit: at, ..
        } = ready;
        let is_hit = at == *commit;
        let claimed = async {
            if !is_hit {
                if !repo.has_commit(commit).await? {
                    return Err(CreateError::NoSuchCommit(commit.clone()));
                }
                pool::catch_up(repo, &slot, (&at, commit), Pace::Now).await?;
            }
            pool::claim(repo, &slot, place, commit).await
        };
        let claimed = claimed.await;
        if let Err(error) = &claimed {
            tracing::warn!(slot = slot.id(), %error, "a ready worktree could not be claimed; one is made");
            self.give_back(&slot).await;
        }
        let mut state = self.state();
        state.busy.remove(slot.id());
        match (&claimed, is_hit) {
            (Ok(()), true) => state.claims.hit += 1,
            (Ok(()), false) => state.claims.caught_up += 1,
            (Err(_), _) => {}
        }
        claimed.is_ok()
    }

    /// Takes a slot out of the list: one at this commit, else any. One that is not as it was left is nobody's.
    fn take(&self, commit: &CommitId) -> Option<Ready> {
        let mut state = self.state();
        loop {
            let exact = state.ready.iter().position(|ready| ready.commit == *commit);
            let at = exact.or(state.ready.len().checked_sub(1))?;
            let ready = state.ready.swap_remove(at);
            if ready.is_as_it_was() {
                state.busy.insert(ready.slot.id().to_owned());
                return Some(ready);
            }
            // The keeper finds it on the shelf and gives it back.
            tracing::warn!(
                slot = ready.slot.id(),
                "somebody was at a ready worktree; it is not used"
            );
        }
    }

    /// Takes a slot away. What cannot be taken away stays, and the doctor tells of it.
    async fn give_back(&self, slot: &Slot) {
        let given = pool::give_back(&self.shelf, slot).await;
        if let Err(error) = given {
            tracing::warn!(slot = slot.id(), %error, "a ready worktree could not be given back");
        }
        self.empty_trash_later();
    }

    fn empty_trash_later(&self) {
        let trash = self.shelf.trash().to_owned();
        tokio::spawn(async move { empty_trash(&trash).await });
    }

    /// What is known of it.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let state = self.state();
        Figures {
            size: plan::size(self.size, self.idle, &state.recent, Instant::now()),
            ready: state.ready.len(),
            at: state
                .ready
                .iter()
                .map(|ready| ready.commit.clone())
                .collect(),
            claims: state.claims,
            followed: state.followed,
            doing: state.doing.clone(),
        }
    }

    /// The folder of the slots.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.shelf.folder()
    }

    /// The ids of what lies on the shelf, if it is ours.
    ///
    /// # Errors
    /// It cannot be listed.
    pub fn on_shelf(&self) -> Result<Vec<String>, Error> {
        if self.state().held.is_none() {
            return Ok(Vec::new());
        }
        self.shelf.ids()
    }

    /// The slots that should not be as they are: those of `seen` that nobody here knows, and those that are said to be
    /// ready and are not. Each with a word for it.
    #[must_use]
    pub fn wrong(&self, seen: &[String]) -> Vec<(String, Wrong)> {
        let state = self.state();
        if state.held.is_none() {
            return Vec::new();
        }
        let is_known = |id: &String| {
            state.busy.contains(id) || state.ready.iter().any(|ready| ready.slot.id() == id)
        };
        let unknown = seen.iter().filter(|id| !is_known(id));
        let unknown = unknown.map(|id| (id.clone(), Wrong::Unknown));
        let broken = state.ready.iter().filter(|ready| !ready.is_as_it_was());
        let broken = broken.map(|ready| (ready.slot.id().to_owned(), Wrong::Touched));
        unknown.chain(broken).collect()
    }

    /// Takes away a slot that is wrong; whether it was.
    ///
    /// # Errors
    /// It cannot be taken away.
    pub async fn drop_wrong(&self, id: &str) -> Result<bool, Error> {
        let wrong = self.wrong(&self.on_shelf()?);
        if !wrong.iter().any(|(wrong, _)| wrong == id) {
            return Ok(false);
        }
        {
            let mut state = self.state();
            // Somebody has it in hand since.
            if !state.busy.insert(id.to_owned()) {
                return Ok(false);
            }
            state.ready.retain(|ready| ready.slot.id() != id);
        }
        let slot = self.shelf.slot(id.to_owned());
        let given = pool::give_back(&self.shelf, &slot).await;
        self.state().busy.remove(id);
        given?;
        self.empty_trash_later();
        self.wake();
        Ok(true)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is wrong with a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// Nobody here knows it.
    Unknown,
    /// It is said to be ready, and somebody was at it.
    Touched,
}

impl Ready {
    fn of(slot: Slot, commit: CommitId) -> Ready {
        Ready {
            look: slot.look(),
            slot,
            commit,
        }
    }

    /// Whether it is ready, and looks as it did when it became that.
    fn is_as_it_was(&self) -> bool {
        self.look.is_some()
            && self.slot.look() == self.look
            && self.slot.ready_at().as_ref() == Some(&self.commit)
    }
}
