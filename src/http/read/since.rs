//! `since`: a moment as RFC 3339, as unix seconds, or as an age before now.

use jiff::{SignedDuration, Timestamp};
use utoipa::openapi::schema::{AnyOfBuilder, KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// What is expected, for the client that wrote something else.
const EXPECTED: &str = "write RFC 3339 (`2026-11-23T08:00:00Z`), unix seconds, or an age: a number and one of `s`, `m`, `h`, `d`, `w` (`24h`)";

/// The shape of the text, for the OpenAPI document. The digits end before the beginning and the end of time do.
#[derive(Debug)]
pub enum Moment {}

impl ToSchema for Moment {}

impl PartialSchema for Moment {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let time = text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
        let number = text().pattern(Some(
            "^([0-9]{1,11}s?|[0-9]{1,9}m|[0-9]{1,8}h|[0-9]{1,6}d|[0-9]{1,5}w)$",
        ));
        AnyOfBuilder::new().item(time).item(number).into()
    }
}

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
