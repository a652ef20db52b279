//! What lies in a folder beside files, links and folders: pipes, sockets, devices. git neither keeps nor names them.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::trash::blocking;
use crate::git::Error;

/// So many are named; of more, how many there are.
const NAMED: usize = 20;

/// A sentence for each pipe, socket and device below the folder, with its path from there.
pub(super) async fn specials(folder: &Path) -> Result<Vec<String>, Error> {
    let folder = folder.to_owned();
    blocking(move || Ok(find(&folder))).await
}

fn find(root: &Path) -> Vec<String> {
    let (mut told, mut more) = (Vec::new(), 0);
    each_below(root, |path, kind| {
        let what = match kind {
            kind if kind.is_fifo() => "a pipe",
            kind if kind.is_socket() => "a socket",
            kind if kind.is_char_device() || kind.is_block_device() => "a device",
            _ => return,
        };
        if told.len() < NAMED {
            let name = path.strip_prefix(root).unwrap_or(path).display();
            told.push(format!("{what}, which git cannot keep: {name}"));
        } else {
            more += 1;
        }
    });
    if more > 0 {
        told.push(format!("{more} more pipes, sockets and devices"));
    }
    told
}

/// Bytes of the disk that lie at a path and below it.
pub(super) fn bytes_below(path: &Path) -> u64 {
    let of = |path: &Path| {
        path.symlink_metadata()
            .map_or(0, |meta| meta.blocks() * 512)
    };
    let mut bytes = of(path);
    each_below(path, |path, _| bytes += of(path));
    bytes
}

/// The same, while nobody waits.
pub async fn weigh(path: &Path) -> u64 {
    let path = path.to_owned();
    blocking(move || Ok(bytes_below(&path))).await.unwrap_or(0)
}

/// Everything below a folder, as far as it can be listed. No link is followed.
fn each_below(root: &Path, mut look: impl FnMut(&Path, std::fs::FileType)) {
    let mut folders: Vec<PathBuf> = match root.symlink_metadata() {
        Ok(meta) if meta.is_dir() => vec![root.to_owned()],
        _ => Vec::new(),
    };
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() {
                folders.push(entry.path());
            }
            look(&entry.path(), kind);
        }
    }
}
