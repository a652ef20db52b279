//! Honesty figures.

use serde::Serialize;
use utoipa::ToSchema;

/// How often what was called done was done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct Figures {
    /// Runs that were asked for.
    pub runs: u64,
    /// Of these: merged.
    pub merged: u64,
    /// Aborted.
    pub aborted: u64,
    /// Whose agent's work has failed.
    pub failed: u64,
    /// That came as far as a round of checks or a piece of evidence.
    pub reached_proof: u64,
    /// That merged with no evidence turned down, by a check or a person, and nothing sent back to the agent.
    pub first_pass: u64,
    /// `first_pass` in `reached_proof`, 0 to 1; null if there are none.
    pub first_pass_rate: Option<f64>,
    /// Pieces of evidence.
    pub evidence: u64,
    /// Pieces that were turned down, by a check or a person.
    pub rejected_evidence: u64,
    /// Items that were accepted, lost that, and were accepted again.
    pub reopened_items: u64,
    /// Commits that the agent had just called finished, and on which a required check failed.
    pub claims_against_evidence: u64,
    /// Times that failed checks were sent back to the agent.
    pub feedback_attempts: u64,
    /// Pieces that an operator accepted in the place of their check.
    pub overrides: u64,
    /// Seconds from the request to the merge, the median of merged runs; null if there are none.
    pub median_to_merge_s: Option<f64>,
    /// US dollars, of runs that tell; null if none does.
    pub cost_usd: Option<f64>,
}

/// The figures of one workflow, agent and model.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct GroupView {
    /// The workflow.
    pub workflow: String,
    /// The agent.
    pub agent: String,
    /// The model; null where neither request nor agent has named one.
    pub model: Option<String>,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
}

/// Figures of all runs that fit, and of each group of them.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StatsView {
    /// Runs made at or after; null for all.
    pub since: Option<String>,
    /// All together.
    pub total: Figures,
    /// Each workflow, agent and model, in the order of their names.
    pub groups: Vec<GroupView>,
}
