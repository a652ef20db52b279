//! What is the user's own in a repository, and what of it the service may never change (I14).
//!
//! Compared are: what the checkout has checked out, `config`, `hooks/`, `info/`, `description`, the branches and tags
//! that are neither a base (`master` or `release` in the tests) nor ours, and every registered worktree that is not ours with its HEAD.
//! Not compared are the index and the files of a checkout of the base: those are brought along at a merge, and have
//! tests of their own.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::repo::git_quietly;

/// What is the user's own, by name, as it is now.
pub fn yours(root: &Path) -> BTreeMap<String, String> {
    let git = root.join(".git");
    let mut all = BTreeMap::new();
    for name in [
        "HEAD",
        "config",
        "config.worktree",
        "description",
        "hooks",
        "info",
    ] {
        add(&mut all, &git, name);
    }
    let refs = git_quietly(root, &["for-each-ref", "--format=%(refname) %(objectname)"]);
    for line in refs.lines() {
        let (name, commit) = line.split_once(' ').unwrap();
        let ours = [
            "refs/heads/auto/",
            "refs/agent_runner/",
            "refs/notes/agent_runner",
        ];
        let bases = ["refs/heads/master", "refs/heads/release"];
        if !bases.contains(&name) && !ours.iter().any(|below| name.starts_with(below)) {
            all.insert(name.to_owned(), commit.to_owned());
        }
    }
    for entry in fs::read_dir(git.join("worktrees")).into_iter().flatten() {
        let folder = entry.unwrap().path();
        let Ok(place) = fs::read_to_string(folder.join("gitdir")) else {
            // It is just going; one of the user's that does was seen before.
            continue;
        };
        // The service works below this folder only.
        if !place.contains("/worktrees/") {
            let head = fs::read_to_string(folder.join("HEAD")).unwrap_or_default();
            all.insert(format!("worktree {}", place.trim()), head);
        }
    }
    all
}

fn add(all: &mut BTreeMap<String, String>, git: &Path, name: &str) {
    let path = git.join(name);
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            let inside = entry.unwrap().file_name();
            add(all, git, &format!("{name}/{}", inside.to_str().unwrap()));
        }
    } else if let Ok(bytes) = fs::read(path) {
        all.insert(
            name.to_owned(),
            String::from_utf8_lossy(&bytes).into_owned(),
        );
    }
}
