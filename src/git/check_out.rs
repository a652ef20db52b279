//! The files of a commit in a folder of their own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::call::LONG;
use super::error::Error;
use super::repository::Repository;
use crate::run::CommitId;

/// Ends a checkout in this process when nobody waits for it any more.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Repository {
    /// Checks the commit out into a folder that has nothing in it but a `.git`, and writes its index, which is on disk
    /// then. Files that a crash left there are written over.
    ///
    /// In this process, where files are as they are stored; by git, where a conversion or a submodule is asked for.
    pub(crate) async fn check_out(
        &self,
        folder: &Path,
        index: &Path,
        commit: &CommitId,
    ) -> Result<(), Error> {
        if self.check_out_inside(folder, index, commit, true).await {
            return Ok(());
        }
        // Objects are there already. An index that a power cut made empty would be a damaged repository for git.
        self.call("read-tree")
            .checkout(folder, index)
            .config("core.fsync=index")
            .timeout(LONG)
            .args(["--reset", "-u", commit.as_str()])
            .run()
            .await
            .map(drop)
    }

    /// The same in this process; `false` if it is git's to do, over what is there then. `durable`: the index is on disk.
    pub(crate) async fn check_out_inside(
        &self,
        folder: &Path,
        index: &Path,
        commit: &CommitId,
        durable: bool,
    ) -> bool {
        let (to, beside, at) = (folder.to_owned(), index.to_owned(), commit.clone());
        let stop = Arc::new(AtomicBool::new(false));
        let _waiting = Waiting(stop.clone());
        let asked = self.asked_at_length("check_out", move |inside| {
            inside.check_out(&to, &beside, &at, durable, &stop)
        });
        asked.await.is_some()
    }
}
