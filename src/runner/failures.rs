//! What has failed inside since the start, whatever was asked: answers that are the service's fault, and panics.
//!
//! The newest are kept, the rest are counted. Deliberately absent: what a client is told to try again (503, 507), which
//! is no failure but a word.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use crate::clock;

/// How many of each kind are kept: enough to see what they have in common.
const KEPT: usize = 10;

/// A request that was answered with a failure of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRequest {
    /// When.
    pub at: Timestamp,
    /// The method.
    pub method: String,
    /// The path, without its query.
    pub path: String,
    /// The id that answer and log have.
    pub request_id: String,
    /// The status that was answered.
    pub status: u16,
}

/// A panic, whoever caught it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panic {
    /// When.
    pub at: Timestamp,
    /// The line of the source.
    pub place: String,
    /// What it said.
    pub said: String,
}

/// What has failed since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToldFailures {
    /// The newest requests, the oldest first.
    pub requests: VecDeque<FailedRequest>,
    /// How many there were before these.
    pub requests_forgotten: u64,
    /// The newest panics, the oldest first.
    pub panics: VecDeque<Panic>,
    /// How many there were before these.
    pub panics_forgotten: u64,
}

/// The place where failures are noted.
#[derive(Debug, Clone, Default)]
pub struct Failures(Arc<Mutex<ToldFailures>>);

impl Failures {
    /// Notes an answer that is the service's fault.
    pub fn answered(&self, method: &str, path: &str, request_id: &str, status: u16) {
        let request = FailedRequest {
            at: clock::now(),
            method: method.to_owned(),
            path: path.to_owned(),
            request_id: request_id.to_owned(),
            status,
        };
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.requests.push_back(request);
        if told.requests.len() > KEPT {
            told.requests.pop_front();
            told.requests_forgotten += 1;
        }
    }

    /// Notes every panic of this process from now on, also those that a task's owner never hears of.
    pub fn note_panics(&self) {
        let failures = self.clone();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let place = panic.location().map(ToString::to_string);
            let place = place.unwrap_or_else(|| "an unknown place".to_owned());
            let said = panic.payload_as_str().unwrap_or("nothing").to_owned();
            tracing::error!(place, said, "a panic");
            failures.panicked(place, said);
            before(panic);
        }));
    }

    fn panicked(&self, place: String, said: String) {
        let at = clock::now();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.panics.push_back(Panic { at, place, said });
        if told.panics.len() > KEPT {
            told.panics.pop_front();
            told.panics_forgotten += 1;
        }
    }

    /// All that is known of them.
    #[must_use]
    pub fn told(&self) -> ToldFailures {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_failures_are_kept_and_the_rest_are_counted() {
        let failures = Failures::default();
        for n in 0..13 {
            failures.answered("GET", &format!("/{n}"), "id", 500);
            failures.panicked(format!("place {n}"), "no".to_owned());
        }
        let told = failures.told();
        assert_eq!((told.requests.len(), told.requests_forgotten), (10, 3));
        assert_eq!((told.panics.len(), told.panics_forgotten), (10, 3));
        assert_eq!(told.requests[0].path, "/3");
        assert_eq!(told.panics[9].place, "place 12");
    }

    #[test]
    fn a_panic_is_noted_with_its_place_and_its_words() {
        let failures = Failures::default();
        failures.note_panics();
        let ended = std::thread::spawn(|| panic!("on purpose")).join();
        assert!(ended.is_err());
        let told = failures.told();
        let noted = told.panics.iter().find(|panic| panic.said == "on purpose");
        assert!(noted.is_some_and(|panic| panic.place.contains("failures.rs")));
    }
}
