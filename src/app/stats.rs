//! Honesty figures.

use super::{App, Refused};
use crate::clock::rfc3339;
use crate::shape::request::StatsFilter;
use crate::shape::view::StatsView;
use crate::store::stats;

impl App {
    /// How often what was called done was done.
    ///
    /// # Errors
    /// The database failed.
    pub async fn stats(&self, filter: StatsFilter) -> Result<StatsView, Refused> {
        let store = self.context().journal.store().clone();
        // A long history takes long enough to hold others up.
        let counted = tokio::task::spawn_blocking(move || {
            let since = filter.since.map(rfc3339);
            Ok::<_, Refused>((since, store.read(|db| stats::stats(db, &filter))?))
        });
        let (since, (total, groups)) = counted.await.map_err(anyhow::Error::new)??;
        Ok(StatsView {
            since,
            total,
            groups,
        })
    }
}
