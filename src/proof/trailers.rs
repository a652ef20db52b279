//! The message of a merge commit: the words that were given, and trailers that tell whose consent it had.
//!
//! ```text
//! Merge auto/card-17-3f1c2b5e (17)
//!
//! Agent-Run: 019ac0f2-7a10-7c3e-9a64-0d6d3f1c2b5e
//! DoD-Digest: 5b0c…
//! Validated-By: check
//! Validated-By: maria
//! Overridden: e2e: the staging machine is down
//! ```
//!
//! Nobody's words can look like ours: a name or a reason is one line, and lines of the message that begin as our
//! trailers do, or that end a message for `git interpret-trailers`, are quoted.

use std::collections::BTreeSet;

use super::shown::Shown;

/// The names of our trailers.
pub const KEYS: [&str; 4] = ["Agent-Run", "DoD-Digest", "Validated-By", "Overridden"];

/// The most characters of a reason in a trailer; all of it is in the attestation.
const MOST_OF_REASON: usize = 500;

/// The trailers of what was shown, a line each. What was shown of the merge itself is not among them: its commit was
/// made before.
#[must_use]
pub fn trailers(shown: &Shown) -> Vec<String> {
    let of_work = || shown.accepted.iter().filter(|a| !a.candidate);
    let validators: BTreeSet<String> = of_work().map(|a| one_line(&a.validated_by)).collect();
    let overridden = of_work().filter_map(|a| {
        let reason = one_line(a.overrides.as_ref()?);
        Some(format!(
            "Overridden: {}: {}",
            one_line(&a.item),
            cut(&reason)
        ))
    });
    let first = [
        format!("Agent-Run: {}", shown.run),
        format!("DoD-Digest: {}", shown.dod_digest),
    ];
    first
        .into_iter()
        .chain(
            validators
                .into_iter()
                .map(|by| format!("Validated-By: {by}")),
        )
        .chain(overridden)
        .map(|line| line.trim_end().to_owned())
        .collect()
}

/// A message: these words, then the trailers.
#[must_use]
pub fn message(words: &str, shown: &Shown) -> String {
    let words: Vec<String> = words.trim_end().split('\n').map(quoted).collect();
    format!("{}\n\n{}\n", words.join("\n"), trailers(shown).join("\n"))
}

/// The trailers of a message that are named as ours are.
#[must_use]
pub fn trailers_of(message: &str) -> Vec<String> {
    let last = message.trim_end().rsplit("\n\n").next().unwrap_or_default();
    let ours = last.lines().filter(|line| is_ours(line));
    ours.map(str::to_owned).collect()
}

/// The line as it stands in a message: what could be taken for ours, or for the end of it, is quoted.
fn quoted(line: &str) -> String {
    let line: String = line
        .chars()
        .filter(|c| *c == '\t' || !c.is_control())
        .collect();
    if is_ours(line.trim_start()) || line.starts_with("---") {
        format!("> {line}")
    } else {
        line
    }
}

/// Whether it begins with the name of one of our trailers, as git reads names: in any case, blanks before the colon.
fn is_ours(line: &str) -> bool {
    let Some((name, _)) = line.split_once(':') else {
        return false;
    };
    let name = name.trim_end();
    KEYS.iter().any(|key| key.eq_ignore_ascii_case(name))
}

/// The words on one line, with single blanks between them.
fn one_line(text: &str) -> String {
    let blank = |c: char| c.is_whitespace() || c.is_control();
    let words = text.split(blank).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MOST_OF_REASON) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::dod::{Author, EvidenceKind, Head};
    use crate::proof::Accepted;
    use crate::run::{EvidenceId, RunId};

    fn shown(accepted: Vec<(String, Option<String>)>) -> Shown {
        let head = Head {
            commit: "1".repeat(40).parse().unwrap(),
            tree: "2".repeat(40).parse().unwrap(),
        };
        let accepted = accepted.into_iter().map(|(by, overrides)| Accepted {
            item: "tests".to_owned(),
            evidence: EvidenceId(Uuid::nil()),
            kind: EvidenceKind::Text,
            sha256: String::new(),
            size: 0,
            author: Author::Operator,
            author_name: None,
            of: head.clone(),
            candidate: false,
            carried: false,
            validated_by: by,
            validated_at: String::new(),
            overrides,
        });
        Shown {
            run: RunId(Uuid::nil()),
            base: "master".to_owned(),
            onto: None,
            dod_digest: "d1".to_owned(),
            items: Vec::new(),
            accepted: accepted.collect(),
            head,
        }
    }

    #[test]
    fn each_validator_is_named_once_and_each_override_with_its_reason() {
        let shown = shown(vec![
            ("check".to_owned(), None),
            ("maria".to_owned(), None),
            ("check".to_owned(), None),
            ("maria".to_owned(), Some("staging\nis down".to_owned())),
        ]);
        assert_eq!(
            message("Merge auto/x", &shown),
            "Merge auto/x\n\nAgent-Run: 00000000-0000-0000-0000-000000000000\nDoD-Digest: d1\n\
             Validated-By: check\nValidated-By: maria\nOverridden: tests: staging is down\n"
        );
    }

    #[test]
    fn a_message_that_looks_like_our_trailers_is_quoted() {
        let words = "Title\n\nAgent-Run: other\n validated-by : mallory\n---\nafter";
        let message = message(words, &shown(Vec::new()));
        assert_eq!(
            message,
            "Title\n\n> Agent-Run: other\n>  validated-by : mallory\n> ---\nafter\n\n\
             Agent-Run: 00000000-0000-0000-0000-000000000000\nDoD-Digest: d1\n"
        );
        assert_eq!(trailers_of(&message).len(), 2);
    }

    proptest! {
        #[test]
        fn whatever_is_said_the_trailers_are_ours_alone(
            words in "(\\PC|\n|\r|Agent-Run:|Validated-By: |---\n){0,12}",
            said in prop::collection::vec(
                ("(\\PC|\n|\r|\u{2028}|\nAgent-Run: x\n){1,8}", proptest::option::of("(\\PC|\n\n|\nDoD-Digest: y\n){0,8}")),
                0..4,
            ),
        ) {
            let shown = shown(said);
            let message = message(&words, &shown);
            let expected = trailers(&shown);
            prop_assert_eq!(trailers_of(&message), expected.clone());
            // Not even somebody who looks at all lines is misled.
            let all: Vec<_> = message.lines().filter(|line| is_ours(line.trim_start())).collect();
            prop_assert_eq!(all, expected);
        }
    }
}
