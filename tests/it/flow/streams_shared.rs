//! Many readers of one stream: each frame is made once, and all are told the same.

use std::fs;
use std::thread;

use crate::support::frames::{Frame, output_of};
use crate::support::run::Run;
use crate::support::server::Server;
use crate::support::wait::until;

const READERS: usize = 50;

/// The value of a figure of the service.
fn figure(server: &Server, name: &str) -> u64 {
    let text = String::from_utf8(server.get("/metrics").bytes).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{name}: {text}"))
        .trim()
        .parse()
        .unwrap()
}

/// What a reader was told without the pieces that output came in: the events, each behind the bytes before it.
fn told(frames: &[Frame]) -> Vec<(u64, String)> {
    let events = frames.iter().filter(|frame| frame.name != "output");
    events
        .map(|frame| (frame.place().0, format!("{} {}", frame.name, frame.json)))
        .collect()
}

fn to_the_end(run: &Run, after: &str) -> Vec<Frame> {
    let mut frames = run.frames(Some(after));
    assert_eq!(frames.next().unwrap().name, "connected");
    frames.until_status("finished")
}

#[test]
fn readers_that_join_and_resume_anywhere_are_all_told_the_same() {
    let server = Server::start();
    let go = server.mark_path("go");
    let script = format!(
        "print begins\nwait-for {go}\nflood 300000\nprint-raw no newline\nbinary 100000\nflood 300000"
    );
    let run = server.run_plain(&script);
    let mut whole = server.frames(&run.path("/sse?after=0"), None);
    let some = whole.until(|frame| frame.name == "output");
    let all = thread::scope(|scope| {
        let others: Vec<_> = (0..READERS)
            .map(|n| {
                let (server, run, some) = (&server, &run, &some);
                scope.spawn(move || {
                    // From different places, while the agent prints; some only after it has printed much.
                    let after = match n % 3 {
                        0 => "0".to_owned(),
                        1 => some[n % some.len()].id.clone(),
                        _ => format!("{}-{}", some[some.len() - 1].place().0, n % 7),
                    };
                    let mut first = run.frames(Some(&after));
                    assert_eq!(first.next().unwrap().name, "connected");
                    if n == 0 {
                        server.mark("go");
                    }
                    // Goes away in the middle and comes back with its last id.
                    let mut frames: Vec<_> = (0..n).map_while(|_| first.next()).collect();
                    drop(first);
                    let ended = |frame: &Frame| frame.json["status"] == "finished";
                    if !frames.iter().any(ended) {
                        let last = frames.last().map_or(after.clone(), |f| f.id.clone());
                        frames.extend(to_the_end(run, &last));
                    }
                    (after, frames)
                })
            })
            .collect();
        let mut all = some.clone();
        all.extend(whole.until_status("finished"));
        for other in others {
            let (after, frames) = other.join().unwrap();
            let (seq, offset) = match after.split_once('-') {
                Some((seq, offset)) => (seq.parse().unwrap(), offset.parse().unwrap()),
                None => (0, 0),
            };
            let expected: Vec<_> = told(&all[1..])
                .into_iter()
                .filter(|(number, _)| *number > seq)
                .collect();
            assert_eq!(told(&frames), expected, "after {after}");
            let mut at = offset;
            for frame in frames.iter().filter(|frame| frame.name == "output") {
                assert_eq!(
                    frame.json["offset"], at,
                    "a gap or a repetition after {after}"
                );
                at += frame.output().len();
                assert_eq!(frame.json["end"], at);
            }
            for pair in frames.windows(2) {
                assert!(
                    pair[0].place() < pair[1].place(),
                    "{} {}",
                    pair[0].id,
                    pair[1].id
                );
            }
            let bytes: Vec<u8> = frames
                .iter()
                .filter(|frame| frame.name == "output")
                .flat_map(Frame::output)
                .collect();
            assert!(bytes == run.output()[offset..], "after {after}");
        }
        all
    });
    assert!(output_of(&all[1..]) == run.output());
}

#[test]
fn a_frame_is_made_once_for_all_its_readers() {
    let server = Server::start();
    let go = server.mark_path("go");
    let run = server.run_plain(&format!("wait-for {go}\nflood 400000"));
    run.wait_for("running");
    let mut readers: Vec<_> = (0..READERS).map(|_| run.frames(None)).collect();
    for reader in &mut readers {
        assert_eq!(reader.next().unwrap().name, "connected");
    }
    let before = figure(&server, "agent_runner_frames_encoded_total ");
    let sent_before = figure(&server, "agent_runner_frames_sent_total ");
    server.mark("go");
    let frames: Vec<_> = thread::scope(|scope| {
        let reading: Vec<_> = readers
            .iter_mut()
            .map(|reader| scope.spawn(|| reader.until_status("finished")))
            .collect();
        reading.into_iter().map(|r| r.join().unwrap()).collect()
    });
    let each = frames.iter().map(Vec::len).max().unwrap() as u64;
    let encoded = figure(&server, "agent_runner_frames_encoded_total ") - before;
    let sent = figure(&server, "agent_runner_frames_sent_total ") - sent_before;
    println!("{each} frames for each of {READERS} readers: {encoded} made, {sent} sent");
    assert!(sent >= each * READERS as u64);
    // Some fall behind the ring and catch up for themselves.
    assert!(encoded < sent / 4, "{encoded} made for {sent} sent");
}

#[test]
fn output_that_nobody_watches_is_not_read() {
    const OUTPUT: u64 = 200_000_000;
    let server = Server::start();
    let run = server.run_plain(&format!("flood {OUTPUT}"));
    let read = || {
        let io = fs::read_to_string(format!("/proc/{}/io", server.pid())).unwrap();
        let line = io.lines().find_map(|line| line.strip_prefix("rchar: "));
        line.unwrap().parse::<u64>().unwrap()
    };
    let before = read();
    // Whoever follows it watches.
    until("it has finished", || run.status() == "finished");
    let detail = run.get("").expect(200);
    assert_eq!(detail["attempts"][0]["output_to"], OUTPUT);
    let read = read() - before;
    println!("{read} bytes read by the service while {OUTPUT} were printed");
    assert!(read < OUTPUT / 10, "{read}");
}
