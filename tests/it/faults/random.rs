//! A service with ten agents at work and clients that ask for anything, killed again and again at moments that nobody
//! chose. What it had accepted is there in the end, once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::client::Client;
use crate::support::server::{Server, Setup};
use crate::support::wait::until;

use super::chance::{Chance, times};
use super::figures::Figures;

mod asked;
mod asking;

use asked::Asked;
use asking::ask_something;
pub use asking::put_workflow;

const KILLS: usize = 50;
const CLIENTS: usize = 3;
/// What is promised on a machine that does nothing else.
const READY: Duration = Duration::from_secs(2);
/// What is generous on one that is busy.
const READY_WHEN_BUSY: Duration = Duration::from_secs(10);

/// What the clients share.
struct Load<'a> {
    server: &'a Server,
    done: AtomicBool,
    answers: AtomicUsize,
}

impl Load<'_> {
    /// The server as it is now; asking it may fail at any moment.
    fn client(&self) -> Client {
        self.server.client()
    }

    /// Asking nobody is no load.
    fn wait_for_server(&self) {
        until("the server is back", || {
            let answer = self.client().try_ask("GET", "/api/health", &[], b"");
            answer.is_some()
        });
    }

    fn is_over(&self) -> bool {
        self.done.load(Ordering::Relaxed)
    }
}

/// Ends the load also when a test fails under it.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn load(load: &Load<'_>, name: usize, mut chance: Chance) -> Vec<Asked> {
    let mut mine = Vec::new();
    while !load.is_over() {
        if ask_something(load, name, &mut mine, &mut chance) {
            load.answers.fetch_add(1, Ordering::Relaxed);
        } else {
            load.wait_for_server();
        }
    }
    mine
}

/// Kills the server after a few more answers, and starts it again; how long it takes until it answers.
fn kill(load: &Load<'_>, chance: &mut Chance, ready: &mut Figures) {
    let enough = load.answers.load(Ordering::Relaxed) + 1 + chance.below(12);
    until("so many are answered", || {
        load.answers.load(Ordering::Relaxed) >= enough
    });
    // No event tells of the moments between two answers.
    for _ in 0..chance.below(20_000) {
        thread::yield_now();
    }
    load.server.kill();
    ready.time(|| {
        load.server.start_again();
        load.server.get("/api/health").expect(200);
    });
}

/// Seen red: with `process::attach` answering `NeverStarted` for an agent that lives, agents are lost.
#[test]
fn what_was_accepted_is_there_once_after_fifty_kills_at_any_moment() {
    let kills = times(KILLS);
    let server = Setup::new()
        .flag("--max-running", "10")
        .with_pool("2")
        .start();
    asking::put_workflow(&server);
    let before = server.repo.master();
    let mut chance = Chance::of("random");
    let mut ready = Figures::default();
    let shared = Load {
        server: &server,
        done: AtomicBool::new(false),
        answers: AtomicUsize::new(0),
    };
    let asked: Vec<Asked> = thread::scope(|scope| {
        let over = Over(&shared.done);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|name| {
                let (chance, shared) = (chance.split(), &shared);
                scope.spawn(move || load(shared, name, chance))
            })
            .collect();
        for _ in 0..kills {
            kill(&shared, &mut chance, &mut ready);
        }
        drop(over);
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    });
    println!(
        "{kills} kills, {} runs, {} requests answered: ready {ready}; {} over {READY:?}",
        asked.len(),
        shared.answers.load(Ordering::Relaxed),
        ready.over(READY)
    );
    assert!(ready.worst() < READY_WHEN_BUSY, "{ready}");
    let list = asked::all_runs(&server);
    let known: BTreeSet<_> = asked.iter().map(|asked| asked.id.clone()).collect();
    assert_eq!(list, known, "one run for each request, and no other");
    for asked in &asked {
        asked.assert_kept(&server);
    }
    asked::assert_landed_once(&server, &before, &asked);
}
