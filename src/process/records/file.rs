//! How a record gets into its file and back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::whole::{Survives, reserve, write_whole};

/// The version of all records.
const VERSION: u32 = 1;

/// Bytes that are reserved for a record: some hundred, and the longest path.
const RESERVED: usize = 8 * 1024;

/// A record that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It could not be read or written.
    #[error("record {}: {source}", path.display())]
    Io {
        /// The record's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not a whole record.
    #[error("record {} is torn: {detail}", path.display())]
    Torn {
        /// The record's file.
        path: PathBuf,
        /// Where and how.
        detail: String,
    },
    /// It was written by a newer version of this program.
    #[error("record {} has version {found}, this program knows {VERSION}", path.display())]
    Newer {
        /// The record's file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
}

impl RecordError {
    /// Whether there was no room for it.
    pub(in crate::process) fn is_for_lack_of_room(&self) -> bool {
        matches!(self, RecordError::Io { source, .. }
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}

/// A record with a file name of its own in the attempt's directory.
pub(in crate::process) trait Record: Serialize + DeserializeOwned {
    /// The file's name.
    const FILE: &'static str;
    /// What it has to survive.
    const SURVIVES: Survives;

    /// Writes it, readable by its owner only.
    fn write(&self, dir: &Path) -> Result<(), RecordError> {
        let versioned = Versioned {
            version: VERSION,
            record: self,
        };
        serde_json::to_vec(&versioned)
            .map_err(io::Error::from)
            .and_then(|bytes| write_whole(dir, Self::FILE, &bytes, Self::SURVIVES))
            .map_err(|source| RecordError::Io {
                path: dir.join(Self::FILE),
                source,
            })
    }

    /// Takes room for it, so that it can be written when there is none.
    fn reserve(dir: &Path) -> Result<(), RecordError> {
        reserve(dir, Self::FILE, RESERVED).map_err(|source| RecordError::Io {
            path: dir.join(Self::FILE),
            source,
        })
    }

    /// Reads it; `None` where there is no such file.
    fn load(dir: &Path) -> Result<Option<Self>, RecordError> {
        let path = dir.join(Self::FILE);
        match fs::read(&path) {
            Ok(bytes) => parse(&path, &bytes).map(Some),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(RecordError::Io { path, source }),
        }
    }
}

#[derive(Serialize)]
struct Versioned<'a, T> {
    version: u32,
    #[serde(flatten)]
    record: &'a T,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, RecordError> {
    let torn = |e: serde_json::Error| RecordError::Torn {
        path: path.to_owned(),
        detail: e.to_string(),
    };
    let Version { version } = serde_json::from_slice(bytes).map_err(torn)?;
    if version > VERSION {
        return Err(RecordError::Newer {
            path: path.to_owned(),
            found: version,
        });
    }
    serde_json::from_slice(bytes).map_err(torn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::ExitRecord;
    use crate::run::{EndedBy, Exit};

    fn record() -> ExitRecord {
        ExitRecord {
            exit: Exit::Code(3),
            ended_by: EndedBy::Itself,
            ended_at: "2026-11-23T08:00:00.100Z".parse().unwrap(),
            duration_ms: 12,
            swept: 2,
            left: 0,
            output_from: 7,
            output_to: 99,
            max_rss_kib: 1,
            user_ms: 2,
            system_ms: 3,
            refused: None,
            strain: crate::run::Strain::default(),
        }
    }

    #[test]
    fn a_record_is_read_back_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        record().write(dir.path()).unwrap();
        assert_eq!(ExitRecord::load(dir.path()).unwrap(), Some(record()));
    }

    #[test]
    fn a_record_that_was_never_written_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(ExitRecord::load(dir.path()).unwrap(), None);
    }

    #[test]
    fn every_cut_of_a_record_is_torn() {
        let dir = tempfile::tempdir().unwrap();
        record().write(dir.path()).unwrap();
        let path = dir.path().join(ExitRecord::FILE);
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let outcome = ExitRecord::load(dir.path());
            assert!(
                matches!(outcome, Err(RecordError::Torn { .. })),
                "{length}: {outcome:?}"
            );
        }
    }

    #[test]
    fn unknown_fields_are_ignored_and_fields_of_later_are_defaulted() {
        let dir = tempfile::tempdir().unwrap();
        let text = r#"{"version":1,"exit":{"how":"code","value":0},"ended_by":"itself","mood":"good",
            "ended_at":"2026-11-23T08:00:00.1Z","duration_ms":1,"output_to":5}"#;
        fs::write(dir.path().join(ExitRecord::FILE), text).unwrap();
        let record = ExitRecord::load(dir.path()).unwrap().unwrap();
        assert_eq!(
            (record.exit, record.output_to, record.swept),
            (Exit::Code(0), 5, 0)
        );
    }

    #[test]
    fn a_newer_version_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(ExitRecord::FILE), r#"{"version":2}"#).unwrap();
        let outcome = ExitRecord::load(dir.path());
        assert!(
            matches!(outcome, Err(RecordError::Newer { found: 2, .. })),
            "{outcome:?}"
        );
    }
}
