//! Locks that a git of ours left when it was killed: they would stop every later one, for ever.
//!
//! A lock is broken only if all of this holds:
//!
//! 1. A note of ours says that a git of ours was to take this very lock, and has not ended by itself since. (A git that
//!    ends by itself, also by TERM, takes its locks away; its note goes with it.) Whoever waits for that git keeps the
//!    note's file locked (flock(2)): such a note is not looked into, its git may be about to begin.
//! 2. The lock is younger than the note.
//! 3. No git on this machine is alive that is older than the lock: whoever made it is gone. One that cannot be looked
//!    at counts as alive.
//!
//! What is not known are programs that lock like git and are none; they hold such a lock for milliseconds, and a git
//! of ours has waited for seconds (`core.filesRefLockTimeout`) before it is asked whether a lock is stale.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};

use super::error::Error;
use super::repository::Repository;
use super::view::SCRATCH;

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
pub(crate) struct Note {
    path: PathBuf,
    /// Locked as long as somebody waits for that git.
    _held: File,
}

impl Note {
    /// It has ended by itself and left no lock.
    pub(crate) fn done(self) -> Result<(), Error> {
        std::fs::remove_file(&self.path).map_err(Error::io("remove", &self.path))
    }
}

impl Repository {
    /// Notes, on disk, that a git is about to take these locks, absolute paths. If it is killed, the note stays; and a
    /// power cut that leaves a lock leaves its note too.
    pub(crate) fn note_locks(&self, locks: &[PathBuf]) -> Result<Note, Error> {
        let id = uuid::Uuid::now_v7().simple();
        // Nobody finds it before it is whole and held.
        let aside = self.note(&format!("{SCRATCH}{id}"));
        let path = self.note(&format!("{NOTE}{id}"));
        let lines: Vec<_> = locks.iter().map(|lock| lock.to_string_lossy()).collect();
        let mut file = File::create(&aside).map_err(Error::io("create", &aside))?;
        file.write_all(lines.join("\n").as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| Ok(flock(&file, FlockOperation::NonBlockingLockExclusive)?))
            .map_err(Error::io("write", &aside))?;
        std::fs::rename(&aside, &path).map_err(Error::io("rename to", &path))?;
        let view = self.note("");
        File::open(&view)
            .and_then(|folder| folder.sync_all())
            .map_err(Error::io("write to disk", &view))?;
        Ok(Note { path, _held: file })
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
    let (Some(noted), Ok(mut file)) = (changed(note), File::open(note)) else {
        // Its git has ended meanwhile.
        return Ok(seen);
    };
    let mut lines = String::new();
    file.read_to_string(&mut lines)
        .map_err(Error::io("read", note))?;
    let younger = |lock: &Path| changed(lock).is_some_and(|locked| locked >= noted);
    let locks: Vec<&Path> = lines
        .lines()
        .map(Path::new)
        .filter(|lock| younger(lock))
        .collect();
    let waited_for = flock(&file, FlockOperation::NonBlockingLockExclusive).is_err();
    if waited_for || git_is_alive(noted) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::Program;

    async fn repository() -> (tempfile::TempDir, Repository) {
        let folder = tempfile::tempdir().unwrap();
        let program = Program::find("/usr/local/bin:/usr/bin:/bin".as_ref())
            .await
            .unwrap();
        program.init(folder.path(), "master").await.unwrap();
        let view = folder.path().join("view");
        let repository = Repository::open(program, folder.path(), &view)
            .await
            .unwrap();
        (folder, repository)
    }

    /// Seen red: with no note held, that of a git about to begin was taken away, and what it was for failed.
    #[tokio::test]
    async fn a_note_that_somebody_waits_for_stays_whoever_looks_for_stale_locks() {
        let (_folder, repository) = repository().await;
        let lock = repository.common_dir().join("some.lock");
        let note = repository.note_locks(std::slice::from_ref(&lock)).unwrap();
        assert_eq!(repository.break_once().unwrap(), StaleLocks::default());
        assert!(note.path.exists());
        // Its git has made the lock.
        std::fs::write(&lock, "").unwrap();
        assert!(repository.break_once().unwrap().in_doubt);
        assert!(lock.exists());
        note.done().unwrap();
    }

    #[tokio::test]
    async fn the_lock_of_a_note_that_nobody_waits_for_is_broken() {
        let (_folder, repository) = repository().await;
        let lock = repository.common_dir().join("some.lock");
        let note = repository.note_locks(std::slice::from_ref(&lock)).unwrap();
        std::fs::write(&lock, "").unwrap();
        let path = note.path.clone();
        drop(note);
        // Gits of other tests may be older than the lock: each is waited for.
        let mut looks = 0;
        while repository.break_stale_locks().await.unwrap().in_doubt && looks < 10 {
            looks += 1;
        }
        assert!(!lock.exists() && !path.exists());
    }
}
