//! Twenty agents at work, readers on their streams, and the server killed and started again.

use std::thread;

use crate::support::frames::{Frame, Frames, output_of};
use crate::support::run::Run;
use crate::support::server::Server;
use crate::support::wait::until;

const AGENTS: usize = 20;

/// An agent that prints all the time, waits in the middle, and has an exit code of its own (0 for every fifth).
fn script(server: &Server, n: usize) -> String {
    format!(
        "print agent {n} begins
         wait-for {}
         flood 200000
         print agent {n} has seen much
         wait-for {}
         write work-{n}.txt {n}
         binary 1000
         print-raw agent {n} ends
         exit {}",
        server.mark_path("flood"),
        server.mark_path(group(n)),
        exit_code(n)
    )
}

/// Half of them end while no server is there.
fn group(n: usize) -> &'static str {
    if n.is_multiple_of(2) {
        "while-down"
    } else {
        "after"
    }
}

fn exit_code(n: usize) -> usize {
    if n.is_multiple_of(5) { 0 } else { n + 10 }
}

/// All that is left to read of a stream that breaks off.
fn to_the_end(mut frames: Frames, mut seen: Vec<Frame>) -> Vec<Frame> {
    while let Some(frame) = frames.next() {
        seen.push(frame);
    }
    seen
}

#[test]
fn twenty_agents_outlive_the_server_and_every_byte_is_told_once() {
    let server = Server::start();
    let runs: Vec<_> = (0..AGENTS)
        .map(|n| server.run_plain(&script(&server, n)))
        .collect();
    let seen: Vec<Vec<Frame>> = thread::scope(|scope| {
        let readers: Vec<_> = runs
            .iter()
            .map(|run| {
                let mut frames = server.frames(&run.path("/sse?after=0"), None);
                let seen = frames.until(|frame| frame.name == "output");
                scope.spawn(|| to_the_end(frames, seen))
            })
            .collect();
        // The crash comes in the middle of what they print.
        server.mark("flood");
        let first = &runs[0];
        until("the flood has begun", || first.output().len() > 1000);
        server.kill();
        readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .collect()
    });

    server.mark("while-down");
    until("half of them have ended", || {
        let ended = |n: usize| server.attempt(&runs[n].id, 1).join("exit.json").exists();
        (0..AGENTS).step_by(2).all(ended)
    });
    server.start_again();
    for (n, run) in runs.iter().enumerate().skip(1).step_by(2) {
        let detail = run.detail();
        assert_eq!(detail["status"], "running", "agent {n}");
        assert!(detail["pid"].is_u64());
    }
    assert_eq!(server.get("/api/health").expect(200)["running"], AGENTS / 2);
    server.mark("after");
    for ((n, run), seen) in runs.iter().enumerate().zip(seen) {
        assert_right_end(n, run, seen);
    }
    let list = server.get("/api/runs?limit=100").expect(200);
    assert_eq!(list["runs"].as_array().unwrap().len(), AGENTS);
    until("all slots are free", || {
        server.get("/api/health").expect(200)["running"] == 0
    });
    server.check_world();
}

/// The run has ended as its script says, and a reader who saw this much gets the rest.
fn assert_right_end(n: usize, run: &Run<'_>, seen: Vec<Frame>) {
    let expected = if exit_code(n) == 0 {
        "finished"
    } else {
        "failed"
    };
    let ended = run.wait_for(expected);
    assert_eq!(ended["exit_code"], exit_code(n), "agent {n}");
    assert_eq!(ended["attempts"].as_array().unwrap().len(), 1, "agent {n}");
    if expected == "failed" {
        assert_eq!(ended["failure"]["code"], "exit_code", "agent {n}");
    }
    let last = seen.last().unwrap().id.clone();
    let mut resumed = run.frames(Some(&last));
    assert_eq!(resumed.next().unwrap().name, "connected");
    let rest = resumed.until_status(expected);
    let both: Vec<Frame> = seen.into_iter().skip(1).chain(rest).collect();
    for pair in both.windows(2) {
        assert!(
            pair[0].place() < pair[1].place(),
            "{} then {}",
            pair[0].id,
            pair[1].id
        );
    }
    let output = run.output();
    assert!(
        output_of(&both) == output,
        "agent {n}: other bytes were told"
    );
    assert!(output.starts_with(format!("agent {n} begins\n").as_bytes()));
    assert!(output.ends_with(format!("agent {n} ends").as_bytes()));
    let end = run.frames(Some("0")).until_status(expected);
    let states = |frames: &[Frame]| -> Vec<_> {
        let states = frames.iter().filter(|frame| frame.name == "status");
        states
            .map(|frame| (frame.json["seq"].clone(), frame.json["status"].clone()))
            .collect()
    };
    assert_eq!(
        states(&both),
        states(&end),
        "agent {n}: the same story as one piece"
    );
}
