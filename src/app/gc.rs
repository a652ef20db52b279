//! Letting go of what is past its time, when it is asked for.

use super::{App, Refused};
use crate::clock;
use crate::runner::gc;
use crate::shape::view::GcView;

impl App {
    /// Lets go of what is past its time, with a report; with `dry_run`, only the report.
    ///
    /// # Errors
    /// Something could not be looked at.
    pub async fn gc(&self, dry_run: bool) -> Result<GcView, Refused> {
        let report = gc::gc(self.context(), clock::now(), dry_run).await;
        report.map_err(Refused::Internal)
    }
}
