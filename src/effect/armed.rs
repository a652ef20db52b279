//! What happens at an effect in a build for tests.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

use super::{Effect, Struck};

/// What `fail` reads.
const POINTS: &str = "FAILPOINTS";
/// The file that is made when a strike happens.
const ONCE: &str = "FAILPOINTS_ONCE";
/// The file of passages.
const TRACE: &str = "FAILPOINTS_TRACE";
/// The hidden commands that have names of their own: they pass the same records as the service does.
const ROLES: [&str; 2] = ["supervise", "exec-gate"];
/// Long enough for everything else to overtake.
const DELAY: Duration = Duration::from_millis(300);

/// What a strike does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Abort,
    Error,
    Delay,
}

/// Before the names of what a supervisor or a gate passes: `supervise:record.write`. The service's have nothing.
static ROLE: OnceLock<String> = OnceLock::new();

pub(super) fn arm() {
    let role = std::env::args()
        .nth(1)
        .filter(|word| ROLES.contains(&word.as_str()));
    // Armed twice, it is as it is.
    let _ = ROLE.set(role.map(|role| format!("{role}:")).unwrap_or_default());
    // It would disarm when it is dropped.
    std::mem::forget(fail::FailScenario::setup());
}

pub(super) fn variables() -> Vec<(&'static str, OsString)> {
    let set = |name| Some((name, variable(name)?));
    [POINTS, ONCE, TRACE].into_iter().filter_map(set).collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "strikes are no setting: no release has them"
)]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

pub(super) fn begins(effect: Effect) -> Result<(), Struck> {
    match struck(effect) {
        Some(Action::Delay) => std::thread::sleep(DELAY),
        other => carry_out(effect, other)?,
    }
    Ok(())
}

pub(super) async fn awaits(effect: Effect) -> Result<(), Struck> {
    match struck(effect) {
        Some(Action::Delay) => tokio::time::sleep(DELAY).await,
        other => carry_out(effect, other)?,
    }
    Ok(())
}

fn carry_out(effect: Effect, action: Option<Action>) -> Result<(), Struck> {
    match action {
        Some(Action::Abort) => {
            // As by somebody else: nothing is unwound and nothing flushed. It does not come back.
            let _ = kill_process(getpid(), Signal::KILL);
            std::process::abort()
        }
        Some(Action::Error) => Err(Struck(effect)),
        Some(Action::Delay) | None => Ok(()),
    }
}

/// Counts the passage; what is to happen at it.
fn struck(effect: Effect) -> Option<Action> {
    let role = ROLE.get().map_or("", String::as_str);
    let name = format!("{role}{}", effect.name());
    if let Some(path) = variable(TRACE) {
        let line = format!("{} {name}\n", getpid());
        let file = OpenOptions::new().create(true).append(true).open(path);
        // One write, so that lines of several processes stay whole.
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        written.expect("a test's own folder can be written to");
    }
    let action = fail::eval(&name, |word| match word.as_deref() {
        Some("abort") => Action::Abort,
        Some("error") => Action::Error,
        Some("delay") => Action::Delay,
        other => panic!("{POINTS}: {name} has no action {other:?}"),
    })?;
    match variable(ONCE) {
        Some(path) => {
            let first = OpenOptions::new().write(true).create_new(true).open(path);
            first.is_ok().then_some(action)
        }
        None => Some(action),
    }
}
