//! What a reader of a stream gets: one event or one piece of output, and how it is sent.

use std::io::Write as _;

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::Serialize;

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

impl Frame {
    /// The frame as it is sent (WHATWG HTML, server-sent events).
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.json.len() + 80);
        write_frame(&mut bytes, self.id, self.name, |out| {
            let _infallible = out.write_all(self.json.as_bytes());
        });
        bytes.freeze()
    }
}

/// Puts a frame, as it is sent, behind what is there. `json` writes one JSON text.
pub fn write_frame(
    bytes: &mut BytesMut,
    id: Cursor,
    name: FrameName,
    json: impl FnOnce(&mut bytes::buf::Writer<&mut BytesMut>),
) {
    let name = name.as_str();
    let mut out = bytes.writer();
    let _infallible = write!(out, "id: {id}\nevent: {name}\ndata: ");
    let from = out.get_ref().len();
    json(&mut out);
    // A line break outside of a JSON string is only space, and inside of one it cannot stand.
    let bytes = out.into_inner();
    for byte in &mut bytes[from..] {
        if matches!(*byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    bytes.extend_from_slice(b"\n\n");
}

/// The same with something that has a JSON form.
pub fn write_frame_of(bytes: &mut BytesMut, id: Cursor, name: FrameName, json: &impl Serialize) {
    write_frame(bytes, id, name, |out| {
        let written = serde_json::to_writer(out, json);
        debug_assert!(written.is_ok(), "a buffer takes what it gets");
    });
}
