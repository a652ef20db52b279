//! A clean checkout taken from one commit to another: what `git read-tree -m -u` does, for the paths that differ alone.
//!
//! Everything is looked at before anything is changed: a file that is not as the index has it, or one that is in the way,
//! is told by name. What asks for a conversion, a folder where a file is to be, an index that is not the old commit's
//! or that hides files: odd, and so git's.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

use gix::bstr::ByteSlice as _;
use gix::index::entry::{Flags, Mode, Stage, Stat, stat};
use gix::index::{State, fs::Metadata};
use gix::objs::Kind;
use gix::objs::tree::EntryKind;
use gix::{ObjectId, Repository};

use super::compare::{Difference, Side, differences};
use super::objects::{bytes_of, tree_id};
use super::packed::plain_file;
use super::{Inside, MOST_BYTES, Odd, index};
use crate::run::CommitId;

/// How times of files are compared: to the nanosecond. What differs is read.
const STAT: stat::Options = stat::Options {
    trust_ctime: true,
    check_stat: true,
    use_nsec: true,
    use_stdev: false,
};
/// Entries whose files git does not look at.
const HIDDEN: Flags = Flags::ASSUME_VALID
    .union(Flags::SKIP_WORKTREE)
    .union(Flags::INTENT_TO_ADD);

impl Inside {
    /// Takes the checkout along; the paths in the way, if there are any, and then nothing was changed.
    pub(in crate::git) fn catch_up(
        &self,
        folder: &Path,
        index_at: &Path,
        from: &CommitId,
        to: &CommitId,
    ) -> Result<Vec<String>, Odd> {
        plain_file(index_at)?;
        self.ask(|repo| {
            let (old, new) = (tree_id(repo, from)?, tree_id(repo, to)?);
            let hash = repo.object_hash();
            let file = gix::index::File::at(index_at, hash, false, Default::default())?;
            let mut checkout = Checkout {
                repo,
                folder,
                state: file.into_parts().0,
                changes: differences(repo, old, new)?,
            };
            checkout.is_of(old)?;
            self.files_are_plain(repo, &checkout.state)?;
            let in_the_way = checkout.in_the_way()?;
            if in_the_way.is_empty() {
                checkout.change()?;
                index::write(repo, &checkout.state, new, index_at, true)?;
            }
            Ok(in_the_way)
        })
    }
}

struct Checkout<'a> {
    repo: &'a Repository,
    folder: &'a Path,
    state: State,
    changes: Vec<Difference>,
}

impl Checkout<'_> {
    /// The index is of this tree and of nothing else.
    fn is_of(&mut self, tree: ObjectId) -> Result<(), Odd> {
        let whole = self.state.remove_tree().is_some_and(|root| {
            let files = root
                .num_entries
                .and_then(|files| usize::try_from(files).ok());
            root.id == tree && files == Some(self.state.entries().len())
        });
        if !whole || self.state.is_sparse() || self.state.link().is_some() {
            return Err(Odd::because("an index that is not of that commit"));
        }
        let mut entries = self.state.entries().iter();
        if entries
            .any(|entry| entry.stage() != Stage::Unconflicted || entry.flags.intersects(HIDDEN))
        {
            return Err(Odd::because("an index with conflicts, or that hides files"));
        }
        Ok(())
    }

    fn at(&self, path: &[u8]) -> PathBuf {
        self.folder.join(OsStr::from_bytes(path))
    }

    fn in_the_way(&self) -> Result<Vec<String>, Odd> {
        let removed: HashSet<&[u8]> = self
            .changes
            .iter()
            .filter(|change| change.new.is_none())
            .map(|change| change.path.as_slice())
            .collect();
        let mut found = Vec::new();
        for change in &self.changes {
            if change.path == b".gitattributes" || change.path.ends_with(b"/.gitattributes") {
                return Err(Odd::because("attributes change"));
            }
            if let Some(side) = change.new {
                let (mode, id) = (mode_of(side)?, side.object);
                gix::validate::path::component(
                    change
                        .path
                        .rsplit_str("/")
                        .next()
                        .unwrap_or_default()
                        .into(),
                    (mode == Mode::SYMLINK)
                        .then_some(gix::validate::path::component::Mode::Symlink),
                    Default::default(),
                )?;
                let header = self.repo.find_header(id)?;
                if header.kind() != Kind::Blob || header.size() > MOST_BYTES {
                    return Err(Odd::because("too large"));
                }
            }
            let is_as_it_was = self.folders_are_plain(&change.path, &removed)?
                && match change.old {
                    Some(side) => self.is_as_indexed(&change.path, side)?,
                    None => self.is_absent(&change.path)?,
                };
            if !is_as_it_was {
                found.push(String::from_utf8_lossy(&change.path).into_owned());
            }
        }
        Ok(found)
    }

    /// On the way to a path are folders, or nothing, or files that go.
    fn folders_are_plain(&self, path: &[u8], removed: &HashSet<&[u8]>) -> Result<bool, Odd> {
        for at in path.find_iter("/") {
            let folder = &path[..at];
            let leaf = folder.rsplit_str("/").next().unwrap_or_default();
            gix::validate::path::component(leaf.into(), None, Default::default())?;
            match self.at(folder).symlink_metadata() {
                Ok(meta) if meta.is_dir() => {}
                Ok(_) => return Ok(removed.contains(folder)),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    fn is_absent(&self, path: &[u8]) -> Result<bool, Odd> {
        match self.at(path).symlink_metadata() {
            Ok(meta) if meta.is_dir() => Err(Odd::because("a folder where a file is to be")),
            Ok(_) => Ok(false),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Ok(true)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The file is as the index has it, and the index as the commit.
    fn is_as_indexed(&self, path: &[u8], side: Side) -> Result<bool, Odd> {
        let entry = self
            .state
            .entry_by_path(path.as_bstr())
            .filter(|entry| entry.id == side.object)
            .ok_or_else(|| Odd::because("an index that is not of that commit"))?;
        let mode = mode_of(side)?;
        let at = self.at(path);
        let Ok(meta) = at.symlink_metadata() else {
            return Ok(false);
        };
        let kind_fits = match mode {
            Mode::SYMLINK => meta.is_symlink(),
            _ => {
                let executable = std::os::unix::fs::MetadataExt::mode(&meta) & 0o100 != 0;
                meta.is_file() && executable == (mode == Mode::FILE_EXECUTABLE)
            }
        };
        if !kind_fits || entry.mode != mode {
            return Ok(false);
        }
        let now = Stat::from_fs(&Metadata::from_path_no_follow(&at)?)?;
        if entry.stat.matches(&now, STAT) && !entry.stat.is_racy(self.state.timestamp(), STAT) {
            return Ok(true);
        }
        let bytes = match mode {
            Mode::SYMLINK => fs::read_link(&at)?.into_os_string().into_encoded_bytes(),
            _ if meta.len() > MOST_BYTES => return Ok(false),
            _ => {
                let mut bytes = Vec::new();
                plain_file(&at)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
                bytes
            }
        };
        let id = gix::objs::compute_hash(self.repo.object_hash(), Kind::Blob, &bytes)?;
        Ok(id == side.object)
    }

    /// Files first go, then come; and the entries with them.
    fn change(&mut self) -> Result<(), Odd> {
        let changes = std::mem::take(&mut self.changes);
        for change in changes.iter().filter(|change| change.old.is_some()) {
            fs::remove_file(self.at(&change.path))?;
        }
        let mut gone = HashSet::new();
        for change in changes.iter().filter(|change| change.new.is_none()) {
            self.remove_empty_folders(&change.path);
            gone.insert(change.path.as_bstr());
        }
        self.state.remove_entries(|_, path, _| gone.contains(path));
        let mut added = Vec::new();
        for change in &changes {
            let Some(side) = change.new else { continue };
            let (mode, path) = (mode_of(side)?, change.path.as_bstr());
            let stat = self.write(path, mode, side.object)?;
            match self
                .state
                .entry_mut_by_path_and_stage(path, Stage::Unconflicted)
            {
                Some(entry) => (entry.id, entry.mode, entry.stat) = (side.object, mode, stat),
                None => added.push((stat, side.object, mode, path)),
            }
        }
        for (stat, id, mode, path) in added {
            let flags = Flags::empty();
            self.state
                .dangerously_push_entry(stat, id, flags, mode, path);
        }
        self.state.sort_entries();
        Ok(())
    }

    fn write(&self, path: &[u8], mode: Mode, id: ObjectId) -> Result<Stat, Odd> {
        let at = self.at(path);
        if let Some(folder) = at.parent() {
            fs::create_dir_all(folder)?;
        }
        let bytes = bytes_of(self.repo, id, Kind::Blob)?;
        if mode == Mode::SYMLINK {
            symlink(OsStr::from_bytes(&bytes), &at)?;
        } else {
            let permissions = if mode == Mode::FILE_EXECUTABLE {
                0o777
            } else {
                0o666
            };
            let mut options = File::options();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(permissions)
                .open(&at)?;
            file.write_all(&bytes)?;
        }
        Ok(Stat::from_fs(&Metadata::from_path_no_follow(&at)?)?)
    }

    fn remove_empty_folders(&self, path: &[u8]) {
        let at = self.at(path);
        let mut folder = at.parent();
        while let Some(now) = folder.filter(|now| *now != self.folder) {
            // One that is not empty stays, and all above it.
            if fs::remove_dir(now).is_err() {
                break;
            }
            folder = now.parent();
        }
    }
}

fn mode_of(side: Side) -> Result<Mode, Odd> {
    match side.kind {
        EntryKind::Blob => Ok(Mode::FILE),
        EntryKind::BlobExecutable => Ok(Mode::FILE_EXECUTABLE),
        EntryKind::Link => Ok(Mode::SYMLINK),
        EntryKind::Commit | EntryKind::Tree => Err(Odd::because("submodules")),
    }
}
