//! Names for things of ours that have no address that everybody can reach.

use std::fmt::Write as _;

use crate::run::{EvidenceId, RunId};

/// The gate, as who verifies.
pub(super) const GATE: &str = "urn:agent_runner_api:gate";

pub(super) fn of_run(run: RunId) -> String {
    format!("urn:agent_runner_api:run:{run}")
}

pub(super) fn of_evidence(run: RunId, evidence: EvidenceId) -> String {
    format!("{}:evidence:{evidence}", of_run(run))
}

/// A run's Definition of Done, as the policy that was held to.
pub(super) fn of_definition(run: RunId) -> String {
    format!("{}:definition_of_done", of_run(run))
}

/// A branch that runs land on. Bytes that a URN does not take are written as `%XX` (RFC 8141).
pub(super) fn of_base(branch: &str) -> String {
    let mut urn = "urn:agent_runner_api:base:".to_owned();
    for byte in branch.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            urn.push(char::from(byte));
        } else {
            let _ = write!(urn, "%{byte:02X}");
        }
    }
    urn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_branch_has_a_name() {
        assert_eq!(
            of_base("release/2.0"),
            "urn:agent_runner_api:base:release/2.0"
        );
        assert_eq!(of_base("ö%"), "urn:agent_runner_api:base:%C3%B6%25");
    }
}
