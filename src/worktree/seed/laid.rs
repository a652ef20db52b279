//! Laying files into a folder: cloned, or copied.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, fchmod, fstat, futimens, ioctl_ficlone,
    mkdirat, openat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::found::{Entry, Found, open, open_root};
use super::{Seeded, Way};

/// What is kept of a file's mode.
const PERMISSIONS: u32 = 0o777;
/// How many files a folder is looked through for one to try with.
const LOOKED_AT: usize = 1_000;

/// Why a file was not laid.
enum NotLaid {
    /// Files cannot share bytes from there to here.
    NoReflink(Errno),
    /// There is no room, or the disk fails: nothing more can be laid.
    Disk(Errno),
    /// This one cannot.
    This(Errno),
}

impl From<Errno> for NotLaid {
    fn from(errno: Errno) -> NotLaid {
        match errno {
            Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::ROFS => NotLaid::Disk(errno),
            other => NotLaid::This(other),
        }
    }
}

/// Lays all that was found. Where the disk is full, nothing of it stays: half a cache is none.
pub(super) fn lay(source: &Path, into: &Path, found: Found, copy: bool) -> Seeded {
    let mut seeded = Seeded {
        left_out: found.left_out,
        ..Seeded::default()
    };
    let roots = open_root(source).and_then(|source| Ok((source, open_root(into)?)));
    let (source, into) = match roots {
        Ok(roots) => roots,
        Err(errno) => {
            seeded.left_out.push(format!("everything: {errno}"));
            return seeded;
        }
    };
    let mut way = Way::Reflink;
    let mut made: Vec<PathBuf> = Vec::new();
    let mut above: Option<(PathBuf, OwnedFd)> = None;
    for entry in &found.all {
        let mut laid = one(&source, &into, &mut above, entry, way);
        if let (Err(NotLaid::NoReflink(_)), true) = (&laid, copy) {
            way = Way::Copy;
            laid = one(&source, &into, &mut above, entry, way);
        }
        let path = entry.path.display();
        match laid {
            Ok(bytes) => {
                made.push(entry.path.clone());
                seeded.files += 1;
                seeded.bytes += bytes;
                seeded.way = Some(way);
            }
            Err(NotLaid::This(errno)) => seeded.left_out.push(format!("{path}: {errno}")),
            Err(NotLaid::NoReflink(errno)) => {
                let why = format!(
                    "everything: files cannot share their bytes between source and worktrees ({errno}), and `seed_copy` is off"
                );
                return given_up(&into, &made, seeded, why);
            }
            Err(NotLaid::Disk(errno)) => {
                let why = format!("everything: {path} could not be written: {errno}");
                return given_up(&into, &made, seeded, why);
            }
        }
    }
    seeded
}

fn given_up(into: &OwnedFd, made: &[PathBuf], seeded: Seeded, why: String) -> Seeded {
    for path in made {
        // Ignored files that stay do no harm but for their room.
        let _ = unlinkat(into, path, AtFlags::empty());
    }
    let mut left_out = vec![why];
    left_out.extend(seeded.left_out);
    Seeded {
        left_out,
        ..Seeded::default()
    }
}

/// Lays one file or link; its bytes.
fn one(
    source: &OwnedFd,
    into: &OwnedFd,
    above: &mut Option<(PathBuf, OwnedFd)>,
    entry: &Entry,
    way: Way,
) -> Result<u64, NotLaid> {
    let parent = entry.path.parent().unwrap_or(Path::new(""));
    let name = entry.path.file_name().ok_or(Errno::INVAL)?;
    let folder = match above.take() {
        Some((path, folder)) if path == parent => folder,
        _ => folder_at(into, parent)?,
    };
    let folder = &above.insert((parent.to_owned(), folder)).1;
    if let Some(target) = &entry.link {
        symlinkat(target, folder, name)?;
        return Ok(0);
    }
    let from = open(source, &entry.path, OFlags::RDONLY)?;
    let stat = fstat(&from)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(NotLaid::This(Errno::INVAL));
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let to = openat(folder, name, flags, Mode::RUSR | Mode::WUSR)?;
    let written = fill(&from, &to, way).and_then(|()| {
        fchmod(&to, Mode::from_raw_mode(stat.st_mode & PERMISSIONS))?;
        let time = Timespec {
            tv_sec: stat.st_mtime,
            tv_nsec: stat.st_mtime_nsec.try_into().unwrap_or_default(),
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        Ok(futimens(&to, &times)?)
    });
    if written.is_err() {
        // The first error is the one to tell.
        let _ = unlinkat(folder, name, AtFlags::empty());
    }
    written?;
    Ok(u64::try_from(stat.st_size).unwrap_or_default())
}

fn fill(from: &OwnedFd, to: &OwnedFd, way: Way) -> Result<(), NotLaid> {
    match way {
        Way::Reflink => ioctl_ficlone(to, from).map_err(|errno| match NotLaid::from(errno) {
            NotLaid::Disk(errno) if errno != Errno::ROFS => NotLaid::Disk(errno),
            _ => NotLaid::NoReflink(errno),
        }),
        Way::Copy => {
            let clone = |fd: &OwnedFd| fd.try_clone().map(File::from);
            let copied = clone(from).and_then(|mut from| io::copy(&mut from, &mut clone(to)?));
            copied
                .map(|_| ())
                .map_err(|error| NotLaid::from(Errno::from_io_error(&error).unwrap_or(Errno::IO)))
        }
    }
}

/// The folder at a path, made if it is not there; with no link on the way.
fn folder_at(into: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let mut at = open(into, Path::new("."), OFlags::PATH | OFlags::DIRECTORY)?;
    for part in path.components() {
        let part = Path::new(&part);
        match mkdirat(&at, part, Mode::from_raw_mode(PERMISSIONS)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        at = open(&at, part, OFlags::PATH | OFlags::DIRECTORY)?;
    }
    Ok(at)
}

/// Whether files of one folder can share their bytes with new ones in another: tried with a file that is there. Nothing
/// of it stays, and nothing is written into the first folder.
///
/// # Errors
/// Why not, or why it cannot be told.
pub fn reflinks_between(source: &Path, root: &Path) -> Result<(), String> {
    let files = std::fs::read_dir(source).map_err(|error| error.to_string())?;
    let file = files.flatten().take(LOOKED_AT).find(|entry| {
        entry
            .metadata()
            .is_ok_and(|meta| meta.is_file() && meta.len() > 0)
    });
    let file = file.ok_or("no file is there to try it with")?;
    let said = |errno: Errno| errno.to_string();
    let folder = open_root(source).map_err(said)?;
    let from = open(&folder, Path::new(&file.file_name()), OFlags::RDONLY).map_err(said)?;
    // It has no name, so nothing of it is left whatever happens.
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let to = openat(rustix::fs::CWD, root, flags, Mode::RUSR | Mode::WUSR).map_err(said)?;
    ioctl_ficlone(&to, &from).map_err(said)
}
