//! The content store: payloads of files by their SHA-256, kept when the worktree is long gone.
//!
//! A payload is written aside, synced, renamed into its place and its folder synced, and only then may a row
//! name it. Nothing is ever written twice: the same bytes have the same name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::effect::{self, Effect, Struck};

/// A folder of payloads.
#[derive(Debug, Clone)]
pub struct ContentStore {
    root: PathBuf,
    /// Held while a payload comes to its place or goes from it: what is put is never what is discarded.
    places: Arc<Mutex<()>>,
}

/// A file that may be named by nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unnamed {
    /// Where it is.
    pub path: PathBuf,
    /// Its own name: the SHA-256 of a payload.
    pub name: String,
    /// How long it is.
    pub bytes: u64,
    /// When it was written.
    pub modified: SystemTime,
}

impl Unnamed {
    /// The files of a folder; none if there is no such folder.
    ///
    /// # Errors
    /// It cannot be listed.
    pub fn in_folder(folder: &Path) -> io::Result<Vec<Unnamed>> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry?;
            // It may go in the same moment.
            let Ok(meta) = entry.metadata() else { continue };
            if let (true, Ok(modified)) = (meta.is_file(), meta.modified()) {
                files.push(Unnamed {
                    path: entry.path(),
                    name: entry.file_name().to_string_lossy().into_owned(),
                    bytes: meta.len(),
                    modified,
                });
            }
        }
        Ok(files)
    }
}

/// What was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// SHA-256 of the bytes, in hexadecimal: their name.
    pub sha256: String,
    /// How many there are.
    pub size: u64,
}

/// Why a payload was not stored.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// It has more bytes than allowed.
    #[error("over {limit} bytes")]
    TooLarge {
        /// The most that is allowed.
        limit: u64,
    },
    /// Reading or writing failed.
    #[error("{attempted}: {source}")]
    Io {
        /// What was attempted.
        attempted: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl From<Struck> for ContentError {
    fn from(struck: Struck) -> ContentError {
        failed("carry out an effect")(struck.into())
    }
}

fn failed(attempted: &'static str) -> impl FnOnce(io::Error) -> ContentError {
    move |source| ContentError::Io { attempted, source }
}

impl ContentStore {
    /// The store in this folder, which is made if it is not there.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(root: PathBuf) -> Result<Self, ContentError> {
        fs::create_dir_all(root.join("aside")).map_err(failed("make the content store"))?;
        Ok(ContentStore::at(root))
    }

    /// Deletes what a crash left half written. For a start: nobody may be writing.
    ///
    /// # Errors
    /// Something cannot be deleted.
    pub fn clear_aside(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.root.join("aside"))? {
            fs::remove_file(entry?.path())?;
        }
        Ok(())
    }

    /// The store in this folder, to read from only: nothing is made.
    #[must_use]
    pub fn at(root: PathBuf) -> Self {
        ContentStore {
            root,
            places: Arc::default(),
        }
    }

    /// Copies all bytes of `source`, durably.
    ///
    /// # Errors
    /// There are more than `limit` bytes, or reading or writing failed; nothing is left behind then.
    pub fn put(&self, source: &mut dyn Read, limit: u64) -> Result<Stored, ContentError> {
        let aside = self.root.join("aside").join(Uuid::now_v7().to_string());
        let stored = self.copy_aside(&aside, source, limit);
        if stored.is_err() {
            // Best effort: what is left aside has no row and is only space.
            drop(fs::remove_file(&aside));
        }
        stored
    }

    fn copy_aside(
        &self,
        aside: &Path,
        source: &mut dyn Read,
        limit: u64,
    ) -> Result<Stored, ContentError> {
        effect::begins(Effect::PayloadWrite)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(aside)
            .map_err(failed("write a payload aside"))?;
        let mut hash = Sha256::new();
        let mut size = 0_u64;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let n = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(failed("read the payload")(e)),
            };
            size += n as u64;
            if size > limit {
                return Err(ContentError::TooLarge { limit });
            }
            hash.update(&buffer[..n]);
            file.write_all(&buffer[..n])
                .map_err(failed("write a payload aside"))?;
        }
        let sha256 = hex(&hash.finalize());
        let home = self.path(&sha256);
        let folder = home.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(failed("make a folder of the content store"))?;
        effect::begins(Effect::PayloadSync)?;
        file.sync_all().map_err(failed("sync a payload"))?;
        effect::begins(Effect::PayloadRename)?;
        {
            let _alone = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            fs::rename(aside, &home).map_err(failed("put a payload in its place"))?;
        }
        effect::begins(Effect::PayloadFolder)?;
        for folder in [folder, &self.root] {
            File::open(folder)
                .and_then(|f| f.sync_all())
                .map_err(failed("sync a folder of the content store"))?;
        }
        Ok(Stored { sha256, size })
    }

    /// The file that holds the payload with this hash.
    ///
    /// # Errors
    /// It is not there or cannot be read.
    pub fn open_payload(&self, sha256: &str) -> io::Result<File> {
        File::open(self.path(sha256))
    }

    /// The last bytes of a payload, at most so many, as text.
    ///
    /// # Errors
    /// It is not there or cannot be read.
    pub fn end_of(&self, sha256: &str, most: u64) -> io::Result<String> {
        let mut file = self.open_payload(sha256)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Every payload in its place, whether evidence names it or not.
    ///
    /// # Errors
    /// A folder cannot be listed.
    pub fn payloads(&self) -> io::Result<Vec<Unnamed>> {
        let mut all = Vec::new();
        for folder in fs::read_dir(&self.root)? {
            let folder = folder?;
            if folder.file_name().len() == 2 {
                all.extend(Unnamed::in_folder(&folder.path())?);
            }
        }
        Ok(all)
    }

    /// What was being written and never came to its place, or is being written now.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn unfinished(&self) -> io::Result<Vec<Unnamed>> {
        Unnamed::in_folder(&self.root.join("aside"))
    }

    /// Deletes a file that nothing names, if it was not written since `before`; whether it did. Gone already is as good.
    ///
    /// # Errors
    /// It cannot be looked at or deleted.
    pub fn discard(&self, file: &Unnamed, before: SystemTime) -> io::Result<bool> {
        let _alone = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let discarded = fs::symlink_metadata(&file.path)
            .and_then(|meta| meta.modified())
            .and_then(|modified| match modified < before {
                true => fs::remove_file(&file.path).map(|()| true),
                false => Ok(false),
            });
        match discarded {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            other => other,
        }
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.root.join(sha256.get(..2).unwrap_or("--")).join(sha256)
    }
}

/// SHA-256 of these bytes, in hexadecimal.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_are_kept_once_under_their_hash() {
        let folder = tempfile::tempdir().unwrap();
        let store = ContentStore::open(folder.path().to_owned()).unwrap();
        let first = store.put(&mut &b"abc"[..], 10).unwrap();
        let second = store.put(&mut &b"abc"[..], 10).unwrap();
        assert_eq!(first, second);
        assert_eq!(first.sha256, sha256_hex(b"abc"));
        let mut back = Vec::new();
        store
            .open_payload(&first.sha256)
            .unwrap()
            .read_to_end(&mut back)
            .unwrap();
        assert_eq!(back, b"abc");
    }

    #[test]
    fn a_payload_over_the_limit_is_refused_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = ContentStore::open(folder.path().to_owned()).unwrap();
        let refused = store.put(&mut &b"abcdef"[..], 5);
        assert!(matches!(refused, Err(ContentError::TooLarge { limit: 5 })));
        assert_eq!(
            fs::read_dir(folder.path().join("aside")).unwrap().count(),
            0
        );
    }
}
