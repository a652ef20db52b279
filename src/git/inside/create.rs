//! A new ref, on disk when it is told: the one change of refs that a start waits for.
//!
//! It is git's own order of things (lock, look, reflog, file, rename) with one difference: the lock is a symbolic link whose
//! target says which process has it. A link is made with its target in one step, so that a lock is never found without its
//! owner's name, and the next who meets it knows whether the owner lives. To git it is a lock as any other: it makes its
//! own with `O_EXCL`.
//!
//! What is not plain is git's: a lock that is held, a branch and a folder of one name, a reflog that cannot be written.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

use gix::ObjectId;
use rustix::fs::OFlags;

use super::objects::{id_of, tree_id};
use super::{Inside, Odd};
use crate::run::CommitId;

/// What the target of a lock begins with.
const OURS: &str = "agent_runner_api";
/// The kinds of refs that git begins a reflog for (git-config(1), `core.logAllRefUpdates`).
const LOGGED: &[&str] = &["refs/heads/", "refs/remotes/", "refs/notes/"];

/// A lock of a ref; gone when this is dropped.
struct Lock(PathBuf);

impl Drop for Lock {
    fn drop(&mut self) {
        // If it stays, the next who meets it finds its owner gone.
        let _ = fs::remove_file(&self.0);
    }
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::git) enum Made {
    /// It is there; these folders are new or have a new name in them, and are not on disk yet.
    New(Vec<PathBuf>),
    /// There is one of this name.
    Taken,
}

impl Inside {
    /// Makes a ref that must not be there yet.
    pub(in crate::git) fn create_ref(
        &self,
        name: &str,
        to: &CommitId,
        reason: &str,
    ) -> Result<Made, Odd> {
        self.ask(|repo| tree_id(repo, to).map(drop))?;
        let id = id_of(to.as_str())?;
        let path = self.common_dir.join(name);
        let folder = path.parent().ok_or_else(|| Odd::because("no folder"))?;
        let mut unsynced = vec![folder.to_owned()];
        make_folders(folder, &mut unsynced)?;
        let _lock = lock(&path)?;
        if self.loose_ref(name)?.is_some() || self.packed_ref(name)?.is_some() {
            return Ok(Made::Taken);
        }
        if path.symlink_metadata().is_ok() || self.packed_in_the_way(name)? {
            return Err(Odd::because("another ref is in the way"));
        }
        let leaf = path.file_name().unwrap_or_default().to_string_lossy();
        let aside = path.with_file_name(format!(
            "{leaf}.{OURS}-{}.lock",
            uuid::Uuid::now_v7().simple()
        ));
        let made = write(&aside, &id)
            .and_then(|second| self.log(name, &id, second, reason))
            .and_then(|()| Ok(fs::rename(&aside, &path)?));
        if made.is_err() {
            // The first error is the one to tell.
            let _ = fs::remove_file(&aside);
        }
        made.map(|()| Made::New(unsynced))
    }

    /// Whether a packed ref has a name that this one would be a folder of, or the other way.
    fn packed_in_the_way(&self, name: &str) -> Result<bool, Odd> {
        for (at, _) in name.match_indices('/').skip(1) {
            if self.packed_ref(&name[..at])?.is_some() {
                return Ok(true);
            }
        }
        self.packed_below(name)
    }

    fn log(&self, name: &str, id: &ObjectId, second: i64, reason: &str) -> Result<(), Odd> {
        let logs = self.common_dir.join("logs");
        let path = logs.join(name);
        let is_logged = logs.is_dir() && LOGGED.iter().any(|kind| name.starts_with(kind));
        if !is_logged && path.symlink_metadata().is_err() {
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let mut log = File::options()
            .append(true)
            .create(true)
            .custom_flags(i32::try_from(flags.bits())?)
            .open(&path)?;
        let reason = reason.replace(['\n', '\r'], " ");
        let nothing = ObjectId::null(gix::hash::Kind::Sha1);
        let line = format!("{nothing} {id} {OURS} <{OURS}@localhost> {second} +0000\t{reason}\n");
        Ok(log.write_all(line.as_bytes())?)
    }
}

/// Makes what is missing of a folder, and adds the folders that got a new name.
fn make_folders(folder: &Path, unsynced: &mut Vec<PathBuf>) -> Result<(), Odd> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_folders(parent, unsynced)?;
        unsynced.push(parent.to_owned());
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(()),
    }
}

fn lock(path: &Path) -> Result<Lock, Odd> {
    let mut at = path.as_os_str().to_owned();
    at.push(".lock");
    let at = PathBuf::from(at);
    let own = owner(std::process::id()).ok_or_else(|| Odd::because("no name for this process"))?;
    symlink(own, &at)?;
    Ok(Lock(at))
}

/// Takes away the lock of a ref that a process of ours left which is gone. Whether there was one.
pub(in crate::git) fn break_own(lock: &Path) -> bool {
    let Ok(target) = fs::read_link(lock) else {
        return false;
    };
    let Some(said) = target.to_str().filter(|said| said.starts_with(OURS)) else {
        return false;
    };
    let pid = said.split(' ').nth(2).and_then(|pid| pid.parse().ok());
    if pid.and_then(owner).is_some_and(|alive| alive == said) {
        return false;
    }
    tracing::warn!(lock = %lock.display(), "a lock that a process of ours had left was broken");
    fs::remove_file(lock).is_ok()
}

/// A process by its name on this machine: the boot, its id, when it began.
fn owner(pid: u32) -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let began = stat.rsplit(')').next()?.split_whitespace().nth(19)?;
    Some(format!("{OURS} {} {pid} {began}", boot.trim()))
}

/// Writes the file of a ref to the disk; the second at which it was written.
fn write(aside: &Path, id: &ObjectId) -> Result<i64, Odd> {
    let mut file = File::create_new(aside)?;
    file.write_all(format!("{id}\n").as_bytes())?;
    file.sync_all()?;
    Ok(file.metadata()?.mtime())
}
