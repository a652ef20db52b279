//! The streams: every event and every byte once and in order, wherever a reader comes back.

use serde_json::json;

use crate::support::frames::{Frame, output_of};
use crate::support::server::Server;

/// The names of the frames, equal ones in a row once.
fn names(frames: &[Frame]) -> Vec<&str> {
    let mut names: Vec<_> = frames.iter().map(|frame| frame.name.as_str()).collect();
    names.dedup();
    names
}

fn statuses(frames: &[Frame]) -> Vec<&str> {
    let mut statuses: Vec<_> = frames
        .iter()
        .filter_map(|frame| frame.json["status"].as_str())
        .collect();
    statuses.dedup();
    statuses
}

#[test]
fn a_run_is_told_in_order_and_resumed_anywhere_without_loss_or_repetition() {
    let server = Server::start();
    let run = server.run(&format!(
        "print one\nwait-for {}\nprint two\nwrite work.txt done",
        server.mark_path("go")
    ));
    let mut live = run.frames(None);
    let first = live.next().unwrap();
    assert_eq!(first.name, "connected");
    assert_eq!(first.json["run"]["id"], run.id);
    server.mark("go");
    live.until_status("finished");
    let evidence = run.say("review", "read");
    run.validate(&evidence).expect(200);
    run.merge().expect(200);
    let lived = live.until(|frame| frame.name == "merged");
    assert_eq!(names(&lived), ["evidence", "validated", "status", "merged"]);

    let mut replay = server.frames(&run.path("/sse?after=0"), None);
    let all = replay.until(|frame| frame.name == "merged");
    assert_eq!(all[0].name, "connected");
    let told = &all[1..];
    assert_eq!(
        statuses(told),
        [
            "queued",
            "preparing",
            "running",
            "checking",
            "finished",
            "merging",
            "merged"
        ]
    );
    assert_eq!(output_of(told), run.output());
    assert!(told.iter().any(|frame| frame.name == "session"));
    let output_ends = told
        .iter()
        .rposition(|frame| frame.name == "output")
        .unwrap();
    let checking = told
        .iter()
        .position(|frame| frame.json["status"] == "checking")
        .unwrap();
    assert!(
        output_ends < checking,
        "what was printed comes before its end"
    );
    for pair in told.windows(2) {
        assert!(
            pair[0].place() < pair[1].place(),
            "{} then {}",
            pair[0].id,
            pair[1].id
        );
    }
    for (at, frame) in told.iter().enumerate().take(told.len() - 1) {
        let mut resumed = run.frames(Some(&frame.id));
        assert_eq!(resumed.next().unwrap().name, "connected");
        let rest = resumed.until(|frame| frame.name == "merged");
        assert_eq!(rest, told[at + 1..], "after {}", frame.id);
    }
    assert_eq!(lived.last(), told.last());
}

#[test]
fn a_cursor_of_another_shape_is_refused() {
    let server = Server::start();
    let run = server.run("exit 0");
    for after in ["x", "-1", "1-2-3", "99999999999999999999"] {
        let answer = run.get(&format!("/sse?after={after}"));
        answer.expect_problem(400, "bad_cursor");
    }
}

#[test]
fn a_line_of_50_mb_comes_whole() {
    let server = Server::start();
    let run = server.run_plain("big-line 50000000\nprint the end");
    run.wait_for("finished");
    let output = run.output();
    assert_eq!(output.len(), 50_000_001 + 8);
    assert!(output[..50_000_000].iter().all(|byte| *byte == b'x'));
    assert!(output.ends_with(
        b"x
the end
"
    ));
    let mut replay = server.frames(&run.path("/sse?after=0"), None);
    let frames = replay.until_status("finished");
    assert!(output_of(&frames) == output, "the frames hold other bytes");
}

#[test]
fn output_without_a_newline_and_output_that_is_no_text_come_whole() {
    let server = Server::start();
    let run = server.run_plain(&format!(
        "print-raw no newline ä
         wait-for {}
         binary 200000
         print-raw the end",
        server.mark_path("go")
    ));
    let mut live = server.frames(&run.path("/sse?after=0"), None);
    // What is not ended by a newline is told all the same, while the agent works.
    let mut frames = live.until(|frame| {
        frame.name == "output" && frame.output().ends_with("no newline ä".as_bytes())
    });
    server.mark("go");
    frames.extend(live.until(|frame| frame.json["status"] == "finished"));
    let output = run.output();
    let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(200_000).collect();
    let expected = [b"no newline \xc3\xa4", &bytes[..], b"the end"].concat();
    assert!(output == expected);
    assert!(output_of(&frames) == output);
    assert!(frames.iter().any(|frame| frame.json["base64"].is_string()));
}

#[test]
fn the_raw_output_can_be_followed_from_any_byte_to_the_end() {
    let server = Server::start();
    let run = server.run_plain(&format!(
        "print-raw abcdef\nwait-for {}\nprint-raw ghi",
        server.mark_path("go")
    ));
    let mut followed = server
        .client()
        .open(&run.path("/output?after=3&follow=true"), &[])
        .unwrap();
    server.mark("go");
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut followed, &mut bytes).unwrap();
    let output = run.output();
    assert_eq!(bytes, output[3..]);
    assert_eq!(run.status(), "finished", "it ends when the run is at rest");
    let rest = run.get("/output?after=5");
    assert_eq!(rest.bytes, output[5..]);
    assert_eq!(rest.header("x-output-offset"), "5");
    run.get("/output?after=-1").expect_problem(422, "invalid");
}

#[test]
fn all_runs_are_on_one_stream_that_takes_filters_and_resumes() {
    let server = Server::start();
    let mut all = server.frames("/api/events", None);
    let mut blue = server.frames("/api/events?app=blue", None);
    assert_eq!(all.next().unwrap().name, "connected");
    assert_eq!(blue.next().unwrap().name, "connected");
    let red = server.run_with("exit 0", &json!({"kanban_app": "red"}));
    red.wait_for("finished");
    let run = server.run_with("exit 0", &json!({"kanban_app": "blue"}));
    let frames = all.until(|frame| {
        frame.json["run_id"] == run.id.as_str() && frame.json["status"] == "finished"
    });
    assert!(
        frames
            .iter()
            .any(|frame| frame.json["run_id"] == red.id.as_str())
    );
    assert!(frames.iter().all(|frame| frame.name != "output"));
    let of_blue = blue.until_status("finished");
    assert!(
        of_blue
            .iter()
            .all(|frame| frame.json["run_id"] == run.id.as_str())
    );

    let middle = frames.len() / 2;
    let mut resumed = server.frames("/api/events", Some(&frames[middle].id));
    assert_eq!(resumed.next().unwrap().name, "connected");
    let last = frames.last().unwrap();
    assert_eq!(
        resumed.until(|frame| frame.id == last.id),
        frames[middle + 1..]
    );
    let mut ended = server.frames("/api/events?status=finished&after=0", None);
    ended.next();
    assert_eq!(ended.next().unwrap().json["run_id"], red.id.as_str());
}

#[test]
fn a_quiet_stream_has_a_heartbeat() {
    let server = Server::start();
    let run = server.run("exit 0");
    run.wait_for("finished");
    let mut frames = run.frames(None);
    assert_eq!(frames.next().unwrap().name, "connected");
    frames.heartbeat();
}

#[test]
fn a_stream_ends_when_the_server_does_and_the_agent_goes_on() {
    let server = Server::start();
    let run = server.run(&format!(
        "wait-for {}\nwrite work.txt done",
        server.mark_path("go")
    ));
    let mut frames = run.frames(None);
    frames.next().unwrap();
    let begun = std::time::Instant::now();
    assert!(server.terminate().success());
    assert!(
        begun.elapsed() < std::time::Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    assert!(frames.next().is_none());
    assert!(frames.stopping, "it has said so");
    server.start_again();
    assert_eq!(run.status(), "running");
    server.mark("go");
    run.wait_for("finished");
}
