//! What was let go, and what was not.

use serde::Serialize;
use utoipa::ToSchema;

/// Something that is past its time, or may be one day.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize, ToSchema)]
pub struct GcItem {
    /// `preserved`, `leftover`, `trash`, `payload`, `unfinished_upload` or `idempotency_keys`.
    pub what: String,
    /// The ref or path that it is about.
    pub at: String,
    /// The run whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub run_id: Option<String>,
    /// Bytes of the disk that it has; 0 for a ref, whose objects go with the repository's own `git gc`.
    pub bytes: u64,
    /// Why it goes, or stays.
    pub why: String,
}

/// What was let go.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize, ToSchema)]
pub struct GcView {
    /// Whether nothing was done, and this is what would be.
    pub dry_run: bool,
    /// Bytes of the disk that are free again, or would be.
    pub freed_bytes: u64,
    /// What went, or would go.
    pub gone: Vec<GcItem>,
    /// What stays, and why.
    pub left: Vec<GcItem>,
}
