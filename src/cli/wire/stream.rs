//! A stream of events that goes on where it broke off.

use std::io::Read as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use ureq::Body;

use super::sse::{Event, Frame, Parser, TooLong};
use super::{Client, query};
use crate::cli::error::CliError;

/// Silence after which a connection counts as dead: three of the server's heartbeats.
const SILENCE: Duration = Duration::from_secs(45);

/// The first pause before connecting again; each next one is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Connections tried before giving up: about a minute, longer than a restart of the server takes.
const TRIES: u32 = 16;

/// Events read ahead of the one that shows them.
const READ_AHEAD: usize = 64;

/// Where a stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// A snapshot, then what happens from now on.
    Now,
    /// All that ever happened.
    Beginning,
}

/// What a stream has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// An event.
    Event(Event),
    /// Nothing in the time that was given.
    Nothing,
    /// The connection is gone, for this reason.
    Lost(String),
}

/// A stream of events of one run.
#[derive(Debug)]
pub struct Stream {
    client: Client,
    path: String,
    last_id: String,
    /// Connections in a row that brought no news.
    barren: u32,
    from: Receiver<Piece>,
}

/// What the reading thread passes on.
#[derive(Debug)]
enum Piece {
    Frame(Frame),
    Lost(String),
    TooLong(TooLong),
}

impl Stream {
    /// Opens the stream at this path.
    pub fn open(client: &Client, path: String, start: Start) -> Result<Stream, CliError> {
        let after = match start {
            Start::Now => String::new(),
            Start::Beginning => query(&[("after", "0".into())]),
        };
        let from = connect(client, &format!("{path}{after}"), "")?;
        Ok(Stream {
            client: client.clone(),
            path,
            last_id: String::new(),
            barren: 0,
            from,
        })
    }

    /// Waits for the next event; with a patience, no longer than that.
    pub fn next(&mut self, patience: Option<Duration>) -> Result<Heard, CliError> {
        let until = patience.map(|patience| Instant::now() + patience);
        loop {
            let wait = until.map_or(SILENCE, |until| {
                until.saturating_duration_since(Instant::now())
            });
            return Ok(match self.from.recv_timeout(wait) {
                Ok(Piece::Frame(Frame::Event(event))) => {
                    if event.name != "connected" {
                        self.barren = 0;
                    }
                    self.last_id.clone_from(&event.id);
                    Heard::Event(event)
                }
                Ok(Piece::Frame(Frame::Comment)) => continue,
                Ok(Piece::Lost(why)) => Heard::Lost(why),
                Ok(Piece::TooLong(why)) => return Err(CliError::Failed(why.into())),
                Err(RecvTimeoutError::Timeout) if until.is_some() => Heard::Nothing,
                Err(RecvTimeoutError::Timeout) => {
                    Heard::Lost(format!("no sign of life for {} s", SILENCE.as_secs()))
                }
                Err(RecvTimeoutError::Disconnected) => Heard::Lost("it ended".into()),
            });
        }
    }

    /// Connects again and goes on after the last event. Only a server that does not answer, or is busy, is tried again.
    pub fn reconnect(&mut self) -> Result<(), CliError> {
        loop {
            thread::sleep(pause_after(self.barren));
            self.barren += 1;
            match connect(&self.client, &self.path_again(), &self.last_id) {
                Ok(from) => {
                    self.from = from;
                    return Ok(());
                }
                Err(why) if self.barren >= TRIES || !passes(&why) => return Err(why),
                Err(_) => {}
            }
        }
    }

    /// Before any event there is no id to go on from.
    fn path_again(&self) -> String {
        if self.last_id.is_empty() {
            format!("{}{}", self.path, query(&[("after", "0".into())]))
        } else {
            self.path.clone()
        }
    }
}

/// The pause before the next connection, after so many that brought nothing.
fn pause_after(barren: u32) -> Duration {
    let doubled = FIRST_PAUSE * 2_u32.pow(barren.min(6));
    doubled.min(LONGEST_PAUSE)
}

/// Whether it may go away by itself.
fn passes(why: &CliError) -> bool {
    match why {
        CliError::Unreachable { .. } => true,
        CliError::Refused(problem) => matches!(problem.status, 429 | 503),
        _ => false,
    }
}

fn connect(client: &Client, path: &str, last_id: &str) -> Result<Receiver<Piece>, CliError> {
    let mut headers = vec![("accept", "text/event-stream")];
    if !last_id.is_empty() {
        headers.push(("last-event-id", last_id));
    }
    let body = client.open(path, &headers)?.into_body();
    let (to, from) = sync_channel(READ_AHEAD);
    // The thread ends with its connection, or with the process: a blocked read cannot be called off.
    thread::spawn(move || read(body, &to));
    Ok(from)
}

/// Reads until the connection ends or nobody listens any more.
fn read(body: Body, to: &SyncSender<Piece>) {
    let mut reader = body.into_with_config().limit(u64::MAX).reader();
    let mut parser = Parser::default();
    let mut buffer = vec![0; 64 * 1024];
    let why = loop {
        let frames = match reader.read(&mut buffer) {
            Ok(0) => break "the server closed it".to_owned(),
            Ok(length) => parser.push(&buffer[..length]),
            Err(why) => break why.to_string(),
        };
        let frames = match frames {
            Ok(frames) => frames,
            Err(why) => {
                let _ = to.send(Piece::TooLong(why));
                return;
            }
        };
        for frame in frames {
            if to.send(Piece::Frame(frame)).is_err() {
                return;
            }
        }
    };
    let _ = to.send(Piece::Lost(why));
}
