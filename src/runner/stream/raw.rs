//! The raw output: straight from the file, nothing kept.

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{Stream, unfold};

use crate::process::Growth;
use crate::run::RunId;
use crate::runner::Context;

/// What is read and sent at once.
const CHUNK: usize = 64 * 1024;

/// The raw output from this byte on; with `follow` until the run is at rest.
pub fn raw(
    context: Arc<Context>,
    run: RunId,
    after: u64,
    follow: bool,
) -> impl Stream<Item = Bytes> + Send + 'static {
    let path = context.files.of_run(run).output();
    let raw = std::fs::File::open(&path).ok().map(|file| Raw {
        file,
        growth: follow.then(|| context.growths.of(&path)),
        latest: context.journal.latest(),
        context,
        run,
        offset: after,
    });
    unfold(raw, async |raw| {
        let mut raw = raw?;
        let bytes = raw.next().await?;
        Some((bytes, Some(raw)))
    })
}

struct Raw {
    file: std::fs::File,
    growth: Option<Growth>,
    latest: tokio::sync::watch::Receiver<u64>,
    context: Arc<Context>,
    run: RunId,
    offset: u64,
}

impl Raw {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.read() {
                return Some(bytes);
            }
            self.growth.as_ref()?;
            // Looked at before the last reading: what an agent prints that is still at work is read in the next round.
            self.latest.mark_unchanged();
            let active = matches!(self.context.journal.run(self.run), Ok(Some(run)) if run.status().is_active());
            if let Some(bytes) = self.read() {
                return Some(bytes);
            }
            if !active {
                return None;
            }
            let growth = self.growth.as_mut()?;
            tokio::select! {
                _ = growth.changed() => {}
                _ = self.latest.changed() => {}
            }
        }
    }

    fn read(&mut self) -> Option<Bytes> {
        let mut buffer = vec![0; CHUNK];
        let read = self.file.read_at(&mut buffer, self.offset).ok()?;
        buffer.truncate(read);
        buffer.shrink_to_fit();
        self.offset += read as u64;
        (read > 0).then(|| buffer.into())
    }
}
