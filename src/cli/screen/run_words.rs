//! Words for the fields of a run, read leniently: a server of another version may have more or fewer.

use jiff::Timestamp;
use serde_json::Value;

/// A field as text; nothing where it is missing or null.
#[must_use]
pub fn words(value: &Value, field: &str) -> String {
    match &value[field] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A field as text, or a dash where there is none.
#[must_use]
pub fn shown(value: &Value, field: &str) -> String {
    let text = words(value, field);
    if text.is_empty() { "-".into() } else { text }
}

/// The id of a run, under either of its names.
#[must_use]
pub fn id(run: &Value) -> String {
    let id = words(run, "run_id");
    if id.is_empty() { words(run, "id") } else { id }
}

/// How long ago a time was, in its largest unit: `3d`, `2h`, `5m`, `12s`.
#[must_use]
pub fn age(time: &str, now: Timestamp) -> String {
    let Ok(time) = time.parse::<Timestamp>() else {
        return "-".into();
    };
    let seconds = now.as_second().saturating_sub(time.as_second()).max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        let now: Timestamp = "2026-11-23T08:00:00Z".parse().unwrap();
        let cases = [
            ("2026-11-23T07:59:48.000Z", "12s"),
            ("2026-11-23T07:55:00Z", "5m"),
            ("2026-11-23T06:00:00Z", "2h"),
            ("2026-11-20T07:00:00Z", "3d"),
            ("2026-11-23T09:00:00Z", "0s"),
            ("yesterday", "-"),
        ];
        for (time, expected) in cases {
            assert_eq!(age(time, now), expected, "{time}");
        }
    }
}
