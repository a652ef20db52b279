//! Cgroups made by hand, below the one that the service itself is in: where no systemd answers, and we may write.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::cgroup::Cgroup;
use super::hierarchy;
use crate::process::records::LaunchLimits;

/// The cgroup of all our attempts.
const FOLDER: &str = "agent_runner";
/// What the limits need.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// The cgroup below which each attempt has one.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
}

impl Folder {
    /// Below the cgroup that this process is in; the text says why not.
    pub(super) fn below_own() -> Result<Folder, String> {
        let own = hierarchy::folder_of(std::process::id())?;
        // Who may move a process from one cgroup to another may write to what is above both.
        access(own.join("cgroup.procs"), Access::WRITE_OK)
            .map_err(|e| format!("{} may not be written to: {e}", own.display()))?;
        Folder::below(&own).map_err(|e| format!("a cgroup below {}: {e}", own.display()))
    }

    /// Makes our cgroup below this one, with the controllers that can be had.
    pub(super) fn below(parent: &Path) -> io::Result<Folder> {
        let path = parent.join(FOLDER);
        match fs::create_dir(&path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        if !path.join("cgroup.kill").exists() {
            return Err(io::Error::other("there is no cgroup.kill (Linux 5.14)"));
        }
        for controller in CONTROLLERS {
            for folder in [parent, &path] {
                // What is not had is told by `controllers`, and by name on the run that asks for it: it is not there, or
                // (EBUSY) the service's own cgroup has processes in it and may not hand controllers down.
                let _not_had = fs::write(
                    folder.join("cgroup.subtree_control"),
                    format!("+{controller}"),
                );
            }
        }
        Ok(Folder { path })
    }

    /// Makes the cgroup of this name, with these limits, and puts the process into it.
    pub(super) fn start(&self, name: &str, limits: &LaunchLimits, pid: u32) -> io::Result<Cgroup> {
        let path = self.path.join(name);
        fs::create_dir(&path)?;
        let cgroup = Cgroup::of(&path)?;
        cgroup.limit(limits);
        cgroup.take_in(pid)?;
        Ok(cgroup)
    }
}

/// Moves this process to the cgroup that it is in.
pub(super) fn move_nowhere() {
    if let Ok(own) = hierarchy::folder_of(std::process::id()) {
        // `0` is whoever writes it.
        let _only_for_its_time = fs::write(own.join("cgroup.procs"), "0");
    }
}

/// Which of the three this file of a cgroup names.
pub(super) fn controllers(file: &Path) -> Vec<&'static str> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let had = |name: &&str| text.split_whitespace().any(|word| word == *name);
    CONTROLLERS.into_iter().filter(had).collect()
}
