//! The demo: that the story is told in its order, that it is real, and that nothing of it is left.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use agent_runner_api::git::{self, RefName, Repository};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::program::{Ended, Program};

fn below(folder: &TempDir) -> Program {
    Program::new().with("TMPDIR", folder.path().to_str().unwrap())
}

fn content(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The command lines of all processes that name this folder.
fn processes_in(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(folder))
        .collect()
}

#[test]
fn the_demo_carries_a_run_to_a_real_merge_and_leaves_nothing_running() {
    let folder = TempDir::new().unwrap();
    let ended = below(&folder).run(&["demo", "--keep"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
    assert_told_in_order(
        &ended.stdout,
        &[
            "listening on http://127.0.0.1:",
            "> PUT /api/workflows/demo",
            "< 201",
            "> POST /api/runs {\"mode\": \"demo\"",
            "branch         auto/let-greet-sh-greet-by-name-",
            "My task: Let greet.sh greet by name.",
            "[checking]",
            "tests validated by check",
            "[finished]",
            "< 409",
            "`notes`: there is no evidence",
            "`definition-changed`: the evidence is not validated",
            "tests: validated",
            "/validate {\"validated_by\":\"demo\"}",
            "/validate {\"validated_by\":\"demo\"}",
            "open: true, blockers: []",
            "merged as ",
            "*   ",
            "Merge auto/let-greet-sh-greet-by-name-",
            "greet: by name",
            "The folder is kept: ",
            "With Claude Code, on a repository of your own:",
        ],
    );
    let stage = content(folder.path()).pop().expect("it is kept");
    assert_eq!(processes_in(folder.path()), Vec::<String>::new());
    assert_merged(&stage);
}

#[test]
fn the_folder_of_the_demo_is_removed_unless_it_is_to_be_kept() {
    let folder = TempDir::new().unwrap();
    let ended = below(&folder).run(&["demo"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stdout.contains("the folder is removed"), "{ended:?}");
    assert_eq!(content(folder.path()), Vec::<PathBuf>::new());
}

#[test]
fn an_interrupted_demo_ends_its_agent_and_its_service_and_removes_its_folder() {
    let folder = TempDir::new().unwrap();
    let mut child = below(&folder).command(&["demo"]).spawn().unwrap();
    // Kept open to the end: a demo whose reader is gone ends by itself.
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let seen = lines
        .by_ref()
        .map(|line| line.unwrap())
        .find(|line| line.contains("My task"));
    assert!(seen.is_some(), "the agent works");
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let ended = Ended::from(child.wait_with_output().unwrap());
    // The stream may be seen to break before the demo has ended: that is said then, and the last word is the same.
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.ends_with("error: interrupted\n"), "{ended:?}");
    assert_eq!(processes_in(folder.path()), Vec::<String>::new());
    assert_eq!(content(folder.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_demo_without_git_says_so_and_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let empty = TempDir::new().unwrap();
    let program = below(&folder).with("PATH", empty.path().to_str().unwrap());
    let ended = program.run(&["demo"]);
    assert_eq!(ended.code, 1);
    assert!(
        ended.stderr.contains("git was not found on PATH"),
        "{ended:?}"
    );
    assert_eq!(content(folder.path()), Vec::<PathBuf>::new());
}

/// Each of these is told, after the one before.
#[track_caller]
fn assert_told_in_order(told: &str, wanted: &[&str]) {
    let mut rest = told;
    for text in wanted {
        let at = rest.find(text);
        let at = at.unwrap_or_else(|| panic!("{text:?} is not told in its place:\n{told}"));
        rest = &rest[at + text.len()..];
    }
}

/// The base has a merge commit of two parents, and its checkout has the agent's work.
fn assert_merged(stage: &Path) {
    let root = stage.join("repository");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let parents = runtime.block_on(async {
        let path = OsStr::new("/usr/local/bin:/usr/bin:/bin");
        let program = git::Program::find(path).await.unwrap();
        let view = stage.join("looking");
        let repository = Repository::open(program, &root, &view).await.unwrap();
        let master = RefName::branch("master").unwrap();
        let tip = repository.resolve(&master).await.unwrap().unwrap();
        repository.parents_of(&tip).await.unwrap()
    });
    assert_eq!(parents.len(), 2);
    let greet = std::fs::read_to_string(root.join("greet.sh")).unwrap();
    assert!(greet.contains("Hello, ${1:-world}."), "{greet}");
    assert!(root.join("NOTES.md").is_file());
}
