//! A thousand readers, two hundred more that never read, and an agent that prints as fast as it can.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use serde_json::json;

use crate::support::frames::{Frame, Frames};
use crate::support::server::{Server, Setup};
use crate::support::wait::PATIENCE;

use super::flat::Size;

const READERS: usize = 1_000;
const SILENT: usize = 200;
/// Threads that read, each of its readers in turn.
const THREADS: usize = 20;
/// What the agent prints.
const OUTPUT: usize = 20_000_000;
/// What the service may grow by for each reader.
const KIB_A_READER: u64 = 160;

/// A stream on a connection of its own, read as it comes.
fn open(server: &Server, path: &str) -> TcpStream {
    let host = server.client().address();
    let mut stream = TcpStream::connect(&host).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let ask = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\naccept: text/event-stream\r\n\r\n");
    stream.write_all(ask.as_bytes()).unwrap();
    stream
}

/// The body of an answer in chunks, without their frames.
struct Body {
    stream: TcpStream,
    left: usize,
    begun: bool,
}

impl Body {
    fn of(stream: TcpStream) -> Body {
        Body {
            stream,
            left: 0,
            begun: false,
        }
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            if self.stream.read(&mut byte)? == 0 {
                break;
            }
            line.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if !self.begun {
            self.begun = true;
            assert!(self.line()?.contains(" 200 "), "it is no stream");
            while !self.line()?.is_empty() {}
        }
        while self.left == 0 {
            let size = self.line()?;
            if size.is_empty() {
                continue;
            }
            self.left = usize::from_str_radix(&size, 16).unwrap();
            if self.left == 0 {
                return Ok(0);
            }
        }
        let most = buffer.len().min(self.left);
        let read = self.stream.read(&mut buffer[..most])?;
        self.left -= read;
        Ok(read)
    }
}

/// Reads until the run has finished, and comes back wherever the service has let it go for being slow. What it was told of
/// the run, by number; how often it came back.
fn read_to_the_end(server: &Server, stream: TcpStream, run: &str) -> (Vec<u64>, usize) {
    let (mut told, mut resumed) = (Vec::new(), 0);
    let mut last: Option<Frame> = None;
    let mut frames = Frames::of(Box::new(Body::of(stream)));
    loop {
        let Some(frame) = frames.next() else {
            let after = last.as_ref().map_or("0", |last| last.id.as_str());
            let again = open(server, &format!("/api/events?after={after}"));
            frames = Frames::of(Box::new(Body::of(again)));
            resumed += 1;
            continue;
        };
        let grows = last
            .as_ref()
            .is_none_or(|last| frame.place() > last.place());
        assert!(
            grows || frame.name == "connected",
            "{last:?}, then {frame:?}"
        );
        if frame.json["run_id"] == run && frame.name == "status" {
            told.push(frame.place().0);
            if frame.json["status"] == "finished" {
                return (told, resumed);
            }
        }
        last = Some(frame);
    }
}

/// Seen red: with sixteen frames waiting for a reader, 64 KiB of output in each and the buffers that hyper takes by itself,
/// 1,360 MB; with the old most of 1,024 connections, streams are refused.
#[test]
fn many_readers_and_some_that_never_read_neither_block_the_agent_nor_grow_the_service() {
    let server = Setup::new().start();
    let go = server.mark_path("go");
    let alone = {
        let run = server.run_plain(&format!("flood {OUTPUT}"));
        let begun = Instant::now();
        run.wait_for("finished");
        begun.elapsed()
    };
    let run = server.run_plain(&format!("wait-for {go}\nflood {OUTPUT}"));
    let before = Size::of(&server);
    // They follow the output from its first byte and take none of it.
    let silent: Vec<_> = (0..SILENT)
        .map(|_| open(&server, &format!("{}?after=0", run.path("/sse"))))
        .collect();
    // From the first event: without that a stream begins where the service is when it comes to the request, which may be late.
    let open_ones: Vec<_> = (0..READERS)
        .map(|_| open(&server, "/api/events?after=0"))
        .collect();
    let bodies = Mutex::new(open_ones);
    let (told_ones, resumptions) = (Mutex::new(BTreeSet::new()), AtomicUsize::new(0));
    let (mut most, begun) = (before, Instant::now());
    thread::scope(|scope| {
        let readers: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    while let Some(stream) = { bodies.lock().unwrap().pop() } {
                        let (told, resumed) = read_to_the_end(&server, stream, &run.id);
                        told_ones.lock().unwrap().insert(told);
                        resumptions.fetch_add(resumed, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        server.mark("go");
        while readers.iter().any(|reader| !reader.is_finished()) {
            let now = Size::of(&server);
            if now.resident_kib > most.resident_kib {
                most = now;
            }
            assert!(
                begun.elapsed() < PATIENCE * 2,
                "not all have read to the end"
            );
            thread::yield_now();
        }
    });
    let detail = run.wait_for("finished");
    println!(
        "{READERS} readers and {SILENT} that never read: {before}, at the most {most}; {OUTPUT} bytes alone after {alone:?}, \
         and with them all told after {:?}",
        begun.elapsed()
    );
    println!("{} times a slow reader came back", resumptions.into_inner());
    let told_ones = told_ones.into_inner().unwrap();
    assert_eq!(told_ones.len(), 1, "all were told the same: {told_ones:?}");
    let output = detail["attempts"][0]["output_to"].as_u64();
    assert_eq!(output, Some(OUTPUT as u64), "nothing was held back");
    let many = (READERS + SILENT) as u64;
    assert!(
        most.resident_kib < before.resident_kib + many * KIB_A_READER,
        "{before}, then {most}"
    );
    drop(silent);
    // And the service is as it was.
    server.get("/api/runs").expect(200);
    server
        .post("/api/gc", &json!({"dry_run": true}))
        .expect(200);
}

/// What a reader that waits may cost the service.
const KIB_A_QUIET_READER: u64 = 24;

#[test]
fn readers_that_wait_cost_little_memory_and_one_descriptor_each() {
    let server = Server::start();
    let go = server.mark_path("go");
    let run = server.run_plain(&format!("wait-for {go}\nprint the end"));
    run.wait_for("running");
    // Threads and memory of the allocator are there before they are counted.
    let warm: Vec<_> = (0..100)
        .map(|_| told_first(&server, &run.path("/sse")))
        .collect();
    let before = Size::of(&server);
    let readers: Vec<_> = (0..READERS)
        .map(|_| told_first(&server, &run.path("/sse")))
        .collect();
    let with = Size::of(&server);
    println!("{READERS} readers that wait: {before}, then {with}");
    let (many, spare) = (READERS as u64, 50);
    assert!(
        with.resident_kib < before.resident_kib + many * KIB_A_QUIET_READER,
        "{before}, then {with}"
    );
    assert!(
        with.descriptors < before.descriptors + many + spare,
        "{before}, then {with}"
    );
    server.mark("go");
    for mut reader in readers.into_iter().chain(warm) {
        reader.until_status("finished");
    }
}

/// A stream that has begun.
fn told_first(server: &Server, path: &str) -> Frames {
    let mut frames = Frames::of(Box::new(Body::of(open(server, path))));
    assert_eq!(frames.next().unwrap().name, "connected");
    frames
}
