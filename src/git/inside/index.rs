//! The index of a checkout: made from a tree, and written with the trees that it is of, so that git need not compute them.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use gix::index::State;
use gix::objs::tree::EntryKind;
use gix::objs::{Kind, TreeRefIter};
use gix::{ObjectId, Repository};

use super::objects::bytes_of;
use super::{DEEPEST, Odd};

/// Writes the index in one step; it is on disk then, if it is to be.
pub(super) fn write(
    repo: &Repository,
    state: &State,
    tree: ObjectId,
    at: &Path,
    durable: bool,
) -> Result<(), Odd> {
    let mut bytes = Vec::new();
    state.write_to(&mut bytes, gix::index::write::Options::default())?;
    let mut trees = Vec::new();
    let files = node(repo, b"", tree, &mut trees, DEEPEST)?;
    if usize::try_from(files)? != state.entries().len() {
        return Err(Odd::because("an index that is not of that tree"));
    }
    bytes.extend_from_slice(b"TREE");
    bytes.extend_from_slice(&u32::try_from(trees.len())?.to_be_bytes());
    bytes.extend_from_slice(&trees);
    let mut hasher = gix::hash::hasher(repo.object_hash());
    hasher.update(&bytes);
    bytes.extend_from_slice(hasher.try_finalize()?.as_slice());
    let lock = at.with_extension("lock");
    let written = File::create_new(&lock)
        .and_then(|mut file| {
            file.write_all(&bytes)?;
            if durable { file.sync_all() } else { Ok(()) }
        })
        .and_then(|()| fs::rename(&lock, at));
    if let Err(error) = &written
        && error.kind() != std::io::ErrorKind::AlreadyExists
    {
        // The first error is the one to tell.
        let _ = fs::remove_file(&lock);
    }
    Ok(written?)
}

/// One tree of the extension `TREE` (gitformat-index(5)) and all below it; how many files it has.
///
/// Two entries of one name, as only a planted tree has them, are odd.
fn node(
    repo: &Repository,
    name: &[u8],
    tree: ObjectId,
    out: &mut Vec<u8>,
    depth: usize,
) -> Result<u32, Odd> {
    if depth == 0 {
        return Err(Odd::because("folders too deep"));
    }
    let bytes = bytes_of(repo, tree, Kind::Tree)?;
    let (mut files, mut folders, mut names) = (0_u32, Vec::new(), HashSet::new());
    for entry in TreeRefIter::from_bytes(&bytes, repo.object_hash()) {
        let entry = entry?;
        if !names.insert(entry.filename) {
            return Err(Odd::because("two entries of one name"));
        }
        match entry.mode.kind() {
            EntryKind::Tree => folders.push((entry.filename, entry.oid.to_owned())),
            EntryKind::Commit => return Err(Odd::because("submodules")),
            _ => files += 1,
        }
    }
    // git looks them up in this order.
    folders.sort_by_key(|(name, _)| (name.len(), *name));
    let mut below = Vec::new();
    for (name, id) in &folders {
        files += node(repo, name, *id, &mut below, depth - 1)?;
    }
    out.extend_from_slice(name);
    out.extend_from_slice(format!("\0{files} {}\n", folders.len()).as_bytes());
    out.extend_from_slice(tree.as_slice());
    out.extend_from_slice(&below);
    Ok(files)
}
