//! Agents that print: the bench calls itself as one, so that what they print is the same everywhere.

use std::io::{BufWriter, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

/// The last line of each.
pub const LAST: &str = "that was all";

/// `bytes:N` (lines of 100 bytes, as fast as it goes), `lines:N` (the same, in lines), `paced:N` (a line each 10 ms that
/// says when it was printed). With `after:PATH:` before it, it waits until there is such a file.
pub fn print(what: &str) -> anyhow::Result<()> {
    let what = match what.strip_prefix("after:") {
        None => what,
        Some(rest) => {
            let (path, what) = rest.split_once(':').context("after:PATH:WHAT")?;
            while !std::path::Path::new(path).exists() {
                std::thread::sleep(Duration::from_millis(5));
            }
            what
        }
    };
    let (kind, count) = what.split_once(':').context("KIND:COUNT")?;
    let count: u64 = count.parse()?;
    let mut out = BufWriter::with_capacity(64 * 1024, std::io::stdout().lock());
    match kind {
        "bytes" | "lines" => {
            let lines = if kind == "bytes" { count / 100 } else { count };
            let line = [b'x'; 92];
            for n in 0..lines {
                out.write_all(&line)?;
                writeln!(out, "{:07}", n % 10_000_000)?;
            }
        }
        "paced" => {
            for _ in 0..count {
                std::thread::sleep(Duration::from_millis(10));
                writeln!(out, "printed-at {} ", now_ns())?;
                out.flush()?;
            }
        }
        other => anyhow::bail!("no such agent: {other}"),
    }
    writeln!(out, "{LAST}")?;
    out.flush()?;
    Ok(())
}

/// Nanoseconds of the wall clock, which two processes share.
pub fn now_ns() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos())
}
