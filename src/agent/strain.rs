//! What an attempt's end means when its processes were short of memory or of leave to start others.

use crate::run::{Exit, Failure, FailureCode, Limits, Notice, NoticeCode, Outcome, Strain};

/// The outcome with what the kernel counted, and what a person should know beside it.
///
/// An agent that was killed for want of memory, or failed after a part of it was, ran out of memory. One that finished
/// in spite of it (a build was killed, and done again) did not fail. What we ended by a limit or on request keeps that name.
#[must_use]
pub fn strained(
    outcome: Outcome,
    exit: Exit,
    strain: Strain,
    limits: &Limits,
) -> (Outcome, Vec<Notice>) {
    let mut notices = Vec::new();
    let Strain {
        oom_kills,
        tasks_refused,
    } = strain;
    let memory = match limits.max_memory_bytes {
        Some(bytes) => format!("its limit of {} MiB of memory", bytes >> 20),
        None => "the memory of the machine".to_owned(),
    };
    let killed = format!("the kernel killed {oom_kills} of its processes at {memory}");
    if oom_kills > 0 {
        notices.push(Notice::new(NoticeCode::OutOfMemory, killed.clone()));
    }
    let refused = format!("its limit on tasks was reached {tasks_refused} times (tasks_limit)");
    if tasks_refused > 0 {
        notices.push(Notice::new(NoticeCode::TasksLimit, refused.clone()));
    }
    let outcome = match outcome {
        Outcome::Failed(failure) if oom_kills > 0 && may_be_for_want(failure.code) => {
            let then = match exit {
                Exit::Unknown => "nobody saw how it ended".to_owned(),
                Exit::Code(_) | Exit::Signal(_) => failure.detail,
            };
            let detail = format!("{killed}; {then}");
            Outcome::Failed(Failure::new(FailureCode::OutOfMemory, detail))
        }
        Outcome::Failed(failure) if tasks_refused > 0 && may_be_for_want(failure.code) => {
            let detail = format!("{}; {refused}", failure.detail);
            Outcome::Failed(Failure::new(failure.code, detail))
        }
        other => other,
    };
    (outcome, notices)
}

/// Whether such an end may have come from being short of something: the others have a reason that was seen.
fn may_be_for_want(code: FailureCode) -> bool {
    matches!(
        code,
        FailureCode::Killed
            | FailureCode::CutOff
            | FailureCode::AgentError
            | FailureCode::ExitCode
            | FailureCode::Unknown
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(outcome: Outcome, exit: Exit, oom_kills: u64, tasks_refused: u64) -> String {
        let strain = Strain {
            oom_kills,
            tasks_refused,
        };
        let limits = Limits {
            max_memory_bytes: Some(64 << 20),
            ..Limits::default()
        };
        let (outcome, notices) = strained(outcome, exit, strain, &limits);
        let codes: Vec<_> = notices.iter().map(|notice| notice.code).collect();
        match outcome {
            Outcome::Finished => format!("finished {codes:?}"),
            Outcome::Failed(failure) => format!("{:?}: {} {codes:?}", failure.code, failure.detail),
        }
    }

    fn failed(code: FailureCode) -> Outcome {
        Outcome::Failed(Failure::new(code, "as seen"))
    }

    #[test]
    fn a_failure_after_a_kill_for_want_of_memory_is_out_of_memory_whatever_the_exit_says() {
        let killed = Exit::Signal(9);
        let ends = [
            judged(failed(FailureCode::Killed), killed, 1, 0),
            judged(failed(FailureCode::ExitCode), Exit::Code(2), 3, 0),
            judged(failed(FailureCode::Unknown), Exit::Unknown, 1, 0),
            judged(Outcome::Finished, Exit::Code(0), 2, 0),
            judged(failed(FailureCode::WallClockLimit), killed, 1, 0),
            judged(failed(FailureCode::Killed), killed, 0, 0),
        ];
        insta::assert_snapshot!(ends.join("\n"), @"
        OutOfMemory: the kernel killed 1 of its processes at its limit of 64 MiB of memory; as seen [OutOfMemory]
        OutOfMemory: the kernel killed 3 of its processes at its limit of 64 MiB of memory; as seen [OutOfMemory]
        OutOfMemory: the kernel killed 1 of its processes at its limit of 64 MiB of memory; nobody saw how it ended [OutOfMemory]
        finished [OutOfMemory]
        WallClockLimit: as seen [OutOfMemory]
        Killed: as seen []
        ");
    }

    #[test]
    fn refused_tasks_are_told_beside_the_failure() {
        let ends = [
            judged(failed(FailureCode::ExitCode), Exit::Code(1), 0, 5),
            judged(Outcome::Finished, Exit::Code(0), 0, 5),
            judged(failed(FailureCode::Stopped), Exit::Signal(2), 0, 5),
        ];
        insta::assert_snapshot!(ends.join("\n"), @"
        ExitCode: as seen; its limit on tasks was reached 5 times (tasks_limit) [TasksLimit]
        finished [TasksLimit]
        Stopped: as seen [TasksLimit]
        ");
    }
}
