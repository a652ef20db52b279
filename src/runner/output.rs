//! The output of a run, cut into frames for those who watch. It is read from its file each time, never kept.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use serde::Serialize;

use crate::agent::{Activity, parse};
use crate::run::{AgentKind, RunId};

/// The longest line that is kept in one frame, and so is parsed; a longer one comes in pieces.
const LINE_MAX: usize = 1024 * 1024;
/// What is read at once, if no line is longer.
const CHUNK: usize = 16 * 1024;

/// The output file of a run, opened once for all who read it, as soon as it is there.
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    agent: AgentKind,
    file: OnceLock<File>,
}

impl OutputFile {
    /// The file at this path, that an agent of this kind prints into.
    #[must_use]
    pub fn at(path: PathBuf, agent: AgentKind) -> OutputFile {
        OutputFile {
            path,
            agent,
            file: OnceLock::new(),
        }
    }

    fn file(&self) -> Option<&File> {
        if self.file.get().is_none() {
            let file = File::open(&self.path).ok()?;
            // Who was first has opened the same file.
            let _ = self.file.set(file);
        }
        self.file.get()
    }

    /// How long it is now.
    #[must_use]
    pub fn len(&self) -> u64 {
        let meta = self.file().and_then(|file| file.metadata().ok());
        meta.map_or(0, |meta| meta.len())
    }

    /// Where the line begins that this byte is in; the byte itself, if the line is longer than one that is parsed.
    #[must_use]
    pub fn line_start(&self, offset: u64) -> u64 {
        self.file().map_or(offset, |file| line_start(file, offset))
    }
}

/// A reader of the output file at one place.
#[derive(Debug)]
pub struct OutputReader {
    file: Arc<OutputFile>,
    offset: u64,
    at_line_start: bool,
}

/// One piece of the output.
#[derive(Debug)]
pub struct Piece {
    /// Where it begins.
    pub from: u64,
    /// Where it ends.
    pub end: u64,
    bytes: Vec<u8>,
    events: Vec<Activity>,
}

/// The JSON of its frame.
#[derive(Debug, Serialize)]
pub struct Shown<'a> {
    run_id: RunId,
    attempt: Option<u32>,
    offset: u64,
    end: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    events: &'a [Activity],
}

impl Piece {
    /// As it is told: what this attempt of this run printed.
    #[must_use]
    pub fn shown(&self, run_id: RunId, attempt: Option<u32>) -> Shown<'_> {
        let text = std::str::from_utf8(&self.bytes).ok();
        Shown {
            run_id,
            attempt,
            offset: self.from,
            end: self.end,
            text,
            base64: text
                .is_none()
                .then(|| base64::engine::general_purpose::STANDARD.encode(&self.bytes)),
            events: &self.events,
        }
    }
}

fn line_start(file: &File, offset: u64) -> u64 {
    let from = offset.saturating_sub(LINE_MAX as u64);
    // Most lines are short.
    for from in [offset.saturating_sub(CHUNK as u64), from] {
        let Ok(before) = read(file, from, LINE_MAX, offset) else {
            return offset;
        };
        if let Some(at) = before.iter().rposition(|b| *b == b'\n') {
            return from + at as u64 + 1;
        }
        if from == 0 {
            return 0;
        }
    }
    offset
}

impl OutputReader {
    /// A reader from this byte on.
    #[must_use]
    pub fn new(file: Arc<OutputFile>, offset: u64) -> OutputReader {
        let at_line_start = offset == 0
            || file.file().is_none_or(|file| {
                let mut before = [0];
                file.read_exact_at(&mut before, offset - 1).is_err() || before[0] == b'\n'
            });
        OutputReader {
            file,
            offset,
            at_line_start,
        }
    }

    /// The next piece before `limit`. A line that is not whole yet is held back, unless `partial`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next(&mut self, limit: u64, partial: bool) -> io::Result<Option<Piece>> {
        let Some(file) = self.file.file() else {
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
                events.extend(parse(self.file.agent, line));
            }
        }
        let from = self.offset;
        self.offset += bytes.len() as u64;
        self.at_line_start = whole.is_some();
        Ok(Some(Piece {
            from,
            end: self.offset,
            bytes,
            events,
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
        let run = RunId(uuid::Uuid::nil());
        std::iter::from_fn(|| reader.next(u64::MAX, partial).unwrap())
            .map(|piece| serde_json::to_value(piece.shown(run, Some(1))).unwrap())
            .collect()
    }

    fn reader(file: &tempfile::NamedTempFile, agent: AgentKind, offset: u64) -> OutputReader {
        let file = OutputFile::at(file.path().to_owned(), agent);
        OutputReader::new(Arc::new(file), offset)
    }

    #[test]
    fn a_line_that_is_not_whole_is_held_back_until_it_must_not_be() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all("eins\nzw".as_bytes()).unwrap();
        let mut reader = reader(&file, AgentKind::Stub, 0);
        let first = all(&mut reader, false);
        assert_eq!(first.len(), 1);
        assert_eq!(first[0]["text"], "eins\n");
        let rest = all(&mut reader, true);
        assert_eq!(rest[0]["text"], "zw");
        assert_eq!(rest[0]["offset"], 5);
        assert_eq!(rest[0]["end"], 7);
    }

    #[test]
    fn a_line_over_the_limit_comes_in_pieces_that_make_it_up() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let line = "ä".repeat(LINE_MAX);
        writeln!(file, "{line}").unwrap();
        let mut reader = reader(&file, AgentKind::Command, 0);
        let pieces = all(&mut reader, false);
        let back: String = pieces.iter().map(|p| p["text"].as_str().unwrap()).collect();
        assert_eq!(back, format!("{line}\n"));
        assert!(pieces.len() >= 2);
    }

    #[test]
    fn bytes_that_are_no_text_come_as_base64() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[0xff, 0xfe, b'\n']).unwrap();
        let mut reader = reader(&file, AgentKind::Command, 0);
        assert_eq!(all(&mut reader, false)[0]["base64"], "//4K");
    }

    #[test]
    fn a_reader_that_comes_back_in_a_line_does_not_parse_its_rest() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"hello world\nnext\n").unwrap();
        let mut reader = reader(&file, AgentKind::Command, 6);
        let pieces = all(&mut reader, false);
        assert_eq!(pieces[0]["events"], serde_json::json!([]));
    }

    #[test]
    fn the_start_of_a_line_is_found_from_its_middle() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let long = "x".repeat(CHUNK * 2);
        write!(file, "one\ntwo\n{long}").unwrap();
        let file = file.reopen().unwrap();
        for (middle, start) in [(0, 0), (2, 0), (4, 4), (6, 4), (8 + 2 * CHUNK as u64, 8)] {
            assert_eq!(line_start(&file, middle), start, "{middle}");
        }
    }
}
