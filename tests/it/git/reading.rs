//! Finding the repository, and what is read of it.

use agent_runner_api::git::{
    Diff, DiffFormat, LeftOut, OpenError, Program, ProgramError, RefName, Repository, TreeKind,
};

use super::scene::{Scene, git, open, program};

#[tokio::test]
async fn a_missing_or_old_or_foreign_git_is_told_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let find = || Program::find(folder.path().as_os_str());
    assert!(matches!(find().await, Err(ProgramError::Missing)));
    let says = |text: &str| {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.path().join("git.new");
        std::fs::write(&path, format!("#!/bin/sh\necho {text}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::rename(&path, folder.path().join("git")).unwrap();
    };
    says("git version 2.37.9");
    assert!(
        find()
            .await
            .unwrap_err()
            .to_string()
            .contains("2.38 or newer is needed")
    );
    says("hello");
    assert!(matches!(find().await, Err(ProgramError::NotGit { answer, .. }) if answer == "hello"));
}

#[tokio::test]
async fn what_is_not_a_repository_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for root in [folder.path().to_owned(), folder.path().join("absent")] {
        let opened = Repository::open(program().await, &root, &folder.path().join("view")).await;
        assert!(matches!(opened, Err(OpenError::NotARepository(_))));
    }
    let scene = Scene::new().await;
    git(
        &scene.root,
        &["config", "extensions.partialClone", "origin"],
    );
    let view = folder.path().join("view");
    let opened = Repository::open(program().await, &scene.root, &view).await;
    assert!(matches!(opened, Err(OpenError::Unsupported { .. })));
}

#[tokio::test]
async fn a_repository_is_found_from_a_checkout_a_folder_in_it_and_bare() {
    let scene = Scene::new().await;
    let inside = scene.root.join("folder");
    std::fs::create_dir(&inside).unwrap();
    let repo = open(&inside, &scene.folder().join("view2")).await;
    assert_eq!(
        repo.common_dir(),
        scene.root.join(".git").canonicalize().unwrap()
    );
    assert_eq!(
        repo.main_checkout(),
        Some(scene.root.canonicalize().unwrap().as_path())
    );
    let (apart, checkout) = (
        scene.folder().join("apart"),
        scene.folder().join("checkout"),
    );
    let flag = format!("--separate-git-dir={}", apart.display());
    git(
        &scene.root,
        &["clone", "-q", &flag, ".", checkout.to_str().unwrap()],
    );
    let repo = open(&checkout, &scene.folder().join("view3")).await;
    assert_eq!(repo.common_dir(), apart.canonicalize().unwrap());
    assert_eq!(
        repo.main_checkout(),
        Some(checkout.canonicalize().unwrap().as_path())
    );
    let bare = Scene::bare().await;
    assert_eq!(bare.repo.main_checkout(), None);
    assert!(bare.repo.checkouts().unwrap().is_empty());
}

#[tokio::test]
async fn the_default_branch_is_master_then_main_then_heads() {
    let scene = Scene::new().await;
    let default = async || scene.repo.default_branch().await.unwrap();
    git(&scene.root, &["branch", "main"]);
    assert_eq!(default().await.as_deref(), Some("master"));
    git(&scene.root, &["branch", "-m", "master", "trunk"]);
    assert_eq!(default().await.as_deref(), Some("main"));
    git(&scene.root, &["branch", "-D", "main"]);
    assert_eq!(default().await.as_deref(), Some("trunk"));
    git(&scene.root, &["checkout", "-q", "--detach"]);
    git(&scene.root, &["branch", "-D", "trunk"]);
    assert_eq!(default().await, None);
}

#[tokio::test]
async fn a_ref_is_resolved_by_its_exact_name_only() {
    let scene = Scene::new().await;
    // rev-parse takes `refs/tags/refs/heads/x` for `refs/heads/x`.
    git(
        &scene.root,
        &["update-ref", "refs/tags/refs/heads/planted", "HEAD"],
    );
    assert_eq!(scene.tip("planted").await, None);
    git(&scene.root, &["branch", "x/y"]);
    assert_eq!(
        scene.tip("x").await,
        None,
        "a folder of branches is not a branch"
    );
    assert_eq!(scene.tip("x/y").await, Some(scene.master().await));
    git(&scene.root, &["pack-refs", "--all"]);
    assert_eq!(scene.tip("x/y").await, Some(scene.master().await));
}

#[tokio::test]
async fn a_diff_comes_as_a_patch_as_lines_and_as_files() {
    let scene = Scene::new().await;
    let run = scene.run("diff").await;
    std::fs::remove_file(run.path().join("b.txt")).unwrap();
    run.write("new \"name\"\n.txt", "x\ny\n");
    let head = run.commit("a.txt", "one\n2\nthree\n");
    let diff = async |format| scene.repo.diff(&run.start, &head, format).await.unwrap();
    let Diff::Patch {
        text,
        truncated: false,
    } = diff(DiffFormat::Patch).await
    else {
        panic!()
    };
    assert!(String::from_utf8(text).unwrap().contains("\n-two\n+2\n"));
    let Diff::Stat(stats) = diff(DiffFormat::Stat).await else {
        panic!()
    };
    let stats: Vec<_> = stats
        .iter()
        .map(|s| (s.path.as_str(), s.added, s.removed))
        .collect();
    assert_eq!(
        stats,
        [
            ("a.txt", Some(1), Some(1)),
            ("b.txt", Some(0), Some(1)),
            ("new \"name\"\n.txt", Some(2), Some(0))
        ]
    );
    let Diff::Files(files) = diff(DiffFormat::Files).await else {
        panic!()
    };
    let changes: Vec<_> = files.iter().map(|file| file.change).collect();
    assert_eq!(changes, ["modified", "deleted", "added"]);
    assert_eq!(
        scene
            .repo
            .changed_paths(&run.start, &head)
            .await
            .unwrap()
            .len(),
        3
    );
}

#[tokio::test]
async fn a_patch_without_end_is_cut_and_says_so() {
    let scene = Scene::new().await;
    let run = scene.run("diff").await;
    let head = run.commit("long.txt", &"a line of a long file\n".repeat(400_000));
    let diff = scene
        .repo
        .diff(&run.start, &head, DiffFormat::Patch)
        .await
        .unwrap();
    let Diff::Patch {
        text,
        truncated: true,
    } = diff
    else {
        panic!("not cut")
    };
    assert_eq!(text.len(), 4 << 20);
}

#[tokio::test]
async fn replaced_objects_do_not_change_what_history_is() {
    let scene = Scene::new().await;
    let first = scene.master().await;
    let run = scene.run("replace").await;
    let head = run.commit("x", "x");
    // An orphan in the place of the head: then `first` would not be its ancestor.
    let tree = run.git(&["rev-parse", "HEAD^{tree}"]);
    let orphan = run.git(&["commit-tree", "-m", "orphan", tree.trim()]);
    run.git(&["replace", head.as_str(), orphan.trim()]);
    assert_eq!(
        run.git(&["rev-list", "--count", "HEAD"]).trim(),
        "1",
        "the lie works for others"
    );
    assert!(scene.repo.is_ancestor(&first, &head).await.unwrap());
    assert_eq!(scene.repo.parents_of(&head).await.unwrap(), [first]);
    assert!(!scene.repo.is_ancestor(&head, &run.start).await.unwrap());
    assert!(RefName::branch("--help").is_err());
}

#[tokio::test]
async fn what_worktrees_do_not_have_is_told() {
    let scene = Scene::new().await;
    assert_eq!(
        scene.repo.left_out(&scene.master().await).await.unwrap(),
        []
    );
    let folder = scene.root.join("assets");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(
        folder.join(".gitattributes"),
        "*.bin filter=lfs diff=lfs -text\n",
    )
    .unwrap();
    std::fs::write(scene.root.join(".gitmodules"), "").unwrap();
    git(&scene.root, &["add", "--all"]);
    git(&scene.root, &["commit", "--quiet", "--message", "odd"]);
    assert_eq!(
        scene.repo.left_out(&scene.master().await).await.unwrap(),
        [
            LeftOut::Filters {
                attributes: vec!["assets/.gitattributes".to_owned()]
            },
            LeftOut::Submodules
        ]
    );
}

#[tokio::test]
async fn files_of_a_commit_are_read_byte_for_byte_and_by_their_names_alone() {
    let scene = Scene::new().await;
    let repo = open(&scene.root, &scene.folder().join("view2")).await;
    let long = "x".repeat(1000);
    let names = [
        "odd/*.txt",
        "odd/a b\t\n.txt",
        "odd/ü.txt",
        "odd/:(glob)**",
        "odd/--x",
    ];
    std::fs::create_dir(scene.root.join("odd")).unwrap();
    for name in names {
        std::fs::write(scene.root.join(name), format!("{name}\n\n")).unwrap();
    }
    std::fs::write(scene.root.join("odd/empty"), "").unwrap();
    std::fs::write(scene.root.join("odd/long"), &long).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", scene.root.join("odd/link")).unwrap();
    git(&scene.root, &["add", "-A"]);
    git(&scene.root, &["commit", "-q", "-m", "odd"]);
    let commit = git(&scene.root, &["rev-parse", "HEAD"])
        .trim()
        .parse()
        .unwrap();
    // The checkout is not looked at.
    std::fs::remove_dir_all(scene.root.join("odd")).unwrap();

    let all = repo.files_at(&commit, &["odd".to_owned()]).await.unwrap();
    assert_eq!(all.len(), names.len() + 3);
    for name in names {
        let found = repo.files_at(&commit, &[name.to_owned()]).await.unwrap();
        let [file] = found.as_slice() else {
            panic!("{name}: {found:?}");
        };
        assert_eq!((file.path.as_str(), file.kind), (name, TreeKind::File));
        let bytes = repo.bytes_of(&[file], 100).await.unwrap();
        assert_eq!(bytes, [Some(format!("{name}\n\n").into_bytes())]);
    }
    let link = all.iter().find(|file| file.path == "odd/link").unwrap();
    assert_eq!(link.kind, TreeKind::Link);
    let files: Vec<_> = all.iter().filter(|f| f.kind == TreeKind::File).collect();
    let bytes = repo.bytes_of(&files, 999).await.unwrap();
    for (file, bytes) in files.iter().zip(bytes) {
        let too_long = file.path == "odd/long";
        assert_eq!(bytes.is_none(), too_long, "{}", file.path);
        assert_eq!(bytes == Some(Vec::new()), file.path == "odd/empty");
    }
    let none = repo
        .files_at(&commit, &["absent".to_owned()])
        .await
        .unwrap();
    assert_eq!(none, []);
}
