//! The program under test, started with an environment of its own.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// The program with an empty home and nothing else in its environment.
pub struct Program {
    home: TempDir,
    variables: Vec<(String, String)>,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Program {
    pub fn new() -> Program {
        Program {
            home: TempDir::new().unwrap(),
            variables: Vec::new(),
        }
    }

    pub fn talking_to(server: &str) -> Program {
        Program::new().with("AGENT_RUNNER_SERVER", server)
    }

    pub fn with(mut self, name: &str, value: &str) -> Program {
        self.variables.push((name.into(), value.into()));
        self
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the program under test is started here"
    )]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agent_runner_api"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.home())
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.home())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        Ended::from(self.command(arguments).output().unwrap())
    }

    /// Runs it with this text on standard input.
    pub fn run_with_stdin(&self, arguments: &[&str], text: &str) -> Ended {
        let file = self.home().join("stdin");
        std::fs::write(&file, text).unwrap();
        let input = std::fs::File::open(file).unwrap();
        Ended::from(self.command(arguments).stdin(input).output().unwrap())
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Ended {
        Ended {
            code: output.status.code().expect("it exits by itself"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}
