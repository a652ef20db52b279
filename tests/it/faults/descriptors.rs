//! A service that may have few file descriptors, and readers that take all the streams they get.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::support::frames::Frames;
use crate::support::server::{Server, Setup};
use crate::support::wait::until;

use super::figures::Figures;

const DESCRIPTORS: usize = 256;
/// Of calls that answer while all streams are taken. Generous; docs/reliability.md has the figures.
const P99: Duration = Duration::from_millis(500);

/// A server whose limit on file descriptors is small.
fn server_of_few_descriptors() -> Server {
    server_under(&format!("ulimit -n {DESCRIPTORS}"))
}

/// A server that is started by a shell after this.
fn server_under(command: &str) -> Server {
    let setup = Setup::new();
    let wrapper = setup.at("bin/service");
    let text = format!(
        "#!/bin/sh\n{command}\nexec '{}' \"$@\"\n",
        env!("CARGO_BIN_EXE_agent_runner_api")
    );
    fs::write(&wrapper, text).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    setup.program(&wrapper).start()
}

/// Opens streams until one is refused. Their connections stay open with them.
fn all_streams(server: &Server, path: &str) -> Vec<Frames> {
    let client = server.client();
    let mut open = Vec::new();
    while let Ok(body) = client.try_open(path, &[]).expect("it answers") {
        open.push(Frames::of(body));
        assert!(open.len() < DESCRIPTORS, "no stream is ever refused");
    }
    open
}

/// Seen red: with `most_streams` of `src/http/serve.rs` answering as many as there are connections, the streams take all
/// descriptors, and nobody is answered any more.
#[test]
fn calls_go_on_when_all_streams_are_taken() {
    let server = server_of_few_descriptors();
    let go = server.mark_path("go");
    let run = server.run(&format!("wait-for {go}\nwrite work.txt done"));
    let mut streams = all_streams(&server, &run.path("/sse"));
    server
        .get(&run.path("/sse"))
        .expect_problem(503, "too_busy");
    let mut calls = Figures::default();
    for _ in 0..200 {
        calls.time(|| server.get(&run.path("")).expect(200));
        calls.time(|| server.get("/api/health").expect(200));
    }
    println!(
        "{DESCRIPTORS} descriptors, {} streams: {calls}",
        streams.len()
    );
    assert!(streams.len() > 10, "{}", streams.len());
    assert!(calls.percentile(99) < P99, "{calls}");

    // The whole life of a run goes on as well: git, an agent, evidence, a merge.
    let other = server.run("write other.txt done");
    // No stream is left to wait with.
    until("it has finished", || other.status() == "finished");
    other.prove();
    other.merge().expect(200);
    server.mark("go");
    for stream in &mut streams {
        stream.until_status("finished");
    }
}

#[test]
fn the_service_takes_what_files_it_may_have_and_its_agents_have_as_many_as_it_was_given() {
    const GIVEN: usize = 300;
    let server = server_under(&format!("ulimit -Sn {GIVEN}"));
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let mut words = files.unwrap().split_whitespace().skip(3);
    let (soft, hard) = (words.next().unwrap(), words.next().unwrap());
    let hard: usize = hard.parse().unwrap_or(usize::MAX);
    assert_eq!(soft, hard.min(65_536).to_string(), "{limits}");
    let run = server.run_plain("sh ulimit -Sn");
    run.wait_for("finished");
    assert_eq!(
        String::from_utf8(run.output()).unwrap(),
        format!("{GIVEN}\n")
    );
}
