//! File systems of a test's own, where the machine lets a test have any.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::wait::until;

/// A folder with a file system of its own, unmounted when this is dropped.
pub struct Mounted {
    folder: Option<TempDir>,
}

impl Mounted {
    /// A file system in memory of this size. `None`, said by name, where this process may not mount.
    pub fn tmpfs(bytes: u64) -> Option<Mounted> {
        let size = format!("size={bytes}");
        Mounted::mount(&["-t", "tmpfs", "-o", &size, "tmpfs"])
    }

    /// Makes a file system in memory so large, with what is in it.
    pub fn grow(&self, bytes: u64) {
        let options = format!("remount,size={bytes}");
        run("mount", &["-o", &options, self.path().to_str().unwrap()]).unwrap();
    }

    /// The file system in this file, by a loop device.
    pub fn image(file: &Path, options: &str) -> Option<Mounted> {
        Mounted::mount(&["-o", &format!("loop,{options}"), file.to_str().unwrap()])
    }

    /// Takes what is mounted away and mounts the file system in this file at the same place.
    pub fn exchange(&self, file: &Path, options: &str) {
        let at = self.path().to_str().unwrap();
        until("nobody is there any more", || run("umount", &[at]).is_ok());
        let options = format!("loop,{options}");
        run("mount", &["-o", &options, file.to_str().unwrap(), at]).unwrap();
    }

    /// The name of the block device that is mounted.
    pub fn device(&self) -> String {
        let found = run(
            "findmnt",
            &["-n", "-o", "SOURCE", self.path().to_str().unwrap()],
        );
        found.unwrap().trim().trim_start_matches("/dev/").to_owned()
    }

    fn mount(arguments: &[&str]) -> Option<Mounted> {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().to_str().unwrap();
        let mounted = run("mount", &[arguments, &[at]].concat());
        match mounted {
            Ok(_) => Some(Mounted {
                folder: Some(folder),
            }),
            Err(why) => {
                skip(&format!("nothing can be mounted here: {}", why.trim()));
                None
            }
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.as_ref().unwrap().path()
    }

    /// Bytes that are free.
    pub fn free(&self) -> u64 {
        let space = rustix::fs::statvfs(self.path()).unwrap();
        space.f_bavail * space.f_frsize
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let Some(folder) = self.folder.take() else {
            return;
        };
        let at = folder.path().to_str().unwrap().to_owned();
        // Lazily if somebody is still there: it goes when they do.
        if run("umount", &[&at]).is_err() {
            run("umount", &["-l", &at]).ok();
        }
        // Not by `TempDir`, which would go through what is still mounted.
        let folder = folder.keep();
        fs::remove_dir(folder).ok();
    }
}

/// Says that this test is left out, and why.
pub fn skip(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Not `println!`, which the test harness keeps to itself where the test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED ({test}: {why})");
}

/// Runs a program of the system to its end: what it printed, or what it complained of.
#[expect(clippy::disallowed_methods, reason = "programs of the system")]
pub fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let path = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";
    let ended = Command::new(program)
        .args(arguments)
        .env("PATH", path)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if ended.status.success() {
        Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&ended.stderr).into_owned())
    }
}
