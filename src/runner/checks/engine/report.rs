//! The JUnit reports that a check should write: found by its pattern inside of the checkout, and read.
//!
//! The kernel holds every path inside (`openat2(2)`): a link that a command or a commit has put there leads nowhere.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, ResolveFlags, openat2, unlinkat};
use rustix::io::Errno;

use crate::dod::check::junit;
use crate::dod::check::verdict::Report;
use crate::dod::check::{CheckSpec, Counts};

/// The most bytes of all reports of a check together.
const BYTES_MAX: u64 = 256 << 20;
/// The most reports of a check.
const REPORTS_MAX: usize = 10_000;

/// Takes away what lies where the report is to be written: a report that the check did not write is none.
///
/// # Errors
/// Something there cannot be taken away.
pub(super) fn take_away(checkout: &Path, spec: &CheckSpec) -> io::Result<()> {
    let Some(pattern) = &spec.junit else {
        return Ok(());
    };
    let root = open_root(checkout)?;
    for path in found(&root, pattern).map_err(io::Error::other)? {
        let parent = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name().unwrap_or_default();
        let folder = match parent.as_os_str().is_empty() {
            true => root.try_clone()?,
            false => open(&root, parent, OFlags::PATH | OFlags::DIRECTORY)?,
        };
        match unlinkat(&folder, name, AtFlags::empty()) {
            Err(Errno::NOENT) => {}
            result => result?,
        }
    }
    Ok(())
}

/// Reads what the check has written.
pub(super) fn read(checkout: &Path, spec: &CheckSpec) -> Report {
    let Some(pattern) = &spec.junit else {
        return Report::NotAsked;
    };
    let unreadable = |path: &Path, why: String| {
        let path = path.display();
        Report::Unreadable(format!("`{path}`: {why}"))
    };
    let root = match open_root(checkout) {
        Ok(root) => root,
        Err(error) => return unreadable(Path::new("."), error.to_string()),
    };
    let paths = match found(&root, pattern) {
        Ok(paths) if paths.is_empty() => return Report::Missing,
        Ok(paths) => paths,
        Err(why) => return Report::Unreadable(why),
    };
    let mut room = BYTES_MAX;
    let mut all = Counts::default();
    for path in paths {
        let counts = text(&root, &path, &mut room)
            .map_err(|error| error.to_string())
            .and_then(|text| junit::read(&text));
        match counts {
            Ok(counts) => all = all.and(counts),
            Err(why) => return unreadable(&path, why),
        }
    }
    Report::Read(all)
}

fn text(root: &OwnedFd, path: &Path, room: &mut u64) -> io::Result<String> {
    // Without O_NONBLOCK a FIFO would wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(open(root, path, flags)?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    let read = file.take(*room + 1).read_to_string(&mut text)? as u64;
    *room = room.checked_sub(read).ok_or_else(|| {
        io::Error::other(format!(
            "the reports are larger than {} MiB",
            BYTES_MAX >> 20
        ))
    })?;
    Ok(text)
}

fn open_root(checkout: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat2(
        CWD,
        checkout,
        flags,
        Mode::empty(),
        ResolveFlags::empty(),
    )?)
}

fn open(root: &OwnedFd, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    Ok(openat2(
        root,
        path,
        flags | OFlags::CLOEXEC,
        Mode::empty(),
        resolve,
    )?)
}

/// The paths that the pattern stands for, in their order. `*` stands for any characters of one name.
fn found(root: &OwnedFd, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let mut paths = vec![PathBuf::new()];
    for part in pattern.split('/') {
        if !part.contains('*') {
            paths.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        let matcher = matcher(part)?;
        let mut next = Vec::new();
        for path in &paths {
            let names = names(root, path)
                .map_err(|error| format!("`{}` cannot be listed: {error}", path.display()))?;
            next.extend(
                names
                    .iter()
                    .filter(|name| matcher.is_match(name))
                    .map(|name| path.join(name)),
            );
        }
        if next.len() > REPORTS_MAX {
            return Err(format!(
                "`{pattern}` stands for more than {REPORTS_MAX} files"
            ));
        }
        next.sort();
        paths = next;
    }
    // A name without `*` was taken as it is: whether it is there is asked now.
    paths.retain(|path| !matches!(stat_of(root, path), Err(Errno::NOENT | Errno::NOTDIR)));
    Ok(paths)
}

fn stat_of(root: &OwnedFd, path: &Path) -> Result<(), Errno> {
    rustix::fs::statat(root, path, AtFlags::SYMLINK_NOFOLLOW).map(drop)
}

fn matcher(part: &str) -> Result<GlobMatcher, String> {
    // Only `*` has a meaning.
    let escaped: String = part
        .split('*')
        .map(globset::escape)
        .collect::<Vec<_>>()
        .join("*");
    let glob = GlobBuilder::new(&escaped).literal_separator(true).build();
    glob.map(|glob| glob.compile_matcher())
        .map_err(|error| error.to_string())
}

/// The names in a folder of the checkout; none if it is not there.
fn names(root: &OwnedFd, folder: &Path) -> io::Result<Vec<String>> {
    let at = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let opened = match open(root, at, OFlags::RDONLY | OFlags::DIRECTORY) {
        Ok(opened) => opened,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in Dir::read_from(&opened)? {
        if let Ok(name) = entry?.file_name().to_str()
            && !matches!(name, "." | "..")
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
