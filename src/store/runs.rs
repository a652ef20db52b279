//! The projection of runs, and the questions that are asked of many at once.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::error::{Attempted, StoreError};
use crate::clock::rfc3339;
use crate::run::event::{AttemptKind, Event};
use crate::run::{CommitId, Recorded, RunId};
use crate::run::{Run, Status};
use crate::shape::request::RunFilter;
use crate::shape::view::{FailureView, RunView};

const COLUMNS: &str = "id, workflow, mode, issue_id, card_id, kanban_app, prompt, agent, stub_reason, model, branch, \
    worktree_path, base, base_commit, head, pid, status, failure_code, failure_detail, exit_code, session_id, \
    usage_json, cost_usd, limits_json, labels_json, created_at, started_at, ended_at, merged_at, merge_commit, aborted_at";

/// Writes the rows that follow from `run` as it is after `recorded`.
///
/// # Errors
/// A row cannot be written.
pub fn project(connection: &Connection, run: &Run, recorded: &Recorded) -> Result<(), StoreError> {
    row(connection, run, recorded)?;
    match &recorded.event {
        Event::Placed | Event::Restored => {
            connection
                .execute(
                    "INSERT INTO worktrees (run_id, path, branch, base_commit, created_at) VALUES (?, ?, ?, ?, ?)",
                    params![
                        run.id.to_string(),
                        run.worktree_path,
                        run.branch,
                        run.base_commit.as_ref().map(ToString::to_string),
                        rfc3339(recorded.at)
                    ],
                )
                .attempted("store a worktree")?;
        }
        Event::Aborted { .. } | Event::PlaceRemoved { .. } => {
            connection
                .execute(
                    "UPDATE worktrees SET removed_at = ? WHERE run_id = ? AND removed_at IS NULL",
                    params![rfc3339(recorded.at), run.id.to_string()],
                )
                .attempted("store that a worktree is gone")?;
        }
        _ => {}
    }
    super::evidence::project(connection, run, recorded)
}

fn row(connection: &Connection, run: &Run, recorded: &Recorded) -> Result<(), StoreError> {
    let view = RunView::of(run, None);
    // Its place in the queue that it waits in: for a slot, or for its turn to land.
    let queued_seq = match recorded.event {
        Event::AttemptQueued { .. } if run.status() == Status::Queued => Some(recorded.seq),
        Event::MergeQueued { .. } => Some(recorded.seq),
        _ => None,
    };
    connection
        .prepare_cached(
            "INSERT INTO runs (id, workflow, mode, issue_id, card_id, kanban_app, prompt, agent, stub_reason, model, branch, \
             worktree_path, base, base_commit, head, pid, status, failure_code, failure_detail, exit_code, session_id, \
             usage_json, cost_usd, limits_json, labels_json, created_at, started_at, ended_at, merged_at, merge_commit, \
             aborted_at, queued_seq, live, phase, dod_digest, rounds, feedback) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, \
             ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36, ?37) \
             ON CONFLICT (id) DO UPDATE SET model = ?10, base_commit = ?14, head = ?15, pid = ?16, status = ?17, \
             failure_code = ?18, failure_detail = ?19, exit_code = ?20, session_id = ?21, usage_json = ?22, cost_usd = ?23, \
             started_at = ?27, ended_at = ?28, merged_at = ?29, merge_commit = ?30, aborted_at = ?31, \
             queued_seq = coalesce(?32, queued_seq), live = ?33, phase = ?34, dod_digest = ?35, \
             rounds = rounds + ?36, feedback = ?37",
        )
        .attempted("prepare to store a run")?
        .execute(params![
            view.id,
            view.workflow,
            view.mode,
            view.issue_id,
            view.card_id,
            view.kanban_app,
            view.prompt,
            view.agent.as_str(),
            view.stub_reason,
            view.model,
            view.branch,
            view.worktree_path,
            view.base,
            view.base_commit,
            view.head,
            view.pid,
            view.status.as_str(),
            view.failure.as_ref().map(|f| word(&f.code)),
            view.failure.as_ref().map(|f| &f.detail),
            view.exit_code,
            view.session_id,
            view.usage.as_ref().map(word),
            view.cost_usd,
            word(&view.limits),
            word(&view.labels),
            view.created_at,
            view.started_at,
            view.ended_at,
            view.merged_at,
            view.merge_commit,
            view.aborted_at,
            queued_seq,
            run.is_live(),
            run.phase.word(),
            run.definition.as_ref().map(|d| &d.digest),
            matches!(recorded.event, Event::ChecksStarted { .. }),
            run.attempts.iter().filter(|a| matches!(a.why, AttemptKind::Feedback { .. })).count(),
        ])
        .attempted("store a run")?;
    Ok(())
}

/// A value as JSON, and a JSON string as its bare text.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

/// Where a page of the list ended: the keys of its last run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageEnd {
    /// When that run was made.
    pub created_at: String,
    /// Its id.
    pub id: String,
}

/// At most `limit` runs that fit the filter, the newest first, after the end of the page before.
///
/// # Errors
/// The rows cannot be read.
pub fn page(
    connection: &Connection,
    filter: &RunFilter,
    after: Option<&PageEnd>,
    limit: u32,
) -> Result<Vec<RunView>, StoreError> {
    let mut sql = format!("SELECT {COLUMNS} FROM runs WHERE 1");
    let mut with: Vec<Value> = Vec::new();
    if !filter.status.is_empty() {
        sql.push_str(" AND status IN (");
        sql.push_str(&vec!["?"; filter.status.len()].join(", "));
        sql.push(')');
        with.extend(
            filter
                .status
                .iter()
                .map(|s| Value::from(s.as_str().to_owned())),
        );
    }
    if let Some(app) = &filter.app {
        sql.push_str(" AND kanban_app = ?");
        with.push(Value::from(app.clone()));
    }
    if let Some(since) = filter.since {
        sql.push_str(" AND created_at >= ?");
        with.push(Value::from(rfc3339(since)));
    }
    if let Some(end) = after {
        sql.push_str(" AND (created_at, id) < (?, ?)");
        with.push(Value::from(end.created_at.clone()));
        with.push(Value::from(end.id.clone()));
    }
    sql.push_str(" ORDER BY created_at DESC, id DESC LIMIT ?");
    with.push(Value::from(i64::from(limit)));
    let mut statement = connection
        .prepare_cached(&sql)
        .attempted("prepare to list runs")?;
    let rows = statement
        .query_map(params_from_iter(with), view)
        .attempted("list runs")?
        .collect::<Result<Vec<_>, _>>()
        .attempted("list runs")?;
    Ok(rows)
}

fn view(row: &Row<'_>) -> Result<RunView, rusqlite::Error> {
    let id: String = row.get("id")?;
    let failure_code: Option<String> = row.get("failure_code")?;
    let usage: Option<String> = row.get("usage_json")?;
    let limits: String = row.get("limits_json")?;
    let labels: String = row.get("labels_json")?;
    let failure = match failure_code {
        None => None,
        Some(code) => Some(FailureView {
            code: parsed(&format!("\"{code}\""))?,
            detail: row.get("failure_detail")?,
        }),
    };
    Ok(RunView {
        sse_url: format!("/api/runs/{id}/sse"),
        run_id: id.clone(),
        id,
        workflow: row.get("workflow")?,
        mode: row.get("mode")?,
        issue_id: row.get("issue_id")?,
        card_id: row.get("card_id")?,
        kanban_app: row.get("kanban_app")?,
        prompt: row.get("prompt")?,
        agent: parsed(&format!("\"{}\"", row.get::<_, String>("agent")?))?,
        stub_reason: row.get("stub_reason")?,
        model: row.get("model")?,
        branch: row.get("branch")?,
        worktree_path: row.get("worktree_path")?,
        base: row.get("base")?,
        base_commit: row.get("base_commit")?,
        head: row.get("head")?,
        pid: row.get("pid")?,
        status: parsed(&format!("\"{}\"", row.get::<_, String>("status")?))?,
        queue_position: None,
        waits_for: None,
        failure,
        exit_code: row.get("exit_code")?,
        session_id: row.get("session_id")?,
        usage: usage.as_deref().map(parsed).transpose()?,
        cost_usd: row.get("cost_usd")?,
        limits: parsed(&limits)?,
        created_at: row.get("created_at")?,
        started_at: row.get("started_at")?,
        ended_at: row.get("ended_at")?,
        merged_at: row.get("merged_at")?,
        merge_commit: row.get("merge_commit")?,
        aborted_at: row.get("aborted_at")?,
        labels: parsed(&labels)?,
    })
}

fn parsed<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, rusqlite::Error> {
    serde_json::from_str(json).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
    })
}

/// The ids of runs that begin with `prefix`, at most two.
///
/// # Errors
/// The rows cannot be read.
pub fn ids_by_prefix(connection: &Connection, prefix: &str) -> Result<Vec<RunId>, StoreError> {
    // A range instead of LIKE: it uses the primary key, and `prefix` needs no escaping.
    let mut statement = connection
        .prepare_cached("SELECT id FROM runs WHERE id >= ?1 AND id < ?1 || 'g' ORDER BY id LIMIT 2")
        .attempted("prepare to look for a run")?;
    ids(&mut statement, params![prefix])
}

/// The runs that have merged by this commit: one, if the rows are as they should be.
///
/// # Errors
/// The rows cannot be read.
pub fn merged_by(connection: &Connection, commit: &CommitId) -> Result<Vec<RunId>, StoreError> {
    let mut statement = connection
        .prepare("SELECT id FROM runs WHERE merge_commit = ? ORDER BY id")
        .attempted("prepare to look for a merge")?;
    ids(&mut statement, params![commit.as_str()])
}

/// The commit by which this run has merged, if it has.
///
/// # Errors
/// The row cannot be read.
pub fn merge_commit(connection: &Connection, run: RunId) -> Result<Option<CommitId>, StoreError> {
    let found: Option<Option<String>> = connection
        .query_row(
            "SELECT merge_commit FROM runs WHERE id = ?",
            params![run.to_string()],
            |row| row.get(0),
        )
        .optional()
        .attempted("read the merge of a run")?;
    let unreadable = |detail: String| StoreError::Unreadable {
        what: "merge of the run",
        id: run.to_string(),
        detail,
    };
    let commit = found.flatten().map(|text| text.parse());
    commit
        .transpose()
        .map_err(|e: crate::run::ids::NotAnObjectId| unreadable(e.to_string()))
}

/// The runs that somebody must walk on after a start: their phase is one of `phases`. The oldest first.
///
/// # Errors
/// The rows cannot be read.
pub fn ids_by_phase(connection: &Connection, phases: &[&str]) -> Result<Vec<RunId>, StoreError> {
    let marks = vec!["?"; phases.len()].join(", ");
    let mut statement = connection
        .prepare_cached(&format!(
            "SELECT id FROM runs WHERE phase IN ({marks}) ORDER BY created_at, id"
        ))
        .attempted("prepare to look for runs")?;
    ids(&mut statement, params_from_iter(phases))
}

/// The merged runs whose worktree is still recorded as there.
///
/// # Errors
/// The rows cannot be read.
pub fn merged_but_placed(connection: &Connection) -> Result<Vec<RunId>, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT DISTINCT runs.id FROM worktrees JOIN runs ON runs.id = worktrees.run_id \
             WHERE removed_at IS NULL AND phase = 'merged'",
        )
        .attempted("prepare to look for worktrees")?;
    ids(&mut statement, [])
}

/// The runs that wait for a slot, the first in the queue first.
///
/// # Errors
/// The rows cannot be read.
pub fn queue(connection: &Connection) -> Result<Vec<RunId>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT id FROM runs WHERE status = 'queued' ORDER BY queued_seq, id")
        .attempted("prepare to read the queue")?;
    ids(&mut statement, [])
}

/// The runs that wait for their turn to land on this base, or have it: the first in the queue first.
///
/// # Errors
/// The rows cannot be read.
pub fn merge_queue(connection: &Connection, base: &str) -> Result<Vec<RunId>, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT id FROM runs WHERE phase = 'merge_queued' AND base = ? ORDER BY queued_seq, id",
        )
        .attempted("prepare to read the merge queue")?;
    ids(&mut statement, params![base])
}

/// How many runs have each status.
///
/// # Errors
/// The rows cannot be read.
pub fn counts(connection: &Connection) -> Result<Vec<(String, u64)>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT status, count(*) FROM runs GROUP BY status ORDER BY status")
        .attempted("prepare to count runs")?;
    statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .attempted("count runs")?
        .collect::<Result<_, _>>()
        .attempted("count runs")
}

/// The live run for this card or issue, if there is one: `column` is `card_id` or `issue_id`.
///
/// # Errors
/// The row cannot be read.
pub fn live_for(
    connection: &Connection,
    column: &'static str,
    value: &str,
) -> Result<Option<RunId>, StoreError> {
    let found: Option<String> = connection
        .prepare_cached(&format!(
            "SELECT id FROM runs WHERE live = 1 AND {column} = ? ORDER BY created_at LIMIT 1"
        ))
        .attempted("prepare to look for a live run")?
        .query_row(params![value], |row| row.get(0))
        .optional()
        .attempted("look for a live run")?;
    found.map(|id| run_id(&id)).transpose()
}

fn ids(
    statement: &mut rusqlite::Statement<'_>,
    with: impl rusqlite::Params,
) -> Result<Vec<RunId>, StoreError> {
    let texts = statement
        .query_map(with, |row| row.get::<_, String>(0))
        .attempted("read ids of runs")?
        .collect::<Result<Vec<_>, _>>()
        .attempted("read ids of runs")?;
    texts.iter().map(|id| run_id(id)).collect()
}

fn run_id(text: &str) -> Result<RunId, StoreError> {
    text.parse()
        .map_err(|error: uuid::Error| StoreError::Unreadable {
            what: "run",
            id: text.to_owned(),
            detail: error.to_string(),
        })
}
