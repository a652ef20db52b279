//! The limits of one agent: when to look at its output, and what the look means. Pure.
//!
//! Its supervisor holds them; while that is silent, the server's vigil does.
//!
//! Looking is one `fstat(2)`, from a few times a second near a limit to never without one. Not inotify: a user has
//! 128 instances as a rule, which many agents would use up.

use std::time::{Duration, Instant};

use crate::process::records::LaunchLimits;
use crate::run::EndedBy;

/// Between two looks at most and at least.
const SELDOM: Duration = Duration::from_secs(5);
const OFTEN: Duration = Duration::from_millis(50);
/// Bytes in a millisecond that no agent is expected to exceed, for the next look at the size (1 GB/s).
const FAST: u64 = 1_000_000;

/// The limits, and what was seen of the output.
#[derive(Debug)]
pub(super) struct LimitWatch {
    limits: LaunchLimits,
    begun: Instant,
    size: u64,
    grown_at: Instant,
    due: Option<Instant>,
}

impl LimitWatch {
    /// The agent was started at `begun`, and its output is watched from now on.
    pub(super) fn new(limits: LaunchLimits, begun: Instant, now: Instant) -> LimitWatch {
        let mut watch = LimitWatch {
            limits,
            begun,
            size: 0,
            grown_at: now,
            due: None,
        };
        watch.due = watch.next_look(now);
        watch
    }

    /// When to look; never without limits.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The output has `size` bytes now: which limit is exceeded, if one is.
    pub(super) fn look(&mut self, size: u64, now: Instant) -> Option<EndedBy> {
        if size != self.size {
            self.size = size;
            self.grown_at = now;
        }
        self.due = self.next_look(now);
        let LaunchLimits {
            wall_clock_ms,
            idle_ms,
            output_bytes,
            ..
        } = self.limits;
        let over = |since: Instant, ms: Option<u64>| ms.is_some_and(|ms| now >= since + millis(ms));
        if output_bytes.is_some_and(|limit| size > limit) {
            Some(EndedBy::OutputSize)
        } else if over(self.begun, wall_clock_ms) {
            Some(EndedBy::WallClock)
        } else if over(self.grown_at, idle_ms) {
            Some(EndedBy::Idle)
        } else {
            None
        }
    }

    fn next_look(&self, now: Instant) -> Option<Instant> {
        let wall_clock = self.limits.wall_clock_ms.map(|ms| self.begun + millis(ms));
        let idle = self.limits.idle_ms.map(|ms| {
            let soon = now + (millis(ms) / 8).clamp(OFTEN, SELDOM);
            soon.min(self.grown_at + millis(ms))
        });
        let size = self
            .limits
            .output_bytes
            .map(|limit| now + millis(limit.saturating_sub(self.size) / FAST).clamp(OFTEN, SELDOM));
        [wall_clock, idle, size].into_iter().flatten().min()
    }
}

/// A hundred years and more are one hundred years: an `Instant` cannot hold any number.
fn millis(ms: u64) -> Duration {
    const CENTURY: Duration = Duration::from_secs(100 * 366 * 24 * 3600);
    Duration::from_millis(ms).min(CENTURY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(limits: LaunchLimits) -> (LimitWatch, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        (LimitWatch::new(limits, start, start), move |ms| {
            start + Duration::from_millis(ms)
        })
    }

    #[test]
    fn without_limits_nobody_looks() {
        let (mut watch, at) = watch(LaunchLimits::default());
        assert_eq!(watch.due(), None);
        assert_eq!(watch.look(u64::MAX, at(1_000_000_000)), None);
    }

    #[test]
    fn the_wall_clock_ends_it_whatever_it_prints() {
        let (mut watch, at) = watch(LaunchLimits {
            wall_clock_ms: Some(1000),
            ..LaunchLimits::default()
        });
        assert_eq!(watch.due(), Some(at(1000)));
        assert_eq!(watch.look(5, at(999)), None);
        assert_eq!(watch.look(6, at(1000)), Some(EndedBy::WallClock));
    }

    #[test]
    fn idle_counts_from_the_last_growth() {
        let (mut watch, at) = watch(LaunchLimits {
            idle_ms: Some(1000),
            ..LaunchLimits::default()
        });
        assert_eq!(watch.look(1, at(900)), None);
        assert_eq!(watch.due(), Some(at(1025)));
        assert_eq!(watch.look(1, at(1890)), None);
        assert_eq!(
            watch.due(),
            Some(at(1900)),
            "not later than the limit itself"
        );
        assert_eq!(watch.look(1, at(1900)), Some(EndedBy::Idle));
    }

    #[test]
    fn the_size_may_be_reached_but_not_exceeded() {
        let (mut watch, at) = watch(LaunchLimits {
            output_bytes: Some(100),
            ..LaunchLimits::default()
        });
        assert_eq!(watch.due(), Some(at(50)));
        assert_eq!(watch.look(100, at(50)), None);
        assert_eq!(watch.look(101, at(100)), Some(EndedBy::OutputSize));
    }

    #[test]
    fn who_watches_from_the_middle_on_counts_the_time_before_and_not_the_silence_before() {
        let start = Instant::now();
        let limits = LaunchLimits {
            wall_clock_ms: Some(1000),
            idle_ms: Some(600),
            ..LaunchLimits::default()
        };
        let at = |ms| start + Duration::from_millis(ms);
        let mut watch = LimitWatch::new(limits, start, at(900));
        assert_eq!(watch.look(0, at(950)), None);
        assert_eq!(watch.look(0, at(1000)), Some(EndedBy::WallClock));
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let (mut watch, at) = watch(LaunchLimits {
            wall_clock_ms: Some(u64::MAX),
            idle_ms: Some(u64::MAX),
            output_bytes: Some(u64::MAX),
            ..LaunchLimits::default()
        });
        assert_eq!(watch.look(1, at(1)), None);
    }
}
