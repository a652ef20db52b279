//! The supervisor's end of `control.sock`. Nobody can keep it waiting: every connection is non-blocking, has a deadline
//! and a longest line, and there are only so many.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::Mode;
use rustix::process::{chdir, geteuid, umask};

use crate::process::control::{Answer, MAX_LINE, Request, SOCKET, Status};

/// Connections at a time; with one more, the one that has said nothing for longest is let go.
const MAX_CLIENTS: usize = 16;
/// How long a connection has to say its line.
const PATIENCE: Duration = Duration::from_secs(2);

/// The socket and those who are connected.
pub(super) struct Listener {
    socket: UnixListener,
    clients: Vec<Client>,
}

struct Client {
    stream: UnixStream,
    line: Vec<u8>,
    until: Instant,
}

/// What a client has said so far.
enum Said {
    NotAllYet,
    /// The line without its end.
    Line,
    /// Nothing that could be answered.
    Nonsense,
}

impl Listener {
    /// Makes the socket in `dir`, for this user only. Changes the working directory to `/`.
    pub(super) fn bind(dir: &Path) -> io::Result<Listener> {
        match std::fs::remove_file(dir.join(SOCKET)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        // A socket's path has at most 107 bytes, a directory's may have more: so it is bound from inside.
        chdir(dir)?;
        let mask = umask(Mode::RWXG | Mode::RWXO);
        let bound = UnixListener::bind(SOCKET);
        umask(mask);
        chdir("/")?;
        let socket = bound?;
        socket.set_nonblocking(true)?;
        Ok(Listener {
            socket,
            clients: Vec::new(),
        })
    }

    /// What to wait on for input.
    pub(super) fn waits_on(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let clients = self.clients.iter().map(|client| client.stream.as_fd());
        std::iter::once(self.socket.as_fd()).chain(clients)
    }

    /// When the first connection runs out of time.
    pub(super) fn due(&self) -> Option<Instant> {
        self.clients.iter().map(|client| client.until).min()
    }

    /// Takes new connections, answers those who have said their line, and lets go of those who never will.
    pub(super) fn serve(&mut self, now: Instant, mut carry_out: impl FnMut(Request) -> Status) {
        while let Ok((stream, _address)) = self.socket.accept() {
            let ours = rustix::net::sockopt::socket_peercred(&stream)
                .is_ok_and(|peer| peer.uid == geteuid());
            if ours && stream.set_nonblocking(true).is_ok() {
                self.clients.push(Client {
                    stream,
                    line: Vec::new(),
                    until: now + PATIENCE,
                });
            }
            if self.clients.len() > MAX_CLIENTS {
                self.answer_all(now, &mut carry_out);
                let too_many = self.clients.len().saturating_sub(MAX_CLIENTS);
                self.clients.drain(..too_many);
            }
        }
        self.answer_all(now, &mut carry_out);
    }

    fn answer_all(&mut self, now: Instant, mut carry_out: impl FnMut(Request) -> Status) {
        self.clients.retain_mut(|client| match client.listen() {
            Said::NotAllYet => now < client.until,
            Said::Nonsense => {
                client.say(&Answer::Error("not a request".to_owned()));
                false
            }
            Said::Line => {
                let answer = match serde_json::from_slice(&client.line) {
                    Ok(request) => Answer::Ok(carry_out(request)),
                    Err(e) => Answer::Error(e.to_string()),
                };
                client.say(&answer);
                false
            }
        });
    }
}

impl Client {
    /// Reads what is there. A line that was whole counts even if its speaker has hung up since.
    fn listen(&mut self) -> Said {
        let mut bytes = [0; 512];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Said::Nonsense,
                Ok(n) => self.line.extend_from_slice(&bytes[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Said::NotAllYet,
                Err(_) => return Said::Nonsense,
            }
            if let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
                self.line.truncate(end);
                return Said::Line;
            }
            if self.line.len() > MAX_LINE {
                return Said::Nonsense;
            }
        }
    }

    /// A short line always fits into an empty socket; if its reader is gone, so is the need for it.
    fn say(&mut self, answer: &Answer) {
        let mut line = serde_json::to_vec(answer).unwrap_or_default();
        line.push(b'\n');
        let _unheard = self.stream.write_all(&line);
    }
}
