//! `cargo nextest run`: one summary.

use super::{Counts, number_before};

/// `Summary [   0.008s] 2 tests run: 2 passed, 1 skipped`, with `(1 flaky)`, `1 failed`, `1 timed out` and the like.
pub fn counts(lines: &[&str]) -> Option<Counts> {
    lines
        .iter()
        .filter_map(|line| line.trim_start().strip_prefix("Summary ["))
        .filter_map(|line| line.split_once("run: "))
        .map(|(ran, ended)| {
            let ran: u64 = number_before(ran, &["tests", "test"]);
            let passed = number_before(ended, &["passed"]);
            Counts {
                passed,
                // Whatever else they are called: failed, timed out, failed to start, not run.
                failed: ran_or_wanted(ran, ended).saturating_sub(passed),
                skipped: number_before(ended, &["skipped"]),
                at_least: false,
            }
        })
        .reduce(Counts::and)
}

/// A run that was cut short says `1/3 tests run`: the rest did not run, and counts against it.
fn ran_or_wanted(ran: u64, ended: &str) -> u64 {
    ran.max(
        number_before(ended, &["passed"])
            + number_before(ended, &["failed"])
            + number_before(ended, &["timed"]),
    )
}
