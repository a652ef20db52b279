//! What the agent is told when checks that are required did not pass: each by its name, with the end of its log.

use std::fmt::Write as _;

use uuid::Uuid;

use crate::dod::check::FailedCode;
use crate::dod::content::ContentStore;
use crate::dod::{Evidence, Item};
use crate::run::event::AttemptKind;
use crate::run::{AttemptId, Event, ItemId, Round, RoundWhy, Run, feedback};

/// How much of the end of a log the agent is shown, in bytes and in lines.
const TAIL_BYTES: u64 = 8 * 1024;
const TAIL_LINES: usize = 60;
/// How many failed checks are shown with their logs; more are named.
const LOGS: usize = 10;

/// A check of a required item that did not pass.
struct Fallen<'a> {
    item: &'a Item,
    evidence: &'a Evidence,
}

/// The attempt in which the agent is told what the round has shown; nothing if it is not told. `most` is how often the
/// service lets an agent be told about one item.
pub(super) fn attempt(
    content: &ContentStore,
    run: &Run,
    round: &Round,
    most: u32,
) -> Option<Event> {
    // Who has moved the branch or asked for checks sees the answer, and says what is to be done.
    if round.why != RoundWhy::AgentEnded {
        return None;
    }
    let fallen: Vec<Fallen<'_>> = fallen(run).collect();
    let told = |fallen: &&Fallen<'_>| feedback::untold(run, fallen.item.id, most).is_none();
    let items: Vec<ItemId> = fallen.iter().filter(told).map(|f| f.item.id).collect();
    if items.is_empty() {
        return None;
    }
    Some(Event::AttemptQueued {
        attempt: AttemptId(Uuid::now_v7()),
        why: AttemptKind::Feedback {
            text: text(content, round, &fallen),
            items,
        },
    })
}

/// The required items whose checks did not pass in the newest round, for a reason that the work can have.
fn fallen(run: &Run) -> impl Iterator<Item = Fallen<'_>> {
    run.shown_in_round().filter_map(|evidence| {
        let failed = evidence.check.as_ref()?.failed.as_ref()?;
        let ours = matches!(failed.code, FailedCode::Cancelled | FailedCode::NotStarted);
        let item = run.item(evidence.item_id)?;
        (item.spec.required && !ours).then_some(Fallen { item, evidence })
    })
}

fn text(content: &ContentStore, round: &Round, fallen: &[Fallen<'_>]) -> String {
    let mut text = format!(
        "The service has run the checks of your work in a clean checkout of commit {}. These did not pass:\n",
        round.head.commit
    );
    for (n, Fallen { item, evidence }) in fallen.iter().enumerate() {
        let Some(check) = &evidence.check else {
            continue;
        };
        let Some(failed) = &check.failed else {
            continue;
        };
        let spec = &item.spec;
        let _ = writeln!(text, "\n## {}: {}\n", spec.key, spec.title);
        let _ = writeln!(text, "{}: {}", failed.code, failed.detail);
        let _ = writeln!(text, "Command: {}", check.cmd);
        if n >= LOGS {
            continue;
        }
        match content.end_of(&evidence.sha256, TAIL_BYTES) {
            Ok(log) if log.trim().is_empty() => text.push_str("It printed nothing.\n"),
            Ok(log) => {
                let _ = writeln!(
                    text,
                    "The end of what it printed:\n\n````\n{}\n````",
                    last_lines(&log)
                );
            }
            Err(error) => {
                let _ = writeln!(text, "What it printed cannot be read: {error}");
            }
        }
    }
    text.push_str(
        "\nMend the work, not the checks, and commit it. The checks are run again by the service once you have ended; only \
         what is in the commit counts there, not what is installed or left in your folder.\n",
    );
    text
}

/// Its last lines.
fn last_lines(text: &str) -> &str {
    let body = text.trim_end_matches('\n');
    let mut ends = body.rmatch_indices('\n');
    match ends.nth(TAIL_LINES - 1) {
        Some((at, _)) => &body[at + 1..],
        None => body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_shown_whole() {
        assert_eq!(last_lines("a\nb\n"), "a\nb");
        let many: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let shown = last_lines(&many.join("\n")).to_owned();
        assert_eq!(shown.lines().count(), TAIL_LINES);
        assert!(shown.starts_with("40\n") && shown.ends_with("99"));
    }
}
