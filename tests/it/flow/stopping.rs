//! A service that is told to stop (SIGTERM): gone within two seconds, whatever is under way, and the agents go on. There is
//! no other way to stop than a crash, so what was under way is taken up as after one.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::server::{Server, Setup};
use crate::support::wait::until;

/// Two seconds are promised; the rest is for machines that do other things too.
const GONE: Duration = Duration::from_secs(3);
const STREAMS: usize = 100;

#[track_caller]
fn stops_in_time(server: &Server) {
    let begun = Instant::now();
    assert!(server.terminate().success());
    println!(
        "gone after {:.1} ms",
        begun.elapsed().as_secs_f64() * 1000.0
    );
    assert!(begun.elapsed() < GONE, "{:?}", begun.elapsed());
}

/// Seen red: with the streams not told, they break off without a word.
#[test]
fn a_hundred_streams_are_told_and_come_back_without_a_gap() {
    let server = Server::start();
    let run = server.run_plain(&format!(
        "print one\nwait-for {}\nprint two",
        server.mark_path("go")
    ));
    let mut streams: Vec<_> = (0..STREAMS).map(|_| run.frames(Some("0"))).collect();
    let mut seen = Vec::new();
    for frames in &mut streams {
        let all = frames.until(|frame| frame.name == "output");
        seen.push(all.last().unwrap().id.clone());
    }
    stops_in_time(&server);
    for mut frames in streams {
        assert_eq!(frames.next(), None);
        assert!(frames.stopping);
    }
    server.start_again();
    server.mark("go");
    for last in &seen {
        let rest = run.frames(Some(last)).until_status("finished");
        let output = rest.iter().filter(|frame| frame.name == "output");
        let texts: Vec<_> = output.map(|frame| frame.json["text"].clone()).collect();
        assert_eq!(texts, ["two\n"]);
    }
}

/// A `git` that hangs in this step until the mark `go` is there.
fn slow_git(setup: &Setup, step: &str) {
    let git = ["/usr/local/bin/git", "/usr/bin/git", "/bin/git"];
    let git = git.iter().find(|path| fs::exists(path).unwrap()).unwrap();
    let (there, go) = (setup.at("marks/there"), setup.at("marks/go"));
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *\" {step} \"*)\n  : > {there}\n  while [ ! -e {go} ]; do sleep 0.02; done;;\nesac\nexec {git} \"$@\"\n",
        there = there.display(),
        go = go.display(),
    );
    let path = setup.at("bin/git");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The protection is that of a crash: nothing has moved before the intent is in the journal.
#[test]
fn a_merge_in_the_middle_is_taken_up_as_after_a_crash() {
    let setup = Setup::new();
    slow_git(&setup, "merge-tree");
    let server = setup.start();
    let at_work = server.run(&format!(
        "wait-for {}\nwrite other.txt done",
        server.mark_path("end")
    ));
    let run = server.finished("write work.txt done");
    run.prove();
    // git is asked for a merge where both sides did the same.
    server.repo.commit("work.txt", "done\n");
    let before = server.repo.master();
    thread::scope(|scope| {
        let (client, path) = (server.client(), run.path("/merge"));
        let json = [("content-type", "application/json")];
        let asked = scope.spawn(move || client.try_ask("POST", &path, &json, b"{}"));
        server.wait_for_mark("there");
        stops_in_time(&server);
        let answer = asked.join().unwrap();
        assert!(answer.is_none_or(|answer| answer.status == 503));
    });
    assert_eq!(server.repo.master(), before);
    server.mark("go");
    server.start_again();
    assert_eq!(run.status(), "finished");
    run.merge().expect(200);
    let merges = server.repo.git(&[
        "rev-list",
        "--merges",
        "--count",
        &format!("{before}..master"),
    ]);
    assert_eq!(merges.trim(), "1");
    server.mark("end");
    at_work.wait_for("finished");
    server.check_world();
}

#[test]
fn an_upload_in_the_middle_is_cut_off_and_leaves_nothing() {
    cut_off(stops_in_time);
}

#[test]
fn an_upload_in_the_middle_of_a_crash_leaves_nothing_after_the_next_start() {
    cut_off(Server::kill);
}

fn cut_off(stop: impl Fn(&Server)) {
    let server = Server::start();
    let run = server.finished("write work.txt done");
    let address = server.client().address();
    let body = "--X\r\ncontent-disposition: form-data; name=\"item_key\"\r\n\r\nreview\r\n\
        --X\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n\r\nhalf of it";
    let mut stream = TcpStream::connect(&address).unwrap();
    write!(
        stream,
        "POST {} HTTP/1.1\r\nhost: {address}\r\ncontent-type: multipart/form-data; boundary=X\r\ncontent-length: 100000\r\n\r\n{body}",
        run.path("/evidence")
    )
    .unwrap();
    let uploads = server.at("state/uploads");
    let lying = || fs::read_dir(&uploads).unwrap().count();
    until("half of it lies there", || lying() == 1);
    stop(&server);
    let mut answer = Vec::new();
    // Cut off, with or without a word.
    let _broken = stream.read_to_end(&mut answer);
    assert!(
        !answer.starts_with(b"HTTP/1.1 2"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    server.start_again();
    assert_eq!(lying(), 0);
    assert_eq!(run.detail()["dod_items"][0]["evidence"], json!([]));
    run.prove();
    server.check_world();
}
