//! `node --test`: a block of lines, by TAP (`# tests 4`) or by its own reporter (`ℹ tests 4`).

use super::Counts;

/// The block's numbers; several blocks add up.
pub fn counts(lines: &[&str]) -> Option<Counts> {
    let (mut all, mut seen) = (Counts::default(), false);
    for line in lines {
        let Some(line) = line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ ")) else {
            continue;
        };
        let Some((name, number)) = line.split_once(' ') else {
            continue;
        };
        let Ok(number) = number.trim().parse::<u64>() else {
            continue;
        };
        match name {
            "tests" => seen = true,
            "pass" => all.passed += number,
            "fail" | "cancelled" => all.failed += number,
            "skipped" | "todo" => all.skipped += number,
            _ => {}
        }
    }
    seen.then_some(all)
}
