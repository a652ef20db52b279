//! How a command ended becomes what is kept of its check.

use std::path::{Path, PathBuf};

use super::{log, report};
use crate::dod::check::verdict::{self, Verdict};
use crate::dod::check::{CheckSpec, Counts, End};

/// An end with what the command printed and reported.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) end: End,
    pub(super) counts: Option<Counts>,
    pub(super) verdict: Verdict,
}

/// Looks at the log, if it is one that tells of tests, and at the reports.
pub(super) async fn judged(
    spec: &CheckSpec,
    end: End,
    log: Option<PathBuf>,
    checkout: &Path,
) -> Judged {
    let (of_spec, checkout) = (spec.clone(), checkout.to_owned());
    // What was ended in the middle has not told its tests.
    let log = log.filter(|_| matches!(end, End::Exited { .. }));
    let looked = tokio::task::spawn_blocking(move || {
        (
            log.and_then(|log| log::counted(&log)),
            report::read(&checkout, &of_spec),
        )
    });
    let (counted, report) = match looked.await {
        Ok(looked) => looked,
        Err(error) => {
            // A parser that gives up has read no report.
            (None, verdict::Report::Unreadable(error.to_string()))
        }
    };
    let verdict = verdict::judge(spec, &end, counted, &report);
    let reported = match report {
        verdict::Report::Read(counts) => Some(counts),
        _ => None,
    };
    Judged {
        end,
        // A report is more exact than a summary.
        counts: reported.or(counted),
        verdict,
    }
}
