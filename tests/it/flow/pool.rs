//! Worktrees that stand ready: a run gets one with exactly the files that a made one has, they follow the base, outlive
//! the service, and none is handed out that is not as it was made.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::thread;

use rstest::rstest;
use serde_json::json;

use crate::support::mount::Mounted;
use crate::support::repo::{git, git_quietly};
use crate::support::server::{Server, Setup};
use crate::support::wait::until;

const MIB: u64 = 1 << 20;

/// What lies in a folder, but for its `.git`: kind and mode, content or where a link leads.
fn content(folder: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(below) = folders.pop() {
        for entry in fs::read_dir(&below).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_owned();
            if name == Path::new(".git") {
                continue;
            }
            let meta = path.symlink_metadata().unwrap();
            let bytes = if meta.is_symlink() {
                fs::read_link(&path)
                    .unwrap()
                    .as_os_str()
                    .as_bytes()
                    .to_vec()
            } else if meta.is_dir() {
                folders.push(path);
                Vec::new()
            } else {
                fs::read(&path).unwrap()
            };
            all.insert(name, (meta.mode(), bytes));
        }
    }
    all
}

/// Files of every kind that git knows, and some that are written otherwise than they are stored.
fn write_odd_files(root: &Path) {
    let text = |name: &[u8], bytes: &[u8]| {
        let path = root.join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    text(
        b".gitattributes",
        b"*.crlf text eol=crlf\n*.id ident\n*.u16 working-tree-encoding=UTF-16LE\n",
    );
    text(b"lines.crlf", b"one\ntwo\n");
    text(b"who.id", b"$Id$\n");
    text(b"wide.u16", b"w\0\n\0");
    text(b"deep/er/and deeper/file", b"deep\n");
    text("ümläut \"quoted\"\nsecond line".as_bytes(), b"odd\n");
    text(b"not-\xff-utf8", b"odd\n");
    text(b"-dash", b"odd\n");
    text(b"empty", b"");
    text(b"binary", &[0, 159, 146, 150, 10, 13, 10]);
    text(b"run.sh", b"#!/bin/sh\n");
    fs::set_permissions(root.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("run.sh", root.join("link")).unwrap();
    symlink("nowhere/at/all", root.join("dangling")).unwrap();
    symlink("deep", root.join("to-folder")).unwrap();
}

fn commit_odd_files(setup: &Setup) {
    setup.repo.as_the_user(|root| {
        write_odd_files(root);
        git(root, &["add", "-A"]);
        git(root, &["commit", "-q", "-m", "odd"]);
    });
}

/// What `git worktree add` makes of a revision.
fn as_git_makes_it(server: &Server, revision: &str) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let folder = server.at("by-git");
    let path = folder.to_str().unwrap();
    server
        .repo
        .git(&["worktree", "add", "-q", "--detach", path, revision]);
    let made = content(&folder);
    server.repo.git(&["worktree", "remove", path]);
    made
}

fn inode(path: &Path) -> u64 {
    path.symlink_metadata().unwrap().ino()
}

fn waiting(server: &Server) -> String {
    format!("wait-for {}", server.mark_path("go"))
}

#[test]
fn a_run_claims_a_ready_worktree_and_gets_exactly_the_files_that_git_makes() {
    let setup = Setup::new().with_pool("1");
    commit_odd_files(&setup);
    let server = setup.start();
    server.wait_for_pool(1);
    let slot = server.slots().remove(0);
    let (folder, file) = (inode(&slot), inode(&slot.join("lines.crlf")));
    let expected = as_git_makes_it(&server, "master");
    assert_eq!(expected[Path::new("lines.crlf")].1, b"one\r\ntwo\r\n");

    let run = server.run(&waiting(&server));
    assert_eq!(content(&run.worktree), expected);
    assert_eq!(inode(&run.worktree), folder);
    assert_eq!(inode(&run.worktree.join("lines.crlf")), file);
    assert_eq!(git_quietly(&run.worktree, &["status", "--porcelain"]), "");
    let on = git_quietly(&run.worktree, &["symbolic-ref", "HEAD"]);
    assert_eq!(on.trim(), format!("refs/heads/{}", run.branch));
    let listed = git_quietly(server.repo.root(), &["worktree", "list", "--porcelain"]);
    let path = run.worktree.to_str().unwrap();
    let listed = listed.split("\n\n").find(|one| one.contains(path)).unwrap();
    assert!(
        !listed.contains("locked") && !listed.contains("prunable"),
        "{listed}"
    );

    server.wait_for_pool(1);
    let pool = server.pool();
    assert_eq!(
        [&pool["claimed"], &pool["caught_up"], &pool["missed"]],
        [1, 0, 0]
    );
    let metrics = server.client().get("/metrics");
    let metrics = String::from_utf8_lossy(&metrics.bytes);
    assert!(metrics.contains("agent_runner_pool_ready 1\n"), "{metrics}");
    assert!(
        metrics.contains("agent_runner_pool_claims_total{outcome=\"hit\"} 1\n"),
        "{metrics}"
    );
    server.mark("go");
    run.wait_for("finished");
    run.abort().expect(200);
}

#[test]
fn a_claimed_worktree_lives_as_any_other_until_it_is_merged() {
    let server = Setup::new().with_pool("2").start();
    server.wait_for_pool(2);
    let run = server
        .finished("write work.txt done\ngit add -A\ngit commit -q -m work\nwrite left.txt left");
    run.prove();
    run.merge().expect(200);
    assert_eq!(
        server.repo.read("work.txt") + &server.repo.read("left.txt"),
        "done\nleft\n"
    );
    let aborted = server.finished("write other.txt other");
    aborted.abort().expect(200);
    aborted.post("/restore", &json!({})).expect(200);
    assert_eq!(
        fs::read_to_string(aborted.worktree.join("other.txt")).unwrap(),
        "other\n"
    );
    server.wait_for_pool(2);
    assert_eq!(server.pool()["missed"], 0);
}

#[test]
fn the_pool_follows_the_base_whoever_moves_it() {
    let server = Setup::new().with_pool("2").start();
    server.wait_for_pool(2);
    let first = server.slots();
    server.repo.commit("a.txt", "changed\n");
    server.wait_for_pool(2);
    // Packed refs are another file.
    server.repo.commit("b.txt", "changed\n");
    server.repo.git(&["pack-refs", "--all"]);
    server.wait_for_pool(2);
    // Back, where what was made since must go.
    server
        .repo
        .commit_all(&[("new/folder/file", "new\n"), ("a.txt", "again\n")]);
    server.wait_for_pool(2);
    server.repo.git(&["reset", "-q", "--hard", "HEAD~2"]);
    server.wait_for_pool(2);
    assert_eq!(server.slots(), first, "they were brought along, not made");
    let expected = as_git_makes_it(&server, "master");
    for slot in &first {
        assert_eq!(content(slot), expected);
    }
}

#[test]
fn a_run_on_another_base_gets_a_worktree_that_was_brought_to_it() {
    let setup = Setup::new().with_pool("1");
    setup.repo.git(&["branch", "release"]);
    commit_odd_files(&setup);
    let server = setup.start();
    server.wait_for_pool(1);
    let folder = inode(&server.slots()[0]);
    let run = server.run_with("exit 0", &json!({"base": "release"}));
    assert_eq!(content(&run.worktree), as_git_makes_it(&server, "release"));
    assert_eq!(inode(&run.worktree), folder);
    assert_eq!(git_quietly(&run.worktree, &["status", "--porcelain"]), "");
    let pool = server.pool();
    assert_eq!(
        [&pool["claimed"], &pool["caught_up"], &pool["missed"]],
        [0, 1, 0]
    );
    run.wait_for("finished");
}

#[test]
fn ready_worktrees_outlive_the_service() {
    let server = Setup::new().with_pool("2").start();
    server.wait_for_pool(2);
    let slots = server.slots();
    server.restart();
    server.wait_for_pool(2);
    assert_eq!(server.slots(), slots);
    assert!(server.terminate().success());
    // While nobody looks, the base moves, and its owner tidies up.
    server.repo.commit("a.txt", "changed\n");
    server.repo.git(&["worktree", "prune", "--expire", "now"]);
    server.repo.git(&["gc", "-q", "--prune=now"]);
    server.start_again();
    server.wait_for_pool(2);
    assert_eq!(server.slots(), slots);
    let run = server.run("exit 0");
    assert_eq!(content(&run.worktree), as_git_makes_it(&server, "master"));
    assert_eq!(server.pool()["claimed"], 1);
    run.wait_for("finished");
}

/// What somebody may have done to a slot while no service looked.
#[derive(Debug, Clone, Copy)]
enum Damage {
    FileChanged,
    FileAdded,
    IgnoredFileAdded,
    EmptyFolderAdded,
    FileDeleted,
    ModeChanged,
    Staged,
    HeadMoved,
    OnABranch,
    RebaseBegun,
    IndexLocked,
    SaysHalfMade,
    Unlocked,
    OfAnotherBoot,
    DotGitGone,
    FolderGone,
    GitDirGone,
    FolderIsALink,
}

fn damage(server: &Server, slot: &Path, how: Damage) {
    let admin = git_quietly(slot, &["rev-parse", "--absolute-git-dir"]);
    let admin = PathBuf::from(admin.trim());
    let in_slot = |args: &[&str]| server.repo.as_the_user(|_| git(slot, args));
    match how {
        Damage::FileChanged => fs::write(slot.join("deep/er/and deeper/file"), "DEEP\n").unwrap(),
        Damage::FileAdded => fs::write(slot.join("deep/er/new"), "").unwrap(),
        Damage::IgnoredFileAdded => fs::write(slot.join("ignored"), "").unwrap(),
        Damage::EmptyFolderAdded => fs::create_dir(slot.join("deep/empty")).unwrap(),
        Damage::FileDeleted => fs::remove_file(slot.join("deep/er/and deeper/file")).unwrap(),
        Damage::ModeChanged => {
            let mode = fs::Permissions::from_mode(0o644);
            fs::set_permissions(slot.join("run.sh"), mode).unwrap();
        }
        Damage::Staged => drop(in_slot(&["rm", "-q", "--cached", "-f", "empty"])),
        Damage::HeadMoved => drop(in_slot(&["update-ref", "--no-deref", "HEAD", "HEAD~1"])),
        Damage::OnABranch => drop(in_slot(&["switch", "-q", "-c", "somebody"])),
        Damage::RebaseBegun => fs::create_dir(admin.join("rebase-merge")).unwrap(),
        Damage::IndexLocked => fs::write(admin.join("index.lock"), "").unwrap(),
        Damage::SaysHalfMade => fs::write(admin.join("locked"), "initializing\n").unwrap(),
        Damage::Unlocked => fs::remove_file(admin.join("locked")).unwrap(),
        Damage::OfAnotherBoot => {
            let word = fs::read_to_string(admin.join("locked")).unwrap();
            let (sentence, _) = word.split_once(" (boot ").unwrap();
            let word = format!("{sentence} (boot 00000000-0000-4000-8000-000000000000)\n");
            fs::write(admin.join("locked"), word).unwrap();
        }
        Damage::DotGitGone => fs::remove_file(slot.join(".git")).unwrap(),
        Damage::FolderGone => fs::remove_dir_all(slot).unwrap(),
        Damage::GitDirGone => fs::remove_dir_all(admin).unwrap(),
        Damage::FolderIsALink => {
            fs::rename(slot, server.at("elsewhere")).unwrap();
            symlink(server.at("elsewhere"), slot).unwrap();
        }
    }
}

#[rstest]
fn a_worktree_that_is_not_as_it_was_made_is_given_back_at_the_start(
    #[values(
        Damage::FileChanged,
        Damage::FileAdded,
        Damage::IgnoredFileAdded,
        Damage::EmptyFolderAdded,
        Damage::FileDeleted,
        Damage::ModeChanged,
        Damage::Staged,
        Damage::HeadMoved,
        Damage::OnABranch,
        Damage::RebaseBegun,
        Damage::IndexLocked,
        Damage::SaysHalfMade,
        Damage::Unlocked,
        Damage::OfAnotherBoot,
        Damage::DotGitGone,
        Damage::FolderGone,
        Damage::GitDirGone,
        Damage::FolderIsALink
    )]
    how: Damage,
) {
    let setup = Setup::new().with_pool("1");
    commit_odd_files(&setup);
    let server = setup.start();
    server.wait_for_pool(1);
    server.kill();
    let before = server.slots();
    damage(&server, &before[0], how);
    server.start_again();
    server.wait_for_pool(1);
    assert_ne!(server.slots(), before, "{how:?}");
    let run = server.run("exit 0");
    assert_eq!(content(&run.worktree), as_git_makes_it(&server, "master"));
    assert_eq!(server.pool()["claimed"], 1);
    run.wait_for("finished");
    server.check_world();
}

/// Whoever comes first, the claim or the keeper: nobody gets it.
#[test]
fn a_worktree_that_somebody_was_at_is_not_handed_out() {
    let server = Setup::new().with_pool("1").start();
    server.wait_for_pool(1);
    let slot = server.slots().remove(0);
    fs::write(slot.join("planted"), "").unwrap();
    let run = server.run("exit 0");
    assert!(!run.worktree.join("planted").exists());
    until("it is gone", || !slot.exists());
    server.wait_for_pool(1);
    run.wait_for("finished");
}

#[test]
fn what_nobody_knows_of_the_pool_is_found_and_mended() {
    let server = Setup::new().with_pool("1").start();
    server.wait_for_pool(1);
    let shelf = server.slots()[0].parent().unwrap().to_owned();
    let stray = shelf.join("0123456789abcdef0123456789abcdef");
    fs::create_dir(&stray).unwrap();
    fs::write(stray.join("file"), "").unwrap();
    until("it is gone", || !stray.exists());
    assert_eq!(server.slots().len(), 1);
}

#[test]
fn without_a_pool_there_is_none_and_what_is_left_of_one_goes() {
    let server = Server::start();
    server.finished("exit 0");
    let pool = server.pool();
    assert_eq!(pool["state"], "off");
    assert_eq!([&pool["ready"], &pool["missed"]], [0, 1]);
    assert!(!server.at("worktrees/.pool").exists());

    let server = Setup::new().with_pool("2").start();
    server.wait_for_pool(2);
    assert!(server.terminate().success());
    server.set_pool("0");
    server.start_again();
    until("they are gone", || server.slots().is_empty());
    until("it says so", || server.pool()["state"] == "off");
    let admins = server.repo.root().join(".git/worktrees");
    assert_eq!(admins.read_dir().map_or(0, Iterator::count), 0);
}

#[test]
fn a_pool_that_no_run_asks_is_emptied_and_filled_again_with_the_next_run() {
    let server = Setup::new()
        .with_pool("1")
        .flag("--pool-idle-s", "1")
        .start();
    until("it is empty", || {
        server.pool()["state"] == "idle" && server.slots().is_empty()
    });
    let run = server.run("exit 0");
    assert_eq!(server.pool()["missed"], 1);
    until("it is filled", || !server.slots().is_empty());
    run.wait_for("finished");
    until("it is empty again", || {
        server.pool()["state"] == "idle" && server.slots().is_empty()
    });
}

#[test]
fn an_adaptive_pool_grows_with_the_runs_that_come() {
    let server = Setup::new().with_pool("adaptive").start();
    server.wait_for_pool(1);
    let runs: Vec<_> = (0..3).map(|_| server.run("exit 0")).collect();
    server.wait_for_pool(3);
    for run in runs {
        run.wait_for("finished");
    }
}

#[test]
fn with_little_room_nothing_is_made_and_the_pool_is_given_back_first() {
    let Some(disk) = Mounted::tmpfs(64 * MIB) else {
        return;
    };
    let server = Setup::below(disk.path())
        .flag("--disk-floor-bytes", "32MiB")
        .with_pool("2")
        .start();
    server.wait_for_pool(2);
    let filler = disk.path().join("filler");
    let most = usize::try_from(disk.free() - 16 * MIB).unwrap();
    fs::write(&filler, vec![1; most]).unwrap();
    until("the pool is given back", || {
        server.pool()["state"] == "low_disk" && server.slots().is_empty()
    });
    server.restart();
    until("it is known", || server.pool()["state"] == "low_disk");
    assert!(server.slots().is_empty());
    fs::remove_file(&filler).unwrap();
    server.wait_for_pool(2);
}

#[test]
fn two_servers_on_one_repository_do_not_take_the_same_worktrees() {
    let first = Setup::new().with_pool("2").start();
    first.wait_for_pool(2);
    let slots = first.slots();
    let second = Setup::new()
        .flag("--repo-root", first.at("repository").to_str().unwrap())
        .flag("--worktrees-root", first.at("worktrees").to_str().unwrap())
        .with_pool("2")
        .start();
    for server in [&first, &second] {
        server.leave_wrong("each knows its own runs only");
    }
    until("the second has seen it", || {
        second.pool()["state"] == "elsewhere"
    });
    let made = second.finished("exit 0");
    assert_eq!(second.pool()["missed"], 1);
    assert_eq!(first.slots(), slots);
    let run = first.finished("exit 0");
    assert_eq!(first.pool()["claimed"], 1);
    first.wait_for_pool(2);
    let slots = first.slots();
    first.kill();
    until("the second has them", || second.pool()["ready"] == 2);
    assert_eq!(first.slots(), slots);
    assert!(made.worktree.exists() && run.worktree.exists());
}

/// Its `git` holds up checkouts into these folders until they are let go.
fn with_slow_checkouts(setup: Setup, folders: &str) -> Setup {
    let real = ["/usr/local/bin/git", "/usr/bin/git", "/bin/git"];
    let real = real.into_iter().find(|path| Path::new(path).exists());
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *{folders}*read-tree*)\n  : > {marks}/held-up\n  while [ ! -e {marks}/let-go ]; do /bin/sleep 0.02; done;;\nesac\nexec {real} \"$@\"\n",
        marks = setup.at("marks").display(),
        real = real.expect("git is where it always is"),
    );
    let path = setup.at("bin/git");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    setup
}

#[test]
fn a_start_waits_for_no_worktree_that_is_being_made_for_the_pool() {
    let server = with_slow_checkouts(Setup::new().with_pool("1"), "/.pool/").start();
    server.wait_for_mark("held-up");
    assert_eq!(server.pool()["state"], "filling");
    let run = server.finished("exit 0");
    run.abort().expect(200);
    assert_eq!(server.pool()["missed"], 1);
    server.mark("let-go");
    server.wait_for_pool(1);
}

#[test]
fn two_worktrees_are_checked_out_side_by_side() {
    let setup = with_slow_checkouts(Setup::new(), "/slow-");
    // What asks for a conversion is checked out by git, which can be held up.
    setup.repo.commit(".gitattributes", "*.c ident\n");
    let server = setup.start();
    thread::scope(|scope| {
        let slow = scope.spawn(|| server.run_with("exit 0", &json!({"card_id": "slow"})));
        server.wait_for_mark("held-up");
        server.finished("exit 0");
        server.mark("let-go");
        slow.join().unwrap().wait_for("finished");
    });
}
