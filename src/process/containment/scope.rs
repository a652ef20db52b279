//! Transient scopes of the user's systemd: one an attempt, asked for over D-Bus.
//!
//! A scope is what is left of the service's cgroup when systemd restarts or stops it: nothing of it is touched. See
//! org.freedesktop.systemd1(5) (`StartTransientUnit`, `JobRemoved`) and systemd.scope(5).
//!
//! Every call has a budget: a bus or a systemd that is silent costs an attempt two seconds, and those of the next
//! half minute nothing.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tokio::sync::Mutex;
use zbus::{Connection, MessageStream, OwnedObjectPath, Variant};

use super::cgroup::Cgroup;
use super::hierarchy;
use crate::process::records::LaunchLimits;

/// Who answers for systemd on the bus of a user.
const SYSTEMD: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
/// The slice of all our scopes, and its folder below that of the user's systemd: a dash is a level.
const SLICE: &str = "app-agent_runner.slice";
const SLICE_FOLDER: &str = "app.slice/app-agent_runner.slice";
/// How long systemd may take at the start of the service. A few milliseconds are usual.
const GREETING_BUDGET: Duration = Duration::from_secs(1);
/// How long it may take for a scope.
const SCOPE_BUDGET: Duration = Duration::from_secs(2);
/// For how long nothing is asked of it after it failed.
const PAUSE: Duration = Duration::from_secs(30);

/// Why there is no scope.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoScope {
    /// The bus or systemd refused.
    #[error("systemd refused: {0}")]
    Refused(#[from] zbus::Error),
    /// Nobody answered.
    #[error("systemd gave no answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// The job of the scope did not come to its good end.
    #[error("systemd's job for the scope ended with `{0}`")]
    Job(String),
    /// The connection ended before the job did.
    #[error("the bus is gone")]
    BusGone,
    /// The scope has no cgroup that can be found.
    #[error("the scope's cgroup: {0}")]
    Cgroup(String),
    /// It failed a moment ago.
    #[error("systemd failed a moment ago ({0}), and is asked again later")]
    Paused(String),
}

/// The user's systemd.
#[derive(Debug)]
pub(super) struct Scopes {
    /// The address of the bus.
    bus: String,
    /// What systemd calls its version.
    pub(super) version: String,
    /// The folder of the cgroup that systemd has for the user.
    pub(super) root: PathBuf,
    link: Mutex<Link>,
}

/// The connection, or since when there is none and why.
#[derive(Debug)]
enum Link {
    Up(Connection),
    Down { until: Instant, why: String },
}

impl Scopes {
    /// Finds systemd on this bus; the text says why it is not to be used.
    pub(super) async fn find(bus: &str) -> Result<Scopes, String> {
        let found = async {
            let connection = connect(bus).await?;
            let version = version(&connection).await?;
            let root = root(&connection).await?;
            Ok::<_, NoScope>((connection, version, root))
        };
        let (connection, version, root) = within(GREETING_BUDGET, found)
            .await
            .map_err(|why| format!("{bus}: {why}"))?;
        Ok(Scopes {
            bus: bus.to_owned(),
            version,
            root,
            link: Mutex::new(Link::Up(connection)),
        })
    }

    /// The folder of the cgroups of all our scopes; there is none before the first.
    pub(super) fn folder(&self) -> PathBuf {
        self.root.join(SLICE_FOLDER)
    }

    /// Puts the process into a new scope of this name, which has these limits.
    pub(super) async fn start(
        &self,
        name: &str,
        description: &str,
        limits: &LaunchLimits,
        pid: u32,
    ) -> Result<Cgroup, NoScope> {
        let asked = async || {
            let connection = self.connection().await?;
            let properties = properties(description, limits, pid);
            within(SCOPE_BUDGET, start(&connection, name, properties)).await
        };
        let mut answer = asked().await;
        if matches!(answer, Err(NoScope::Refused(_) | NoScope::BusGone)) {
            // The bus or systemd may have been started anew since the last scope: on a new connection, once.
            self.hang_up(Instant::now(), "the connection broke").await;
            answer = asked().await;
        }
        match answer {
            Ok(()) => {}
            Err(paused @ NoScope::Paused(_)) => return Err(paused),
            Err(error) => {
                self.hang_up(Instant::now() + PAUSE, &error.to_string())
                    .await;
                return Err(error);
            }
        }
        let folder = hierarchy::folder_of(pid).map_err(NoScope::Cgroup)?;
        if !folder.ends_with(name) {
            let found = format!("the process is in {} instead", folder.display());
            return Err(NoScope::Cgroup(found));
        }
        Cgroup::of(&folder).map_err(|e| NoScope::Cgroup(format!("{}: {e}", folder.display())))
    }

    async fn hang_up(&self, until: Instant, why: &str) {
        let why = why.to_owned();
        *self.link.lock().await = Link::Down { until, why };
    }

    /// The connection that there is, or a new one once the pause after a failure is over.
    async fn connection(&self) -> Result<Connection, NoScope> {
        let mut link = self.link.lock().await;
        match &*link {
            Link::Up(connection) => return Ok(connection.clone()),
            Link::Down { until, why } if Instant::now() < *until => {
                return Err(NoScope::Paused(why.clone()));
            }
            Link::Down { .. } => {}
        }
        let connection = within(SCOPE_BUDGET, async { Ok(connect(&self.bus).await?) }).await?;
        *link = Link::Up(connection.clone());
        Ok(connection)
    }
}

async fn within<T>(
    budget: Duration,
    work: impl Future<Output = Result<T, NoScope>>,
) -> Result<T, NoScope> {
    let ended = tokio::time::timeout(budget, work).await;
    ended.unwrap_or(Err(NoScope::Silent(budget)))
}

async fn connect(bus: &str) -> zbus::Result<Connection> {
    let connection = zbus::connection::Builder::address(bus).build().await?;
    // Without it systemd keeps its signals to itself.
    connection
        .call_method(Some(SYSTEMD), PATH, Some(MANAGER), "Subscribe", &())
        .await?;
    Ok(connection)
}

async fn version(connection: &Connection) -> zbus::Result<String> {
    let properties = Some("org.freedesktop.DBus.Properties");
    let asked = (MANAGER, "Version");
    let answer = connection
        .call_method(Some(SYSTEMD), PATH, properties, "Get", &asked)
        .await?;
    let body = answer.body();
    match body.deserialize::<Variant<'_>>()? {
        Variant::Str(version) => Ok(version.to_string()),
        other => Ok(format!("{other:?}")),
    }
}

/// The folder of the user's cgroup: systemd itself is in `init.scope` there.
async fn root(connection: &Connection) -> Result<PathBuf, NoScope> {
    let bus = "org.freedesktop.DBus";
    let answer = connection
        .call_method(
            Some(bus),
            "/org/freedesktop/DBus",
            Some(bus),
            "GetConnectionUnixProcessID",
            &(SYSTEMD),
        )
        .await?;
    let pid: u32 = answer.body().deserialize()?;
    let own = hierarchy::folder_of(pid).map_err(NoScope::Cgroup)?;
    if !own.join("cgroup.kill").exists() {
        let old = format!("{} has no cgroup.kill (Linux 5.14)", own.display());
        return Err(NoScope::Cgroup(old));
    }
    match (own.ends_with("init.scope"), own.parent()) {
        (true, Some(root)) => Ok(root.to_owned()),
        _ => Err(NoScope::Cgroup(format!(
            "systemd keeps its scopes outside of cgroup2 (it is in {})",
            own.display()
        ))),
    }
}

/// Asks for the scope and waits for the end of its job.
async fn start(
    connection: &Connection,
    name: &str,
    properties: Vec<(&str, Variant<'_>)>,
) -> Result<(), NoScope> {
    // Armed before the call: the job may have ended before its path is known.
    let removed = format!("type='signal',interface='{MANAGER}',member='JobRemoved',path='{PATH}'");
    let mut removed = MessageStream::for_match_rule(removed.as_str(), connection, None).await?;
    let others: Vec<(&str, Vec<(&str, Variant<'_>)>)> = Vec::new();
    let asked = (name, "fail", properties, others);
    let answer = connection
        .call_method(
            Some(SYSTEMD),
            PATH,
            Some(MANAGER),
            "StartTransientUnit",
            &asked,
        )
        .await?;
    let job: OwnedObjectPath = answer.body().deserialize()?;
    while let Some(signal) = removed.next().await {
        let signal = signal?;
        let body = signal.body();
        let told: Result<(u32, OwnedObjectPath, String, String), _> = body.deserialize();
        let Ok((_, ended, _, result)) = told else {
            continue;
        };
        if ended == job {
            return match result.as_str() {
                "done" => Ok(()),
                _ => Err(NoScope::Job(result)),
            };
        }
    }
    Err(NoScope::BusGone)
}

/// `OOMPolicy` is not among them: with `Delegate` it is `continue`, and systemd before 253 does not know it for scopes.
fn properties<'a>(
    description: &'a str,
    limits: &LaunchLimits,
    pid: u32,
) -> Vec<(&'static str, Variant<'a>)> {
    let mut all = vec![
        ("Description", Variant::from(description)),
        ("Slice", Variant::from(SLICE)),
        ("PIDs", Variant::from(vec![pid])),
        // The cgroup below the scope, in which the agent is, is ours to make.
        ("Delegate", Variant::from(true)),
        // A scope that failed (somebody ran out of memory) goes like any other.
        ("CollectMode", Variant::from("inactive-or-failed")),
    ];
    let numbers = [
        ("MemoryMax", limits.memory_bytes),
        ("TasksMax", limits.tasks.map(u64::from)),
        ("CPUWeight", limits.cpu_weight.map(u64::from)),
    ];
    let asked = numbers
        .into_iter()
        .filter_map(|(name, value)| Some((name, Variant::from(value?))));
    all.extend(asked);
    all
}

/// Where the bus of this user is: what the environment says, or where systemd puts it.
#[must_use]
pub fn bus_address(named: Option<&str>, runtime_dir: Option<&str>) -> Option<String> {
    named.map(str::to_owned).or_else(|| {
        let bus = Path::new(runtime_dir?).join("bus");
        bus.exists().then(|| format!("unix:path={}", bus.display()))
    })
}
