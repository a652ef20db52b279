//! Where cgroup2 is mounted, and where in it a process is. See proc_pid_cgroup(5) and cgroups(7).

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the cgroup that a process is in; the text says why it cannot be told.
pub(super) fn folder_of(pid: u32) -> Result<PathBuf, String> {
    let mounted = mount_point().ok_or("cgroup2 is not mounted")?;
    let file = format!("/proc/{pid}/cgroup");
    let text = fs::read_to_string(&file).map_err(|e| format!("{file}: {e}"))?;
    let inside = inside(&text).ok_or_else(|| format!("{file} names no cgroup2"))?;
    Ok(mounted.join(inside))
}

/// Where the whole of cgroup2 is mounted, as this process sees it.
fn mount_point() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().find_map(whole_cgroup2)
}

/// `36 35 0:31 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw`: the mount point, if the mount shows the whole.
fn whole_cgroup2(line: &str) -> Option<PathBuf> {
    let (mount, kind) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(3);
    let (root, point) = (fields.next()?, fields.next()?);
    (kind.starts_with("cgroup2 ") && root == "/").then(|| Path::new(point).to_owned())
}

/// The path of the line `0::/user.slice/…`, without its first slash. What is outside of this process's cgroup namespace
/// (`/../…`) has none.
fn inside(cgroups: &str) -> Option<&str> {
    let path = cgroups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let outside = path.split('/').any(|part| part == "..");
    (!outside && !path.ends_with(" (deleted)")).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_that_shows_the_whole_hierarchy_is_found_beside_those_of_version_1() {
        let lines = [
            "30 25 0:26 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory",
            "31 25 0:27 /user.slice /mnt/part rw - cgroup2 cgroup2 rw",
            "32 25 0:27 / /sys/fs/cgroup/unified rw,relatime shared:10 master:1 - cgroup2 cgroup2 rw,nsdelegate",
        ];
        let found: Vec<_> = lines
            .iter()
            .filter_map(|line| whole_cgroup2(line))
            .collect();
        assert_eq!(found, [Path::new("/sys/fs/cgroup/unified")]);
    }

    #[test]
    fn a_process_is_in_the_cgroup_of_the_line_without_controllers() {
        let text = "9:name=systemd:/x\n0::/user.slice/user-7.slice\n";
        assert_eq!(inside(text), Some("user.slice/user-7.slice"));
        assert_eq!(inside("0::/\n"), Some(""));
        for none in [
            "",
            "9:memory:/x\n",
            "0::/../other\n",
            "0::/gone (deleted)\n",
        ] {
            assert_eq!(inside(none), None, "{none:?}");
        }
    }
}
