//! `jest` and `vitest`: one line of their summaries each, or the word that there was nothing to run.

use super::{Counts, number_before};

/// `Tests:       1 failed, 2 passed, 3 total` (jest), `      Tests  1 failed | 2 passed (3)` (vitest).
pub fn counts(lines: &[&str]) -> Option<Counts> {
    lines
        .iter()
        .filter_map(|line| {
            if line.starts_with("No tests found, exiting")
                || line.starts_with("No test files found, exiting")
            {
                return Some(Counts::default());
            }
            let line = line.trim();
            let jest = line
                .strip_prefix("Tests: ")
                .filter(|rest| rest.ends_with(" total"));
            let vitest = line
                .strip_prefix("Tests  ")
                .filter(|rest| rest.ends_with(')') || rest.trim() == "no tests");
            jest.or(vitest).map(of_summary)
        })
        .reduce(Counts::and)
}

fn of_summary(line: &str) -> Counts {
    Counts {
        passed: number_before(line, &["passed"]),
        failed: number_before(line, &["failed"]),
        skipped: number_before(line, &["skipped"]) + number_before(line, &["todo"]),
        at_least: false,
    }
}
