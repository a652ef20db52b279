//! Why the service does not do what was asked. Each refusal has changed nothing.

use crate::dod::content::ContentError;
use crate::gate::Blocker;
use crate::git;
use crate::run::{CommitId, EvidenceId, Refusal, RunId};
use crate::runner::definition::NotRead;
use crate::runner::room::{FileSystem, tells_of_full_disk};
use crate::store::StoreError;

/// A field of a request that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct FieldProblem {
    /// JSON pointer to the field.
    pub pointer: String,
    /// What is wrong, and what to write instead.
    pub detail: String,
}

impl FieldProblem {
    /// This field, with this to say of it.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        FieldProblem {
            pointer: pointer.into(),
            detail: detail.into(),
        }
    }
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There is no such thing.
    #[error("there is no {what} `{id}`")]
    NotFound {
        /// What was looked for: `run`, `evidence`, `workflow`, …
        what: &'static str,
        /// The id or name that was given.
        id: String,
    },
    /// The prefix fits more than one.
    #[error("`{prefix}` begins the id of more than one {what}; write more of it")]
    AmbiguousId {
        /// What was looked for.
        what: &'static str,
        /// The prefix.
        prefix: String,
    },
    /// No workflow has the name of this mode.
    #[error("there is no mode `{mode}`; there are: {}", known.join(", "))]
    UnknownMode {
        /// The mode that was asked for.
        mode: String,
        /// The field that named it.
        pointer: &'static str,
        /// The modes there are.
        known: Vec<String>,
    },
    /// Well-formed, but wrong.
    #[error("{}", .0.iter().map(|f| format!("{}: {}", f.pointer, f.detail)).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<FieldProblem>),
    /// The Definition of Done cannot be read at the tip of the base.
    #[error("{detail}")]
    Definition {
        /// What cannot be taken, each with its place.
        detail: String,
        /// The files.
        paths: Vec<String>,
    },
    /// Another run for the same card or issue is going on.
    #[error(
        "run {run} for the same {what} is going on; wait for it, abort it, or ask with `allow_parallel: true`"
    )]
    LiveRun {
        /// `card_id` or `issue_id`.
        what: &'static str,
        /// The run that is going on.
        run: RunId,
    },
    /// The idempotency key was used with another body.
    #[error("the Idempotency-Key was used before with another request")]
    IdempotencyMismatch,
    /// The run's state does not allow it.
    #[error("{}", refusal_sentence(.0))]
    State(Refusal),
    /// The evidence was brought by the run's own agent, or by the name that would validate it.
    #[error("`{by}` cannot validate: evidence is accepted by somebody other than its author")]
    OwnEvidence {
        /// The evidence.
        evidence: EvidenceId,
        /// Who would validate it.
        by: String,
    },
    /// The token that was shown is none of ours.
    #[error("this is no token that the service knows; send none, or that of your run")]
    NoToken,
    /// The token's run has merged or was aborted.
    #[error("the token has ended with its run")]
    TokenEnded,
    /// The gate is shut.
    #[error("the gate is shut: {}", .0.iter().map(|b| b.detail.as_str()).collect::<Vec<_>>().join("; "))]
    GateClosed(Vec<Blocker>),
    /// The branch and the base change the same lines.
    #[error("the branch conflicts with the base in: {}", paths.join(", "))]
    MergeConflict {
        /// The files.
        paths: Vec<String>,
    },
    /// The base is checked out with changes where the merge would write, or with something in progress.
    #[error("{}", in_the_way(checkout, paths, *busy))]
    BaseCheckedOutDirty {
        /// The checkout.
        checkout: String,
        /// The files; none if something is in progress.
        paths: Vec<String>,
        /// What is in progress there.
        busy: Option<&'static str>,
    },
    /// Checks did not pass on the result of the merge.
    #[error("{0}")]
    CandidateChecksFailed(String),
    /// The checks could not be run on the result of the merge.
    #[error("{0}")]
    NotChecked(String),
    /// Somebody has cancelled the merge.
    #[error("the merge was cancelled: {0}")]
    MergeCancelled(String),
    /// The merge was to be pushed, and the remote said no.
    #[error("{0}")]
    PushRefused(String),
    /// The merge was to be pushed, and the remote was not reached.
    #[error("{0}")]
    PushFailed(String),
    /// The remote has the merge, and the base has moved meanwhile.
    #[error("{0}")]
    PushedButBaseMoved(String),
    /// The merge that was waited for has stopped.
    #[error("{0}")]
    MergeStopped(String),
    /// The work does not conflict with its base now.
    #[error("the branch does not conflict with its base")]
    NoConflict,
    /// The base moved each time that the merge was tried.
    #[error("the base moved while the merge was made; try again")]
    BaseMoved,
    /// The run's merge is not in the repository any more.
    #[error("the merge {0} of the run is not in the repository any more; `doctor` tells more")]
    MergeMissing(CommitId),
    /// The payload is too large.
    #[error("the payload has over {limit} bytes")]
    TooLarge {
        /// The most that is allowed.
        limit: u64,
    },
    /// The work of an aborted run is no longer kept, or its place is taken.
    #[error("the run cannot be restored: {0}")]
    CannotRestore(String),
    /// What the agent printed was let go.
    #[error(
        "the output of run {run} was past its time and went at {at}; what happened to the run is kept"
    )]
    OutputPruned {
        /// The run.
        run: RunId,
        /// When.
        at: String,
    },
    /// A workflow cannot be changed so.
    #[error("the workflow cannot be changed: {0}")]
    Workflow(String),
    /// A file system has less room than is asked for before anything is begun.
    #[error("nothing new is begun: {}. Abort, merge, evidence and its validation go on", .0.sentence())]
    DiskLow(FileSystem),
    /// A file system was full while it was done.
    #[error(
        "a file system is full, so this was not done. Make room (GET /api/health tells where) and ask again"
    )]
    DiskFull(#[source] anyhow::Error),
    /// The service is stopping.
    #[error("the service is stopping; try again in a moment")]
    Draining,
    /// The database does not answer.
    #[error("the database does not answer")]
    Degraded,
    /// A row of the database cannot be read; nothing was changed.
    #[error(
        "{0}; `agent_runner_api doctor` tells more. If a newer version of this program has written it, start that one; \
         else bring back a backup"
    )]
    Unreadable(StoreError),
    /// Something of ours failed.
    #[error("something failed inside the service")]
    Internal(#[source] anyhow::Error),
}

impl Refused {
    /// Something of ours failed: for lack of room, or inside.
    #[must_use]
    pub fn failed(error: anyhow::Error) -> Refused {
        if tells_of_full_disk(&format!("{error:#}")) {
            Refused::DiskFull(error)
        } else {
            Refused::Internal(error)
        }
    }
}

impl From<ContentError> for Refused {
    fn from(error: ContentError) -> Self {
        match error {
            ContentError::TooLarge { limit } => Refused::TooLarge { limit },
            ContentError::Io { .. } => Refused::failed(error.into()),
        }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoRun(id) => Refused::NotFound { what: "run", id },
            StoreError::NotCommitted(why) if !tells_of_full_disk(&why) => Refused::Degraded,
            StoreError::Closed => Refused::Degraded,
            StoreError::Unreadable { .. } | StoreError::Illegal(_) | StoreError::Damaged(_) => {
                Refused::Unreadable(error)
            }
            other => Refused::failed(other.into()),
        }
    }
}

/// What the database said keeps its name, however deep in the work it was said.
impl From<anyhow::Error> for Refused {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<StoreError>() {
            Ok(error) => error.into(),
            Err(error) => Refused::failed(error),
        }
    }
}

impl From<NotRead> for Refused {
    fn from(error: NotRead) -> Self {
        let detail = error.to_string();
        match error {
            NotRead::Git(error) => error.into(),
            NotRead::TooMany(_) => Refused::Definition {
                detail,
                paths: Vec::new(),
            },
            NotRead::Bad { bad, .. } => {
                let mut paths: Vec<_> = bad.into_iter().map(|bad| bad.path).collect();
                paths.dedup();
                Refused::Definition { detail, paths }
            }
        }
    }
}

impl From<git::Error> for Refused {
    fn from(error: git::Error) -> Self {
        Refused::failed(error.into())
    }
}

fn in_the_way(checkout: &str, paths: &[String], busy: Option<&'static str>) -> String {
    match busy {
        Some(busy) => format!("the base is checked out at {checkout}, and {busy}"),
        None => format!(
            "the base is checked out at {checkout} with changes that the merge would overwrite: {}",
            paths.join(", ")
        ),
    }
}

/// One sentence for each refusal, with what to do.
fn refusal_sentence(refusal: &Refusal) -> String {
    match refusal {
        Refusal::RunActive(status) => {
            format!("the run is {}; wait until it is finished", status.as_str())
        }
        Refusal::AlreadyMerged => "the run has merged and never changes".to_owned(),
        Refusal::RunAborted => "the run was aborted; `restore` brings it back".to_owned(),
        Refusal::NotAborted => "the run is not aborted; there is nothing to restore".to_owned(),
        Refusal::Aborting => "the run is being aborted".to_owned(),
        Refusal::Merging => "the run is being merged".to_owned(),
        Refusal::TooLate => "the base is being moved or has been moved; it is too late".to_owned(),
        Refusal::NoMerge => "no merge of the run is under way".to_owned(),
        Refusal::UnknownItem(id) => format!("there is no item `{id}` in this run"),
        Refusal::UnknownEvidence(id) => format!("there is no evidence `{id}` in this run"),
        Refusal::KindNotAccepted {
            item_key,
            kind,
            accepts,
        } => format!(
            "`{item_key}` takes {}, not {}",
            accepts
                .iter()
                .map(|k| k.as_str())
                .collect::<Vec<_>>()
                .join(", "),
            kind.as_str()
        ),
        Refusal::EvidenceStale(_) => {
            "the work has changed since this evidence was attached; attach it again".to_owned()
        }
        Refusal::OnlyByCheck { item_key } => format!(
            "`{item_key}` is accepted by its check; run the checks, or give a reason with `override` to accept it in the check's place"
        ),
        Refusal::NothingToOverride { item_key } => {
            format!("`{item_key}` is for a person to accept; validate it without `override`")
        }
        Refusal::OwnEvidence { by, .. } => {
            format!(
                "`{by}` cannot validate: evidence is accepted by somebody other than its author"
            )
        }
        Refusal::EvidenceRejected(_) => {
            "this evidence was rejected; attach new evidence".to_owned()
        }
        Refusal::EvidenceValidated(_) => "this evidence is validated".to_owned(),
        Refusal::TooMuch(what) => format!("the run has as many {what} as one run can have"),
        Refusal::NoSession(why) => (*why).to_owned(),
        Refusal::Changed => "something happened to the run meanwhile; try again".to_owned(),
        Refusal::NoHead => "the run has no branch yet that evidence could speak of".to_owned(),
    }
}
