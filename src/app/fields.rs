//! The fields of a request for a run, each looked at by itself.

use super::refused::FieldProblem;
use super::workflows::{ENTRIES_MAX, bad_env, bad_limits};
use crate::run::AgentKind;
use crate::shape::request::{NewRun, NewWorkflow};

/// The longest id of an issue, card or app, and the longest label.
const NAME_MAX: usize = 200;
/// The longest prompt, in bytes.
pub(super) const PROMPT_MAX: usize = 1024 * 1024;

/// What the built-in workflows cannot do without.
pub(super) fn lacking(workflow: &str, request: &NewRun) -> Option<FieldProblem> {
    let has_prompt = request
        .prompt
        .as_ref()
        .is_some_and(|p| !p.trim().is_empty());
    match workflow {
        "prompt" if !has_prompt => Some(FieldProblem::new(
            "/prompt",
            "the mode `prompt` needs a prompt: say what to do",
        )),
        "auto" if !has_prompt && request.issue_id.is_none() && request.card_id.is_none() => {
            Some(FieldProblem::new(
                "/issue_id",
                "the mode `auto` needs an `issue_id`, a `card_id` or a `prompt`",
            ))
        }
        _ => None,
    }
}

/// What of the request cannot be taken.
pub(super) fn bad_fields(
    request: &NewRun,
    workflow: &NewWorkflow,
    agent: AgentKind,
) -> Vec<FieldProblem> {
    let mut bad = Vec::new();
    for (pointer, value) in [
        ("/issue_id", &request.issue_id),
        ("/card_id", &request.card_id),
        ("/kanban_app", &request.kanban_app),
        ("/model", &request.model),
    ] {
        if let Some(value) = value
            && (value.trim().is_empty()
                || value.chars().count() > NAME_MAX
                || value.chars().any(char::is_control))
        {
            bad.push(FieldProblem::new(
                pointer,
                format!("must be 1 to {NAME_MAX} characters, none of them a control character"),
            ));
        }
    }
    if request
        .model
        .as_ref()
        .is_some_and(|model| model.starts_with('-'))
    {
        bad.push(FieldProblem::new("/model", "must not begin with `-`"));
    }
    if request
        .prompt
        .as_ref()
        .is_some_and(|p| p.len() > PROMPT_MAX || p.contains('\0'))
    {
        bad.push(FieldProblem::new(
            "/prompt",
            format!("must be at most {PROMPT_MAX} bytes, none of them 0"),
        ));
    }
    if agent == AgentKind::Command && workflow.settings.command.as_ref().is_none_or(Vec::is_empty) {
        bad.push(FieldProblem::new(
            "/agent",
            "the agent `command` needs a workflow whose `settings.command` names the program",
        ));
    }
    bad.extend(bad_limits(&request.limits, Some(agent)));
    bad.extend(bad_env(&request.env));
    for (name, value) in &request.labels {
        if name.is_empty() || name.chars().count() > NAME_MAX || value.chars().count() > NAME_MAX {
            bad.push(FieldProblem::new(
                format!("/labels/{}", pointed(name)),
                format!("a label's name and value have at most {NAME_MAX} characters"),
            ));
        }
    }
    if request.labels.len() > ENTRIES_MAX {
        bad.push(FieldProblem::new(
            "/labels",
            format!("at most {ENTRIES_MAX} entries"),
        ));
    }
    bad
}

/// A key as a part of a JSON pointer (RFC 6901).
pub(super) fn pointed(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
