//! Evidence: attached, shown, validated, rejected.

use std::fs::File;

use uuid::Uuid;

use super::App;
use super::refused::{FieldProblem, Refused};
use crate::clock;
use crate::dod::{Author, Evidence, Head, Item, ItemSpec, Payload, item};
use crate::journal::Answer;
use crate::run::command::takes_evidence;
use crate::run::{Command, EvidenceId, ItemId, Refusal, Run};
use crate::runner::{base_tip, changed_where_asked, current_head};
use crate::shape::request::{NewEvidence, Upload};
use crate::shape::view::{EvidenceView, ItemView};

/// The longest reason of a rejection, in bytes.
const REASON_MAX: usize = 16 * 1024;

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
        let author = match evidence.author.unwrap_or_default() {
            author @ (Author::Agent | Author::Operator) => author,
            Author::Check | Author::Service => {
                return bad("/author", "must be `agent` or `operator`");
            }
        };
        let author_name = evidence
            .attached_by
            .as_deref()
            .map(|name| name_of("/attached_by", name))
            .transpose()?;
        let onto = base_tip(self.context(), &run).await?;
        let (payload, stored) = self.payload_of(&run, evidence, upload).await?;
        let evidence = Evidence {
            id: EvidenceId(Uuid::now_v7()),
            item_id,
            payload,
            head: head.clone(),
            base_commit,
            onto,
            check: None,
            candidate_of: None,
            carried_to: Vec::new(),
            author_name,
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
        overrides: Option<String>,
    ) -> Result<(EvidenceView, ItemView), Refused> {
        let run = self.load(self.run_id(run)?)?;
        let id = evidence_id(&run, evidence)?;
        let by = name_of("/validated_by", &by)?;
        let overrides = overrides
            .map(|reason| reason_of("/override", &reason))
            .transpose()?;
        // The words for authors are not names of people.
        if Author::ALL_BUT_OPERATOR
            .map(Author::as_str)
            .contains(&by.to_lowercase().as_str())
        {
            return Err(Refused::OwnEvidence { evidence: id, by });
        }
        let head = self.head_now(&run).await?;
        let command = Command::Validate {
            evidence: id,
            by,
            overrides,
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
        let by = name_of("/validated_by", &by)?;
        let reason = reason_of("/reason", &reason)?;
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
                let changed = changed_where_asked(self.context(), &run, head.as_ref()).await?;
                let item = run
                    .items
                    .iter()
                    .find(|item| item.id.to_string() == evidence.item_id)
                    .ok_or_else(|| anyhow::anyhow!("evidence {id} is of no item"))?;
                let item = ItemView::of(&run, item, head.as_ref(), changed.as_deref());
                Ok((evidence, item))
            }
        }
    }

    /// The work as git has it now. If it moved since it was recorded, that is recorded, and checks begin again.
    async fn head_now(&self, run: &Run) -> Result<Option<Head>, Refused> {
        Ok(self.runner().notice_head(run).await?)
    }
}

pub(super) fn bad<T>(pointer: &str, detail: &str) -> Result<T, Refused> {
    Err(Refused::Invalid(vec![FieldProblem::new(pointer, detail)]))
}

/// Somebody's name, as it is recorded.
fn name_of(pointer: &str, by: &str) -> Result<String, Refused> {
    let by = by.trim();
    if by.is_empty() || by.chars().count() > 200 || by.chars().any(char::is_control) {
        return bad(
            pointer,
            "must be a name of 1 to 200 characters, none of them a control character",
        );
    }
    Ok(by.to_owned())
}

/// Why, in somebody's words.
fn reason_of(pointer: &str, reason: &str) -> Result<String, Refused> {
    let reason = reason.trim();
    if reason.is_empty() || reason.len() > REASON_MAX {
        return bad(pointer, "say why, in 1 byte to 16 KiB");
    }
    Ok(reason.to_owned())
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
            None if key == item::DEFINITION_CHANGED => bad(
                "/item_key",
                "an item of this name is made by the service itself, when the work changes its Definition of Done",
            ),
            None if item::is_key(key) => {
                let item = Item {
                    id: ItemId(Uuid::now_v7()),
                    spec: ItemSpec {
                        required: false,
                        ..ItemSpec::of(key, key)
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
