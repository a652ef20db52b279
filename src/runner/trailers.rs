//! What a merge commit says of itself: the words that were given, and trailers that tell whose consent it had.

use crate::dod::Verdict;
use crate::run::Run;

/// The merge commit's message, with trailers that tell whose consent it had.
pub(super) fn message_of(run: &Run, first_lines: Option<&str>) -> String {
    let what = [&run.spec.issue_id, &run.spec.card_id]
        .into_iter()
        .flatten()
        .next();
    let first_lines = match (first_lines, what) {
        (Some(text), _) => text.trim_end().to_owned(),
        (None, Some(what)) => format!("Merge {} ({what})", run.branch),
        (None, None) => format!("Merge {}", run.branch),
    };
    let mut validators: Vec<&str> = run
        .evidence
        .iter()
        .filter_map(|e| match &e.verdict {
            Verdict::Validated { by, .. } => Some(by.as_str()),
            _ => None,
        })
        .collect();
    validators.sort_unstable();
    validators.dedup();
    let mut message = format!("{first_lines}\n\nAgent-Run: {}\n", run.id);
    for by in validators {
        // A name is one line here, whatever was sent.
        let by: String = by.chars().filter(|c| !c.is_control()).collect();
        message.push_str(&format!("Validated-By: {by}\n"));
    }
    message
}
