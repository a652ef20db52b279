//! The cgroup of one attempt: the supervisor in it, and the agent with all that it starts in `agent` below it.
//!
//! ```text
//! <name>/          memory.max, pids.max, cpu.weight; the supervisor
//! <name>/agent/    the agent: ended as one by cgroup.kill, which no fork escapes
//! ```
//!
//! See cgroup-v2.rst of the kernel. Nobody leaves a cgroup but by a write to the `cgroup.procs` of another one.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::process::records::LaunchLimits;
use crate::run::Strain;

/// The cgroup of the agent, below that of the attempt.
const AGENT: &str = "agent";
/// How long the killed may take to be gone. Milliseconds are usual; one stuck in the kernel takes longer.
const BUDGET: Duration = Duration::from_secs(2);
/// How long somebody who has ended may still be on the way out of its cgroup.
const LEAVING: Duration = Duration::from_millis(100);
/// Between two looks at whether a cgroup is empty.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// A cgroup, so that it is never taken for another one of its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    /// Its folder.
    pub path: PathBuf,
    /// The inode of that folder.
    pub inode: u64,
}

impl Cgroup {
    /// The one of this folder.
    ///
    /// # Errors
    /// There is none.
    pub(in crate::process) fn of(path: &Path) -> io::Result<Cgroup> {
        Ok(Cgroup {
            inode: fs::metadata(path)?.ino(),
            path: path.to_owned(),
        })
    }

    /// Makes the agent's, below it.
    pub(super) fn make_agents(&self) -> io::Result<()> {
        fs::create_dir(self.path.join(AGENT))
    }

    /// Whether this very one is still there.
    pub(in crate::process) fn is_there(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| metadata.ino() == self.inode)
    }

    /// Moves a process into it.
    pub(super) fn take_in(&self, pid: u32) -> io::Result<()> {
        fs::write(self.path.join("cgroup.procs"), pid.to_string())
    }

    /// Moves the agent's process to its place. It must not have started others yet.
    pub(in crate::process) fn take_in_agent(&self, pid: u32) -> io::Result<()> {
        fs::write(self.path.join(AGENT).join("cgroup.procs"), pid.to_string())
    }

    /// Kills the agent and all that it started, and says which they were. Blocks until they are gone, for two seconds
    /// at most; the caller waits for its children beside that, since who is not waited for counts as gone here.
    pub(in crate::process) fn kill_agent(&self) -> io::Result<Vec<i32>> {
        kill(&self.path.join(AGENT))
    }

    /// The same with the supervisor; which processes of the agent were there. One that is not there has nobody in it.
    pub(in crate::process) fn kill_all(&self) -> io::Result<Vec<i32>> {
        if !self.is_there() {
            return Ok(Vec::new());
        }
        let agents = members(&self.path.join(AGENT));
        kill(&self.path)?;
        Ok(agents)
    }

    /// Removes it, if it is empty and nobody else's to remove (systemd removes its scopes).
    pub(in crate::process) fn remove(&self) -> io::Result<()> {
        if self.path.extension().is_some_and(|kind| kind == "scope") || !self.is_there() {
            return Ok(());
        }
        remove_below(&self.path)
    }

    /// How often it was short of something.
    pub(in crate::process) fn strain(&self) -> Strain {
        let count = |file: &str, key: &str| {
            let text = fs::read_to_string(self.path.join(file)).unwrap_or_default();
            keyed(&text, key).unwrap_or(0)
        };
        Strain {
            oom_kills: count("memory.events", "oom_kill"),
            tasks_refused: count("pids.events", "max"),
        }
    }

    /// Sets what limits can be set here; [`not_held`](Self::not_held) says which are not.
    pub(super) fn limit(&self, limits: &LaunchLimits) {
        for (file, value) in files(limits) {
            // The same question is asked of what systemd has set: by reading it back.
            let _not_held = fs::write(self.path.join(file), value.to_string());
        }
    }

    /// The limits that were asked for and are not in force, each by its name in a request.
    pub(super) fn not_held(&self, limits: &LaunchLimits) -> Vec<&'static str> {
        let in_force = |file: &str, asked: u64| {
            let found = fs::read_to_string(self.path.join(file)).unwrap_or_default();
            match found.trim().parse::<u64>() {
                Ok(found) if file == "cpu.weight" => found == asked,
                // The kernel rounds memory to whole pages.
                Ok(found) => found <= asked,
                Err(_) => false,
            }
        };
        let files = files(limits).into_iter().zip(names(limits));
        files
            .filter(|((file, asked), _)| !in_force(file, *asked))
            .map(|(_, name)| name)
            .collect()
    }
}

/// The limits that were asked for, as files of a cgroup.
fn files(limits: &LaunchLimits) -> Vec<(&'static str, u64)> {
    [
        ("memory.max", limits.memory_bytes),
        ("pids.max", limits.tasks.map(u64::from)),
        ("cpu.weight", limits.cpu_weight.map(u64::from)),
    ]
    .into_iter()
    .filter_map(|(file, asked)| Some((file, asked?)))
    .collect()
}

/// The limits that were asked for, by their names in a request.
pub(super) fn names(limits: &LaunchLimits) -> Vec<&'static str> {
    [
        ("max_memory_bytes", limits.memory_bytes.is_some()),
        ("max_tasks", limits.tasks.is_some()),
        ("cpu_weight", limits.cpu_weight.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, asked)| asked.then_some(name))
    .collect()
}

/// Kills all in a cgroup and below it, until none is left; who was in it.
fn kill(folder: &Path) -> io::Result<Vec<i32>> {
    let there = members(folder);
    fs::write(folder.join("cgroup.kill"), "1")?;
    let until = Instant::now() + BUDGET;
    while populated(folder)? && Instant::now() < until {
        thread::sleep(LOOK_AGAIN);
    }
    Ok(there)
}

/// Whether somebody lives in it or below it. What is not there has nobody.
pub(super) fn populated(folder: &Path) -> io::Result<bool> {
    match fs::read_to_string(folder.join("cgroup.events")) {
        Ok(text) => Ok(keyed(&text, "populated") != Some(0)),
        // ENODEV: it was removed while it was read.
        Err(e) if gone(&e) => Ok(false),
        Err(e) => Err(e),
    }
}

fn gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

/// The processes of a cgroup and of those below it.
fn members(folder: &Path) -> Vec<i32> {
    let procs = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    let mut all: Vec<i32> = procs.lines().filter_map(|pid| pid.parse().ok()).collect();
    for below in folders(folder) {
        all.extend(members(&below));
    }
    all
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Removes an empty cgroup and the empty ones below it. Gone already is as good.
fn remove_below(folder: &Path) -> io::Result<()> {
    for below in folders(folder) {
        remove_below(&below)?;
    }
    let until = Instant::now() + LEAVING;
    loop {
        match fs::remove_dir(folder) {
            Err(e) if e.kind() == io::ErrorKind::ResourceBusy && Instant::now() < until => {
                thread::sleep(LOOK_AGAIN);
            }
            Err(e) if !gone(&e) => return Err(e),
            _ => return Ok(()),
        }
    }
}

/// The number behind a key of a flat keyed file (`populated 1`).
fn keyed(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line?.strip_prefix(' ')?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that looks like a cgroup: what is in it is of the kernel's form, but nobody acts on it.
    fn looks_like_one() -> (tempfile::TempDir, Cgroup) {
        let root = tempfile::tempdir().unwrap();
        let cgroup = Cgroup::of(root.path()).unwrap();
        (root, cgroup)
    }

    #[test]
    fn kills_for_want_of_memory_and_refused_tasks_are_read_from_the_counters() {
        let (root, cgroup) = looks_like_one();
        assert_eq!(cgroup.strain(), Strain::default());
        let memory = "low 0\nhigh 0\nmax 31\noom 4\noom_kill 2\noom_group_kill 0\n";
        fs::write(root.path().join("memory.events"), memory).unwrap();
        fs::write(root.path().join("pids.events"), "max 7\n").unwrap();
        let strain = cgroup.strain();
        assert_eq!((strain.oom_kills, strain.tasks_refused), (2, 7));
        fs::write(
            root.path().join("memory.events"),
            "oom_kill_other 9\nnonsense",
        )
        .unwrap();
        assert_eq!(cgroup.strain().oom_kills, 0);
    }

    /// Red with `not_held` trusting what was written instead of reading it back.
    #[test]
    fn a_limit_is_held_only_if_it_can_be_read_back() {
        let (root, cgroup) = looks_like_one();
        let limits = LaunchLimits {
            memory_bytes: Some(1 << 30),
            tasks: Some(64),
            cpu_weight: Some(50),
            ..LaunchLimits::default()
        };
        let all = ["max_memory_bytes", "max_tasks", "cpu_weight"];
        assert_eq!(cgroup.not_held(&limits), all);
        cgroup.limit(&limits);
        assert_eq!(cgroup.not_held(&limits), [""; 0]);
        let written = |file| fs::read_to_string(root.path().join(file)).unwrap();
        assert_eq!(
            ["memory.max", "pids.max", "cpu.weight"].map(written),
            ["1073741824", "64", "50"]
        );
        // As a kernel has it that did not take them.
        fs::write(root.path().join("memory.max"), "max\n").unwrap();
        fs::write(root.path().join("pids.max"), "65\n").unwrap();
        fs::write(root.path().join("cpu.weight"), "100\n").unwrap();
        assert_eq!(cgroup.not_held(&limits), all);
        assert_eq!(cgroup.not_held(&LaunchLimits::default()), [""; 0]);
    }

    #[test]
    fn a_folder_that_was_made_again_is_another_one_and_is_let_alone() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("one");
        fs::create_dir(&path).unwrap();
        let cgroup = Cgroup::of(&path).unwrap();
        let other = Cgroup {
            inode: cgroup.inode + 1,
            ..cgroup.clone()
        };
        assert!(cgroup.is_there() && !other.is_there());
        other.remove().unwrap();
        assert_eq!(other.kill_all().unwrap(), [0; 0]);
        assert!(path.is_dir());
        cgroup.remove().unwrap();
        assert!(!path.exists());
        cgroup.remove().unwrap();
    }
}
