//! Nothing from an agent steers the terminal.
//!
//! A terminal obeys control characters (C0 with ESC, and C1), and shows text in another order where bidirectional
//! controls stand in it ("Trojan Source", CVE-2021-42574). They are shown as `\u001b`, which inside JSON is still the
//! same text.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text with all that steers a terminal written out; new lines and tabs stay.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    escape_where(text, |c| c != '\n' && c != '\t' && steers(c))
}

/// The same for a text that must stay on one line: new lines and tabs are written out as well.
#[must_use]
pub fn escape_line(text: &str) -> Cow<'_, str> {
    escape_where(text, steers)
}

fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200e}' | '\u{200f}' // marks
            | '\u{2028}' | '\u{2029}'            // line and paragraph separators
            | '\u{202a}'..='\u{202e}'            // embeddings and overrides
            | '\u{2066}'..='\u{2069}'            // isolates
            | '\u{feff}')
}

fn escape_where(text: &str, bad: impl Fn(char) -> bool) -> Cow<'_, str> {
    let Some(first) = text.find(&bad) else {
        return Cow::Borrowed(text);
    };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    for c in text[first..].chars() {
        match c {
            '\n' if bad('\n') => out.push_str("\\n"),
            '\t' if bad('\t') => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if bad(c) => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_steers_a_terminal_is_written_out() {
        assert_eq!(
            escape("a\x1b[31mred\x1b]0;t\x07"),
            "a\\u001b[31mred\\u001b]0;t\\u0007"
        );
        assert_eq!(escape("one\u{9b}2J"), "one\\u009b2J");
        assert_eq!(escape("user\u{202e}txt.exe"), "user\\u202etxt.exe");
        assert_eq!(escape("over\rwritten"), "over\\rwritten");
    }

    #[test]
    fn plain_text_is_not_touched_nor_copied() {
        assert!(matches!(escape("Grüße, 世界\n\tok"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_line_stays_one_line() {
        assert_eq!(escape_line("a\n\tb"), "a\\n\\tb");
    }

    proptest! {
        #[test]
        fn nothing_that_steers_comes_out(text in any::<String>()) {
            prop_assert!(!escape(&text).chars().any(|c| c != '\n' && c != '\t' && steers(c)));
            prop_assert!(!escape_line(&text).chars().any(steers));
        }

        #[test]
        fn escaped_json_is_the_same_json(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let back: String = serde_json::from_str(&escape(&json)).unwrap();
            prop_assert_eq!(back, text);
        }
    }
}
