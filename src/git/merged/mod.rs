//! The merge commit in this process, where there is nothing to decide.
//!
//! Two trees are merged here if they changed different things of one common ancestor: then each name has what the one side
//! made of it, or the other, and git's answer can be no other. All else is *odd* and asked of `git merge-tree`, which alone
//! says what a conflict is:
//!
//! - a name that both sides changed, also if to the same, unless both changed the same file to the same bytes and mode. With
//!   it go all that git's renames could add: a file that one side moved and the other changed or moved too, a folder that
//!   one side moved and the other put a file into, a name that both sides made;
//! - several common ancestors, or none; no history that gix can read; modes that no git of today writes.
//!
//! So no content is merged here, and no attribute (`merge=union`, `binary`) counts. `docs/design/0020-ending.md`.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use gix::ObjectId;
use gix::bstr::BString;
use gix::objs::tree::EntryMode;

use super::error::Error;
use super::repository::{Identity, Repository};
use crate::clock;
use crate::effect::{self, Effect};
use crate::run::{CommitId, TreeId};

/// How deep folders are followed: each is a frame on the stack.
const DEEPEST: usize = 400;

/// What two commits come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plain {
    /// This tree, which is on disk.
    Tree(TreeId),
    /// The one has all of the other.
    Contained,
}

/// Why git is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Odd(String);

impl<E: std::error::Error> From<E> for Odd {
    fn from(error: E) -> Odd {
        Odd(error.to_string())
    }
}

fn odd<T>(why: &str) -> Result<T, Odd> {
    Err(Odd(why.to_owned()))
}

impl Repository {
    /// Merges `head` into `onto`, if there is nothing to decide; nothing if git is to be asked.
    ///
    /// # Errors
    /// A test has struck.
    pub(crate) async fn merge_plainly(
        &self,
        onto: &CommitId,
        head: &CommitId,
    ) -> Result<Option<Plain>, Error> {
        effect::awaits(Effect::CandidateTree).await?;
        let (view, onto, head) = (self.note(""), onto.clone(), head.clone());
        let merged = in_process(move || merge(&view, &onto, &head)).await;
        if let Err(Odd(why)) = &merged {
            tracing::debug!(why, "git is asked for a merge");
        }
        Ok(merged.ok())
    }

    /// A merge commit that is not signed, in process; nothing if git is to be asked. On disk, with its tree, when it returns.
    ///
    /// # Errors
    /// A test has struck.
    pub(crate) async fn commit_plainly(
        &self,
        tree: &TreeId,
        parents: &[&CommitId],
        identity: &Identity,
        message: &str,
    ) -> Result<Option<CommitId>, Error> {
        if self.signing.is_some() {
            return Ok(None);
        }
        effect::awaits(Effect::CommitWrite).await?;
        let view = self.note("");
        let (name, email) = identity.cleaned();
        let mut message = message.replace('\0', "");
        if !message.ends_with('\n') {
            message.push('\n');
        }
        let tree = tree.clone();
        let parents: Vec<CommitId> = parents.iter().map(|parent| (*parent).clone()).collect();
        let commit = in_process(move || {
            let now = clock::now().to_zoned(jiff::tz::TimeZone::system());
            let signature = gix::actor::Signature {
                name: name.into(),
                email: email.into(),
                time: gix::date::Time::new(now.timestamp().as_second(), now.offset().seconds()),
            };
            let commit = gix::objs::Commit {
                tree: id(tree.as_str())?,
                parents: parents
                    .iter()
                    .map(|parent| id(parent.as_str()))
                    .collect::<Result<_, _>>()?,
                author: signature.clone(),
                committer: signature,
                encoding: None,
                message: message.into(),
                extra_headers: Vec::new(),
            };
            let repo = open(&view)?;
            let written = repo.write_object(&commit)?.detach();
            to_disk(&view, &[written])?;
            written
                .to_string()
                .parse()
                .map_err(|_| Odd("a hash".to_owned()))
        });
        Ok(commit.await.ok())
    }
}

/// Writes objects to disk that were just written as files of their own, with the names that lead to them. One that is in a
/// pack was there before.
fn to_disk(view: &Path, written: &[ObjectId]) -> Result<(), Odd> {
    let objects = view.join("objects");
    let mut folders = BTreeSet::new();
    for id in written {
        let hash = id.to_string();
        let folder = objects.join(&hash[..2]);
        match std::fs::File::open(folder.join(&hash[2..])) {
            Ok(file) => file.sync_all()?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        }
        folders.insert(folder);
    }
    if !folders.is_empty() {
        folders.insert(objects);
    }
    for folder in folders {
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// What gix says beside the runtime; a panic in it is odd.
async fn in_process<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Odd> + Send + 'static,
) -> Result<T, Odd> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(ended) => Err(Odd(ended.to_string())),
    }
}

fn id(hash: &str) -> Result<ObjectId, Odd> {
    Ok(ObjectId::from_hex(hash.as_bytes())?)
}

fn open(view: &Path) -> Result<gix::Repository, Odd> {
    let options = gix::open::Options::isolated()
        // The view is ours, and the operator named the repository: whose it is, is as meant.
        .with(gix::sec::Trust::Full)
        // As in every call of git: history is what it is.
        .config_overrides(["core.useReplaceRefs=false"])
        .open_path_as_is(true);
    Ok(gix::open_opts(view, options)?)
}

fn merge(view: &Path, onto: &CommitId, head: &CommitId) -> Result<Plain, Odd> {
    let repo = open(view)?;
    if view.join("shallow").exists() {
        return odd("its history is shallow");
    }
    let (onto, head) = (id(onto.as_str())?, id(head.as_str())?);
    let bases = repo.merge_bases_many(onto, &[head])?;
    let [base] = bases.as_slice() else {
        return odd("there is not one common ancestor");
    };
    if *base == head {
        return Ok(Plain::Contained);
    }
    let tree = |commit: ObjectId| -> Result<ObjectId, Odd> {
        Ok(repo.find_commit(commit)?.tree_id()?.detach())
    };
    let trees = [tree(base.detach())?, tree(onto)?, tree(head)?].map(Some);
    let mut written = Vec::new();
    let merged = match folder(&repo, trees, &mut written, 0)? {
        Some(tree) => tree,
        None => repo.write_object(gix::objs::Tree::empty())?.detach(),
    };
    written.push(merged);
    to_disk(view, &written)?;
    let parsed = merged.to_string().parse();
    Ok(Plain::Tree(parsed.map_err(|_| Odd("a hash".to_owned()))?))
}

/// One name, as the common ancestor, the base and the work have it.
type Versions = [Option<(EntryMode, ObjectId)>; 3];

/// The merge of one folder; nothing if nothing is left in it.
fn folder(
    repo: &gix::Repository,
    trees: [Option<ObjectId>; 3],
    written: &mut Vec<ObjectId>,
    depth: usize,
) -> Result<Option<ObjectId>, Odd> {
    if depth > DEEPEST {
        return odd("its folders are too deep");
    }
    let mut names: BTreeMap<BString, Versions> = BTreeMap::new();
    for (which, tree) in trees.into_iter().enumerate() {
        let Some(tree) = tree else { continue };
        let tree = repo.find_tree(tree)?;
        for entry in tree.decode()?.entries {
            // git writes them anew.
            if entry.mode.value() != EntryMode::from(entry.mode.kind()).value() {
                return odd("a mode that no git of today writes");
            }
            let versions = names.entry(entry.filename.to_owned()).or_default();
            let before = versions[which].replace((entry.mode, entry.oid.to_owned()));
            if before.is_some() {
                return odd("a name that is there twice");
            }
        }
    }
    let mut entries = Vec::with_capacity(names.len());
    for (filename, versions) in names {
        if let Some((mode, oid)) = entry(repo, versions, written, depth)? {
            entries.push(gix::objs::tree::Entry {
                mode,
                filename,
                oid,
            });
        }
    }
    if entries.is_empty() {
        return Ok(None);
    }
    entries.sort();
    let tree = repo.write_object(gix::objs::Tree { entries })?.detach();
    written.push(tree);
    Ok(Some(tree))
}

fn entry(
    repo: &gix::Repository,
    versions: Versions,
    written: &mut Vec<ObjectId>,
    depth: usize,
) -> Result<Option<(EntryMode, ObjectId)>, Odd> {
    let is_tree = |version: Option<(EntryMode, ObjectId)>| version.is_some_and(|v| v.0.is_tree());
    match versions {
        [base, ours, theirs] if ours == base && theirs == base => Ok(base),
        [base, ours, theirs] if ours == theirs => {
            let is_file = |version: Option<(EntryMode, ObjectId)>| {
                version.is_some_and(|(mode, _)| mode.is_blob())
            };
            match is_file(base) && is_file(ours) {
                true => Ok(ours),
                false => odd("both sides did the same"),
            }
        }
        [base, ours, theirs] if ours == base => Ok(theirs),
        [base, ours, theirs] if theirs == base => Ok(ours),
        [base, ours, theirs] if is_tree(ours) && is_tree(theirs) => {
            if base.is_some() && !is_tree(base) {
                return odd("both sides changed it");
            }
            let trees = [base, ours, theirs].map(|version| version.map(|(_, oid)| oid));
            let merged = folder(repo, trees, written, depth + 1)?;
            Ok(merged.map(|oid| (EntryMode::from(gix::objs::tree::EntryKind::Tree), oid)))
        }
        _ => odd("both sides changed it"),
    }
}
