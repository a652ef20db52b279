//! Each effect by its name: where a test may strike.
//!
//! Every step that leaves something behind outside of memory (a file, a ref, a row, a process) says here that it is
//! about to be done. In a build without the feature `failpoints`, as every release is, that is nothing at all. With it,
//! the environment says what happens there:
//!
//! | variable | what it says |
//! | --- | --- |
//! | `FAILPOINTS` | `name=2*off->1*return(abort)`: at the third passage in a process, it ends as by SIGKILL; `return(error)`: the effect fails; `return(delay)`: it waits. The syntax is that of the crate `fail`. In a supervisor the names begin with `supervise:`, in a gate with `exec-gate:` |
//! | `FAILPOINTS_ONCE` | a file that is made when a strike happens, and with which no other one does, in whatever process |
//! | `FAILPOINTS_TRACE` | a file that gets a line for each passage: the process and the name |
//!
//! One name covers before and after where the next effect follows at once: what is before the second is after the first.
//!
//! Deliberately absent: effects that only the demo and the commands of a person have; and all of SQLite's and git's own
//! steps, which are theirs to keep whole.

#[cfg(feature = "failpoints")]
mod armed;

use std::io;

/// Makes the enumeration, with the sentence of each as its documentation.
macro_rules! effects {
    ($($(#[doc = $sentence:literal])+ $variant:ident $name:literal $kind:ident,)+) => {
        /// An effect, or the moment right after one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Effect {
            $($(#[doc = $sentence])+ $variant,)+
        }

        impl Effect {
            /// All of them, in the order of a run's life.
            pub const ALL: &[Effect] = &[$(Effect::$variant),+];

            /// Its name in `FAILPOINTS`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Effect::$variant => $name,)+
                }
            }

            /// Whether it can fail; a moment cannot.
            #[must_use]
            pub const fn can_fail(self) -> bool {
                match self {
                    $(Effect::$variant => effects!($kind),)+
                }
            }
        }
    };
    (effect) => { true };
    (moment) => { false };
}

effects! {
    /// What was written in a transaction is committed.
    StoreCommit "store.commit" effect,
    /// It is committed, and nobody has been told yet.
    StoreCommitted "store.committed" moment,

    /// Refs are written, all or none.
    RefsWrite "refs.write" effect,
    /// They are written, and the folders that they are in go to the disk.
    RefsSync "refs.sync" effect,
    /// A commit object is written.
    CommitWrite "commit.write" effect,

    /// The git dir and the folder of a worktree are made.
    PlaceRegister "place.register" effect,
    /// A small file of a worktree's registration is written aside.
    PlaceWrite "place.write" effect,
    /// The files are checked out.
    PlaceCheckout "place.checkout" effect,
    /// The work that was uncommitted is laid over them.
    PlaceWork "place.work" effect,
    /// Ignored caches are laid into it.
    PlaceSeed "place.seed" effect,
    /// The mark of the unfinished is taken away.
    PlaceFinish "place.finish" effect,

    /// The folder and the git dir of a ready worktree are made.
    PoolRegister "pool.register" effect,
    /// Its files are checked out.
    PoolCheckout "pool.checkout" effect,
    /// It is brought to another commit.
    PoolCatchUp "pool.catch_up" effect,
    /// It is said that it is ready.
    PoolReady "pool.ready" effect,
    /// It is claimed for a run, whose branch is made.
    PoolClaim "pool.claim" effect,
    /// Its small files are written anew, beside their names.
    PoolConnect "pool.connect" effect,
    /// Its git dir gets the name of the run's, and the files get theirs.
    PoolRename "pool.rename" effect,
    /// Its folder gets the path of the run's.
    PoolMove "pool.move" effect,
    /// The mark of the unfinished is taken away.
    PoolFinish "pool.finish" effect,
    /// Its folder is renamed into the trash.
    PoolGiveBack "pool.give_back" effect,
    /// Its git dir is deleted.
    PoolUnregister "pool.unregister" effect,

    /// The folders of a run and its output file are made.
    FilesMake "files.make" effect,
    /// The attempt's folder and prompt are written.
    LaunchPrompt "launch.prompt" effect,
    /// The supervisor is started.
    SupervisorSpawn "supervisor.spawn" effect,
    /// The supervisor is started and has not reported.
    SupervisorSpawned "supervisor.spawned" moment,
    /// A record of a process is written aside.
    RecordWrite "record.write" effect,
    /// The record is whole and gets its name.
    RecordRename "record.rename" effect,
    /// The record has its name, and its folder goes to the disk.
    RecordSync "record.sync" effect,
    /// The supervisor starts the process that becomes the agent.
    GateSpawn "gate.spawn" effect,
    /// The supervisor opens the gate.
    GateOpen "gate.open" effect,
    /// The process becomes the agent's program.
    AgentExec "agent.exec" effect,
    /// The agent works, and the supervisor has not told its starter.
    AgentStarted "agent.started" moment,
    /// The agent has ended, and the supervisor ends what it left running.
    SupervisorSweep "supervisor.sweep" moment,

    /// An attempt is looked for after a restart.
    AttachLook "attach.look" effect,
    /// A launch is given up, so that no supervisor starts it any more.
    AttachSeal "attach.seal" effect,
    /// Processes that carry the run's marker are ended.
    MarkedSweep "marked.sweep" moment,

    /// The content of a worktree is written as objects.
    SnapshotWrite "snapshot.write" effect,
    /// The worktree is put in order on its branch.
    SettleTidy "settle.tidy" effect,

    /// An upload is written into a file of its own.
    UploadWrite "upload.write" effect,
    /// A payload is written aside.
    PayloadWrite "payload.write" effect,
    /// The payload goes to the disk.
    PayloadSync "payload.sync" effect,
    /// The payload gets its name.
    PayloadRename "payload.rename" effect,
    /// The folders that the payload is in go to the disk.
    PayloadFolder "payload.folder" effect,

    /// The merged tree is written as objects.
    CandidateTree "candidate.tree" effect,
    /// It is noted that git works on a checkout of the base.
    CheckoutNote "checkout.note" effect,
    /// A checkout of the base is brought along.
    CheckoutBring "checkout.bring" effect,
    /// The note is taken away.
    CheckoutForget "checkout.forget" effect,

    /// An agent is asked to end because its run is aborted.
    AgentKill "agent.kill" moment,
    /// The folder of a worktree is renamed aside.
    LeaveMove "leave.move" effect,
    /// The git dir of a worktree is renamed aside.
    LeaveUnregister "leave.unregister" effect,
    /// What was renamed aside is renamed into the trash: all of its work is kept.
    LeaveTrash "leave.trash" effect,
    /// The folder of a worktree is renamed into the trash.
    PlaceMove "place.move" effect,
    /// The git dir of a worktree is deleted.
    PlaceUnregister "place.unregister" effect,
    /// Something in the trash is deleted.
    TrashEmpty "trash.empty" effect,
    /// The agent's temporary files are deleted.
    FilesClear "files.clear" moment,
    /// What an agent printed is past its time and is deleted.
    OutputPrune "output.prune" effect,
}

/// A test has struck: the effect has failed.
#[derive(Debug, thiserror::Error)]
#[error("a failpoint at {}", .0.name())]
pub struct Struck(Effect);

impl From<Struck> for io::Error {
    fn from(struck: Struck) -> io::Error {
        io::Error::other(struck)
    }
}

/// To be called once, first of all: from then on the environment's strikes are in force.
pub fn arm() {
    #[cfg(feature = "failpoints")]
    armed::arm();
}

/// The variables by which a process that is started from here strikes as this one does.
pub fn variables() -> Vec<(&'static str, std::ffi::OsString)> {
    #[cfg(feature = "failpoints")]
    return armed::variables();
    #[cfg(not(feature = "failpoints"))]
    Vec::new()
}

/// The effect is about to be done. A delay blocks.
///
/// # Errors
/// A test has struck.
#[inline]
pub fn begins(effect: Effect) -> Result<(), Struck> {
    #[cfg(feature = "failpoints")]
    return armed::begins(effect);
    #[cfg(not(feature = "failpoints"))]
    {
        let _ = effect;
        Ok(())
    }
}

/// The same where others must not wait: a delay lets them go on.
///
/// # Errors
/// A test has struck.
#[inline]
pub async fn awaits(effect: Effect) -> Result<(), Struck> {
    #[cfg(feature = "failpoints")]
    return armed::awaits(effect).await;
    #[cfg(not(feature = "failpoints"))]
    {
        let _ = effect;
        Ok(())
    }
}

/// The moment has come; it cannot fail.
#[inline]
pub fn comes(moment: Effect) {
    #[cfg(feature = "failpoints")]
    drop(armed::begins(moment));
    #[cfg(not(feature = "failpoints"))]
    let _ = moment;
}

/// The same where others must not wait.
#[inline]
pub async fn is_coming(moment: Effect) {
    #[cfg(feature = "failpoints")]
    drop(armed::awaits(moment).await);
    #[cfg(not(feature = "failpoints"))]
    let _ = moment;
}
