//! What of a repository its worktrees do not have here: told, so that nobody takes a pointer for the file.
//!
//! Filters are programs that the configuration names, and an agent that shares a repository can write its
//! configuration; so they never run (see the view). Submodules are other repositories, with hooks and remotes of
//! their own.

use super::error::Error;
use super::repository::Repository;
use crate::run::CommitId;

/// Something that worktrees do not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeftOut {
    /// These attribute files ask for filters (LFS, for one): files are as they are stored.
    Filters {
        /// Where they are asked for, from the root of the repository.
        attributes: Vec<String>,
    },
    /// There are submodules: their folders are empty.
    Submodules,
}

impl LeftOut {
    /// The sentence for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            LeftOut::Filters { attributes } => format!(
                "{} asks for git filters (as LFS does), which are never run here: worktrees and landings have such \
                 files as they are stored, pointers instead of contents",
                attributes.join(", ")
            ),
            LeftOut::Submodules => {
                "the repository has submodules, which are not checked out in worktrees".to_owned()
            }
        }
    }
}

impl Repository {
    /// What worktrees at this commit do not have.
    pub async fn left_out(&self, commit: &CommitId) -> Result<Vec<LeftOut>, Error> {
        let mut left_out = Vec::new();
        let asked = self
            .call("grep")
            // The pattern of paths is ours.
            .env("GIT_LITERAL_PATHSPECS", "0")
            .args([
                "-l",
                "-z",
                "-E",
                "-e",
                "(^|[[:space:]])filter=",
                commit.as_str(),
            ])
            .args(["--", ":(glob)**/.gitattributes"])
            .run_expecting(&[0, 1])
            .await?;
        let attributes: Vec<String> = asked
            .fields()
            .map(|field| String::from_utf8_lossy(field).into_owned())
            .map(|path| match path.split_once(':') {
                Some((_, path)) => path.to_owned(),
                None => path,
            })
            .collect();
        if !attributes.is_empty() {
            left_out.push(LeftOut::Filters { attributes });
        }
        let modules = self
            .call("ls-tree")
            .args(["-z", "--name-only", commit.as_str(), "--", ".gitmodules"])
            .run()
            .await?;
        if modules.fields().next().is_some() {
            left_out.push(LeftOut::Submodules);
        }
        Ok(left_out)
    }
}
