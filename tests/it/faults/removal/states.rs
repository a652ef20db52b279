//! The states, each made by hand in the worktree of a run.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustix::fs::{CWD, FileType, Mode, OFlags, makedev, mkdirat, mknodat, openat};

use crate::support::repo::{git, try_git};
use crate::support::run::Run;
use crate::support::server::Server;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// `.git` of the worktree is gone.
    DeletedDotGit,
    /// `.git` leads to another repository.
    RewrittenDotGit,
    /// `git worktree lock`.
    Locked,
    /// Another worktree has the branch too.
    SecondWorktree,
    /// Folders and files that nobody may write to, as Go's module cache.
    ModuleCache,
    /// A link to somebody else's folder in the place of the worktree.
    LinkInItsPlace,
    /// Somebody still writes.
    Writer,
    /// A path of 6,000 bytes.
    LongPath,
    /// 1,500 folders, one in the other: more than a process may have descriptors.
    DeepTree,
    /// A file with the immutable flag.
    Immutable,
    /// Locks of gits that were killed.
    Locks,
    DetachedHead,
    OtherBranch,
    Rebase,
    Merge,
    /// A repository, a bare one and a submodule inside.
    Repositories,
    /// Names with a newline, with bytes that are no UTF-8, with a dash in front, of 255 bytes.
    OddNames,
    /// A pipe, a socket and a device.
    Specials,
    /// A file system mounted inside.
    Mount,
    BranchDeleted,
    BranchMoved,
    FolderDeleted,
    FileInItsPlace,
    /// 20,000 files.
    ManyFiles,
}

/// What holds after a state was made.
pub struct Left {
    /// Whether the uncommitted files are still where the service can find them.
    pub files_are_there: bool,
    /// Paths that must be kept beside them.
    pub kept: Vec<&'static str>,
    /// Words by which it is told what cannot be kept.
    pub told: Vec<&'static str>,
    /// Words by which it is told what cannot be deleted.
    pub held: Vec<&'static str>,
    pub other_worktrees: usize,
    untouched: Vec<(PathBuf, &'static str)>,
    /// What the test must undo.
    undo: Option<Undo>,
    writer: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

enum Undo {
    Unmount(PathBuf),
    Mutable(PathBuf),
}

fn left() -> Left {
    Left {
        files_are_there: true,
        kept: Vec::new(),
        told: Vec::new(),
        held: Vec::new(),
        other_worktrees: 0,
        untouched: Vec::new(),
        undo: None,
        writer: None,
    }
}

impl Left {
    pub fn assert_untouched(&self) {
        for (path, text) in &self.untouched {
            assert_eq!(
                fs::read_to_string(path).unwrap(),
                *text,
                "{}",
                path.display()
            );
        }
    }

    /// The system does not hold it any more.
    pub fn let_go(&self) {
        match &self.undo {
            // By where it is now: it was moved with the folder that it is in.
            Some(Undo::Unmount(mounted)) => {
                let name = mounted.file_name().unwrap().to_str().unwrap();
                let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
                let mut at = mounts.lines().filter_map(|line| line.split(' ').nth(1));
                let at = at.rfind(|at| at.ends_with(name));
                if let Some(at) = at {
                    assert!(run("umount", &[OsStr::new(at)]));
                }
            }
            Some(Undo::Mutable(trash)) => {
                assert!(run(
                    "chattr",
                    &["-R".as_ref(), "-i".as_ref(), trash.as_os_str()]
                ));
            }
            None => {}
        }
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        if let Some((end, writer)) = self.writer.take() {
            end.store(true, Ordering::Relaxed);
            writer.join().ok();
        }
        if std::thread::panicking() {
            self.let_go();
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "what an agent with root's rights does"
)]
fn run(program: &str, args: &[&OsStr]) -> bool {
    let ended = Command::new(program).args(args).output();
    ended.is_ok_and(|output| output.status.success())
}

impl State {
    /// Whether a merge is refused because of it.
    pub fn shuts_the_gate(self) -> bool {
        matches!(self, State::BranchDeleted | State::BranchMoved)
    }

    /// Makes it, or says why this machine cannot.
    pub fn make(self, server: &Server, of: &Run<'_>) -> Result<Left, String> {
        let at = of.worktree.as_path();
        let mut left = left();
        let git = |args: &[&str]| git(at, args);
        match self {
            State::DeletedDotGit => fs::remove_file(at.join(".git")).unwrap(),
            State::RewrittenDotGit => {
                let planted = server.at("planted");
                fs::create_dir(&planted).unwrap();
                crate::support::repo::git(&planted, &["init", "-q"]);
                let line = format!("gitdir: {}\n", planted.join(".git").display());
                fs::write(at.join(".git"), line).unwrap();
                fs::write(planted.join("precious"), "precious").unwrap();
                left.untouched.push((planted.join("precious"), "precious"));
            }
            State::Locked => drop(git(&["worktree", "lock", "--reason", "mine", "."])),
            State::SecondWorktree => {
                let second = server.at("second");
                git(&[
                    "worktree",
                    "add",
                    "-q",
                    "-f",
                    second.to_str().unwrap(),
                    &of.branch,
                ]);
                fs::write(second.join("theirs"), "theirs").unwrap();
                left.untouched.push((second.join("theirs"), "theirs"));
                left.other_worktrees = 1;
            }
            State::ModuleCache => module_cache(at, &mut left),
            State::LinkInItsPlace => {
                let precious = server.at("precious");
                fs::create_dir(&precious).unwrap();
                fs::write(precious.join("file"), "precious").unwrap();
                fs::rename(at, server.at("moved")).unwrap();
                symlink(&precious, at).unwrap();
                left.untouched.push((precious.join("file"), "precious"));
                left.files_are_there = false;
            }
            State::Writer => left.writer = Some(write_on(at)),
            State::LongPath => {
                nest(at, &"d".repeat(200), 30);
                left.told.push("dddd");
            }
            State::DeepTree => {
                nest(at, "d", 1500);
            }
            State::Immutable => {
                let folder = at.join("held");
                fs::create_dir(&folder).unwrap();
                fs::write(folder.join("immutable.txt"), "x").unwrap();
                let file = folder.join("immutable.txt");
                if !run("chattr", &["+i".as_ref(), file.as_os_str()]) {
                    return Err("chattr +i needs root and a file system that has it".to_owned());
                }
                left.kept.push("held/immutable.txt");
                left.held.push("held/immutable.txt");
                left.undo = Some(Undo::Mutable(server.at("worktrees")));
            }
            State::Locks => {
                let admin = PathBuf::from(git(&["rev-parse", "--absolute-git-dir"]).trim());
                for lock in ["index.lock", "HEAD.lock"] {
                    fs::write(admin.join(lock), "").unwrap();
                }
                let lock = format!(".git/refs/heads/{}.lock", of.branch);
                fs::write(server.repo.root().join(lock), "").unwrap();
            }
            State::DetachedHead => drop(git(&["checkout", "-q", "--detach"])),
            State::OtherBranch => drop(git(&["checkout", "-q", "-b", "the-agents-own"])),
            State::Rebase | State::Merge => in_progress(self, at, &of.branch),
            State::Repositories => {
                repositories(server, at);
                left.kept.extend(["inside/file", "bare.git/HEAD"]);
                left.told.push("inside");
            }
            State::OddNames => {
                let long = "l".repeat(255);
                let names: [&[u8]; 5] = [
                    b"new\nline",
                    b"\xff\xfe",
                    b"-rf",
                    b".hidden",
                    long.as_bytes(),
                ];
                for name in names {
                    fs::write(at.join(OsStr::from_bytes(name)), "odd").unwrap();
                }
                left.kept
                    .extend(["new\nline", "-rf", ".hidden", "llllllll"]);
            }
            State::Specials => {
                let node = |name: &str, kind, device| {
                    mknodat(CWD, at.join(name), kind, Mode::RWXU, device)
                };
                node("pipe", FileType::Fifo, 0).unwrap();
                drop(UnixListener::bind(at.join("socket")).unwrap());
                left.told.extend([
                    "a pipe, which git cannot keep: pipe",
                    "a socket, which git cannot keep: socket",
                ]);
                if node("null", FileType::CharacterDevice, makedev(1, 3)).is_ok() {
                    left.told.push("a device, which git cannot keep: null");
                }
            }
            State::Mount => {
                // By its name it is found again after the move.
                let mounted = at.join(format!("mounted-{}", of.id));
                fs::create_dir(&mounted).unwrap();
                if !run(
                    "mount",
                    &[
                        "-t".as_ref(),
                        "tmpfs".as_ref(),
                        "tmpfs".as_ref(),
                        mounted.as_os_str(),
                    ],
                ) {
                    return Err("a mount needs root's rights".to_owned());
                }
                fs::write(mounted.join("precious.txt"), "precious").unwrap();
                left.held.push("something is mounted there");
                left.undo = Some(Undo::Unmount(mounted));
            }
            State::BranchDeleted => {
                let name = format!("refs/heads/{}", of.branch);
                // HEAD would lead nowhere, and the commit be in the agent's hands alone.
                git(&["checkout", "-q", "--detach"]);
                git(&["update-ref", "-d", &name]);
            }
            State::BranchMoved => {
                let commit = git(&["commit-tree", "master^{tree}", "-p", "HEAD", "-m", "moved"]);
                let name = format!("refs/heads/{}", of.branch);
                git(&["checkout", "-q", "--detach"]);
                git(&["update-ref", &name, commit.trim()]);
            }
            State::FolderDeleted => {
                fs::remove_dir_all(at).unwrap();
                left.files_are_there = false;
            }
            State::FileInItsPlace => {
                fs::remove_dir_all(at).unwrap();
                fs::write(at, "a file").unwrap();
                left.files_are_there = false;
            }
            State::ManyFiles => {
                for folder in 0..200 {
                    let folder = at.join(format!("many-{folder}"));
                    fs::create_dir(&folder).unwrap();
                    for file in 0..100 {
                        fs::write(folder.join(file.to_string()), "x").unwrap();
                    }
                }
                left.kept.push("many-199/99");
            }
        }
        Ok(left)
    }
}

fn module_cache(at: &Path, left: &mut Left) {
    let cache = at.join("pkg/mod/example.org");
    fs::create_dir_all(&cache).unwrap();
    fs::write(cache.join("file.go"), "package x").unwrap();
    left.kept.push("pkg/mod/example.org/file.go");
    let paths = [
        cache.join("file.go"),
        cache,
        at.join("pkg/mod"),
        at.join("pkg"),
    ];
    for (path, mode) in paths.iter().zip([0o444, 0o555, 0o555, 0o555]) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// Writes and deletes in the folder until it is told to end.
fn write_on(at: &Path) -> (Arc<AtomicBool>, JoinHandle<()>) {
    let (at, end) = (at.to_owned(), Arc::new(AtomicBool::new(false)));
    let writer = std::thread::spawn({
        let end = end.clone();
        move || {
            // Opened once, as a process has its working folder: the writing goes on where the folder goes.
            let folder = rustix::fs::open(&at, OFlags::DIRECTORY, Mode::empty()).unwrap();
            let flags = OFlags::CREATE | OFlags::WRONLY;
            for n in 0_u64.. {
                if end.load(Ordering::Relaxed) {
                    break;
                }
                drop(openat(
                    &folder,
                    format!("busy-{}", n % 50),
                    flags,
                    Mode::RWXU,
                ));
                let gone = format!("busy-{}", (n + 7) % 50);
                rustix::fs::unlinkat(&folder, gone, rustix::fs::AtFlags::empty()).ok();
            }
        }
    });
    (end, writer)
}

/// Folders, one in the other, with a file at the end.
fn nest(at: &Path, name: &str, depth: usize) {
    let open = |folder: &std::os::fd::OwnedFd| {
        openat(folder, name, OFlags::DIRECTORY, Mode::empty()).unwrap()
    };
    let mut folder = rustix::fs::open(at, OFlags::DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..depth {
        mkdirat(&folder, name, Mode::RWXU).unwrap();
        folder = open(&folder);
    }
    let flags = OFlags::CREATE | OFlags::WRONLY;
    drop(openat(&folder, "file", flags, Mode::RWXU).unwrap());
}

/// A rebase or a merge that stopped at a conflict, with the uncommitted files as they were before.
fn in_progress(state: State, at: &Path, branch: &str) {
    let git = |args: &[&str]| git(at, args);
    let uncommitted = super::UNCOMMITTED;
    git(&["stash", "-q", "-u"]);
    git(&["checkout", "-q", "-b", "side", "master"]);
    fs::write(at.join(".gitignore"), "side\n").unwrap();
    git(&["commit", "-q", "-a", "-m", "side"]);
    git(&["checkout", "-q", "--detach", branch]);
    fs::write(at.join(".gitignore"), "work\n").unwrap();
    git(&["commit", "-q", "-a", "-m", "work"]);
    let args: &[&str] = match state {
        State::Rebase => &["rebase", "-q", "side"],
        _ => &["merge", "-q", "side"],
    };
    assert!(
        !try_git(at, args).status.success(),
        "it stops at a conflict"
    );
    for (name, text) in uncommitted {
        fs::write(at.join(name), text).unwrap();
    }
    if state == State::Rebase {
        // What HEAD stands at comes from the base: the agent's commit is on the branch alone.
        fs::write(at.join(super::COMMITTED.0), super::COMMITTED.1).unwrap();
    }
    git(&["stash", "drop", "-q"]);
}

fn repositories(server: &Server, at: &Path) {
    let inside = at.join("inside");
    fs::create_dir(&inside).unwrap();
    git(&inside, &["init", "-q"]);
    fs::write(inside.join("file"), "inside").unwrap();
    git(&inside, &["add", "-A"]);
    git(&inside, &["commit", "-q", "-m", "inside"]);
    git(at, &["init", "-q", "--bare", "bare.git"]);
    let other = server.at("other");
    git(at, &["clone", "-q", "inside", other.to_str().unwrap()]);
    let add = ["-c", "protocol.file.allow=always", "submodule", "add", "-q"];
    git(
        at,
        &[&add[..], &[other.to_str().unwrap(), "submodule"]].concat(),
    );
}
