//! Items of a Definition of Done as others write them down: in the repository, and in the page of an app.
//!
//! Both are read at the run's base commit, so that what an agent changes in them does not change its own Definition of
//! Done. Pure: text in, items out. Deliberately absent: where the texts lie and how git gives them.

pub mod front_matter;
pub mod repository;
pub mod scripts;

use std::fmt;

/// Why a text cannot be taken: where in it, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadText {
    /// The path in the repository.
    pub path: String,
    /// Line and column, from 1, as far as the place is known.
    pub place: Option<(usize, usize)>,
    /// What is wrong, and what to write instead.
    pub detail: String,
}

impl fmt::Display for BadText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "{}:{line}:{column}: {}", self.path, self.detail),
            None => write!(f, "{}: {}", self.path, self.detail),
        }
    }
}
