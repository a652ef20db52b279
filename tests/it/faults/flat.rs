//! A service that has carried many runs is as small as one that has carried a few: threads, descriptors, memory.

use std::fmt;
use std::fs;
use std::thread;

use serde_json::json;

use crate::support::fake_agent::prompt;
use crate::support::server::{Server, Setup};
use crate::support::wait::until;

use super::chance::times;

/// Runs in one round, and how many at once.
const RUNS: usize = 24;
const AT_ONCE: usize = 8;
/// Rounds after which the service has seen all that it will see.
const FIRST: usize = 2;
const ROUNDS: usize = 4;
/// What the memory may grow by from there: the allocator's noise, and the newest rows that the database keeps at hand.
const GROWTH_KIB: u64 = 6 * 1024;
/// A connection or two, and threads for what blocks, come and go.
const SPARE: u64 = 3;

/// How large a process is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    threads: u64,
    pub descriptors: u64,
    pub resident_kib: u64,
}

impl Size {
    pub fn of(server: &Server) -> Size {
        let pid = server.pid();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let number = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        Size {
            threads: number("Threads:"),
            descriptors: u64::try_from(descriptors).unwrap(),
            resident_kib: number("VmRSS:"),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Size {
            threads,
            descriptors,
            resident_kib,
        } = self;
        write!(
            f,
            "{threads} threads, {descriptors} descriptors, {resident_kib} KiB"
        )
    }
}

/// One run through its whole life: watched, and merged or aborted or left with its failure.
fn one(server: &Server, name: usize) {
    let run = server.run(&format!("big-line 20000\nwrite {name}.txt done"));
    let mut frames = run.frames(Some("0"));
    frames.until_status("finished");
    match name % 3 {
        0 => {
            run.prove();
            run.merge().expect(200);
        }
        1 => {
            run.abort().expect(200);
        }
        _ => {
            let more = prompt("write more.txt done");
            run.post("/messages", &json!({"text": more})).expect(200);
            frames.until_status("finished");
            run.abort().expect(200);
        }
    }
    run.wait_until_gone();
}

fn round(server: &Server, number: usize) {
    thread::scope(|scope| {
        for lane in 0..AT_ONCE {
            scope.spawn(move || {
                for run in 0..RUNS / AT_ONCE {
                    one(server, (number * AT_ONCE + lane) * RUNS + run);
                }
            });
        }
    });
}

/// Seen red: with 200 kB and one open file forgotten at the end of each driver, 357 descriptors and 100 MiB after 144
/// runs.
#[test]
fn a_service_that_has_carried_many_runs_is_not_larger() {
    let rounds = times(ROUNDS);
    let server = Setup::new()
        .flag("--max-running", &AT_ONCE.to_string())
        .start();
    for number in 0..FIRST {
        round(&server, number);
    }
    let first = Size::of(&server);
    println!("after {} runs: {first}", FIRST * RUNS);
    for number in FIRST..FIRST + rounds {
        round(&server, number);
        println!("after {} runs: {}", (number + 1) * RUNS, Size::of(&server));
    }
    // Connections and threads that wait for more end by themselves.
    until("no more descriptors than before", || {
        Size::of(&server).descriptors <= first.descriptors + SPARE
    });
    until("no more threads than before", || {
        Size::of(&server).threads <= first.threads + SPARE
    });
    let last = Size::of(&server);
    println!("in the end: {last}");
    assert!(
        last.resident_kib <= first.resident_kib + GROWTH_KIB,
        "{first}, then {last}"
    );
}
