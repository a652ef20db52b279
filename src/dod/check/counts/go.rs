//! `go test`: a line for each package; with `-v` or `-json` also one for each test.

use serde::Deserialize;

use super::Counts;

/// One line of `go test -json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Line {
    action: String,
    package: Option<String>,
    test: Option<String>,
}

/// Tests where they are named, else packages, of which each has at least one.
pub fn counts(lines: &[&str]) -> Option<Counts> {
    let (mut tests, mut packages, mut seen) = (Counts::default(), Counts::default(), false);
    for line in lines {
        if let Some(line) = of_json(line) {
            seen = true;
            // A subtest is a part of its test.
            let whole = line.test.is_some_and(|test| !test.contains('/'));
            tests = tests.and(ended(&line.action, u64::from(whole)));
        } else if let Some(line) = line.strip_prefix("--- ") {
            let named = [("PASS: ", "pass"), ("FAIL: ", "fail"), ("SKIP: ", "skip")];
            if let Some((_, action)) = named.iter().find(|(word, _)| line.starts_with(word)) {
                seen = true;
                tests = tests.and(ended(action, 1));
            }
        } else if let Some(package) = of_package(line) {
            seen = true;
            packages = packages.and(package);
        }
    }
    // Without -v only failed tests are named: then the packages say more.
    let named = tests.passed > 0 || tests.skipped > 0;
    let mut all = if named { tests } else { packages };
    all.failed = all.failed.max(tests.failed);
    seen.then_some(all)
}

fn of_json(line: &str) -> Option<Line> {
    let line: Line = serde_json::from_str(line.strip_prefix('{').map(|_| line)?).ok()?;
    line.package.is_some().then_some(line)
}

fn ended(action: &str, number: u64) -> Counts {
    let mut counts = Counts::default();
    match action {
        "pass" => counts.passed = number,
        "fail" => counts.failed = number,
        "skip" => counts.skipped = number,
        _ => {}
    }
    counts
}

/// `ok   pkg 0.002s`, `FAIL pkg 0.002s`, `?    pkg [no test files]`.
fn of_package(line: &str) -> Option<Counts> {
    let mut fields = line.split('\t');
    let (word, _package, rest) = (fields.next()?.trim_end(), fields.next()?, fields.next()?);
    let none = line.contains("[no test files]") || line.contains("[no tests to run]");
    let one = Counts {
        at_least: true,
        ..Counts::default()
    };
    match word {
        "ok" | "?" if none => Some(Counts::default()),
        "ok" if rest.ends_with('s') || rest.starts_with("(cached)") => {
            Some(Counts { passed: 1, ..one })
        }
        "FAIL" => Some(Counts { failed: 1, ..one }),
        _ => None,
    }
}
