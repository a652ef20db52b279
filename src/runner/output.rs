//! The output of a run, cut into frames for those who watch. It is read from its file each time, never kept.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use base64::Engine as _;
use serde_json::json;

use crate::agent::parse;
use crate::run::AgentKind;

/// The longest line that is kept in one frame, and so is parsed; a longer one comes in pieces.
const LINE_MAX: usize = 1024 * 1024;
/// What is read at once, if no line is longer.
const CHUNK: usize = 16 * 1024;

/// A reader of the output file at one place.
#[derive(Debug)]
pub struct OutputReader {
    file: Option<File>,
    agent: AgentKind,
    offset: u64,
    at_line_start: bool,
}

/// One piece of the output.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it ends.
    pub end: u64,
    /// The JSON of its frame, without the attempt and the run.
    pub json: serde_json::Value,
}

impl OutputReader {
    /// A reader from this byte on.
    #[must_use]
    pub fn new(path: &Path, agent: AgentKind, offset: u64) -> OutputReader {
        let file = File::open(path).ok();
        let at_line_start = offset == 0
            || file.as_ref().is_none_or(|file| {
                let mut before = [0];
                file.read_exact_at(&mut before, offset - 1).is_err() || before[0] == b'\n'
            });
        OutputReader {
            file,
            agent,
            offset,
            at_line_start,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next piece before `limit`. A line that is not whole yet is held back, unless `partial`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next(&mut self, limit: u64, partial: bool) -> io::Result<Option<Piece>> {
        let Some(file) = &self.file else {
            return Ok(None);
        };
        let mut bytes = read(file, self.offset, CHUNK, limit)?;
        if !bytes.contains(&b'\n') && bytes.len() == CHUNK {
            bytes = read(file, self.offset, LINE_MAX, limit)?;
        }
        let whole = bytes.iter().rposition(|b| *b == b'\n').map(|at| at + 1);
        let take = match whole {
            Some(whole) => whole,
            None if bytes.len() >= LINE_MAX || partial => char_boundary(&bytes),
            None => 0,
        };
        if take == 0 {
            return Ok(None);
        }
        bytes.truncate(take);
        let mut events = Vec::new();
        if self.at_line_start && whole.is_some() {
            for line in bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
                events.extend(parse(self.agent, line));
            }
        }
        let from = self.offset;
        self.offset += bytes.len() as u64;
        self.at_line_start = whole.is_some();
        let mut json = json!({"offset": from, "end": self.offset, "events": events});
        match String::from_utf8(bytes) {
            Ok(text) => json["text"] = text.into(),
            Err(error) => {
                json["base64"] = base64::engine::general_purpose::STANDARD
                    .encode(error.as_bytes())
                    .into();
            }
        }
        Ok(Some(Piece {
            end: self.offset,
            json,
        }))
    }
}

fn read(file: &File, from: u64, max: usize, limit: u64) -> io::Result<Vec<u8>> {
    let room = limit.saturating_sub(from).min(max as u64);
    let mut bytes = vec![0; usize::try_from(room).unwrap_or(max)];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], from + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// How many of the bytes end in a whole character; all of them if they are no text.
fn char_boundary(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn all(reader: &mut OutputReader, partial: bool) -> Vec<serde_json::Value> {
        std::iter::from_fn(|| reader.next(u64::MAX, partial).unwrap().map(|p| p.json)).collect()
    }

    #[test]
    fn a_line_that_is_not_whole_is_held_back_until_it_must_not_be() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all("eins\nzw".as_bytes()).unwrap();
        let mut reader = OutputReader::new(file.path(), AgentKind::Stub, 0);
        let first = all(&mut reader, false);
        assert_eq!(first.len(), 1);
        assert_eq!(first[0]["text"], "eins\n");
        let rest = all(&mut reader, true);
        assert_eq!(rest[0]["text"], "zw");
        assert_eq!(rest[0]["offset"], 5);
        assert_eq!(reader.offset(), 7);
    }

    #[test]
    fn a_line_over_the_limit_comes_in_pieces_that_make_it_up() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let line = "ä".repeat(LINE_MAX);
        writeln!(file, "{line}").unwrap();
        let mut reader = OutputReader::new(file.path(), AgentKind::Command, 0);
        let pieces = all(&mut reader, false);
        let back: String = pieces.iter().map(|p| p["text"].as_str().unwrap()).collect();
        assert_eq!(back, format!("{line}\n"));
        assert!(pieces.len() >= 2);
    }

    #[test]
    fn bytes_that_are_no_text_come_as_base64() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[0xff, 0xfe, b'\n']).unwrap();
        let mut reader = OutputReader::new(file.path(), AgentKind::Command, 0);
        assert_eq!(all(&mut reader, false)[0]["base64"], "//4K");
    }

    #[test]
    fn a_reader_that_comes_back_in_a_line_does_not_parse_its_rest() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"hello world\nnext\n").unwrap();
        let mut reader = OutputReader::new(file.path(), AgentKind::Command, 6);
        let pieces = all(&mut reader, false);
        assert_eq!(pieces[0]["events"], json!([]));
    }
}
