//! Workflows: a prompt template and a Definition of Done, by name. Two are built in; what is stored goes before them.

use std::collections::BTreeMap;

use super::App;
use super::fields::pointed;
use super::prompt::check_template;
use super::refused::{FieldProblem, Refused};
use super::sparse::bad_folders;
use crate::agent::{self, claude, forbidden_env};
use crate::dod::{ItemSpec, item};
use crate::run::{AgentKind, Limits, feedback};
use crate::shape::request::NewWorkflow;
use crate::shape::view::WorkflowView;
use crate::store::workflows;

/// The most variables of an agent, and the most labels.
pub(super) const ENTRIES_MAX: usize = 64;
/// The longest value of a variable, in bytes: as long as Linux lets one argument be.
const VALUE_MAX: usize = 128 * 1024;

/// The names of the built-in workflows.
pub const BUILT_IN: [&str; 2] = ["auto", "prompt"];

/// When the built-in workflows were written.
const BUILT_IN_SINCE: &str = "2026-11-23T00:00:00.000Z";

/// What every agent of ours is told about where it is.
const HOUSE_RULES: &str = "\
You work alone and unattended in a git worktree of your own, on the branch `{{ branch }}`. Nobody can answer questions: \
decide, and say in your last message what you decided and why.

Commit your work on this branch; what you leave uncommitted is committed for you. Do not push, do not merge, do not \
switch branches, and stay inside this folder.
{% if sparse %}
Of the repository only these folders are checked out, with the files directly in the folders above them: \
{{ sparse | join(\", \") }}. All else is there in git, and is not to be taken for missing.
{% endif %}
It is done when each of these is proven to somebody other than you:
{% for item in dod %}- {{ item.key }}: {{ item.title }}{% if item.required %} (required){% endif %}
{% endfor %}";

const AUTO: &str = "\
{% if issue_id %}Carry out issue {{ issue_id }}{% elif card_id %}Carry out card {{ card_id }}{% else %}Carry out what is \
written below{% endif %}{% if kanban_app %} of the app {{ kanban_app }}{% endif %}.
{% if issue.body %}
--- the issue ---
{{ issue.body }}
--- end of the issue ---
{% endif %}{% if prompt %}
{{ prompt }}
{% endif %}
";

/// The built-in workflow of this name.
#[must_use]
pub fn built_in(name: &str) -> Option<NewWorkflow> {
    // What the repository and the app's page ask for comes to it.
    let review = ItemSpec::of("review", "Somebody has read the change and found it good");
    match name {
        "auto" => Some(NewWorkflow {
            description: "Carry out an issue or a card".to_owned(),
            prompt_template: format!("{AUTO}{HOUSE_RULES}"),
            dod: vec![review],
            ..NewWorkflow::default()
        }),
        "prompt" => Some(NewWorkflow {
            description: "Do what the prompt says".to_owned(),
            prompt_template: format!("{{{{ prompt }}}}\n\n{HOUSE_RULES}"),
            dod: vec![review],
            ..NewWorkflow::default()
        }),
        _ => None,
    }
}

impl App {
    /// All workflows, by name.
    ///
    /// # Errors
    /// The database failed.
    pub async fn workflows(&self) -> Result<Vec<WorkflowView>, Refused> {
        let stored = self.read(workflows::all)?;
        let mut all: Vec<WorkflowView> = stored.into_iter().map(shown).collect();
        for name in BUILT_IN {
            if !all.iter().any(|known| known.name == name) {
                all.extend(built_in(name).map(|workflow| shown_built_in(name, workflow)));
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// The workflow of this name.
    ///
    /// # Errors
    /// There is none, or the database failed.
    pub async fn workflow(&self, name: &str) -> Result<WorkflowView, Refused> {
        match self.read(|db| workflows::by_name(db, name))? {
            Some(stored) => Ok(shown(stored)),
            None => match built_in(name) {
                Some(workflow) => Ok(shown_built_in(name, workflow)),
                None => Err(Refused::NotFound {
                    what: "workflow",
                    id: name.to_owned(),
                }),
            },
        }
    }

    /// Writes a workflow; the first time if the second answer is true.
    ///
    /// # Errors
    /// Something in it cannot be taken, or the database failed.
    pub async fn put_workflow(
        &self,
        name: &str,
        workflow: NewWorkflow,
    ) -> Result<(WorkflowView, bool), Refused> {
        let workflow = checked(name, workflow)?;
        let key = name.to_owned();
        let new = self
            .write(move |db| workflows::put(db, &key, &workflow))
            .await?;
        Ok((self.workflow(name).await?, new && !BUILT_IN.contains(&name)))
    }

    /// Removes a workflow. A built-in one that was changed is then as it was.
    ///
    /// # Errors
    /// There is none, it is built in and unchanged, or the database failed.
    pub async fn delete_workflow(&self, name: &str) -> Result<(), Refused> {
        let key = name.to_owned();
        if self.write(move |db| workflows::delete(db, &key)).await? {
            return Ok(());
        }
        if BUILT_IN.contains(&name) {
            return Err(Refused::Workflow(format!(
                "`{name}` is built in and as it was; PUT one of that name to change it"
            )));
        }
        Err(Refused::NotFound {
            what: "workflow",
            id: name.to_owned(),
        })
    }
}

fn shown(stored: workflows::Stored) -> WorkflowView {
    WorkflowView {
        built_in: BUILT_IN.contains(&stored.name.as_str()),
        name: stored.name,
        workflow: stored.workflow,
        created_at: stored.created_at,
        updated_at: stored.updated_at,
    }
}

fn shown_built_in(name: &str, workflow: NewWorkflow) -> WorkflowView {
    WorkflowView {
        name: name.to_owned(),
        workflow,
        built_in: true,
        created_at: BUILT_IN_SINCE.to_owned(),
        updated_at: BUILT_IN_SINCE.to_owned(),
    }
}

fn checked(name: &str, mut workflow: NewWorkflow) -> Result<NewWorkflow, Refused> {
    let mut bad = Vec::new();
    if !item::is_key(name) {
        bad.push(FieldProblem::new(
            "",
            "the name of a workflow is 1 to 64 letters, digits, `-`, `_` or `.`",
        ));
    }
    if let Err(error) = check_template(&workflow.prompt_template) {
        bad.push(FieldProblem::new("/prompt_template", error));
    }
    match item::checked(workflow.dod.clone()) {
        Ok(items) => workflow.dod = items,
        Err(items) => bad.extend(
            items
                .into_iter()
                .map(|item| FieldProblem::new(format!("/dod{}", item.pointer), item.detail)),
        ),
    }
    if workflow.agent == Some(AgentKind::Command)
        && workflow.settings.command.as_ref().is_none_or(Vec::is_empty)
    {
        bad.push(FieldProblem::new(
            "/settings/command",
            "the agent `command` needs a program and its arguments",
        ));
    }
    if workflow
        .settings
        .feedback
        .is_some_and(|n| n > feedback::MOST)
    {
        let detail = format!("must be at most {}; 0 for never", feedback::MOST);
        bad.push(FieldProblem::new("/settings/feedback", detail));
    }
    bad.extend(bad_folders(&workflow.settings));
    // Its other refusals are of runs, not of settings.
    if let Err(refused @ agent::Refused::Setting { setting, .. }) =
        claude::of_settings(&workflow.settings)
    {
        let pointer = format!("/settings/{setting}");
        bad.push(FieldProblem::new(pointer, refused.to_string()));
    }
    bad.extend(bad_env(&workflow.env));
    bad.extend(bad_limits(&workflow.limits, workflow.agent));
    if bad.is_empty() {
        Ok(workflow)
    } else {
        Err(Refused::Invalid(bad))
    }
}

/// The variables that an agent cannot be given.
pub(super) fn bad_env(env: &BTreeMap<String, String>) -> Vec<FieldProblem> {
    let mut bad = Vec::new();
    for (name, value) in env {
        let pointer = format!("/env/{}", pointed(name));
        if let Some(why) = forbidden_env(name) {
            bad.push(FieldProblem::new(pointer, why));
        } else if value.contains('\0') || value.len() > VALUE_MAX {
            bad.push(FieldProblem::new(
                pointer,
                "the value must be at most 128 KiB, with no byte 0",
            ));
        }
    }
    if env.len() > ENTRIES_MAX {
        bad.push(FieldProblem::new(
            "/env",
            format!("at most {ENTRIES_MAX} entries"),
        ));
    }
    bad
}

/// The limits that cannot be held. An agent that tells neither cost nor turns cannot be held to them, and a limit
/// that does nothing is not taken.
pub(super) fn bad_limits(limits: &Limits, agent: Option<AgentKind>) -> Vec<FieldProblem> {
    let mut bad = Vec::new();
    let seconds = (1, Limits::SECONDS_MAX);
    let wide = |(least, most): (u32, u32)| (least.into(), most.into());
    let turns = limits.max_turns.map(u64::from);
    let whole: [(_, Option<u64>, (u64, u64)); 7] = [
        ("timeout_s", limits.timeout_s, seconds),
        ("idle_timeout_s", limits.idle_timeout_s, seconds),
        ("max_turns", turns, wide((1, Limits::COUNT_MAX))),
        (
            "max_output_bytes",
            limits.max_output_bytes,
            (1, Limits::OUTPUT_MAX),
        ),
        ("max_memory_bytes", limits.max_memory_bytes, Limits::MEMORY),
        (
            "max_tasks",
            limits.max_tasks.map(u64::from),
            wide(Limits::TASKS),
        ),
        (
            "cpu_weight",
            limits.cpu_weight.map(u64::from),
            wide(Limits::WEIGHT),
        ),
    ];
    for (field, asked, (least, most)) in whole {
        if asked.is_some_and(|asked| !(least..=most).contains(&asked)) {
            bad.push(FieldProblem::new(
                format!("/limits/{field}"),
                format!("must be from {least} to {most}"),
            ));
        }
    }
    let most = f64::from(Limits::COUNT_MAX);
    if limits
        .max_cost_usd
        .is_some_and(|usd| !(usd > 0.0 && usd <= most))
    {
        bad.push(FieldProblem::new(
            "/limits/max_cost_usd",
            format!("must be more than 0 and at most {most}"),
        ));
    }
    if agent == Some(AgentKind::Command) {
        for (field, asked) in [
            ("max_cost_usd", limits.max_cost_usd.is_some()),
            ("max_turns", limits.max_turns.is_some()),
        ] {
            if asked {
                bad.push(FieldProblem::new(
                    format!("/limits/{field}"),
                    "the agent `command` does not tell it, so the limit cannot be held; use `timeout_s`",
                ));
            }
        }
    }
    bad
}
