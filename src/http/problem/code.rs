//! The names of the problems, each with its status and its title. Stable: clients match on them.

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $status:ident, $title:literal;)*) => {
        /// The stable name of a problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        #[schema(as = ProblemCode)]
        pub enum Code {
            $($(#[$doc])* #[doc = $title] $code,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &[Code] = &[$(Code::$code,)*];

            /// The status it is answered with.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self {
                    $(Code::$code => StatusCode::$status,)*
                }
            }

            /// The same few words each time.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self {
                    $(Code::$code => $title,)*
                }
            }
        }
    };
}

codes! {
    BadRequest = BAD_REQUEST, "The request cannot be read";
    NotJson = BAD_REQUEST, "The body is not JSON";
    BadMultipart = BAD_REQUEST, "The multipart body cannot be read";
    BadCursor = BAD_REQUEST, "This is no cursor of a stream";
    Unauthorized = UNAUTHORIZED, "It is not known who asks";
    Forbidden = FORBIDDEN, "Who asks may not do this";
    OriginRefused = FORBIDDEN, "This origin may not ask";
    CrossSiteRefused = FORBIDDEN, "Another site may not ask";
    OwnEvidence = FORBIDDEN, "Nobody validates their own evidence";
    NotFound = NOT_FOUND, "There is no such thing";
    MethodNotAllowed = METHOD_NOT_ALLOWED, "This method does not go with this path";
    RequestTimeout = REQUEST_TIMEOUT, "The body took too long";
    AmbiguousId = CONFLICT, "The id fits more than one";
    LiveRun = CONFLICT, "A run for the same is going on";
    IdempotencyInProgress = CONFLICT, "The first request with this key is at work";
    RunActive = CONFLICT, "The run is at work";
    AlreadyMerged = CONFLICT, "The run has merged";
    RunAborted = CONFLICT, "The run was aborted";
    NotAborted = CONFLICT, "The run was not aborted";
    Aborting = CONFLICT, "The run is being aborted";
    Merging = CONFLICT, "The run is being merged";
    TooLate = CONFLICT, "It is too late";
    EvidenceStale = CONFLICT, "The evidence speaks of an earlier state of the work";
    EvidenceRejected = CONFLICT, "The evidence was rejected";
    EvidenceValidated = CONFLICT, "The evidence is validated";
    OnlyByCheck = CONFLICT, "The item is accepted by its check";
    NothingToOverride = CONFLICT, "The item has no check whose place could be taken";
    TooMuch = CONFLICT, "The run has as many as it can have";
    NoSession = CONFLICT, "The agent has no session to continue";
    Changed = CONFLICT, "The run changed meanwhile";
    NoHead = CONFLICT, "The run has no work yet";
    GateClosed = CONFLICT, "The gate is shut";
    NothingToMerge = CONFLICT, "There is nothing to merge";
    MergeConflict = CONFLICT, "The branch conflicts with the base";
    BaseCheckedOutDirty = CONFLICT, "The base is checked out with changes in the way";
    CandidateChecksFailed = CONFLICT, "Checks did not pass on the result of the merge";
    NotChecked = CONFLICT, "The checks could not be run on the result of the merge";
    Cancelled = CONFLICT, "The merge was cancelled";
    PushRefused = CONFLICT, "The remote refused the merge";
    PushFailed = CONFLICT, "The merge could not be pushed";
    PushedButBaseMoved = CONFLICT, "The remote has the merge and the base moved";
    MergeStopped = CONFLICT, "The merge has stopped";
    NoConflict = CONFLICT, "There is no conflict";
    MergeMissing = CONFLICT, "The merge is gone";
    BaseMoved = CONFLICT, "The base moved";
    CannotRestore = CONFLICT, "The run cannot be restored";
    WorkflowConflict = CONFLICT, "The workflow cannot be changed so";
    OutputPruned = GONE, "The output was past its time";
    TooLarge = PAYLOAD_TOO_LARGE, "The body is too large";
    UriTooLong = URI_TOO_LONG, "The address is too long";
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE, "This media type is not taken here";
    Misdirected = MISDIRECTED_REQUEST, "This host is not served here";
    Invalid = UNPROCESSABLE_ENTITY, "The request is well-formed but wrong";
    UnknownMode = UNPROCESSABLE_ENTITY, "There is no such mode";
    DefinitionUnreadable = UNPROCESSABLE_ENTITY, "The Definition of Done cannot be read";
    KindNotAccepted = UNPROCESSABLE_ENTITY, "The item does not take this kind of evidence";
    IdempotencyMismatch = UNPROCESSABLE_ENTITY, "The key was used with another body";
    Internal = INTERNAL_SERVER_ERROR, "Something failed inside the service";
    Draining = SERVICE_UNAVAILABLE, "The service is stopping";
    Degraded = SERVICE_UNAVAILABLE, "The service is not well";
    DiskLow = INSUFFICIENT_STORAGE, "There is too little room to begin anything";
    DiskFull = INSUFFICIENT_STORAGE, "A file system is full";
    TooBusy = SERVICE_UNAVAILABLE, "Too many at once";
    Unreadable = SERVICE_UNAVAILABLE, "What is stored cannot be read";
}
