//! One thing that was looked at.

use serde::Serialize;

/// How it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// The server works, but something will be missed.
    Warn,
    /// The server cannot work like this.
    Fail,
}

impl Verdict {
    /// The word for it in tables and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it was found.
    pub status: Verdict,
    /// What was seen.
    pub detail: String,
    /// What to do about it.
    pub advice: Option<String>,
}

impl Check {
    pub fn ok(name: &'static str, detail: impl Into<String>) -> Check {
        Check {
            name,
            status: Verdict::Ok,
            detail: detail.into(),
            advice: None,
        }
    }

    pub fn warn(name: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Check {
        Check {
            name,
            status: Verdict::Warn,
            detail: detail.into(),
            advice: Some(advice.into()),
        }
    }

    pub fn fail(name: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Check {
        Check {
            name,
            status: Verdict::Fail,
            detail: detail.into(),
            advice: Some(advice.into()),
        }
    }
}
