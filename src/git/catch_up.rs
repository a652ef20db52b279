//! A clean checkout is taken from one commit to another.

use std::path::Path;

use super::call::LONG;
use super::error::Error;
use super::repository::Repository;
use crate::run::CommitId;

/// Why a checkout is not at the commit that it was to be taken to.
#[derive(Debug, thiserror::Error)]
pub enum NotCaughtUp {
    /// These files are not as the index has them, or stand where others are to be. Nothing was changed.
    #[error("in the way: {}", .0.join(", "))]
    InTheWay(Vec<String>),
    /// git failed, also because something is in the way where it was asked. What is in the folder is not known.
    #[error(transparent)]
    Git(#[from] Error),
}

impl Repository {
    /// Takes the files and the index of a checkout from the commit that they are of to another: only the paths that differ
    /// are looked at and written. What is untracked elsewhere stays. HEAD is not touched.
    ///
    /// If it is cut short, files are of either commit, and the index is of the old one.
    ///
    /// # Errors
    /// See [`NotCaughtUp`].
    pub async fn catch_up(
        &self,
        folder: &Path,
        index: &Path,
        from: &CommitId,
        to: &CommitId,
    ) -> Result<(), NotCaughtUp> {
        let (at, beside) = (folder.to_owned(), index.to_owned());
        let (old, new) = (from.clone(), to.clone());
        let asked = self.asked_at_length("catch_up", move |inside| {
            inside.catch_up(&at, &beside, &old, &new)
        });
        match asked.await {
            Some(paths) if paths.is_empty() => Ok(()),
            Some(paths) => Err(NotCaughtUp::InTheWay(paths)),
            None => {
                self.call("read-tree")
                    .checkout(folder, index)
                    .config("core.fsync=index")
                    .timeout(LONG)
                    .args(["-m", "-u", from.as_str(), to.as_str()])
                    .run()
                    .await?;
                Ok(())
            }
        }
    }
}
