//! A place for objects that nobody keeps: what is only computed leaves nothing in the repository.

use std::path::PathBuf;

use super::call::Call;
use super::error::Error;
use super::repository::Repository;
use crate::run::{CommitId, TreeId};

/// A folder of objects that go when this is dropped; those of the repository are seen through it.
#[derive(Debug)]
pub(super) struct Aside {
    folder: PathBuf,
    objects: PathBuf,
}

impl Aside {
    /// The call, with what it writes going here.
    pub(super) fn of(&self, call: Call) -> Call {
        call.env("GIT_OBJECT_DIRECTORY", &self.folder)
            .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", &self.objects)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // What stays is only space, and goes with the view.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Repository {
    pub(super) fn aside(&self) -> Result<Aside, Error> {
        let folder = self.scratch();
        std::fs::create_dir(&folder).map_err(Error::io("create", &folder))?;
        Ok(Aside {
            folder,
            objects: self.common_dir().join("objects"),
        })
    }

    /// The tree that merging these results in; nothing if they conflict. Nothing of it is kept.
    ///
    /// # Errors
    /// git failed.
    pub async fn merged_tree(
        &self,
        onto: &CommitId,
        head: &CommitId,
    ) -> Result<Option<TreeId>, Error> {
        let aside = self.aside()?;
        let call = self
            .call("merge-tree")
            .env("GIT_ATTR_SOURCE", onto.as_str())
            .args(["--write-tree", "-z", "--name-only", "--no-messages"])
            .args([onto.as_str(), head.as_str()]);
        let output = aside.of(call).run_expecting(&[0, 1]).await?;
        match output.code() {
            0 => output.hash().map(Some),
            _ => Ok(None),
        }
    }
}
