//! One command under a supervisor of its own, and how it ended.

use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::environment::Variables;
use super::folder::RoundFolder;
use crate::dod::check::End;
use crate::process::{
    self, Ended, ExitRecord, Killed, Launch, LaunchLimits, StopSignal, StopStep, Supervised,
};
use crate::run::{AttemptId, EndedBy, Exit, RunId};
use crate::runner::Context;

/// How long a command has between the kind word and the end.
const GRACE_MS: u64 = 2_000;
/// How much later than its supervisor we end one whose time is over: only if that could not.
const SLACK: Duration = Duration::from_secs(20);

/// A command to be started.
pub(super) struct Start<'a> {
    pub(super) run: RunId,
    /// Which of the round it is: its folder and its log.
    pub(super) number: usize,
    pub(super) cmd: &'a str,
    pub(super) cwd: &'a Path,
    pub(super) variables: Variables,
    pub(super) network: Option<u32>,
    /// Seconds until its supervisor ends it.
    pub(super) timeout_s: Option<u64>,
}

/// Starts it: the error is what it came to.
pub(super) async fn start(
    context: &Context,
    folder: &RoundFolder,
    start: Start<'_>,
) -> Result<Supervised, End> {
    let log = folder.log(start.number);
    let limits = &context.config.limits;
    let id = Uuid::now_v7();
    let launch = Launch {
        run: start.run,
        attempt: AttemptId(id),
        number: number_of(id),
        argv: ["/bin/sh", "-c", start.cmd].map(str::to_owned).to_vec(),
        env: start.variables,
        cwd: start.cwd.to_owned(),
        stdin: "/dev/null".into(),
        output: log.clone(),
        stderr: log,
        network: start.network,
        limits: LaunchLimits {
            wall_clock_ms: start.timeout_s.map(|s| s.saturating_mul(1000)),
            idle_ms: None,
            output_bytes: limits.max_output_bytes,
            memory_bytes: limits.max_memory_bytes,
            tasks: limits.max_tasks,
            cpu_weight: limits.cpu_weight,
        },
        stop: vec![StopStep {
            signal: StopSignal::Term,
            grace_ms: GRACE_MS,
        }],
    };
    let dir = folder.launch(start.number);
    process::start(&context.binary, &dir, &launch, &context.containment)
        .await
        .map_err(|error| End::NotStarted {
            detail: format!("{:#}", anyhow::Error::new(error)),
        })
}

/// Attempts of agents are numbered from 1; a command's number is from the upper half, and its own while it runs.
fn number_of(id: Uuid) -> u32 {
    let [.., a, b, c, d] = id.into_bytes();
    u32::from_be_bytes([a, b, c, d]) | 1 << 31
}

/// Waits for its end; ends it when it is told to, or when its supervisor does not.
pub(super) async fn ended(
    supervised: &Supervised,
    timeout_s: u64,
    stop: &CancellationToken,
) -> End {
    let limit = Duration::from_secs(timeout_s) + SLACK;
    tokio::select! {
        () = supervised.gone() => named(&supervised.ended().await),
        () = stop.cancelled() => {
            end(supervised).await;
            End::Cancelled
        }
        () = tokio::time::sleep(limit) => {
            tracing::warn!("the supervisor of a check holds no limit; the check is ended from here");
            supervised.end_by_force().await;
            End::TimedOut
        }
    }
}

/// Ends it now, with all that it started.
pub(super) async fn end(supervised: &Supervised) {
    match supervised.kill(EndedBy::Stop).await {
        Killed::Asked(_) => {
            if tokio::time::timeout(SLACK, supervised.gone())
                .await
                .is_err()
            {
                supervised.end_by_force().await;
            }
        }
        Killed::ByForce { because, swept } => {
            tracing::warn!(%because, swept, "the supervisor of a check did not answer and was killed");
        }
    }
    supervised.ended().await;
}

/// What a check's end is called.
pub(super) fn named(ended: &Ended) -> End {
    let record = match ended {
        Ended::Recorded(record) => record,
        Ended::Lost(lost) => {
            return End::Lost {
                detail: lost.why.clone(),
            };
        }
    };
    if let Some(refused) = &record.refused {
        let detail = refused.to_string();
        return End::NotStarted { detail };
    }
    match record.ended_by {
        EndedBy::WallClock => End::TimedOut,
        EndedBy::OutputSize => End::TooMuchOutput,
        EndedBy::Stop | EndedBy::Idle | EndedBy::Lingering => End::Cancelled,
        EndedBy::Itself => by_itself(record),
    }
}

fn by_itself(record: &ExitRecord) -> End {
    match record.exit {
        Exit::Code(0) => End::Exited { code: 0 },
        // Whatever the shell makes of it.
        _ if record.strain.oom_kills > 0 => End::OutOfMemory,
        Exit::Code(code) => End::Exited { code },
        Exit::Signal(signal) => End::Signalled { signal },
        Exit::Unknown => End::Lost {
            detail: "its supervisor did not see how it ended".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Lost, Refusal, RefusedAt};
    use crate::run::Strain;

    fn record(exit: Exit, ended_by: EndedBy, oom_kills: u64) -> ExitRecord {
        ExitRecord {
            exit,
            ended_by,
            ended_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            duration_ms: 1,
            swept: 0,
            left: 0,
            output_from: 0,
            output_to: 0,
            max_rss_kib: 0,
            user_ms: 0,
            system_ms: 0,
            refused: None,
            strain: Strain {
                oom_kills,
                tasks_refused: 0,
            },
        }
    }

    #[test]
    fn every_end_has_its_own_name() {
        let killed = Exit::Signal(9);
        for (exit, ended_by, oom_kills, expected) in [
            (Exit::Code(3), EndedBy::Itself, 0, End::Exited { code: 3 }),
            (killed, EndedBy::Itself, 0, End::Signalled { signal: 9 }),
            (killed, EndedBy::Itself, 1, End::OutOfMemory),
            // What the shell says of it.
            (Exit::Code(137), EndedBy::Itself, 1, End::OutOfMemory),
            // A part of it was killed, and it coped.
            (Exit::Code(0), EndedBy::Itself, 1, End::Exited { code: 0 }),
            (killed, EndedBy::WallClock, 0, End::TimedOut),
            // It said goodbye when it was asked to.
            (Exit::Code(0), EndedBy::WallClock, 0, End::TimedOut),
            (killed, EndedBy::OutputSize, 0, End::TooMuchOutput),
            (killed, EndedBy::Stop, 0, End::Cancelled),
        ] {
            let ended = Ended::Recorded(record(exit, ended_by, oom_kills));
            assert_eq!(named(&ended), expected, "{exit:?} {ended_by:?}");
        }
    }

    #[test]
    fn what_nobody_saw_is_no_end_of_its_own() {
        let unseen = Ended::Recorded(record(Exit::Unknown, EndedBy::Itself, 0));
        let lost = Ended::Lost(Lost {
            why: "torn".to_owned(),
            swept: 0,
            strain: Strain::default(),
        });
        for ended in [unseen, lost] {
            assert!(matches!(named(&ended), End::Lost { .. }), "{ended:?}");
        }
        let refused = Ended::Recorded(ExitRecord {
            refused: Some(Refusal {
                at: RefusedAt::Exec,
                errno: 2,
                text: "/bin/sh".to_owned(),
            }),
            ..record(Exit::Unknown, EndedBy::Itself, 0)
        });
        assert!(matches!(named(&refused), End::NotStarted { .. }));
    }
}
