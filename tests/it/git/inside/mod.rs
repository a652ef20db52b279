//! git in process: its answers are git's, and they need no git.

use std::path::Path;

use agent_runner_api::git::{Program, Repository};

use super::scene::try_git;

mod catching_up;
mod checkouts;
mod creating;
mod history;
mod reads;

/// A repository whose git is gone once it is open: what is still answered is answered in process.
async fn without_git(root: &Path, view: &Path) -> Repository {
    let folder = tempfile::tempdir().unwrap();
    let real = super::scene::program().await;
    std::os::unix::fs::symlink(real.path(), folder.path().join("git")).unwrap();
    let program = Program::find(folder.path().as_os_str()).await.unwrap();
    let repo = Repository::open(program, root, view).await.unwrap();
    drop(folder);
    repo
}

/// What git prints; `None` if it fails.
fn git_says(folder: &Path, args: &[&str]) -> Option<Vec<u8>> {
    let output = try_git(folder, &[&["--no-replace-objects"], args].concat());
    output.status.success().then_some(output.stdout)
}

/// A tree of these lines, whatever they are.
#[expect(clippy::disallowed_methods, reason = "the user's git")]
fn mktree(folder: &Path, lines: &str) -> String {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut child = Command::new("git")
        .current_dir(folder)
        .arg("mktree")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(lines.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
