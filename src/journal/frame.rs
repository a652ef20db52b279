//! What a reader of a stream gets: one event or one piece of output, encoded once.

use super::cursor::Cursor;

/// The names of frames: a closed list, so that no name can ever carry a line break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(missing_docs, reason = "docs/api.md says when each is sent")]
pub enum FrameName {
    Connected,
    Status,
    Session,
    Output,
    Evidence,
    Validated,
    Rejected,
    Candidate,
    Merged,
    Aborted,
    Preserved,
    Restored,
}

impl FrameName {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            FrameName::Connected => "connected",
            FrameName::Status => "status",
            FrameName::Session => "session",
            FrameName::Output => "output",
            FrameName::Evidence => "evidence",
            FrameName::Validated => "validated",
            FrameName::Rejected => "rejected",
            FrameName::Candidate => "candidate",
            FrameName::Merged => "merged",
            FrameName::Aborted => "aborted",
            FrameName::Preserved => "preserved",
            FrameName::Restored => "restored",
        }
    }
}

/// One frame of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Where a reader is once it has seen this frame.
    pub id: Cursor,
    /// What it is.
    pub name: FrameName,
    /// One line of JSON.
    pub json: String,
}
