//! The projection of runs, and the questions that are asked of many at once.

use rusqlite::{Connection, OptionalExtension, params};

use super::error::{Attempted, StoreError};
use crate::clock::rfc3339;
use crate::run::event::{AttemptKind, Event};
use crate::run::{CommitId, Recorded, RunId};
use crate::run::{Run, Status};
use crate::shape::view::RunView;

/// Writes the rows that follow from `run` as it is after `recorded`.
///
/// # Errors
/// A row cannot be written.
pub fn project(connection: &Connection, run: &Run, recorded: &Recorded) -> Result<(), StoreError> {
    row(connection, run, recorded)?;
    match &recorded.event {
        Event::Placed | Event::Restored => {
            connection
                .prepare_cached("INSERT INTO worktrees (run_id, path, branch, base_commit, created_at) VALUES (?, ?, ?, ?, ?)")
                .attempted("prepare to store a worktree")?
                .execute(
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
                .prepare_cached(
                    "UPDATE worktrees SET removed_at = ? WHERE run_id = ? AND removed_at IS NULL",
                )
                .attempted("prepare to store a worktree")?
                .execute(params![rfc3339(recorded.at), run.id.to_string()])
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
             aborted_at, queued_seq, live, phase, dod_digest, rounds, feedback, output_pruned_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, \
             ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36, ?37, ?38) \
             ON CONFLICT (id) DO UPDATE SET model = ?10, base_commit = ?14, head = ?15, pid = ?16, status = ?17, \
             failure_code = ?18, failure_detail = ?19, exit_code = ?20, session_id = ?21, usage_json = ?22, cost_usd = ?23, \
             started_at = ?27, ended_at = ?28, merged_at = ?29, merge_commit = ?30, aborted_at = ?31, \
             queued_seq = coalesce(?32, queued_seq), live = ?33, phase = ?34, dod_digest = ?35, \
             rounds = rounds + ?36, feedback = ?37, output_pruned_at = ?38",
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
            view.output_pruned_at,
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
        .prepare_cached("SELECT id FROM runs WHERE merge_commit = ? ORDER BY id")
        .attempted("prepare to look for a merge")?;
    ids(&mut statement, params![commit.as_str()])
}

/// The commit by which this run has merged, if it has.
///
/// # Errors
/// The row cannot be read.
pub fn merge_commit(connection: &Connection, run: RunId) -> Result<Option<CommitId>, StoreError> {
    let found: Option<Option<String>> = connection
        .prepare_cached("SELECT merge_commit FROM runs WHERE id = ?")
        .attempted("prepare to read the merge of a run")?
        .query_row(params![run.to_string()], |row| row.get(0))
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
    let mut statement = connection
        .prepare_cached("SELECT created_at, id FROM runs WHERE phase = ?")
        .attempted("prepare to look for runs")?;
    let mut found: Vec<(String, String)> = Vec::new();
    for phase in phases {
        let rows = statement
            .query_map(params![phase], |row| Ok((row.get(0)?, row.get(1)?)))
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .attempted("look for runs")?;
        found.extend(rows);
    }
    found.sort();
    found.iter().map(|(_, id)| run_id(id)).collect()
}

/// The merged runs whose worktree is still recorded as there.
///
/// # Errors
/// The rows cannot be read.
pub fn merged_but_placed(connection: &Connection) -> Result<Vec<RunId>, StoreError> {
    // From the few places that are there, not from the many runs that have merged.
    let mut statement = connection
        .prepare_cached(
            "SELECT DISTINCT run_id FROM worktrees INDEXED BY worktrees_there CROSS JOIN runs ON runs.id = run_id \
             WHERE removed_at IS NULL AND phase = 'merged'",
        )
        .attempted("prepare to look for worktrees")?;
    ids(&mut statement, [])
}

/// The runs that wait for a slot, the first in the queue first; at most `limit`.
///
/// # Errors
/// The rows cannot be read.
pub fn queue(connection: &Connection, limit: usize) -> Result<Vec<RunId>, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT id FROM runs INDEXED BY runs_queue WHERE status = 'queued' ORDER BY queued_seq, id LIMIT ?",
        )
        .attempted("prepare to read the queue")?;
    ids(&mut statement, params![limit])
}

/// Where in the queue for a slot this run is: 1 is the first. Nothing if it does not wait in it.
///
/// # Errors
/// The rows cannot be read.
pub fn queue_position(connection: &Connection, run: RunId) -> Result<Option<u64>, StoreError> {
    let positions = queue_positions(connection, &[&run.to_string()])?;
    Ok(positions.into_iter().next().flatten())
}

/// The same of many at once: the queue is counted through at most once.
///
/// # Errors
/// The rows cannot be read.
pub fn queue_positions(
    connection: &Connection,
    runs: &[&str],
) -> Result<Vec<Option<u64>>, StoreError> {
    let mut queued_at = connection
        .prepare_cached("SELECT queued_seq FROM runs WHERE id = ? AND status = 'queued'")
        .attempted("prepare to look into the queue")?;
    let mut in_order = Vec::new();
    for (n, run) in runs.iter().enumerate() {
        let seq: Option<Option<i64>> = queued_at
            .query_row(params![run], |row| row.get(0))
            .optional()
            .attempted("look into the queue")?;
        in_order.extend(seq.flatten().map(|seq| (seq, n)));
    }
    in_order.sort_unstable();
    // Each is queued by an event of its own, so that no two have the same number.
    let mut between = connection
        .prepare_cached(
            "SELECT count(*) FROM runs INDEXED BY runs_queue \
             WHERE status = 'queued' AND queued_seq > ?1 AND queued_seq <= ?2",
        )
        .attempted("prepare to count the queue")?;
    let mut positions = vec![None; runs.len()];
    let (mut counted, mut before) = (0, -1);
    for (seq, n) in in_order {
        counted += between
            .query_row(params![before, seq], |row| row.get::<_, u64>(0))
            .attempted("count the queue")?;
        before = seq;
        positions[n] = Some(counted);
    }
    Ok(positions)
}

/// The runs that wait for their turn to land on this base, or have it: the first in the queue first.
///
/// # Errors
/// The rows cannot be read.
pub fn merge_queue(connection: &Connection, base: &str) -> Result<Vec<RunId>, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT id FROM runs INDEXED BY runs_merge_queue WHERE phase = 'merge_queued' AND base = ? \
             ORDER BY queued_seq, id",
        )
        .attempted("prepare to read the merge queue")?;
    ids(&mut statement, params![base])
}

/// How many runs have each status that some run has.
///
/// # Errors
/// The rows cannot be read.
pub fn counts(connection: &Connection) -> Result<Vec<(String, u64)>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT status, runs FROM run_counts WHERE runs > 0 ORDER BY status")
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
    let sql = match column {
        "card_id" => {
            "SELECT id FROM runs INDEXED BY runs_live_card WHERE live = 1 AND card_id = ? ORDER BY created_at LIMIT 1"
        }
        _ => {
            "SELECT id FROM runs INDEXED BY runs_live_issue WHERE live = 1 AND issue_id = ? ORDER BY created_at LIMIT 1"
        }
    };
    let found: Option<String> = connection
        .prepare_cached(sql)
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
