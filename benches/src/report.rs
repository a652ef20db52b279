//! What was measured, as text for whoever waits and as a table in a document.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;

use crate::goal::{Goal, Line};
use crate::ground::Ground;
use crate::plot;

/// Between these marks the document is written.
const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

/// The machine, the day and the program.
pub fn machine(ground: &Ground) -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("an unnamed CPU", |(_, name)| name)
        .to_owned();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .split_whitespace()
                .next()?
                .parse::<u64>()
                .ok()
        })
        .unwrap_or(0);
    let system = rustix::system::uname();
    let at = rustix::fs::statfs(ground.path()).map_or(0, |at| at.f_type);
    let files = match at {
        0x0102_1994 => "tmpfs",
        0xEF53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683E => "btrfs",
        _ => "another file system",
    };
    format!(
        "{}, {cores} cores of {model}, {} GiB, Linux {}, repositories on {files}",
        jiff::Zoned::now().strftime("%Y-%m-%d"),
        kib / (1024 * 1024),
        system.release().to_string_lossy(),
    )
}

fn verdict(line: &Line) -> &'static str {
    match (line.bound.is_some(), line.is_met()) {
        (false, _) => "",
        (true, true) => "met",
        (true, false) => "**missed**",
    }
}

/// A goal as text.
pub fn text(goal: &Goal) -> String {
    let mut text = format!("{}  {}\n", goal.id, goal.what);
    for line in &goal.lines {
        let _ = writeln!(
            text,
            "    {:<60} {:>12}   {:<46} {:>12}   ×{:<8.2} {:<8} {}",
            line.ours_is,
            line.unit.show(line.ours),
            line.floor_is,
            line.unit.show(line.floor),
            line.ratio(),
            line.bound.map_or_else(String::new, |bound| bound.show()),
            verdict(line).replace('*', ""),
        );
    }
    text
}

fn markdown(machine: &str, goals: &[Goal]) -> String {
    let mut text = format!("{BEGIN}\n{machine}\n\n");
    text.push_str("| Goal | Ours | median | Floor | median | Ratio | Bound | |\n| --- | --- | ---: | --- | ---: | ---: | --- | --- |\n");
    for goal in goals {
        for line in &goal.lines {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {:.2} | {} | {} |",
                goal.id,
                line.ours_is,
                line.unit.show(line.ours),
                line.floor_is,
                line.unit.show(line.floor),
                line.ratio(),
                line.bound.map_or_else(String::new, |bound| bound.show()),
                verdict(line),
            );
        }
    }
    text.push_str("\nEach ratio beside its bound; left of the line is within it:\n\n![Ratios](performance/ratios.svg)\n");
    text.push_str(END);
    text
}

/// Writes the table between the marks of the document, and the plots beside it.
pub fn write(document: &Path, ground: &Ground, goals: &[Goal]) -> anyhow::Result<()> {
    let old = std::fs::read_to_string(document)
        .with_context(|| format!("{} cannot be read", document.display()))?;
    let (before, rest) = old
        .split_once(BEGIN)
        .context("the document has no mark where it begins")?;
    let (_, after) = rest
        .split_once(END)
        .context("the document has no mark where it ends")?;
    let plots = document.with_extension("");
    std::fs::create_dir_all(&plots)?;
    plot::ratios(&plots.join("ratios.svg"), goals)?;
    let new = format!("{before}{}{after}", markdown(&machine(ground), goals));
    std::fs::write(document, new)?;
    Ok(())
}
