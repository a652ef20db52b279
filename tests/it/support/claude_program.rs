//! The real Claude Code for tests, and one process of it.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use agent_runner_api::agent::Invocation;
use agent_runner_api::run::Exit;

/// The pinned Claude Code that `.ci/install-claude` installed, or the one that `AGENT_RUNNER_TEST_CLAUDE` names.
///
/// Where there is none the test is to return: the reason is printed. With `CI=true` that is a failure.
pub fn claude_for_tests() -> Option<PathBuf> {
    let named = variable("AGENT_RUNNER_TEST_CLAUDE").filter(|named| !named.is_empty());
    let program = named.map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/claude/node_modules/.bin/claude"),
        PathBuf::from,
    );
    if program.is_file() {
        return Some(program);
    }
    let reason = format!(
        "no Claude Code at {}; .ci/install-claude puts it there",
        program.display()
    );
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    assert!(
        variable("CI").as_deref() != Some("true"),
        "{test}: {reason}"
    );
    // Not `println!`, which the test harness keeps to itself where the test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED ({test}: {reason})");
    None
}

#[expect(
    clippy::disallowed_methods,
    reason = "what a test needs of its environment is asked for here"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// One process of an agent, started as the service would: nothing inherited, files for its three streams.
pub struct AgentProcess {
    child: Child,
    folder: PathBuf,
}

impl AgentProcess {
    /// Starts it in `worktree`, with `prompt`, `stdout` and `stderr` as files in `folder`.
    #[expect(
        clippy::disallowed_methods,
        reason = "the agent of a test is started here"
    )]
    pub fn start(invocation: &Invocation, worktree: &Path, folder: &Path) -> Self {
        let prompt = folder.join("prompt");
        std::fs::write(&prompt, &invocation.stdin).expect("the prompt can be written");
        let open = |name: &str| File::create(folder.join(name)).expect("a file can be made");
        let child = Command::new(&invocation.argv[0])
            .args(&invocation.argv[1..])
            .env_clear()
            .envs(&invocation.env)
            .current_dir(worktree)
            .stdin(Stdio::from(
                File::open(&prompt).expect("the prompt can be read"),
            ))
            .stdout(Stdio::from(open("stdout")))
            .stderr(Stdio::from(open("stderr")))
            .spawn()
            .expect("the agent starts");
        AgentProcess {
            child,
            folder: folder.to_owned(),
        }
    }

    /// SIGKILL to this process alone.
    pub fn kill(&mut self) {
        self.child.kill().expect("our own child can be killed");
    }

    /// Sends a signal to this process alone.
    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal)
            .expect("our own child can be signalled");
    }

    /// Its end, with what it wrote to stdout and stderr. Panics, and kills it, if it does not end in time.
    pub fn end(mut self, within: Duration) -> Ended {
        let deadline = Instant::now() + within;
        let status = loop {
            if let Some(status) = self
                .child
                .try_wait()
                .expect("our own child can be waited for")
            {
                break status;
            }
            if Instant::now() > deadline {
                self.kill();
                panic!(
                    "the agent did not end within {within:?}; it said {}",
                    self.read("stdout")
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        Ended {
            exit: match (status.code(), status.signal()) {
                (Some(code), _) => Exit::Code(code),
                (None, Some(signal)) => Exit::Signal(signal),
                (None, None) => Exit::Unknown,
            },
            stdout: self.read("stdout"),
            stderr: self.read("stderr"),
        }
    }

    fn read(&self, name: &str) -> String {
        let bytes = std::fs::read(self.folder.join(name)).expect("the agent's streams are files");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// How an agent's process ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit.
    pub exit: Exit,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

/// Waits until there is a file with something in it, and reads it. Panics if there is none in time.
pub fn wait_for_file(path: &Path, within: Duration) -> String {
    let deadline = Instant::now() + within;
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) if !text.is_empty() => return text,
            _ => assert!(
                Instant::now() < deadline,
                "no {} within {within:?}",
                path.display()
            ),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
