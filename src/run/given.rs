//! What an agent is given in its environment so that it can ask the service about its own run: the names.

/// The id of the run; everything that the agent starts carries it.
pub const RUN_ID: &str = "AGENT_RUNNER_RUN_ID";

/// The id of the attempt; what is left over is known by it, also after a restart.
pub const ATTEMPT_ID: &str = "AGENT_RUNNER_ATTEMPT_ID";

/// The address of the service, `http://host:port`.
pub const URL: &str = "AGENT_RUNNER_URL";

/// The token of the run: it opens what concerns this run, and nothing else.
pub const TOKEN: &str = "AGENT_RUNNER_TOKEN";
