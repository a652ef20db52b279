//! One agent on a stage: a repository, a home and temporary files of its own.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use agent_runner_api::agent::claude::{Program, locate};
use agent_runner_api::agent::{self, Invocation, Session, Transcript, Work};
use agent_runner_api::run::{
    AgentKind, AgentSettings, AttemptId, EndedBy, Limits, Outcome, RunId, Spec,
};
use uuid::Uuid;

use crate::support::claude_program::{AgentProcess, Ended, claude_for_tests};

/// Long enough for a busy machine; the real thing takes a second.
pub const ENOUGH: Duration = Duration::from_secs(120);

pub struct Stage {
    folder: tempfile::TempDir,
    program: Program,
    pub spec: Spec,
    pub spent_usd: f64,
    pub server_env: BTreeMap<String, String>,
}

impl Stage {
    /// A stage whose agent talks to the API at this URL; `None` where there is no Claude Code.
    pub fn set(api_url: &str) -> Option<Self> {
        let program =
            locate::locate_at(&claude_for_tests()?).expect("the installed Claude Code is whole");
        let folder = tempfile::tempdir().expect("there is room for a folder");
        for name in ["work", "home", "tmp", "streams"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder can be made");
        }
        let server_env = [
            ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("HOME", folder.path().join("home").display().to_string()),
            ("LANG", "C.UTF-8".to_owned()),
            ("ANTHROPIC_API_KEY", "sk-test".to_owned()),
            ("ANTHROPIC_BASE_URL", api_url.to_owned()),
            ("CLAUDE_CODE_MAX_RETRIES", "1".to_owned()),
            // What the service has and no agent is to get.
            ("CLAUDECODE", "1".to_owned()),
            ("SECRET_OF_THE_SERVICE", "do not tell".to_owned()),
        ];
        Some(Stage {
            folder,
            program,
            spec: spec(),
            spent_usd: 0.0,
            server_env: server_env
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
        })
    }

    pub fn worktree(&self) -> PathBuf {
        self.folder
            .path()
            .join("work")
            .canonicalize()
            .expect("it is there")
    }

    /// Makes the agent's folder a repository whose commits make the returned file.
    #[expect(clippy::disallowed_methods, reason = "a test's own git")]
    pub fn repository_with_a_hook(&self) -> PathBuf {
        let made = std::process::Command::new("git")
            .args(["init", "--quiet", "--initial-branch=main"])
            .current_dir(self.worktree())
            .status();
        assert!(made.expect("git starts").success());
        let ran = self.folder.path().join("hook-ran");
        let hook = self.worktree().join(".git/hooks/pre-commit");
        std::fs::write(&hook, format!("#!/bin/sh\n: > '{}'\n", ran.display()))
            .expect("it can be written");
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755))
            .expect("it is ours");
        ran
    }

    pub fn invocation(&self, session: Session, prompt: &str) -> Invocation {
        agent::invocation(&Work {
            spec: &self.spec,
            run: RunId(Uuid::now_v7()),
            attempt: AttemptId(Uuid::now_v7()),
            session,
            prompt,
            spent_usd: self.spent_usd,
            worktree: &self.worktree(),
            branch: "auto/test",
            tmp: &self.folder.path().join("tmp"),
            server_env: &self.server_env,
            claude: Some(&self.program),
            as_root: rustix::process::geteuid().is_root(),
            reach: None,
        })
        .expect("the work is in order")
    }

    pub fn start(&self, session: Session, prompt: &str) -> AgentProcess {
        let invocation = self.invocation(session, prompt);
        AgentProcess::start(
            &invocation,
            &self.worktree(),
            &self.folder.path().join("streams"),
        )
    }

    pub fn run(&self, session: Session, prompt: &str) -> Ended {
        self.start(session, prompt).end(ENOUGH)
    }
}

pub fn fresh() -> Session {
    Session::Fresh(Uuid::now_v7())
}

/// What the end of an agent's process comes to, if nobody but itself ended it.
pub fn judged(ended: &Ended) -> (Transcript, Outcome) {
    let mut transcript = Transcript::new(AgentKind::Claude);
    transcript.push_bytes(ended.stdout.as_bytes());
    transcript.finish();
    let outcome = agent::outcome(&transcript, ended.exit, EndedBy::Itself, &ended.stderr);
    (transcript, outcome)
}

fn spec() -> Spec {
    Spec {
        workflow: "prompt".to_owned(),
        mode: "prompt".to_owned(),
        issue_id: None,
        card_id: None,
        kanban_app: None,
        prompt: None,
        full_prompt: String::new(),
        agent: AgentKind::Claude,
        stub: None,
        model: Some("claude-sonnet-4-5".to_owned()),
        base: "master".to_owned(),
        sparse: Default::default(),
        limits: Limits::default(),
        env: BTreeMap::new(),
        labels: BTreeMap::new(),
        settings: AgentSettings::default(),
    }
}
