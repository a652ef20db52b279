//! Where a run's Definition of Done comes from, and the digest that tells it from another.

use serde::{Deserialize, Serialize};

use super::ItemSpec;
use super::content::sha256_hex;
use crate::run::CommitId;

/// Where items were written.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// What it is.
    pub kind: SourceKind,
    /// The workflow's name or the path in the repository; nothing for the request.
    pub name: Option<String>,
    /// The keys of the items that it wrote.
    pub keys: Vec<String>,
    /// The items themselves, where they cannot be read again at another commit: those of the workflow and the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<ItemSpec>,
}

impl Source {
    /// This place, with what it wrote.
    #[must_use]
    pub fn of(kind: SourceKind, name: Option<String>, items: &[ItemSpec]) -> Source {
        let again = matches!(kind, SourceKind::Repository | SourceKind::AppPage);
        Source {
            kind,
            name,
            keys: items.iter().map(|item| item.key.clone()).collect(),
            items: if again { Vec::new() } else { items.to_vec() },
        }
    }
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
    /// Whether it was read again because the base had moved: the run's prompt tells of the one before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_again: bool,
}

/// The digest of these items, in hexadecimal.
#[must_use]
pub fn digest(items: &[ItemSpec]) -> String {
    let text = serde_json::to_vec(items).unwrap_or_default();
    sha256_hex(&text)
}
