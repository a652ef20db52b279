//! A reader of the server's streams (WHATWG HTML, server-sent events).

use std::io::{BufRead, BufReader, Read};

use base64::Engine as _;
use serde_json::Value;

/// One frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    pub id: String,
    pub name: String,
    pub json: Value,
}

impl Frame {
    /// The bytes of an `output` frame.
    pub fn output(&self) -> Vec<u8> {
        assert_eq!(self.name, "output");
        match (self.json["text"].as_str(), self.json["base64"].as_str()) {
            (Some(text), None) => text.as_bytes().to_vec(),
            (None, Some(coded)) => base64::engine::general_purpose::STANDARD
                .decode(coded)
                .unwrap(),
            _ => panic!("one of both: {:?}", self.json),
        }
    }

    /// The event's number and the byte of the output after which its reader is.
    pub fn place(&self) -> (u64, u64) {
        let (seq, offset) = self.id.split_once('-').expect("an id has two halves");
        (seq.parse().unwrap(), offset.parse().unwrap())
    }
}

/// An open stream. It ends by an error when the client's patience does.
pub struct Frames {
    lines: BufReader<Box<dyn Read + Send>>,
    /// How many comments came between the frames.
    pub heartbeats: usize,
    /// Whether the service has said that it stops.
    pub stopping: bool,
}

impl Frames {
    pub fn of(body: Box<dyn Read + Send>) -> Frames {
        Frames {
            lines: BufReader::with_capacity(256 * 1024, body),
            heartbeats: 0,
            stopping: false,
        }
    }

    /// The next frame; `None` if the stream has ended, in the middle of a frame or not.
    pub fn next(&mut self) -> Option<Frame> {
        let (mut id, mut name, mut json) = (None, None, None);
        loop {
            let line = self.line()?;
            match line.split_once(':') {
                Some(("", _)) => self.heartbeats += 1,
                Some(("id", value)) => id = Some(value.trim().to_owned()),
                Some(("event", value)) => name = Some(value.trim().to_owned()),
                Some(("data", value)) => json = Some(serde_json::from_str(value).unwrap()),
                Some(("retry", _)) => {}
                None if line.is_empty() => {
                    self.stopping |= name.as_deref() == Some("stopping");
                    if let (Some(id), Some(name), Some(json)) =
                        (id.take(), name.take(), json.take())
                    {
                        return Some(Frame { id, name, json });
                    }
                }
                other => panic!("no line of a stream: {other:?}"),
            }
        }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        match self.lines.read_until(b'\n', &mut line) {
            Ok(1..) if line.ends_with(b"\n") => {
                line.pop();
                Some(String::from_utf8(line).unwrap())
            }
            _ => None,
        }
    }

    /// Waits for a comment.
    pub fn heartbeat(&mut self) {
        while self.heartbeats == 0 {
            let line = self.line().expect("the stream goes on");
            self.heartbeats += usize::from(line.starts_with(':'));
        }
    }

    /// All frames up to and with the first that this is true of, which must come.
    #[track_caller]
    pub fn until(&mut self, wanted: impl Fn(&Frame) -> bool) -> Vec<Frame> {
        let mut seen = Vec::new();
        loop {
            let Some(frame) = self.next() else {
                let names: Vec<_> = seen.iter().map(|f: &Frame| &f.name).collect();
                panic!("the stream ended after {names:?}");
            };
            seen.push(frame);
            if wanted(&seen[seen.len() - 1]) {
                return seen;
            }
        }
    }

    /// All frames up to the one that says this status.
    #[track_caller]
    pub fn until_status(&mut self, status: &str) -> Vec<Frame> {
        self.until(|frame| frame.json["status"] == status)
    }
}

/// The output that these frames hold; each must go on where the one before ended.
#[track_caller]
pub fn output_of<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> Vec<u8> {
    let mut output = Vec::new();
    for frame in frames.into_iter().filter(|frame| frame.name == "output") {
        assert_eq!(frame.json["offset"], output.len(), "a gap or a repetition");
        output.extend(frame.output());
        assert_eq!(frame.json["end"], output.len());
    }
    output
}
