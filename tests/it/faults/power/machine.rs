//! A machine whose power can be cut: a file system in a file. What has not been written to the device when the power goes
//! is lost.
//!
//! The kernel writes by itself what is older than half a minute, and what a program asks it to; all else is in memory only.
//! The device's file is copied while every process that uses the file system is stopped, and taken only if nothing was
//! written to the device meanwhile: it is then what a disk would hold.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::mount::{Mounted, run, skip};
use crate::support::wait::until;

/// Metadata is not written by itself for ten minutes either, and a rename does not write the file that it names.
const OPTIONS: &str = "commit=600,noauto_da_alloc";

pub struct Machine {
    images: TempDir,
    /// The file that is mounted.
    image: PathBuf,
    /// What the next one is called.
    next: usize,
    disk: Mounted,
}

impl Machine {
    /// `None`, said by name, where this process may not mount.
    pub fn new() -> Option<Machine> {
        let images = tempfile::tempdir().unwrap();
        let image = images.path().join("disk-0");
        fs::File::create(&image).unwrap().set_len(96 << 20).unwrap();
        if let Err(why) = run("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()]) {
            skip(&why);
            return None;
        }
        let disk = Mounted::image(&image, OPTIONS)?;
        Some(Machine {
            images,
            image,
            next: 1,
            disk,
        })
    }

    pub fn path(&self) -> &Path {
        self.disk.path()
    }

    /// Writes all that there is.
    pub fn sync(&self) {
        let folder = fs::File::open(self.path()).unwrap();
        rustix::fs::syncfs(&folder).unwrap();
    }

    /// Stops everybody, and keeps what a disk would hold. Nobody goes on.
    pub fn cut_power(&mut self) {
        let next = self.next_image();
        let mut stopped = BTreeSet::new();
        let device = self.disk.device();
        until("nothing is written while it is copied", || {
            stop_all(self.path(), &mut stopped);
            let before = written(&device);
            run(
                "cp",
                &[
                    "--sparse=always",
                    self.image.to_str().unwrap(),
                    next.to_str().unwrap(),
                ],
            )
            .unwrap();
            stop_all(self.path(), &mut stopped) == 0
                && before.is_some()
                && written(&device) == before
        });
        for pid in stopped {
            // A child of the test is waited for by whoever started it.
            kill_process(pid_of(pid), Signal::KILL).ok();
        }
    }

    fn next_image(&self) -> PathBuf {
        self.images.path().join(format!("disk-{}", self.next))
    }

    /// What the disk held is what there is. The processes must have gone.
    pub fn boot(&mut self) {
        let next = self.next_image();
        self.next += 1;
        self.disk.exchange(&next, OPTIONS);
        fs::remove_file(&self.image).unwrap();
        self.image = next;
    }
}

/// How much was written to the device, by its figures (Documentation/block/stat.rst); nothing while a request is under way.
fn written(device: &str) -> Option<(u64, u64)> {
    let stat = fs::read_to_string(format!("/sys/block/{device}/stat")).unwrap();
    let numbers: Vec<u64> = stat
        .split_whitespace()
        .map(|n| n.parse().unwrap())
        .collect();
    (numbers[8] == 0).then_some((numbers[4], numbers[6]))
}

/// Stops all processes that have a file or folder below `path` open, until there is no new one; how many were new.
fn stop_all(path: &Path, stopped: &mut BTreeSet<i32>) -> usize {
    let known = stopped.len();
    loop {
        let before = stopped.len();
        for pid in processes() {
            if !stopped.contains(&pid) && is_below(pid, path) {
                kill_process(pid_of(pid), Signal::STOP).ok();
                stopped.insert(pid);
            }
        }
        if stopped.len() == before {
            return stopped.len() - known;
        }
    }
}

fn pid_of(pid: i32) -> Pid {
    Pid::from_raw(pid).unwrap()
}

fn processes() -> impl Iterator<Item = i32> {
    let own = i32::try_from(std::process::id()).unwrap();
    let all = fs::read_dir("/proc").unwrap();
    all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(move |pid| *pid != own)
}

fn is_below(pid: i32, path: &Path) -> bool {
    let links = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten();
    links
        .filter_map(|entry| Some(entry.ok()?.path()))
        .chain([format!("/proc/{pid}/cwd").into()])
        .any(|link| fs::read_link(link).is_ok_and(|to| to.starts_with(path)))
}
