//! What can be asked for.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use super::object::{object, objects};
use crate::dod::{Author, EvidenceKind, ItemSpec};
use crate::run::Status;
use crate::run::{AgentKind, AgentSettings, Limits};

/// A request for a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRun {
    /// The name of a workflow: `auto`, `prompt`, or one of your own.
    #[schema(example = "prompt")]
    pub mode: String,
    /// The issue to carry out.
    #[serde(default)]
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
    )]
    pub issue_id: Option<String>,
    /// The card to carry out.
    #[serde(default)]
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
    )]
    pub card_id: Option<String>,
    /// The board's application that the card belongs to.
    #[serde(default)]
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
    )]
    pub kanban_app: Option<String>,
    /// What to do, in words; at most 1 MiB. Needed by `prompt`.
    #[serde(default)]
    #[schema(
        max_length = 1_048_576,
        pattern = r"^[^\u0000]*$",
        example = "Add a test for the empty list"
    )]
    pub prompt: Option<String>,
    /// The workflow, if it is another one than `mode` names.
    #[serde(default)]
    pub workflow: Option<String>,
    /// The agent, if it is another one than the workflow's.
    #[serde(default)]
    pub agent: Option<AgentKind>,
    /// The model, as the agent names it.
    #[serde(default)]
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
    )]
    pub model: Option<String>,
    /// The branch to start from and to land on, if it is another one than the server's.
    #[serde(default)]
    pub base: Option<String>,
    /// The folders that the worktree has, with the files directly in the folders above them; all for an empty list, the
    /// workflow's if absent. `{kanban_app}` stands for the app.
    #[serde(default)]
    #[schema(max_items = 100)]
    pub sparse: Option<Vec<String>>,
    /// More items for the Definition of Done; one with a known key takes its place.
    #[serde(default, deserialize_with = "objects")]
    #[schema(max_items = 100)]
    pub dod: Vec<ItemSpec>,
    /// Limits, where they are others than the workflow's.
    #[serde(default, deserialize_with = "object")]
    pub limits: Limits,
    /// More environment for the agent.
    #[serde(default)]
    #[schema(schema_with = variables)]
    pub env: BTreeMap<String, String>,
    /// Your own words for this run.
    #[serde(default)]
    #[schema(schema_with = labels)]
    pub labels: BTreeMap<String, String>,
    /// Whether another live run for the same card or issue is all right.
    #[serde(default)]
    pub allow_parallel: bool,
}

/// Variables of an agent; some more names are refused in words.
fn variables() -> Object {
    let name = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[A-Za-z_][A-Za-z0-9_]*$"));
    let value = ObjectBuilder::new()
        .schema_type(Type::String)
        .max_length(Some(128 * 1024))
        .pattern(Some(r"^[^\u0000]*$"));
    ObjectBuilder::new()
        .property_names(Some(name))
        .additional_properties(Some(value))
        .max_properties(Some(64))
        .description(Some("More environment for the agent."))
        .into()
}

fn labels() -> Object {
    let text = || {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .max_length(Some(200))
    };
    ObjectBuilder::new()
        .property_names(Some(text().min_length(Some(1))))
        .additional_properties(Some(text()))
        .max_properties(Some(64))
        .description(Some("Your own words for this run."))
        .into()
}

/// Whether nobody can read anything in this: nothing, spaces, control characters.
#[must_use]
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || c.is_control())
}

/// Evidence, in words or by its path or address: exactly one payload.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEvidence {
    /// The item, by its id.
    #[serde(default)]
    pub item_id: Option<String>,
    /// The item, by its key; an unknown key makes an item that is not required.
    #[serde(default)]
    #[schema(example = "review")]
    pub item_key: Option<String>,
    /// `text`, `file` or `url`; must fit the payload. Derived from it if absent.
    #[serde(default)]
    #[schema(value_type = Option<EvidenceKind>)]
    pub kind: Option<String>,
    /// A regular file inside the worktree, absolute or from the worktree's root.
    #[serde(default)]
    pub payload_path: Option<String>,
    /// An http or https address; kept, never fetched.
    #[serde(default)]
    pub payload_url: Option<String>,
    /// Words; at most 1 MiB.
    #[serde(default)]
    #[schema(example = "12 passed")]
    pub payload_text: Option<String>,
    /// Who brings it: `agent` or `operator`; `operator` if absent.
    #[serde(default)]
    pub author: Option<Author>,
    /// The name of who brings it: nobody of this name can validate it. 1 to 200 characters.
    #[serde(default)]
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
    )]
    pub attached_by: Option<String>,
}

/// A file that came with the request (multipart), already on disk.
#[derive(Debug)]
pub struct Upload {
    /// Its name, as the client told it.
    pub file_name: String,
    /// Its media type, as the client told it.
    pub media_type: Option<String>,
    /// Where it lies for now; removed when dropped by the caller.
    pub path: std::path::PathBuf,
}

/// Which runs to list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunFilter {
    /// Of these statuses; all if empty.
    pub status: Vec<Status>,
    /// Of this `kanban_app`.
    pub app: Option<String>,
    /// Made at or after this time.
    pub since: Option<Timestamp>,
}

/// Which runs are counted: those that fit all of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StatsFilter {
    /// Made at or after.
    pub since: Option<Timestamp>,
    /// Of this `kanban_app`.
    pub app: Option<String>,
    /// Of this workflow.
    pub workflow: Option<String>,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct PageRequest {
    /// From the `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// How many; 1 to 500.
    pub limit: u32,
}

/// How to merge.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MergeRequest {
    /// The first lines of the merge commit's message, if they are to be others than ours; not blank.
    #[schema(
        min_length = 1,
        max_length = 65_536,
        pattern = r"^[^\u0000]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000]*$"
    )]
    pub message: Option<String>,
    /// Only say whether it would merge.
    pub dry_run: bool,
    /// Seconds to wait for the end of a merge that has to wait for its turn or for checks; 0, at once, if absent.
    #[schema(minimum = 0, maximum = 86_400)]
    pub wait_s: Option<f64>,
}

/// Which checks to run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CheckRequest {
    /// The items, by key or id; all that have a check and apply to the work, if absent.
    #[schema(min_items = 1, max_items = 100)]
    pub items: Option<Vec<String>>,
    /// Whether passes that are known already are not good enough.
    pub afresh: bool,
}

/// An agent that is about to end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ending {
    /// The attempt that it is, from its `AGENT_RUNNER_ATTEMPT_ID`.
    pub attempt_id: String,
    /// Whether it goes on only because it was sent back before.
    #[serde(default)]
    pub stop_hook_active: bool,
}

/// How to mend what the doctor finds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FixRequest {
    /// Only say what would be mended.
    pub dry_run: bool,
}

/// How to let go of what is past its time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GcRequest {
    /// Only say what would go.
    pub dry_run: bool,
}

/// A workflow, as it is written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWorkflow {
    /// One line about it.
    #[serde(default)]
    pub description: String,
    /// The prompt, as a minijinja template. It sees `issue_id, card_id, kanban_app, prompt, issue.body, branch, dod, sparse`.
    #[schema(example = "{{ prompt }}")]
    pub prompt_template: String,
    /// The items of its Definition of Done.
    #[serde(default, deserialize_with = "objects")]
    #[schema(max_items = 100)]
    pub dod: Vec<ItemSpec>,
    /// Its agent.
    #[serde(default)]
    pub agent: Option<AgentKind>,
    /// Its model.
    #[serde(default)]
    pub model: Option<String>,
    /// Its limits.
    #[serde(default, deserialize_with = "object")]
    pub limits: Limits,
    /// More environment for the agent.
    #[serde(default)]
    #[schema(schema_with = variables)]
    pub env: BTreeMap<String, String>,
    /// How the agent is started.
    #[serde(default, deserialize_with = "object")]
    pub settings: AgentSettings,
}
