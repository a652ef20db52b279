//! What a person should know of an attempt that is no failure: a limit that is not held, or one that was reached.

use serde::{Deserialize, Serialize};

/// Something that a person should know of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The stable name of it.
    pub code: NoticeCode,
    /// One sentence for a person.
    pub detail: String,
}

impl Notice {
    /// A notice of this kind, told in one sentence.
    pub fn new(code: NoticeCode, detail: impl Into<String>) -> Notice {
        Notice {
            code,
            detail: detail.into(),
        }
    }
}

/// The names of what there is to know. Stable: clients match on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoticeCode {
    /// A limit was asked for that nothing here can hold.
    LimitsNotEnforced,
    /// The attempt could not be given a cgroup or scope as others have: it is held together by its supervisor alone.
    NotContained,
    /// The limit on processes and threads was reached: the agent could not start some.
    TasksLimit,
    /// The kernel killed processes of the agent because its memory was used up.
    OutOfMemory,
}

/// How often the processes of an attempt were short of something, as the kernel counted it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Strain {
    /// Processes that were killed because memory was used up.
    pub oom_kills: u64,
    /// Processes and threads that were not started because of the limit on them.
    pub tasks_refused: u64,
}
