//! The chain of the whole journal, without a server.

use serde::Serialize;

use super::VerifyError;
use crate::config::Config;
use crate::store::{chain, whole};

/// What the chain says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChainReport {
    /// Whether every event that was written is there as it was written.
    pub whole: bool,
    /// How many events there are.
    pub events: u64,
    /// The hash of the newest, which all before it go into; null if there is none.
    pub head: Option<String>,
    /// The first event that is not what was written.
    pub broken_at: Option<u64>,
    /// How many are gone from the end.
    pub missing_at_end: u64,
    /// How many are gone from the middle.
    pub missing_between: u64,
}

/// Follows the chain over all events.
///
/// # Errors
/// There is no database, or it cannot be read.
pub fn audit_chain(config: &Config) -> Result<ChainReport, VerifyError> {
    if !config.db.exists() {
        return Err(VerifyError::NoDatabase(config.db.clone()));
    }
    let moment = whole::open_to_read(&config.db)?;
    let chain = chain::chain(&moment)?;
    Ok(ChainReport {
        whole: chain.is_whole(),
        events: chain.events,
        head: chain.head,
        broken_at: chain.broken_at,
        missing_at_end: chain.missing_at_end,
        missing_between: chain.missing_between,
    })
}
