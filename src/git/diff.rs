//! What lies between two commits, for people (a patch) and for programs (files).

use serde::Serialize;

use super::error::Error;
use super::output::Output;
use super::repository::Repository;
use crate::run::CommitId;

/// The most bytes of a patch that are given out; what is beyond is cut, and said to be.
const LONGEST_PATCH: usize = 4 << 20;

/// In which shape a diff is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiffFormat {
    /// A unified diff.
    Patch,
    /// Lines added and removed, a file at a time.
    Stat,
    /// Which files, and what became of each.
    Files,
}

/// A diff in one of its shapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Diff {
    /// A unified diff, of at most 4 MiB.
    Patch {
        /// Its bytes: files need not be UTF-8.
        text: Vec<u8>,
        /// Whether there was more.
        truncated: bool,
    },
    /// Lines added and removed.
    Stat(Vec<FileStat>),
    /// Files by name.
    Files(Vec<ChangedFile>),
}

/// The lines of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FileStat {
    /// The path, from the root of the repository.
    pub path: String,
    /// Lines added; `None` for a binary file.
    pub added: Option<u64>,
    /// Lines removed; `None` for a binary file.
    pub removed: Option<u64>,
}

/// What became of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ChangedFile {
    /// The path, from the root of the repository.
    pub path: String,
    /// `added`, `modified`, `deleted`, or `type_changed` (a file became a link).
    pub change: &'static str,
}

impl Repository {
    /// The paths that differ, from the root of the repository. A rename is two of them.
    pub async fn changed_paths(&self, a: &CommitId, b: &CommitId) -> Result<Vec<String>, Error> {
        if let Some(files) = self.changes(a, b).await {
            return Ok(files.into_iter().map(|file| file.path).collect());
        }
        let output = self.diff_tree(&["-z", "--name-only"], a, b, None).await?;
        Ok(output.fields().map(lossy).collect())
    }

    /// What lies between `base` and `head`, in this shape.
    pub async fn diff(
        &self,
        base: &CommitId,
        head: &CommitId,
        format: DiffFormat,
    ) -> Result<Diff, Error> {
        match format {
            DiffFormat::Patch => {
                let args = ["-p", "--no-color", "--find-renames", "--full-index"];
                let output = self
                    .diff_tree(&args, base, head, Some(LONGEST_PATCH))
                    .await?;
                let truncated = output.truncated();
                Ok(Diff::Patch {
                    text: output.into_stdout(),
                    truncated,
                })
            }
            DiffFormat::Stat => {
                let output = self
                    .diff_tree(&["-z", "--numstat"], base, head, None)
                    .await?;
                output
                    .fields()
                    .map(|field| stat(&output, field))
                    .collect::<Result<_, _>>()
                    .map(Diff::Stat)
            }
            DiffFormat::Files => {
                if let Some(files) = self.changes(base, head).await {
                    return Ok(Diff::Files(files));
                }
                let output = self
                    .diff_tree(&["-z", "--name-status"], base, head, None)
                    .await?;
                let fields: Vec<_> = output.fields().collect();
                Ok(Diff::Files(fields.chunks_exact(2).map(changed).collect()))
            }
        }
    }

    /// What lies between two commits in these paths alone, as a patch of at most `most` bytes; whether there was more.
    /// Paths are names, not patterns; there must be one.
    pub async fn patch_of(
        &self,
        a: &CommitId,
        b: &CommitId,
        paths: &[String],
        most: usize,
    ) -> Result<(Vec<u8>, bool), Error> {
        let output = self
            .call("diff-tree")
            .args(["-r", "--no-ext-diff", "--no-textconv"])
            .args(["-p", "--no-color", "--no-renames", "--full-index"])
            .args(["--end-of-options", a.as_str(), b.as_str(), "--"])
            .args(paths)
            .cut_at(most)
            .run()
            .await?;
        let truncated = output.truncated();
        Ok((output.into_stdout(), truncated))
    }

    /// The files that differ, if they need no git.
    async fn changes(&self, a: &CommitId, b: &CommitId) -> Option<Vec<ChangedFile>> {
        let (a, b) = (a.clone(), b.clone());
        let asked = self.asked_at_length("changes", move |inside| inside.changes(&a, &b));
        let file = |(path, change): (Vec<u8>, _)| ChangedFile {
            path: lossy(&path),
            change,
        };
        Some(asked.await?.into_iter().map(file).collect())
    }

    pub(super) async fn diff_tree(
        &self,
        args: &[&str],
        a: &CommitId,
        b: &CommitId,
        cut_at: Option<usize>,
    ) -> Result<Output, Error> {
        let mut call = self
            .call("diff-tree")
            .args(["-r", "--no-ext-diff", "--no-textconv"])
            .args(args)
            .args(["--end-of-options", a.as_str(), b.as_str()]);
        if let Some(bytes) = cut_at {
            call = call.cut_at(bytes);
        }
        call.run().await
    }
}

/// `added TAB removed TAB path`, with `-` for a binary file.
fn stat(output: &Output, field: &[u8]) -> Result<FileStat, Error> {
    let mut parts = field.splitn(3, |byte| *byte == b'\t').map(lossy);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(added), Some(removed), Some(path)) => Ok(FileStat {
            path,
            added: added.parse().ok(),
            removed: removed.parse().ok(),
        }),
        _ => Err(output.unreadable(&lossy(field))),
    }
}

/// A status letter and a path.
fn changed(pair: &[&[u8]]) -> ChangedFile {
    let change = match pair[0].first() {
        Some(b'A') => "added",
        Some(b'D') => "deleted",
        Some(b'T') => "type_changed",
        _ => "modified",
    };
    ChangedFile {
        path: lossy(pair[1]),
        change,
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
