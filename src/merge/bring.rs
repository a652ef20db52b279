//! Bringing a checkout of the base along, when the base has moved under it.
//!
//! By git itself (`read-tree -m -u from to`): files that differ between the two commits are exchanged, all
//! others, changed or not, stay. A checkout whose own changes overlap is left alone.
//!
//! A crash in between leaves some files new and the index old; run again, files that are already as they
//! are to be are taken as they are, and those that were cut while they were written are written anew (`torn.rs`), so
//! that it completes.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::change::{Change, changes};
use super::land::checkouts_of;
use super::torn;
use crate::effect::{self, Effect};
use crate::git::{Busy, Call, Checkout, Error, LONG, Note, RefName, Repository, sync_with};
use crate::run::CommitId;

/// How many gits are tried, if they are killed.
const TRIES: u32 = 3;

/// What stands in the way of bringing a checkout along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    /// Something is in progress there.
    Busy(&'static str),
    /// There are uncommitted changes in these files, which would change.
    Dirty(Vec<String>),
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Blocked::Busy(why) => f.write_str(why),
            Blocked::Dirty(paths) => write!(f, "uncommitted changes in {}", paths.join(", ")),
        }
    }
}

/// For recovery: brings every checkout of `base` from one commit to the other, where a crash came in between.
/// A lock that our own git left is taken away first. Those that are there already stay as they are.
pub async fn bring_along(
    repo: &Repository,
    base: &RefName,
    from: &CommitId,
    to: &CommitId,
) -> Result<Vec<(PathBuf, Option<Blocked>)>, Error> {
    let _in_order = repo.landing.lock().await;
    let mut told = Vec::new();
    for checkout in checkouts_of(repo, base)? {
        repo.break_stale_locks().await?;
        let blocked = bring(repo, &checkout, from, to).await?;
        told.push((checkout.path, blocked));
    }
    Ok(told)
}

/// What would stand in the way. Reads only, but for the times in the index (as `git status` does).
pub(super) async fn obstacle(
    repo: &Repository,
    checkout: &Checkout,
    from: &CommitId,
    to: &CommitId,
) -> Result<Option<Blocked>, Error> {
    if checkout.busy() == Some(Busy::Locked) {
        // One of ours that was killed, perhaps in an earlier life.
        repo.break_stale_locks().await?;
    }
    if let Some(busy) = checkout.busy() {
        return Ok(Some(Blocked::Busy(busy.sentence())));
    }
    let mut tries = 1;
    loop {
        let note = repo.note_locks(&[checkout.admin.join("index.lock")])?;
        let judged = judge(repo, checkout, from, to).await;
        if let Some(judged) = ended(repo, note, judged, &mut tries).await? {
            return Ok(judged);
        }
    }
}

/// What a step came to, or nothing if its git was killed and it is to be done again.
async fn ended<T>(
    repo: &Repository,
    note: Note,
    came_to: Result<T, Error>,
    tries: &mut u32,
) -> Result<Option<T>, Error> {
    match came_to {
        Err(Error::Killed { .. }) if *tries < TRIES => {
            *tries += 1;
            // Nobody waits for that git any more.
            drop(note);
            repo.break_stale_locks().await?;
            Ok(None)
        }
        Err(error @ Error::Killed { .. }) => Err(error),
        other => {
            note.done()?;
            other.map(Some)
        }
    }
}

async fn judge(
    repo: &Repository,
    checkout: &Checkout,
    from: &CommitId,
    to: &CommitId,
) -> Result<Option<Blocked>, Error> {
    refresh(repo, checkout).await?;
    if let Some(blocked) = blocked(repo, checkout, from, to).await? {
        return Ok(Some(blocked));
    }
    // git's own judgement, in case that it sees more than we do.
    let dry = at(repo, checkout, "read-tree")
        .args(["-m", "-u", "-n", from.as_str(), to.as_str()])
        .run_any()
        .await?;
    if dry.code() != 0 {
        return Err(dry.failed());
    }
    Ok(None)
}

/// Brings it along, or says what stands in the way.
pub(super) async fn bring(
    repo: &Repository,
    checkout: &Checkout,
    from: &CommitId,
    to: &CommitId,
) -> Result<Option<Blocked>, Error> {
    if let Some(busy) = checkout.busy() {
        return Ok(Some(Blocked::Busy(busy.sentence())));
    }
    let mut tries = 1;
    loop {
        effect::awaits(Effect::CheckoutNote).await?;
        let note = repo.note_locks(&[checkout.admin.join("index.lock")])?;
        // What a killed git has exchanged is taken as it is, what it was at is written anew, and the rest is done by another one.
        let brought = exchange(repo, checkout, from, to).await;
        effect::awaits(Effect::CheckoutForget).await?;
        if let Some(brought) = ended(repo, note, brought, &mut tries).await? {
            return Ok(brought);
        }
    }
}

async fn exchange(
    repo: &Repository,
    checkout: &Checkout,
    from: &CommitId,
    to: &CommitId,
) -> Result<Option<Blocked>, Error> {
    refresh(repo, checkout).await?;
    let mut blocked = blocked(repo, checkout, from, to).await?;
    if blocked.is_some() {
        take_finished(repo, checkout, from, to).await?;
        torn::write_anew(repo, checkout, from, to).await?;
        blocked = self::blocked(repo, checkout, from, to).await?;
    }
    if blocked.is_none() {
        torn::note(repo, checkout, from, to).await?;
        effect::awaits(Effect::CheckoutBring).await?;
        at(repo, checkout, "read-tree")
            .timeout(LONG)
            .args(["-m", "-u", from.as_str(), to.as_str()])
            .run()
            .await?;
        // git syncs the index and never the files: after a power cut the files would be empty, and the next commit there
        // would take the work back.
        let folder = checkout.path.clone();
        tokio::task::spawn_blocking(move || sync_with(&folder))
            .await
            .map_err(|ended| Error::io("write to disk", &checkout.path)(ended.into()))??;
        torn::forget(repo, checkout)?;
    }
    Ok(blocked)
}

/// A call on the files and the index of a checkout.
pub(super) fn at(repo: &Repository, checkout: &Checkout, subcommand: &str) -> Call {
    repo.call(subcommand)
        .checkout(&checkout.path, &checkout.index())
}

/// Brings the index up to date with the times of the files, so that only real changes count.
async fn refresh(repo: &Repository, checkout: &Checkout) -> Result<(), Error> {
    // 1: there are changed files.
    at(repo, checkout, "update-index")
        .args(["-q", "--refresh"])
        .run_expecting(&[0, 1])
        .await?;
    Ok(())
}

/// Uncommitted changes in files that differ between the two commits. A file that is already as in `to`, in the
/// index too, is none.
async fn blocked(
    repo: &Repository,
    checkout: &Checkout,
    from: &CommitId,
    to: &CommitId,
) -> Result<Option<Blocked>, Error> {
    let unmerged = paths(at(repo, checkout, "ls-files").args(["-z", "--unmerged"])).await?;
    if !unmerged.is_empty() {
        return Ok(Some(Blocked::Busy("it has unresolved conflicts")));
    }
    let staged = |commit: &CommitId| {
        paths(at(repo, checkout, "diff-index").args([
            "--cached",
            "-z",
            "--name-only",
            commit.as_str(),
        ]))
    };
    let (not_from, not_to) = (staged(from).await?, staged(to).await?);
    let unstaged = paths(at(repo, checkout, "diff-files").args(["-z", "--name-only"])).await?;
    let mut overlap = BTreeSet::new();
    let changes = changes(repo, from, to).await?;
    for Change { path, .. } in &changes {
        if (not_from.contains(path) && not_to.contains(path)) || unstaged.contains(path) {
            overlap.insert(path.clone());
        }
    }
    let gone: BTreeSet<_> = changes
        .iter()
        .filter(|c| c.is_removed())
        .map(|c| &c.path)
        .collect();
    for change in changes
        .iter()
        .filter(|change| change.is_new() && !not_from.contains(&change.path))
    {
        for part in ancestors(&change.path) {
            let path = checkout.path.join(OsStr::from_bytes(part));
            let Ok(meta) = path.symlink_metadata() else {
                break;
            };
            let whole = part.len() == change.path.len();
            if meta.is_dir() && whole {
                let inside = at(repo, checkout, "ls-files").args(["-z", "--others", "--"]);
                overlap.extend(paths(inside.arg(OsStr::from_bytes(part))).await?);
            } else if !meta.is_dir() && !gone.contains(&part.to_vec()) {
                overlap.insert(part.to_vec());
            }
            if !meta.is_dir() {
                break;
            }
        }
    }
    let shown = overlap
        .iter()
        .map(|path| String::from_utf8_lossy(path).into_owned())
        .collect();
    Ok(if overlap.is_empty() {
        None
    } else {
        Some(Blocked::Dirty(shown))
    })
}

/// `a`, `a/b`, `a/b/c` of `a/b/c`.
fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'/')
        .map(|(at, _)| at);
    slashes.chain([path.len()]).map(|end| &path[..end])
}

async fn paths(call: Call) -> Result<BTreeSet<Vec<u8>>, Error> {
    let output = call.run().await?;
    Ok(output.fields().map(<[u8]>::to_vec).collect())
}

/// Of an exchange that a crash cut: enters into the index the files that are as in `to` already, where the
/// index still has what `from` has.
async fn take_finished(
    repo: &Repository,
    checkout: &Checkout,
    from: &CommitId,
    to: &CommitId,
) -> Result<(), Error> {
    let scratch = repo.scratch();
    let on_scratch = |subcommand: &str| repo.call(subcommand).checkout(&checkout.path, &scratch);
    let unlike_to = async {
        on_scratch("read-tree").arg(to.as_str()).run().await?;
        on_scratch("update-index")
            .args(["-q", "--refresh"])
            .run_expecting(&[0, 1])
            .await?;
        paths(on_scratch("diff-files").args(["-z", "--name-only"])).await
    };
    let unlike_to = unlike_to.await;
    // It may never have been written.
    let _ = std::fs::remove_file(&scratch);
    let unlike_to = unlike_to?;
    let cached = ["--cached", "-z", "--name-only", from.as_str()];
    let staged = paths(at(repo, checkout, "diff-index").args(cached)).await?;
    let mut entries = Vec::new();
    for change in changes(repo, from, to).await? {
        let file = checkout.path.join(OsStr::from_bytes(&change.path));
        let finished = if change.is_removed() {
            file.symlink_metadata().is_err()
        } else {
            !unlike_to.contains(&change.path)
        };
        if finished && !staged.contains(&change.path) {
            entries.extend(change.entry());
        }
    }
    at(repo, checkout, "update-index")
        .args(["-z", "--index-info"])
        .stdin(entries)
        .run()
        .await?;
    refresh(repo, checkout).await
}
