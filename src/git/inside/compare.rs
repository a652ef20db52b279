//! What differs between two trees: path by path, in the order of trees. A rename is two of them.

use std::cmp::Ordering;

use gix::objs::tree::{EntryKind, EntryRef};
use gix::objs::{Kind, TreeRefIter};
use gix::{ObjectId, Repository};

use super::objects::{bytes_of, tree_id};
use super::{DEEPEST, Inside, Odd};
use crate::run::CommitId;

/// What one side has at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) kind: EntryKind,
    pub(super) object: ObjectId,
}

/// A path that differs: what it was, what it is. One of them is there at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) path: Vec<u8>,
    pub(super) old: Option<Side>,
    pub(super) new: Option<Side>,
}

impl Difference {
    /// `added`, `deleted`, `type_changed` or `modified`.
    pub(super) fn change(&self) -> &'static str {
        match (self.old, self.new) {
            (None, _) => "added",
            (_, None) => "deleted",
            (Some(old), Some(new)) if sort_of(old.kind) != sort_of(new.kind) => "type_changed",
            _ => "modified",
        }
    }
}

/// An executable file is a file.
fn sort_of(kind: EntryKind) -> EntryKind {
    match kind {
        EntryKind::BlobExecutable => EntryKind::Blob,
        other => other,
    }
}

impl Inside {
    /// Each path that differs, and what became of it.
    pub(in crate::git) fn changes(
        &self,
        a: &CommitId,
        b: &CommitId,
    ) -> Result<Vec<(Vec<u8>, &'static str)>, Odd> {
        self.ask(|repo| {
            let all = differences(repo, tree_id(repo, a)?, tree_id(repo, b)?)?;
            let told = |one: Difference| {
                let change = one.change();
                (one.path, change)
            };
            Ok(all.into_iter().map(told).collect())
        })
    }
}

/// What differs between two trees.
pub(super) fn differences(
    repo: &Repository,
    a: ObjectId,
    b: ObjectId,
) -> Result<Vec<Difference>, Odd> {
    let mut comparison = Comparison {
        repo,
        path: Vec::new(),
        found: Vec::new(),
    };
    comparison.trees(Some(a), Some(b), DEEPEST)?;
    Ok(comparison.found)
}

struct Comparison<'a> {
    repo: &'a Repository,
    path: Vec<u8>,
    found: Vec<Difference>,
}

impl Comparison<'_> {
    fn trees(&mut self, a: Option<ObjectId>, b: Option<ObjectId>, depth: usize) -> Result<(), Odd> {
        if a == b {
            return Ok(());
        }
        if depth == 0 {
            return Err(Odd::because("folders too deep"));
        }
        let bytes = |tree: Option<ObjectId>| match tree {
            Some(tree) => bytes_of(self.repo, tree, Kind::Tree),
            None => Ok(Vec::new()),
        };
        let (a, b) = (bytes(a)?, bytes(b)?);
        let hash = self.repo.object_hash();
        let mut old = TreeRefIter::from_bytes(&a, hash).peekable();
        let mut new = TreeRefIter::from_bytes(&b, hash).peekable();
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(Ok(a)), Some(Ok(b))) => order(a, b),
                // The error is taken out below.
                (Some(Err(_)), Some(_)) => Ordering::Less,
                (Some(_), Some(Err(_))) => Ordering::Greater,
            };
            let was = if order.is_le() { old.next() } else { None };
            let is = if order.is_ge() { new.next() } else { None };
            self.entry(was.transpose()?, is.transpose()?, depth)?;
        }
    }

    /// Two entries of one name, or one that the other side has not.
    fn entry(
        &mut self,
        old: Option<EntryRef<'_>>,
        new: Option<EntryRef<'_>>,
        depth: usize,
    ) -> Result<(), Odd> {
        let parent = self.path.len();
        if parent > 0 {
            self.path.push(b'/');
        }
        if let Some(entry) = old.or(new) {
            self.path.extend_from_slice(entry.filename);
        }
        let side = |entry: EntryRef<'_>| Side {
            kind: entry.mode.kind(),
            object: entry.oid.to_owned(),
        };
        let (old, new) = (old.map(side), new.map(side));
        let is_tree = |side: Option<Side>| side.is_some_and(|side| side.kind == EntryKind::Tree);
        if is_tree(old) || is_tree(new) {
            let tree = |side: Option<Side>| side.map(|side| side.object);
            self.trees(tree(old), tree(new), depth - 1)?;
        } else if old != new {
            let path = self.path.clone();
            self.found.push(Difference { path, old, new });
        }
        self.path.truncate(parent);
        Ok(())
    }
}

/// The order of trees: a folder as if its name ended with `/`. A file and a folder of one name are two entries.
fn order(a: &EntryRef<'_>, b: &EntryRef<'_>) -> Ordering {
    let sorted = |entry: &EntryRef<'_>| {
        let slash: &[u8] = if entry.mode.is_tree() { b"/" } else { b"" };
        entry
            .filename
            .iter()
            .chain(slash)
            .copied()
            .collect::<Vec<u8>>()
    };
    sorted(a).cmp(&sorted(b))
}
