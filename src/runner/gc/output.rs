//! What agents printed in runs that are over, past its time or above the size that is kept.
//!
//! It is journalled before it goes: the run says when, and whoever asks for the output is told. A deletion that a crash
//! has cut is made good by the next look, which looks again at the runs that lost theirs last.
//!
//! Deliberately absent: events. They are the truth of what happened and chained by their hashes; a run keeps all of them.

use std::collections::BTreeSet;

use anyhow::Context as _;
use jiff::SignedDuration;

use super::refs::{LEFTOVER, PRESERVED};
use super::{Look, item, of_run};
use crate::clock::rfc3339;
use crate::run::{Event, RunId};
use crate::runner::Context;
use crate::shape::view::GcItem;
use crate::store::StoreError;
use crate::store::output::{self, Over};

/// How many runs are looked at together.
const PAGE: u32 = 1_000;
const GIB: u64 = 1 << 30;

/// What is kept.
struct Kept {
    /// Runs that ended before this moment lose theirs.
    since: Option<String>,
    /// How many bytes.
    most: Option<u64>,
}

pub(super) async fn outputs(look: &mut Look<'_>) -> anyhow::Result<()> {
    finish(look).await?;
    let context = look.context;
    let days = context.config.keep_output_days.map(i64::from);
    let since = days.map(|days| {
        look.now
            .saturating_sub(SignedDuration::from_hours(24 * days))
    });
    let kept = Kept {
        since: since.transpose()?.map(rfc3339),
        most: context
            .config
            .keep_output_gib
            .map(|gib| u64::from(gib) * GIB),
    };
    let mut total = match kept.most {
        Some(_) => weight_of_all(context).await?,
        None => 0,
    };
    let mut restorable = restorable(context).await?;
    // A dry run has let go of none.
    for gone in look
        .report
        .gone
        .iter()
        .filter(|gone| gone.what == "preserved")
    {
        let run = gone.run_id.as_ref().and_then(|id| id.parse().ok());
        run.map(|run: RunId| restorable.remove(&run));
    }
    let mut after = None;
    loop {
        let runs = page(context, after.as_ref())?;
        let Some(last) = runs.last() else {
            return Ok(());
        };
        after = Some(last.clone());
        for over in runs {
            let too_old = kept.since.as_ref().is_some_and(|since| over.at < *since);
            let too_much = kept.most.is_some_and(|most| total > most);
            if !too_old && !too_much {
                return Ok(());
            }
            let why = match too_old {
                true => "its run ended longer ago than output is kept",
                false => "there is more output than is kept, and its run ended first",
            };
            let found = found(context, over.run, why).await?;
            let bytes = found.bytes;
            if restorable.contains(&over.run) {
                let why = "the run can be restored".to_owned();
                look.left(GcItem { why, ..found });
            } else if prune(look, over.run, found).await? {
                total = total.saturating_sub(bytes);
            }
        }
    }
}

fn page(context: &Context, after: Option<&Over>) -> Result<Vec<Over>, StoreError> {
    let store = context.journal.store();
    store.read(|db| output::kept_after(db, after, PAGE))
}

async fn weight_of_all(context: &Context) -> anyhow::Result<u64> {
    let (mut total, mut after) = (0, None);
    loop {
        let runs = page(context, after.as_ref())?;
        let Some(last) = runs.last() else {
            return Ok(total);
        };
        after = Some(last.clone());
        let files = context.files.clone();
        let weighed = tokio::task::spawn_blocking(move || {
            let weights = runs.iter().map(|over| files.of_run(over.run).words_len());
            weights.sum::<std::io::Result<u64>>()
        });
        total += weighed.await?.context("weigh the output of runs")?;
    }
}

/// The runs whose work is kept: somebody may bring them back.
async fn restorable(context: &Context) -> anyhow::Result<BTreeSet<RunId>> {
    let refs = context.repository.refs_below(PRESERVED).await?;
    let names = refs.iter().map(|(name, _)| name);
    let of_runs = names.filter(|name| !name.starts_with(LEFTOVER));
    let ids = of_runs.filter_map(|name| name.strip_prefix(PRESERVED)?.parse().ok());
    Ok(ids.collect())
}

async fn found(context: &Context, run: RunId, why: &str) -> anyhow::Result<GcItem> {
    let files = context.files.of_run(run);
    let at = files.output().display().to_string();
    let weighed = tokio::task::spawn_blocking(move || files.words_len());
    let bytes = weighed.await?.with_context(|| format!("weigh {at}"))?;
    let found = of_run(item("output", at, why), run);
    Ok(GcItem { bytes, ..found })
}

/// Lets the output of a run go; whether it is gone.
async fn prune(look: &mut Look<'_>, run: RunId, found: GcItem) -> anyhow::Result<bool> {
    if !look.dry_run {
        let event = Event::OutputPruned { bytes: found.bytes };
        match look.context.journal.record(run, vec![event]).await {
            Ok(_) => {}
            // It was restored a moment ago.
            Err(StoreError::Illegal(_)) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        if let Err(error) = delete(look.context, run).await? {
            let why = format!("it could not be deleted: {error}");
            look.left(GcItem { why, ..found });
            return Ok(false);
        }
    }
    look.gone(found);
    Ok(true)
}

async fn delete(context: &Context, run: RunId) -> anyhow::Result<std::io::Result<()>> {
    let files = context.files.of_run(run);
    Ok(tokio::task::spawn_blocking(move || files.prune_words()).await?)
}

/// Deletes what a crash or a failure has left of output that went.
async fn finish(look: &mut Look<'_>) -> anyhow::Result<()> {
    let store = look.context.journal.store();
    for run in store.read(|db| output::pruned_last(db, PAGE))? {
        let found = found(look.context, run, "it went before, and was not all deleted").await?;
        if found.bytes == 0 {
            continue;
        }
        let deleted = match look.dry_run {
            true => Ok(()),
            false => delete(look.context, run).await?,
        };
        match deleted {
            Ok(()) => look.gone(found),
            Err(error) => {
                let why = format!("it could not be deleted: {error}");
                look.left(GcItem { why, ..found });
            }
        }
    }
    Ok(())
}
