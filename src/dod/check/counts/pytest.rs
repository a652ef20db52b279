//! `pytest`: the last line, with or without its frame of `=`.

use super::{Counts, number_before};

/// `=== 1 failed, 2 passed, 1 skipped in 0.04s ===`, `2 passed in 0.01s`, `no tests ran in 0.00s`.
pub fn counts(lines: &[&str]) -> Option<Counts> {
    lines
        .iter()
        .filter_map(|line| summary(line))
        .map(|line| Counts {
            passed: number_before(line, &["passed"]) + number_before(line, &["xfailed"]),
            failed: number_before(line, &["failed"])
                + number_before(line, &["error", "errors"])
                + number_before(line, &["xpassed"]),
            skipped: number_before(line, &["skipped"]) + number_before(line, &["deselected"]),
            at_least: false,
        })
        .reduce(Counts::and)
}

fn summary(line: &str) -> Option<&str> {
    let line = line.trim_matches(|c: char| c == '=' || c.is_whitespace());
    let (what, took) = line.rsplit_once(" in ")?;
    let seconds = took.split(' ').next()?.strip_suffix('s')?;
    let _: f64 = seconds.parse().ok()?;
    let known = |part: &str| {
        let mut words = part.split(' ');
        let number = words.next().is_some_and(|n| n.parse::<u64>().is_ok());
        let word = words.next().unwrap_or_default();
        let words_of_its_own = [
            "passed",
            "failed",
            "skipped",
            "deselected",
            "error",
            "errors",
            "xfailed",
            "xpassed",
            "warning",
            "warnings",
            "rerun",
            "subtests",
        ];
        number && words_of_its_own.contains(&word)
    };
    (what == "no tests ran" || what.split(", ").all(known)).then_some(what)
}
