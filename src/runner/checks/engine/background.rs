//! A command that goes on: it is started, its health is waited for, and it is kept for the commands after it.
//!
//! A URL that answers before the start is somebody else's, and shows nothing. A command that ends in `&` would leave its
//! program to nobody as soon as its shell has ended, and with it the program's exit code; so the `&` is left away, and what
//! the shell would have left running is what the supervisor has.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Ordered;
use super::folder::RoundFolder;
use super::foreground::Command;
use super::launch::{self, Start};
use crate::dod::check::{CheckSpec, End};
use crate::process::{Answer, Network, Supervised};
use crate::runner::Context;

/// Between two questions about its health.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// A command that goes on.
pub(super) struct Background {
    pub(super) ordered: Ordered,
    pub(super) supervised: Supervised,
    pub(super) number: usize,
    /// Milliseconds until its health was seen.
    pub(super) duration_ms: u64,
}

/// The URL of its health, with the port filled in.
pub(super) fn url(spec: &CheckSpec, port: u16) -> String {
    let port = port.to_string();
    let url = spec.health.as_deref().unwrap_or_default();
    url.replace("${PORT}", &port).replace("$PORT", &port)
}

/// Whether its health is on the port that is given.
pub(super) fn names_port(spec: &CheckSpec) -> bool {
    let url = spec.health.as_deref().unwrap_or_default();
    url.contains("$PORT") || url.contains("${PORT}")
}

/// The command without the `&` that it ends in.
fn without_ampersand(cmd: &str) -> &str {
    let trimmed = cmd.trim_end();
    match trimmed.strip_suffix('&') {
        // `a &&` is half a command, `\&` a character.
        Some(rest) if !rest.ends_with(['&', '\\']) => rest,
        _ => cmd,
    }
}

/// Starts it and waits until its health answers with a 2xx.
///
/// # Errors
/// What it came to instead; nothing of it is left then.
pub(super) async fn start(
    context: &Context,
    folder: &RoundFolder,
    command: Command<'_>,
    network: &mut Network,
    url: &str,
    stop: &CancellationToken,
) -> Result<Supervised, End> {
    let not_asked = |error: std::io::Error| End::NotStarted {
        detail: format!("its health cannot be asked for: {error}"),
    };
    match network.get(url).await.map_err(not_asked)? {
        Answer::Nobody(_) => {}
        answer => {
            return Err(End::PortInUse {
                detail: format!("before the start, {url} was asked: {}", answer.sentence()),
            });
        }
    }
    let spec = command.spec;
    let until = Instant::now() + Duration::from_secs(spec.timeout_s());
    let start = Start {
        run: command.run,
        number: command.number,
        cmd: without_ampersand(&spec.cmd),
        cwd: &command.checkout,
        variables: command.variables,
        network: command.network,
        timeout_s: None,
    };
    let supervised = launch::start(context, folder, start).await?;
    let came_to = loop {
        let answer = network.get(url).await;
        tokio::select! {
            biased;
            () = supervised.gone() => break launch::named(&supervised.ended().await),
            () = stop.cancelled() => break End::Cancelled,
            () = std::future::ready(()), if answer.as_ref().is_ok_and(Answer::is_good) => {
                return Ok(supervised);
            }
            () = tokio::time::sleep(ASK_AGAIN) => {}
        }
        match answer {
            Ok(answer) if Instant::now() >= until => {
                let last = answer.sentence();
                break End::NeverHealthy { last };
            }
            Ok(_) => {}
            Err(error) => break not_asked(error),
        }
    };
    launch::end(&supervised).await;
    Err(came_to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ampersand_at_the_end_is_left_away_and_nothing_else() {
        assert_eq!(without_ampersand("./app --port 1 & \n"), "./app --port 1 ");
        assert_eq!(without_ampersand("a & b &"), "a & b ");
        for kept in ["./app", "a &&", r"echo \&", "a & b", "echo '&'", "a & # b"] {
            assert_eq!(without_ampersand(kept), kept);
        }
    }

    #[test]
    fn the_port_is_filled_in_both_ways_of_writing_it() {
        let of = |health: &str| CheckSpec {
            health: Some(health.to_owned()),
            ..CheckSpec::of("x")
        };
        assert_eq!(url(&of("http://[::1]:$PORT/a"), 81), "http://[::1]:81/a");
        assert_eq!(url(&of("http://[::1]:${PORT}/a"), 81), "http://[::1]:81/a");
        assert!(names_port(&of("http://localhost:$PORT")));
        assert!(!names_port(&of("http://localhost:8486")));
    }
}
