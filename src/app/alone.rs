//! One server at a time for a database: two would both take up its runs, and each would end what the other watches.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// How long a lock is waited for. A child of a server that was killed can have it until its exec, which is milliseconds.
const PATIENCE: Duration = Duration::from_secs(1);

/// The right to work on a database, for as long as this is held; a process that dies gives it back.
#[derive(Debug)]
pub struct Alone {
    _lock: File,
}

/// Takes the lock beside the database: `<db>.lock`, which stays there. Nothing if another server has it.
///
/// # Errors
/// The file cannot be made.
pub async fn alone_with(db: &Path) -> io::Result<Option<Alone>> {
    let lock = OpenOptions::new()
        .create(true)
        .append(true)
        .open(lock_of(db))?;
    let begun = Instant::now();
    loop {
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(Alone { _lock: lock })),
            Err(Errno::WOULDBLOCK) if begun.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn lock_of(db: &Path) -> PathBuf {
    let mut name = db.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}
