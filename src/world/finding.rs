//! Something that should not be: what, where, and how to mend it.

use std::path::PathBuf;

use crate::process::{Cgroup, Identity};
use crate::run::{CommitId, RunId};
use crate::worktree::Place;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something is there that belongs to nothing, or may.
    Warning,
    /// Something that was promised does not hold.
    Error,
}

/// The kinds of findings, each with a name that does not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// A row of the journal is not what was written.
    ChainBroken,
    /// Events at the end of the journal are gone.
    EventsMissing,
    /// An event cannot follow the ones before.
    EventImpossible,
    /// An event cannot be read.
    EventUnreadable,
    /// A request was accepted and has no event.
    RequestLost,
    /// The tables are not what the events tell.
    RowsDiffer,
    /// A payload is not there.
    PayloadMissing,
    /// A payload has other bytes.
    PayloadChanged,
    /// A merge is not in its base.
    MergeMissing,
    /// A merge commit is not the one that was allowed.
    MergeChanged,
    /// A merge whose required checks have not passed on its tree.
    MergeUnproven,
    /// A run's worktree is gone.
    WorktreeMissing,
    /// A run's branch is gone.
    BranchMissing,
    /// A merge has no note of what was proven.
    NoteMissing,
    /// A worktree or branch of ours belongs to no run.
    PlaceOrphaned,
    /// A worktree is there though its run has ended.
    PlaceLeft,
    /// Something of a ready worktree that nobody knows.
    SlotOrphaned,
    /// A worktree that stands ready is not as it was made.
    SlotTouched,
    /// A ref of ours belongs to nothing.
    RefOrphaned,
    /// A candidate is held that nobody lands.
    CandidateLeft,
    /// The trash is not emptied.
    TrashLeft,
    /// Work that was taken from its place is not kept yet.
    LeavingLeft,
    /// Work that was preserved has no ref.
    PreservedMissing,
    /// A run is said to be running and its agent is not.
    ProcessMissing,
    /// A process of a run that is not at work.
    ProcessLeft,
    /// A process of a run that nobody knows.
    ProcessOrphaned,
    /// The exit of an attempt is not what its supervisor saw.
    ExitDiffers,
    /// The exit of an attempt is a code that nobody has written down.
    ExitUnproven,
    /// Output that was there is not there any more.
    OutputCut,
    /// Files of a run or attempt that nobody knows.
    FilesOrphaned,
    /// Something inside failed when a client asked.
    RequestFailed,
    /// Something inside panicked.
    Panicked,
    /// The cgroup of a run that is not at work.
    CgroupLeft,
    /// The files of a round of checks that is over.
    ChecksLeft,
}

impl Code {
    /// The name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.told().0
    }

    /// The number of what does not hold.
    #[must_use]
    pub fn invariant(self) -> &'static str {
        self.told().1
    }

    /// What was looked at.
    #[must_use]
    pub fn what(self) -> &'static str {
        self.told().2
    }

    /// How bad it is.
    #[must_use]
    pub fn level(self) -> Level {
        match self {
            Code::PlaceOrphaned
            | Code::PlaceLeft
            | Code::SlotOrphaned
            | Code::SlotTouched
            | Code::RefOrphaned
            | Code::CandidateLeft
            | Code::TrashLeft
            | Code::LeavingLeft
            | Code::PreservedMissing
            | Code::NoteMissing
            | Code::FilesOrphaned
            | Code::ProcessOrphaned
            | Code::CgroupLeft
            | Code::ChecksLeft => Level::Warning,
            _ => Level::Error,
        }
    }

    /// Whether runs at work may look so for a moment.
    pub(super) fn moves(self) -> bool {
        !matches!(self.what(), "journal" | "payloads" | "service")
    }

    /// Its name, the number of what does not hold, and what was looked at.
    fn told(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Code::ChainBroken => ("chain_broken", "I12", "journal"),
            Code::EventsMissing => ("events_missing", "I10", "journal"),
            Code::EventImpossible => ("event_impossible", "I6", "journal"),
            Code::EventUnreadable => ("event_unreadable", "I12", "journal"),
            Code::RequestLost => ("request_lost", "I2", "journal"),
            Code::RowsDiffer => ("rows_differ", "I2", "journal"),
            Code::PayloadMissing => ("payload_missing", "I8", "payloads"),
            Code::PayloadChanged => ("payload_changed", "I8", "payloads"),
            Code::MergeMissing => ("merge_missing", "I7", "landings"),
            Code::MergeChanged => ("merge_changed", "I1", "landings"),
            Code::MergeUnproven => ("merge_unproven", "I1", "landings"),
            Code::NoteMissing => ("note_missing", "I1", "landings"),
            Code::WorktreeMissing => ("worktree_missing", "I5", "places"),
            Code::BranchMissing => ("branch_missing", "I5", "places"),
            Code::PlaceOrphaned => ("place_orphaned", "I5", "places"),
            Code::PlaceLeft => ("place_left", "I5", "places"),
            Code::SlotOrphaned => ("slot_orphaned", "I5", "places"),
            Code::SlotTouched => ("slot_touched", "I5", "places"),
            Code::RefOrphaned => ("ref_orphaned", "I5", "places"),
            Code::CandidateLeft => ("candidate_left", "I5", "places"),
            Code::TrashLeft => ("trash_left", "I5", "places"),
            Code::LeavingLeft => ("leaving_left", "I13", "places"),
            Code::PreservedMissing => ("preserved_missing", "I13", "places"),
            Code::ProcessMissing => ("process_missing", "I3", "processes"),
            Code::ProcessLeft => ("process_left", "I4", "processes"),
            Code::ProcessOrphaned => ("process_orphaned", "I4", "processes"),
            Code::ExitDiffers => ("exit_differs", "I9", "attempts"),
            Code::ExitUnproven => ("exit_unproven", "I9", "attempts"),
            Code::OutputCut => ("output_cut", "I10", "attempts"),
            Code::FilesOrphaned => ("files_orphaned", "I5", "attempts"),
            Code::RequestFailed => ("request_failed", "I11", "service"),
            Code::Panicked => ("panicked", "I11", "service"),
            Code::CgroupLeft => ("cgroup_left", "I4", "processes"),
            Code::ChecksLeft => ("checks_left", "I5", "attempts"),
        }
    }
}

/// What mends a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Remedy {
    /// A person must decide.
    ByHand,
    /// The rows of the run are written anew from its events.
    Rebuild(RunId),
    /// The pin of the candidate is let go.
    Release(CommitId),
    /// The ref of preserved work is made again.
    KeepAgain(RunId, CommitId),
    /// The note on the run's merge is written again.
    Note(RunId),
    /// The trash is emptied.
    EmptyTrash,
    /// The process of this run is ended.
    End(RunId, Identity),
    /// The cgroup of this run is ended and removed.
    EndCgroup(RunId, Cgroup),
    /// The folder of a round of checks is removed.
    TakeRound(PathBuf),
    /// The worktree of the pool that has this id is taken away.
    GiveBack(String),
    /// The place's work is kept under a ref, then the place is removed.
    SetAside(Place),
}

/// Something that should not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind.
    pub code: Code,
    /// The run that it is about.
    pub run: Option<RunId>,
    /// The path, ref, process or row that it is about.
    pub at: String,
    /// A sentence for a person.
    pub detail: String,
    /// What mends it, for a person.
    pub mend: String,
    pub(super) remedy: Remedy,
}

impl Finding {
    pub(super) fn new(code: Code, at: impl Into<String>, detail: impl Into<String>) -> Finding {
        Finding {
            code,
            run: None,
            at: at.into(),
            detail: detail.into(),
            mend: String::new(),
            remedy: Remedy::ByHand,
        }
    }

    pub(super) fn of(mut self, run: RunId) -> Finding {
        self.run = Some(run);
        self
    }

    /// What a person is to do.
    pub(super) fn by_hand(mut self, mend: impl Into<String>) -> Finding {
        self.mend = mend.into();
        self
    }

    /// What [`mend`](super::mend) does.
    pub(super) fn by(mut self, remedy: Remedy, mend: impl Into<String>) -> Finding {
        self.remedy = remedy;
        self.mend = mend.into();
        self
    }

    /// Whether it can be mended without a decision of a person, losing nothing.
    #[must_use]
    pub fn is_mendable(&self) -> bool {
        self.remedy != Remedy::ByHand
    }

    /// Whether it is mended unasked. What belongs to no known run is not: another service may know it, or a
    /// database that was brought back may have forgotten it.
    #[must_use]
    pub fn mends_itself(&self) -> bool {
        match self.remedy {
            Remedy::ByHand | Remedy::SetAside(_) => false,
            Remedy::End(..) => self.code == Code::ProcessLeft,
            Remedy::Rebuild(_)
            | Remedy::Release(_)
            | Remedy::KeepAgain(..)
            | Remedy::Note(_)
            | Remedy::EndCgroup(..)
            | Remedy::TakeRound(_)
            | Remedy::GiveBack(_)
            | Remedy::EmptyTrash => true,
        }
    }
}
