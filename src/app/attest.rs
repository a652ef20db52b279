//! What is attested of a run: of its merge, or of its work as it is.

use super::{App, Refused};
use crate::clock;
use crate::git::RefName;
use crate::proof;
use crate::run::{Phase, Refusal};
use crate::runner::{ask_gate, merge_of};
use crate::shape::view::AttestationView;

impl App {
    /// The statements about a run: those that are noted on its merge commit; before a merge, those that would be made
    /// now, the gate's with what is missing.
    ///
    /// # Errors
    /// There is no such run, it has no commit yet, or its merge is not in the repository any more.
    pub async fn attestation(&self, run: &str) -> Result<AttestationView, Refused> {
        let run = self.load(self.run_id(run)?)?;
        let repository = &self.context().repository;
        if let Phase::Merged { commit, .. } = &run.phase {
            let gone = || Refused::MergeMissing(commit.clone());
            if !repository.has_commit(commit).await? {
                return Err(gone());
            }
            let merge = merge_of(self.context(), &run).await?.ok_or_else(gone)?;
            return Ok(AttestationView {
                run_id: run.id.to_string(),
                merged: true,
                commit: commit.to_string(),
                note: Some(RefName::notes().to_string()),
                statements: proof::of_merge(&run, &merge)
                    .lines
                    .into_iter()
                    .map(raw)
                    .collect(),
            });
        }
        let asked = ask_gate(self.context(), &run).await?;
        let head = asked.head.ok_or(Refused::State(Refusal::NoHead))?;
        let missing = asked.answer.err().unwrap_or_default();
        let bundle = proof::of_head(&run, &head, &missing, clock::now());
        Ok(AttestationView {
            run_id: run.id.to_string(),
            merged: false,
            commit: head.commit.to_string(),
            note: None,
            statements: bundle.lines.into_iter().map(raw).collect(),
        })
    }
}

/// Kept as it is written: others have its digest.
fn raw(line: String) -> Box<serde_json::value::RawValue> {
    serde_json::value::RawValue::from_string(line).unwrap_or_default()
}
