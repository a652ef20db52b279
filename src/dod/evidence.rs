//! Evidence for an item, bound to the commit and tree that it speaks of.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::check::CheckRecord;
use super::item::EvidenceKind;
use crate::run::{CommitId, EvidenceId, ItemId, TreeId};

/// The commit of the work and its tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The commit.
    pub commit: CommitId,
    /// Its tree: what evidence is bound to.
    pub tree: TreeId,
}

/// What the evidence is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Payload {
    /// Words.
    Text {
        /// The words.
        text: String,
    },
    /// A file; its bytes are in the content store under its sha256.
    File {
        /// The path as it was given, or the name of the upload.
        path: String,
        /// The media type that was told at the upload.
        media_type: Option<String>,
    },
    /// An address.
    Url {
        /// The address; http or https.
        url: String,
    },
}

impl Payload {
    /// Which kind this is.
    #[must_use]
    pub fn kind(&self) -> EvidenceKind {
        match self {
            Payload::Text { .. } => EvidenceKind::Text,
            Payload::File { .. } => EvidenceKind::File,
            Payload::Url { .. } => EvidenceKind::Url,
        }
    }
}

/// Who brought the evidence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Author {
    /// The run's own agent.
    Agent,
    /// A person, or a program that speaks for one.
    #[default]
    Operator,
    /// A check that the service ran.
    Check,
    /// The service itself, of what it saw in the work.
    Service,
}

impl Author {
    /// All whose word is no name of a person.
    pub const ALL_BUT_OPERATOR: [Author; 3] = [Author::Agent, Author::Check, Author::Service];

    /// The word for it in the API and the tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Author::Agent => "agent",
            Author::Operator => "operator",
            Author::Check => "check",
            Author::Service => "service",
        }
    }
}

/// What somebody said of the evidence.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// Nobody has looked yet.
    #[default]
    Open,
    /// Accepted.
    Validated {
        /// By whom.
        by: String,
        /// When.
        at: Timestamp,
        /// Why an operator accepted it in the place of the item's check, if that is what happened.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        overrides: Option<String>,
    },
    /// Turned down.
    Rejected {
        /// By whom.
        by: String,
        /// When.
        at: Timestamp,
        /// Why.
        reason: String,
    },
}

/// One piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Its id.
    pub id: EvidenceId,
    /// The item it is for.
    pub item_id: ItemId,
    /// What it is.
    pub payload: Payload,
    /// The commit and tree it speaks of.
    pub head: Head,
    /// The base commit of the run at that moment.
    pub base_commit: CommitId,
    /// Where the base branch was at that moment, if that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onto: Option<CommitId>,
    /// What the check came to, if a check brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckRecord>,
    /// The work's commit, if `head` is what merging that would result in: such evidence speaks of the candidate alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate_of: Option<CommitId>,
    /// Trees of later heads that bring the same patch on another base: it speaks of them as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub carried_to: Vec<TreeId>,
    /// SHA-256 of the payload's bytes, in hexadecimal.
    pub sha256: String,
    /// Bytes of the payload.
    pub size: u64,
    /// Who brought it.
    pub author: Author,
    /// The name of who brought it, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author_name: Option<String>,
    /// When it was attached.
    pub created_at: Timestamp,
    /// What was said of it.
    #[serde(default)]
    pub verdict: Verdict,
}

impl Evidence {
    /// Whether the work has changed since: the evidence is kept and shown, and does not count.
    #[must_use]
    pub fn is_stale(&self, now: Option<&Head>) -> bool {
        if let Some(work) = &self.candidate_of {
            return now.is_none_or(|head| head.commit != *work);
        }
        let speaks_of =
            |head: &Head| head.tree == self.head.tree || self.carried_to.contains(&head.tree);
        !now.is_some_and(speaks_of)
    }

    /// Whether it speaks of the work as it is now because the same patch is on another base.
    #[must_use]
    pub fn is_carried(&self, now: Option<&Head>) -> bool {
        self.candidate_of.is_none()
            && now.is_some_and(|head| head.tree != self.head.tree)
            && !self.is_stale(now)
    }

    /// Whether it is accepted for the work as it is now.
    #[must_use]
    pub fn counts(&self, now: Option<&Head>) -> bool {
        matches!(self.verdict, Verdict::Validated { .. })
            && self.candidate_of.is_none()
            && !self.is_stale(now)
    }
}
