//! A list that is being carried out, in a task of its own: whoever began it stays free for other questions.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::engine::{self, Done, Order, Ordered};
use super::{List, cache, evidence};
use crate::run::Event;
use crate::runner::Context;

/// What is told of a list.
#[derive(Debug)]
pub(in crate::runner) enum Told {
    /// A check has ended: the evidence and its verdict, to be recorded together.
    Shown(Vec<Event>),
    /// All that was to be told is told; an error says why the rest could not be run.
    Over(anyhow::Result<()>),
}

/// A list that is being carried out. Dropped, it is stopped.
#[derive(Debug)]
pub(in crate::runner) struct UnderWay {
    stop: CancellationToken,
    told: mpsc::UnboundedReceiver<Told>,
}

impl UnderWay {
    /// Begins to carry out a list.
    pub fn begin(context: &Arc<Context>, list: List) -> UnderWay {
        let (tell, told) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let under_way = UnderWay {
            stop: stop.clone(),
            told,
        };
        let context = context.clone();
        tokio::spawn(async move {
            let work = carry_out(&context, &list, stop.clone(), &tell);
            let over = tokio::select! {
                over = work => over,
                () = context.closing.cancelled() => {
                    // Ended here, and begun anew at the next start.
                    stop.cancel();
                    clear(&context, &list).await;
                    return;
                }
            };
            // Nobody may be listening any more.
            let _ = tell.send(Told::Over(over));
        });
        under_way
    }

    /// What comes next; after `Over` nothing.
    pub async fn next(&mut self) -> Told {
        let gone = || Told::Over(Err(anyhow::anyhow!("its checks ended without a word")));
        self.told.recv().await.unwrap_or_else(gone)
    }

    /// Asks what is running to end; `Over` says when it has.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Ends what is running, and waits until it has ended. What it came to is not told any more.
    pub async fn end(mut self) {
        self.stop();
        while let Told::Shown(_) = self.next().await {}
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Carries out a list: what each check came to is told as soon as it has ended.
async fn carry_out(
    context: &Arc<Context>,
    list: &List,
    stop: CancellationToken,
    tell: &mpsc::UnboundedSender<Told>,
) -> anyhow::Result<()> {
    let order = order_of(list);
    if from_cache(context, list, &order, tell).await? {
        return Ok(());
    }
    let turn = context.check_slots.turn(list.round);
    let Some(Some(_turn)) = stop.run_until_cancelled(turn).await else {
        return Ok(());
    };
    // Another run may have shown it while this one waited.
    if from_cache(context, list, &order, tell).await? {
        return Ok(());
    }
    let (done, mut results) = mpsc::unbounded_channel();
    let ran = engine::run_list(context, order, stop.clone(), done);
    let kept = async {
        let mut kept = Ok(());
        while let Some(done) = results.recv().await {
            if kept.is_ok() {
                kept = keep(context, list, done, tell).await;
            }
            if kept.is_err() {
                // What cannot be kept proves nothing.
                stop.cancel();
            }
        }
        kept
    };
    let (ran, kept) = tokio::join!(ran, kept);
    // The logs are kept by now.
    clear(context, list).await;
    ran.and(kept)
}

/// What cannot be ended or taken away is told, and left to the doctor.
async fn clear(context: &Arc<Context>, list: &List) {
    if let Err(error) = engine::clear(context, list.run, list.round).await {
        tracing::warn!(run = %list.run, round = %list.round, error = format!("{error:#}"), "something of a round of checks stays");
    }
}

/// Tells a result once its log is kept.
async fn keep(
    context: &Arc<Context>,
    list: &List,
    done: Done,
    tell: &mpsc::UnboundedSender<Told>,
) -> anyhow::Result<()> {
    let Done { item, record, log } = done;
    let item = list.items.iter().find(|known| known.id == item);
    let item = item.context("a check was run of an item that is not on the list")?;
    let stored = evidence::keep_log(context, &log).await?;
    let _ = tell.send(Told::Shown(evidence::told(list, item, record, stored)));
    Ok(())
}

/// Tells the results that are known already, if all checks of the list have passed before: one alone may need what
/// another one has left, so either none of them is run or all are.
async fn from_cache(
    context: &Arc<Context>,
    list: &List,
    order: &Order,
    tell: &mpsc::UnboundedSender<Told>,
) -> anyhow::Result<bool> {
    if list.afresh || order.list.is_empty() {
        return Ok(false);
    }
    let Some(passes) = cache::all_passed(context, &list.head.tree, order).await? else {
        return Ok(false);
    };
    for (ordered, pass) in order.list.iter().zip(passes) {
        let item = list.items.iter().find(|item| item.id == ordered.item);
        let item = item.context("an item is not on its list")?;
        let events = evidence::told(list, item, pass.record, pass.log);
        let _ = tell.send(Told::Shown(events));
    }
    Ok(true)
}

fn order_of(list: &List) -> Order {
    let ordered = list.items.iter().filter_map(|item| {
        Some(Ordered {
            item: item.id,
            key: item.spec.key.clone(),
            spec: item.spec.check.clone()?,
        })
    });
    Order {
        run: list.run,
        round: list.round,
        commit: list.head.commit.clone(),
        base: list.base.clone(),
        list: ordered.collect(),
    }
}
