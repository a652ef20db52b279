//! Workflows that were added or changed. The built-in ones are in the program, not here.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::error::{Attempted, StoreError};
use crate::clock;
use crate::dod::ItemSpec;
use crate::shape::request::NewWorkflow;

/// A workflow with its times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// Its name.
    pub name: String,
    /// What it says.
    pub workflow: NewWorkflow,
    /// When it was made.
    pub created_at: String,
    /// When it was changed last.
    pub updated_at: String,
}

/// The form of `dod_schema_json`.
#[derive(Serialize, Deserialize)]
struct Dod {
    items: Vec<ItemSpec>,
}

/// All of them, by name.
///
/// # Errors
/// The rows cannot be read.
pub fn all(connection: &Connection) -> Result<Vec<Stored>, StoreError> {
    let mut statement = connection
        .prepare_cached(&format!("{SELECT} ORDER BY name"))
        .attempted("prepare to read workflows")?;
    let rows = statement
        .query_map([], raw)
        .attempted("read workflows")?
        .collect::<Result<Vec<_>, _>>()
        .attempted("read workflows")?;
    rows.into_iter().map(stored).collect()
}

/// The one of this name.
///
/// # Errors
/// The row cannot be read.
pub fn by_name(connection: &Connection, name: &str) -> Result<Option<Stored>, StoreError> {
    connection
        .query_row(&format!("{SELECT} WHERE name = ?"), params![name], raw)
        .optional()
        .attempted("read a workflow")?
        .map(stored)
        .transpose()
}

/// Writes a workflow; the first time if the answer is true.
///
/// # Errors
/// The row cannot be written.
pub fn put(
    connection: &Connection,
    name: &str,
    workflow: &NewWorkflow,
) -> Result<bool, StoreError> {
    let known = by_name(connection, name)?.is_some();
    let now = clock::rfc3339(clock::now());
    write(connection, name, workflow, &now, &now)?;
    Ok(!known)
}

/// Writes a workflow of another database, with its times.
///
/// # Errors
/// The row cannot be written.
pub fn carry(connection: &Connection, stored: &Stored) -> Result<(), StoreError> {
    let Stored {
        name,
        workflow,
        created_at,
        updated_at,
    } = stored;
    write(connection, name, workflow, created_at, updated_at)
}

fn write(
    connection: &Connection,
    name: &str,
    workflow: &NewWorkflow,
    created_at: &str,
    updated_at: &str,
) -> Result<(), StoreError> {
    let json = |value: Result<String, serde_json::Error>| {
        value.map_err(|error| StoreError::Unreadable {
            what: "workflow",
            id: name.to_owned(),
            detail: error.to_string(),
        })
    };
    let dod = json(serde_json::to_string(&Dod {
        items: workflow.dod.clone(),
    }))?;
    let settings = json(serde_json::to_string(&NewWorkflow {
        dod: Vec::new(),
        prompt_template: String::new(),
        description: String::new(),
        ..workflow.clone()
    }))?;
    connection
        .prepare_cached("INSERT INTO workflows (name, description, prompt_template, dod_schema_json, settings_json, created_at, updated_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (name) DO UPDATE SET description = ?2, prompt_template = ?3, \
             dod_schema_json = ?4, settings_json = ?5, updated_at = ?7")
        .attempted("prepare a statement")?
        .execute(
            params![
                name,
                workflow.description,
                workflow.prompt_template,
                dod,
                settings,
                created_at,
                updated_at
            ],
        )
        .attempted("store a workflow")?;
    Ok(())
}

/// Removes a workflow; whether there was one.
///
/// # Errors
/// The row cannot be removed.
pub fn delete(connection: &Connection, name: &str) -> Result<bool, StoreError> {
    connection
        .prepare_cached("DELETE FROM workflows WHERE name = ?")
        .attempted("prepare a statement")?
        .execute(params![name])
        .map(|n| n > 0)
        .attempted("remove a workflow")
}

const SELECT: &str = "SELECT name, description, prompt_template, dod_schema_json, settings_json, created_at, updated_at \
    FROM workflows";

fn raw(row: &Row<'_>) -> Result<[String; 7], rusqlite::Error> {
    Ok([
        row.get(0)?,
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        row.get(4)?,
        row.get(5)?,
        row.get(6)?,
    ])
}

fn stored(
    [
        name,
        description,
        prompt_template,
        dod,
        settings,
        created_at,
        updated_at,
    ]: [String; 7],
) -> Result<Stored, StoreError> {
    let unreadable = |error: serde_json::Error| StoreError::Unreadable {
        what: "workflow",
        id: name.clone(),
        detail: error.to_string(),
    };
    let settings: NewWorkflow = match settings.as_str() {
        "{}" => NewWorkflow::default(),
        json => serde_json::from_str(json).map_err(unreadable)?,
    };
    let dod: Dod = serde_json::from_str(&dod).map_err(unreadable)?;
    Ok(Stored {
        name: name.clone(),
        workflow: NewWorkflow {
            description,
            prompt_template,
            dod: dod.items,
            ..settings
        },
        created_at,
        updated_at,
    })
}
