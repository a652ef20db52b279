//! Stopping gently, on a clock, then hard; asked twice means now. Pure: it says what to send, and when to ask again.
//!
//! ```text
//! running ── stop ──> INT ── grace ──> TERM ── grace ──> KILL
//!    └── kill, or a second stop ─────────────────────────^
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::process::records::{StopSignal, StopStep};
use crate::run::EndedBy;

/// The way of one agent to its end.
#[derive(Debug)]
pub(super) struct Stopping {
    /// What is still to be tried before the kill.
    gentle: VecDeque<StopStep>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Running,
    /// On its way: the next thing is due then.
    Asked(EndedBy, Instant),
    /// Nothing more can be sent.
    Killed(EndedBy),
}

/// What to send to the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Send {
    /// A signal that asks.
    Ask(StopSignal),
    /// SIGKILL.
    Kill,
}

impl Stopping {
    pub(super) fn new(steps: &[StopStep]) -> Stopping {
        Stopping {
            gentle: steps.iter().copied().collect(),
            stage: Stage::Running,
        }
    }

    /// Who began it, if it has begun.
    pub(super) fn ended_by(&self) -> Option<EndedBy> {
        match self.stage {
            Stage::Running => None,
            Stage::Asked(by, _) | Stage::Killed(by) => Some(by),
        }
    }

    /// Asks for a gentle stop, or, the second time, for the end.
    pub(super) fn stop(&mut self, by: EndedBy, now: Instant) {
        match self.stage {
            Stage::Running => self.stage = Stage::Asked(by, now),
            Stage::Asked(..) | Stage::Killed(_) => self.kill(by, now),
        }
    }

    /// Asks for the end. Whoever asked first has ended it.
    pub(super) fn kill(&mut self, by: EndedBy, now: Instant) {
        self.gentle.clear();
        match self.stage {
            Stage::Running => self.stage = Stage::Asked(by, now),
            Stage::Asked(first, _) => self.stage = Stage::Asked(first, now),
            Stage::Killed(_) => {}
        }
    }

    /// When [`next`](Self::next) has something to send.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.stage {
            Stage::Asked(_, due) => Some(due),
            Stage::Running | Stage::Killed(_) => None,
        }
    }

    /// What to send now, once.
    pub(super) fn next(&mut self, now: Instant) -> Option<Send> {
        let Stage::Asked(by, due) = self.stage else {
            return None;
        };
        if now < due {
            return None;
        }
        Some(match self.gentle.pop_front() {
            Some(step) => {
                self.stage = Stage::Asked(by, now + Duration::from_millis(step.grace_ms));
                Send::Ask(step.signal)
            }
            None => {
                self.stage = Stage::Killed(by);
                Send::Kill
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_stop_asks_twice_with_time_between_and_then_kills_once() {
        let start = Instant::now();
        let mut stopping = Stopping::new(&StopStep::defaults());
        assert_eq!((stopping.due(), stopping.next(start)), (None, None));
        stopping.stop(EndedBy::Stop, start);
        let sent: Vec<_> = [0, 1, 2, 6, 7, 8, 100]
            .map(|s| (s, stopping.next(after(start, s))))
            .into_iter()
            .filter_map(|(s, send)| Some((s, send?)))
            .collect();
        let expected = [
            (0, Send::Ask(StopSignal::Int)),
            (2, Send::Ask(StopSignal::Term)),
            (7, Send::Kill),
        ];
        assert_eq!(sent, expected);
        assert_eq!(stopping.due(), None);
    }

    #[test]
    fn asking_twice_means_now_and_the_first_one_has_ended_it() {
        let start = Instant::now();
        let mut stopping = Stopping::new(&StopStep::defaults());
        stopping.stop(EndedBy::Idle, start);
        stopping.next(start);
        stopping.stop(EndedBy::Stop, start);
        assert_eq!(stopping.next(start), Some(Send::Kill));
        assert_eq!(stopping.ended_by(), Some(EndedBy::Idle));
    }

    #[test]
    fn a_kill_asks_nothing_and_is_sent_once() {
        let start = Instant::now();
        let mut stopping = Stopping::new(&StopStep::defaults());
        stopping.kill(EndedBy::Stop, start);
        assert_eq!(stopping.next(start), Some(Send::Kill));
        stopping.kill(EndedBy::Stop, start);
        stopping.stop(EndedBy::Stop, start);
        assert_eq!((stopping.due(), stopping.next(start)), (None, None));
    }
}
