//! Files that were cut while git wrote them: git, the service or the machine ended in the middle of an exchange.
//!
//! git takes the old file away, makes the new one and writes into it. Cut in between, the file is missing or has the
//! beginning of what it was to have, and looks like a change by the checkout's owner. So, before git begins, a note on disk
//! says which files it is to exchange: all of them were looked at just before, and had no changes of anybody's. A file
//! of the note that is missing, or is a strict beginning of what it was to become, is torn, and is written anew. All else
//! that is neither old nor new is the owner's, and stays.
//!
//! The note goes when the exchange is on disk. One that stays behind with a checkout that somebody changed meanwhile is
//! replaced by that of the next exchange there.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::bring::at;
use super::change::{Change, changes};
use crate::git::{Checkout, Error, LONG, Repository};
use crate::run::CommitId;

/// What the notes are called in the view.
const NOTE: &str = "exchanging-";

/// Notes, on disk, that the files that differ are about to be exchanged. Whoever calls has seen that nobody changed them.
/// Earlier notes of this checkout go.
pub(super) async fn note(
    repo: &Repository,
    checkout: &Checkout,
    from: &CommitId,
    to: &CommitId,
) -> Result<(), Error> {
    let mut bytes = Vec::new();
    let [from_text, to_text] = [from, to].map(|commit| commit.as_str().as_bytes());
    for field in [checkout.admin.as_os_str().as_bytes(), from_text, to_text] {
        bytes.extend_from_slice(field);
        bytes.push(0);
    }
    for change in changes(repo, from, to).await? {
        bytes.extend_from_slice(&change.path);
        bytes.push(0);
    }
    let earlier = notes(repo, checkout)?;
    let path = repo.note(&format!("{NOTE}{}", uuid::Uuid::now_v7().simple()));
    let mut file = File::create(&path).map_err(Error::io("create", &path))?;
    file.write_all(&bytes)
        .and_then(|()| file.sync_all())
        .map_err(Error::io("write", &path))?;
    let view = repo.note("");
    File::open(&view)
        .and_then(|folder| folder.sync_all())
        .map_err(Error::io("write to disk", &view))?;
    remove(&earlier)
}

/// The exchange is on disk.
pub(super) fn forget(repo: &Repository, checkout: &Checkout) -> Result<(), Error> {
    remove(&notes(repo, checkout)?)
}

/// Writes anew what was torn in this exchange, and enters it into the index. What came into its place meanwhile is not
/// written over: git makes these files, or fails.
pub(super) async fn write_anew(
    repo: &Repository,
    checkout: &Checkout,
    from: &CommitId,
    to: &CommitId,
) -> Result<(), Error> {
    let noted = noted(repo, checkout, from, to)?;
    if noted.is_empty() {
        return Ok(());
    }
    let (mut entries, mut paths) = (Vec::new(), Vec::new());
    for change in changes(repo, from, to).await? {
        if noted.contains(&change.path) && is_torn(repo, checkout, to, &change).await? {
            entries.extend(change.entry());
            paths.extend_from_slice(&change.path);
            paths.push(0);
            let file = file(checkout, &change);
            match fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", file)(error));
                }
                _ => {
                    tracing::warn!(file = %file.display(), "a file that a killed git was at is written anew")
                }
            }
        }
    }
    if paths.is_empty() {
        return Ok(());
    }
    at(repo, checkout, "update-index")
        .args(["-z", "--index-info"])
        .stdin(entries)
        .run()
        .await?;
    at(repo, checkout, "checkout-index")
        .timeout(LONG)
        .args(["-q", "-u", "-z", "--stdin"])
        .stdin(paths)
        .run()
        .await?;
    Ok(())
}

/// Whether the file is missing, or has a strict beginning of what it is to have.
async fn is_torn(
    repo: &Repository,
    checkout: &Checkout,
    to: &CommitId,
    change: &Change,
) -> Result<bool, Error> {
    if change.is_removed() || change.is_repository() {
        return Ok(false);
    }
    let path = file(checkout, change);
    let meta = match path.symlink_metadata() {
        Ok(meta) => meta,
        Err(error) => return Ok(error.kind() == std::io::ErrorKind::NotFound),
    };
    if !meta.is_file() || !change.is_file() {
        return Ok(false);
    }
    let mut name = format!("{to}:").into_bytes();
    name.extend_from_slice(&change.path);
    // As git would write it: with the ends of lines that it is to have.
    let whole = at(repo, checkout, "cat-file")
        .arg("--filters")
        .arg(OsStr::from_bytes(&name))
        .run()
        .await?;
    let whole = whole.stdout();
    if meta.len() >= whole.len() as u64 {
        return Ok(false);
    }
    let is = fs::read(&path).map_err(Error::io("read", &path))?;
    Ok(is.len() < whole.len() && whole.starts_with(&is))
}

fn file(checkout: &Checkout, change: &Change) -> PathBuf {
    checkout.path.join(OsStr::from_bytes(&change.path))
}

/// The files of the notes of this very exchange.
fn noted(
    repo: &Repository,
    checkout: &Checkout,
    from: &CommitId,
    to: &CommitId,
) -> Result<BTreeSet<Vec<u8>>, Error> {
    let mut paths = BTreeSet::new();
    for note in notes(repo, checkout)? {
        let bytes = read(&note)?;
        let mut fields = fields(&bytes).skip(1);
        let ends = [fields.next(), fields.next()];
        if ends == [from, to].map(|commit| Some(commit.as_str().as_bytes())) {
            paths.extend(fields.map(<[u8]>::to_vec));
        }
    }
    Ok(paths)
}

/// All notes of a checkout.
fn notes(repo: &Repository, checkout: &Checkout) -> Result<Vec<PathBuf>, Error> {
    let view = repo.note("");
    let mut found = Vec::new();
    for entry in fs::read_dir(&view)
        .map_err(Error::io("list", &view))?
        .flatten()
    {
        if entry.file_name().as_bytes().starts_with(NOTE.as_bytes())
            && fields(&read(&entry.path())?).next() == Some(checkout.admin.as_os_str().as_bytes())
        {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Empty, if it has gone meanwhile.
fn read(note: &Path) -> Result<Vec<u8>, Error> {
    match fs::read(note) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(Error::io("read", note)),
    }
}

/// Each ends with a zero byte: what does not was cut, before its git began.
fn fields(note: &[u8]) -> impl Iterator<Item = &[u8]> {
    note.split_inclusive(|byte| *byte == 0)
        .filter_map(|field| field.strip_suffix(&[0]))
}

fn remove(notes: &[PathBuf]) -> Result<(), Error> {
    for note in notes {
        match fs::remove_file(note) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", note)(error));
            }
            _ => {}
        }
    }
    Ok(())
}
