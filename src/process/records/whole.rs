//! Files that are either there whole or not there: written aside, then renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What a file has to survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::process) enum Survives {
    /// The death of any process.
    Crash,
    /// And that of the machine, at the price of two waits for the disk (milliseconds).
    PowerCut,
}

/// Writes `bytes` as the file `name` in `dir`, readable by its owner only.
pub(super) fn write_whole(
    dir: &Path,
    name: &str,
    bytes: &[u8],
    survives: Survives,
) -> io::Result<()> {
    let aside = dir.join(format!(".{name}.new"));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside)?;
    file.write_all(bytes)?;
    if survives == Survives::PowerCut {
        file.sync_all()?;
    }
    fs::rename(&aside, dir.join(name))?;
    if survives == Survives::PowerCut {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}
