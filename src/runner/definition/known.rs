//! What was read of the newest commits, kept: what a commit holds does not change, and most runs start where the one before
//! did.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::Part;
use crate::run::CommitId;

/// How many answers of each kind are kept: the bases that runs start from at the moment, with their apps.
const KEPT: usize = 16;

/// What is kept.
#[derive(Debug, Default)]
pub struct Known {
    /// What the repository and the page of an app write at a commit.
    pub(super) parts: Recent<(CommitId, Option<String>), Vec<Part>>,
    /// Which of these paths are there at a commit.
    pub(super) files: Recent<(CommitId, Vec<String>), Vec<String>>,
}

/// The newest answers by what was asked, the newest last.
#[derive(Debug)]
pub(super) struct Recent<K, V>(Mutex<VecDeque<(K, V)>>);

impl<K, V> Default for Recent<K, V> {
    fn default() -> Recent<K, V> {
        Recent(Mutex::default())
    }
}

impl<K: PartialEq, V: Clone> Recent<K, V> {
    pub(super) fn find(&self, asked: &K) -> Option<V> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(key, _)| key == asked)?;
        let found = kept.remove(at)?;
        let answer = found.1.clone();
        kept.push_back(found);
        Some(answer)
    }

    pub(super) fn keep(&self, asked: K, answer: V) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(key, _)| *key != asked);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back((asked, answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_one_that_is_asked_for_again_is_new() {
        let recent = Recent::default();
        for n in 0..KEPT {
            recent.keep(n, n * 10);
        }
        assert_eq!(recent.find(&0), Some(0));
        recent.keep(KEPT, 1);
        recent.keep(KEPT, 2);
        assert_eq!(recent.find(&0), Some(0));
        assert_eq!(recent.find(&1), None);
        assert_eq!(recent.find(&2), Some(20));
        assert_eq!(recent.find(&KEPT), Some(2));
    }
}
