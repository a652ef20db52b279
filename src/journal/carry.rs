//! Runs of one journal taken into another: their events as they are, their places new.

use std::collections::BTreeMap;

use super::Journal;
use super::append::step;
use crate::run::{Run, RunId};
use crate::store::events::{self, Line};
use crate::store::{StoreError, runs, workflows};

/// Why runs are not taken in.
#[derive(Debug, thiserror::Error)]
pub enum NotCarried {
    /// Runs with these ids are here with other events.
    #[error("these runs are here with other events: {}", names(.0))]
    OtherEvents(Vec<RunId>),
    /// The database failed, or an event is none that could be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn names(runs: &[RunId]) -> String {
    let names: Vec<String> = runs.iter().map(ToString::to_string).collect();
    names.join(", ")
}

impl Journal {
    /// All runs as their events tell them, the oldest first.
    ///
    /// # Errors
    /// The events cannot be read.
    pub fn all(&self) -> Result<Vec<Run>, StoreError> {
        let mut of_run: BTreeMap<RunId, Run> = BTreeMap::new();
        self.store().read(|connection| {
            events::each_line(connection, |line| {
                let run = step(of_run.remove(&line.run), &line.read()?)?;
                of_run.insert(line.run, run);
                Ok::<_, StoreError>(())
            })
        })?;
        Ok(of_run.into_values().collect())
    }

    /// Which of these runs are not here yet. `lines` are all the events of each run, in their order.
    ///
    /// # Errors
    /// A run is here with other events, or the database failed.
    pub fn missing(&self, lines: &[Line]) -> Result<Vec<RunId>, NotCarried> {
        let mut of_run: BTreeMap<RunId, Vec<&Line>> = BTreeMap::new();
        for line in lines {
            of_run.entry(line.run).or_default().push(line);
        }
        let mut missing = Vec::new();
        let mut other = Vec::new();
        for (run, theirs) in of_run {
            let ours = self.store().read(|db| events::lines_of(db, run))?;
            // More has happened to it here since: what is to come is there already.
            let known =
                ours.len() >= theirs.len() && ours.iter().zip(&theirs).all(|(a, b)| a == *b);
            if ours.is_empty() {
                missing.push(run);
            } else if !known {
                other.push(run);
            }
        }
        if other.is_empty() {
            Ok(missing)
        } else {
            Err(NotCarried::OtherEvents(other))
        }
    }

    /// Appends the events of runs that are not here, and what follows from them, and stores workflows; all or nothing.
    ///
    /// # Errors
    /// An event cannot be read or cannot follow, or the database failed; nothing is stored then.
    pub async fn carry(
        &self,
        lines: Vec<Line>,
        workflows: Vec<workflows::Stored>,
    ) -> Result<(), NotCarried> {
        let seq = self
            .store()
            .write(move |connection| {
                let mut of_run: BTreeMap<RunId, Run> = BTreeMap::new();
                let mut seq = 0;
                for line in &lines {
                    let recorded = events::append_line(connection, line)?;
                    let run = step(of_run.remove(&line.run), &recorded)?;
                    runs::project(connection, &run, &recorded)?;
                    of_run.insert(line.run, run);
                    seq = recorded.seq;
                }
                for workflow in &workflows {
                    workflows::carry(connection, workflow)?;
                }
                Ok::<_, NotCarried>(seq)
            })
            .await?;
        self.tell(seq);
        Ok(())
    }
}
