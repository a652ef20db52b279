//! The log of a check, as far as it is read for what test runners say in it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::dod::check::{Counts, counts};

/// Of a longer log, so many bytes from its beginning are read,
const HEAD: u64 = 8 << 20;
/// and so many before its end: runners print their summaries there.
const TAIL: u64 = 24 << 20;

/// What test runners said in it. A log that is not there says nothing.
pub(super) fn counted(log: &Path) -> Option<Counts> {
    read(log, HEAD, TAIL)
        .ok()
        .and_then(|text| counts::of_output(&text))
}

/// Writes one log of several, each behind its title.
pub(super) fn join(target: &Path, parts: &[(String, PathBuf)]) -> io::Result<()> {
    let mut target = File::create(target)?;
    for (title, log) in parts {
        target.write_all(title.as_bytes())?;
        match File::open(log) {
            Ok(mut log) => drop(io::copy(&mut log, &mut target)?),
            // A command that was never started has none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn read(log: &Path, head: u64, tail: u64) -> io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    let mut bytes = Vec::new();
    if length <= head + tail {
        file.take(head + tail).read_to_end(&mut bytes)?;
    } else {
        (&mut file).take(head).read_to_end(&mut bytes)?;
        bytes.push(b'\n');
        file.seek(SeekFrom::Start(length - tail))?;
        file.take(tail).read_to_end(&mut bytes)?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_log_both_ends_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        std::fs::write(&log, "begin middle end").unwrap();
        assert_eq!(read(&log, 100, 100).unwrap(), "begin middle end");
        assert_eq!(read(&log, 5, 3).unwrap(), "begin\nend");
    }
}
