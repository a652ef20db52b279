//! What differs between two commits, file by file.

use crate::git::{Error, Repository};
use crate::run::CommitId;

/// A file that differs between two commits: what it becomes.
pub(super) struct Change {
    from_mode: String,
    mode: String,
    hash: String,
    /// From the checkout's root.
    pub(super) path: Vec<u8>,
}

impl Change {
    pub(super) fn is_new(&self) -> bool {
        self.from_mode == "000000"
    }

    pub(super) fn is_removed(&self) -> bool {
        self.mode == "000000"
    }

    /// Whether it is to be a file with content, no link and no repository.
    pub(super) fn is_file(&self) -> bool {
        self.mode.starts_with("100")
    }

    /// Whether it is to be another repository's commit: a folder that git leaves alone.
    pub(super) fn is_repository(&self) -> bool {
        self.mode == "160000"
    }

    /// Its line for `git update-index -z --index-info`.
    pub(super) fn entry(&self) -> Vec<u8> {
        let mut entry = format!("{} {} 0\t", self.mode, self.hash).into_bytes();
        entry.extend_from_slice(&self.path);
        entry.push(0);
        entry
    }
}

/// All of it. A renamed file is one that goes and one that comes.
pub(super) async fn changes(
    repo: &Repository,
    from: &CommitId,
    to: &CommitId,
) -> Result<Vec<Change>, Error> {
    let output = repo
        .call("diff-tree")
        .args(["-r", "-z", "--raw", "--no-abbrev", "--no-renames"])
        .args(["--end-of-options", from.as_str(), to.as_str()])
        .run()
        .await?;
    let fields: Vec<_> = output.fields().collect();
    let change = |pair: &[&[u8]]| {
        // `:<mode> <mode> <hash> <hash> <letter>`
        let text = String::from_utf8_lossy(pair[0]).into_owned();
        let parts: Vec<_> = text.trim_start_matches(':').split(' ').collect();
        let &[from_mode, mode, _, hash, _] = parts.as_slice() else {
            return Err(output.unreadable(&text));
        };
        let (from_mode, mode, hash) = (from_mode.to_owned(), mode.to_owned(), hash.to_owned());
        Ok(Change {
            from_mode,
            mode,
            hash,
            path: pair[1].to_vec(),
        })
    };
    fields.chunks_exact(2).map(change).collect()
}
