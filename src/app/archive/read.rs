//! Reading an archive: all of it is looked at before anything of it is used.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::error::{ArchiveError, failed};
use super::manifest::{FORMAT, Kind, MANIFEST, Manifest, Member, Name};
use super::write::{HashInto, SEAL_BYTES, seal};
use crate::dod::content::hex;

/// The most bytes of a manifest: two million members.
const MANIFEST_MOST: u64 = 256 << 20;

/// An archive that is whole.
#[derive(Debug)]
pub(super) struct Archive {
    path: PathBuf,
    file: File,
    body: u64,
    pub(super) manifest: Manifest,
}

impl Archive {
    /// Reads all of it: the seal, the manifest, each member.
    ///
    /// # Errors
    /// It is damaged, of another kind, or of a newer program.
    pub(super) fn open(path: &Path, kind: Kind) -> Result<Archive, ArchiveError> {
        if path == Path::new("-") {
            return Err(ArchiveError::NoFile);
        }
        let mut file = File::open(path).map_err(failed("read", path))?;
        let body = sealed(&mut file, path)?;
        let (manifest, members) = listed(&mut file, body, path)?;
        let damaged = |why: &str| ArchiveError::Damaged {
            path: path.to_owned(),
            why: why.to_owned(),
        };
        // Before the rest of it is read: a newer form may have other fields.
        let form: serde_json::Value =
            serde_json::from_slice(&manifest).map_err(|error| damaged(&error.to_string()))?;
        if form["format"].as_u64() > Some(u64::from(FORMAT)) {
            return Err(ArchiveError::Newer {
                path: path.to_owned(),
                version: form["program"].as_str().unwrap_or("?").to_owned(),
            });
        }
        let manifest: Manifest =
            serde_json::from_slice(&manifest).map_err(|error| damaged(&error.to_string()))?;
        if manifest.members != members {
            return Err(damaged("its members are not those of its manifest"));
        }
        match (manifest.kind, kind) {
            (Kind::Backup, Kind::Export) => Err(ArchiveError::OtherKind {
                path: path.to_owned(),
                wanted: "export",
                found: "a backup",
                advice: "`restore-backup` takes it",
            }),
            (Kind::Export, Kind::Backup) => Err(ArchiveError::OtherKind {
                path: path.to_owned(),
                wanted: "backup",
                found: "an export",
                advice: "`import` takes it",
            }),
            _ => Ok(Archive {
                path: path.to_owned(),
                file,
                body,
                manifest,
            }),
        }
    }

    /// Shows each member but the manifest, in their order.
    pub(super) fn each(
        &mut self,
        mut see: impl FnMut(Name, &mut dyn Read) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        let path = self.path.clone();
        entries(&mut self.file, self.body, &path, |name, _, content| {
            match Name::parse(name) {
                Some(name) => see(name, content),
                // Only the manifest: all other names were looked at.
                None => Ok(()),
            }
        })
    }
}

/// How many bytes are sealed, if they are what was sealed.
fn sealed(file: &mut File, path: &Path) -> Result<u64, ArchiveError> {
    let damaged = |why: &str| ArchiveError::Damaged {
        path: path.to_owned(),
        why: why.to_owned(),
    };
    let size = file.metadata().map_err(failed("read", path))?.len();
    let Some(body) = size.checked_sub(SEAL_BYTES) else {
        return Err(damaged("it is too short for an archive"));
    };
    let mut hash = Sha256::new();
    io::copy(&mut Read::by_ref(file).take(body), &mut HashInto(&mut hash))
        .map_err(failed("read", path))?;
    let mut found = Vec::new();
    file.read_to_end(&mut found).map_err(failed("read", path))?;
    let wanted = seal(&hex(&hash.finalize())).map_err(failed("read", path))?;
    if found == wanted {
        Ok(body)
    } else {
        Err(damaged("its seal does not fit"))
    }
}

/// The text of the manifest, and what the members are.
fn listed(file: &mut File, body: u64, path: &Path) -> Result<(Vec<u8>, Vec<Member>), ArchiveError> {
    let mut manifest = None;
    let mut members = Vec::new();
    let damaged = |why: String| ArchiveError::Damaged {
        path: path.to_owned(),
        why,
    };
    entries(file, body, path, |name, size, content| {
        if manifest.is_some() {
            return Err(damaged(format!("{name} comes after its manifest")));
        }
        if name == MANIFEST {
            let mut text = Vec::new();
            content
                .take(MANIFEST_MOST)
                .read_to_end(&mut text)
                .map_err(failed("read", path))?;
            manifest = Some(text);
            return Ok(());
        }
        let mut hash = Sha256::new();
        io::copy(content, &mut HashInto(&mut hash)).map_err(failed("read", path))?;
        let sha256 = hex(&hash.finalize());
        match Name::parse(name) {
            None => return Err(damaged(format!("it has a member {name:?}"))),
            Some(Name::Payload(named)) if named != sha256 => {
                return Err(damaged(format!(
                    "the payload {named} is not what was written"
                )));
            }
            Some(_) => {}
        }
        members.push(Member {
            name: name.to_owned(),
            size,
            sha256,
        });
        Ok(())
    })?;
    let manifest = manifest.ok_or_else(|| damaged("it has no manifest".to_owned()))?;
    Ok((manifest, members))
}

fn entries(
    file: &mut File,
    body: u64,
    path: &Path,
    mut see: impl FnMut(&str, u64, &mut dyn Read) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    file.seek(SeekFrom::Start(0))
        .map_err(failed("read", path))?;
    let mut tar = tar::Archive::new(file.take(body));
    for entry in tar.entries().map_err(failed("read", path))? {
        let mut entry = entry.map_err(failed("read", path))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let size = entry.size();
        see(&name, size, &mut entry)?;
    }
    Ok(())
}
