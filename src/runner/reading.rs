//! The output of an agent at work, read by the service itself.
//!
//! Only Claude says something in its output that the service has to know. What any other agent prints is not opened here:
//! it costs the service nothing unless somebody watches. Absent: limits of the output; its supervisor holds them.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use super::Context;
use crate::agent::Transcript;
use crate::run::state::Attempt;
use crate::run::{AgentKind, Run};

/// How much of the output is read between two looks at anything else.
pub(super) const READ_AT_ONCE: usize = 1024 * 1024;
/// What is read of it by one call.
const PIECE: usize = 64 * 1024;

/// The output of one attempt, read into a transcript; each byte once, as it comes.
///
/// The file is opened for each look and not kept: a run at work costs the service one descriptor, its supervisor's.
pub(super) struct Reading {
    output: Option<PathBuf>,
    offset: u64,
    pub(super) transcript: Transcript,
}

impl Reading {
    pub(super) fn new(context: &Context, run: &Run, attempt: &Attempt) -> Reading {
        Reading {
            output: is_read(run.spec.agent).then(|| context.files.of_run(run.id).output()),
            offset: attempt.output_from,
            transcript: Transcript::new(run.spec.agent),
        }
    }

    /// Reads on, at most `most` bytes and not over `limit`; how many there were.
    pub(super) fn read(&mut self, most: usize, limit: u64) -> usize {
        let Some(file) = self.output.as_ref().and_then(|at| File::open(at).ok()) else {
            return 0;
        };
        let mut piece = vec![0; PIECE];
        let mut read = 0;
        while read < most {
            let room = limit.saturating_sub(self.offset).min(PIECE as u64);
            let piece = &mut piece[..usize::try_from(room).unwrap_or(PIECE)];
            let n = file.read_at(piece, self.offset).unwrap_or(0);
            self.transcript.push_bytes(&piece[..n]);
            self.offset += n as u64;
            read += n;
            if n < PIECE {
                break;
            }
        }
        read
    }

    pub(super) fn read_all(&mut self, limit: u64) {
        while self.read(READ_AT_ONCE, limit) > 0 {}
        self.transcript.finish();
    }
}

/// Whether the output of this agent says something that the service has to know.
pub(super) fn is_read(agent: AgentKind) -> bool {
    match agent {
        AgentKind::Claude => true,
        AgentKind::Command | AgentKind::Stub => false,
    }
}
