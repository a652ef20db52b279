//! Where a reader of a stream is: after this event of the journal and this byte of the run's output.

use std::fmt;
use std::str::FromStr;

/// A place in a run's stream; as text `seq-offset`, or `seq` alone for the stream of all runs.
///
/// Both halves only grow along a stream, so a reader that comes back with the last id that it saw gets
/// everything after it, once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// Number of the last event that was seen; 0 is before the first.
    pub seq: u64,
    /// How many bytes of the output were seen.
    pub offset: u64,
}

/// The text is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a cursor is `<seq>` or `<seq>-<offset>`, as in the `id` of a frame")]
pub struct NotACursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.seq, self.offset)
    }
}

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        fn number(text: &str) -> Result<u64, NotACursor> {
            // `parse` would take a plus sign; SQLite's numbers end at i64::MAX.
            if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
                return Err(NotACursor);
            }
            text.parse::<u64>()
                .ok()
                .filter(|n| i64::try_from(*n).is_ok())
                .ok_or(NotACursor)
        }
        match text.split_once('-') {
            Some((seq, offset)) => Ok(Cursor {
                seq: number(seq)?,
                offset: number(offset)?,
            }),
            None => Ok(Cursor {
                seq: number(text)?,
                offset: 0,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(seq in 0..=i64::MAX as u64, offset in 0..=i64::MAX as u64) {
            let cursor = Cursor { seq, offset };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _: Result<Cursor, _> = text.parse();
        }
    }

    #[test]
    fn signs_spaces_and_numbers_too_large_are_refused() {
        for text in [
            "",
            "-",
            "+1",
            "1-",
            "-1",
            " 1",
            "1-2-3",
            "99999999999999999999",
            "9223372036854775808",
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(NotACursor), "{text:?}");
        }
    }
}
