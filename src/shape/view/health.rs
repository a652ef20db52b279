//! How the service is.

use serde::Serialize;
use utoipa::ToSchema;

use crate::run::AgentKind;

/// Whether the service is well.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[expect(
    missing_docs,
    reason = "docs/api.md and the OpenAPI document describe the fields"
)]
pub struct HealthView {
    /// `ok` or `degraded`.
    pub status: &'static str,
    pub port: u16,
    pub db: String,
    pub version: &'static str,
    pub repo_root: String,
    pub worktrees_root: String,
    pub base: String,
    /// `claude`, or `stub` when every Claude run would be carried by the stub.
    pub agent: AgentKind,
    pub stub_reason: Option<String>,
    pub max_running: u32,
    pub running: u32,
    pub queued: u32,
    /// The worktrees that stand ready.
    pub pool: PoolView,
    /// The file systems that the service writes to.
    pub disk: Vec<DiskView>,
    /// What holds the processes of an attempt together.
    pub containment: ContainmentView,
    /// Which network checks run in.
    pub check_network: CheckNetworkView,
    /// What fresh worktrees get of ignored caches, and how.
    pub seed: SeedView,
    /// Where agents ask about their own run by MCP.
    pub mcp: Option<McpView>,
    /// What a person should know.
    pub warnings: Vec<String>,
    pub started_at: String,
}

/// What fresh worktrees get of ignored caches, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SeedView {
    /// What is seeded unless a workflow says otherwise, from the root of the repository.
    pub paths: Vec<String>,
    /// The checkout that it comes from; `null` if there is none.
    pub source: Option<String>,
    /// `reflink` (bytes are shared until they are written), `copy`, or `none` (nothing is seeded).
    pub way: &'static str,
    /// Why not by reflink, for a person; `null` if it is.
    pub why_not_reflink: Option<String>,
}

/// Where agents ask about their own run by MCP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct McpView {
    /// The address of the endpoint; it wants the token of a run.
    pub url: String,
}

/// The worktrees that stand ready for the next runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PoolView {
    /// `full`, `filling`, `off`, `idle` (no run came for long), `low_disk`, `elsewhere` (another server has the folder),
    /// `starting` or `failing`.
    pub state: &'static str,
    /// Why it fails, for a person; `null` if it does not.
    pub detail: Option<String>,
    /// How many there are to be now.
    pub size: u32,
    /// How many are ready.
    pub ready: u32,
    /// The commits that they are at, one for each.
    pub at: Vec<String>,
    /// Runs since the start that found one at their commit.
    pub claimed: u64,
    /// Runs since the start for which one was brought to their commit.
    pub caught_up: u64,
    /// Runs since the start whose worktree was made.
    pub missed: u64,
}

/// A file system that the service writes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DiskView {
    /// What lies on it: `database`, `state`, `worktrees`, `repository`.
    pub holds: Vec<&'static str>,
    /// A folder on it.
    pub path: String,
    /// Bytes that the service can still write.
    pub free_bytes: u64,
    /// Bytes below which no agent is started; 0 for no floor.
    pub floor_bytes: u64,
}

/// What holds the processes of an attempt together beside its supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ContainmentView {
    /// `systemd` (a scope each), `cgroup` (a cgroup each) or `none`.
    pub kind: &'static str,
    /// What that is here, for a person.
    pub detail: String,
    /// The limits that can be held: of `memory`, `pids` and `cpu`.
    pub controllers: Vec<&'static str>,
    /// Why nothing better was taken, for a person.
    pub passed_over: Vec<String>,
}

/// Which network checks run in.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CheckNetworkView {
    /// `own` (one of their own for each list) or `machine`.
    pub kind: &'static str,
    /// Why not one of their own, for a person; `null` if they have it.
    pub why_not_own: Option<String>,
}

/// One thing that the doctor looked at.
#[derive(Debug, Clone, Default, PartialEq, Serialize, serde::Deserialize, ToSchema)]
#[serde(default)]
pub struct FindingView {
    /// What was looked at.
    pub what: String,
    /// `ok`, `warning` or `error`.
    pub level: String,
    /// What was found, and what to do.
    pub detail: String,
    /// The stable name of what does not hold; absent for what was merely looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub code: Option<String>,
    /// The number of what must always hold and does not, `I1` to `I13`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub invariant: Option<String>,
    /// The run that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub run_id: Option<String>,
    /// The path, ref, process or row that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub at: Option<String>,
    /// What mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub mend: Option<String>,
    /// Whether `POST /api/doctor/fix` does that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub mendable: Option<bool>,
}

/// What the doctor found.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize, ToSchema)]
pub struct DoctorView {
    /// Whether nothing is in the way of work.
    pub healthy: bool,
    /// Everything that was looked at.
    pub findings: Vec<FindingView>,
}

/// What was mended.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize, ToSchema)]
pub struct FixView {
    /// Whether nothing was done, and this is what would be.
    pub dry_run: bool,
    /// What was mended, or would be.
    pub mended: Vec<FindingView>,
    /// What is left for a person.
    pub left: Vec<FindingView>,
}
