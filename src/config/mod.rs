//! Flags, environment and file, in one place.
//!
//! Every setting is one line of `SETTINGS`: its flag, its environment variable, its key in the TOML file, the text
//! of `--help` and the table of `reference` are all made from that line, so that none can lack another.
//! Precedence: defaults < file < environment < flags. This is also the only place that reads the environment; what
//! else wants to know it gets `Surroundings::environment`.
//!
//! Deliberately absent: settings of a workflow or of a run (they are in the database and in requests), and changing
//! a setting while the server runs.

mod args;
mod error;
mod file;
mod layers;
mod machine;
mod print;
mod reference;
mod settings;
mod surroundings;
mod value;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use args::ServerArgs;
pub use error::ConfigError;
pub use layers::{Layers, Source};
pub use print::{effective, frozen};
pub use reference::reference;
pub use settings::{SETTINGS, Setting};
pub use surroundings::{OwnRun, Surroundings};

use crate::run::Limits;
use crate::run::feedback::MOST as MOST_FEEDBACK;

/// The environment variable with the URL of the server that the commands talk to. No setting of the server.
pub const SERVER_ENV: &str = "AGENT_RUNNER_SERVER";

/// The environment variable that names the configuration file.
pub const CONFIG_ENV: &str = "AGENT_RUNNER_CONFIG";

/// The settings of a server, all of them decided. Paths are absolute.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The port to listen on; 0 takes a free one.
    pub port: u16,
    /// The address to listen on: a loopback address.
    pub bind: IpAddr,
    /// The SQLite database.
    pub db: PathBuf,
    /// The repository that the runs work on.
    pub repo_root: PathBuf,
    /// The folder of the runs' worktrees.
    pub worktrees_root: PathBuf,
    /// The folder of the runs' output files and of the evidence store.
    pub state_root: PathBuf,
    /// The branch to land on; `None` is the repository's default branch.
    pub base_branch: Option<String>,
    /// How many agents may work at a time, at least 1.
    pub max_running: usize,
    /// How many runs may have checks run at a time, at least 1.
    pub max_checks: usize,
    /// How often an agent is told about the failed check of one item, if its workflow does not say.
    pub max_feedback: u32,
    /// The limits of runs that name none of their own.
    pub limits: Limits,
    /// The free bytes below which no agent is started; 0 for no floor.
    pub disk_floor_bytes: u64,
    /// How many worktrees stand ready.
    pub pool: PoolSize,
    /// How long without a run until none does; `None` is for ever.
    pub pool_idle: Option<Duration>,
    /// What holds the processes of an attempt together.
    pub containment: Containment,
    /// The network that checks run in.
    pub check_network: CheckNetwork,
    /// How long an agent may take to end after it was asked to.
    pub stop_grace: Duration,
    /// The program of Claude Code: a name looked for on PATH, or a path.
    pub claude: PathBuf,
    /// Whether runs are carried by the stub instead of an agent.
    pub stub: bool,
    /// Who the service's own commits are by.
    pub identity: Identity,
    /// The SSH key that merges are signed with.
    pub sign_key: Option<PathBuf>,
    /// The remote that merges are pushed to.
    pub push_remote: Option<String>,
    /// Whether a run's branch stays after its merge.
    pub keep_branch: bool,
    /// For how many days preserved work of removed worktrees is kept.
    pub preserved_keep_days: u32,
    /// For how many days output of runs that merged or were aborted is kept; for ever, if nothing is said.
    pub keep_output_days: Option<u32>,
    /// How many GiB of it are kept, the newest; all, if nothing is said.
    pub keep_output_gib: Option<u32>,
    /// Origins of web pages that may call the API, besides the server's own.
    pub allowed_origins: Vec<String>,
    /// Where `issue.body` of prompt templates comes from.
    pub issues: Issues,
    /// A pattern of the pages of an app, from the root of the repository; `{kanban_app}` stands for the app.
    pub app_pages: String,
    /// What a run's fresh worktree gets of the seed's source, from the root of the repository.
    pub seed: Vec<String>,
    /// The checkout that seeds come from; `None` is the repository's main checkout.
    pub seed_source: Option<PathBuf>,
    /// Whether seeds are copied where their bytes cannot be shared.
    pub seed_copy: bool,
    /// What the server says about itself.
    pub log: Log,
}

/// How many worktrees stand ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolSize {
    /// So many; 0 for none.
    Fixed(usize),
    /// As many as runs come.
    Adaptive,
}

impl PoolSize {
    /// The most that can be asked for: each is a checkout on the disk.
    const MOST: usize = 64;
}

/// What holds the processes of an attempt together beside its supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Containment {
    /// The best that there is.
    Auto,
    /// A scope of the user's systemd, or no start.
    Systemd,
    /// A cgroup of our own, or no start.
    Cgroup,
    /// Nothing.
    None,
}

impl Containment {
    /// The word for it in settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Containment::Auto => "auto",
            Containment::Systemd => "systemd",
            Containment::Cgroup => "cgroup",
            Containment::None => "none",
        }
    }
}

/// The network that checks run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckNetwork {
    /// One of their own, where the system allows it.
    Auto,
    /// One of their own, or no start.
    Own,
    /// The machine's.
    Machine,
}

impl CheckNetwork {
    /// The word for it in settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            CheckNetwork::Auto => "auto",
            CheckNetwork::Own => "own",
            CheckNetwork::Machine => "machine",
        }
    }
}

/// Author and committer of the service's own commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name.
    pub name: String,
    /// The address.
    pub email: String,
}

/// Where `issue.body` of prompt templates comes from. With neither, the body is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Issues {
    /// A pattern of files below the repository; `{issue_id}` stands for the id. The first match in order is read.
    pub glob: Option<String>,
    /// A program and its arguments that prints the body; `{issue_id}` stands for the id. Goes before `glob`.
    pub command: Option<Vec<String>>,
}

/// What the server says about itself, on standard error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A level (`info`) or directives of tracing's `EnvFilter` (`info,agent_runner_api::git=debug`).
    pub level: String,
    /// Lines for people or for programs.
    pub format: LogFormat,
}

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The port alone, for those who want to reach a server and not to be one.
pub fn port(args: &ServerArgs, surroundings: &Surroundings) -> Result<u16, ConfigError> {
    Layers::load(args, surroundings)?.required("port", value::parsed::<u16>)
}

impl Config {
    /// Decides all settings from flags, environment and file.
    ///
    /// Reads the file, and asks the file system whether `repo_root` is a link; changes nothing.
    pub fn load(args: &ServerArgs, surroundings: &Surroundings) -> Result<Config, ConfigError> {
        Config::from_layers(&Layers::load(args, surroundings)?, surroundings)
    }

    /// Decides all settings from layers that were gathered before.
    pub fn from_layers(layers: &Layers, around: &Surroundings) -> Result<Config, ConfigError> {
        let absolute = |path: PathBuf| value::absolute(&around.current_dir, &path);
        let db = absolute(layers.required("db", value::path)?);
        let repo_root = value::resolved(absolute(layers.required("repo_root", value::path)?));
        let worktrees_root = match layers.optional("worktrees_root", value::path)? {
            Some(path) => absolute(path),
            None => beside(&repo_root)?,
        };
        let state_root = match layers.optional("state_root", value::path)? {
            Some(path) => absolute(path),
            None => with_suffix(&db, "-files"),
        };
        let max_running = match layers.optional("max_running", value::at_least_one)? {
            Some(count) => count,
            None => machine::default_max_running(around.cores, around.available_memory),
        };
        Ok(Config {
            port: layers.required("port", value::parsed::<u16>)?,
            bind: layers.required("bind", value::loopback)?,
            db,
            repo_root,
            worktrees_root,
            state_root,
            base_branch: layers.optional("base_branch", value::text)?,
            max_running,
            max_checks: layers
                .optional("max_checks", value::at_least_one)?
                .unwrap_or_else(|| machine::default_max_checks(around.cores)),
            max_feedback: layers.required("max_feedback", |raw| {
                value::within(value::parsed(raw)?, (0, MOST_FEEDBACK))
            })?,
            limits: Limits {
                timeout_s: layers.optional("limits.timeout_s", value::at_least_one)?,
                idle_timeout_s: layers.optional("limits.idle_timeout_s", value::at_least_one)?,
                max_cost_usd: layers.optional("limits.max_cost_usd", value::dollars)?,
                max_turns: layers.optional("limits.max_turns", value::at_least_one)?,
                max_output_bytes: layers.optional("limits.max_output_bytes", value::bytes)?,
                max_memory_bytes: layers.optional("limits.max_memory_bytes", |raw| {
                    value::within(value::bytes(raw)?, Limits::MEMORY)
                })?,
                max_tasks: layers.optional("limits.max_tasks", |raw| {
                    value::within(value::parsed(raw)?, Limits::TASKS)
                })?,
                cpu_weight: layers.optional("limits.cpu_weight", |raw| {
                    value::within(value::parsed(raw)?, Limits::WEIGHT)
                })?,
            },
            disk_floor_bytes: layers.required("disk_floor_bytes", value::bytes_or_none)?,
            pool: layers.required("pool", value::pool)?,
            pool_idle: match layers.required("pool_idle_s", value::parsed::<u64>)? {
                0 => None,
                seconds => Some(Duration::from_secs(seconds)),
            },
            containment: layers.required("containment", value::containment)?,
            check_network: layers.required("check_network", value::check_network)?,
            stop_grace: Duration::from_secs(layers.required("stop_grace_s", value::parsed::<u64>)?),
            claude: layers.required("claude", |raw| value::program(&around.current_dir, raw))?,
            stub: layers.required("stub", value::boolean)?,
            identity: Identity {
                name: layers.required("identity.name", value::identity)?,
                email: layers.required("identity.email", value::identity)?,
            },
            sign_key: layers.optional("sign_key", value::path)?.map(absolute),
            push_remote: layers.optional("push_remote", value::text)?,
            keep_branch: layers.required("keep_branch", value::boolean)?,
            preserved_keep_days: layers.required("preserved_keep_days", value::parsed::<u32>)?,
            keep_output_days: layers.optional("keep_output_days", value::parsed::<u32>)?,
            keep_output_gib: layers.optional("keep_output_gib", value::parsed::<u32>)?,
            allowed_origins: layers
                .optional("allowed_origins", value::origins)?
                .unwrap_or_default(),
            issues: Issues {
                glob: layers.optional("issues.glob", value::text)?,
                command: layers.optional("issues.command", value::words)?,
            },
            app_pages: layers.required("app_pages", value::pages)?,
            seed: layers.optional("seed", value::seeds)?.unwrap_or_default(),
            seed_source: layers
                .optional("seed_source", value::path)?
                .map(|path| value::resolved(absolute(path))),
            seed_copy: layers.required("seed_copy", value::boolean)?,
            log: Log {
                level: layers.required("log.level", value::log_level)?,
                format: layers.required("log.format", value::log_format)?,
            },
        })
    }
}

/// `<repo root>/../<repo name>-worktrees`.
fn beside(repo_root: &Path) -> Result<PathBuf, ConfigError> {
    match repo_root.file_name() {
        Some(_) => Ok(with_suffix(repo_root, "-worktrees")),
        None => Err(ConfigError::NoPlaceForWorktrees {
            repo_root: repo_root.to_owned(),
        }),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut whole = path.as_os_str().to_owned();
    whole.push(suffix);
    PathBuf::from(whole)
}
