//! Who walks a run through its life.
//!
//! One task, its `driver`, owns one run at a time: it makes the place, starts the agent, watches it, settles what it
//! left, lands it or takes it away. Others ask the driver by message. What a driver does it first records as an
//! intent and then does in steps that can be done again, so that after a crash `recover` finds where each run was
//! and the same driver goes on from there.
//!
//! Deliberately absent: SQL (the store), git (git, worktree, merge), what an agent's words mean (agent).

mod admit;
mod carried;
pub mod checks;
mod clean_up;
pub mod definition;
mod driver;
pub mod failures;
pub mod files;
mod gate;
pub mod gc;
mod head;
mod land;
mod note;
mod output;
pub mod pool;
mod reading;
mod recover;
pub mod room;
pub mod seeding;
mod silence;
mod slots;
mod start;
pub mod stream;
mod take_away;
pub mod tokens;
mod trailers;
mod trusted_clock;
mod work;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::agent::claude;
use crate::config::Config;
use crate::dod::content::ContentStore;
use crate::git::{LeftOut, RefName, Repository};
use crate::journal::Journal;
use crate::process::{Containment, Growths, Networks};
use crate::run::{Run, RunId};

pub use carried::carries;
use checks::CheckSlots;
pub use definition::{changed_paths, changed_where_asked};
use driver::{Ask, Driver};
use failures::Failures;
use files::Files;
pub use gate::{Asked, ask_gate, base_tip, current_head};
pub use land::{CheckFailed, Landed, Lanes, MergeAnswer, MergeAsk, NotMerged, conflict_of};
pub use note::{merge_of, write_note};
use pool::Pool;
use room::Room;
use slots::Slots;
use stream::Streams;
pub use take_away::{NotAborted, NotRestored};
use tokens::AgentTokens;

/// What every part of the runner works with.
#[derive(Debug)]
pub struct Context {
    /// The settings of the server.
    pub config: Config,
    /// The branch that runs land on if they name no other.
    pub base: String,
    /// What happened.
    pub journal: Journal,
    /// The repository.
    pub repository: Repository,
    /// The payloads of evidence.
    pub content: ContentStore,
    /// Where the files of runs lie.
    pub files: Files,
    /// The file systems that all this lies on.
    pub room: Room,
    /// The worktrees that stand ready.
    pub pool: Pool,
    /// This program: its hidden subcommands are the supervisor.
    pub binary: PathBuf,
    /// Its path, for what an agent is to call; nothing if that is not known.
    pub program: Option<PathBuf>,
    /// The address on which the service listens, once it does.
    pub url: OnceLock<String>,
    /// The tokens of agents.
    pub tokens: AgentTokens,
    /// What holds the processes of attempts together.
    pub containment: Containment,
    /// The networks that checks run in.
    pub networks: Networks,
    /// Claude Code, or why there is none.
    pub claude: Result<claude::Program, String>,
    /// The service's own environment, of which agents get what is allowed.
    pub environment: BTreeMap<String, String>,
    /// Cancelled when the service stops: streams end, agents go on.
    pub closing: CancellationToken,
    /// How seeds get into worktrees.
    pub seeds: seeding::Seeds,
    /// What worktrees do not have of the repository, once that is known.
    pub left_out: OnceLock<Vec<LeftOut>>,
    /// What was read of the newest commits.
    pub definitions: definition::Known,
    /// Tells when output files grow.
    pub growths: Growths,
    /// Who reads what goes on.
    pub streams: Streams,
    /// Who lands where.
    pub lanes: Lanes,
    /// Whose checks run.
    pub check_slots: CheckSlots,
    /// What has failed inside since the start.
    pub failures: Failures,
}

impl Context {
    /// Looks for what worktrees do not have of the repository, and says so in the log and from now on in health.
    ///
    /// # Errors
    /// git failed.
    pub async fn look_for_left_out(&self) -> anyhow::Result<()> {
        let base = RefName::branch(&self.base)?;
        let Some(commit) = self.repository.resolve(&base).await? else {
            return Ok(());
        };
        let left_out = self.repository.left_out(&commit).await?;
        for what in &left_out {
            tracing::warn!("{}", what.sentence());
        }
        // Asked once a start: the first answer stays.
        let _ = self.left_out.set(left_out);
        Ok(())
    }
}

/// The walker of all runs.
#[derive(Debug, Clone)]
pub struct Runner {
    context: Arc<Context>,
    slots: Arc<Slots>,
    drivers: Arc<Mutex<HashMap<RunId, mpsc::UnboundedSender<Ask>>>>,
    /// Held while the queue is looked at, so that each place in it is given once.
    filling: Arc<tokio::sync::Mutex<()>>,
    /// Whether somebody looks out for room, so that the queue goes on when there is some.
    looking_for_room: Arc<AtomicBool>,
}

impl Runner {
    /// A runner that does nothing yet; [`Runner::recover`] sets it going.
    #[must_use]
    pub fn new(context: Arc<Context>) -> Runner {
        let slots = Arc::new(Slots::new(context.config.max_running));
        Runner {
            context,
            slots,
            drivers: Arc::default(),
            filling: Arc::default(),
            looking_for_room: Arc::default(),
        }
    }

    /// What it works with.
    #[must_use]
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// How many agents work.
    #[must_use]
    pub fn running(&self) -> usize {
        self.slots.taken()
    }

    /// Begins the round of checks that was recorded.
    pub fn begin_checks(&self, run: RunId) {
        self.send(run, Ask::CarryOut { after_crash: false });
    }

    /// Stops the round of checks that is under way, if there is one.
    ///
    /// # Errors
    /// The service is stopping, or something of ours failed.
    pub async fn stop_checks(&self, run: RunId) -> anyhow::Result<Run> {
        let stopped = self.asked(run, |reply| Ask::StopChecks { reply }).await;
        stopped.unwrap_or_else(|| Err(anyhow::anyhow!("the service is stopping")))
    }

    /// Lands a run, if its gate is open; or lets it wait for its turn.
    ///
    /// # Errors
    /// As [`NotMerged`] says.
    pub async fn merge(&self, run: RunId, ask: MergeAsk) -> Result<MergeAnswer, NotMerged> {
        self.asked(run, |reply| Ask::Merge { ask, reply })
            .await
            .unwrap_or_else(|| Err(NotMerged::Closing))
    }

    /// Takes a run out of the merge queue, before its base is moved.
    ///
    /// # Errors
    /// It is not in it, or it is too late; or something of ours failed.
    pub async fn cancel_merge(&self, run: RunId) -> Result<Run, NotMerged> {
        self.asked(run, |reply| Ask::CancelMerge { reply })
            .await
            .unwrap_or_else(|| Err(NotMerged::Closing))
    }

    /// Takes a run away: its agent, its worktree, its branch. Its work is preserved.
    ///
    /// # Errors
    /// As [`NotAborted`] says.
    pub async fn abort(&self, run: RunId) -> Result<Run, NotAborted> {
        self.asked(run, |reply| Ask::Abort { reply })
            .await
            .unwrap_or_else(|| Err(NotAborted::Closing))
    }

    /// Brings back the branch and worktree of an aborted run.
    ///
    /// # Errors
    /// As [`NotRestored`] says.
    pub async fn restore(&self, run: RunId) -> Result<Run, NotRestored> {
        self.asked(run, |reply| Ask::Restore { reply })
            .await
            .unwrap_or_else(|| Err(NotRestored::Closing))
    }

    async fn asked<T>(&self, run: RunId, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.send(run, ask(reply));
        answer.await.ok()
    }

    /// Gives the run's driver a message; begins one if the run has none.
    fn send(&self, run: RunId, ask: Ask) {
        let mut drivers = self.drivers.lock().unwrap_or_else(PoisonError::into_inner);
        let ask = match drivers.get(&run) {
            Some(inbox) => match inbox.send(ask) {
                Ok(()) => return,
                Err(back) => back.0,
            },
            None => ask,
        };
        let (outbox, inbox) = mpsc::unbounded_channel();
        // The other end is in this function: it cannot be closed.
        drop(outbox.send(ask));
        drivers.insert(run, outbox);
        tokio::spawn(Driver::new(self.clone(), run, inbox).drive());
    }

    /// Takes the driver off the list, unless somebody has asked it something meanwhile.
    fn dismiss(&self, run: RunId, inbox: &mut mpsc::UnboundedReceiver<Ask>) -> Option<Ask> {
        let mut drivers = self.drivers.lock().unwrap_or_else(PoisonError::into_inner);
        match inbox.try_recv() {
            Ok(ask) => Some(ask),
            Err(_) => {
                drivers.remove(&run);
                None
            }
        }
    }
}
