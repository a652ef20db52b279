//! The payload of evidence: words, an address, or a file that is copied into the content store at once.
//!
//! A file of the worktree is opened by the kernel's own rules for staying inside (`openat2(2)`): the agent may exchange
//! folders and links while we look.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

use super::App;
use super::proof::bad;
use super::refused::{FieldProblem, Refused};
use crate::dod::content::{Stored, sha256_hex};
use crate::dod::{EvidenceKind, Payload};
use crate::run::Run;
use crate::shape::request::{NewEvidence, Upload, is_blank};

/// The longest words that are evidence, in bytes.
const TEXT_MAX: usize = 1024 * 1024;
/// The longest address, in bytes.
const URL_MAX: usize = 8 * 1024;
/// The most bytes of a file that is evidence.
pub const FILE_MAX: u64 = 256 * 1024 * 1024;

impl App {
    /// The payload as it is kept; a file is in the content store when this comes back.
    pub(super) async fn payload_of(
        &self,
        run: &Run,
        new: NewEvidence,
        upload: Option<Upload>,
    ) -> Result<(Payload, Stored), Refused> {
        let kind = wanted_kind(&new, upload.is_some())?;
        match (
            kind,
            new.payload_text,
            new.payload_url,
            new.payload_path,
            upload,
        ) {
            (EvidenceKind::Text, Some(text), ..) => {
                if is_blank(&text) || text.len() > TEXT_MAX {
                    return bad("/payload_text", "must be 1 byte to 1 MiB of text");
                }
                let stored = of_bytes(text.as_bytes());
                Ok((Payload::Text { text }, stored))
            }
            (EvidenceKind::Url, _, Some(url), ..) => {
                let plain =
                    url.len() <= URL_MAX && !url.chars().any(|c| c.is_control() || c == ' ');
                let web = ["http://", "https://"]
                    .iter()
                    .any(|scheme| url.len() > scheme.len() && url.starts_with(scheme));
                if !plain || !web {
                    return bad(
                        "/payload_url",
                        "must be an http or https address of at most 8 KiB",
                    );
                }
                let stored = of_bytes(url.as_bytes());
                Ok((Payload::Url { url }, stored))
            }
            (EvidenceKind::File, _, _, Some(path), None) => {
                let inside = inside(Path::new(&run.worktree_path), Path::new(&path))?;
                let root = PathBuf::from(&run.worktree_path);
                let stored = self.keep(move || open_beneath(&root, &inside)).await?;
                let media_type = None;
                Ok((Payload::File { path, media_type }, stored))
            }
            (EvidenceKind::File, _, _, None, Some(upload)) => {
                let stored = self
                    .keep(move || {
                        File::open(&upload.path).map_err(|e| anyhow::Error::new(e).into())
                    })
                    .await?;
                let payload = Payload::File {
                    path: upload.file_name,
                    media_type: upload.media_type,
                };
                Ok((payload, stored))
            }
            _ => bad("", "the payload does not fit `kind`"),
        }
    }

    /// Copies a file into the content store.
    async fn keep(
        &self,
        open: impl FnOnce() -> Result<File, Refused> + Send + 'static,
    ) -> Result<Stored, Refused> {
        let content = self.context().content.clone();
        tokio::task::spawn_blocking(move || {
            let mut file = open()?;
            Ok(content.put(&mut file as &mut dyn Read, FILE_MAX)?)
        })
        .await
        .map_err(anyhow::Error::new)?
    }
}

fn of_bytes(bytes: &[u8]) -> Stored {
    Stored {
        sha256: sha256_hex(bytes),
        size: bytes.len() as u64,
    }
}

/// Which kind of evidence it is: what `kind` says, and exactly one payload that fits.
fn wanted_kind(new: &NewEvidence, upload: bool) -> Result<EvidenceKind, Refused> {
    let payloads = [
        (EvidenceKind::Text, new.payload_text.is_some()),
        (EvidenceKind::Url, new.payload_url.is_some()),
        (EvidenceKind::File, new.payload_path.is_some()),
        (EvidenceKind::File, upload),
    ];
    let mut brought = payloads
        .iter()
        .filter(|(_, there)| *there)
        .map(|(kind, _)| *kind);
    let (Some(kind), None) = (brought.next(), brought.next()) else {
        return bad(
            "",
            "bring exactly one of `payload_text`, `payload_url`, `payload_path` and an uploaded file",
        );
    };
    match new.kind.as_deref() {
        None => Ok(kind),
        Some(word) if word == kind.as_str() => Ok(kind),
        Some("text" | "file" | "url") => bad("/kind", "does not fit the payload"),
        Some(_) => bad("/kind", "must be `text`, `file` or `url`"),
    }
}

/// The path from the worktree's root, if the words of it stay inside.
fn inside(worktree: &Path, path: &Path) -> Result<PathBuf, Refused> {
    let relative = if path.is_absolute() {
        path.strip_prefix(worktree).ok()
    } else {
        Some(path)
    };
    match relative {
        Some(path)
            if path.components().next().is_some()
                && path
                    .components()
                    .all(|c| matches!(c, Component::Normal(_) | Component::CurDir)) =>
        {
            Ok(path.to_owned())
        }
        _ => bad("/payload_path", "must lie inside the run's worktree"),
    }
}

/// Opens a regular file below `root`. The kernel holds the path inside (`openat2(2)`), so that no link and no folder
/// that is exchanged meanwhile leads out of it; a file with a second name could be one from elsewhere.
fn open_beneath(root: &Path, path: &Path) -> Result<File, Refused> {
    let no = |detail: String| Refused::Invalid(vec![FieldProblem::new("/payload_path", detail)]);
    let resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = openat2(CWD, root, folder, Mode::empty(), ResolveFlags::empty())
        .map_err(|error| no(format!("the worktree is not there: {error}")))?;
    // Without O_NONBLOCK a FIFO would wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat2(&root, path, flags, Mode::empty(), resolve)
        .map(File::from)
        .map_err(|error| no(format!("cannot be read inside the worktree: {error}")))?;
    let meta = file.metadata().map_err(anyhow::Error::new)?;
    if !meta.is_file() {
        return Err(no("is not a regular file".to_owned()));
    }
    if meta.len() > FILE_MAX {
        return Err(Refused::TooLarge { limit: FILE_MAX });
    }
    if std::os::unix::fs::MetadataExt::nlink(&meta) != 1 {
        return Err(no("has more than one name (hard links)".to_owned()));
    }
    Ok(file)
}
