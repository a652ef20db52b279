//! `cargo test`: a line for each test binary and for the tests of the documentation.

use super::{Counts, number_before};

/// What libtest says in its last line. An indented one is the output of a test, as nextest shows it.
pub fn counts(lines: &[&str]) -> Option<Counts> {
    lines
        .iter()
        .filter_map(|line| line.strip_prefix("test result: "))
        .map(|line| Counts {
            passed: number_before(line, &["passed"]),
            failed: number_before(line, &["failed"]),
            skipped: number_before(line, &["ignored"]) + filtered_out(line),
            at_least: false,
        })
        .reduce(Counts::and)
}

/// Only a run that selected nothing has them told as skipped: else they are most of the tests of a small selection.
fn filtered_out(line: &str) -> u64 {
    if number_before(line, &["passed"]) + number_before(line, &["failed"]) > 0 {
        return 0;
    }
    number_before(line, &["filtered"])
}
