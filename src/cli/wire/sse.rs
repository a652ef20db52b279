//! The reader of server-sent events (WHATWG HTML, section 9.2.6), byte by byte: where the pieces end does not matter.
//!
//! Deliberately absent: `retry:` (reconnecting has its own back-off) and character sets other than UTF-8.

/// The longest event that is held: the server's frames are far smaller, so that something longer is no such stream.
pub const MAX_EVENT_BYTES: usize = 16 << 20;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// The last id that was sent: where to go on after a broken connection.
    pub id: String,
    /// Its name; `message` if it has none.
    pub name: String,
    /// Its lines of `data`.
    pub payload: String,
}

/// What a stream is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// An event.
    Event(Event),
    /// A comment: a sign of life.
    Comment,
}

/// An event is longer than [`MAX_EVENT_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than {MAX_EVENT_BYTES} bytes")]
pub struct TooLong;

/// Takes pieces of a stream, gives its frames.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    begun: bool,
    id: String,
    name: String,
    payload: Option<String>,
}

impl Parser {
    /// Takes the next piece and gives the frames that it completes.
    pub fn push(&mut self, piece: &[u8]) -> Result<Vec<Frame>, TooLong> {
        let mut frames = Vec::new();
        for &byte in piece {
            let lf_of_crlf = byte == b'\n' && self.after_cr;
            self.after_cr = byte == b'\r';
            match byte {
                _ if lf_of_crlf => {}
                b'\n' | b'\r' => frames.extend(self.end_line()),
                byte => self.line.push(byte),
            }
            let held = self.line.len() + self.payload.as_ref().map_or(0, String::len);
            if held > MAX_EVENT_BYTES {
                return Err(TooLong);
            }
        }
        Ok(frames)
    }

    fn end_line(&mut self) -> Option<Frame> {
        let bytes = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&bytes);
        let line = match std::mem::replace(&mut self.begun, true) {
            true => &line,
            false => line.strip_prefix('\u{feff}').unwrap_or(&line),
        };
        if line.is_empty() {
            return self.end_event();
        }
        if line.starts_with(':') {
            return Some(Frame::Comment);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "data" => match &mut self.payload {
                Some(payload) => {
                    payload.push('\n');
                    payload.push_str(value);
                }
                none => *none = Some(value.to_owned()),
            },
            _ => {}
        }
        None
    }

    /// A blank line: the event is complete. One without data is none.
    fn end_event(&mut self) -> Option<Frame> {
        let name = std::mem::take(&mut self.name);
        let payload = self.payload.take()?;
        Some(Frame::Event(Event {
            id: self.id.clone(),
            name: if name.is_empty() {
                "message".into()
            } else {
                name
            },
            payload,
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(id: &str, name: &str, payload: &str) -> Frame {
        Frame::Event(Event {
            id: id.into(),
            name: name.into(),
            payload: payload.into(),
        })
    }

    fn parsed(text: &str) -> Vec<Frame> {
        Parser::default().push(text.as_bytes()).unwrap()
    }

    #[test]
    fn an_event_has_id_name_and_lines_of_data() {
        let text = "id: 7-0\nevent: status\ndata: {\"a\":1}\n\n: alive\n\ndata:one\ndata: two\n\n";
        assert_eq!(
            parsed(text),
            [
                event("7-0", "status", "{\"a\":1}"),
                Frame::Comment,
                event("7-0", "message", "one\ntwo")
            ]
        );
    }

    #[test]
    fn lines_may_end_in_three_ways() {
        let expected = [event("1", "message", "x"), event("1", "message", "y")];
        for end in ["\n", "\r", "\r\n"] {
            let text = format!("id: 1{end}data: x{end}{end}data: y{end}{end}");
            assert_eq!(parsed(&text), expected, "{end:?}");
        }
    }

    #[test]
    fn an_event_without_data_or_without_its_end_is_none() {
        assert_eq!(parsed("event: status\nid: 3\n\ndata: cut off\n"), []);
    }

    #[test]
    fn a_mark_of_byte_order_at_the_beginning_is_skipped() {
        assert_eq!(parsed("\u{feff}data: x\n\n"), [event("", "message", "x")]);
    }

    #[test]
    fn an_event_without_an_end_is_refused_at_its_limit() {
        let mut parser = Parser::default();
        let piece = vec![b'x'; 1 << 20];
        let refused = (0..=16).find_map(|_| parser.push(&piece).err());
        assert_eq!(refused, Some(TooLong));
    }

    proptest! {
        #[test]
        fn where_the_pieces_end_does_not_matter(
            lines in proptest::collection::vec("(id: [0-9]{1,3}|event: [a-z]{1,5}|data: [a-zü]{0,8}|: c|)", 0..40),
            ends in proptest::collection::vec(proptest::sample::select(vec!["\n", "\r", "\r\n"]), 40),
            cuts in proptest::collection::vec(1usize..7, 1..60),
        ) {
            let text: String = lines.iter().zip(&ends).map(|(line, end)| format!("{line}{end}")).collect();
            let whole = parsed(&text);
            let mut parser = Parser::default();
            let mut rest = text.as_bytes();
            let mut frames = Vec::new();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                frames.extend(parser.push(piece).unwrap());
                rest = after;
            }
            prop_assert_eq!(frames, whole);
        }
    }
}
