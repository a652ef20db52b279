//! All that is in a folder, as a tree: what git tracks there and what it does not (but for what is ignored).
//!
//! Nothing of the folder is believed. The index is a copy, so that locks and conflicts in the real one do not
//! matter; flags that would hide files from git are taken off it; if it is unreadable, the files are read anew.
//!
//! A repository inside the folder becomes plain files: as a gitlink its content would be nowhere. What is kept
//! of a submodule that git already knows is the commit that HEAD has for it.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::trash::make_accessible;
use crate::effect::{self, Effect};
use crate::git::{Call, Error, Repository};
use crate::run::{CommitId, Cone, TreeId};

/// How often it is tried again while somebody still writes into the folder.
const TRIES: u32 = 3;
/// How deep repositories inside repositories are followed.
const DEEPEST: u32 = 8;
/// From this many files on, they are written to disk together at the end and not one by one.
const MANY: usize = 64;

/// A folder's content.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) tree: TreeId,
    /// An index for this tree, with what git knows of the files' times; removed when this is dropped.
    pub(super) index: Scratch,
    /// What could not be kept, and why: a sentence each.
    pub(super) missed: Vec<String>,
}

/// A file of ours that goes when nobody needs it any more.
#[derive(Debug)]
pub(super) struct Scratch(pub(super) PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // It may never have been written.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The content of `folder`. `index` is what git knew of it, `onto` the commit that it was made from, `cone` what of it
/// is checked out there: what is not, is as the index has it.
pub(super) async fn snapshot(
    repo: &Repository,
    folder: &Path,
    index: Option<&Path>,
    onto: Option<&CommitId>,
    cone: &Cone,
) -> Result<Snapshot, Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        let source = index.filter(|_| tries < TRIES);
        match (Folder {
            repo,
            folder,
            cone,
            depth: 0,
        })
        .take(source, onto)
        .await
        {
            // The index is damaged, a file cannot be read, or one changed while it was read.
            Err(Error::Failed { .. } | Error::Killed { .. }) if tries < TRIES => {
                make_accessible(folder).await?;
            }
            other => return other,
        }
    }
}

#[derive(Clone, Copy)]
struct Folder<'a> {
    repo: &'a Repository,
    folder: &'a Path,
    cone: &'a Cone,
    depth: u32,
}

/// The paths that differ from the index, sorted by what is to be done with them.
#[derive(Default)]
struct Changes {
    add: Vec<u8>,
    added: usize,
    remove: Vec<u8>,
    repositories: Vec<PathBuf>,
    missed: Vec<String>,
}

impl Folder<'_> {
    async fn take(self, index: Option<&Path>, onto: Option<&CommitId>) -> Result<Snapshot, Error> {
        let scratch = Scratch(self.repo.scratch());
        let copied = index.is_some_and(|index| copy_index(index, &scratch.0));
        if !copied && let Some(commit) = onto {
            self.on_index("read-tree", &scratch.0)
                .arg(commit.as_str())
                .run()
                .await?;
        }
        let mut unmarked = 0;
        if copied || !self.cone.is_whole() {
            unmarked = self.mark(&scratch.0).await?;
        }
        let mut changes = self.changes(&scratch.0).await?;
        if copied && unmarked > 0 {
            changes.missed.push(format!(
                "the deletion of {unmarked} files outside of the sparse folders: only `git rm --sparse` deletes there"
            ));
        }
        effect::awaits(Effect::SnapshotWrite).await?;
        let dot_git = self.folder.join(".git");
        if dot_git.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
            let shown = self.folder.display();
            let missed = format!("the history of the repository in {shown}; its files are kept");
            changes.missed.push(missed);
        }
        if !changes.remove.is_empty() {
            let call = self.on_index("update-index", &scratch.0);
            call.args(["--force-remove", "-z", "--stdin"])
                .stdin(changes.remove)
                .run()
                .await?;
        }
        if !changes.add.is_empty() {
            let mut call = self.on_index("update-index", &scratch.0);
            if changes.added >= MANY {
                call = call.config("core.fsync=none");
            }
            // `--remove`: a file may go between the listing and the reading.
            call.args(["--add", "--remove", "--replace", "-z", "--stdin"])
                .stdin(changes.add)
                .run()
                .await?;
        }
        for inside in changes.repositories {
            let missed = self.include(&scratch.0, &inside).await?;
            changes.missed.extend(missed);
        }
        let tree = self
            .on_index("write-tree", &scratch.0)
            .run()
            .await?
            .hash()?;
        if changes.added >= MANY {
            self.repo.sync()?;
        }
        Ok(Snapshot {
            tree,
            index: scratch,
            missed: changes.missed,
        })
    }

    fn on_index(self, subcommand: &str, index: &Path) -> Call {
        // An index of ours need not outlive a power cut; what is made from it must.
        let durable = "core.fsync=all,-index";
        self.repo
            .call(subcommand)
            .config(durable)
            .checkout(self.folder, index)
    }

    /// Takes off the flags by which an entry of the index says that its file need not be looked at, and puts one on
    /// those that are not checked out here. Answers how many of these lacked it.
    async fn mark(self, index: &Path) -> Result<usize, Error> {
        let output = self
            .on_index("ls-files", index)
            .args(["-v", "-z"])
            .run()
            .await?;
        let (mut assumed, mut skipped, mut beside) = (Vec::new(), Vec::new(), Vec::new());
        let mut unmarked = 0;
        let mut absent = AbsentFolder::default();
        for field in output.fields().filter(|field| field.len() > 2) {
            let (tag, path) = (field[0], &field[2..]);
            if tag.is_ascii_lowercase() {
                assumed.extend_from_slice(path);
                assumed.push(0);
            }
            // The file of a skipped entry may rightly be absent.
            let is_skipped = tag.eq_ignore_ascii_case(&b'S');
            if is_skipped && !absent.has(self, path) {
                skipped.extend_from_slice(path);
                skipped.push(0);
            }
            let is_known = tag.eq_ignore_ascii_case(&b'H');
            if is_known && !self.cone.has(path) && absent.has(self, path) {
                beside.extend_from_slice(path);
                beside.push(0);
                unmarked += 1;
            }
        }
        for (flag, paths) in [
            ("--no-assume-unchanged", assumed),
            ("--no-skip-worktree", skipped),
            ("--skip-worktree", beside),
        ] {
            if !paths.is_empty() {
                let call = self.on_index("update-index", index);
                call.args([flag, "-z", "--stdin"])
                    .stdin(paths)
                    .run()
                    .await?;
            }
        }
        Ok(unmarked)
    }

    async fn changes(self, index: &Path) -> Result<Changes, Error> {
        let mut changes = Changes::default();
        let tracked = self
            .on_index("diff-files", index)
            .args(["-z", "--name-only"])
            .run()
            .await?;
        let untracked = self
            .on_index("ls-files", index)
            .args(["-z", "--others", "--exclude-standard"])
            .run()
            .await?;
        // git goes on where it cannot list a folder, and only says so to people.
        if !untracked.stderr().is_empty() && self.depth == 0 {
            make_accessible(self.folder).await?;
            let again = self
                .on_index("ls-files", index)
                .args(["-z", "--others", "--exclude-standard"])
                .run()
                .await?;
            if !again.stderr().is_empty() {
                let said: String = again.stderr().chars().take(300).collect();
                changes
                    .missed
                    .push(format!("folders that cannot be listed: {said}"));
            }
            again
                .fields()
                .for_each(|path| self.sort(path, &mut changes));
        } else {
            untracked
                .fields()
                .for_each(|path| self.sort(path, &mut changes));
        }
        tracked
            .fields()
            .for_each(|path| self.sort(path, &mut changes));
        Ok(changes)
    }

    fn sort(self, path: &[u8], changes: &mut Changes) {
        if path.ends_with(b"/") {
            changes
                .repositories
                .push(PathBuf::from(OsStr::from_bytes(path)));
            return;
        }
        let list = match self.kind(path) {
            Kind::File => {
                changes.added += 1;
                &mut changes.add
            }
            Kind::Absent | Kind::Other => &mut changes.remove,
        };
        list.extend_from_slice(path);
        list.push(0);
    }

    /// What is at a path now, with no link on the way to it.
    fn kind(self, path: &[u8]) -> Kind {
        let path = Path::new(OsStr::from_bytes(path));
        let mut at = self.folder.to_owned();
        for part in path.parent().into_iter().flat_map(Path::components) {
            at.push(part);
            if !at.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
                return Kind::Absent;
            }
        }
        match self.folder.join(path).symlink_metadata() {
            Err(_) => Kind::Absent,
            Ok(meta) if meta.is_file() || meta.is_symlink() => Kind::File,
            Ok(_) => Kind::Other,
        }
    }

    /// Puts the files of a repository inside this folder into the index, and says what that leaves out.
    async fn include(self, index: &Path, inside: &Path) -> Result<Vec<String>, Error> {
        let shown = inside.display();
        if self.depth == DEEPEST {
            return Ok(vec![format!(
                "{shown} is a repository too deep inside repositories"
            )]);
        }
        let folder = self.folder.join(inside);
        let inner = Folder {
            folder: &folder,
            cone: &Cone::WHOLE,
            depth: self.depth + 1,
            ..self
        };
        let taken = Box::pin(inner.take(None, None)).await?;
        let mut prefix = std::ffi::OsString::from("--prefix=");
        prefix.push(inside);
        self.on_index("read-tree", index)
            .arg(prefix)
            .arg(taken.tree.as_str())
            .run()
            .await?;
        Ok(taken.missed)
    }
}

/// The last folder that was found to be absent: all that is said to be below it is so as well. Paths come in order.
#[derive(Default)]
struct AbsentFolder(Vec<u8>);

impl AbsentFolder {
    fn has(&mut self, folder: Folder<'_>, path: &[u8]) -> bool {
        if !self.0.is_empty() && path.starts_with(&self.0) {
            return true;
        }
        if folder.kind(path) != Kind::Absent {
            return false;
        }
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        for (at, _) in slashes {
            let inside = folder
                .folder
                .join(OsStr::from_bytes(&path[..at]))
                .symlink_metadata();
            if inside.is_err() {
                path[..=at].clone_into(&mut self.0);
                break;
            }
        }
        true
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A regular file or a link: what git can keep.
    File,
    Absent,
    /// A folder where a file was, a pipe, a socket.
    Other,
}

/// Copies an index with its time of change, by which git knows which files may have changed since in the
/// same tick of the clock. `false` if there is none that could be read.
fn copy_index(from: &Path, to: &Path) -> bool {
    let copy = || -> std::io::Result<()> {
        if !from.symlink_metadata()?.is_file() {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        let mut source = std::fs::File::open(from)?;
        let changed = source.metadata()?.modified()?;
        let mut bytes = Vec::new();
        source.read_to_end(&mut bytes)?;
        std::fs::write(to, bytes)?;
        std::fs::File::options()
            .write(true)
            .open(to)?
            .set_modified(changed)
    };
    copy().is_ok()
}
