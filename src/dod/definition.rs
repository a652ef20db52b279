//! Where a run's Definition of Done comes from, and the digest that tells it from another.

use serde::{Deserialize, Serialize};

use super::ItemSpec;
use super::content::sha256_hex;
use crate::run::CommitId;

/// Where items were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// The workflow's `dod_schema_json`.
    Workflow,
    /// A file in `.agent_runner/dod/` of the repository.
    Repository,
    /// The front matter of the app's page.
    AppPage,
    /// The request.
    Request,
}

/// One place where items were written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Source {
    /// What it is.
    pub kind: SourceKind,
    /// The workflow's name or the path in the repository; nothing for the request.
    pub name: Option<String>,
    /// The keys of the items that it wrote.
    pub keys: Vec<String>,
}

/// What a run's Definition of Done was made of, before anything was added to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// SHA-256 of the items in their order, in hexadecimal.
    pub digest: String,
    /// The commit whose files were read.
    pub commit: Option<CommitId>,
    /// Where the items were written, in the order in which later ones take the place of earlier ones.
    pub sources: Vec<Source>,
}

/// The digest of these items, in hexadecimal.
#[must_use]
pub fn digest(items: &[ItemSpec]) -> String {
    let text = serde_json::to_vec(items).unwrap_or_default();
    sha256_hex(&text)
}
