//! The list of runs, a page at a time: keysets over indexed columns.
//!
//! A page begins behind the keys of the last run of the one before, so a deep page costs what the first one does, and
//! runs that are made meanwhile move nothing. Several statuses are as many keysets, merged in their order: no run is read
//! that is not on the page.

use rusqlite::types::{Type, Value};
use rusqlite::{Connection, Row, params_from_iter};

use super::error::{Attempted, StoreError};
use crate::clock::rfc3339;
use crate::shape::request::RunFilter;
use crate::shape::view::{FailureView, RunView};

/// Where a page of the list ended: the keys of its last run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageEnd {
    /// When that run was made.
    pub created_at: String,
    /// Its id.
    pub id: String,
}

impl PageEnd {
    /// Behind it is the newest run: later than any moment as it is written.
    fn before_the_first() -> PageEnd {
        PageEnd {
            created_at: "~".to_owned(),
            id: String::new(),
        }
    }
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
    let end = after.cloned().unwrap_or_else(PageEnd::before_the_first);
    let mut statuses: Vec<&str> = filter.status.iter().map(|status| status.as_str()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    let mut with = vec![
        Value::from(filter.since.map(rfc3339).unwrap_or_default()),
        Value::from(end.created_at),
        Value::from(end.id),
        Value::from(i64::from(limit)),
        filter.app.clone().map_or(Value::Null, Value::from),
    ];
    with.extend(statuses.iter().map(|word| Value::from((*word).to_owned())));
    // The numbers of those that are not named in a statement count too, up to the highest that is.
    let sql = sql(statuses.len(), filter.app.is_some());
    let mut statement = connection
        .prepare_cached(&sql)
        .attempted("prepare to list runs")?;
    with.truncate(statement.parameter_count());
    statement
        .query_map(params_from_iter(with), view)
        .attempted("list runs")?
        .collect::<Result<_, _>>()
        .attempted("list runs")
}

/// The statement for so many statuses (none are all), of one app or of all.
#[must_use]
pub fn sql(statuses: usize, of_app: bool) -> String {
    let keyset = |status: Option<usize>| {
        let app = if of_app { "kanban_app = ?5 AND " } else { "" };
        let status = status.map_or_else(String::new, |n| format!("status = ?{} AND ", n + 6));
        format!(
            "SELECT {COLUMNS} FROM runs WHERE {app}{status}created_at >= ?1 AND (created_at, id) < (?2, ?3)"
        )
    };
    let keysets: Vec<String> = match statuses {
        0 => vec![keyset(None)],
        n => (0..n).map(|status| keyset(Some(status))).collect(),
    };
    format!(
        "{} ORDER BY created_at DESC, id DESC LIMIT ?4",
        keysets.join(" UNION ALL ")
    )
}

const COLUMNS: &str = "id, workflow, mode, issue_id, card_id, kanban_app, prompt, agent, stub_reason, model, branch, \
    worktree_path, base, base_commit, head, pid, status, failure_code, failure_detail, exit_code, session_id, \
    usage_json, cost_usd, limits_json, labels_json, created_at, started_at, ended_at, merged_at, merge_commit, aborted_at, \
    output_pruned_at";

/// A row of these columns, by their places: to look a name up in each row costs more than to read it.
fn view(row: &Row<'_>) -> Result<RunView, rusqlite::Error> {
    let id: String = row.get(0)?;
    let failure = match row.get_ref(17)?.as_str_or_null()? {
        None => None,
        Some(code) => Some(FailureView {
            code: word(17, code)?,
            detail: row.get(18)?,
        }),
    };
    Ok(RunView {
        sse_url: format!("/api/runs/{id}/sse"),
        run_id: id.clone(),
        id,
        workflow: row.get(1)?,
        mode: row.get(2)?,
        issue_id: row.get(3)?,
        card_id: row.get(4)?,
        kanban_app: row.get(5)?,
        prompt: row.get(6)?,
        agent: word(7, row.get_ref(7)?.as_str()?)?,
        stub_reason: row.get(8)?,
        model: row.get(9)?,
        branch: row.get(10)?,
        worktree_path: row.get(11)?,
        base: row.get(12)?,
        base_commit: row.get(13)?,
        head: row.get(14)?,
        pid: row.get(15)?,
        status: word(16, row.get_ref(16)?.as_str()?)?,
        queue_position: None,
        waits_for: None,
        failure,
        exit_code: row.get(19)?,
        session_id: row.get(20)?,
        usage: match row.get_ref(21)?.as_str_or_null()? {
            None => None,
            Some(json) => Some(parsed(21, json)?),
        },
        cost_usd: row.get(22)?,
        limits: parsed(23, row.get_ref(23)?.as_str()?)?,
        created_at: row.get(25)?,
        started_at: row.get(26)?,
        ended_at: row.get(27)?,
        merged_at: row.get(28)?,
        merge_commit: row.get(29)?,
        aborted_at: row.get(30)?,
        output_pruned_at: row.get(31)?,
        labels: parsed(24, row.get_ref(24)?.as_str()?)?,
    })
}

fn parsed<T: serde::de::DeserializeOwned>(column: usize, json: &str) -> Result<T, rusqlite::Error> {
    serde_json::from_str(json).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
    })
}

/// One of the words of an enumeration.
fn word<T: serde::de::DeserializeOwned>(column: usize, word: &str) -> Result<T, rusqlite::Error> {
    use serde::de::IntoDeserializer as _;
    use serde::de::value::{Error, StrDeserializer};
    let word: StrDeserializer<'_, Error> = word.into_deserializer();
    T::deserialize(word).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
    })
}
