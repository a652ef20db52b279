//! A place for one attempt: its directory, its files, the scripted agent, and the means to see what is left of it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use agent_runner_api::process::{
    Containment, Ended, ExitRecord, Launch, LaunchLimits, StopStep, Supervised, end_cgroup, start,
    sweep_marked,
};
use agent_runner_api::run::{AttemptId, RunId};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use tempfile::TempDir;
use uuid::Uuid;

/// How long anything here may take on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test.
pub fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_agent_runner_api"))
}

/// The scripted agent. `cargo test --test it` does not build examples, so it is built here, once.
#[expect(clippy::disallowed_methods, reason = "cargo, for an example")]
pub fn fake_agent() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut cargo = std::process::Command::new(env!("CARGO"));
        cargo.args([
            "build",
            "--quiet",
            "--example",
            "fake_agent",
            "--target-dir",
        ]);
        cargo.arg(binary().ancestors().nth(2).unwrap());
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success());
        binary().parent().unwrap().join("examples/fake_agent")
    })
}

/// An attempt that is about to be started. What it leaves behind is ended when this is dropped.
pub struct Stage {
    root: TempDir,
    pub launch: Launch,
    /// Nothing but the supervisor, unless a test says otherwise.
    pub containment: Arc<Containment>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        sweep_marked(self.launch.run);
        let cgroups = self.containment.cgroups().unwrap_or_default();
        for left in cgroups.iter().filter(|left| left.run == self.launch.run) {
            end_cgroup(&left.cgroup).ok();
        }
    }
}

impl Stage {
    /// An attempt whose agent carries out these lines, in an empty working directory.
    pub fn of(script: &str) -> Stage {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir(at("work")).unwrap();
        fs::write(at("prompt.txt"), format!("```script\n{script}\n```\n")).unwrap();
        let launch = Launch {
            run: RunId(Uuid::now_v7()),
            attempt: AttemptId(Uuid::now_v7()),
            number: 1,
            argv: vec![fake_agent().to_str().unwrap().to_owned()],
            env: BTreeMap::from([("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())]),
            network: None,
            cwd: at("work"),
            stdin: at("prompt.txt"),
            output: at("output.log"),
            stderr: at("stderr.log"),
            limits: LaunchLimits::default(),
            stop: StopStep::defaults(),
        };
        Stage {
            root,
            launch,
            containment: Arc::new(Containment::nothing()),
        }
    }

    /// The attempt's directory.
    pub fn dir(&self) -> PathBuf {
        self.root.path().join("attempt")
    }

    /// A path in the agent's working directory.
    pub fn work(&self, name: &str) -> PathBuf {
        self.launch.cwd.join(name)
    }

    pub async fn start(&self) -> Supervised {
        let started = start(binary(), &self.dir(), &self.launch, &self.containment).await;
        started.unwrap()
    }

    /// Starts it and waits for its end.
    pub async fn run(&self) -> ExitRecord {
        recorded(&self.start().await).await
    }

    pub fn output(&self) -> Vec<u8> {
        fs::read(&self.launch.output).unwrap()
    }

    pub fn output_text(&self) -> String {
        String::from_utf8(self.output()).unwrap()
    }

    /// A FIFO that the script can `hold`, before the agent starts.
    pub fn held_fifo(&self) -> Held {
        let path = self.work("held");
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
        let reader = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(&path);
        Held(reader.unwrap())
    }
}

/// The reading end of a FIFO whose writing end every process of an agent inherits.
pub struct Held(File);

impl Held {
    /// Waits for the end of the last process that has the other end. This needs no list of processes, so it cannot miss one.
    pub fn assert_all_gone_within(&self, time: Duration) {
        let timeout = Timespec::try_from(time).unwrap();
        let mut fds = [PollFd::new(&self.0, PollFlags::empty())];
        poll(&mut fds, Some(&timeout)).unwrap();
        assert!(
            fds[0].revents().contains(PollFlags::HUP),
            "a process is left"
        );
    }
}

/// Its end, which must come and must be on record.
pub async fn recorded(supervised: &Supervised) -> ExitRecord {
    match ended(supervised).await {
        Ended::Recorded(record) => record,
        Ended::Lost(lost) => panic!("{lost:?}"),
    }
}

/// Its end, which must come.
pub async fn ended(supervised: &Supervised) -> Ended {
    tokio::time::timeout(PATIENCE, supervised.ended())
        .await
        .expect("it ends")
}

/// Waits for something that gives no event.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    let mut pause = tokio::time::interval(Duration::from_millis(2));
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        pause.tick().await;
    }
}
