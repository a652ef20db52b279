//! The start of the service: everything is opened and looked at, what was under way goes on, and only then it listens.
//!
//! Longer than others, because each reason not to start is named here, with what to do about it.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::App;
use super::alone::{Alone, alone_with};
use super::doctor::mend_after_start;
use super::found::{containment, find_claude, networks};
use crate::config::{Config, Surroundings};
use crate::dod::content::ContentStore;
use crate::git::{
    self, OpenError, ProgramError, RefName, RemoteError, Repository, Signing, SigningError,
};
use crate::http;
use crate::journal::Journal;
use crate::process::{Growths, NotHad, raise_descriptors};
use crate::runner::checks::CheckSlots;
use crate::runner::definition::Known;
use crate::runner::failures::Failures;
use crate::runner::files::Files;
use crate::runner::gc::gc_daily;
use crate::runner::pool::{self, Pool};
use crate::runner::room::Room;
use crate::runner::seeding::Seeds;
use crate::runner::stream::Streams;
use crate::runner::tokens::AgentTokens;
use crate::runner::{Context, Lanes, Runner};
use crate::store::{Store, StoreError, migrate};

/// Why the service does not start: a sentence for a person, with what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no repository.
    #[error("{0}; name a repository with --repo-root, or make one with `git init`")]
    NotARepository(String),
    /// The repository has no such branch.
    #[error(
        "the repository has no branch `{0}` to land on; name one with --base-branch, or make a first commit"
    )]
    NoSuchBase(String),
    /// git is missing or too old.
    #[error("{0}")]
    Git(#[from] ProgramError),
    /// A newer program has written the database.
    #[error("{0}")]
    DatabaseNewer(StoreError),
    /// The database cannot be opened.
    #[error("the database {} cannot be used: {source}", path.display())]
    Database {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// What is in the database is not what was written.
    #[error(
        "the database {} is damaged ({why}); nothing was changed in it: bring back a backup with \
         `agent_runner_api restore-backup FILE --replace`, or name another with --db",
        path.display()
    )]
    Damaged {
        /// Its file.
        path: PathBuf,
        /// What was seen.
        why: String,
    },
    /// Another server works on the database.
    #[error("another server works on the database {}; stop it, or name another with --db", .0.display())]
    InUse(PathBuf),
    /// Something else has the port.
    #[error("port {} of {} is taken: {source}; stop what has it, or name another with --port (0 takes a free one)", address.port(), address.ip())]
    PortTaken {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A folder, or a file that the service needs in it, cannot be written to.
    #[error("{} cannot be written to: {source}; {advice}", path.display())]
    NotWritable {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
        /// What to do.
        advice: &'static str,
    },
    /// Merges cannot be signed as was asked for.
    #[error("{0}; merges are to be signed because of --sign-key")]
    NotSigning(#[from] SigningError),
    /// Merges cannot be pushed as was asked for.
    #[error("{0}; merges are to be pushed because of --push-remote")]
    NotPushing(#[from] RemoteError),
    /// What was asked for to hold agents together is not there.
    #[error("{0}; take what there is with --containment auto")]
    NotContained(NotHad),
    /// A network of their own was asked for, and checks cannot have it.
    #[error("{0}; take what there is with --check-network auto")]
    NoNetwork(NotHad),
    /// Something else failed.
    #[error("{0}")]
    Failed(#[from] anyhow::Error),
}

/// Starts the service and serves until it is told to stop (SIGTERM, SIGINT). Agents go on when it has.
///
/// # Errors
/// As [`StartError`] says.
pub fn serve(config: Config, surroundings: &Surroundings) -> Result<(), StartError> {
    serve_with(config, surroundings, migrate::STEPS)
}

/// The same with a database that takes these steps: those of this program and others behind them, as one that is newer has.
///
/// # Errors
/// As [`StartError`] says.
pub fn serve_with(
    config: Config,
    surroundings: &Surroundings,
    steps: &[&str],
) -> Result<(), StartError> {
    raise_descriptors();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::new)?;
    let ended = runtime.block_on(serve_until_told(config, surroundings, steps));
    // What is still at work (a wait for an agent, the deletion of trash) goes on at the next start.
    runtime.shutdown_timeout(Duration::from_millis(200));
    // Only now may another server begin.
    ended.map(drop)
}

async fn serve_until_told(
    config: Config,
    around: &Surroundings,
    steps: &[&str],
) -> Result<Alone, StartError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(anyhow::Error::new)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(anyhow::Error::new)?;
    // Were it ignored, as it may be inherited, nobody could wait for a child (wait(2)).
    let _children = signal(SignalKind::child()).map_err(anyhow::Error::new)?;
    let address = SocketAddr::new(config.bind, config.port);
    let origins = config.allowed_origins.clone();
    let max_running = config.max_running;
    let (context, alone) = open(config, around, steps).await?;
    let context = Arc::new(context);
    context.failures.note_panics();
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| StartError::PortTaken { address, source })?;
    let port = listener.local_addr().map_err(anyhow::Error::new)?.port();
    let here = SocketAddr::new(address.ip(), port);
    context.url.get_or_init(|| format!("http://{here}"));
    let runner = Runner::new(context.clone());
    let app = Arc::new(App::new(runner.clone(), port));
    for warning in app.warnings() {
        tracing::warn!("{warning}");
    }
    runner.recover().await.map_err(anyhow::Error::new)?;
    let router = http::router(app, http::Guard::new(port, origins));
    announce(&context, address, port, max_running);
    tokio::spawn(gc_daily(context.clone()));
    tokio::spawn(pool::keep(context.clone()));
    tokio::spawn(mend_after_start(context.clone()));
    let looked_at = context.clone();
    tokio::spawn(async move {
        if let Err(error) = looked_at.look_for_left_out().await {
            tracing::warn!(
                error = format!("{error:#}"),
                "it is not known what worktrees do not have"
            );
        }
    });
    let watchdog = tokio::spawn(feed_watchdog(context.clone()));
    let closing = context.closing.clone();
    let served = http::serve(listener, router, async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop; agents go on");
        sd_notify::notify(&[sd_notify::NotifyState::Stopping]).ok();
        closing.cancel();
    })
    .await;
    watchdog.abort();
    let store = context.journal.store().clone();
    // What agents' drivers still write goes on in the log, which the next start takes up.
    let rested = tokio::task::spawn_blocking(move || store.rest()).await;
    if let Err(error) = rested {
        tracing::warn!(%error, "the database was not brought to rest");
    }
    match served {
        Ok(()) => Ok(alone),
        Err(error) => Err(StartError::Failed(error.into())),
    }
}

/// Says where the service is: a line on standard output for whoever started it, and a word to systemd.
fn announce(context: &Context, address: SocketAddr, port: u16, max_running: usize) {
    let address = SocketAddr::new(address.ip(), port);
    // Not `println!`, which panics where standard output is closed or a file on a full disk.
    let _unheard = writeln!(io::stdout(), "listening on http://{address}");
    tracing::info!(
        %address,
        repository = %context.repository.common_dir().display(),
        base = context.base,
        max_running,
        "ready: at most {max_running} agents work at a time"
    );
    sd_notify::notify(&[sd_notify::NotifyState::Ready]).ok();
}

/// Tells systemd that we live, as long as the database answers.
async fn feed_watchdog(context: Arc<Context>) {
    let Some(every) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut tick = tokio::time::interval(every / 2);
    loop {
        tick.tick().await;
        let store = context.journal.store().clone();
        let asked = tokio::task::spawn_blocking(move || store.read(crate::store::events::last_seq));
        if let Ok(Ok(_)) = asked.await {
            sd_notify::notify(&[sd_notify::NotifyState::Watchdog]).ok();
        }
    }
}

/// Opens everything that the service works with.
async fn open(
    mut config: Config,
    around: &Surroundings,
    steps: &[&str],
) -> Result<(Context, Alone), StartError> {
    let path = around.variable("PATH").unwrap_or_default();
    // Not its path: a newer program may be there by now, whose records this one could not read.
    let binary = PathBuf::from("/proc/self/exe");
    // Two processes that do not wait for each other. What git is lacking is told first.
    let (program, networks) = tokio::join!(
        git::Program::find(path.as_ref()),
        networks(&config, &binary)
    );
    let program = program?;
    let files = Files::below(config.state_root.clone());
    make(&config.state_root, "name another with --state-root")?;
    // Prompts, output and the agents' environment are nobody else's to read.
    let private = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(&config.state_root, private).map_err(anyhow::Error::new)?;
    let mut repository = Repository::open(program, &config.repo_root, &files.git_view())
        .await
        .map_err(|error| match error {
            OpenError::NotARepository(_) | OpenError::Unsupported { .. } => {
                StartError::NotARepository(error.to_string())
            }
            OpenError::Git(error) => StartError::Failed(error.into()),
        })?;
    if let Some(key) = &config.sign_key {
        let agent = around.variable("SSH_AUTH_SOCK").map(str::as_ref);
        let signing = Signing::with(key, path.as_ref(), agent)?;
        repository.sign_with(signing).await?;
    }
    if let Some(remote) = &config.push_remote {
        let agent = around.variable("SSH_AUTH_SOCK").map(str::as_ref);
        repository.push_to(remote, path.as_ref(), agent).await?;
    }
    let base = base_branch(&config, &repository).await?;
    make(&config.worktrees_root, "name another with --worktrees-root")?;
    config.worktrees_root = config
        .worktrees_root
        .canonicalize()
        .map_err(anyhow::Error::new)?;
    make(&files.uploads(), "name another with --state-root")?;
    let content = ContentStore::open(files.evidence()).map_err(anyhow::Error::new)?;
    let alone = alone_with(&config.db)
        .await
        .map_err(|source| StartError::NotWritable {
            path: config.db.clone(),
            source,
            advice: "name another with --db",
        })?
        .ok_or_else(|| StartError::InUse(config.db.clone()))?;
    // What a crash left half written was promised to nobody.
    if let Err(error) = content.clear_aside().and_then(|()| files.clear_uploads()) {
        tracing::warn!(%error, "half-written files of an earlier service stay");
    }
    let (whole, containment) = tokio::join!(whole(&config.db, steps), containment(&config, around));
    let store = whole.map_err(|source| match source {
        StoreError::TooNew { .. } => StartError::DatabaseNewer(source),
        StoreError::Damaged(why) => StartError::Damaged {
            path: config.db.clone(),
            why,
        },
        source => StartError::Database {
            path: config.db.clone(),
            source,
        },
    })?;
    let journal = Journal::open(store).map_err(|source| StartError::Database {
        path: config.db.clone(),
        source,
    })?;
    let containment = containment.map_err(StartError::NotContained)?;
    let claude = find_claude(&config.claude, path);
    let networks = networks.map_err(StartError::NoNetwork)?;
    let secret = files.token_secret();
    let tokens = AgentTokens::open(&secret).map_err(|source| StartError::NotWritable {
        path: secret,
        source,
        advice: "take it away if it is damaged: agents at work can no longer ask then",
    })?;
    let room = Room::of(&config, repository.common_dir());
    let check_slots = CheckSlots::new(config.max_checks);
    let pool = Pool::new(&config, &repository);
    let source = config.seed_source.as_deref();
    let source = source.or(repository.main_checkout());
    let seeds = Seeds::find(source, &config.worktrees_root);
    let context = Context {
        room,
        pool,
        seeds,
        check_slots,
        config,
        base,
        journal,
        repository,
        content,
        files,
        binary,
        program: around.program.clone(),
        url: OnceLock::new(),
        tokens,
        containment,
        networks,
        claude,
        environment: around.environment.clone(),
        closing: CancellationToken::new(),
        left_out: OnceLock::new(),
        definitions: Known::default(),
        growths: Growths::new(),
        streams: Streams::default(),
        lanes: Lanes::default(),
        failures: Failures::default(),
    };
    Ok((context, alone))
}

/// The database, opened and looked at on a thread of its own: others of the start go on beside it.
async fn whole(db: &Path, steps: &[&str]) -> Result<Store, StoreError> {
    let db = db.to_owned();
    let steps: Vec<String> = steps.iter().map(|step| (*step).to_owned()).collect();
    let opened = tokio::task::spawn_blocking(move || {
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        let store = Store::open_with(&db, &steps)?;
        store.verify()?;
        Ok(store)
    });
    opened.await.unwrap_or(Err(StoreError::Closed))
}

async fn base_branch(config: &Config, repository: &Repository) -> Result<String, StartError> {
    let base = match &config.base_branch {
        Some(name) => Some(name.clone()),
        None => repository
            .default_branch()
            .await
            .map_err(anyhow::Error::new)?,
    };
    let Some(base) = base else {
        return Err(StartError::NoSuchBase("master".to_owned()));
    };
    let missing = || StartError::NoSuchBase(base.clone());
    let name = RefName::branch(&base).map_err(|_| missing())?;
    if repository.is_symbolic(&name) {
        return Err(StartError::Failed(anyhow::anyhow!(
            "the base branch `{base}` is a symbolic ref; name the branch that it stands for with --base-branch"
        )));
    }
    match repository
        .resolve(&name)
        .await
        .map_err(anyhow::Error::new)?
    {
        Some(_) => Ok(base),
        None => Err(missing()),
    }
}

/// Makes the folder if it is not there, and sees that it can be written to.
fn make(folder: &Path, advice: &'static str) -> Result<(), StartError> {
    let not_writable = |source| StartError::NotWritable {
        path: folder.to_owned(),
        source,
        advice,
    };
    std::fs::create_dir_all(folder).map_err(not_writable)?;
    let probe = folder.join(format!(".probe-{}", uuid::Uuid::now_v7().simple()));
    std::fs::write(&probe, b"").map_err(not_writable)?;
    std::fs::remove_file(&probe).map_err(not_writable)
}
