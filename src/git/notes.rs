//! Notes on commits (git-notes(1)), in one ref of ours, `refs/notes/agent_runner`.
//!
//! `git notes add` moves its ref without looking whether somebody else has moved it meanwhile, so two at once lose one.
//! Here the tree of notes is made by `ls-tree` and `hash-object`, and the ref moves by compare-and-swap.

use std::collections::BTreeMap;

use super::error::Error;
use super::names::RefName;
use super::output::Output;
use super::refs::{NotMoved, RefEdit};
use super::repository::{Identity, Repository};
use crate::run::{CommitId, TreeId};

/// How often the ref may have moved meanwhile. Who loses has let another one through.
const TRIES: u32 = 50;

/// The most bytes of a note that are read.
const MOST: usize = 16 << 20;

/// One line of a tree.
#[derive(Debug, Clone)]
struct Entry {
    /// Mode and kind: `100644 blob`, `040000 tree`.
    kind: String,
    hash: String,
    name: Vec<u8>,
}

impl Entry {
    fn is_tree(&self) -> bool {
        self.kind.ends_with(" tree")
    }

    fn is_tree_named(&self, name: &str) -> bool {
        self.name == name.as_bytes() && self.is_tree()
    }

    /// By what git sorts the entries of a tree: a tree's name as if it ended with a slash.
    fn place(&self) -> Vec<u8> {
        let mut place = self.name.clone();
        if self.is_tree() {
            place.push(b'/');
        }
        place
    }

    /// As it stands in the object: the mode without leading zeros, the name, and the hash as bytes.
    fn bytes(&self) -> Vec<u8> {
        let mode = self.kind.split(' ').next().unwrap_or_default();
        let mut bytes = mode.trim_start_matches('0').as_bytes().to_vec();
        bytes.push(b' ');
        bytes.extend_from_slice(&self.name);
        bytes.push(0);
        bytes.extend(self.hash.as_bytes().chunks(2).filter_map(byte_of));
        bytes
    }
}

impl Repository {
    /// The note of ours on this commit.
    ///
    /// # Errors
    /// git failed.
    pub async fn note_of(&self, commit: &CommitId) -> Result<Option<Vec<u8>>, Error> {
        match self.notes().await?.get(commit) {
            None => Ok(None),
            Some(blob) => {
                let call = self.call("cat-file").args(["blob", blob]).cut_at(MOST);
                Ok(Some(call.run().await?.into_stdout()))
            }
        }
    }

    /// The commits that have a note of ours, each with the hash of its blob.
    ///
    /// # Errors
    /// git failed.
    pub async fn notes(&self) -> Result<BTreeMap<CommitId, String>, Error> {
        let name = RefName::notes();
        if self.resolve(&name).await?.is_none() {
            return Ok(BTreeMap::new());
        }
        let of_ref = format!("--ref={name}");
        let output = self.call("notes").args([&of_ref, "list"]).run().await?;
        let text = String::from_utf8_lossy(output.stdout()).into_owned();
        text.lines()
            .map(|line| {
                let unreadable = || output.unreadable(line);
                let (blob, commit) = line.split_once(' ').ok_or_else(unreadable)?;
                Ok((commit.parse().map_err(|_| unreadable())?, blob.to_owned()))
            })
            .collect()
    }

    /// Puts this text on the commit, in the place of what was there. Done already is as good.
    ///
    /// # Errors
    /// git failed, or the ref moved each time.
    pub async fn set_note(&self, commit: &CommitId, text: &str) -> Result<(), NotMoved> {
        let _one_at_a_time = self.noting.lock().await;
        let name = RefName::notes();
        let call = self.call("hash-object").args(["-w", "--stdin"]);
        let blob = call.stdin(text.as_bytes().to_vec()).run().await?.line();
        let mut last = None;
        for _ in 0..TRIES {
            if self.notes().await?.get(commit) == Some(&blob) {
                return Ok(());
            }
            let tip = self.resolve(&name).await?;
            let tree = match &tip {
                Some(tip) => Some(self.tree_of(tip).await?),
                None => None,
            };
            let tree = self.with_note(tree, commit, &blob).await?;
            let parents: Vec<&CommitId> = tip.iter().collect();
            let message = format!("Note on {commit}\n");
            let noted = self
                .commit_tree(&tree, &parents, &Identity::service(), &message)
                .await?;
            let edit = match tip {
                Some(from) => RefEdit::Move {
                    name: name.clone(),
                    from,
                    to: noted,
                },
                None => RefEdit::Create(name.clone(), noted),
            };
            // git writes an object to disk, but not the folder that it was renamed into.
            self.sync()?;
            match self.edit_refs(&[edit], "a note").await {
                Err(changed @ NotMoved::Changed { .. }) => last = Some(changed),
                other => return other,
            }
        }
        last.map_or(Ok(()), Err)
    }

    /// The tree of notes with this one in it: `ab/cdef…`, or deeper where git has made it so. Another place that had a
    /// note on the same commit loses it, or git would show both.
    async fn with_note(
        &self,
        tree: Option<TreeId>,
        commit: &CommitId,
        blob: &str,
    ) -> Result<TreeId, Error> {
        let mut name = commit.as_str();
        let mut below = tree.map(String::from);
        let mut levels: Vec<(Vec<Entry>, &str)> = Vec::new();
        let mut entries = loop {
            let mut entries = match &below {
                Some(tree) => self.entries(tree).await?,
                None => Vec::new(),
            };
            entries.retain(|entry| entry.name != name.as_bytes());
            let (two, rest) = name.split_at(2);
            let folder = entries.iter().position(|entry| entry.is_tree_named(two));
            if folder.is_none() && !levels.is_empty() {
                break entries;
            }
            below = folder.map(|at| entries.swap_remove(at).hash);
            levels.push((entries, two));
            name = rest;
        };
        entries.push(Entry {
            kind: "100644 blob".to_owned(),
            hash: blob.to_owned(),
            name: name.as_bytes().to_vec(),
        });
        let mut made = self.make_tree(&entries).await?;
        while let Some((mut entries, folder)) = levels.pop() {
            entries.push(Entry {
                kind: "040000 tree".to_owned(),
                hash: made.into(),
                name: folder.as_bytes().to_vec(),
            });
            made = self.make_tree(&entries).await?;
        }
        Ok(made)
    }

    async fn entries(&self, tree: &str) -> Result<Vec<Entry>, Error> {
        let call = self.call("ls-tree").args(["-z", "--end-of-options", tree]);
        let output = call.run().await?;
        let entries = output.fields().map(|field| entry(field, &output));
        entries.collect()
    }

    /// Not by `git mktree`: it does not read `core.fsync`, and after a power cut its tree may be there by name, but empty.
    async fn make_tree(&self, entries: &[Entry]) -> Result<TreeId, Error> {
        let mut entries: Vec<&Entry> = entries.iter().collect();
        entries.sort_by_key(|entry| entry.place());
        let bytes = entries.into_iter().flat_map(Entry::bytes).collect();
        let call = self.call("hash-object");
        let call = call.args(["-t", "tree", "-w", "--stdin"]).stdin(bytes);
        call.run().await?.hash()
    }
}

/// Of two hexadecimal digits, as git writes all hashes.
fn byte_of(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// `100644 blob <hash>\t<name>`.
fn entry(field: &[u8], output: &Output) -> Result<Entry, Error> {
    let unreadable = || output.unreadable(&String::from_utf8_lossy(field));
    let tab = field.iter().position(|byte| *byte == b'\t');
    let (before, name) = field.split_at(tab.ok_or_else(unreadable)?);
    let before = String::from_utf8_lossy(before).into_owned();
    let (kind, hash) = before.rsplit_once(' ').ok_or_else(unreadable)?;
    Ok(Entry {
        kind: kind.to_owned(),
        hash: hash.to_owned(),
        name: name[1..].to_vec(),
    })
}
