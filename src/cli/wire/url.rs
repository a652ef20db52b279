//! Text as a part of a URL.

use std::fmt::Write as _;

/// One segment of a path: whatever a person types stays inside it (RFC 3986, section 2.3).
#[must_use]
pub fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => out.push(byte.into()),
            // A dot alone would be a step in the path.
            b'.' if !text.bytes().all(|byte| byte == b'.') => out.push('.'),
            byte => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// `?name=value&…`, or nothing if there are no pairs.
#[must_use]
pub fn query(pairs: &[(&str, String)]) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        out.push(if out.is_empty() { '?' } else { '&' });
        out.push_str(name);
        out.push('=');
        out.push_str(&segment(value));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_stays_inside_its_segment() {
        assert_eq!(segment("0199-ab_c.d~"), "0199-ab_c.d~");
        assert_eq!(segment("../x?y#z ü"), "..%2Fx%3Fy%23z%20%C3%BC");
        assert_eq!(segment(".."), "%2E%2E");
    }

    #[test]
    fn a_query_is_made_of_its_pairs() {
        assert_eq!(query(&[]), "");
        assert_eq!(
            query(&[("a", "1&2".into()), ("b", "x".into())]),
            "?a=1%262&b=x"
        );
    }
}
