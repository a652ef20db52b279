//! The repositories that everything is measured on: made from nothing by `git fast-import`, the same each time.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use tempfile::TempDir;

use crate::processes::{git, program};

/// A memory file system with at least so much room is taken: no disk is measured by accident.
const ROOM: u64 = 6 << 30;

/// How large a repository is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Size {
    /// 868 files, 100 commits.
    Small,
    /// 11,400 files, 35,000 commits.
    Mid,
    /// 82,000 files, 100 commits.
    Big,
}

impl Size {
    pub fn name(self) -> &'static str {
        match self {
            Size::Small => "small",
            Size::Mid => "mid",
            Size::Big => "big",
        }
    }

    fn files(self) -> usize {
        match self {
            Size::Small => 868,
            Size::Mid => 11_400,
            Size::Big => 82_000,
        }
    }

    fn commits(self) -> usize {
        match self {
            Size::Small | Size::Big => 100,
            Size::Mid => 35_000,
        }
    }
}

/// Where it is measured.
#[derive(Debug)]
pub struct Ground {
    folder: TempDir,
    pub program: PathBuf,
    pub fast: bool,
    made: RefCell<HashMap<Size, PathBuf>>,
}

impl Ground {
    pub fn new(wanted: Option<&Path>, program: PathBuf, fast: bool) -> anyhow::Result<Ground> {
        let memory = Path::new("/dev/shm");
        let folder = match wanted {
            Some(folder) => tempfile::Builder::new().prefix("bench-").tempdir_in(folder),
            None if has_room(memory) => {
                tempfile::Builder::new().prefix("bench-").tempdir_in(memory)
            }
            None => tempfile::Builder::new().prefix("bench-").tempdir(),
        };
        Ok(Ground {
            folder: folder.context("there is no folder to measure in")?,
            program,
            fast,
            made: RefCell::default(),
        })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The sizes that are measured.
    pub fn sizes(&self) -> &'static [Size] {
        if self.fast {
            &[Size::Small]
        } else {
            &[Size::Small, Size::Mid, Size::Big]
        }
    }

    /// How often, of a thing that is done this often in a whole measurement.
    pub fn rounds(&self, whole: usize) -> usize {
        if self.fast { whole.div_ceil(3) } else { whole }
    }

    /// A bare repository of this size: a copy of its own, made by links to the objects of the first.
    pub fn repository(&self, size: Size) -> anyhow::Result<PathBuf> {
        let first = self.first(size)?;
        let folder = tempfile::Builder::new()
            .prefix(size.name())
            .tempdir_in(self.path())?
            .keep();
        let from = first.display().to_string();
        let to = folder.display().to_string();
        git(
            self.path(),
            &["clone", "--quiet", "--bare", "--local", &from, &to],
        )?;
        Ok(folder)
    }

    fn first(&self, size: Size) -> anyhow::Result<PathBuf> {
        if let Some(path) = self.made.borrow().get(&size) {
            return Ok(path.clone());
        }
        let path = self.path().join(format!("{}.git", size.name()));
        make(&path, size)?;
        self.made.borrow_mut().insert(size, path.clone());
        Ok(path)
    }
}

fn has_room(folder: &Path) -> bool {
    rustix::fs::statvfs(folder).is_ok_and(|at| at.f_bavail * at.f_frsize >= ROOM)
}

/// Files of about 1.5 KiB in folders of twenty, as sources are; each later commit changes three of them.
fn make(path: &Path, size: Size) -> anyhow::Result<()> {
    let to = path.display().to_string();
    git(
        Path::new("/"),
        &["init", "--quiet", "--bare", "--initial-branch=master", &to],
    )?;
    let mut import = program("git")
        .arg("-C")
        .arg(path)
        .args(["fast-import", "--quiet"])
        .stdin(Stdio::piped())
        .spawn()?;
    let mut to = BufWriter::new(import.stdin.take().context("no stdin")?);
    for commit in 0..size.commits() {
        let message = format!("commit {commit}");
        let when = 1_700_000_000 + commit * 60;
        write!(
            to,
            "commit refs/heads/master\ncommitter Bench <bench@localhost> {when} +0000\ndata {}\n{message}\n",
            message.len()
        )?;
        let changed: Vec<usize> = if commit == 0 {
            (0..size.files()).collect()
        } else {
            (0..3)
                .map(|n| (commit * 7919 + n * 104_729) % size.files())
                .collect()
        };
        for file in changed {
            let text = content(file, commit);
            write!(
                to,
                "M 100644 inline {}\ndata {}\n{text}\n",
                name(file),
                text.len()
            )?;
        }
    }
    to.write_all(b"done\n")?;
    drop(to);
    anyhow::ensure!(import.wait()?.success(), "git fast-import failed");
    git(path, &["commit-graph", "write", "--reachable"])?;
    Ok(())
}

pub fn name(file: usize) -> String {
    format!("crate{}/src/part{}/file{file}.rs", file / 400, file / 20)
}

fn content(file: usize, commit: usize) -> String {
    let mut text = format!("//! File {file} as of commit {commit}.\n\n");
    for line in 0..30 {
        text.push_str(&format!(
            "pub fn f{line}_{file}() -> u64 {{ {} }}\n",
            (file * 31 + line) % 9973
        ));
    }
    text
}
