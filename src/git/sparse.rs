//! Calls that check out a part of a tree only, as git-sparse-checkout(1) has it, with nothing written into the
//! repository's configuration.
//!
//! git reads the patterns from `info/sparse-checkout` in its git dir, and takes everything that all worktrees share
//! from `GIT_COMMON_DIR`. So such a call has a git dir of its own, with that file in it, whose common dir is our view.

use std::path::PathBuf;

use super::call::Call;
use super::error::Error;
use super::repository::Repository;

/// A git dir for calls in one cone; removed when this is dropped.
#[derive(Debug)]
pub(crate) struct SparseView<'a> {
    repo: &'a Repository,
    git_dir: PathBuf,
}

impl Repository {
    /// For calls that check out what these patterns (of a cone) name.
    pub(crate) fn sparse_view(&self, patterns: &str) -> Result<SparseView<'_>, Error> {
        let git_dir = self.scratch();
        let view = SparseView {
            repo: self,
            git_dir,
        };
        let info = view.git_dir.join("info");
        std::fs::create_dir_all(&info).map_err(Error::io("create", &info))?;
        for (name, text) in [
            ("HEAD", "ref: refs/agent_runner/none\n"),
            ("info/sparse-checkout", patterns),
        ] {
            let path = view.git_dir.join(name);
            std::fs::write(&path, text).map_err(Error::io("write", path))?;
        }
        Ok(view)
    }

    /// Those of these folders that the commit does not have, or that are no folders there.
    pub async fn folders_missing_at(
        &self,
        commit: &crate::run::CommitId,
        folders: &[String],
    ) -> Result<Vec<String>, Error> {
        if folders.is_empty() {
            return Ok(Vec::new());
        }
        let output = self
            .call("ls-tree")
            .args(["-d", "-z", "--full-tree", "--format=%(objecttype) %(path)"])
            .args(["--end-of-options", commit.as_str()])
            .args(folders)
            .run()
            .await?;
        let there: Vec<&[u8]> = output
            .fields()
            .filter_map(|field| field.strip_prefix(b"tree "))
            .collect();
        let is_missing = |folder: &&String| !there.contains(&folder.as_bytes());
        Ok(folders.iter().filter(is_missing).cloned().collect())
    }
}

impl SparseView<'_> {
    /// A call on the repository's objects that keeps to the cone.
    pub(crate) fn call(&self, subcommand: &str) -> Call {
        Call::with_git_dir(self.repo.program().path(), &self.git_dir, subcommand)
            .env("GIT_COMMON_DIR", self.repo.view())
            .config("core.sparseCheckout=true")
            .config("core.sparseCheckoutCone=true")
            // An index of folders is not what our other readers take.
            .config("index.sparse=false")
    }
}

impl Drop for SparseView<'_> {
    fn drop(&mut self) {
        // What stays is swept at a later start.
        let _ = std::fs::remove_dir_all(&self.git_dir);
    }
}
