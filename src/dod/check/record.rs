//! What is kept of a check that was run: enough to say what ran, where, and what came of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Counts, End, Failed};
use crate::run::EvidenceId;

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRecord {
    /// SHA-256 of the tree, the check as it is written, and the environment: equal keys, equal results.
    pub key: String,
    /// The command.
    pub cmd: String,
    /// How its process ended.
    pub end: End,
    /// Why it did not pass; nothing if it passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Failed>,
    /// Milliseconds from its start to its end.
    pub duration_ms: u64,
    /// The tests that it ran, as far as a known test runner or a report tells them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// SHA-256 of the environment that it was run in: the variables that were given, and the versions of the tools.
    pub environment: String,
    /// What tools said of their versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tools: BTreeMap<String, String>,
    /// Whether it had a network of its own.
    #[serde(default)]
    pub own_network: bool,
    /// The evidence of the same command on the same tree in the same environment whose result this is, if it was not
    /// run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_from: Option<EvidenceId>,
    /// `red_green`: what it came to on the base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_base: Option<OnBase>,
}

/// What a `red_green` check came to on the base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnBase {
    /// How its process ended there.
    pub end: End,
    /// The tests that it ran there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
}

impl CheckRecord {
    /// Whether it passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failed.is_none()
    }
}
