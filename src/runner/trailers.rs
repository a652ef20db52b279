//! What a merge commit says of itself: the words that were given, or which branch it merges; then the trailers.

use crate::dod::Head;
use crate::proof::{self, Shown};
use crate::run::Run;

/// The merge commit's message for this work.
pub(super) fn message_of(run: &Run, head: &Head, words: Option<&str>) -> String {
    let what = [&run.spec.issue_id, &run.spec.card_id]
        .into_iter()
        .flatten()
        .next();
    let words = match (words, what) {
        (Some(words), _) => words.to_owned(),
        (None, Some(what)) => format!("Merge {} ({what})", run.branch),
        (None, None) => format!("Merge {}", run.branch),
    };
    proof::message(&words, &Shown::of(run, head, None))
}
