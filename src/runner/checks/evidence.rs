//! What a check came to, as evidence: its log in the content store, its record, and the verdict that follows from it.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use uuid::Uuid;

use super::List;
use crate::clock;
use crate::dod::check::CheckRecord;
use crate::dod::content::Stored;
use crate::dod::{Author, Evidence, Item, Payload, Validator, Verdict};
use crate::run::{Event, EvidenceId};
use crate::runner::Context;

/// Who accepts and turns down what checks have brought.
const BY: &str = "check";
/// The most bytes of a log that are kept: what is in the middle of a longer one is cut, and said to be.
const LOG_MAX: u64 = 16 << 20;

/// The events that tell what a check of the list came to.
pub(super) fn told(list: &List, item: &Item, record: CheckRecord, log: Stored) -> Vec<Event> {
    let id = EvidenceId(Uuid::now_v7());
    let verdict = match (&record.failed, item.spec.validator) {
        (None, Validator::Check) => Some(Event::EvidenceValidated {
            evidence: id,
            by: BY.to_owned(),
            overrides: None,
        }),
        // A person has the last word on it.
        (None, Validator::Operator) => None,
        (Some(failed), _) => Some(Event::EvidenceRejected {
            evidence: id,
            by: BY.to_owned(),
            reason: format!("{}: {}", failed.code, failed.detail),
        }),
    };
    let evidence = Evidence {
        id,
        item_id: item.id,
        payload: Payload::File {
            path: format!("{}.log", item.spec.key),
            media_type: Some("text/plain; charset=utf-8".to_owned()),
        },
        head: list.head.clone(),
        base_commit: list.base.clone(),
        onto: list.onto.clone(),
        check: Some(record),
        candidate_of: list.candidate_of.clone(),
        carried_to: Vec::new(),
        sha256: log.sha256,
        size: log.size,
        author: Author::Check,
        author_name: None,
        created_at: clock::now(),
        verdict: Verdict::Open,
    };
    let attached = Event::EvidenceAttached { evidence };
    std::iter::once(attached).chain(verdict).collect()
}

/// Puts a log into the content store.
pub(super) async fn keep_log(context: &Arc<Context>, log: &Path) -> anyhow::Result<Stored> {
    let (content, path) = (context.content.clone(), log.to_owned());
    let kept = tokio::task::spawn_blocking(move || {
        let mut log = within(&path, LOG_MAX)
            .with_context(|| format!("read the log of a check at {}", path.display()))?;
        // Room for the words that say what was cut.
        let stored = content.put(&mut log, LOG_MAX + 1024);
        stored.context("keep the log of a check")
    });
    kept.await?
}

/// The bytes of a file; of one that is longer than `most` its beginning and its end, with words in between. One that is
/// not there is empty.
fn within(path: &Path, most: u64) -> io::Result<Box<dyn Read>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Box::new(io::empty())),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    if length <= most {
        return Ok(Box::new(file.take(most)));
    }
    let half = most / 2;
    let mut end = File::open(path)?;
    end.seek(SeekFrom::Start(length - half))?;
    let words = format!("\n[… {} bytes were cut here …]\n", length - 2 * half);
    let beginning = file.take(half);
    Ok(Box::new(
        beginning.chain(Cursor::new(words)).chain(end.take(half)),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_log_its_beginning_and_end_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let read = |most| {
            let mut text = String::new();
            within(&path, most)
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
            text
        };
        assert_eq!(read(4), "");
        std::fs::write(&path, "0123456789").unwrap();
        assert_eq!(read(10), "0123456789");
        assert_eq!(read(4), "01\n[… 6 bytes were cut here …]\n89");
    }
}
