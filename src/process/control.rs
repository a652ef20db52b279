//! The words on `control.sock`: one JSON line in, one JSON line out, then the connection ends.
//!
//! ```text
//! {"stop":{"ended_by":"stop"}}    gently, by the launch's steps; asked twice means now
//! {"kill":{"ended_by":"stop"}}    now
//! {"status":{}}                   nothing is changed
//! -> {"ok":{"pid":7,"stage":"running","output_bytes":12}}   or {"error":"…"}
//! ```
//!
//! An answer says that the request was taken; the end itself is seen on the supervisor's pidfd.
//!
//! The server and a supervisor may be of different versions, for as long as the agent works. So a word keeps its meaning for
//! ever, fields are only added and those that are not known are passed over, and a word that is not known is answered with
//! `error`: who asked then does without.

use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::run::{EndedBy, Silence};

/// The socket's name in the attempt's directory.
pub(super) const SOCKET: &str = "control.sock";
/// The longest line on the socket in bytes: the longest there is has about a hundred.
pub(super) const MAX_LINE: usize = 4096;
/// How long a supervisor has to answer. A healthy one takes less than a millisecond.
const ANSWER_BUDGET: Duration = Duration::from_secs(2);

/// What can be asked of a supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Request {
    /// Stop gently.
    Stop {
        /// On whose behalf.
        ended_by: EndedBy,
    },
    /// Kill at once.
    Kill {
        /// On whose behalf.
        ended_by: EndedBy,
    },
    /// Tell how it is.
    Status {},
}

/// What a supervisor says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// Taken; this is how it is now.
    Ok(Status),
    /// Not understood.
    Error(String),
}

/// How an agent is, as its supervisor tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The agent's pid. Not an identity: that is in [`Started`](super::Started).
    pub pid: i32,
    /// Who is making it end, if it is being ended.
    pub stopping: Option<EndedBy>,
    /// Bytes of output of this attempt until now.
    pub output_bytes: u64,
    /// Milliseconds since the agent's start.
    pub running_ms: u64,
}

/// A supervisor that gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// There is nobody to connect to, or the connection broke.
    #[error("the supervisor cannot be reached: {0}")]
    Unreachable(#[from] std::io::Error),
    /// It is silent.
    #[error("the supervisor gave no answer within {} s", ANSWER_BUDGET.as_secs())]
    Silent,
    /// Somebody holds it, so that it was not asked.
    #[error("the supervisor is held: {}", .0.as_str())]
    Held(Silence),
    /// It said something else.
    #[error("the supervisor answered {0:?}")]
    Nonsense(String),
}

/// Asks the supervisor of the attempt in `dir`, within [`ANSWER_BUDGET`].
pub(super) async fn ask(dir: &Path, request: Request) -> Result<Status, Unanswered> {
    let line = tokio::time::timeout(ANSWER_BUDGET, exchange(dir, request))
        .await
        .map_err(|_elapsed| Unanswered::Silent)??;
    if line.is_empty() {
        // It ended meanwhile.
        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
    }
    match serde_json::from_str(&line) {
        Ok(Answer::Ok(status)) => Ok(status),
        Ok(Answer::Error(_)) | Err(_) => Err(Unanswered::Nonsense(line)),
    }
}

async fn exchange(dir: &Path, request: Request) -> std::io::Result<String> {
    // A socket's path has at most 107 bytes, a directory's may have more: it is reached through its descriptor.
    let dir = rustix::fs::open(
        dir,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let short = format!("/proc/self/fd/{}/{SOCKET}", dir.as_fd().as_raw_fd());
    let mut stream = UnixStream::connect(short).await?;
    let mut line = serde_json::to_vec(&request)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = String::new();
    stream
        .take(MAX_LINE as u64)
        .read_to_string(&mut answer)
        .await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_as_documented() {
        let line = |request: Request| serde_json::to_string(&request).unwrap();
        let ended_by = EndedBy::Stop;
        assert_eq!(
            line(Request::Stop { ended_by }),
            r#"{"stop":{"ended_by":"stop"}}"#
        );
        assert_eq!(
            line(Request::Kill { ended_by }),
            r#"{"kill":{"ended_by":"stop"}}"#
        );
        assert_eq!(line(Request::Status {}), r#"{"status":{}}"#);
    }

    #[test]
    fn fields_of_another_version_are_passed_over_and_its_words_are_not_understood() {
        let request = |text| serde_json::from_str::<Request>(text);
        let ended_by = EndedBy::Stop;
        assert_eq!(
            request(r#"{"kill":{"ended_by":"stop","mood":"good"}}"#).unwrap(),
            Request::Kill { ended_by }
        );
        assert_eq!(
            request(r#"{"status":{"more":1}}"#).unwrap(),
            Request::Status {}
        );
        request(r#"{"freeze":{}}"#).unwrap_err();
        request(r#"{"kill":{"ended_by":"the tides"}}"#).unwrap_err();
        let answer =
            r#"{"ok":{"pid":7,"stopping":null,"output_bytes":12,"running_ms":5,"mood":"good"}}"#;
        let Answer::Ok(status) = serde_json::from_str(answer).unwrap() else {
            panic!("it is an answer");
        };
        assert_eq!((status.pid, status.output_bytes), (7, 12));
    }
}
