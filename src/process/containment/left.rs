//! Cgroups and scopes of attempts that are there: for who looks whether one is left that should not be.

use std::fs;
use std::io;
use std::path::Path;

use super::cgroup::{Cgroup, populated};
use super::{Containment, Way};
use crate::run::RunId;

/// A cgroup of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftCgroup {
    /// The run of the attempt.
    pub run: RunId,
    /// The cgroup.
    pub cgroup: Cgroup,
    /// Whether processes live in it.
    pub populated: bool,
}

impl Containment {
    /// Every cgroup of an attempt, whoever's run that is.
    ///
    /// # Errors
    /// They cannot be listed.
    pub fn cgroups(&self) -> io::Result<Vec<LeftCgroup>> {
        match &self.way {
            Way::Systemd(scopes) => listed(&scopes.folder()),
            Way::Cgroup(folder) => listed(&folder.path),
            Way::Nothing => Ok(Vec::new()),
        }
    }

    /// Ends all cgroups of a run, with what is in them. For when its records do not tell them: a service that died in
    /// the middle of a start has left one.
    ///
    /// # Errors
    /// They cannot be listed, or the kernel refuses.
    pub fn end(&self, run: RunId) -> io::Result<()> {
        let all = self.cgroups()?;
        let mut ours = all.iter().filter(|left| left.run == run);
        ours.try_for_each(|left| end_cgroup(&left.cgroup))
    }
}

fn listed(folder: &Path) -> io::Result<Vec<LeftCgroup>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut all = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        // Gone in between: no longer there to be told of.
        if let Some(run) = run_of(&path)
            && let Ok(cgroup) = Cgroup::of(&path)
        {
            let populated = populated(&path)?;
            all.push(LeftCgroup {
                run,
                cgroup,
                populated,
            });
        }
    }
    Ok(all)
}

/// `agent_runner-<run>-<attempt>`, with or without `.scope`.
fn run_of(path: &Path) -> Option<RunId> {
    let name = path.file_name()?.to_str()?.strip_prefix("agent_runner-")?;
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let (run, attempt) = name.rsplit_once('-')?;
    attempt.parse::<u32>().ok()?;
    run.parse().ok()
}

/// Kills all that is in this very cgroup and removes it. Gone already is as good.
///
/// # Errors
/// The kernel refuses.
pub fn end_cgroup(cgroup: &Cgroup) -> io::Result<()> {
    cgroup.kill_all()?;
    cgroup.remove()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_of_a_cgroup_is_in_its_name() {
        let id = "0199c0de-0000-7000-8000-000000000001";
        let run = |name: String| run_of(&Path::new("/x").join(name)).map(|id| id.to_string());
        for name in [
            format!("agent_runner-{id}-1"),
            format!("agent_runner-{id}-12.scope"),
        ] {
            assert_eq!(run(name), Some(id.to_owned()));
        }
        for name in [
            id.to_owned(),
            format!("agent_runner-{id}"),
            format!("agent_runner-{id}-x"),
            "init.scope".to_owned(),
        ] {
            assert_eq!(run(name), None);
        }
    }
}
