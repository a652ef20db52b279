//! kill -9 of git itself, at each of its steps: with `strace(1)`, which kills it at its n-th call that changes something.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rstest::rstest;

use super::chance::{Chance, times};
use crate::support::run::Run;
use crate::support::server::{Server, Setup};
use crate::support::wait::until;

/// Calls of the system that change something or precede a change.
const STEPS: &str = "openat,rename,unlink,link,mkdir,rmdir,write,fsync,ftruncate";
/// A step of so many is tried on a build machine; a soak tries every one.
const EVERY: usize = 8;
/// More steps than any of these gits has.
const MOST: usize = 64;

/// A server whose git is killed at one step of one call, when it is told so.
struct Stage {
    server: Server,
    orders: PathBuf,
}

#[expect(clippy::disallowed_methods, reason = "whether the machine has it")]
fn has_strace() -> bool {
    let traced = Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "true"])
        .status();
    traced.is_ok_and(|status| status.success())
}

impl Stage {
    fn new() -> Option<Stage> {
        if !has_strace() {
            println!("skipped: strace(1) is not there or may not trace");
            return None;
        }
        let setup = Setup::new();
        let orders = setup.at("orders");
        fs::create_dir(&orders).unwrap();
        let script = format!(
            "#!/bin/sh
             PATH=/usr/local/bin:/usr/bin:/bin
             for word in $(/bin/ls {orders}); do
                 # A landing first tries the exchange of files with -n: that one has its own word.
                 case \"$word $* \" in \"read-tree \"*\" -n \"*) continue;; esac
                 for arg in \"$@\"; do
                     if [ \"$arg\" = \"$word\" ] && /bin/mv {orders}/$word {taken} 2>/dev/null; then
                         n=$(/bin/cat {taken})
                         exec strace -f -qq -o /dev/null -e trace={STEPS} -e inject={STEPS}:signal=SIGKILL:when=$n git \"$@\"
                     fi
                 done
             done
             exec git \"$@\"\n",
            orders = orders.display(),
            taken = setup.at("taken").display(),
        );
        let git = setup.at("bin/git");
        fs::write(&git, script).unwrap();
        fs::set_permissions(&git, fs::Permissions::from_mode(0o755)).unwrap();
        Some(Stage {
            server: setup.start(),
            orders,
        })
    }

    /// The next git with this subcommand is killed at its n-th step.
    fn kill_at(&self, subcommand: &str, n: usize) {
        let aside = self.server.at("order");
        fs::write(&aside, n.to_string()).unwrap();
        fs::rename(aside, self.orders.join(subcommand)).unwrap();
    }

    /// Whether that git has begun.
    fn was_taken(&self, subcommand: &str) -> bool {
        !self.orders.join(subcommand).exists()
    }

    fn assert_no_lock(&self) {
        let found = locks(&self.server.repo.root().join(".git"));
        assert_eq!(found, Vec::<PathBuf>::new());
    }

    /// A run with proven work: a new file, and one that each such run changes.
    fn proven(&self, name: &str) -> Run<'_> {
        let work = format!("write {name}.txt {name}\nwrite every.txt {name}");
        let run = self.server.run_plain(&work);
        run.wait_for("finished");
        run.prove();
        run
    }
}

fn locks(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().into_string().unwrap();
        if path.is_dir() {
            found.extend(locks(&path));
        } else if name.ends_with(".lock") || name == "packed-refs.new" {
            found.push(path);
        }
    }
    found
}

/// Which steps are tried.
fn steps(test: &str) -> impl Iterator<Item = usize> {
    let every = if times(1) > 1 { 1 } else { EVERY };
    let first = 1 + Chance::of(test).below(every);
    (first..MOST).step_by(every)
}

/// Seen red with `update-ref`: with `Repository::edit_refs` as one try, the abort is answered by 500. Not tried for the other
/// calls.
#[rstest]
fn an_abort_whose_git_is_killed_goes_on(
    #[values("update-ref", "write-tree", "update-index", "commit-tree")] subcommand: &str,
) {
    let Some(stage) = Stage::new() else { return };
    let mut kills = 0;
    for n in steps("killed git, abort") {
        let run = stage.server.finished(&format!("write work-{n}.txt {n}"));
        fs::write(run.worktree.join("later.txt"), "later\n").unwrap();
        // So that the branch is deleted from there too.
        stage.server.repo.git(&["pack-refs", "--all"]);
        stage.kill_at(subcommand, n);
        run.abort().expect(200);
        assert!(stage.was_taken(subcommand));
        let kept = run.detail()["preserved_commit"]
            .as_str()
            .unwrap()
            .to_owned();
        let file = |name: &str| stage.server.repo.file(&kept, name);
        assert_eq!(file("later.txt").as_deref(), Some("later\n"));
        assert!(!run.worktree.exists() && !stage.server.repo.has_branch(&run.branch));
        stage.assert_no_lock();
        kills += 1;
    }
    stage.server.check_world();
    println!("{kills} gits ({subcommand}) killed during an abort");
}

/// Seen red with `update-ref`: with `Repository::edit_refs` as one try, the merge is answered by 500. With `update-index`: so,
/// with one try in `merge/bring.rs`. With `read-tree`: without `merge/torn.rs`, a file of the checkout is empty (one try in
/// `merge/bring.rs` is enough there: the landing itself tries again). Not tried for the other calls.
#[rstest]
fn a_merge_whose_git_is_killed_lands_once(
    #[values(
        "update-ref",
        "merge-tree",
        "commit-tree",
        "update-index",
        "-n",
        "read-tree",
        "diff-index"
    )]
    subcommand: &str,
    #[values(false, true)] dirty_apart: bool,
) {
    let Some(stage) = Stage::new() else { return };
    let repo = &stage.server.repo;
    if dirty_apart {
        repo.write("b.txt", "mine\n");
    }
    let status = repo.status();
    let mut kills = 0;
    for n in steps("killed git, merge") {
        let run = stage.proven(&format!("work-{n}"));
        let before = repo.master();
        stage.kill_at(subcommand, n);
        let merged = run.merge().expect(200);
        assert_eq!(merged["commit"], repo.master().as_str());
        assert_eq!(repo.landed_since(&before), [repo.master()]);
        for file in [format!("work-{n}.txt"), "every.txt".to_owned()] {
            assert_eq!(repo.read(&file), format!("work-{n}\n"), "{file}");
        }
        assert_eq!(repo.status(), status);
        run.wait_until_gone();
        assert!(stage.was_taken(subcommand));
        until("no lock is left", || {
            locks(&repo.root().join(".git")).is_empty()
        });
        kills += 1;
    }
    stage.server.check_world();
    println!("{kills} gits ({subcommand}) killed during a merge");
}
