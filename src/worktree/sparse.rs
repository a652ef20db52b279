//! Worktrees that have some folders of the tree only: their cone (`run::Cone`).
//!
//! The index of such a worktree has every file of the tree; those outside of the cone carry git's mark
//! `skip-worktree` and are not in the folder. `info/sparse-checkout` in the worktree's own git dir has the folders,
//! and the agent's git is told by its environment to go by it (`agent/environment.rs`): the repository's
//! configuration is not touched, which all worktrees and the user's checkouts share.
//!
//! What is not checked out is never taken for deleted, whatever became of the marks: outside of the cone only the
//! index deletes a file (`git rm --sparse`). Which folders those are is the run's own record, not a file in an
//! agent's reach.

use super::place::{Place, write};
use crate::git::{Call, Error, LONG, Repository, SparseView};
use crate::run::CommitId;

/// The file with the folders, in a worktree's git dir.
const FOLDERS: &str = "info/sparse-checkout";

/// Lets git know the worktree's folders, unless it knows some already: an agent may have asked for more.
pub(super) fn describe(repo: &Repository, place: &Place) -> Result<(), Error> {
    if place.cone().is_whole() {
        return Ok(());
    }
    let path = place.admin(repo).join(FOLDERS);
    if path.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
        return Ok(());
    }
    let info = place.admin(repo).join("info");
    std::fs::create_dir_all(&info).map_err(Error::io("create", &info))?;
    write(&path, place.cone().patterns().as_bytes())
}

/// Fills a worktree with the files of its cone.
pub(super) async fn check_out(
    repo: &Repository,
    place: &Place,
    commit: &CommitId,
) -> Result<(), Error> {
    let filling = Filling::new(repo, place)?;
    let call = filling.read_tree();
    call.args(["--reset", "-u", commit.as_str()]).run().await?;
    Ok(())
}

/// Lays the files of `work` over those of the commit, as uncommitted changes; what lies beside the cone too.
pub(super) async fn lay(
    repo: &Repository,
    place: &Place,
    commit: &CommitId,
    work: &CommitId,
) -> Result<(), Error> {
    let filling = Filling::new(repo, place)?;
    let call = filling.read_tree();
    let both = ["-m", "-u", commit.as_str(), work.as_str()];
    call.args(both).run().await?;
    let gone = filling.lay_beside(commit, work).await?;
    let call = filling.read_tree();
    call.args(["--reset", commit.as_str()]).run().await?;
    filling.take_off(&gone).await
}

/// Calls that fill a worktree with its cone.
struct Filling<'a> {
    repo: &'a Repository,
    place: &'a Place,
    view: SparseView<'a>,
}

impl<'a> Filling<'a> {
    fn new(repo: &'a Repository, place: &'a Place) -> Result<Filling<'a>, Error> {
        let view = repo.sparse_view(&place.cone().patterns())?;
        Ok(Filling { repo, place, view })
    }

    fn read_tree(&self) -> Call {
        self.call("read-tree")
    }

    fn call(&self, subcommand: &str) -> Call {
        let call = self.view.call(subcommand);
        let index = self.place.admin(self.repo).join("index");
        // Objects are there already. An index that a power cut made empty would be a damaged repository for git.
        call.checkout(&self.place.path(), &index)
            .config("core.fsync=index")
            .timeout(LONG)
    }

    /// With the index at `work`: lays those files of it beside the cone that are others than the commit's, and says
    /// which of the commit's files there it does not have.
    async fn lay_beside(&self, commit: &CommitId, work: &CommitId) -> Result<Vec<Vec<u8>>, Error> {
        let cone = self.place.cone();
        let output = self
            .repo
            .call("diff-tree")
            .args(["-r", "-z", "--no-renames", "--name-status"])
            .args([commit.as_str(), work.as_str()])
            .run()
            .await?;
        let fields: Vec<&[u8]> = output.fields().collect();
        let (mut laid, mut gone) = (Vec::new(), Vec::new());
        for pair in fields.chunks_exact(2).filter(|pair| !cone.has(pair[1])) {
            if pair[0] == b"D" {
                gone.push(pair[1].to_vec());
            } else {
                laid.extend_from_slice(pair[1]);
                laid.push(0);
            }
        }
        if !laid.is_empty() {
            self.call("checkout-index")
                .args(["--ignore-skip-worktree-bits", "-f", "-z", "--stdin"])
                .stdin(laid)
                .run()
                .await?;
        }
        Ok(gone)
    }

    /// Takes files off the index.
    async fn take_off(&self, paths: &[Vec<u8>]) -> Result<(), Error> {
        if paths.is_empty() {
            return Ok(());
        }
        let mut input = paths.join(&0);
        input.push(0);
        self.call("update-index")
            .args(["--force-remove", "-z", "--stdin"])
            .stdin(input)
            .run()
            .await?;
        Ok(())
    }
}
