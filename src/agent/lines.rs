//! Bytes become lines: in any pieces, with bounded memory.

/// The longest line that is kept, in bytes. Agents print megabytes in one line (a file that a tool read);
/// what is longer than this is skipped as a whole.
pub const LINE_MAX: usize = 16 * 1024 * 1024;

/// Assembles lines out of pieces.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    partial: Vec<u8>,
    skipped: u64,
}

/// One line, or the place of one that was too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// The line, without its newline.
    Whole(&'a [u8]),
    /// A line of more than [`LINE_MAX`] bytes, which were not kept: how many there were.
    TooLong(u64),
}

impl Lines {
    /// Takes a piece and hands each line that it completes to `each`, with the line's length in bytes,
    /// its newline included.
    pub fn push(&mut self, piece: &[u8], mut each: impl FnMut(Line<'_>, u64)) {
        let mut rest = piece;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let (end, after) = rest.split_at(at);
            rest = &after[1..];
            if self.partial.is_empty() && self.skipped == 0 && end.len() <= LINE_MAX {
                each(Line::Whole(end), end.len() as u64 + 1);
            } else {
                self.keep(end);
                self.hand_over(1, &mut each);
            }
        }
        self.keep(rest);
    }

    /// There are no more bytes: what is left without a newline is a line as well.
    pub fn finish(&mut self, mut each: impl FnMut(Line<'_>, u64)) {
        if self.skipped > 0 || !self.partial.is_empty() {
            self.hand_over(0, &mut each);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.skipped > 0 || self.partial.len() + bytes.len() > LINE_MAX {
            self.skipped += (self.partial.len() + bytes.len()) as u64;
            self.partial = Vec::new();
        } else {
            self.partial.extend_from_slice(bytes);
        }
    }

    fn hand_over(&mut self, newline: u64, each: &mut impl FnMut(Line<'_>, u64)) {
        if self.skipped > 0 {
            each(Line::TooLong(self.skipped), self.skipped + newline);
        } else {
            each(
                Line::Whole(&self.partial),
                self.partial.len() as u64 + newline,
            );
        }
        self.skipped = 0;
        self.partial.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines_of(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        let mut note = |line: Line<'_>, length: u64| {
            seen.push(match line {
                Line::Whole(bytes) => format!("{length}:{}", String::from_utf8_lossy(bytes)),
                Line::TooLong(bytes) => format!("{length}:too long, {bytes}"),
            });
        };
        for piece in pieces {
            lines.push(piece, &mut note);
        }
        lines.finish(&mut note);
        seen
    }

    #[test]
    fn a_line_can_come_in_pieces_and_the_last_one_without_a_newline() {
        assert_eq!(
            lines_of(&[b"on", b"e\n\ntw", b"o"]),
            ["4:one", "1:", "3:two"]
        );
    }

    #[test]
    fn a_line_that_is_too_long_is_counted_and_not_kept() {
        let mega = vec![b'x'; 1024 * 1024];
        let mut pieces: Vec<&[u8]> = vec![&mega; 17];
        pieces.push(b"\nnext\n");
        let expected = 17 * 1024 * 1024;
        assert_eq!(
            lines_of(&pieces),
            [
                format!("{}:too long, {expected}", expected + 1),
                "5:next".to_owned()
            ]
        );
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_kept_however_it_comes() {
        let mut whole = vec![b'x'; LINE_MAX];
        whole.push(b'\n');
        let (left, right) = whole.split_at(LINE_MAX - 3);
        assert_eq!(lines_of(&[&whole]), lines_of(&[left, right]));
        assert!(!lines_of(&[&whole])[0].contains("too long"));
    }

    proptest! {
        #[test]
        fn pieces_change_nothing(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200), size in 1usize..40) {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            prop_assert_eq!(lines_of(&pieces), lines_of(&[&bytes]));
        }
    }
}
