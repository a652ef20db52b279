//! What is watched: health, figures, streams, output.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;

use super::payload::FILE_MAX;
use super::{App, Refused};
use crate::clock::rfc3339;
use crate::git::LeftOut;
use crate::journal::Cursor;
use crate::run::{AgentKind, StubReason};
use crate::runner::stream;
use crate::shape::request::RunFilter;
use crate::shape::view::{
    CheckNetworkView, ContainmentView, DiskView, HealthView, McpView, SeedView,
};
use crate::store::runs;

/// How long the database may take to answer before the service calls itself degraded.
const DATABASE_PATIENCE: Duration = Duration::from_secs(2);

impl App {
    /// Whether the service is well. Answers even when the database does not.
    pub async fn health(&self) -> HealthView {
        let store = self.context().journal.store().clone();
        let asked = tokio::task::spawn_blocking(move || store.read(runs::counts));
        let counts = match tokio::time::timeout(DATABASE_PATIENCE, asked).await {
            Ok(Ok(Ok(counts))) => Some(counts),
            _ => None,
        };
        let count = |status: &str| {
            counts
                .iter()
                .flatten()
                .find(|(word, _)| word == status)
                .map_or(0, |(_, n)| u32::try_from(*n).unwrap_or(u32::MAX))
        };
        let config = &self.context().config;
        let stub = self.stub_reason();
        let disk = self.context().room.look().into_iter();
        let disk = disk
            .map(|system| DiskView {
                path: system.path.display().to_string(),
                holds: system.holds,
                free_bytes: system.free,
                floor_bytes: system.floor,
            })
            .collect();
        HealthView {
            status: if counts.is_some() { "ok" } else { "degraded" },
            port: self.port,
            db: config.db.display().to_string(),
            version: env!("CARGO_PKG_VERSION"),
            repo_root: config.repo_root.display().to_string(),
            worktrees_root: config.worktrees_root.display().to_string(),
            base: self.context().base.clone(),
            agent: if stub.is_some() {
                AgentKind::Stub
            } else {
                AgentKind::Claude
            },
            stub_reason: stub.map(|reason| reason.sentence().to_owned()),
            max_running: u32::try_from(config.max_running).unwrap_or(u32::MAX),
            running: u32::try_from(self.runner().running()).unwrap_or(u32::MAX),
            queued: count("queued"),
            pool: self.pool(),
            disk,
            containment: self.containment(),
            check_network: self.check_network(),
            seed: self.seed(),
            mcp: self.mcp_url().map(|url| McpView { url }),
            warnings: self.warnings(),
            started_at: rfc3339(self.started_at),
        }
    }

    fn containment(&self) -> ContainmentView {
        let found = &self.context().containment;
        ContainmentView {
            kind: found.kind(),
            detail: found.detail(),
            controllers: found.controllers(),
            passed_over: found.passed_over().to_vec(),
        }
    }

    fn seed(&self) -> SeedView {
        let (config, seeds) = (&self.context().config, &self.context().seeds);
        let source = seeds.source.as_ref();
        let way = match &seeds.why_not_reflink {
            None => "reflink",
            Some(_) if config.seed_copy && source.is_some() => "copy",
            Some(_) => "none",
        };
        SeedView {
            paths: config.seed.clone(),
            source: source.map(|path| path.display().to_string()),
            way,
            why_not_reflink: seeds.why_not_reflink.clone(),
        }
    }

    fn check_network(&self) -> CheckNetworkView {
        let why_not_own = self.context().networks.why_not_own();
        CheckNetworkView {
            kind: if why_not_own.is_none() {
                "own"
            } else {
                "machine"
            },
            why_not_own: why_not_own.map(str::to_owned),
        }
    }

    fn stub_reason(&self) -> Option<StubReason> {
        let context = self.context();
        if context.config.stub {
            Some(StubReason::Wanted)
        } else {
            context.claude.is_err().then_some(StubReason::NoAgent)
        }
    }

    /// What a person should know before trusting the service with work.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        match (self.stub_reason(), &self.context().claude) {
            (Some(StubReason::Wanted), _) => warnings.push(
                "AGENT_RUNNER_STUB=1 is set: every run is carried by the stub, and no agent works"
                    .to_owned(),
            ),
            (Some(StubReason::NoAgent), Err(why)) => warnings.push(format!(
                "{why}: runs for Claude are carried by the stub and never merge"
            )),
            (None, Ok(program)) if program.form == crate::agent::claude::Form::Script => {
                warnings.push(format!(
                    "{} is a script around the agent; name the program itself with --claude",
                    program.path
                ));
            }
            _ => {}
        }
        let left_out = self.context().left_out.get().into_iter().flatten();
        warnings.extend(left_out.map(LeftOut::sentence));
        if let Some(low) = self.context().room.low() {
            warnings.push(format!("no agent is started: {}", low.sentence()));
        }
        warnings
    }

    /// The figures of the service, in the text format of Prometheus.
    ///
    pub async fn metrics(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::from(
            "# HELP agent_runner_runs Runs by status.\n# TYPE agent_runner_runs gauge\n",
        );
        for (status, count) in self.read(runs::counts).unwrap_or_default() {
            let _ = writeln!(text, "agent_runner_runs{{status=\"{status}\"}} {count}");
        }
        let figures = [
            (
                "agent_runner_slots",
                "How many agents may work at a time.",
                self.context().config.max_running as u64,
            ),
            (
                "agent_runner_slots_taken",
                "How many agents work.",
                self.runner().running() as u64,
            ),
            (
                "agent_runner_journal_seq",
                "Number of the newest event.",
                *self.context().journal.latest().borrow(),
            ),
        ];
        for (name, help, value) in figures {
            let _ = writeln!(
                text,
                "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}"
            );
        }
        text.push_str(&self.pool_figures());
        let frames = self.context().streams.counts();
        let counted = [
            (
                "agent_runner_frames_encoded_total",
                "Frames of streams that were made, each for all its readers.",
                frames.encoded(),
            ),
            (
                "agent_runner_frames_sent_total",
                "Frames of streams that were given to readers.",
                frames.sent(),
            ),
        ];
        for (name, help, value) in counted {
            let _ = writeln!(
                text,
                "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}"
            );
        }
        text
    }

    /// Frames of one run from `after` on; without it `connected` and what follows. Ends when it
    /// cannot go on; the reader comes back with its last id.
    ///
    /// # Errors
    /// There is no such run.
    pub async fn follow_run(
        &self,
        run: &str,
        after: Option<Cursor>,
    ) -> Result<impl Stream<Item = Bytes> + Send + use<>, Refused> {
        let id = self.run_id(run)?;
        // What cannot be read is refused before the stream begins.
        self.load(id)?;
        Ok(stream::follow_run(self.context(), id, after)?)
    }

    /// State events of all runs that fit the filter.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn follow_all(
        &self,
        filter: RunFilter,
        after: Option<Cursor>,
    ) -> Result<impl Stream<Item = Bytes> + Send + use<>, Refused> {
        Ok(stream::follow_all(self.context(), filter, after)?)
    }

    /// The raw output from this byte on; with `follow` until the run is at rest.
    ///
    /// # Errors
    /// There is no such run, or its output was let go.
    pub async fn output(
        &self,
        run: &str,
        after: u64,
        follow: bool,
    ) -> Result<impl Stream<Item = Bytes> + Send + use<>, Refused> {
        let id = self.run_id(run)?;
        if let Some(at) = self.load(id)?.output_pruned_at {
            let at = rfc3339(at);
            return Err(Refused::OutputPruned { run: id, at });
        }
        Ok(stream::raw(self.context().clone(), id, after, follow))
    }

    /// The most bytes of an upload.
    #[must_use]
    pub fn max_upload_bytes(&self) -> u64 {
        FILE_MAX
    }

    /// Where uploads in progress lie.
    #[must_use]
    pub fn upload_dir(&self) -> PathBuf {
        self.context().files.uploads()
    }
}
