//! How many tests a command ran, read from what known test runners print.
//!
//! ```text
//! cargo     test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out
//! nextest        Summary [   0.008s] 2 tests run: 2 passed, 1 skipped
//! pytest    === 1 failed, 2 passed, 1 skipped in 0.04s ===
//! go        ok   example.org/m 0.002s
//! jest      Tests:       1 failed, 1 skipped, 2 passed, 4 total
//! vitest          Tests  1 failed | 2 passed | 1 skipped (4)
//! node      # tests 4   # pass 2   # fail 1
//! ```
//!
//! Several summaries add up. A line that only looks like one can add to the count, and then to failures as well as to
//! passes; it cannot hide a failure. Deliberately absent: runners that print no summary; their reports are read by
//! `junit`.

mod cargo;
mod go;
mod javascript;
mod nextest;
mod node;
mod pytest;

use serde::{Deserialize, Serialize};

/// What a test runner said it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Counts {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed or could not be run.
    pub failed: u64,
    /// Tests that were skipped, ignored or not selected as far as the runner says it.
    pub skipped: u64,
    /// Whether the runner names packages only, so that there were at least this many.
    #[serde(default)]
    pub at_least: bool,
}

impl Counts {
    /// Tests that ran.
    #[must_use]
    pub fn ran(&self) -> u64 {
        self.passed.saturating_add(self.failed)
    }

    /// Both together.
    #[must_use]
    pub fn and(self, more: Counts) -> Counts {
        Counts {
            passed: self.passed.saturating_add(more.passed),
            failed: self.failed.saturating_add(more.failed),
            skipped: self.skipped.saturating_add(more.skipped),
            at_least: self.at_least || more.at_least,
        }
    }
}

/// The counts of all summaries in `output`; nothing if no known runner printed one.
#[must_use]
pub fn of_output(output: &str) -> Option<Counts> {
    let plain = anstream::adapter::strip_str(output).to_string();
    let lines: Vec<&str> = plain.lines().collect();
    let runners = [
        cargo::counts,
        nextest::counts,
        pytest::counts,
        go::counts,
        javascript::counts,
        node::counts,
    ];
    runners
        .iter()
        .filter_map(|read| read(&lines))
        .reduce(Counts::and)
}

/// The number before the first of these words, as in `2 passed`.
fn number_before(text: &str, words: &[&str]) -> u64 {
    let mut parts = text
        .split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '|'))
        .filter(|part| !part.is_empty());
    let mut before: Option<u64> = None;
    for part in &mut parts {
        if let (Some(number), true) = (before, words.contains(&part)) {
            return number;
        }
        before = part.parse().ok();
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(passed: u64, failed: u64, skipped: u64) -> Option<Counts> {
        Some(Counts {
            passed,
            failed,
            skipped,
            at_least: false,
        })
    }

    fn sample(name: &str) -> Option<Counts> {
        let path = format!(
            "{}/tests/samples/checks/{name}.txt",
            env!("CARGO_MANIFEST_DIR")
        );
        of_output(&std::fs::read_to_string(path).unwrap())
    }

    /// What each runner really printed, for tests that pass, that fail, and for none.
    #[test]
    fn every_known_runner_is_counted() {
        for (name, expected) in [
            ("cargo-pass", counts(3, 0, 1)),
            ("cargo-fail", counts(2, 1, 1)),
            ("cargo-none", counts(0, 0, 3)),
            ("nextest-pass", counts(2, 0, 1)),
            ("nextest-fail", counts(2, 1, 1)),
            ("nextest-none", counts(0, 0, 3)),
            ("pytest-pass", counts(2, 0, 1)),
            ("pytest-quiet", counts(2, 0, 1)),
            ("pytest-fail", counts(2, 1, 1)),
            ("pytest-none", counts(0, 0, 0)),
            ("pytest-deselected", counts(0, 0, 4)),
            ("go-verbose", counts(1, 0, 1)),
            ("go-json", counts(1, 0, 1)),
            ("go-none", counts(0, 0, 0)),
            ("go-no-tests", counts(0, 0, 0)),
            ("jest-pass", counts(2, 0, 1)),
            ("jest-fail", counts(2, 1, 1)),
            ("jest-none", counts(0, 0, 0)),
            ("jest-none-passes", counts(0, 0, 0)),
            ("vitest-pass", counts(2, 0, 1)),
            ("vitest-fail", counts(2, 1, 1)),
            ("vitest-none", counts(0, 0, 0)),
            ("vitest-none-passes", counts(0, 0, 0)),
            ("node-pass", counts(2, 0, 1)),
            ("node-fail", counts(2, 1, 1)),
            ("node-none", counts(0, 0, 0)),
        ] {
            assert_eq!(sample(name), expected, "{name}");
        }
    }

    #[test]
    fn packages_of_go_are_at_least_one_test_each() {
        let one = Counts {
            passed: 1,
            at_least: true,
            ..Counts::default()
        };
        assert_eq!(sample("go-pass"), Some(one));
        let failed = Counts {
            failed: 1,
            at_least: true,
            ..Counts::default()
        };
        assert_eq!(sample("go-fail"), Some(failed));
    }

    #[test]
    fn what_no_runner_printed_is_not_counted() {
        for output in [
            "",
            "all good\n",
            "3 tests passed, I promise\n",
            "Tests are nice\n",
            "ok\n",
        ] {
            assert_eq!(of_output(output), None, "{output}");
        }
    }

    #[test]
    fn colours_do_not_hide_a_summary() {
        let line = "test result: \u{1b}[32mok\u{1b}[0m. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(of_output(line), counts(2, 0, 0));
    }

    #[test]
    fn summaries_of_several_commands_add_up() {
        let both = "Tests:       2 passed, 2 total\n=== 1 failed, 2 passed in 0.04s ===\n";
        assert_eq!(of_output(both), counts(4, 1, 0));
    }
}
