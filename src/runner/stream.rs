//! The streams: state events from the journal and output from its file, in one order, to one reader.
//!
//! A reader has a place in both ([`Cursor`]); what it has seen is never sent again and what follows is never skipped.
//! A reader that does not take its frames is let go: it comes back with its last id. When the service stops, the door ends
//! its answers, and so these.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;

use super::Context;
use super::files::RunFiles;
use super::output::OutputReader;
use crate::journal::append::step;
use crate::journal::encode::encode;
use crate::journal::{Cursor, Frame, FrameName};
use crate::process::{Growth, Woken};
use crate::run::Status;
use crate::run::state::AttemptStage;
use crate::run::{Event, Run, RunId};
use crate::shape::request::RunFilter;
use crate::shape::view::RunView;
use crate::store::{StoreError, events, runs};

/// How many frames wait for a reader.
const WAITING: usize = 2;
/// How long a reader may leave them waiting.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many events are read at once.
const BATCH: u32 = 256;
/// How many runs the stream of all runs keeps at hand.
const RUNS_KEPT: usize = 256;
/// The slow poll behind the wake-ups.
const POLL: Duration = Duration::from_secs(5);

/// The reader has gone, or was too slow.
struct Gone;

/// Frames of one run from `after` on; without it `connected` and what follows.
#[must_use]
pub fn follow_run(
    context: Arc<Context>,
    run: RunId,
    after: Option<Cursor>,
) -> mpsc::Receiver<Frame> {
    let (frames, inbox) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let mut reader = RunReader {
            files: context.files.of_run(run),
            context,
            id: run,
            run: None,
            seq: 0,
            seen: after.unwrap_or_default(),
            output: None,
            frames,
        };
        if let Err(error) = reader.serve(after.is_none()).await {
            tracing::error!(%run, %error, "a stream ended");
        }
    });
    inbox
}

struct RunReader {
    context: Arc<Context>,
    files: RunFiles,
    id: RunId,
    /// The run after the events that were read.
    run: Option<Run>,
    /// The last event that was read.
    seq: u64,
    /// What the reader has seen.
    seen: Cursor,
    output: Option<OutputReader>,
    frames: mpsc::Sender<Frame>,
}

impl RunReader {
    async fn serve(&mut self, fresh: bool) -> Result<(), StoreError> {
        let mut latest = self.context.journal.latest();
        let mut growth = Growth::of(&self.files.output());
        if self.connect(fresh).await?.is_err() {
            return Ok(());
        }
        let mut quiet = false;
        loop {
            // Armed before the look: what comes after it wakes us.
            latest.mark_unchanged();
            if self.catch_up(quiet).await?.is_err() {
                return Ok(());
            }
            quiet = tokio::select! {
                _ = latest.changed() => false,
                woken = growth.changed() => woken == Woken::Quiet,
                () = self.frames.closed() => return Ok(()),
            };
        }
    }

    /// Says where the reader is: at the end for a fresh one, else where it was.
    async fn connect(&mut self, fresh: bool) -> Result<Result<(), Gone>, StoreError> {
        if fresh {
            self.seen.offset = self.files.output_len();
        }
        let rows = self
            .context
            .journal
            .store()
            .read(|db| events::of_run(db, self.id))?;
        let mut now = None;
        for row in &rows {
            now = Some(step(now, row)?);
            if fresh || row.seq <= self.seen.seq {
                self.run.clone_from(&now);
                self.seq = row.seq;
            }
        }
        if fresh {
            self.seen.seq = self.seq;
        }
        let Some(now) = now else {
            return Err(StoreError::NoRun(self.id.to_string()));
        };
        self.output = Some(OutputReader::new(
            &self.files.output(),
            now.spec.agent,
            self.seen.offset,
        ));
        let json = json!({"run_id": self.id, "run": RunView::of(&now, None)}).to_string();
        Ok(self.send(FrameName::Connected, json).await)
    }

    /// Sends what there is.
    async fn catch_up(&mut self, quiet: bool) -> Result<Result<(), Gone>, StoreError> {
        loop {
            let rows = self
                .context
                .journal
                .store()
                .read(|db| events::of_run_after(db, self.id, self.seq, BATCH))?;
            let more = rows.len() == BATCH as usize;
            for row in rows {
                // What the agent printed comes before the news that it has ended.
                if let Event::AttemptEnded { end, .. } = &row.event
                    && self.print(end.output_to, true).await.is_err()
                {
                    return Ok(Err(Gone));
                }
                let run = step(self.run.take(), &row)?;
                self.seq = row.seq;
                if row.seq > self.seen.seq {
                    self.seen.seq = row.seq;
                    if let Some((name, json)) = encode(&row, &run)
                        && self.send(name, json).await.is_err()
                    {
                        return Ok(Err(Gone));
                    }
                }
                self.run = Some(run);
            }
            if !more {
                break;
            }
        }
        let working = self.run.as_ref().is_some_and(|run| {
            matches!(
                run.attempt().map(|a| &a.stage),
                Some(AttemptStage::Starting | AttemptStage::Started { .. })
            )
        });
        Ok(self.print(u64::MAX, quiet || !working).await)
    }

    /// Sends output up to `limit`.
    async fn print(&mut self, limit: u64, partial: bool) -> Result<(), Gone> {
        loop {
            let Some(output) = &mut self.output else {
                return Ok(());
            };
            let from = output.offset();
            let piece = match output.next(limit, partial) {
                Ok(Some(piece)) => piece,
                Ok(None) => return Ok(()),
                Err(error) => {
                    tracing::error!(run = %self.id, %error, "the output cannot be read");
                    return Err(Gone);
                }
            };
            let attempt = self.run.as_ref().and_then(|run| {
                run.attempts
                    .iter()
                    .rev()
                    .find(|a| a.stage != AttemptStage::Waiting && a.output_from <= from)
                    .map(|a| a.number)
            });
            let mut json = piece.json;
            json["run_id"] = json!(self.id);
            json["attempt"] = json!(attempt);
            self.seen.offset = piece.end;
            let mut text = json.to_string();
            // It may wait for long, beside many others.
            text.shrink_to_fit();
            self.send(FrameName::Output, text).await?;
        }
    }

    async fn send(&self, name: FrameName, json: String) -> Result<(), Gone> {
        let id = self.seen;
        send(&self.frames, Frame { id, name, json }).await
    }
}

async fn send(frames: &mpsc::Sender<Frame>, frame: Frame) -> Result<(), Gone> {
    frames.send_timeout(frame, PATIENCE).await.map_err(|_| Gone)
}

/// State events of all runs that fit the filter from `after` on; without it `connected` and what follows.
#[must_use]
pub fn follow_all(
    context: Arc<Context>,
    filter: RunFilter,
    after: Option<Cursor>,
) -> mpsc::Receiver<Frame> {
    let (frames, inbox) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        if let Err(error) = serve_all(&context, &filter, after, &frames).await {
            tracing::error!(%error, "the stream of all runs ended");
        }
    });
    inbox
}

async fn serve_all(
    context: &Context,
    filter: &RunFilter,
    after: Option<Cursor>,
    frames: &mpsc::Sender<Frame>,
) -> Result<(), StoreError> {
    let store = context.journal.store();
    let mut latest = context.journal.latest();
    let mut seq = match after {
        Some(cursor) => cursor.seq,
        None => store.read(events::last_seq)?,
    };
    let counts: HashMap<String, u64> = store.read(runs::counts)?.into_iter().collect();
    let hello = Frame {
        id: Cursor { seq, offset: 0 },
        name: FrameName::Connected,
        json: json!({"seq": seq, "runs": counts}).to_string(),
    };
    if send(frames, hello).await.is_err() {
        return Ok(());
    }
    let mut at_hand: HashMap<RunId, Run> = HashMap::new();
    loop {
        latest.mark_unchanged();
        loop {
            let rows = store.read(|db| events::each_after(db, seq, BATCH))?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                seq = row.seq;
                // One row that cannot be read must not hide what happens to other runs.
                let read = row.event.and_then(|row| {
                    let run = match at_hand.remove(&row.run) {
                        Some(run) => step(Some(run), &row)?,
                        None => run_until(context, row.run, row.seq)?,
                    };
                    Ok((row, run))
                });
                let (row, run) = match read {
                    Ok(read) => read,
                    Err(error) => {
                        tracing::error!(seq, run = row.run, %error, "readers of all runs are not told of an event");
                        continue;
                    }
                };
                if fits(filter, &run)
                    && let Some((name, json)) = encode(&row, &run)
                {
                    let id = Cursor { seq, offset: 0 };
                    if send(frames, Frame { id, name, json }).await.is_err() {
                        return Ok(());
                    }
                }
                if at_hand.len() >= RUNS_KEPT {
                    at_hand.clear();
                }
                at_hand.insert(run.id, run);
            }
        }
        tokio::select! {
            _ = latest.changed() => {}
            () = tokio::time::sleep(POLL) => {}
            () = frames.closed() => return Ok(()),
        }
    }
}

/// The run as it was after this event.
fn run_until(context: &Context, id: RunId, seq: u64) -> Result<Run, StoreError> {
    let rows = context.journal.store().read(|db| events::of_run(db, id))?;
    let mut run = None;
    for row in rows.iter().take_while(|row| row.seq <= seq) {
        run = Some(step(run, row)?);
    }
    run.ok_or_else(|| StoreError::NoRun(id.to_string()))
}

fn fits(filter: &RunFilter, run: &Run) -> bool {
    let status: Status = run.status();
    (filter.status.is_empty() || filter.status.contains(&status))
        && filter
            .app
            .as_ref()
            .is_none_or(|app| run.spec.kanban_app.as_ref() == Some(app))
        && filter.since.is_none_or(|since| run.created_at >= since)
}

/// The raw output from this byte on; with `follow` until the run is at rest.
#[must_use]
pub fn raw(context: Arc<Context>, run: RunId, after: u64, follow: bool) -> mpsc::Receiver<Vec<u8>> {
    /// What is read and sent at once.
    const CHUNK: usize = 64 * 1024;
    let (pieces, inbox) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        use std::os::unix::fs::FileExt as _;
        let path = context.files.of_run(run).output();
        let Ok(file) = std::fs::File::open(&path) else {
            return;
        };
        let mut growth = Growth::of(&path);
        let mut latest = context.journal.latest();
        let mut offset = after;
        let mut buffer = vec![0; CHUNK];
        loop {
            latest.mark_unchanged();
            // Looked at before the reading: what an agent prints that is still at work is read in the next round.
            let active =
                matches!(context.journal.run(run), Ok(Some(run)) if run.status().is_active());
            while let Ok(n @ 1..) = file.read_at(&mut buffer, offset) {
                offset += n as u64;
                if pieces
                    .send_timeout(buffer[..n].to_vec(), PATIENCE)
                    .await
                    .is_err()
                {
                    return;
                }
            }
            if !follow || !active {
                return;
            }
            tokio::select! {
                _ = growth.changed() => {}
                _ = latest.changed() => {}
                () = pieces.closed() => return,
            }
        }
    });
    inbox
}
