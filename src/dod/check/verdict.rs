//! Whether a check passed: a pure judgement of how it ended, what it printed and what it reported.
//!
//! ```text
//! could not be run        not_found 127 · not_executable 126 · not_started
//! did not end by itself   timed_out · killed · out_of_memory · too_much_output · cancelled · unknown
//! ended with another      exit_code
//! ended with 0, but       tests_failed · no_tests · too_few_tests · report_missing · report_unreadable
//! in the background       ended_early · never_healthy · port_in_use
//! on the base             passed_on_base · not_red
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{CheckSpec, Counts};

/// Why a check did not pass. Stable: clients match on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailedCode {
    /// The shell could not be started.
    NotStarted,
    /// 127: the command, or a command in it, is not there.
    NotFound,
    /// 126: the command is there and cannot be executed.
    NotExecutable,
    /// It was still running when its time was over.
    TimedOut,
    /// A signal ended it.
    Killed,
    /// The system ended it for want of memory.
    OutOfMemory,
    /// It printed more than an attempt may.
    TooMuchOutput,
    /// The service was told to stop it.
    Cancelled,
    /// It ran, and nobody knows how it ended.
    Unknown,
    /// It ended with another code than 0.
    ExitCode,
    /// It ended with 0, but what it printed or reported has failed tests.
    TestsFailed,
    /// It ended with 0, and its test runner ran no test.
    NoTests,
    /// It ran fewer tests than the item asks for, or told no number.
    TooFewTests,
    /// The report that it should have written is not there.
    ReportMissing,
    /// The report cannot be read.
    ReportUnreadable,
    /// The command in the background ended before its health was seen.
    EndedEarly,
    /// The health URL gave no 2xx in time.
    NeverHealthy,
    /// The health URL answered before the command was started.
    PortInUse,
    /// `red_green`: it passed on the base as well, so it shows nothing.
    PassedOnBase,
    /// `red_green`: it failed on the base, but not by its own verdict.
    NotRed,
}

impl fmt::Display for FailedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name that it has in JSON.
        self.serialize(f)
    }
}

/// How a check's process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum End {
    /// By itself, with this code.
    Exited {
        /// The code.
        code: i32,
    },
    /// By this signal.
    Signalled {
        /// The signal's number.
        signal: i32,
    },
    /// Its time was over.
    TimedOut,
    /// For want of memory.
    OutOfMemory,
    /// It printed more than it may.
    TooMuchOutput,
    /// It ran, and nobody saw its end.
    Lost {
        /// What is missing.
        detail: String,
    },
    /// The service stopped it.
    Cancelled,
    /// It could not be started.
    NotStarted {
        /// What the system said.
        detail: String,
    },
    /// In the background: its health answered with a 2xx, and it was stopped.
    Healthy,
    /// In the background: its health did not answer in time.
    NeverHealthy {
        /// The last answer, if there was one.
        last: String,
    },
    /// In the background: the URL answered before it was started.
    PortInUse {
        /// Who answered, as far as it is known.
        detail: String,
    },
}

/// What became of the report that a check should write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// None is asked for.
    NotAsked,
    /// There is none at its path.
    Missing,
    /// It cannot be read.
    Unreadable(String),
    /// What it says.
    Read(Counts),
}

/// Why a check did not pass, for programs and for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Failed {
    /// The stable name.
    pub code: FailedCode,
    /// One sentence.
    pub detail: String,
}

/// What came of a check: nothing against it, or why it did not pass.
pub type Verdict = Result<(), Failed>;

fn failed(code: FailedCode, detail: impl Into<String>) -> Verdict {
    Err(Failed {
        code,
        detail: detail.into(),
    })
}

/// Judges one end. `counted` is what the output's summaries say.
///
/// # Errors
/// Why it did not pass.
pub fn judge(spec: &CheckSpec, end: &End, counted: Option<Counts>, report: &Report) -> Verdict {
    of_end(spec, end)?;
    let reported = match report {
        Report::NotAsked => None,
        Report::Missing => {
            let path = spec.junit.as_deref().unwrap_or_default();
            let detail = format!("it ended with 0, and wrote no report at `{path}`");
            return failed(FailedCode::ReportMissing, detail);
        }
        Report::Unreadable(why) => {
            let detail = format!("its report cannot be read: {why}");
            return failed(FailedCode::ReportUnreadable, detail);
        }
        Report::Read(counts) => Some(*counts),
    };
    // A report tells the same tests as a summary: the two are not added up.
    let told = [counted, reported].into_iter().flatten();
    if let Some(failures @ 1..) = told.clone().map(|c| c.failed).max() {
        let detail = format!("it ended with 0, but {failures} of its tests failed");
        return failed(FailedCode::TestsFailed, detail);
    }
    match (told.map(|c| c.ran()).max(), spec.min_tests) {
        (Some(0), _) => failed(FailedCode::NoTests, "it ended with 0, but ran no test"),
        (None, Some(least)) => failed(
            FailedCode::TooFewTests,
            format!(
                "at least {least} tests must run, and it told no number; let it write a JUnit report and name that in `junit`"
            ),
        ),
        (Some(ran), Some(least)) if ran < least => failed(
            FailedCode::TooFewTests,
            format!("{ran} tests ran, and at least {least} must"),
        ),
        _ => Ok(()),
    }
}

/// What the end alone says against it.
fn of_end(spec: &CheckSpec, end: &End) -> Verdict {
    let seconds = spec.timeout_s();
    let early = spec.is_background();
    let (code, detail) = match end {
        End::Exited { code: 0 } if !early => return Ok(()),
        End::Healthy => return Ok(()),
        End::Exited { code: 126 } => (
            FailedCode::NotExecutable,
            "the command cannot be executed (126)".to_owned(),
        ),
        End::Exited { code: 127 } => (
            FailedCode::NotFound,
            "a command is not found (127)".to_owned(),
        ),
        End::Exited { code } if early => (
            FailedCode::EndedEarly,
            format!("it ended with {code} before its health was seen; it must go on running"),
        ),
        // What the shell says of a command that a signal ended.
        End::Exited {
            code: code @ 129..=192,
        } => (
            FailedCode::Killed,
            format!("signal {} ended a command ({code})", code - 128),
        ),
        End::Exited { code } => (FailedCode::ExitCode, format!("it ended with {code}")),
        End::Signalled { signal } => (FailedCode::Killed, format!("signal {signal} ended it")),
        End::TimedOut => (
            FailedCode::TimedOut,
            format!("it was still running after {seconds} s"),
        ),
        End::OutOfMemory => (
            FailedCode::OutOfMemory,
            "the system ended it for want of memory".to_owned(),
        ),
        End::TooMuchOutput => (
            FailedCode::TooMuchOutput,
            "it printed more than it may".to_owned(),
        ),
        End::Lost { detail } => (
            FailedCode::Unknown,
            format!("nobody knows how it ended: {detail}"),
        ),
        End::Cancelled => (FailedCode::Cancelled, "it was stopped".to_owned()),
        End::NotStarted { detail } => (FailedCode::NotStarted, detail.clone()),
        End::NeverHealthy { last } => (
            FailedCode::NeverHealthy,
            format!("its health gave no 2xx within {seconds} s: {last}"),
        ),
        End::PortInUse { detail } => (FailedCode::PortInUse, detail.clone()),
    };
    failed(code, detail)
}

/// `red_green`: what the base's end makes of a check that passed on the head.
///
/// # Errors
/// The base's end does not show that the check can fail.
pub fn judge_red(on_base: &Verdict) -> Verdict {
    match on_base {
        Ok(()) => failed(
            FailedCode::PassedOnBase,
            "it passes on the base as well, so it does not show what the work has changed",
        ),
        Err(Failed {
            code: FailedCode::ExitCode | FailedCode::TestsFailed,
            ..
        }) => Ok(()),
        Err(other) => failed(
            FailedCode::NotRed,
            format!(
                "on the base it did not fail by its own verdict: {}",
                other.detail
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREEN: End = End::Exited { code: 0 };

    fn counts(passed: u64, failed: u64) -> Option<Counts> {
        Some(Counts {
            passed,
            failed,
            ..Counts::default()
        })
    }

    fn code(verdict: &Verdict) -> Option<FailedCode> {
        verdict.as_ref().err().map(|failed| failed.code)
    }

    #[test]
    fn only_an_end_with_0_passes() {
        let spec = CheckSpec::of("x");
        let unstarted = End::NotStarted {
            detail: "no".to_owned(),
        };
        let lost = End::Lost {
            detail: "no".to_owned(),
        };
        for (end, expected) in [
            (GREEN, None),
            (End::Exited { code: 1 }, Some(FailedCode::ExitCode)),
            (End::Exited { code: 126 }, Some(FailedCode::NotExecutable)),
            (End::Exited { code: 127 }, Some(FailedCode::NotFound)),
            (End::Exited { code: 137 }, Some(FailedCode::Killed)),
            (End::Signalled { signal: 9 }, Some(FailedCode::Killed)),
            (End::TimedOut, Some(FailedCode::TimedOut)),
            (End::OutOfMemory, Some(FailedCode::OutOfMemory)),
            (End::TooMuchOutput, Some(FailedCode::TooMuchOutput)),
            (End::Cancelled, Some(FailedCode::Cancelled)),
            (lost, Some(FailedCode::Unknown)),
            (unstarted, Some(FailedCode::NotStarted)),
        ] {
            let verdict = judge(&spec, &end, counts(3, 0), &Report::NotAsked);
            assert_eq!(code(&verdict), expected, "{end:?}");
        }
    }

    #[test]
    fn an_end_with_0_that_shows_nothing_does_not_pass() {
        let plain = CheckSpec::of("x");
        let junit = CheckSpec {
            junit: Some("r.xml".to_owned()),
            ..plain.clone()
        };
        let least = CheckSpec {
            min_tests: Some(2),
            ..plain.clone()
        };
        let read = |passed, failed| Report::Read(counts(passed, failed).unwrap());
        let torn = Report::Unreadable("no".to_owned());
        for (spec, counted, report, expected) in [
            (&plain, None, Report::NotAsked, None),
            (
                &plain,
                counts(0, 0),
                Report::NotAsked,
                Some(FailedCode::NoTests),
            ),
            (
                &plain,
                counts(2, 1),
                Report::NotAsked,
                Some(FailedCode::TestsFailed),
            ),
            (
                &junit,
                None,
                Report::Missing,
                Some(FailedCode::ReportMissing),
            ),
            (&junit, None, torn, Some(FailedCode::ReportUnreadable)),
            (&junit, None, read(2, 1), Some(FailedCode::TestsFailed)),
            (&junit, None, read(0, 0), Some(FailedCode::NoTests)),
            (&junit, counts(2, 0), read(2, 0), None),
            (
                &junit,
                counts(2, 1),
                read(2, 0),
                Some(FailedCode::TestsFailed),
            ),
            (
                &least,
                None,
                Report::NotAsked,
                Some(FailedCode::TooFewTests),
            ),
            (
                &least,
                counts(1, 0),
                Report::NotAsked,
                Some(FailedCode::TooFewTests),
            ),
            (&least, counts(2, 0), Report::NotAsked, None),
        ] {
            let verdict = judge(spec, &GREEN, counted, &report);
            assert_eq!(code(&verdict), expected, "{counted:?} {report:?}");
        }
    }

    #[test]
    fn a_command_in_the_background_passes_by_its_health_alone() {
        let spec = CheckSpec {
            health: Some("http://127.0.0.1:1/".to_owned()),
            ..CheckSpec::of("x")
        };
        let silent = End::NeverHealthy {
            last: "refused".to_owned(),
        };
        let taken = End::PortInUse {
            detail: "200".to_owned(),
        };
        for (end, expected) in [
            (End::Healthy, None),
            (GREEN, Some(FailedCode::EndedEarly)),
            (End::Exited { code: 3 }, Some(FailedCode::EndedEarly)),
            (End::Exited { code: 127 }, Some(FailedCode::NotFound)),
            (silent, Some(FailedCode::NeverHealthy)),
            (taken, Some(FailedCode::PortInUse)),
        ] {
            let verdict = judge(&spec, &end, None, &Report::NotAsked);
            assert_eq!(code(&verdict), expected, "{end:?}");
        }
    }

    #[test]
    fn red_is_a_failure_of_the_check_itself() {
        let spec = CheckSpec::of("x");
        let on_base = |end: End| judge(&spec, &end, None, &Report::NotAsked);
        let red = on_base(End::Exited { code: 1 });
        assert_eq!(code(&judge_red(&red)), None);
        let green = on_base(GREEN);
        assert_eq!(code(&judge_red(&green)), Some(FailedCode::PassedOnBase));
        for end in [
            End::Exited { code: 127 },
            End::TimedOut,
            End::Signalled { signal: 11 },
        ] {
            assert_eq!(code(&judge_red(&on_base(end))), Some(FailedCode::NotRed));
        }
        let no_tests = judge(&spec, &GREEN, counts(0, 0), &Report::NotAsked);
        assert_eq!(code(&judge_red(&no_tests)), Some(FailedCode::NotRed));
    }
}
