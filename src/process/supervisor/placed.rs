//! Where the starter has put this process: one line of JSON on the standard input, before the agent is started.

use std::fs::File;
use std::io::{self, Read as _};

use rustix::fs::{FileType, fstat};

use crate::process::containment::Placement;

/// Waits for the line. A starter that died before it told is an error: the attempt is started anew by who finds it.
/// One of a version that tells nothing gives no pipe.
pub(super) fn placed() -> io::Result<Placement> {
    let stdin = rustix::stdio::stdin().try_clone_to_owned()?;
    if FileType::from_raw_mode(fstat(&stdin)?.st_mode) != FileType::Fifo {
        return Ok(Placement::default());
    }
    let mut line = String::new();
    File::from(stdin).read_to_string(&mut line)?;
    let null = File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(null)?;
    if line.is_empty() {
        return Err(io::Error::other("it ended before it said where to run"));
    }
    Ok(serde_json::from_str(&line)?)
}
