//! Deleting what was moved away, whatever an agent made of it: read-only folders, links, very deep paths, mounts.
//!
//! By descriptors and one name at a time, so that no path is ever too long and no link is ever followed. A folder is
//! only entered where it is on the same mount as the trash (`openat2(2)`, `RESOLVE_NO_XDEV`): what an agent mounted
//! inside its worktree is not the worktree's.
//!
//! What cannot be deleted (an immutable file, a mount) hinders nothing else. It is written down in the trash itself,
//! by name and with the reason, so that the next look at the world tells it; and it is tried again.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use tokio::sync::Mutex;

use crate::effect::{self, Effect};
use crate::git::Error;

/// Where it is written down, in the trash, what could not be deleted.
const LEFT: &str = ".left";
/// Deeper folders are first moved up into the trash: so many descriptors are open at the most.
const DEEPEST: usize = 64;
/// How often a folder is swept at once while somebody writes into it. Each sweep finds less than the one before, for it
/// is shorter, so that a few outrun a writer that never pauses.
const MOST_SWEEPS: usize = 1000;
/// The most that is written down of what could not be deleted.
const MOST_LEFT: usize = 100;

/// One at a time: two would only fight for the same names.
static EMPTYING: Mutex<()> = Mutex::const_new(());

/// What came of emptying the trash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Emptied {
    /// Bytes of the disk that deleted files had.
    pub bytes: u64,
    /// What could not be deleted, and why: a sentence each, which begins with the path.
    pub left: Vec<String>,
}

/// Deletes everything in the trash folder; a missing one is empty. Links are removed and never followed.
///
/// A writer that is still going may put something back while it is deleted; what is left then is left for
/// the next time, and told.
///
/// # Errors
/// The trash itself cannot be listed or written to.
pub async fn empty_trash(trash: &Path) -> Result<Emptied, Error> {
    let _one_at_a_time = EMPTYING.lock().await;
    let trash = trash.to_owned();
    blocking(move || empty(&trash)).await
}

/// What could not be deleted when the trash was last emptied: a sentence each, which begins with the path.
#[must_use]
pub fn left_in_trash(trash: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(trash.join(LEFT)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// How much lies in the trash: bytes of the disk, and how many things were moved there.
///
/// # Errors
/// It cannot be listed.
pub async fn weigh_trash(trash: &Path) -> Result<(u64, usize), Error> {
    let trash = trash.to_owned();
    blocking(move || {
        let entries = entries_of(&trash)?;
        let bytes = entries.iter().map(|path| super::special::bytes_below(path));
        Ok((bytes.sum(), entries.len()))
    })
    .await
}

fn entries_of(trash: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match std::fs::read_dir(trash) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list", trash)(error)),
    };
    let paths = entries.flatten().map(|entry| entry.path());
    Ok(paths.filter(|path| !path.ends_with(LEFT)).collect())
}

fn empty(trash: &Path) -> Result<Emptied, Error> {
    let mut emptied = Emptied::default();
    for entry in entries_of(trash)? {
        effect::begins(Effect::TrashEmpty)?;
        remove(&entry, trash, &mut emptied)?;
    }
    let note = trash.join(LEFT);
    let noted = if emptied.left.is_empty() {
        std::fs::remove_file(&note)
    } else {
        let lines: Vec<_> = emptied.left.iter().take(MOST_LEFT).cloned().collect();
        std::fs::write(&note, lines.join("\n") + "\n")
    };
    match noted {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("write", note)(error))
        }
        _ => Ok(emptied),
    }
}

/// Deletes one path of ours, a folder or not; gone already is as good. What lies too deep goes by way of its parent.
pub(super) fn delete(path: &Path) -> Result<(), Error> {
    if path
        .symlink_metadata()
        .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    {
        return Ok(());
    }
    let mut emptied = Emptied::default();
    let beside = path.parent().unwrap_or(Path::new("/"));
    remove(path, beside, &mut emptied)?;
    match emptied.left.into_iter().next() {
        None => Ok(()),
        Some(why) => Err(Error::io("delete", path)(io::Error::other(why))),
    }
}

/// Deletes one path; `spare` is a folder on the same file system for what lies too deep.
fn remove(path: &Path, spare: &Path, emptied: &mut Emptied) -> Result<(), Error> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = |folder: &Path| {
        rustix::fs::open(folder, flags, Mode::empty())
            .map_err(|e| Error::io("open", folder)(e.into()))
    };
    let parent = path.parent().unwrap_or(Path::new("/"));
    let name = CString::new(path.file_name().unwrap_or_default().as_bytes())
        .map_err(|error| Error::io("delete", path)(error.into()))?;
    let mut work = Removal {
        spare: opened(spare)?,
        deep: Vec::new(),
        emptied,
    };
    work.entry(&opened(parent)?, &name, path, 0);
    while let Some((name, shown)) = work.deep.pop() {
        let spare = work.spare.try_clone().map_err(Error::io("open", spare))?;
        work.entry(&spare, &name, &shown, 0);
    }
    Ok(())
}

struct Removal<'a> {
    spare: OwnedFd,
    /// Folders that were moved up: their names in the spare folder, and where they were.
    deep: Vec<(CString, PathBuf)>,
    emptied: &'a mut Emptied,
}

impl Removal<'_> {
    fn entry(&mut self, parent: &OwnedFd, name: &CStr, shown: &Path, depth: usize) {
        match self.delete(parent, name, shown, depth) {
            Ok(()) | Err(Errno::NOENT) => {}
            // Its own entries have said why.
            Err(Errno::NOTEMPTY) if !self.emptied.left.is_empty() => {}
            Err(errno) => self.leave(shown, errno),
        }
    }

    fn leave(&mut self, shown: &Path, errno: Errno) {
        let why = match errno {
            Errno::XDEV | Errno::BUSY => "something is mounted there: unmount it".to_owned(),
            Errno::PERM => "the system forbids it (an immutable file, or another owner)".to_owned(),
            Errno::NOTEMPTY => "somebody still writes there".to_owned(),
            other => io::Error::from(other).to_string(),
        };
        // One line each, whatever the name.
        let shown = shown.display().to_string().replace(char::is_control, "?");
        self.emptied.left.push(format!("{shown}: {why}"));
    }

    fn delete(
        &mut self,
        parent: &OwnedFd,
        name: &CStr,
        shown: &Path,
        depth: usize,
    ) -> Result<(), Errno> {
        let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            self.unlink(parent, name, AtFlags::empty())?;
            if stat.st_nlink == 1 {
                self.emptied.bytes += u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
            }
            return Ok(());
        }
        if depth >= DEEPEST {
            return self.move_up(parent, name, shown);
        }
        let folder = open_folder(parent, name)?;
        let left_before = self.emptied.left.len();
        for _ in 1..MOST_SWEEPS {
            self.entries(&folder, shown, depth)?;
            match self.unlink(parent, name, AtFlags::REMOVEDIR) {
                Err(Errno::NOTEMPTY) if self.emptied.left.len() == left_before => {}
                result => return result,
            }
        }
        self.entries(&folder, shown, depth)?;
        self.unlink(parent, name, AtFlags::REMOVEDIR)
    }

    fn entries(&mut self, folder: &OwnedFd, shown: &Path, depth: usize) -> Result<(), Errno> {
        let mut listed = Dir::read_from(folder)?;
        while let Some(entry) = listed.read() {
            let entry = entry?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                let shown = shown.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
                self.entry(folder, name, &shown, depth + 1);
            }
        }
        Ok(())
    }

    fn unlink(&self, parent: &OwnedFd, name: &CStr, flags: AtFlags) -> Result<(), Errno> {
        match rustix::fs::unlinkat(parent, name, flags) {
            Err(Errno::ACCESS) => {
                // The folder is read-only: it is ours to open.
                add_mode(parent)?;
                rustix::fs::unlinkat(parent, name, flags)
            }
            result => result,
        }
    }

    fn move_up(&mut self, parent: &OwnedFd, name: &CStr, shown: &Path) -> Result<(), Errno> {
        let up = uuid::Uuid::now_v7().simple().to_string();
        let up = CString::new(up).map_err(|_| Errno::INVAL)?;
        rustix::fs::renameat(parent, name, &self.spare, &up)?;
        self.deep.push((up, shown.to_owned()));
        Ok(())
    }
}

/// The folder of this name, on the same mount and no link, made readable and writable to us.
fn open_folder(parent: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let open = |flags: OFlags| {
        rustix::fs::openat2(
            parent,
            name,
            flags | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS,
        )
    };
    match open(OFlags::RDONLY) {
        Err(Errno::ACCESS) => {
            add_mode(&open(OFlags::PATH)?)?;
            open(OFlags::RDONLY)
        }
        result => result,
    }
}

/// Gives us list, read and write for the folder behind this descriptor, and no other that may take its name meanwhile.
fn add_mode(folder: &OwnedFd) -> Result<(), Errno> {
    let at = format!("/proc/self/fd/{}", folder.as_raw_fd());
    let stat = rustix::fs::fstat(folder)?;
    rustix::fs::chmodat(
        CWD,
        at,
        Mode::from_raw_mode(stat.st_mode) | Mode::RWXU,
        AtFlags::empty(),
    )
}

/// Gives us back our own rights to all that is in a folder: read, and for folders list and write.
pub(super) async fn make_accessible(folder: &Path) -> Result<(), Error> {
    let folder = folder.to_owned();
    blocking(move || {
        open_up(&folder);
        Ok(())
    })
    .await
}

/// As far as it can: what could not be opened shows in what is tried next.
fn open_up(folder: &Path) {
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        add_mode_at(&folder, 0o700);
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => add_mode_at(&entry.path(), 0o400),
                _ => {}
            }
        }
    }
}

fn add_mode_at(path: &Path, bits: u32) {
    let Ok(meta) = path.symlink_metadata() else {
        return;
    };
    let mode = meta.permissions().mode();
    if !meta.is_symlink() && mode & bits != bits {
        // Not ours to change: the next step says so.
        let _ = std::fs::set_permissions(path, PermissionsExt::from_mode(mode | bits));
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
