//! Files as a commit has them: read from its tree and never from a checkout, which an agent may be writing.

use gix::objs::tree::EntryKind;

use super::error::Error;
use super::inside::Entry;
use super::output::Output;
use super::repository::Repository;
use crate::run::CommitId;

/// What an entry of a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TreeKind {
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
    /// The commit of a submodule.
    Submodule,
}

/// An entry of a tree that is no folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeFile {
    /// Its path, from the root of the repository.
    pub path: String,
    /// What it is.
    pub kind: TreeKind,
    /// The hash of its bytes.
    object: String,
}

impl Repository {
    /// What a commit has at these paths and below them, in the order of its tree; all of it if there is none. Paths are
    /// names, not patterns. A path that is not UTF-8 is told with replacement characters.
    pub async fn files_at(
        &self,
        commit: &CommitId,
        paths: &[String],
    ) -> Result<Vec<TreeFile>, Error> {
        let (at, below) = (commit.clone(), paths.to_vec());
        let asked = self.asked_at_length("files_at", move |inside| inside.files_at(&at, &below));
        if let Some(files) = asked.await {
            return Ok(files.into_iter().map(TreeFile::from).collect());
        }
        let output = self
            .call("ls-tree")
            .args(["-r", "-z", "--full-tree", "--end-of-options"])
            .arg(commit.as_str())
            .args(paths)
            .run()
            .await?;
        output.fields().map(|field| entry(&output, field)).collect()
    }

    /// The bytes of these files, in their order; nothing for one of more than `most` bytes.
    pub async fn bytes_of(
        &self,
        files: &[&TreeFile],
        most: usize,
    ) -> Result<Vec<Option<Vec<u8>>>, Error> {
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let blobs: Vec<String> = files.iter().map(|file| file.object.clone()).collect();
        let inside = self.asked_at_length("bytes_of", move |inside| inside.bytes_of(&blobs, most));
        if let Some(all) = inside.await {
            return Ok(all);
        }
        let asked = |files: &[&TreeFile]| -> Vec<u8> {
            let lines = files.iter().map(|file| format!("{}\n", file.object));
            lines.collect::<String>().into_bytes()
        };
        let sizes = self
            .call("cat-file")
            .arg("--batch-check=%(objectsize)")
            .stdin(asked(files))
            .run()
            .await?;
        let text = String::from_utf8_lossy(sizes.stdout()).into_owned();
        let sizes = text
            .lines()
            .map(|line| line.parse().map_err(|_| sizes.unreadable(line)))
            .collect::<Result<Vec<usize>, _>>()?;
        let few: Vec<&TreeFile> = files
            .iter()
            .zip(&sizes)
            .filter_map(|(file, size)| (*size <= most).then_some(*file))
            .collect();
        let output = self
            .call("cat-file")
            .arg("--batch=%(objectname)")
            .stdin(asked(&few))
            .run()
            .await?;
        // Each is its hash on a line, its bytes, and the end of a line.
        let mut rest = output.stdout();
        let mut all = Vec::with_capacity(files.len());
        for (file, size) in files.iter().zip(sizes) {
            if size > most {
                all.push(None);
                continue;
            }
            let body = rest
                .strip_prefix(file.object.as_bytes())
                .and_then(|rest| rest.strip_prefix(b"\n"))
                .filter(|body| body.len() > size)
                .ok_or_else(|| output.unreadable(&file.path))?;
            all.push(Some(body[..size].to_vec()));
            rest = &body[size + 1..];
        }
        Ok(all)
    }
}

impl From<Entry> for TreeFile {
    fn from((path, kind, object): Entry) -> TreeFile {
        TreeFile {
            path: String::from_utf8_lossy(&path).into_owned(),
            kind: match kind {
                EntryKind::Link => TreeKind::Link,
                EntryKind::Commit => TreeKind::Submodule,
                _ => TreeKind::File,
            },
            object,
        }
    }
}

/// `mode type hash TAB path`.
fn entry(output: &Output, field: &[u8]) -> Result<TreeFile, Error> {
    let text = String::from_utf8_lossy(field);
    let unreadable = || output.unreadable(&text);
    let (about, path) = text.split_once('\t').ok_or_else(unreadable)?;
    let mut about = about.split(' ');
    let kind = match about.next() {
        Some("120000") => TreeKind::Link,
        Some("160000") => TreeKind::Submodule,
        Some(mode) if mode.starts_with("100") => TreeKind::File,
        _ => return Err(unreadable()),
    };
    let object = about.nth(1).ok_or_else(unreadable)?.to_owned();
    Ok(TreeFile {
        path: path.to_owned(),
        kind,
        object,
    })
}
