//! Locks that a git of ours left when it was killed: they would stop every later one, for ever.
//!
//! A lock is broken only if all of this holds:
//!
//! 1. A note of ours says that a git of ours was to take this very lock, and has not ended by itself since. (A git that
//!    ends by itself, also by TERM, takes its locks away; its note goes with it.)
//! 2. The lock is younger than the note.
//! 3. No git on this machine is alive that is older than the lock: whoever made it is gone. One that cannot be looked
//!    at counts as alive.
//!
//! What is not known are programs that lock like git and are none; they hold such a lock for milliseconds, and a git
//! of ours has waited for seconds (`core.filesRefLockTimeout`) before it is asked whether a lock is stale.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::error::Error;
use super::repository::Repository;

/// What the notes are called in the view.
const NOTE: &str = "locking-";
/// Times of files and of processes come from clocks that tick apart.
const TICK: Duration = Duration::from_millis(100);
/// How often it is looked again while a git is alive that may have made a lock.
const LOOKS: u32 = 50;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// What a look at the locks of all notes came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StaleLocks {
    /// How many were stale, and are gone.
    pub broken: usize,
    /// Whether there is one whose git may still be alive, and may yet do what it was to do.
    pub in_doubt: bool,
}

/// Says, on disk, that a git of ours is at work which takes these locks.
#[derive(Debug)]
pub(crate) struct Note(PathBuf);

impl Note {
    /// It has ended by itself and left no lock.
    pub(crate) fn done(self) -> Result<(), Error> {
        std::fs::remove_file(&self.0).map_err(Error::io("remove", &self.0))
    }
}

impl Repository {
    /// Notes, on disk, that a git is about to take these locks, absolute paths. If it is killed, the note stays; and a
    /// power cut that leaves a lock leaves its note too.
    pub(crate) fn note_locks(&self, locks: &[PathBuf]) -> Result<Note, Error> {
        let path = self.note(&format!("{NOTE}{}", uuid::Uuid::now_v7().simple()));
        let lines: Vec<_> = locks.iter().map(|lock| lock.to_string_lossy()).collect();
        let mut file = File::create(&path).map_err(Error::io("create", &path))?;
        file.write_all(lines.join("\n").as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(Error::io("write", &path))?;
        let view = self.note("");
        File::open(&view)
            .and_then(|folder| folder.sync_all())
            .map_err(Error::io("write to disk", &view))?;
        Ok(Note(path))
    }

    /// Breaks the stale locks of all notes. Waits, for a few seconds at most, for gits that may have made one of them.
    pub(crate) async fn break_stale_locks(&self) -> Result<StaleLocks, Error> {
        let mut seen = StaleLocks::default();
        for _ in 0..LOOKS {
            let now = self.break_once()?;
            seen = StaleLocks {
                broken: seen.broken + now.broken,
                in_doubt: now.in_doubt,
            };
            if !seen.in_doubt {
                break;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        Ok(seen)
    }

    fn break_once(&self) -> Result<StaleLocks, Error> {
        let view = self.note("");
        let entries = std::fs::read_dir(&view).map_err(Error::io("list", &view))?;
        let mut seen = StaleLocks::default();
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(NOTE) {
                let of_note = break_noted(&entry.path())?;
                seen.broken += of_note.broken;
                seen.in_doubt |= of_note.in_doubt;
            }
        }
        Ok(seen)
    }
}

fn break_noted(note: &Path) -> Result<StaleLocks, Error> {
    let mut seen = StaleLocks::default();
    let (Some(noted), Ok(lines)) = (changed(note), std::fs::read_to_string(note)) else {
        // Its git has ended meanwhile.
        return Ok(seen);
    };
    let younger = |lock: &Path| changed(lock).is_some_and(|locked| locked >= noted);
    let locks: Vec<&Path> = lines
        .lines()
        .map(Path::new)
        .filter(|lock| younger(lock))
        .collect();
    if git_is_alive(noted) {
        seen.in_doubt = !locks.is_empty();
        return Ok(seen);
    }
    for lock in locks {
        let Some(locked) = changed(lock) else {
            continue;
        };
        // One that began after the note may have made it.
        if git_is_alive(locked) {
            seen.in_doubt = true;
            return Ok(seen);
        }
        std::fs::remove_file(lock).map_err(Error::io("remove", lock))?;
        tracing::warn!(lock = %lock.display(), "a lock that a killed git of ours had left was broken");
        seen.broken += 1;
    }
    match std::fs::remove_file(note) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", note)(error))
        }
        _ => Ok(seen),
    }
}

fn changed(path: &Path) -> Option<SystemTime> {
    let meta = path.symlink_metadata().ok()?;
    meta.is_file().then(|| meta.modified().ok()).flatten()
}

/// Whether a git that began before this moment may still be alive.
fn git_is_alive(since: SystemTime) -> bool {
    // A moment in the future tells nothing.
    let Ok(age) = since.elapsed() else {
        return true;
    };
    let (Some(uptime), Ok(processes)) = (uptime(), std::fs::read_dir("/proc")) else {
        return true;
    };
    processes.flatten().any(|process| {
        let path = process.path();
        let is_process = process
            .file_name()
            .as_encoded_bytes()
            .iter()
            .all(u8::is_ascii_digit);
        is_process
            && is_git(&path)
            && began(&path).is_none_or(|began| uptime.saturating_sub(began) + TICK >= age)
    })
}

/// A process that is git and lives. Its watcher of files takes no locks of refs or indexes.
fn is_git(process: &Path) -> bool {
    let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
    let name = name.trim();
    let words = std::fs::read(process.join("cmdline")).unwrap_or_default();
    (name == "git" || name.starts_with("git-"))
        && !words.is_empty()
        && !words
            .split(|b| *b == 0)
            .any(|word| word == b"fsmonitor--daemon")
}

/// When it began, since the machine's boot (`starttime` in proc_pid_stat(5)).
fn began(process: &Path) -> Option<Duration> {
    let stat = std::fs::read_to_string(process.join("stat")).ok()?;
    let ticks: f64 = stat
        .rsplit(')')
        .next()?
        .split_whitespace()
        .nth(19)?
        .parse()
        .ok()?;
    let a_second: f64 = u32::try_from(rustix::param::clock_ticks_per_second())
        .ok()?
        .into();
    Duration::try_from_secs_f64(ticks / a_second).ok()
}

fn uptime() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/uptime").ok()?;
    Duration::try_from_secs_f64(text.split(' ').next()?.parse().ok()?).ok()
}
