//! Files that are either there whole or not there: written aside, then renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::effect::{self, Effect};

/// What a file has to survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::process) enum Survives {
    /// The death of any process.
    Crash,
    /// And that of the machine, at the price of two waits for the disk (milliseconds).
    PowerCut,
}

/// Takes room for `bytes` bytes of the file `name`, so that [`write_whole`] can write as many on a full disk. Not so on
/// file systems that never write to the same place twice (btrfs, ZFS).
pub(super) fn reserve(dir: &Path, name: &str, bytes: usize) -> io::Result<()> {
    // Written, not only its length set: holes have no room.
    let blanks = vec![b' '; bytes];
    let mut file = open_aside(dir, name)?;
    file.write_all(&blanks)
}

/// Writes `bytes` as the file `name` in `dir`, readable by its owner only.
pub(super) fn write_whole(
    dir: &Path,
    name: &str,
    bytes: &[u8],
    survives: Survives,
) -> io::Result<()> {
    effect::begins(Effect::RecordWrite)?;
    let mut file = open_aside(dir, name)?;
    file.write_all(bytes)?;
    // Only now, and not at the opening: what was reserved is used.
    file.set_len(bytes.len() as u64)?;
    if survives == Survives::PowerCut {
        file.sync_all()?;
    }
    effect::begins(Effect::RecordRename)?;
    fs::rename(aside(dir, name), dir.join(name))?;
    if survives == Survives::PowerCut {
        effect::begins(Effect::RecordSync)?;
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

fn aside(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!(".{name}.new"))
}

fn open_aside(dir: &Path, name: &str) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(aside(dir, name))
}
