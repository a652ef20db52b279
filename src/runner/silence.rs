//! What is heard of the supervisor of an agent at work, or not: recorded, and its limits held in its place.

use super::driver::Driver;
use crate::process::News;
use crate::run::{EndedBy, Event, Phase, Silence};

impl Driver {
    /// Records that nothing is heard of the supervisor, or that it answers again, or ends the agent in its place.
    pub(super) async fn hear_of_supervisor(&mut self, news: News) -> anyhow::Result<()> {
        let run = self.run()?;
        let Some(attempt) = run.attempt().map(|attempt| attempt.id) else {
            return Ok(());
        };
        let event = match news {
            News::Over(by) => return self.end_from_here(by).await,
            News::Silent(why) if run.silence() != Some(why) => {
                Event::SupervisorSilent { attempt, why }
            }
            News::Answers if run.silence().is_some() => Event::SupervisorAnswered { attempt },
            News::Silent(_) | News::Answers => return Ok(()),
        };
        match news {
            News::Silent(why) => {
                tracing::warn!(run = %self.id, why = why.as_str(), "nothing is heard of a supervisor; its agent goes on");
            }
            _ => tracing::info!(run = %self.id, "a supervisor that was silent answers"),
        }
        self.context().journal.record(self.id, vec![event]).await?;
        Ok(())
    }

    /// Records that the supervisor's records cannot be read. The agent may be at work all the same.
    pub(super) async fn hear_of_unreadable(&mut self) -> anyhow::Result<()> {
        if matches!(self.run()?.phase, Phase::Running) {
            let news = News::Silent(Silence::Unreadable);
            self.hear_of_supervisor(news).await?;
        }
        Ok(())
    }

    /// Ends the agent without its supervisor. The end itself is told as ever.
    pub(super) async fn end_from_here(&mut self, by: EndedBy) -> anyhow::Result<()> {
        if let Some(working) = &mut self.working {
            working.end_without_vigil(by);
            let swept = working.supervised.end_by_force().await;
            tracing::warn!(run = %self.id, ?by, swept, "an agent was ended in the place of its silent supervisor");
        }
        Ok(())
    }
}
