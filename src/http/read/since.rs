//! `since`: a moment as RFC 3339, as unix seconds, or as an age before now.

use jiff::{SignedDuration, Timestamp};

/// What is expected, for the client that wrote something else.
const EXPECTED: &str = "write RFC 3339 (`2026-11-23T08:00:00Z`), unix seconds, or an age: a number and one of `s`, `m`, `h`, `d`, `w` (`24h`)";

/// The moment that the text means, if it is read at `now`.
///
/// # Errors
/// A sentence that says what to write instead.
pub fn parse(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let wrong = || format!("{text:?} is no moment; {EXPECTED}");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let seconds_in_one = match unit {
        "" => {
            let seconds = number.parse().map_err(|_| wrong())?;
            return Timestamp::from_second(seconds).map_err(|_| wrong());
        }
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "w" => 7 * 24 * 60 * 60,
        _ => return text.parse().map_err(|_| wrong()),
    };
    let age = number
        .parse::<i64>()
        .ok()
        .and_then(|n| n.checked_mul(seconds_in_one))
        .ok_or_else(wrong)?;
    now.checked_sub(SignedDuration::from_secs(age))
        .map_err(|_| wrong())
}
