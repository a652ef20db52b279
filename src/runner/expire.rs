//! Preserved work is kept for as many days as is set, then let go. What belongs to no known run is left alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::Context;
use super::trusted_clock::Before;
use crate::clock;
use crate::git::{RefEdit, RefName};
use crate::run::{Phase, RunId};
use crate::store::events;
use crate::worktree;

/// Where preserved work of runs lies; deeper below it lie the leftovers of branches, which are not let go.
const PRESERVED: &str = "refs/agent_runner/preserved/";
/// How often it is looked at, beside every start.
const EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Lets go of what is past its time and empties the trash: at the start and then every day, until the service stops.
pub async fn expire_daily(context: Arc<Context>) {
    let mut before = newest_event(&context);
    loop {
        let trash = worktree::trash_below(&context.config.worktrees_root);
        if let Err(error) = worktree::empty_trash(&trash).await {
            tracing::warn!(%error, "the trash could not be emptied; it is tried again tomorrow");
        }
        let now = clock::now();
        let believed = before.is_some_and(|before| before.agrees_with(now));
        before = Some(Before::Look {
            wall: now,
            at: Instant::now(),
        });
        let expired = match believed {
            true => expire(&context, now).await,
            false => {
                tracing::warn!(%now, "the clock is far from what it was; no preserved work is let go for a day");
                Ok(0)
            }
        };
        match expired {
            Ok(0) => {}
            Ok(gone) => tracing::info!(gone, "preserved work past its time was let go"),
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "preserved work could not be looked at"
                );
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

/// Lets go of the work of runs that ended over `preserved_keep_days` before `now`; how many there were.
async fn expire(context: &Context, now: Timestamp) -> anyhow::Result<usize> {
    let keep = SignedDuration::from_hours(24 * i64::from(context.config.preserved_keep_days));
    let mut gone = 0;
    for (name, commit) in context.repository.refs_below(PRESERVED).await? {
        let Some(id) = name
            .strip_prefix(PRESERVED)
            .and_then(|id| id.parse::<RunId>().ok())
        else {
            continue;
        };
        let ended = match context.journal.run(id)?.map(|run| run.phase) {
            Some(Phase::Aborted { at, .. } | Phase::Merged { at, .. }) => at,
            _ => continue,
        };
        if now.duration_since(ended) <= keep {
            continue;
        }
        let edit = RefEdit::Delete(RefName::preserved(id), commit);
        context
            .repository
            .edit_refs(&[edit], "past its time")
            .await?;
        gone += 1;
    }
    Ok(gone)
}
