//! Writing an archive: aside, synced, then under its name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::error::{ArchiveError, failed};
use super::manifest::{MANIFEST, Manifest, Member, Name, SEAL};
use crate::dod::content::{ContentStore, hex};

/// The unit of a tar.
const BLOCK: usize = 512;
/// The bytes of [`seal`].
pub(super) const SEAL_BYTES: u64 = 4 * BLOCK as u64;

/// A file that goes when this is dropped, if it is still there.
#[derive(Debug)]
pub(super) struct Aside(pub(super) PathBuf);

impl Aside {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The file stays.
    pub(super) fn keep(self) -> PathBuf {
        std::mem::ManuallyDrop::new(self).0.clone()
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // Best effort: it was renamed, or is only space.
        drop(fs::remove_file(&self.0));
    }
}

/// An archive that is being written.
#[derive(Debug)]
pub(super) struct Writer {
    target: PathBuf,
    aside: Aside,
    out: Hashed,
    pub(super) manifest: Manifest,
}

#[derive(Debug)]
struct Hashed {
    file: io::BufWriter<File>,
    hash: Sha256,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.hash.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Writer {
    /// Begins an archive that will be at `target`.
    ///
    /// # Errors
    /// Something is there already, or nothing can be written beside it.
    pub(super) fn create(target: &Path, manifest: Manifest) -> Result<Writer, ArchiveError> {
        if target == Path::new("-") {
            return Err(ArchiveError::NoFile);
        }
        if target.symlink_metadata().is_ok() {
            return Err(ArchiveError::FileThere(target.to_owned()));
        }
        let aside = Aside(aside(target));
        let file = create_private(&aside.0)?;
        Ok(Writer {
            target: target.to_owned(),
            aside,
            out: Hashed {
                file: io::BufWriter::new(file),
                hash: Sha256::new(),
            },
            manifest,
        })
    }

    /// Adds exactly `size` bytes of `source`; more than that is not read.
    ///
    /// # Errors
    /// There are fewer, or reading or writing failed.
    pub(super) fn add(
        &mut self,
        name: &Name,
        size: u64,
        source: &mut dyn Read,
    ) -> Result<String, ArchiveError> {
        let name = name.text();
        let sha256 = self.member(&name, size, source)?;
        self.manifest.members.push(Member {
            name,
            size,
            sha256: sha256.clone(),
        });
        Ok(sha256)
    }

    /// Adds a file as it is now.
    pub(super) fn add_file(&mut self, name: &Name, path: &Path) -> Result<String, ArchiveError> {
        let mut file = File::open(path).map_err(failed("read", path))?;
        let size = file.metadata().map_err(failed("read", path))?.len();
        self.add(name, size, &mut file)
    }

    /// Adds the payload of this hash; one that is not there, or not what was written, is noted in the manifest.
    pub(super) fn add_payload(
        &mut self,
        content: &ContentStore,
        sha256: &str,
    ) -> Result<(), ArchiveError> {
        let whole = content.open_payload(sha256).and_then(|mut file| {
            let mut hash = Sha256::new();
            io::copy(&mut file, &mut HashInto(&mut hash))?;
            Ok(hex(&hash.finalize()) == sha256)
        });
        match (whole, content.open_payload(sha256)) {
            (Ok(true), Ok(mut file)) => {
                let size = file.metadata().map_err(failed("read", &self.target))?.len();
                self.add(&Name::Payload(sha256.to_owned()), size, &mut file)?;
            }
            _ => self.manifest.lacking.push(sha256.to_owned()),
        }
        Ok(())
    }

    fn member(
        &mut self,
        name: &str,
        size: u64,
        source: &mut dyn Read,
    ) -> Result<String, ArchiveError> {
        let path = self.aside.0.clone();
        let wrote = || failed("write", &path);
        let header = header(name, size).map_err(wrote())?;
        self.out.write_all(&header).map_err(wrote())?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 64 * 1024];
        let mut left = size;
        while left > 0 {
            let most = buffer
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            let n = match source.read(&mut buffer[..most]) {
                Ok(0) => {
                    return Err(wrote()(io::Error::other(format!(
                        "{name} is shorter than it was"
                    ))));
                }
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(wrote()(error)),
            };
            hash.update(&buffer[..n]);
            self.out.write_all(&buffer[..n]).map_err(wrote())?;
            left -= n as u64;
        }
        self.out.write_all(padding(size)).map_err(wrote())?;
        Ok(hex(&hash.finalize()))
    }

    /// Writes manifest and seal, syncs, and puts the archive under its name.
    ///
    /// # Errors
    /// Writing failed; nothing is left behind then.
    pub(super) fn finish(mut self) -> Result<Manifest, ArchiveError> {
        let text = serde_json::to_vec_pretty(&self.manifest)
            .map_err(|error| failed("write", &self.target)(error.into()))?;
        self.member(MANIFEST, text.len() as u64, &mut &text[..])?;
        let path = self.aside.0.clone();
        let seal = seal(&hex(&self.out.hash.clone().finalize()));
        seal.and_then(|seal| self.out.write_all(&seal))
            .map_err(failed("write", &path))?;
        self.out.flush().map_err(failed("write", &path))?;
        let file = self.out.file.get_ref();
        file.sync_all().map_err(failed("sync", &path))?;
        fs::rename(&path, &self.target).map_err(failed("put in its place", &self.target))?;
        sync_folder_of(&self.target)?;
        Ok(self.manifest)
    }
}

/// Writes into a hash.
pub(super) struct HashInto<'a>(pub(super) &'a mut Sha256);

impl Write for HashInto<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A name beside this one that nobody else has.
pub(super) fn aside(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(format!(".{}.partial", Uuid::now_v7().simple()));
    name.into()
}

/// Makes a new file that nobody else may read.
pub(super) fn create_private(path: &Path) -> Result<File, ArchiveError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed("make", path))
}

/// Sees that a rename in the folder of this file is on disk.
pub(super) fn sync_folder_of(path: &Path) -> Result<(), ArchiveError> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed("sync", folder))
}

/// The last bytes of an archive whose bytes before have this hash: the same ones always, so that they are compared as they are.
pub(super) fn seal(sha256: &str) -> io::Result<Vec<u8>> {
    let mut bytes = header(SEAL, sha256.len() as u64)?.to_vec();
    bytes.extend_from_slice(sha256.as_bytes());
    bytes.extend_from_slice(padding(sha256.len() as u64));
    // Two empty blocks end a tar.
    bytes.extend_from_slice(&[0; 2 * BLOCK]);
    Ok(bytes)
}

fn header(name: &str, size: u64) -> io::Result<[u8; BLOCK]> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name)?;
    header.set_size(size);
    header.set_mode(0o600);
    header.set_cksum();
    Ok(*header.as_bytes())
}

fn padding(size: u64) -> &'static [u8] {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    &[0; BLOCK][..(BLOCK - over) % BLOCK]
}
