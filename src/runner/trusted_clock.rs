//! Whether the clock may decide that work is let go. A machine without a battery begins in another year until the network
//! has told it the time; what is deleted by then does not come back.
//!
//! The clock is believed if it agrees with something else: at a start with the journal, whose newest event is not long ago;
//! later with the monotonic clock since the look before. After a jump it is believed again when it has gone on for a day
//! as a clock does: there is nothing else that would know better.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

/// How far the clock may be ahead of the newest event at a start. A service that was off for longer waits a day.
const SINCE_NEWEST_EVENT: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How much further than the monotonic clock the clock may have gone between two looks.
const JUMP: SignedDuration = SignedDuration::from_hours(24);

/// What the clock said before.
#[derive(Debug, Clone, Copy)]
pub(super) enum Before {
    /// The newest event of the journal; nothing if there is none.
    Journal(Option<Timestamp>),
    /// The last look.
    Look { wall: Timestamp, at: Instant },
}

impl Before {
    /// Whether `now` can be what the clock says after this. Being behind is no harm: nothing is let go too early.
    pub(super) fn agrees_with(self, now: Timestamp) -> bool {
        match self {
            Before::Journal(None) => true,
            Before::Journal(Some(newest)) => now.duration_since(newest) <= SINCE_NEWEST_EVENT,
            Before::Look { wall, at } => {
                let gone = SignedDuration::try_from(at.elapsed()).unwrap_or(SignedDuration::MAX);
                now.duration_since(wall).saturating_sub(gone) <= JUMP
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_clock_that_is_years_after_the_newest_event_is_not_believed() {
        let before = Before::Journal(Some(time("2026-11-23T08:00:00Z")));
        assert!(before.agrees_with(time("2026-11-24T08:00:00Z")));
        assert!(before.agrees_with(time("1970-01-01T00:00:00Z")));
        assert!(!before.agrees_with(time("2036-11-23T08:00:00Z")));
        assert!(Before::Journal(None).agrees_with(time("2036-11-23T08:00:00Z")));
    }

    #[test]
    fn a_clock_that_went_further_than_the_monotonic_one_is_not_believed() {
        let before = Before::Look {
            wall: time("2026-11-23T08:00:00Z"),
            at: Instant::now(),
        };
        assert!(before.agrees_with(time("2026-11-24T07:00:00Z")));
        assert!(!before.agrees_with(time("2026-11-24T09:00:00Z")));
    }
}
