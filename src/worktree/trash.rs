//! Deleting what was moved away, whatever an agent made of it: read-only folders, links, very deep paths.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::effect::{self, Effect};
use crate::git::Error;

/// Deletes everything in the trash folder; a missing one is empty. Links are removed and never followed.
///
/// A writer that is still going may put something back while it is deleted; what is left then is left for
/// the next time, and told as the error.
pub async fn empty_trash(trash: &Path) -> Result<(), Error> {
    let trash = trash.to_owned();
    blocking(move || {
        let entries = match std::fs::read_dir(&trash) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::io("list", trash)(error)),
        };
        let failures: Vec<Error> = entries
            .flatten()
            .filter_map(|entry| empty(&entry.path()).err())
            .collect();
        failures.into_iter().next().map_or(Ok(()), Err)
    })
    .await
}

fn empty(path: &Path) -> Result<(), Error> {
    effect::begins(Effect::TrashEmpty)?;
    delete(path)
}

/// Deletes one path, a folder or not.
pub(super) fn delete(path: &Path) -> Result<(), Error> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Ok(meta) if meta.is_dir() => {}
        _ => return std::fs::remove_file(path).map_err(Error::io("delete", path)),
    }
    // std's removal works by descriptors, so that neither links nor depth matter; permissions do.
    if std::fs::remove_dir_all(path).is_ok() {
        return Ok(());
    }
    open_up(path);
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("delete", path)(error))
        }
        _ => Ok(()),
    }
}

/// Gives us back our own rights to all that is in a folder: read, and for folders list and write.
pub(super) async fn make_accessible(folder: &Path) -> Result<(), Error> {
    let folder = folder.to_owned();
    blocking(move || {
        open_up(&folder);
        Ok(())
    })
    .await
}

/// As far as it can: what could not be opened shows in what is tried next.
fn open_up(folder: &Path) {
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        add_mode(&folder, 0o700);
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => add_mode(&entry.path(), 0o400),
                _ => {}
            }
        }
    }
}

fn add_mode(path: &Path, bits: u32) {
    let Ok(meta) = path.symlink_metadata() else {
        return;
    };
    let mode = meta.permissions().mode();
    if !meta.is_symlink() && mode & bits != bits {
        // Not ours to change: the next step says so.
        let _ = std::fs::set_permissions(path, PermissionsExt::from_mode(mode | bits));
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
