//! Evidence: attached, shown, validated, rejected.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use uuid::Uuid;

use super::App;
use super::refused::{FieldProblem, Refused};
use crate::clock;
use crate::dod::content::{Stored, sha256_hex};
use crate::dod::{Author, Evidence, EvidenceKind, Head, Item, ItemSpec, Payload, Validator, item};
use crate::journal::Answer;
use crate::run::command::takes_evidence;
use crate::run::{Command, Event, EvidenceId, ItemId, Phase, Refusal, Run};
use crate::runner::current_head;
use crate::shape::request::{NewEvidence, Upload};
use crate::shape::view::{DetailView, EvidenceView, GateView, ItemView};

/// The longest words that are evidence, in bytes.
const TEXT_MAX: usize = 1024 * 1024;
/// The longest address, in bytes.
const URL_MAX: usize = 8 * 1024;
/// The most bytes of a file that is evidence.
pub const FILE_MAX: u64 = 256 * 1024 * 1024;

/// A payload to send.
#[derive(Debug)]
pub struct PayloadFile {
    /// What it is of.
    pub evidence: EvidenceView,
    /// The bytes of a file.
    pub file: Option<File>,
    /// The words.
    pub text: Option<String>,
    /// The media type that was told at the upload.
    pub media_type: Option<String>,
}

impl App {
    /// Attaches evidence to the work as it is now.
    ///
    /// # Errors
    /// As [`Refused`] says; nothing is stored then.
    pub async fn attach(
        &self,
        run: &str,
        evidence: NewEvidence,
        upload: Option<Upload>,
    ) -> Result<EvidenceView, Refused> {
        let run = self.load(self.run_id(run)?)?;
        let (item_id, new_item) = wanted_item(&run, &evidence)?;
        // Before a payload is copied: what is refused has changed nothing.
        takes_evidence(&run).map_err(Refused::State)?;
        let head = self.head_now(&run).await?;
        let (Some(head), Some(base_commit)) = (head, run.base_commit.clone()) else {
            return Err(Refused::State(Refusal::NoHead));
        };
        let author = evidence.author.unwrap_or(Author::Operator);
        let (payload, stored) = self.payload_of(&run, evidence, upload).await?;
        let evidence = Evidence {
            id: EvidenceId(Uuid::now_v7()),
            item_id,
            payload,
            head: head.clone(),
            base_commit,
            sha256: stored.sha256,
            size: stored.size,
            author,
            created_at: clock::now(),
            verdict: crate::dod::Verdict::Open,
        };
        let id = evidence.id;
        let command = Command::Attach { evidence, new_item };
        match self.context().journal.ask(run.id, command).await? {
            Answer::No(refusal) => Err(Refused::State(refusal)),
            Answer::Done(run) | Answer::Already(run) => shown(&run, id, Some(&head)),
        }
    }

    /// All evidence of a run, in the order in which it was attached.
    ///
    /// # Errors
    /// There is no such run.
    pub async fn evidence_list(&self, run: &str) -> Result<Vec<EvidenceView>, Refused> {
        let run = self.load(self.run_id(run)?)?;
        let head = current_head(self.context(), &run).await?;
        run.evidence
            .iter()
            .map(|e| shown(&run, e.id, head.as_ref()))
            .collect()
    }

    /// The bytes of a piece of evidence.
    ///
    /// # Errors
    /// There is none, or its bytes cannot be read.
    pub async fn payload(&self, run: &str, evidence: &str) -> Result<PayloadFile, Refused> {
        let run = self.load(self.run_id(run)?)?;
        let id = evidence_id(&run, evidence)?;
        let head = current_head(self.context(), &run).await?;
        let view = shown(&run, id, head.as_ref())?;
        let Some(evidence) = run.evidence(id) else {
            return Err(Refused::State(Refusal::UnknownEvidence(id)));
        };
        let (file, text, media_type) = match &evidence.payload {
            Payload::Text { text } => (None, Some(text.clone()), None),
            Payload::Url { .. } => (None, None, None),
            Payload::File { media_type, .. } => {
                let file = self
                    .context()
                    .content
                    .open_payload(&evidence.sha256)
                    .map_err(anyhow::Error::new)?;
                (Some(file), None, media_type.clone())
            }
        };
        Ok(PayloadFile {
            evidence: view,
            file,
            text,
            media_type,
        })
    }

    /// Accepts evidence.
    ///
    /// # Errors
    /// It is stale, rejected, or brought by its own validator; or the run's state does not allow it.
    pub async fn validate(
        &self,
        run: &str,
        evidence: &str,
        by: String,
    ) -> Result<(EvidenceView, ItemView), Refused> {
        let run = self.load(self.run_id(run)?)?;
        let id = evidence_id(&run, evidence)?;
        let by = name_of(&by)?;
        // The words for authors are not names of people.
        if [Author::Agent.as_str(), "check"].contains(&by.to_lowercase().as_str()) {
            return Err(Refused::OwnEvidence { evidence: id, by });
        }
        let head = self.head_now(&run).await?;
        let command = Command::Validate {
            evidence: id,
            by,
            head: head.clone(),
        };
        self.judged(&run, id, command, head).await
    }

    /// Turns evidence down.
    ///
    /// # Errors
    /// The run's state does not allow it.
    pub async fn reject(
        &self,
        run: &str,
        evidence: &str,
        by: String,
        reason: String,
    ) -> Result<(EvidenceView, ItemView), Refused> {
        let run = self.load(self.run_id(run)?)?;
        let id = evidence_id(&run, evidence)?;
        let by = name_of(&by)?;
        let reason = reason.trim().to_owned();
        if reason.is_empty() || reason.len() > TEXT_MAX / 64 {
            return Err(Refused::Invalid(vec![FieldProblem::new(
                "/reason",
                "say why, in 1 byte to 16 KiB",
            )]));
        }
        let head = self.head_now(&run).await?;
        let command = Command::Reject {
            evidence: id,
            by,
            reason,
        };
        self.judged(&run, id, command, head).await
    }

    async fn judged(
        &self,
        run: &Run,
        id: EvidenceId,
        command: Command,
        head: Option<Head>,
    ) -> Result<(EvidenceView, ItemView), Refused> {
        match self.context().journal.ask(run.id, command).await? {
            Answer::No(refusal) => Err(Refused::State(refusal)),
            Answer::Done(run) | Answer::Already(run) => {
                let evidence = shown(&run, id, head.as_ref())?;
                let shut = GateView {
                    open: false,
                    blockers: Vec::new(),
                };
                let detail = DetailView::of(&run, None, head.as_ref(), shut);
                let item = detail
                    .dod_items
                    .into_iter()
                    .find(|item| item.id == evidence.item_id)
                    .ok_or_else(|| anyhow::anyhow!("evidence {id} is of no item"))?;
                Ok((evidence, item))
            }
        }
    }

    /// The work as git has it now. If it moved since it was recorded, that is recorded.
    async fn head_now(&self, run: &Run) -> Result<Option<Head>, Refused> {
        let head = current_head(self.context(), run).await?;
        if let (Some(now), Phase::AtRest { .. }) = (&head, &run.phase)
            && run.head.as_ref() != Some(now)
        {
            let event = Event::HeadMoved { head: now.clone() };
            if let Err(error) = self.context().journal.record(run.id, vec![event]).await {
                // Something else happened to the run in the same moment; what follows is decided on its new state.
                tracing::debug!(run = %run.id, %error, "a moved head was not recorded");
            }
        }
        Ok(head)
    }

    async fn payload_of(
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
                if text.trim().is_empty() || text.len() > TEXT_MAX {
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

fn bad<T>(pointer: &str, detail: &str) -> Result<T, Refused> {
    Err(Refused::Invalid(vec![FieldProblem::new(pointer, detail)]))
}

fn of_bytes(bytes: &[u8]) -> Stored {
    Stored {
        sha256: sha256_hex(bytes),
        size: bytes.len() as u64,
    }
}

/// Somebody's name, as it is recorded.
fn name_of(by: &str) -> Result<String, Refused> {
    let by = by.trim();
    if by.is_empty() || by.chars().count() > 200 || by.chars().any(char::is_control) {
        return bad(
            "/validated_by",
            "must be a name of 1 to 200 characters, none of them a control character",
        );
    }
    Ok(by.to_owned())
}

/// The item that the evidence is for: one that is there, or one to be made.
fn wanted_item(run: &Run, new: &NewEvidence) -> Result<(ItemId, Option<Item>), Refused> {
    match (&new.item_id, &new.item_key) {
        (Some(id), None) => {
            let mut fits = run
                .items
                .iter()
                .filter(|item| super::fits(&item.id.to_string(), id));
            match (fits.next(), fits.next()) {
                (Some(item), None) => Ok((item.id, None)),
                (Some(_), Some(_)) => Err(Refused::AmbiguousId {
                    what: "item",
                    prefix: id.clone(),
                }),
                (None, _) => Err(Refused::NotFound {
                    what: "item",
                    id: id.clone(),
                }),
            }
        }
        (None, Some(key)) => match run.item_by_key(key) {
            Some(item) => Ok((item.id, None)),
            None if item::is_key(key) => {
                let item = Item {
                    id: ItemId(Uuid::now_v7()),
                    spec: ItemSpec {
                        key: key.clone(),
                        title: key.clone(),
                        required: false,
                        accepts: EvidenceKind::ALL.to_vec(),
                        validator: Validator::Operator,
                    },
                };
                Ok((item.id, Some(item)))
            }
            None => bad(
                "/item_key",
                "a key is 1 to 64 letters, digits, `-`, `_` or `.`",
            ),
        },
        _ => bad(
            "/item_key",
            "name the item by `item_key` or by `item_id`, one of the two",
        ),
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

fn evidence_id(run: &Run, text: &str) -> Result<EvidenceId, Refused> {
    let mut fits = run
        .evidence
        .iter()
        .filter(|e| super::fits(&e.id.to_string(), text));
    match (fits.next(), fits.next()) {
        (Some(evidence), None) => Ok(evidence.id),
        (Some(_), Some(_)) => Err(Refused::AmbiguousId {
            what: "evidence",
            prefix: text.to_owned(),
        }),
        (None, _) => Err(Refused::NotFound {
            what: "evidence",
            id: text.to_owned(),
        }),
    }
}

fn shown(run: &Run, id: EvidenceId, head: Option<&Head>) -> Result<EvidenceView, Refused> {
    let evidence = run
        .evidence(id)
        .ok_or(Refused::State(Refusal::UnknownEvidence(id)))?;
    let key = run
        .item(evidence.item_id)
        .map(|item| item.spec.key.as_str());
    Ok(EvidenceView::of(evidence, key, head))
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
    if std::os::unix::fs::MetadataExt::nlink(&meta) != 1 {
        return Err(no("has more than one name (hard links)".to_owned()));
    }
    Ok(file)
}
