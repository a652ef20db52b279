//! What there is to seed: a walk of the source that follows no link and leaves no file system.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, openat2, readlinkat, statat,
};
use rustix::io::Errno;

/// How deep folders are followed, from the root of the checkout.
const DEEPEST: usize = 64;
/// The most files and links that are seeded at a time: more than any cache that a person would want.
const MOST: usize = 1_000_000;

/// What there is.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) all: Vec<Entry>,
    pub(super) left_out: Vec<String>,
}

/// A file or a link, by its path from the root of the checkout.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    /// What it leads to, if it is a link.
    pub(super) link: Option<PathBuf>,
}

/// Opens what is at a path below a folder, with no link on the way and none at its end.
pub(super) fn open(folder: impl AsFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let mut flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if !flags.contains(OFlags::PATH) {
        // A pipe that took a file's place meanwhile is not waited for.
        flags |= OFlags::NONBLOCK;
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    openat2(folder, path, flags, Mode::empty(), resolve)
}

/// The root of a checkout, for [`open`].
pub(super) fn open_root(root: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, root, flags, Mode::empty())
}

impl Found {
    /// All files and links at these paths below a root, where nothing of `into` stands in their way.
    pub(super) fn below(root: &Path, paths: &[String], into: &Path) -> Found {
        let mut found = Found::default();
        let folder = match open_root(root) {
            Ok(folder) => folder,
            Err(errno) => {
                found.leave_out(root, &errno.to_string());
                return found;
            }
        };
        for path in paths {
            let path = Path::new(path.trim_end_matches('/'));
            found.walk(&folder, path, into);
        }
        found
    }

    fn walk(&mut self, root: &OwnedFd, path: &Path, into: &Path) {
        let mut waiting = vec![path.to_owned()];
        while let Some(path) = waiting.pop() {
            match self.look(root, &path, into) {
                Ok(mut inside) => waiting.append(&mut inside),
                // It was never there: a cache that nobody has made yet.
                Err(Errno::NOENT) => {}
                Err(errno) => self.leave_out(&path, &why(errno)),
            }
            if self.all.len() >= MOST {
                self.leave_out(&path, "it and all after it: there are too many files");
                return;
            }
        }
    }

    /// Takes up what is at a path; of a folder, what is in it is still to be looked at.
    fn look(&mut self, root: &OwnedFd, path: &Path, into: &Path) -> Result<Vec<PathBuf>, Errno> {
        let above = path.parent().filter(|above| !above.as_os_str().is_empty());
        let name = path.file_name().ok_or(Errno::INVAL)?;
        let above = open(
            root,
            above.unwrap_or(Path::new(".")),
            OFlags::PATH | OFlags::DIRECTORY,
        )?;
        let stat = statat(&above, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => self.take(path, None),
            FileType::Symlink => {
                let target = readlinkat(&above, name, Vec::new())?;
                let target = PathBuf::from(std::ffi::OsString::from_vec(target.into_bytes()));
                if stays_inside(path, &target) {
                    self.take(path, Some(target));
                } else {
                    self.leave_out(path, "it is a link that leads out");
                }
            }
            FileType::Directory if name == ".git" => {
                self.leave_out(path, "it is a repository's own folder")
            }
            FileType::Directory if path.components().count() >= DEEPEST => {
                self.leave_out(path, "it is too deep");
            }
            FileType::Directory => {
                let there = into.join(path).symlink_metadata();
                if there.is_ok_and(|meta| !meta.is_dir()) {
                    self.leave_out(path, "the commit has something else there");
                    return Ok(Vec::new());
                }
                return inside(root, path);
            }
            _ => self.leave_out(path, "it is no file, folder or link"),
        }
        Ok(Vec::new())
    }

    fn take(&mut self, path: &Path, link: Option<PathBuf>) {
        self.all.push(Entry {
            path: path.to_owned(),
            link,
        });
    }

    pub(super) fn leave_out(&mut self, path: &Path, why: &str) {
        self.left_out.push(format!("{}: {why}", path.display()));
    }

    /// The paths, as git takes them.
    pub(super) fn paths(&self) -> Vec<Vec<u8>> {
        let paths = self.all.iter();
        paths
            .map(|entry| entry.path.as_os_str().as_bytes().to_vec())
            .collect()
    }

    /// Keeps these only, and tells of the others.
    pub(super) fn keep(&mut self, paths: &BTreeSet<Vec<u8>>, why: &str) {
        let all = std::mem::take(&mut self.all);
        for entry in all {
            if paths.contains(entry.path.as_os_str().as_bytes()) {
                self.all.push(entry);
            } else {
                self.leave_out(&entry.path, why);
            }
        }
    }
}

fn inside(root: &OwnedFd, path: &Path) -> Result<Vec<PathBuf>, Errno> {
    let folder = open(root, path, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let mut inside = Vec::new();
    for entry in Dir::new(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            inside.push(path.join(OsStr::from_bytes(name)));
        }
    }
    Ok(inside)
}

fn why(errno: Errno) -> String {
    match errno {
        Errno::LOOP => "there is a link on the way to it".to_owned(),
        Errno::XDEV => "it is on another file system".to_owned(),
        other => other.to_string(),
    }
}

/// Whether a link at this path (from the root) leads to a place below the root, whatever other links there are: its `..`
/// come first, and are no more than the folders that it is in.
fn stays_inside(path: &Path, target: &Path) -> bool {
    let mut up = path.components().count() - 1;
    let mut is_down = false;
    for part in target.components() {
        match part {
            Component::ParentDir if is_down || up == 0 => return false,
            Component::ParentDir => up -= 1,
            Component::Normal(_) => is_down = true,
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_stays_inside_if_its_way_up_does() {
        let stays = |path: &str, target: &str| stays_inside(Path::new(path), Path::new(target));
        assert!(stays("a/b/link", "../c/./d"));
        assert!(stays("a/b/link", "../../c"));
        assert!(stays("link", "file"));
        assert!(!stays("a/b/link", "../../../c"));
        assert!(!stays("link", "../x"));
        assert!(!stays("a/link", "/etc"));
        // `b` may be a link.
        assert!(!stays("a/link", "b/../../c"));
    }
}
