//! The story, call by call. Each step says what happens and shows the call that a client would make.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use ureq::http::Method;

use super::stage::BASE;
use crate::cli::error::CliError;
use crate::cli::follow::Follow;
use crate::cli::screen::{self, BAD, BOLD, FAINT, GOOD, escape_line, id, styled, words};
use crate::cli::wire::{Answer, Client};
use crate::git::{RefName, Repository};

/// What the agent is asked for.
const PROMPT: &str = "Let greet.sh greet by name.";

/// Who accepts the evidence.
const VALIDATOR: &str = "demo";

/// What the story needs of the stage.
pub struct Props {
    /// Where everything is.
    pub folder: PathBuf,
    /// The script that is the agent.
    pub agent: PathBuf,
    /// The repository.
    pub repository: Arc<Repository>,
    /// The service.
    pub client: Client,
}

/// Tells it, from the request to the merge. Blocks; `git` waits with `runtime`.
pub fn tell(props: Props, runtime: &Handle) -> Result<(), CliError> {
    let mut story = Story { props, steps: 0 };
    story.introduce()?;
    story.make_workflow()?;
    let run = story.ask_for_run()?;
    story.watch(&run)?;
    story.try_to_merge(&run)?;
    story.attach_evidence(&run)?;
    story.validate(&run)?;
    story.merge(&run, runtime)
}

struct Story {
    props: Props,
    steps: u32,
}

impl Story {
    fn introduce(&mut self) -> Result<(), CliError> {
        screen::line(format!(
            "A run from request to merge, in {}",
            self.props.folder.display()
        ))?;
        self.step(
            "A repository with a script, its test and one commit; and the service beside it",
        )?;
        called(
            "agent_runner_api --port 0 --repo-root repository --worktrees-root worktrees --db runs.db",
        )?;
        indented(&format!("listening on {}", self.props.client.server()))
    }

    fn make_workflow(&mut self) -> Result<(), CliError> {
        self.step("A workflow: its agent is a script here, and what done means is written down")?;
        let body = json!({
            "description": "Do what the prompt says, by a script",
            "prompt_template": "{{ prompt }}\n",
            "agent": "command",
            "settings": {"command": ["/bin/sh", self.props.agent]},
            "dod": [
                {"key": "tests", "title": "The repository's test passes", "check": {"cmd": "sh test.sh", "timeout_s": 60}},
                {"key": "notes", "title": "A note says what changed", "accepts": ["file"]},
            ],
        });
        self.call(Method::PUT, "/api/workflows/demo", &body, "")?;
        indented("tests (required): The repository's test passes; the service runs `sh test.sh`")?;
        indented("notes (required): A note says what changed")
    }

    /// The run, as the service answered it.
    fn ask_for_run(&mut self) -> Result<Value, CliError> {
        self.step(
            "A run is asked for: it gets a worktree and a branch of its own, and its agent starts",
        )?;
        let body = json!({"mode": "demo", "prompt": PROMPT});
        let shown = format!(r#"{{"mode": "demo", "prompt": "{PROMPT}"}}"#);
        let run = self.call(Method::POST, "/api/runs", &body, &shown)?.value;
        for field in ["run_id", "branch", "worktree_path"] {
            indented(&format!("{field:<14} {}", words(&run, field)))?;
        }
        Ok(run)
    }

    fn watch(&mut self, run: &Value) -> Result<(), CliError> {
        self.step("It is watched while it works, and ends; then the service runs the check, in a clean checkout of the commit")?;
        called(&format!("GET /api/runs/{}/sse", brief(run)))?;
        Follow::replay(&self.props.client, &id(run), false)?.show_to_the_end()
    }

    fn try_to_merge(&mut self, run: &Value) -> Result<(), CliError> {
        self.step(
            "Its agent says that it is done. That is no proof: the gate is shut, and says why",
        )?;
        let path = format!("/api/runs/{}/merge", id(run));
        called(&format!("POST /api/runs/{}/merge", brief(run)))?;
        match self.props.client.send(Method::POST, &path, &json!({})) {
            Err(CliError::Refused(problem)) if problem.code() == Some("gate_closed") => {
                answered(styled(BAD, problem.status))?;
                for blocker in problem.document["blockers"]
                    .as_array()
                    .into_iter()
                    .flatten()
                {
                    let (code, detail) = (words(blocker, "code"), words(blocker, "detail"));
                    indented(&format!("{code}: {detail}"))?;
                }
                Ok(())
            }
            Err(other) => Err(other),
            Ok(_) => Err(anyhow!("the gate let a run through that nothing proves").into()),
        }
    }

    fn attach_evidence(&mut self, run: &Value) -> Result<(), CliError> {
        self.step("Evidence of what no check can tell, bound to the commit: the note")?;
        let path = format!("/api/runs/{}/evidence", id(run));
        let body = json!({"item_key": "notes", "kind": "file", "payload_path": "NOTES.md"});
        let shown = r#"{"item_key": "notes", "payload_path": "NOTES.md"}"#;
        self.call(Method::POST, &path, &body, shown)?;
        Ok(())
    }

    fn validate(&mut self, run: &Value) -> Result<(), CliError> {
        self.step("Somebody else than its author accepts it, and what the agent has changed of its own test; the gate is open")?;
        let detail = self.fetch(&format!("/api/runs/{}", id(run)))?;
        for item in detail["dod_items"].as_array().into_iter().flatten() {
            indented(&format!(
                "{}: {}",
                words(item, "item_key"),
                words(item, "status")
            ))?;
        }
        for evidence in open_evidence(&detail) {
            let path = format!("/api/runs/{}/evidence/{evidence}/validate", id(run));
            let body = json!({"validated_by": VALIDATOR});
            self.call(Method::POST, &path, &body, &body.to_string())?;
        }
        let gate = self.fetch(&format!("/api/runs/{}/gate", id(run)))?;
        indented(&format!(
            "open: {}, blockers: {}",
            gate["open"], gate["blockers"]
        ))
    }

    fn merge(&mut self, run: &Value, runtime: &Handle) -> Result<(), CliError> {
        self.step("It merges: exactly the commit that was proven")?;
        let path = format!("/api/runs/{}/merge", id(run));
        let merged = self.call(Method::POST, &path, &json!({}), "")?.value;
        let commit = words(&merged, "commit");
        indented(&format!("{} as {commit}", words(&merged, "status")))?;
        called(&format!("git log --graph --oneline {BASE}"))?;
        let base = RefName::branch(BASE).map_err(anyhow::Error::new)?;
        let graph = runtime.block_on(self.props.repository.history_graph(&base));
        graph
            .map_err(anyhow::Error::new)?
            .lines()
            .try_for_each(indented)?;
        screen::line("")
    }

    fn step(&mut self, what: &str) -> Result<(), CliError> {
        self.steps += 1;
        screen::line(format!(
            "\n{}",
            styled(BOLD, format!("{}. {what}", self.steps))
        ))
    }

    fn fetch(&self, path: &str) -> Result<Value, CliError> {
        called(&format!("GET {}", shortened(path)))?;
        let answer = self.props.client.fetch(path)?;
        answered(styled(GOOD, answer.status))?;
        Ok(answer.value)
    }

    fn call(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        shown: &str,
    ) -> Result<Answer, CliError> {
        called(format!("{method} {} {shown}", shortened(path)).trim_end())?;
        let answer = self.props.client.send(method, path, body)?;
        answered(styled(GOOD, answer.status))?;
        Ok(answer)
    }
}

/// What was called, as a person would write it.
fn called(what: &str) -> Result<(), CliError> {
    screen::line(styled(FAINT, format!("   > {what}")))
}

fn answered(status: String) -> Result<(), CliError> {
    screen::line(format!("   < {status}"))
}

fn indented(line: &str) -> Result<(), CliError> {
    screen::line(format!("     {}", escape_line(line.trim_end())))
}

/// The ids of the evidence that waits for somebody.
fn open_evidence(detail: &Value) -> Vec<String> {
    let items = detail["dod_items"].as_array().into_iter().flatten();
    let done = items.filter(|item| item["status"] == "done");
    done.filter_map(|item| Some(words(item["evidence"].as_array()?.last()?, "evidence_id")))
        .collect()
}

/// The end of a run's id, by which a reader tells it apart.
fn brief(run: &Value) -> String {
    shortened(&id(run))
}

/// A path with its ids cut to where they are still told apart.
fn shortened(path: &str) -> String {
    let part = |part: &str| match uuid::Uuid::parse_str(part) {
        Ok(_) => format!("…{}", &part[part.len() - 6..]),
        Err(_) => part.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// What comes after the demo.
pub fn how_with_claude() -> Result<(), CliError> {
    screen::line(format!(
        "\n{}\n  \
         agent_runner_api --repo-root PATH                     the service, in one terminal\n  \
         agent_runner_api run --follow --prompt \"What to do\"    a run, in another\n  \
         agent_runner_api show ID                              its Definition of Done and its gate\n  \
         agent_runner_api evidence add ID --item review --text \"What I have seen\"\n  \
         agent_runner_api validate ID EVIDENCE --by YOU\n  \
         agent_runner_api merge ID\n\
         `claude` has to be on PATH and logged in; `agent_runner_api doctor` says what is missing.",
        styled(BOLD, "With Claude Code, on a repository of your own:")
    ))
}
