//! The files of a commit in an empty folder, with their index: what `git read-tree --reset -u` does there.
//!
//! Odd, and so git's: submodules, attributes that ask for a conversion (`filter`, `ident`, an encoding, ends of lines),
//! settings by which files are meant otherwise (no symbolic links, no executable bit, names without case, ends of lines),
//! and a file that could not be written. git's checkout then goes over what is there.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use gix::Repository;
use gix::bstr::ByteSlice as _;
use gix::index::State;
use gix::progress::Discard;
use gix::worktree::stack::state::attributes::Source;

use super::objects::tree_id;
use super::{Inside, Odd, index};
use crate::run::CommitId;

/// More threads make small checkouts slower.
const THREADS: usize = 2;
/// Words in a file of attributes that ask for what is git's to do.
const CONVERSIONS: &[&str] = &["filter", "ident", "encoding", "eol", "crlf"];
/// Settings that say how files are meant, with the value that is plain.
const PLAIN: &[(&str, bool)] = &[
    ("core.filemode", true),
    ("core.symlinks", true),
    ("core.ignorecase", false),
    ("core.precomposeunicode", false),
];

impl Inside {
    /// Checks out into an empty folder and writes the index beside; `durable`: the index is on disk then.
    pub(in crate::git) fn check_out(
        &self,
        folder: &Path,
        index_at: &Path,
        commit: &CommitId,
        durable: bool,
        stop: &AtomicBool,
    ) -> Result<(), Odd> {
        let mut entries = folder.read_dir()?;
        if entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != ".git")) {
            return Err(Odd::because("the folder is not empty"));
        }
        self.ask(|repo| {
            let tree = tree_id(repo, commit)?;
            let mut state: State = repo.index_from_tree(&tree)?.into_parts().0;
            self.files_are_plain(repo, &state)?;
            let mut options = repo.checkout_options(Source::IdMapping)?;
            options.destination_is_initially_empty = true;
            options.thread_limit = Some(THREADS);
            let told = gix::worktree::state::checkout(
                &mut state,
                folder,
                repo.objects.clone().into_arc()?,
                &Discard,
                &Discard,
                stop,
                options,
            )?;
            if let Some(error) = told.errors.first() {
                return Err(Odd::because(error.error.to_string()));
            }
            if stop.load(Ordering::Relaxed) {
                return Err(Odd::because("nobody waits for it"));
            }
            if !told.collisions.is_empty() {
                return Err(Odd::because("files in each other's way"));
            }
            index::write(repo, &state, tree, index_at, durable)
        })
    }

    /// Nothing asks for files to be other than they are stored.
    pub(super) fn files_are_plain(&self, repo: &Repository, state: &State) -> Result<(), Odd> {
        let settings = repo.config_snapshot();
        let other = |(name, plain): &&(&str, bool)| {
            settings.boolean(*name).is_some_and(|value| value != *plain)
        };
        if let Some((name, _)) = PLAIN.iter().find(other) {
            return Err(Odd::because(*name));
        }
        let ends_of_lines = ["core.autocrlf", "core.eol"];
        if ends_of_lines.iter().any(|name| {
            settings
                .string(*name)
                .is_some_and(|value| !matches!(value.as_slice(), b"false" | b"lf" | b"native"))
        }) {
            return Err(Odd::because("ends of lines are converted"));
        }
        let info = self.common_dir.join("info/attributes");
        if info.symlink_metadata().is_ok() {
            let mut text = Vec::new();
            let file = super::packed::plain_file(&info)?;
            std::io::Read::read_to_end(&mut std::io::Read::take(file, 1 << 20), &mut text)?;
            converts_nothing(&text)?;
        }
        for entry in state.entries() {
            if entry.mode == gix::index::entry::Mode::COMMIT {
                return Err(Odd::because("submodules"));
            }
            let path = entry.path(state);
            if path == ".gitattributes" || path.ends_with(b"/.gitattributes") {
                converts_nothing(&repo.find_object(entry.id)?.data)?;
            }
        }
        Ok(())
    }
}

fn converts_nothing(attributes: &[u8]) -> Result<(), Odd> {
    let asks = |word: &&&str| attributes.contains_str(word);
    match CONVERSIONS.iter().find(asks) {
        Some(word) => Err(Odd::because(format!("attributes ask for {word}"))),
        None => Ok(()),
    }
}
