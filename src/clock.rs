//! The time of day. The one place that asks the system for it.
//!
//! Times that are stored or shown are UTC with milliseconds. What must not jump (limits, grace periods)
//! is measured on the monotonic clock (`Instant`), not here.

use jiff::{Timestamp, Unit};

/// Now, in UTC, cut to whole milliseconds.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(Unit::Millisecond).unwrap_or(now)
}

/// RFC 3339 in UTC with exactly three digits of a second's fraction: how every time is written.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_three_digits_and_z() {
        let time: Timestamp = "2026-11-23T08:00:00.1Z".parse().unwrap();
        assert_eq!(rfc3339(time), "2026-11-23T08:00:00.100Z");
        let whole: Timestamp = "2026-11-23T08:00:00Z".parse().unwrap();
        assert_eq!(rfc3339(whole), "2026-11-23T08:00:00.000Z");
    }
}
