//! What is asked inside of a network: a free port, and what a URL of loopback answers. HTTP/1.1, one request a
//! connection, and of the answer only its first line.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// How long a connection and its answer may take.
const BUDGET: Duration = Duration::from_secs(5);
/// The longest first line.
const LINE_MAX: usize = 1024;

/// What came of asking a URL once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// An HTTP answer with this status.
    Status(u16),
    /// Somebody took the connection and gave no HTTP answer: what they did.
    Other(String),
    /// Nobody took the connection: what the system said.
    Nobody(String),
}

impl Answer {
    /// Whether it is a 2xx.
    #[must_use]
    pub fn is_good(&self) -> bool {
        matches!(self, Answer::Status(200..=299))
    }

    /// For a person.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Answer::Status(status) => format!("it answered with {status}"),
            Answer::Other(what) => format!("something listens there, but {what}"),
            Answer::Nobody(why) => format!("nothing listens there: {why}"),
        }
    }
}

/// A port of loopback that nobody listens on at this moment, on either address.
pub(super) fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// Asks once.
pub(super) fn get(url: &str) -> Answer {
    let Some((authority, path)) = parts(url) else {
        return Answer::Nobody(format!("`{url}` is no http URL of loopback"));
    };
    let Some(addresses) = addresses(authority) else {
        return Answer::Nobody(format!("`{authority}` is not loopback"));
    };
    let until = Instant::now() + BUDGET;
    let mut nobody = String::new();
    for address in addresses {
        match TcpStream::connect_timeout(&address, BUDGET) {
            Ok(stream) => return status(stream, authority, &path, until),
            Err(error) => nobody = error.to_string(),
        }
    }
    Answer::Nobody(nobody)
}

/// What stands between `http://` and the path, and the path with what follows it.
fn parts(url: &str) -> Option<(&str, String)> {
    let url = url.split('#').next()?.strip_prefix("http://")?;
    let end = url.find(['/', '?']).unwrap_or(url.len());
    let (authority, path) = url.split_at(end);
    let path = match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("/{path}"),
    };
    let plain = !url.contains(|c: char| c.is_control() || c == ' ');
    plain.then_some((authority, path))
}

fn addresses(authority: &str) -> Option<Vec<SocketAddr>> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, 80),
    };
    let (four, six) = (
        SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
    );
    match host {
        "127.0.0.1" => Some(vec![four]),
        "[::1]" => Some(vec![six]),
        "localhost" => Some(vec![four, six]),
        _ => None,
    }
}

/// Sends the request and reads the status line.
fn status(mut stream: TcpStream, authority: &str, path: &str, until: Instant) -> Answer {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: agent_runner_api\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    let mut line = Vec::new();
    let read = stream
        .set_write_timeout(Some(BUDGET))
        .and_then(|()| stream.write_all(request.as_bytes()))
        .and_then(|()| read_line(&mut stream, &mut line, until));
    match (read, status_of(&line)) {
        (_, Some(status)) => Answer::Status(status),
        (Err(error), None) => Answer::Other(format!("it gave no answer: {error}")),
        (Ok(()), None) => Answer::Other("its answer is not HTTP".to_owned()),
    }
}

fn read_line(stream: &mut TcpStream, line: &mut Vec<u8>, until: Instant) -> io::Result<()> {
    let mut bytes = [0; 256];
    while !line.contains(&b'\n') && line.len() < LINE_MAX {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut bytes)? {
            0 => return Ok(()),
            n => line.extend(&bytes[..n]),
        }
    }
    Ok(())
}

/// The number in `HTTP/1.1 200 OK` (RFC 9112, section 4).
fn status_of(line: &[u8]) -> Option<u16> {
    let line = line.strip_prefix(b"HTTP/1.")?;
    let digits = line.get(2..5)?;
    let all_digits = digits.iter().all(u8::is_ascii_digit);
    all_digits.then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Somebody who takes one connection, reads the request, says this and hangs up. The request, in the end.
    fn says(words: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let n = stream.read(&mut request).unwrap();
            stream.write_all(words.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..n]).into_owned()
        });
        (url, asked)
    }

    #[test]
    fn an_http_answer_is_its_status_and_anything_else_is_told_as_that() {
        let of = |words| get(&says(words).0);
        assert_eq!(of("HTTP/1.1 204 No Content\r\n\r\n"), Answer::Status(204));
        assert_eq!(of("HTTP/1.0 503 \r\n\r\n"), Answer::Status(503));
        for no_http in ["220 mail\r\n", "HTTP/1.1", "HTTP/1.1 2x0 a\r\n", ""] {
            let answer = of(no_http);
            assert!(matches!(answer, Answer::Other(_)), "{no_http}: {answer:?}");
        }
    }

    #[test]
    fn the_path_and_what_follows_it_are_asked_for() {
        let (url, asked) = says("HTTP/1.1 200 OK\r\n\r\n");
        assert!(get(&format!("{url}/a/b?c=d#e")).is_good());
        let request = asked.join().unwrap();
        assert!(
            request.starts_with("GET /a/b?c=d HTTP/1.1\r\n"),
            "{request}"
        );
        let (url, asked) = says("HTTP/1.1 200 OK\r\n\r\n");
        assert!(get(&format!("{url}?x")).is_good());
        assert!(asked.join().unwrap().starts_with("GET /?x HTTP/1.1\r\n"));
    }

    #[test]
    fn nobody_is_asked_but_loopback() {
        let port = free_port().unwrap();
        for url in [
            format!("http://127.0.0.1:{port}/"),
            format!("http://localhost:{port}/"),
            "http://10.0.0.1/".to_owned(),
            "https://127.0.0.1/".to_owned(),
            "http://127.0.0.1:1/a b".to_owned(),
        ] {
            assert!(matches!(get(&url), Answer::Nobody(_)), "{url}");
        }
    }
}
