//! Commits, trees and blobs.

use gix::objs::tree::EntryKind;
use gix::objs::{CommitRef, Kind, TreeRefIter};
use gix::{ObjectId, Repository};

use super::{DEEPEST, Inside, MOST_BYTES, Odd};
use crate::run::{CommitId, TreeId};

/// An entry of a tree that is no folder: its path, its kind, the hash of its bytes.
pub(in crate::git) type Entry = (Vec<u8>, EntryKind, String);

pub(super) fn id_of(hash: &str) -> Result<ObjectId, Odd> {
    Ok(ObjectId::from_hex(hash.as_bytes())?)
}

pub(super) fn hash_of<T: std::str::FromStr<Err: std::error::Error>>(
    id: &gix::oid,
) -> Result<T, Odd> {
    Ok(id.to_hex().to_string().parse()?)
}

/// The bytes of an object, if it is of this kind and can be held.
pub(super) fn bytes_of(repo: &Repository, id: ObjectId, kind: Kind) -> Result<Vec<u8>, Odd> {
    let header = repo.find_header(id)?;
    if header.kind() != kind {
        return Err(Odd::because("another kind of object"));
    }
    if header.size() > MOST_BYTES {
        return Err(Odd::because("too large"));
    }
    Ok(repo.find_object(id)?.detach().data)
}

pub(super) fn tree_id(repo: &Repository, commit: &CommitId) -> Result<ObjectId, Odd> {
    let bytes = bytes_of(repo, id_of(commit.as_str())?, Kind::Commit)?;
    Ok(CommitRef::from_bytes(&bytes, repo.object_hash())?.tree())
}

impl Inside {
    /// That the commit is there. Never that it is not: git says so.
    pub(in crate::git) fn has_commit(&self, commit: &CommitId) -> Result<(), Odd> {
        self.ask(|repo| tree_id(repo, commit).map(drop))
    }

    pub(in crate::git) fn tree_of(&self, commit: &CommitId) -> Result<TreeId, Odd> {
        self.ask(|repo| {
            let tree = tree_id(repo, commit)?;
            if repo.find_header(tree)?.kind() != Kind::Tree {
                return Err(Odd::because("not a tree"));
            }
            hash_of(&tree)
        })
    }

    pub(in crate::git) fn parents_of(&self, commit: &CommitId) -> Result<Vec<CommitId>, Odd> {
        self.whole_history()?;
        self.ask(|repo| {
            let bytes = bytes_of(repo, id_of(commit.as_str())?, Kind::Commit)?;
            let commit = CommitRef::from_bytes(&bytes, repo.object_hash())?;
            commit.parents().map(|parent| hash_of(&parent)).collect()
        })
    }

    /// What stands after the first empty line of a commit.
    pub(in crate::git) fn message_of(&self, commit: &CommitId) -> Result<String, Odd> {
        self.ask(|repo| {
            let bytes = bytes_of(repo, id_of(commit.as_str())?, Kind::Commit)?;
            let text = String::from_utf8_lossy(&bytes);
            let message = text.split_once("\n\n").map(|(_, message)| message);
            Ok(message.unwrap_or_default().to_owned())
        })
    }

    pub(in crate::git) fn names_at_root(&self, commit: &CommitId) -> Result<Vec<String>, Odd> {
        self.ask(|repo| {
            let bytes = bytes_of(repo, tree_id(repo, commit)?, Kind::Tree)?;
            TreeRefIter::from_bytes(&bytes, repo.object_hash())
                .map(|entry| Ok(String::from_utf8_lossy(entry?.filename).into_owned()))
                .collect()
        })
    }

    /// What is at these paths and below them; all of it if there is none.
    pub(in crate::git) fn files_at(
        &self,
        commit: &CommitId,
        paths: &[String],
    ) -> Result<Vec<Entry>, Odd> {
        let plain = |path: &String| path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !paths.iter().all(plain) {
            return Err(Odd::because("a path that git reads in its own way"));
        }
        self.ask(|repo| {
            let mut listing = Listing {
                repo,
                paths,
                found: Vec::new(),
            };
            listing.list(&mut Vec::new(), tree_id(repo, commit)?, DEEPEST)?;
            Ok(listing.found)
        })
    }

    /// The bytes of these objects, in their order; nothing for one of more than `most` bytes.
    pub(in crate::git) fn bytes_of(
        &self,
        blobs: &[String],
        most: usize,
    ) -> Result<Vec<Option<Vec<u8>>>, Odd> {
        self.ask(|repo| {
            let one = |hash: &String| {
                let id = id_of(hash)?;
                match repo.find_header(id)?.size() > u64::try_from(most)? {
                    true => Ok(None),
                    false => Ok(Some(repo.find_object(id)?.detach().data)),
                }
            };
            blobs.iter().map(one).collect()
        })
    }
}

struct Listing<'a> {
    repo: &'a Repository,
    paths: &'a [String],
    found: Vec<Entry>,
}

impl Listing<'_> {
    fn list(&mut self, path: &mut Vec<u8>, tree: ObjectId, depth: usize) -> Result<(), Odd> {
        if depth == 0 {
            return Err(Odd::because("folders too deep"));
        }
        let bytes = bytes_of(self.repo, tree, Kind::Tree)?;
        for entry in TreeRefIter::from_bytes(&bytes, self.repo.object_hash()) {
            let entry = entry?;
            let parent = path.len();
            if parent > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(entry.filename);
            match entry.mode.kind() {
                EntryKind::Tree if self.is_wanted(path) || self.leads_to_one(path) => {
                    self.list(path, entry.oid.to_owned(), depth - 1)?;
                }
                EntryKind::Tree => {}
                kind if self.is_wanted(path) => {
                    let hash = entry.oid.to_hex().to_string();
                    self.found.push((path.clone(), kind, hash));
                }
                _ => {}
            }
            path.truncate(parent);
        }
        Ok(())
    }

    /// Whether it is one of the paths, or below one.
    fn is_wanted(&self, path: &[u8]) -> bool {
        let at_or_below = |wanted: &String| is_at_or_below(path, wanted.as_bytes());
        self.paths.is_empty() || self.paths.iter().any(at_or_below)
    }

    fn leads_to_one(&self, path: &[u8]) -> bool {
        let leads = |wanted: &String| is_at_or_below(wanted.as_bytes(), path);
        self.paths.iter().any(leads)
    }
}

fn is_at_or_below(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}
