//! Many clients at once, by bytes: what they cost themselves is to be as little as can be, for they share the machine.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::printer::now_ns;

/// Where a URL points: the host with its port.
fn host(url: &str) -> &str {
    url.trim_start_matches("http://")
}

async fn connect(url: &str) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(host(url)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Readers of one stream that are connected and have its first frame or its headers.
pub struct Readers(Vec<TcpStream>);

/// What a reader has seen.
#[derive(Debug, Default, Clone)]
pub struct Read {
    pub frames: u64,
    /// Nanoseconds from print to here, of lines that say when they were printed.
    pub late: Vec<u64>,
}

impl Readers {
    pub async fn connect(url: &str, path: &str, count: usize) -> anyhow::Result<Readers> {
        let mut streams = Vec::with_capacity(count);
        for _ in 0..count {
            let mut stream = connect(url).await?;
            let head = format!(
                "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n\r\n",
                host(url)
            );
            stream.write_all(head.as_bytes()).await?;
            streams.push(stream);
        }
        for stream in &mut streams {
            let mut buffer = [0; 4096];
            let n = stream.read(&mut buffer).await?;
            let text = String::from_utf8_lossy(&buffer[..n]);
            anyhow::ensure!(text.starts_with("HTTP/1.1 200"), "{text}");
        }
        Ok(Readers(streams))
    }

    /// Reads until each has seen this text.
    pub async fn until(self, last: &'static str) -> anyhow::Result<Vec<Read>> {
        let mut tasks = Vec::with_capacity(self.0.len());
        for stream in self.0 {
            tasks.push(tokio::spawn(read_until(stream, last.as_bytes())));
        }
        let mut all = Vec::new();
        for task in tasks {
            all.push(tokio::time::timeout(Duration::from_secs(180), task).await???);
        }
        Ok(all)
    }
}

async fn read_until(mut stream: TcpStream, last: &[u8]) -> anyhow::Result<Read> {
    const FRAME: &[u8] = b"\nevent: output\n";
    const PRINTED: &[u8] = b"printed-at ";
    let mut read = Read::default();
    let mut buffer = vec![0; 64 * 1024];
    // What may be the beginning of something stays in front.
    let mut kept = 0;
    loop {
        let n = stream.read(&mut buffer[kept..]).await?;
        anyhow::ensure!(n > 0, "a stream ended");
        let seen = &buffer[..kept + n];
        let now = now_ns();
        let end = seen
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |at| at);
        let whole = &seen[..end];
        read.frames += count(whole, FRAME);
        for at in positions(whole, PRINTED) {
            let digits: String = whole[at + PRINTED.len()..]
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .map(|&byte| char::from(byte))
                .collect();
            if let Ok(printed) = digits.parse::<u128>() {
                read.late
                    .push(u64::try_from(now.saturating_sub(printed)).unwrap_or(u64::MAX));
            }
        }
        if positions(seen, last).next().is_some() {
            return Ok(read);
        }
        let from = end;
        let length = seen.len() - from;
        buffer.copy_within(from..from + length, 0);
        kept = length;
        if kept == buffer.len() {
            buffer.resize(buffer.len() * 2, 0);
        }
    }
}

fn positions<'a>(text: &'a [u8], what: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    text.windows(what.len())
        .enumerate()
        .filter(move |(_, window)| *window == what)
        .map(|(at, _)| at)
}

fn count(text: &[u8], what: &[u8]) -> u64 {
    positions(text, what).count() as u64
}

/// Asks the same on so many connections for so long; answers in a second.
pub async fn rate(
    url: &str,
    request: &str,
    connections: usize,
    lasts: Duration,
) -> anyhow::Result<f64> {
    let ends = Instant::now() + lasts;
    let mut tasks = Vec::new();
    for _ in 0..connections {
        let mut stream = connect(url).await?;
        let request = request.replace("HOST", host(url)).into_bytes();
        tasks.push(tokio::spawn(async move {
            let mut answers = 0_u64;
            let mut buffer = vec![0; 256 * 1024];
            while Instant::now() < ends {
                stream.write_all(&request).await?;
                answer(&mut stream, &mut buffer).await?;
                answers += 1;
            }
            anyhow::Ok(answers)
        }));
    }
    let mut all = 0;
    for task in tasks {
        all += task.await??;
    }
    let all = all as f64;
    Ok(all / lasts.as_secs_f64())
}

/// Reads one answer that names its length.
async fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> anyhow::Result<()> {
    let mut have = 0;
    loop {
        let n = stream.read(&mut buffer[have..]).await?;
        anyhow::ensure!(n > 0, "the connection ended");
        have += n;
        let Some(head) = positions(&buffer[..have], b"\r\n\r\n").next() else {
            continue;
        };
        let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
        anyhow::ensure!(text.starts_with("http/1.1 2"), "{text}");
        let length: usize = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok())
            .context("an answer without a length")?;
        if have >= head + 4 + length {
            return Ok(());
        }
    }
}
