//! A new repository to show something with, and its history as a picture. No run needs it: the demo does.

use std::path::Path;

use super::call::Call;
use super::error::Error;
use super::names::RefName;
use super::program::Program;
use super::refs::{NotMoved, RefEdit};
use super::repository::{Identity, Repository};
use crate::run::CommitId;

impl Program {
    /// A new repository in this folder, with no commit, its HEAD on `branch`. No template: no hooks, no examples.
    pub async fn init(&self, folder: &Path, branch: &str) -> Result<(), Error> {
        Call::bare(self.path(), "init")
            .args(["--quiet", "--template=", "--initial-branch", branch, "--"])
            .arg(folder)
            .run()
            .await?;
        Ok(())
    }
}

impl Repository {
    /// The first commit on `branch`: all files of the main checkout, which must be on that branch.
    pub async fn commit_first(
        &self,
        branch: &RefName,
        identity: &Identity,
        message: &str,
    ) -> Result<CommitId, NotMoved> {
        let folder = self.main_checkout().unwrap_or(self.common_dir());
        let index = self.common_dir().join("index");
        let in_checkout = |subcommand| self.call(subcommand).checkout(folder, &index);
        in_checkout("add").arg("--all").run().await?;
        let tree = in_checkout("write-tree").run().await?.hash()?;
        let commit = self.commit_tree(&tree, &[], identity, message).await?;
        let first = RefEdit::Create(branch.clone(), commit.clone());
        self.edit_refs(&[first], "first commit").await?;
        Ok(commit)
    }

    /// The history of `branch` as `git log --graph --oneline` draws it, for a person to look at.
    pub async fn history_graph(&self, branch: &RefName) -> Result<String, Error> {
        let output = self
            .call("log")
            .args(["--graph", "--oneline", "--no-color", "--no-decorate"])
            .args(["--end-of-options", branch.as_str(), "--"])
            .run()
            .await?;
        Ok(output.line())
    }
}
