//! How many slots there should be, and what is done next for it. Pure: the time is given.
//!
//! A fixed pool has as many slots as was said. An adaptive one has as many as runs were placed in the last five minutes,
//! at least [`LEAST`] and at most [`MOST`]: so it grows with a burst, and shrinks again when the burst is five minutes
//! old. Either is empty when no run was placed for as long as `pool_idle_s` says.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::config::PoolSize;

/// What an adaptive pool has when nothing goes on: the next run is one.
pub(super) const LEAST: usize = 1;
/// What it has at the most, whatever goes on: each is a checkout on the disk.
pub(super) const MOST: usize = 8;
/// For how long a run counts.
const WINDOW: Duration = Duration::from_secs(5 * 60);

/// When runs were placed, as far as that counts.
#[derive(Debug)]
pub(super) struct Recent {
    since: Instant,
    claims: VecDeque<Instant>,
}

impl Recent {
    /// None yet; the pool's idleness is counted from here.
    pub(super) fn new(now: Instant) -> Recent {
        Recent {
            since: now,
            claims: VecDeque::new(),
        }
    }

    /// One was placed.
    pub(super) fn claimed(&mut self, now: Instant) {
        self.claims.push_back(now);
        if self.claims.len() > MOST {
            self.claims.pop_front();
        }
    }

    fn within(&self, window: Duration, now: Instant) -> usize {
        let is_young = |at: &&Instant| now.saturating_duration_since(**at) < window;
        self.claims.iter().filter(is_young).count()
    }

    fn last(&self) -> Instant {
        self.claims.back().copied().unwrap_or(self.since)
    }
}

/// How many slots there should be.
pub(super) fn size(
    wanted: PoolSize,
    idle: Option<Duration>,
    recent: &Recent,
    now: Instant,
) -> usize {
    if idle.is_some_and(|idle| now.saturating_duration_since(recent.last()) >= idle) {
        return 0;
    }
    match wanted {
        PoolSize::Fixed(slots) => slots,
        PoolSize::Adaptive => recent.within(WINDOW, now).clamp(LEAST, MOST),
    }
}

/// What there is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    /// How many there should be.
    pub size: usize,
    /// How many are ready.
    pub ready: usize,
    /// How many of them are at another commit than the base.
    pub stale: usize,
    /// Whether the base is there.
    pub has_base: bool,
    /// Whether a file system is under the floor.
    pub low: bool,
    /// Whether one more slot leaves all above it.
    pub fits: bool,
}

/// What is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// One is given back, a stale one if there is one.
    GiveBack,
    /// A stale one is brought to the base.
    CatchUp,
    /// One is made.
    Make,
    /// Nothing: there is no room for more.
    NoRoom,
    /// Nothing.
    Nothing,
}

/// What is done next: what is too much goes, then what is there is brought along, which is quick, and then more is made.
pub(super) fn next(facts: Facts) -> Next {
    match facts {
        Facts {
            low: true, ready, ..
        } if ready > 0 => Next::GiveBack,
        Facts { size, ready, .. } if ready > size => Next::GiveBack,
        Facts { size: 0, .. }
        | Facts {
            has_base: false, ..
        } => Next::Nothing,
        Facts { low: true, .. } => Next::NoRoom,
        Facts { stale, .. } if stale > 0 => Next::CatchUp,
        Facts { size, ready, .. } if ready == size => Next::Nothing,
        Facts { fits: false, .. } => Next::NoRoom,
        _ => Next::Make,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    const FULL: Facts = Facts {
        size: 2,
        ready: 2,
        stale: 0,
        has_base: true,
        low: false,
        fits: true,
    };

    #[test]
    fn an_adaptive_pool_has_as_many_as_runs_came_and_one_when_none_did() {
        let start = Instant::now();
        let at = |seconds: u32| start + SECOND * seconds;
        let mut recent = Recent::new(start);
        let size = |recent: &Recent, now| size(PoolSize::Adaptive, None, recent, now);
        assert_eq!(size(&recent, at(0)), LEAST);
        for second in 0..3 {
            recent.claimed(at(second));
        }
        assert_eq!(size(&recent, at(3)), 3);
        for second in 10..90 {
            recent.claimed(at(second));
        }
        assert_eq!(size(&recent, at(90)), MOST);
        // All but the last two are five minutes old.
        assert_eq!(size(&recent, at(88 + 299)), 2);
        assert_eq!(size(&recent, at(89 + 300)), LEAST);
    }

    #[test]
    fn a_pool_is_emptied_after_so_long_without_a_run_and_filled_with_the_next() {
        let start = Instant::now();
        let mut recent = Recent::new(start);
        let idle = Some(SECOND * 60);
        for wanted in [PoolSize::Fixed(2), PoolSize::Adaptive] {
            assert_ne!(size(wanted, idle, &recent, start + SECOND * 59), 0);
            assert_eq!(size(wanted, idle, &recent, start + SECOND * 60), 0);
            assert_ne!(size(wanted, None, &recent, start + SECOND * 6000), 0);
        }
        recent.claimed(start + SECOND * 100);
        assert_eq!(
            size(PoolSize::Fixed(2), idle, &recent, start + SECOND * 159),
            2
        );
        assert_eq!(
            size(PoolSize::Fixed(2), idle, &recent, start + SECOND * 160),
            0
        );
    }

    #[test]
    fn what_is_there_is_brought_along_before_more_is_made() {
        assert_eq!(next(FULL), Next::Nothing);
        assert_eq!(
            next(Facts {
                ready: 1,
                stale: 1,
                ..FULL
            }),
            Next::CatchUp
        );
        assert_eq!(next(Facts { ready: 1, ..FULL }), Next::Make);
        assert_eq!(
            next(Facts {
                ready: 3,
                stale: 1,
                ..FULL
            }),
            Next::GiveBack
        );
        assert_eq!(
            next(Facts {
                has_base: false,
                stale: 2,
                ..FULL
            }),
            Next::Nothing
        );
        assert_eq!(next(Facts { size: 0, ..FULL }), Next::GiveBack);
        assert_eq!(
            next(Facts {
                size: 0,
                ready: 0,
                ..FULL
            }),
            Next::Nothing
        );
    }

    #[test]
    fn with_little_room_the_pool_goes_first_and_nothing_is_made_that_would_not_fit() {
        assert_eq!(next(Facts { low: true, ..FULL }), Next::GiveBack);
        assert_eq!(
            next(Facts {
                low: true,
                ready: 0,
                ..FULL
            }),
            Next::NoRoom
        );
        assert_eq!(
            next(Facts {
                fits: false,
                ready: 1,
                ..FULL
            }),
            Next::NoRoom
        );
        // What is there takes no more room when it is brought along.
        assert_eq!(
            next(Facts {
                fits: false,
                stale: 1,
                ..FULL
            }),
            Next::CatchUp
        );
    }
}
