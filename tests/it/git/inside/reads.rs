//! Reading: refs, commits, trees, histories.

use std::path::Path;

use agent_runner_api::git::{Diff, DiffFormat, RefName, Repository, TreeKind};
use agent_runner_api::run::CommitId;

use super::super::scene::{Scene, git, open};
use super::{git_says, history, without_git};
use crate::faults::chance::{Chance, times};

const COMMITS: usize = 40;
const PAIRS: usize = 60;

fn fields(bytes: &[u8]) -> Vec<String> {
    let text = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let mut all: Vec<String> = text.map(|field| field.into_owned()).collect();
    all.pop();
    all
}

fn line(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap().trim().to_owned()
}

/// What lies between two commits, by git and by us.
async fn assert_same_changes(repo: &Repository, root: &Path, a: &CommitId, b: &CommitId) {
    let tree = [
        "diff-tree",
        "-r",
        "-z",
        "--name-status",
        a.as_str(),
        b.as_str(),
    ];
    let said = fields(&git_says(root, &tree).unwrap());
    let Diff::Files(files) = repo.diff(a, b, DiffFormat::Files).await.unwrap() else {
        panic!("not files")
    };
    let ours: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let letter = match file.change {
                "added" => "A",
                "deleted" => "D",
                "type_changed" => "T",
                _ => "M",
            };
            [letter.to_owned(), file.path.clone()]
        })
        .collect();
    assert_eq!(ours, said, "{a}..{b}");
    let paths: Vec<String> = said.into_iter().skip(1).step_by(2).collect();
    assert_eq!(repo.changed_paths(a, b).await.unwrap(), paths);
}

async fn assert_same_commit(repo: &Repository, root: &Path, commit: &CommitId) {
    let said =
        |what: &str| line(git_says(root, &["rev-parse", &format!("{commit}{what}")]).unwrap());
    assert_eq!(
        repo.tree_of(commit).await.unwrap().as_str(),
        said("^{tree}")
    );
    let parents: Vec<String> = said("^@").lines().map(str::to_owned).collect();
    let ours = repo.parents_of(commit).await.unwrap();
    assert!(
        ours.iter()
            .map(CommitId::as_str)
            .eq(parents.iter().map(String::as_str))
    );
    assert!(repo.has_commit(commit).await.unwrap());
    let listed = git_says(
        root,
        &["ls-tree", "-r", "-z", "--full-tree", commit.as_str()],
    )
    .unwrap();
    let listed = fields(&listed);
    let files = repo.files_at(commit, &[]).await.unwrap();
    let shown = |kind: TreeKind| match kind {
        TreeKind::File => "100",
        TreeKind::Link => "120",
        TreeKind::Submodule => "160",
    };
    assert_eq!(files.len(), listed.len());
    for (file, line) in files.iter().zip(&listed) {
        assert!(line.starts_with(shown(file.kind)), "{line}");
        assert!(line.ends_with(&format!("\t{}", file.path)), "{line}");
    }
    let below = ["a".to_owned(), "deep/er".to_owned(), "b/ü/a".to_owned()];
    let asked = [
        &[
            "--literal-pathspecs",
            "ls-tree",
            "-r",
            "-z",
            "--name-only",
            commit.as_str(),
        ][..],
        &["a", "deep/er", "b/ü/a"],
    ]
    .concat();
    let ours = repo.files_at(commit, &below).await.unwrap();
    let ours: Vec<String> = ours.into_iter().map(|file| file.path).collect();
    assert_eq!(ours, fields(&git_says(root, &asked).unwrap()));
    for file in files.iter().filter(|file| file.kind != TreeKind::Submodule) {
        let name = format!("{commit}:{}", file.path);
        let bytes = git_says(root, &["cat-file", "blob", &name]).unwrap();
        let most = bytes.len();
        assert_eq!(repo.bytes_of(&[file], most).await.unwrap(), [Some(bytes)]);
        if let Some(less) = most.checked_sub(1) {
            assert_eq!(repo.bytes_of(&[file], less).await.unwrap(), [None]);
        }
    }
}

/// Seen red: with submodules left out of the changes, and where the only merge base alone was looked at for an ancestor.
#[tokio::test]
async fn answers_of_many_histories_are_gits() {
    let mut chance = Chance::of("inside-reads");
    for round in 0..times(3) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let all = history::repository(root, &mut chance, COMMITS, true);
        // All packed, all loose, with a graph of commits.
        match round % 3 {
            1 => drop(git(root, &["gc", "-q"])),
            2 => drop(git(root, &["commit-graph", "write", "--reachable"])),
            _ => {}
        }
        let inside = without_git(root, &root.join("view")).await;
        let either = open(root, &root.join("view")).await;
        for commit in all.iter().take(12) {
            assert_same_commit(&inside, root, commit).await;
        }
        let mut in_process = 0;
        for _ in 0..PAIRS {
            let (a, b) = (&all[chance.below(all.len())], &all[chance.below(all.len())]);
            assert_same_changes(&inside, root, a, b).await;
            let (x, y) = (a.as_str(), b.as_str());
            let is_ancestor = git_says(root, &["merge-base", "--is-ancestor", x, y]).is_some();
            assert_eq!(
                inside.is_ancestor(a, b).await.unwrap(),
                is_ancestor,
                "{a} {b}"
            );
            let base = git_says(root, &["merge-base", x, y]).map(line);
            let ours = either.merge_base(a, b).await.unwrap();
            assert_eq!(
                ours.as_ref().map(CommitId::as_str),
                base.as_deref(),
                "{a} {b}"
            );
            // Where times are out of order there may be several to choose from, and git chooses.
            if let Ok(base) = inside.merge_base(a, b).await {
                assert_eq!(base, ours);
                in_process += 1;
            }
        }
        assert!(in_process > PAIRS / 2, "{in_process}");
    }
}

/// Seen red: with the repository opened once, a commit that git had collected out of a pack was still there.
#[tokio::test]
async fn what_git_does_meanwhile_is_seen() {
    let scene = Scene::new().await;
    let inside = without_git(&scene.root, &scene.folder().join("view2")).await;
    let branch = RefName::branch("moving").unwrap();
    let first = scene.master().await;
    assert_eq!(inside.resolve(&branch).await.unwrap(), None);
    for n in 0..30 {
        std::fs::write(scene.root.join("b.txt"), format!("{n}\n")).unwrap();
        git(&scene.root, &["commit", "-q", "-a", "-m", "next"]);
        git(&scene.root, &["branch", "-f", "moving"]);
        let now = git(&scene.root, &["rev-parse", "HEAD"])
            .trim()
            .parse()
            .unwrap();
        assert_eq!(inside.resolve(&branch).await.unwrap().as_ref(), Some(&now));
        assert!(inside.is_ancestor(&first, &now).await.unwrap());
        if n % 5 == 0 {
            git(&scene.root, &["gc", "-q"]);
        }
        if n % 2 == 0 {
            git(&scene.root, &["pack-refs", "--all"]);
            assert_eq!(inside.resolve(&branch).await.unwrap().as_ref(), Some(&now));
        }
        if n % 10 == 9 {
            // What nothing leads to goes, out of a pack that was read from.
            git(&scene.root, &["reset", "-q", "--hard", "HEAD~1"]);
            git(&scene.root, &["branch", "-D", "moving"]);
            git(&scene.root, &["gc", "-q"]);
            assert!(inside.has_commit(&now).await.unwrap());
            git(&scene.root, &["reflog", "expire", "--expire=now", "--all"]);
            git(&scene.root, &["gc", "-q", "--prune=now"]);
            assert!(!scene.repo.has_commit(&now).await.unwrap());
            assert!(inside.has_commit(&now).await.is_err(), "git is asked");
            continue;
        }
        if n % 3 == 0 {
            git(&scene.root, &["update-ref", "-d", "refs/heads/moving"]);
            assert_eq!(inside.resolve(&branch).await.unwrap(), None);
        }
    }
}

#[tokio::test]
async fn what_is_odd_is_gits_to_answer() {
    let scene = Scene::new().await;
    let first = scene.master().await;
    let run = scene.run("odd").await;
    let head = run.commit("x", "x");
    let view = scene.folder().join("view2");
    // Another name for a branch, a tag, a hash that nothing has.
    git(
        &scene.root,
        &["symbolic-ref", "refs/heads/other", "refs/heads/master"],
    );
    assert_eq!(scene.tip("other").await, Some(first.clone()));
    git(&scene.root, &["tag", "-a", "-m", "t", "tag", head.as_str()]);
    git(
        &scene.root,
        &["update-ref", "refs/agent_runner/tag", "refs/tags/tag"],
    );
    let tag: CommitId = git(&scene.root, &["rev-parse", "tag"])
        .trim()
        .parse()
        .unwrap();
    assert!(scene.repo.has_commit(&tag).await.unwrap());
    assert_eq!(
        scene.repo.tree_of(&tag).await.unwrap(),
        scene.repo.tree_of(&head).await.unwrap()
    );
    let absent: CommitId = "1".repeat(40).parse().unwrap();
    assert!(!scene.repo.has_commit(&absent).await.unwrap());
    assert!(scene.repo.tree_of(&absent).await.is_err());
    assert!(scene.repo.is_ancestor(&first, &absent).await.is_err());
    // Histories that end early: one said to, one that was damaged.
    std::fs::write(scene.root.join(".git/shallow"), format!("{head}\n")).unwrap();
    let repo = open(&scene.root, &view).await;
    assert_eq!(repo.parents_of(&head).await.unwrap(), []);
    assert!(!repo.is_ancestor(&first, &head).await.unwrap());
    std::fs::remove_file(scene.root.join(".git/shallow")).unwrap();
    let (folder, file) = first.as_str().split_at(2);
    std::fs::remove_file(scene.root.join(".git/objects").join(folder).join(file)).unwrap();
    let repo = open(&scene.root, &scene.folder().join("view3")).await;
    assert!(repo.merge_base(&run.start, &head).await.is_err());
    assert!(repo.merge_base(&head, &absent).await.is_err());
}

#[tokio::test]
async fn a_repository_of_longer_hashes_is_gits_alone() {
    let scene = Scene::with(&["--object-format=sha256"]).await;
    let first = scene.master().await;
    assert_eq!(first.as_str().len(), 64);
    let run = scene.run("sha256").await;
    let head = run.commit("x", "x");
    assert!(scene.repo.is_ancestor(&first, &head).await.unwrap());
    assert_eq!(
        scene.repo.changed_paths(&first, &head).await.unwrap(),
        ["x"]
    );
}

#[tokio::test]
async fn objects_borrowed_from_another_repository_are_found() {
    let scene = Scene::new().await;
    let first = scene.master().await;
    let clone = scene.folder().join("clone");
    git(
        scene.folder(),
        &["clone", "-q", "--shared", "repository", "clone"],
    );
    let view = scene.folder().join("view2");
    let inside = without_git(&clone, &view).await;
    assert!(inside.has_commit(&first).await.unwrap());
    // By a path from the folder of objects, which the view shows through a link.
    let alternates = clone.join(".git/objects/info/alternates");
    std::fs::write(alternates, "../../../repository/.git/objects\n").unwrap();
    let either = open(&clone, &view).await;
    assert!(either.has_commit(&first).await.unwrap());
    let branch = RefName::branch("master").unwrap();
    assert_eq!(either.resolve(&branch).await.unwrap(), Some(first));
}

/// Each of these made a read wait for ever, fail, or end the process, where it is read without care.
#[tokio::test]
async fn what_an_agent_plants_among_refs_and_objects_is_answered_as_git_does() {
    let scene = Scene::new().await;
    let first = scene.master().await;
    let heads = scene.root.join(".git/refs/heads");
    let branch = |name: &str| RefName::branch(name).unwrap();
    std::fs::create_dir(heads.join("folder")).unwrap();
    assert_eq!(scene.repo.resolve(&branch("folder")).await.unwrap(), None);
    std::fs::write(heads.join("torn"), &first.as_str()[..20]).unwrap();
    assert_eq!(scene.repo.resolve(&branch("torn")).await.unwrap(), None);
    std::fs::write(heads.join("empty"), "").unwrap();
    assert_eq!(scene.repo.resolve(&branch("empty")).await.unwrap(), None);
    for (name, to) in [("one", "two"), ("two", "one")] {
        std::fs::write(heads.join(name), format!("ref: refs/heads/{to}\n")).unwrap();
    }
    assert_eq!(scene.repo.resolve(&branch("one")).await.unwrap(), None);
    std::fs::write(heads.join("long"), format!("{first} and more\n")).unwrap();
    let said = git_says(&scene.root, &["for-each-ref", "refs/heads/long"]);
    let known = scene.repo.resolve(&branch("long")).await.unwrap();
    assert_eq!(known.is_some(), said.is_some_and(|said| !said.is_empty()));
}
