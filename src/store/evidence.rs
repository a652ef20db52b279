//! The projection of items and their evidence.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::error::{Attempted, StoreError};
use crate::clock::rfc3339;
use crate::dod::check::{CheckRecord, FailedCode};
use crate::dod::{Evidence, Item, Payload, item_status};
use crate::run::event::Event;
use crate::run::phase::RoundWhy;
use crate::run::state::Run;
use crate::run::{EvidenceId, Outcome, Phase, Recorded};

/// Writes the rows of items and evidence that follow from `run` as it is after `recorded`.
pub(super) fn project(
    connection: &Connection,
    run: &Run,
    recorded: &Recorded,
) -> Result<(), StoreError> {
    match &recorded.event {
        Event::Created { items, .. } => {
            for (position, new) in items.iter().enumerate() {
                item(connection, run, new, position, recorded)?;
            }
        }
        Event::DefinitionFixed { items, .. } => {
            // No agent has worked yet: no evidence names one of these rows.
            connection
                .prepare_cached("DELETE FROM dod_items WHERE run_id = ?")
                .attempted("prepare a statement")?
                .execute(params![run.id.to_string()])
                .attempted("make room for the items of a run")?;
            for (position, new) in items.iter().enumerate() {
                item(connection, run, new, position, recorded)?;
            }
        }
        Event::ItemAdded { item: new } => {
            item(connection, run, new, run.items.len() - 1, recorded)?;
        }
        Event::EvidenceAttached { evidence: new } => evidence(connection, run, new)?,
        Event::EvidenceValidated {
            evidence,
            by,
            overrides,
        } => {
            connection
                .prepare_cached(
                    "UPDATE dod_evidence SET validated_at = ?1, validated_by = ?2, overrides = ?3, \
                     first_validated_at = coalesce(first_validated_at, ?1) WHERE id = ?4",
                )
                .attempted("prepare a statement")?
                .execute(params![
                    rfc3339(recorded.at),
                    by,
                    overrides,
                    evidence.to_string()
                ])
                .attempted("store a validation")?;
        }
        Event::EvidenceRejected {
            evidence,
            by,
            reason,
        } => {
            connection
                .prepare_cached("UPDATE dod_evidence SET validated_at = NULL, validated_by = NULL, overrides = NULL, \
                     rejected_at = ?, rejected_by = ?, reason = ? WHERE id = ?")
                .attempted("prepare a statement")?
                .execute(
                    params![rfc3339(recorded.at), by, reason, evidence.to_string()],
                )
                .attempted("store a rejection")?;
        }
        Event::Settled { .. } | Event::HeadMoved { .. } => {}
        _ => return Ok(()),
    }
    statuses(connection, run)
}

/// SHA-256 of every payload that evidence names.
///
/// # Errors
/// The rows cannot be read.
pub fn payloads(connection: &Connection) -> Result<BTreeSet<String>, StoreError> {
    let mut statement = connection
        .prepare("SELECT DISTINCT sha256 FROM dod_evidence")
        .attempted("list the payloads")?;
    statement
        .query_map([], |row| row.get(0))
        .and_then(Iterator::collect)
        .attempted("list the payloads")
}

/// A check that passed.
#[derive(Debug, Clone)]
pub struct Passed {
    /// The evidence that says so.
    pub id: EvidenceId,
    /// SHA-256 of its log.
    pub sha256: String,
    /// Bytes of its log.
    pub size: u64,
    /// What it came to.
    pub record: CheckRecord,
}

/// The newest word of a check with this key, of whatever run, if it is that it passed: what fails now, or was turned down,
/// is not made good by an earlier pass.
///
/// # Errors
/// The row cannot be read.
pub fn passed(connection: &Connection, key: &str) -> Result<Option<Passed>, StoreError> {
    let row = connection
        .prepare_cached("SELECT id, sha256, size, check_json FROM (SELECT id, sha256, size, check_json, validated_by FROM dod_evidence \
             WHERE check_key = ? AND author = 'check' ORDER BY id DESC LIMIT 1) WHERE validated_by = 'check'")
        .attempted("prepare a statement")?
        .query_row(
            params![key],
            |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get::<_, String>(3)?,
                ))
            },
        )
        .optional()
        .attempted("look for a check that passed")?;
    let Some((id, sha256, size, record)) = row else {
        return Ok(None);
    };
    let unreadable = |detail: String| StoreError::Unreadable {
        what: "check",
        id: id.clone(),
        detail,
    };
    Ok(Some(Passed {
        id: id
            .parse()
            .map_err(|e: uuid::Error| unreadable(e.to_string()))?,
        sha256,
        size,
        record: serde_json::from_str(&record).map_err(|e| unreadable(e.to_string()))?,
    }))
}

fn item(
    connection: &Connection,
    run: &Run,
    item: &Item,
    position: usize,
    recorded: &Recorded,
) -> Result<(), StoreError> {
    let accepts: Vec<_> = item.spec.accepts.iter().map(|kind| kind.as_str()).collect();
    connection
        .prepare_cached("INSERT INTO dod_items (id, run_id, item_key, title, required, status, accepts_json, validator, position, \
             created_at, check_json, when_json) VALUES (?, ?, ?, ?, ?, 'pending', ?, ?, ?, ?, ?, ?)")
        .attempted("prepare a statement")?
        .execute(
            params![
                item.id.to_string(),
                run.id.to_string(),
                item.spec.key,
                item.spec.title,
                item.spec.required,
                serde_json::json!(accepts).to_string(),
                item.spec.validator.as_str(),
                position,
                rfc3339(recorded.at),
                item.spec.check.as_ref().map(json),
                item.spec.when.as_ref().map(json)
            ],
        )
        .attempted("store an item")?;
    Ok(())
}

fn evidence(connection: &Connection, run: &Run, evidence: &Evidence) -> Result<(), StoreError> {
    let (path, url, text) = match &evidence.payload {
        Payload::Text { text } => (None, None, Some(text)),
        Payload::File { path, .. } => (Some(path), None, None),
        Payload::Url { url } => (None, Some(url), None),
    };
    connection
        .prepare_cached("INSERT INTO dod_evidence (id, run_id, item_id, kind, payload_path, payload_url, payload_text, \"commit\", tree, \
             base_commit, sha256, size, author, created_at, author_name, onto, candidate_of, check_json, check_key, \
             against_claim) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
        .attempted("prepare a statement")?
        .execute(
            params![
                evidence.id.to_string(),
                run.id.to_string(),
                evidence.item_id.to_string(),
                evidence.payload.kind().as_str(),
                path,
                url,
                text,
                evidence.head.commit.as_str(),
                evidence.head.tree.as_str(),
                evidence.base_commit.as_str(),
                evidence.sha256,
                evidence.size,
                evidence.author.as_str(),
                rfc3339(evidence.created_at),
                evidence.author_name,
                evidence.onto.as_ref().map(ToString::to_string),
                evidence.candidate_of.as_ref().map(ToString::to_string),
                evidence.check.as_ref().map(json),
                evidence.check.as_ref().map(|check| &check.key),
                is_against_claim(run, evidence)
            ],
        )
        .attempted("store evidence")?;
    Ok(())
}

/// Whether it says that a required check failed on work that the agent had just called finished. One that was stopped
/// says nothing of the work.
fn is_against_claim(run: &Run, evidence: &Evidence) -> bool {
    let check = evidence.check.as_ref();
    let failed = check.and_then(|check| check.failed.as_ref());
    let required = run
        .item(evidence.item_id)
        .is_some_and(|item| item.spec.required);
    let claimed = matches!(
        &run.phase,
        Phase::Checking {
            outcome: Outcome::Finished,
            round: Some(round),
        } if round.why == RoundWhy::AgentEnded
    );
    required
        && claimed
        && evidence.candidate_of.is_none()
        && failed.is_some_and(|failed| failed.code != FailedCode::Cancelled)
}

/// A value as JSON text.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The status of an item follows from its evidence and the head, so all of them are written again.
fn statuses(connection: &Connection, run: &Run) -> Result<(), StoreError> {
    let mut update = connection
        .prepare_cached("UPDATE dod_items SET status = ?1 WHERE id = ?2 AND status <> ?1")
        .attempted("prepare to store the status of an item")?;
    for item in &run.items {
        let status = item_status(item, &run.evidence, run.head.as_ref());
        update
            .execute(params![status.as_str(), item.id.to_string()])
            .attempted("store the status of an item")?;
    }
    Ok(())
}
