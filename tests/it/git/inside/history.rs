//! Histories that look like chance: merges of many parents, times out of order, odd names, all modes, submodules, files
//! that become folders and folders that become files.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use agent_runner_api::run::CommitId;

use super::super::scene::git;
use crate::faults::chance::Chance;

/// Names that sort, quote or look in odd ways; `{}` is a number.
const NAMES: &[&str] = &[
    "a",
    "a.b",
    "a-b",
    "a0",
    "A{}",
    "ü",
    "tab\tand\nline",
    "\"quoted\"",
    "-x",
    ":(glob)*",
    "space {}",
    "b",
    "f{}.txt",
    "\\back",
    "\u{1f600}",
];
const FOLDERS: &[&str] = &[
    "",
    "a/",
    "a.b/",
    "a/b/",
    "b/ü/",
    "deep/er/and/deeper/",
    "{}/",
];
const MODES: &[&str] = &["100644", "100644", "100644", "100755", "120000", "160000"];

/// Makes so many commits, each from up to three of those before it. `submodules` says whether there are any.
pub fn make(folder: &Path, chance: &mut Chance, commits: usize, submodules: bool) -> Vec<CommitId> {
    let mut script = Vec::new();
    for n in 1..=commits {
        let time = 1_700_000_000 + chance.below(40) * 1000;
        // Some have no parents: histories that have nothing in common.
        let parents = if n == 1 || chance.below(12) == 0 {
            0
        } else {
            1 + chance.below(5) / 3 + chance.below(12) / 11
        };
        write!(script, "commit refs/heads/c{n}\nmark :{n}\n").unwrap();
        write!(
            script,
            "committer A <a@localhost> {time} +0000\ndata 3\nc\n\n"
        )
        .unwrap();
        let mut taken = Vec::new();
        for which in 0..parents {
            let parent = 1 + (n - 1).saturating_sub(1 + chance.below(n.min(9)));
            if !taken.contains(&parent) {
                let word = if which == 0 { "from" } else { "merge" };
                writeln!(script, "{word} :{parent}").unwrap();
                taken.push(parent);
            }
        }
        for _ in 0..1 + chance.below(6) {
            change(&mut script, chance, submodules);
        }
    }
    import(folder, &script);
    let marks = std::fs::read_to_string(folder.join("marks")).unwrap();
    std::fs::remove_file(folder.join("marks")).unwrap();
    let mut all: Vec<(usize, CommitId)> = marks
        .lines()
        .map(|line| {
            let (mark, hash) = line.split_once(' ').unwrap();
            (mark[1..].parse().unwrap(), hash.parse().unwrap())
        })
        .collect();
    all.sort();
    all.into_iter().map(|(_, commit)| commit).collect()
}

fn change(script: &mut Vec<u8>, chance: &mut Chance, submodules: bool) {
    let of = |list: &[&str], chance: &mut Chance| {
        let text = list[chance.below(list.len())];
        text.replace("{}", &chance.below(4).to_string())
    };
    let path = format!("{}{}", of(FOLDERS, chance), of(NAMES, chance));
    let quoted: String = path.bytes().map(|byte| format!("\\{byte:03o}")).collect();
    if chance.below(4) == 0 {
        writeln!(script, "D \"{quoted}\"").unwrap();
        return;
    }
    let mode = MODES[chance.below(MODES.len() - usize::from(!submodules))];
    if mode == "160000" {
        writeln!(script, "M {mode} {:040x} \"{quoted}\"", 1 + chance.below(3)).unwrap();
        return;
    }
    let text = match mode {
        "120000" => format!("to/{}", chance.below(3)),
        _ => "a line\n".repeat(chance.below(5)) + &format!("{}", chance.below(4)),
    };
    writeln!(
        script,
        "M {mode} inline \"{quoted}\"\ndata {}\n{text}",
        text.len()
    )
    .unwrap();
}

#[expect(clippy::disallowed_methods, reason = "the user's git")]
fn import(folder: &Path, script: &[u8]) {
    let mut child = Command::new("git")
        .current_dir(folder)
        .args(["fast-import", "--quiet", "--export-marks=marks"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script).unwrap();
    assert!(child.wait().unwrap().success());
}

/// The same as the only history of a new repository.
pub fn repository(
    folder: &Path,
    chance: &mut Chance,
    commits: usize,
    submodules: bool,
) -> Vec<CommitId> {
    git(folder, &["init", "-q", "-b", "master"]);
    make(folder, chance, commits, submodules)
}
