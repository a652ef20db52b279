//! A git dir that borrows the repository's objects (`objects/info/alternates`, gitrepository-layout(5)) and has nothing
//! else of it but its tags: for a checkout in which strangers' commands run.
//!
//! `git describe`, `git rev-parse` and `git status` work in it. What is written there stays there: it has refs, an index
//! and objects of its own, and no way to the repository's.

use std::path::Path;

use super::call::Call;
use super::error::Error;
use super::repository::Repository;
use crate::run::CommitId;

impl Repository {
    /// Makes such a git dir in a folder that is not there yet, with HEAD at the commit.
    pub(crate) async fn lend_to(&self, git_dir: &Path, commit: &CommitId) -> Result<(), Error> {
        let tags = self
            .call("for-each-ref")
            .args(["--format=%(objectname) %(refname)", "refs/tags/"])
            .run()
            .await?;
        let tags = String::from_utf8_lossy(tags.stdout()).into_owned();
        let objects = self.common_dir().join("objects");
        let shallow = self.common_dir().join("shallow");
        for folder in ["refs/heads", "objects/info", "info"] {
            let folder = git_dir.join(folder);
            std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        }
        let alternates = [objects.as_os_str().as_encoded_bytes(), b"\n"].concat();
        let write = |name: &str, bytes: &[u8]| {
            let path = git_dir.join(name);
            std::fs::write(&path, bytes).map_err(Error::io("write", path))
        };
        write("objects/info/alternates", &alternates)?;
        write("HEAD", format!("{commit}\n").as_bytes())?;
        write("config", self.settings_of_files(false).as_bytes())?;
        write(
            "packed-refs",
            format!("# pack-refs with: sorted \n{tags}").as_bytes(),
        )?;
        if shallow.exists() {
            std::fs::copy(&shallow, git_dir.join("shallow"))
                .map_err(Error::io("copy", &shallow))?;
        }
        Ok(())
    }

    /// A call with a git dir that was made so.
    pub(crate) fn call_lent(&self, git_dir: &Path, subcommand: &str) -> Call {
        Call::with_git_dir(self.program().path(), git_dir, subcommand)
    }
}
