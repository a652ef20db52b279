//! How an attempt ended, judged from all marks together: who ended it, its exit, and its last word.
//!
//! Exit codes lie (an interrupted Claude Code exits 0), last words lie (an API failure is a `success` with
//! `is_error`), so neither alone is believed, and what is not known is never success.

use super::activity::{Final, SUMMARY_MAX, capped};
use super::transcript::Transcript;
use crate::run::{AgentKind, EndedBy, Exit, Failure, FailureCode, Outcome};

/// SIGINT, SIGTERM and SIGKILL: what we end agents with.
const OUR_SIGNALS: [i32; 3] = [2, 15, 9];

/// A shell's way, and Claude Code's, to tell a signal in an exit code.
const SIGNAL_CODE_BASE: i32 = 128;

/// How the attempt ended. `stderr_tail` is the end of what the agent wrote to stderr; it goes into the
/// detail where there is nothing better.
#[must_use]
pub fn outcome(
    transcript: &Transcript,
    exit: Exit,
    ended_by: EndedBy,
    stderr_tail: &str,
) -> Outcome {
    match judged(transcript, exit, ended_by, stderr_tail) {
        Ok(()) => Outcome::Finished,
        Err(failure) => Outcome::Failed(failure),
    }
}

fn judged(
    transcript: &Transcript,
    exit: Exit,
    ended_by: EndedBy,
    stderr_tail: &str,
) -> Result<(), Failure> {
    let waiting = waiting(transcript);
    match ended_by {
        EndedBy::WallClock => {
            return fail(
                FailureCode::WallClockLimit,
                format!("it was ended at its wall-clock limit{waiting}"),
            );
        }
        EndedBy::Idle => {
            return fail(
                FailureCode::IdleLimit,
                format!("it was ended after too long without output{waiting}"),
            );
        }
        EndedBy::OutputSize => {
            return fail(
                FailureCode::OutputLimit,
                "it was ended because it printed too much",
            );
        }
        EndedBy::Stop => return fail(FailureCode::Stopped, "it was stopped on request"),
        EndedBy::Itself | EndedBy::Lingering => {}
    }
    if exit == Exit::Unknown {
        return fail(FailureCode::Unknown, "nobody saw how it ended");
    }
    match transcript.kind() {
        AgentKind::Claude => claude(transcript, exit, ended_by, stderr_tail),
        AgentKind::Command | AgentKind::Stub => by_exit_alone(exit, stderr_tail),
    }
}

fn by_exit_alone(exit: Exit, stderr_tail: &str) -> Result<(), Failure> {
    match exit {
        Exit::Code(0) => Ok(()),
        Exit::Code(code) => fail(
            FailureCode::ExitCode,
            format!("exit code {code}{}", last_words(stderr_tail)),
        ),
        Exit::Signal(signal) => fail(FailureCode::Killed, format!("signal {signal} ended it")),
        Exit::Unknown => fail(FailureCode::Unknown, "nobody saw how it ended"),
    }
}

fn claude(
    transcript: &Transcript,
    exit: Exit,
    ended_by: EndedBy,
    stderr_tail: &str,
) -> Result<(), Failure> {
    let signal = signal_of(exit);
    let ours = ended_by == EndedBy::Lingering
        && signal.is_some_and(|signal| OUR_SIGNALS.contains(&signal));
    if let Some(signal) = signal
        && !ours
        && (transcript.goes_on() || transcript.last_final().is_some_and(|last| last.success))
    {
        let tools = match transcript.open_tools() {
            0 => String::new(),
            open => format!(", with {open} tools going on"),
        };
        return fail(
            FailureCode::Killed,
            format!("signal {signal} ended it{tools}"),
        );
    }
    let Some(last) = transcript.last_final() else {
        return without_last_word(transcript, exit, stderr_tail);
    };
    if !last.success {
        return Err(said_failure(last, transcript.api_error(), stderr_tail));
    }
    if transcript.goes_on() {
        return fail(
            FailureCode::CutOff,
            format!(
                "it exited without a last word on its last turn{}",
                last_words(stderr_tail)
            ),
        );
    }
    match exit {
        Exit::Code(0) => Ok(()),
        _ if ours => Ok(()),
        _ => by_exit_alone(exit, stderr_tail),
    }
}

fn without_last_word(
    transcript: &Transcript,
    exit: Exit,
    stderr_tail: &str,
) -> Result<(), Failure> {
    let began = transcript.session_id().is_some();
    match exit {
        Exit::Code(code) if code != 0 && !began => fail(
            FailureCode::ExitCode,
            format!(
                "exit code {code} before it began{}",
                last_words(stderr_tail)
            ),
        ),
        _ => fail(
            FailureCode::CutOff,
            format!("it exited without a last word{}", last_words(stderr_tail)),
        ),
    }
}

/// The failure that the agent itself told.
fn said_failure(last: &Final, api_error: Option<&str>, stderr_tail: &str) -> Failure {
    let said = [
        last.errors.as_deref(),
        Some(last.text.as_str()),
        Some(stderr_tail),
    ]
    .into_iter()
    .flatten()
    .find(|text| !text.trim().is_empty())
    .unwrap_or("it said no more");
    let said = capped(said.trim(), SUMMARY_MAX);
    let reason = last.terminal_reason.as_deref().unwrap_or_default();
    let subtype = last.subtype.as_deref().unwrap_or_default();
    if said.contains("No conversation found with session ID") {
        return Failure::new(FailureCode::UnknownSession, said);
    }
    if last.cut_off {
        return Failure::new(
            FailureCode::CutOff,
            format!("the model's answer has no end: {said}"),
        );
    }
    if last.stop_reason.as_deref() == Some("refusal") {
        return Failure::new(
            FailureCode::AgentError,
            format!("the model refused: {said}"),
        );
    }
    match (subtype, reason, last.api_error_status) {
        ("error_max_turns", ..) | (_, "max_turns", _) => Failure::new(FailureCode::TurnLimit, said),
        ("error_max_budget_usd", ..) | (_, "budget_exhausted", _) => {
            Failure::new(FailureCode::CostLimit, said)
        }
        (_, _, Some(status)) => Failure::new(
            api_failure(status),
            format!("the API answered {status}: {said}"),
        ),
        (_, "api_error", None) => {
            Failure::new(api_failure_called(api_error.unwrap_or_default()), said)
        }
        (_, "aborted_tools" | "aborted_streaming", _) => {
            Failure::new(FailureCode::Killed, format!("it was interrupted: {said}"))
        }
        _ => Failure::new(FailureCode::AgentError, said),
    }
}

fn api_failure(status: u16) -> FailureCode {
    match status {
        401 | 403 => FailureCode::Auth,
        429 => FailureCode::RateLimited,
        _ => FailureCode::ApiError,
    }
}

/// Where no HTTP answer came, Claude Code's own word is all there is.
fn api_failure_called(error: &str) -> FailureCode {
    match error {
        "authentication_failed" => FailureCode::Auth,
        "rate_limit" => FailureCode::RateLimited,
        _ => FailureCode::ApiError,
    }
}

/// The signal that ended it, told by the kernel or by the code 128 + signal, where that is one that ends programs.
fn signal_of(exit: Exit) -> Option<i32> {
    match exit {
        Exit::Signal(signal) => Some(signal),
        Exit::Code(code) => {
            Some(code - SIGNAL_CODE_BASE).filter(|signal| (1..=31).contains(signal))
        }
        Exit::Unknown => None,
    }
}

fn waiting(transcript: &Transcript) -> String {
    match transcript.last_retry() {
        None => String::new(),
        Some(retry) => {
            let status = retry
                .status
                .map_or("no answer".to_owned(), |status| status.to_string());
            format!(
                "; it was waiting for the API ({status}, try {})",
                retry.attempt
            )
        }
    }
}

fn last_words(stderr_tail: &str) -> String {
    match stderr_tail
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
    {
        None => String::new(),
        Some(line) => format!(": {}", capped(line.trim(), SUMMARY_MAX)),
    }
}

fn fail(code: FailureCode, detail: impl Into<String>) -> Result<(), Failure> {
    Err(Failure::new(code, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INIT: &str = r#"{"type":"system","subtype":"init","session_id":"s","model":"m"}"#;
    const SUCCESS: &str = r#"{"type":"result","subtype":"success","is_error":false,"terminal_reason":"completed","stop_reason":"end_turn","result":"done"}"#;
    const RETRY: &str = r#"{"type":"system","subtype":"api_retry","attempt":4,"error_status":529}"#;

    fn judged(kind: AgentKind, lines: &[&str], exit: Exit, ended_by: EndedBy) -> String {
        let mut transcript = Transcript::new(kind);
        transcript.push_bytes(lines.join("\n").as_bytes());
        transcript.finish();
        match outcome(&transcript, exit, ended_by, "first line\nlast line\n\n") {
            Outcome::Finished => "finished".to_owned(),
            Outcome::Failed(failure) => format!("{:?}: {}", failure.code, failure.detail),
        }
    }

    #[test]
    fn our_own_limits_and_stops_win_over_all_that_the_agent_says() {
        let by = |ended_by| judged(AgentKind::Claude, &[INIT, SUCCESS], Exit::Code(0), ended_by);
        insta::assert_snapshot!([EndedBy::WallClock, EndedBy::Idle, EndedBy::OutputSize, EndedBy::Stop].map(by).join("\n"), @"
        WallClockLimit: it was ended at its wall-clock limit
        IdleLimit: it was ended after too long without output
        OutputLimit: it was ended because it printed too much
        Stopped: it was stopped on request
        ");
        let waiting = judged(
            AgentKind::Claude,
            &[INIT, RETRY],
            Exit::Signal(15),
            EndedBy::Idle,
        );
        assert_eq!(
            waiting,
            "IdleLimit: it was ended after too long without output; it was waiting for the API (529, try 4)"
        );
    }

    #[test]
    fn what_is_not_known_is_never_success() {
        for kind in [AgentKind::Claude, AgentKind::Command, AgentKind::Stub] {
            let lines = [INIT, SUCCESS];
            assert_eq!(
                judged(kind, &lines, Exit::Unknown, EndedBy::Itself),
                "Unknown: nobody saw how it ended"
            );
        }
    }

    #[test]
    fn an_end_without_all_marks_of_success_has_its_name() {
        let claude = |lines: &[&str], exit| judged(AgentKind::Claude, lines, exit, EndedBy::Itself);
        let ends = [
            claude(&[INIT, SUCCESS], Exit::Code(0)),
            claude(&[INIT, SUCCESS], Exit::Code(3)),
            claude(&[INIT, SUCCESS], Exit::Code(143)),
            claude(&[INIT, SUCCESS], Exit::Signal(9)),
            claude(&[INIT, SUCCESS, INIT], Exit::Code(0)),
            claude(&[INIT], Exit::Code(0)),
            claude(&[INIT], Exit::Code(1)),
            claude(&[], Exit::Code(0)),
            claude(&[], Exit::Code(1)),
        ];
        insta::assert_snapshot!(ends.join("\n"), @"
        finished
        ExitCode: exit code 3: last line
        Killed: signal 15 ended it
        Killed: signal 9 ended it
        CutOff: it exited without a last word on its last turn: last line
        CutOff: it exited without a last word: last line
        CutOff: it exited without a last word: last line
        CutOff: it exited without a last word: last line
        ExitCode: exit code 1 before it began: last line
        ");
    }

    #[test]
    fn one_that_lingered_after_its_last_word_is_judged_by_that_word() {
        let lingered =
            |lines: &[&str], exit| judged(AgentKind::Claude, lines, exit, EndedBy::Lingering);
        for ours in [
            Exit::Code(0),
            Exit::Code(143),
            Exit::Signal(15),
            Exit::Signal(9),
        ] {
            assert_eq!(lingered(&[INIT, SUCCESS], ours), "finished", "{ours:?}");
        }
        assert_eq!(
            lingered(&[INIT, SUCCESS], Exit::Signal(11)),
            "Killed: signal 11 ended it"
        );
        assert!(lingered(&[INIT], Exit::Signal(15)).starts_with("CutOff"));
    }

    #[test]
    fn a_command_is_judged_by_its_exit_alone() {
        let command = |exit| judged(AgentKind::Command, &["I failed"], exit, EndedBy::Itself);
        assert_eq!(command(Exit::Code(0)), "finished");
        assert_eq!(command(Exit::Code(2)), "ExitCode: exit code 2: last line");
        assert_eq!(command(Exit::Signal(11)), "Killed: signal 11 ended it");
    }
}
