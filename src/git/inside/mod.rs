//! git in this process: what is asked so often that a process for each would be what is waited for.
//!
//! [gix](https://docs.rs/gix) reads the same view (`git/view.rs`) as every git that is started: none of the repository's
//! configuration, hooks and drivers is there, and nothing of the machine's, the user's or the environment's is read either.
//!
//! **What is plain is answered here; what is not is git's.** A ref that is another name, a shallow history, several merge
//! bases, an object that is missing, damaged or too large to hold, a kind of repository that gix does not know, a panic in
//! it: each is *odd*, and the git command is asked instead, as it was before there was this. So an answer is git's answer
//! in any case, and in the plain case without a process. `docs/design/0018-git-in-process.md` says what is asked where.
//!
//! Nothing is kept between two questions that git, or an agent, could have changed meanwhile: packs that appear or go are
//! seen, and packed refs are looked at anew when their file is another one.
//!
//! Deliberately absent: the network, hooks, filters, signatures, and texts of diffs.

mod catch_up;
mod checkout;
mod compare;
mod create;
mod history;
mod index;
mod objects;
mod packed;
mod refs;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::repository::Repository;
pub(super) use create::{Made, break_own};
pub(super) use objects::Entry;
use packed::Packed;

/// The largest commit or tree that is held here: larger ones are nobody's work.
const MOST_BYTES: u64 = 64 << 20;
/// How deep folders are followed here: each is a frame on the stack.
const DEEPEST: usize = 400;
/// How many packs can be seen at once.
const PACKS: u16 = 2048;

/// Why something is not answered here, for people: git is asked.
#[derive(Debug)]
pub(crate) struct Odd(String);

impl std::fmt::Display for Odd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Odd {
    pub(crate) fn because(why: impl Into<String>) -> Odd {
        Odd(why.into())
    }
}

impl<E: std::error::Error> From<E> for Odd {
    fn from(error: E) -> Odd {
        Odd(error.to_string())
    }
}

/// How long after a folder was seen to change another change may carry the same time.
const TICK: Duration = Duration::from_millis(50);

/// The repository as it is read in this process.
#[derive(Clone)]
pub(crate) struct Inside {
    view: PathBuf,
    common_dir: PathBuf,
    opened: Arc<Mutex<Opened>>,
    packed: Arc<Mutex<Option<Packed>>>,
}

/// gix holds packs that it has come to know, also when they are gone, and would still have objects that git collected. So
/// it is opened anew when the folder of packs is another one than it was.
struct Opened {
    repository: Arc<gix::ThreadSafeRepository>,
    packs: Option<SystemTime>,
    /// When the folder was first seen so.
    since: Instant,
    /// Whether it was opened when no change could carry that time any more.
    settled: bool,
}

impl std::fmt::Debug for Inside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inside")
            .field("common_dir", &self.common_dir)
            .finish_non_exhaustive()
    }
}

impl Inside {
    /// Opens the view; the error says why every question is git's.
    pub(super) fn open(view: &Path, common_dir: &Path) -> Result<Inside, Odd> {
        let packs = packs_changed(common_dir);
        let opened = Opened {
            repository: open_view(view)?,
            packs,
            since: Instant::now(),
            settled: false,
        };
        Ok(Inside {
            view: view.to_owned(),
            common_dir: common_dir.to_owned(),
            opened: Arc::new(Mutex::new(opened)),
            packed: Arc::default(),
        })
    }

    /// Asks; a panic is odd and nothing worse.
    pub(crate) fn ask<T>(
        &self,
        question: impl FnOnce(&gix::Repository) -> Result<T, Odd>,
    ) -> Result<T, Odd> {
        let repository = self.current()?;
        caught(|| question(&repository.to_thread_local()))
    }

    fn current(&self) -> Result<Arc<gix::ThreadSafeRepository>, Odd> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let packs = packs_changed(&self.common_dir);
        let same = packs == opened.packs;
        if !(same && opened.settled) {
            let since = if same { opened.since } else { Instant::now() };
            let settled = since.elapsed() > TICK;
            *opened = Opened {
                repository: open_view(&self.view)?,
                packs,
                since,
                settled,
            };
        }
        Ok(opened.repository.clone())
    }

    /// A history that is cut short is git's to walk.
    fn whole_history(&self) -> Result<(), Odd> {
        match self.common_dir.join("shallow").symlink_metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(Odd::because("the history is shallow")),
        }
    }
}

fn packs_changed(common_dir: &Path) -> Option<SystemTime> {
    let packs = common_dir.join("objects/pack").metadata();
    packs.and_then(|meta| meta.modified()).ok()
}

fn open_view(view: &Path) -> Result<Arc<gix::ThreadSafeRepository>, Odd> {
    let options = gix::open::Options::isolated()
        // The view is ours, and the operator named the repository: whose it is, is as meant.
        .with(gix::sec::Trust::Full)
        .open_path_as_is(true)
        .strict_config(true)
        .object_store_slots(gix::odb::store::init::Slots::Given(PACKS))
        // `refs/replace/*` would make history look other than it is.
        .config_overrides(["core.useReplaceRefs=false"]);
    caught(|| Ok(Arc::new(options.open(view)?)))
}

fn caught<T>(question: impl FnOnce() -> Result<T, Odd>) -> Result<T, Odd> {
    catch_unwind(AssertUnwindSafe(question))
        .unwrap_or_else(|_| Err(Odd::because("a panic while it was read")))
}

impl Repository {
    /// Asks in place: for what takes microseconds. Nothing, if it is git's to answer.
    pub(super) fn asked<T>(
        &self,
        what: &'static str,
        question: impl FnOnce(&Inside) -> Result<T, Odd>,
    ) -> Option<T> {
        let inside = self.inside()?;
        told(what, caught(|| question(inside)))
    }

    /// Asks on a thread that may be blocked: for what walks a history or many folders.
    pub(super) async fn asked_at_length<T: Send + 'static>(
        &self,
        what: &'static str,
        question: impl FnOnce(&Inside) -> Result<T, Odd> + Send + 'static,
    ) -> Option<T> {
        let inside = self.inside()?.clone();
        let asked = tokio::task::spawn_blocking(move || caught(|| question(&inside)));
        told(what, asked.await.unwrap_or_else(|error| Err(error.into())))
    }
}

fn told<T>(what: &'static str, answer: Result<T, Odd>) -> Option<T> {
    answer
        .inspect_err(|odd| tracing::debug!(what, why = odd.0, "git is asked"))
        .ok()
}
