//! What the agent of a run may ask of its own run.

use super::App;
use super::refused::Refused;
use crate::run::{Phase, RunId};

impl App {
    /// The run whose agent shows this token.
    ///
    /// # Errors
    /// It is no token of a run that there is, or the run is at its end.
    pub fn agent_of(&self, token: &str) -> Result<RunId, Refused> {
        let id = self
            .context()
            .tokens
            .run_of(token)
            .ok_or(Refused::NoToken)?;
        let run = self.context().journal.run(id)?.ok_or(Refused::NoToken)?;
        match run.phase {
            Phase::Merged { .. } | Phase::Aborting { .. } | Phase::Aborted { .. } => {
                Err(Refused::TokenEnded)
            }
            _ => Ok(id),
        }
    }
}
