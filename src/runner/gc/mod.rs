//! Letting go of what is past its time, with a report of what went, what stays, and why.
//!
//! | What | Goes when |
//! | --- | --- |
//! | preserved work of a run | the run ended more than `preserved_keep_days` ago |
//! | leftovers under `preserved/leftover/` | the base has them, or they were first seen here that long ago |
//! | output of a run that merged or was aborted, if its work is not kept any more | `keep_output_days` after that, or above `keep_output_gib` |
//! | the trash | always |
//! | payloads that no evidence names, unfinished uploads | a day after they were written |
//! | idempotency keys | after 30 days |
//!
//! Nothing goes whose work is not kept elsewhere or past its time: what belongs to no known run may be another
//! service's, and stays. The same code runs at each start, once a day, and when it is asked for; a dry run writes nothing.
//!
//! Deliberately absent: `git gc`, which is the user's. What no ref keeps any more takes its space until then.

mod files;
mod output;
mod refs;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::Context;
use super::clean_up::empty_trash;
use super::trusted_clock::Before;
use crate::clock;
use crate::run::RunId;
use crate::shape::view::{GcItem, GcView};
use crate::store::{events, idempotency};
use crate::worktree;

/// How often it is done, beside every start.
const EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// A client that asks again after so long has not lost an answer: it wants another run.
const KEYS_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A look that may act: at which moment, and whether it does.
struct Look<'a> {
    context: &'a Context,
    now: Timestamp,
    dry_run: bool,
    report: GcView,
}

impl Look<'_> {
    /// How long preserved work is kept.
    fn keep(&self) -> SignedDuration {
        SignedDuration::from_hours(24 * i64::from(self.context.config.preserved_keep_days))
    }

    fn gone(&mut self, item: GcItem) {
        self.report.freed_bytes += item.bytes;
        self.report.gone.push(item);
    }

    fn left(&mut self, item: GcItem) {
        self.report.left.push(item);
    }
}

fn item(what: &str, at: impl Into<String>, why: impl Into<String>) -> GcItem {
    GcItem {
        what: what.to_owned(),
        at: at.into(),
        run_id: None,
        bytes: 0,
        why: why.into(),
    }
}

fn of_run(item: GcItem, run: RunId) -> GcItem {
    GcItem {
        run_id: Some(run.to_string()),
        ..item
    }
}

/// Lets go of what is past its time at `now`; with `dry_run`, only says what that is. Can be repeated.
///
/// # Errors
/// Something could not be looked at. What went before that is gone, and the rest goes the next time.
pub async fn gc(context: &Context, now: Timestamp, dry_run: bool) -> anyhow::Result<GcView> {
    let report = GcView {
        dry_run,
        freed_bytes: 0,
        gone: Vec::new(),
        left: Vec::new(),
    };
    let mut look = Look {
        context,
        now,
        dry_run,
        report,
    };
    refs::preserved(&mut look).await?;
    refs::leftovers(&mut look).await?;
    output::outputs(&mut look).await?;
    files::trash(&mut look).await?;
    files::payloads(&mut look).await?;
    keys(&mut look).await?;
    Ok(look.report)
}

async fn keys(look: &mut Look<'_>) -> anyhow::Result<()> {
    let store = look.context.journal.store();
    let before = look.now.saturating_sub(KEYS_KEPT)?;
    let keys = if look.dry_run {
        store.read(|db| idempotency::count_before(db, before))?
    } else {
        store
            .write(move |db| idempotency::forget_before(db, before))
            .await?
    };
    if keys > 0 {
        let at = format!("{keys} idempotency keys");
        look.gone(item("idempotency_keys", at, "older than 30 days"));
    }
    Ok(())
}

/// Does it at the start and then every day, until the service stops. Not while the clock is far from what it was: a
/// dry run tells then what would have gone.
pub async fn gc_daily(context: Arc<Context>) {
    let mut before = newest_event(&context);
    loop {
        let now = clock::now();
        let believed = before.is_some_and(|before| before.agrees_with(now));
        before = Some(Before::Look {
            wall: now,
            at: Instant::now(),
        });
        if !believed {
            tracing::warn!(%now, "the clock is far from what it was; nothing past its time is let go for a day");
            // That has no time to wait for.
            empty_trash(&worktree::trash_below(&context.config.worktrees_root)).await;
        }
        match gc(&context, now, !believed).await {
            Ok(report) => {
                for gone in report.gone.iter().filter(|_| believed) {
                    tracing::info!(what = gone.what, at = gone.at, why = gone.why, "let go");
                }
                if believed && !report.gone.is_empty() {
                    tracing::info!(
                        freed_bytes = report.freed_bytes,
                        "what was past its time is gone"
                    );
                }
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(error, "what is past its time could not all be let go");
            }
        }
        let pause = tokio::time::sleep(EVERY);
        if context.closing.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}

/// What the clock said at the newest event; nothing if it cannot be read, and then nothing is let go.
fn newest_event(context: &Context) -> Option<Before> {
    let newest = context.journal.store().read(events::newest_at);
    newest.ok().map(Before::Journal)
}
