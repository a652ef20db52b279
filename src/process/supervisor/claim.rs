//! Taking a launch: one supervisor for one attempt, and none once it was given up.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::process::getpid;

use crate::process::Identity;
use crate::process::records::{Claim, Launch, Record, Started};

/// A launch that is this supervisor's. The lock on its file is held for as long as this lives.
pub(super) struct Claimed {
    pub launch: Launch,
    pub supervisor: Identity,
    _lock: File,
}

/// Takes the launch in `dir`; the text says why not.
pub(super) fn claim(dir: &Path) -> Result<Claimed, String> {
    let told = |what: &str| {
        let what = what.to_owned();
        move |e: io::Error| format!("{what}: {e}")
    };
    let path = dir.join(Launch::FILE);
    let lock = File::open(&path).map_err(told(Launch::FILE))?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive)
        .map_err(|e| format!("another supervisor has this launch: {e}"))?;
    // Whoever gives a launch up renames it under the lock. This is the file of that name only if it still is.
    let (held, there) = (lock.metadata(), fs::metadata(&path));
    let (held, there) = (
        held.map_err(told(Launch::FILE))?,
        there.map_err(told("the launch was given up"))?,
    );
    if (held.dev(), held.ino()) != (there.dev(), there.ino()) {
        return Err("the launch was replaced".to_owned());
    }
    if fs::exists(dir.join(Started::FILE)).map_err(told(Started::FILE))? {
        return Err("this attempt was started before".to_owned());
    }
    let launch = Launch::load(dir)
        .map_err(|e| e.to_string())?
        .ok_or("the launch was given up")?;
    let supervisor = Identity::of(getpid()).map_err(told("/proc/self"))?;
    Claim {
        supervisor: supervisor.clone(),
    }
    .write(dir)
    .map_err(|e| e.to_string())?;
    Ok(Claimed {
        launch,
        supervisor,
        _lock: lock,
    })
}
