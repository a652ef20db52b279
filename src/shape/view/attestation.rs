//! What is attested of a run.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// In-toto Statements about a run.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AttestationView {
    /// The run.
    pub run_id: String,
    /// Whether it has merged, and this is what is noted; else it is what would be attested now.
    pub merged: bool,
    /// The commit that the gate's statement is about: the merge, or the work.
    pub commit: String,
    /// The ref of the note that has the same statements; null before the merge.
    pub note: Option<String>,
    /// The statements, that of the gate last. Their digests are those of these very bytes.
    #[schema(value_type = Vec<Object>)]
    pub statements: Vec<Box<RawValue>>,
}

impl AttestationView {
    /// The statements as JSON Lines: the very text of the note.
    #[must_use]
    pub fn bundle(&self) -> String {
        let lines = self.statements.iter();
        lines.map(|line| format!("{}\n", line.get())).collect()
    }
}
