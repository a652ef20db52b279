//! One call of git: its environment, its limits, its output.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::error::Error;
use super::full_disk::with_full_disk;
use super::output::Output;
use super::pinned::{ENVIRONMENT, SETTINGS};

/// For calls that read, or write a few objects and refs: a cold disk under load.
const SHORT: Duration = Duration::from_secs(120);
/// For calls that write or read a whole checkout.
pub(crate) const LONG: Duration = Duration::from_secs(30 * 60);
/// How long git may take to remove its lock files after TERM, before KILL.
const GRACE: Duration = Duration::from_secs(5);
/// The niceness of a call in the background (setpriority(2)): a tenth of the processor where agents want all of it. With
/// 19 it would get nothing for minutes there. The disk's share follows from it where nothing else is said (ioprio_set(2)).
const BACKGROUND: i32 = 10;
/// The most that is held of one answer: the list of paths of the largest repositories is under 100 MB.
const MOST_OUTPUT: usize = 256 << 20;
/// The most that is kept of what git says to people.
const MOST_STDERR: usize = 16 << 10;

/// Subcommands that take no lock that anybody else could meet.
const REPEATABLE: &[&str] = &[
    "cat-file",
    "commit-tree",
    "diff-files",
    "diff-index",
    "diff-tree",
    "for-each-ref",
    "hash-object",
    "ls-files",
    "ls-tree",
    "merge-base",
    "merge-tree",
    "mktree",
    // Only its list is asked for.
    "notes",
    "rev-list",
    "rev-parse",
];

/// A call being put together.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    program: PathBuf,
    before: Vec<OsString>,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    folder: PathBuf,
    writes_to: Vec<PathBuf>,
    stdin: Vec<u8>,
    limit: usize,
    cut: bool,
    timeout: Duration,
    in_background: bool,
}

impl Call {
    /// A call that needs no repository.
    pub(crate) fn bare(program: &Path, subcommand: &str) -> Call {
        Call {
            program: program.to_owned(),
            before: Vec::new(),
            args: vec![subcommand.into()],
            env: Vec::new(),
            folder: PathBuf::from("/"),
            writes_to: Vec::new(),
            stdin: Vec::new(),
            limit: MOST_OUTPUT,
            cut: false,
            timeout: SHORT,
            in_background: false,
        }
    }

    /// A call with this git dir, and no checkout.
    pub(crate) fn with_git_dir(program: &Path, git_dir: &Path, subcommand: &str) -> Call {
        let mut call = Call::bare(program, subcommand);
        call.before.push(joined("--git-dir=", git_dir));
        git_dir.clone_into(&mut call.folder);
        call.writes_to = vec![git_dir.to_owned(), git_dir.join("objects")];
        call
    }

    /// The folder that it is run in.
    pub(crate) fn folder(mut self, folder: &Path) -> Call {
        folder.clone_into(&mut self.folder);
        self
    }

    /// Configuration for this call, above [`SETTINGS`].
    pub(crate) fn config(mut self, setting: &str) -> Call {
        self.before.push("-c".into());
        self.before.push(setting.into());
        self
    }

    /// The same, with a value that need not be UTF-8; `name` ends with `=`.
    pub(super) fn config_os(mut self, name: &str, value: &OsStr) -> Call {
        let mut setting = OsString::from(name);
        setting.push(value);
        self.before.push("-c".into());
        self.before.push(setting);
        self
    }

    /// The files of this checkout, with this index.
    pub(crate) fn checkout(mut self, work_tree: &Path, index: &Path) -> Call {
        self.before.push(joined("--work-tree=", work_tree));
        work_tree.clone_into(&mut self.folder);
        self.writes_to.push(work_tree.to_owned());
        self.timeout = LONG;
        self.index(index)
    }

    /// This index, with no checkout.
    pub(crate) fn index(mut self, index: &Path) -> Call {
        self.env.push(("GIT_INDEX_FILE".into(), index.into()));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Call {
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Call {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Call {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub(crate) fn stdin(mut self, bytes: Vec<u8>) -> Call {
        self.stdin = bytes;
        self
    }

    /// Of a longer answer, this many bytes and [`Output::truncated`].
    pub(crate) fn cut_at(mut self, bytes: usize) -> Call {
        self.limit = bytes;
        self.cut = true;
        self
    }

    pub(crate) fn timeout(mut self, timeout: Duration) -> Call {
        self.timeout = timeout;
        self
    }

    /// Nobody waits for it: those who are waited for go first.
    pub(crate) fn in_background(mut self) -> Call {
        self.in_background = true;
        self
    }

    /// Runs it; anything but exit code 0 is an error.
    pub(crate) async fn run(self) -> Result<Output, Error> {
        self.run_expecting(&[0]).await
    }

    /// Runs it; these exit codes have a meaning for the caller, all others are an error.
    pub(crate) async fn run_expecting(self, codes: &[i32]) -> Result<Output, Error> {
        let output = self.run_any().await?;
        if output.truncated || codes.contains(&output.code) {
            Ok(output)
        } else {
            Err(output.failed())
        }
    }

    /// Runs it to its end, whatever its exit code.
    ///
    /// Boxed: a call's state is large, and callers hold many of them in a row.
    pub(crate) fn run_any(self) -> Pin<Box<dyn Future<Output = Result<Output, Error>> + Send>> {
        Box::pin(self.run_again_if_killed())
    }

    /// A call that somebody killed (the kernel, when memory was short) is made once more, if it only reads or writes
    /// objects: then it can be done again.
    async fn run_again_if_killed(self) -> Result<Output, Error> {
        if !REPEATABLE.contains(&&*self.args[0].to_string_lossy()) {
            return self.run_to_end().await;
        }
        match self.clone().run_to_end().await {
            Err(Error::Killed { .. }) => self.run_to_end().await,
            other => other,
        }
    }

    async fn run_to_end(self) -> Result<Output, Error> {
        let call = self.shown();
        let child = self.command().spawn().map_err(|source| Error::NotStarted {
            call: call.clone(),
            source,
        })?;
        let mut child = Spawned(child);
        if self.in_background {
            child.give_way();
        }
        let finished =
            tokio::time::timeout(self.timeout, child.talk(self.stdin, self.limit, self.cut)).await;
        let talk = match finished {
            Ok(talk) => talk.map_err(|source| Error::NotStarted {
                call: call.clone(),
                source,
            })?,
            Err(_) => {
                child.stop().await;
                return Err(Error::TimedOut {
                    call,
                    limit: self.timeout,
                });
            }
        };
        if talk.over && !self.cut {
            return Err(Error::TooMuch {
                call,
                limit: self.limit,
            });
        }
        if let (None, false) = (talk.code, talk.over) {
            let stderr = talk.stderr;
            return Err(Error::Killed { call, stderr });
        }
        let code = talk.code.unwrap_or(-1);
        Ok(Output {
            call,
            code,
            stdout: talk.stdout,
            stderr: with_full_disk(code, talk.stderr, &self.writes_to),
            truncated: talk.over,
        })
    }

    fn command(&self) -> Command {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one place where git is spawned"
        )]
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .envs(ENVIRONMENT.iter().copied())
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            // git finds its own parts by itself; nothing else is to be found.
            .env("PATH", self.program.parent().unwrap_or(Path::new("/")))
            .args(SETTINGS.iter().flat_map(|setting| ["-c", setting]))
            .args(&self.before)
            .args(&self.args)
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C on the server's terminal is not for git.
            .process_group(0);
        command
    }

    fn shown(&self) -> String {
        let args: Vec<_> = self
            .args
            .iter()
            .take(12)
            .map(|arg| arg.to_string_lossy())
            .collect();
        format!("git {}", args.join(" "))
    }
}

/// `--flag=` and a path that need not be UTF-8.
fn joined(flag: &str, path: &Path) -> OsString {
    let mut arg = OsString::from(flag);
    arg.push(path);
    arg
}

/// What was said until the end; `code` is `None` after a signal.
struct Talk {
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
    over: bool,
}

/// A git that is asked to end when nobody waits for it any more. By TERM, not KILL: git then removes its own
/// lock files. (This is why tokio's `kill_on_drop` is not used.)
struct Spawned(Child);

impl Spawned {
    async fn talk(&mut self, input: Vec<u8>, limit: usize, cut: bool) -> std::io::Result<Talk> {
        let mut stdin = self.0.stdin.take();
        let mut stdout = self.0.stdout.take();
        let mut stderr = self.0.stderr.take();
        let write = async move {
            if let Some(stdin) = stdin.as_mut() {
                // A git that has heard enough closes its end; its exit code tells.
                let _ = stdin.write_all(&input).await;
            }
            drop(stdin);
        };
        let ((), out, err) = tokio::join!(
            write,
            read_up_to(&mut stdout, limit, !cut),
            read_up_to(&mut stderr, MOST_STDERR, true),
        );
        let ((stdout_bytes, over), (stderr_bytes, _)) = (out?, err?);
        drop(stdout);
        let status = self.0.wait().await?;
        Ok(Talk {
            code: status.code(),
            stdout: stdout_bytes,
            stderr: String::from_utf8_lossy(&stderr_bytes).trim().to_owned(),
            over,
        })
    }

    async fn stop(&mut self) {
        self.signal(Signal::TERM);
        if tokio::time::timeout(GRACE, self.0.wait()).await.is_err() {
            self.signal(Signal::KILL);
            let _ = self.0.wait().await;
        }
    }

    fn pid(&self) -> Option<Pid> {
        let id = self.0.id()?;
        Pid::from_raw(i32::try_from(id).ok()?)
    }

    fn give_way(&self) {
        if let Some(pid) = self.pid() {
            // It only goes on as any other does.
            let _ = rustix::process::setpriority_process(Some(pid), BACKGROUND);
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // Gone already is as good.
            let _ = rustix::process::kill_process_group(pid, signal);
        }
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
    }
}

/// Reads up to `limit` bytes and whether there was more. What is beyond is read and dropped if `drain`, so
/// that the writer can end by itself; else the pipe is closed and the writer ends by that.
async fn read_up_to<R: AsyncRead + Unpin>(
    pipe: &mut Option<R>,
    limit: usize,
    drain: bool,
) -> std::io::Result<(Vec<u8>, bool)> {
    let Some(reader) = pipe.as_mut() else {
        return Ok((Vec::new(), false));
    };
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX);
    reader.take(most).read_to_end(&mut bytes).await?;
    let mut rest = vec![0_u8; 64 << 10];
    let mut over = false;
    while bytes.len() >= limit && reader.read(&mut rest).await? > 0 {
        over = true;
        if !drain {
            *pipe = None;
            break;
        }
    }
    Ok((bytes, over))
}
