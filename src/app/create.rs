//! A request for a run: looked at from all sides before anything of it is stored.

use uuid::Uuid;

use super::App;
use super::fields::{PROMPT_MAX, bad_fields, lacking};
use super::prompt;
use super::refused::{FieldProblem, Refused};
use super::sparse::Asked;
use super::workflows::built_in;
use crate::dod::{ItemSpec, item};
use crate::git::{BranchName, RefName};
use crate::journal::{Answer, Creation, IdempotencyKey, NewRun as Stored, NotCreated};
use crate::run::event::AttemptKind;
use crate::run::{
    AgentKind, AttemptId, Command, CommitId, Cone, Event, Limits, Run, RunId, Spec, Status,
    StubReason,
};
use crate::runner::definition::{self, Defined, Part};
use crate::shape::request::{NewRun, NewWorkflow, is_blank};
use crate::shape::view::Accepted;
use crate::store::idempotency;
use crate::worktree::Place;

/// The answer to a request for a run.
#[derive(Debug, Clone)]
pub struct Created {
    /// What the client is told.
    pub accepted: Accepted,
    /// Whether it waits for a slot.
    pub queued: bool,
}

impl App {
    /// Stores a run, and starts its agent if a slot is free.
    ///
    /// # Errors
    /// As [`Refused`] says; nothing is stored then.
    pub async fn create(
        &self,
        request: NewRun,
        key: Option<IdempotencyKey>,
    ) -> Result<Created, Refused> {
        if self.context().closing.is_cancelled() {
            return Err(Refused::Draining);
        }
        if let Some(key) = &key
            && let Some(before) = self.asked_before(key)?
        {
            return Ok(before);
        }
        self.has_room()?;
        let (name, pointer) = match &request.workflow {
            Some(name) => (name.clone(), "/workflow"),
            None => (request.mode.clone(), "/mode"),
        };
        let workflow = match self.workflow(&name).await {
            Ok(view) => view.workflow,
            Err(Refused::NotFound { .. }) => {
                let known = self.workflows().await?;
                return Err(Refused::UnknownMode {
                    mode: name,
                    pointer,
                    known: known.into_iter().map(|w| w.name).collect(),
                });
            }
            Err(other) => return Err(other),
        };
        let (new, base) = self.planned(request, &name, &workflow, key.clone()).await?;
        let run = match self.runner().create(new, base).await {
            Ok(Creation::Done(run)) => run,
            Ok(Creation::Again { run, answer_json }) => return self.again(run, answer_json),
            Err(NotCreated::LiveRun { what, run }) => return Err(Refused::LiveRun { what, run }),
            Err(NotCreated::KeyMismatch) => return Err(Refused::IdempotencyMismatch),
            Err(NotCreated::Store(error)) => return Err(error.into()),
        };
        let created = self.created(&run)?;
        if let Some(key) = key {
            let answer = serde_json::to_string(&created.accepted).map_err(anyhow::Error::new)?;
            self.write(move |db| idempotency::answered(db, &key.key, &answer))
                .await?;
        }
        Ok(created)
    }

    /// The answer to a request with this key that came before: the same again, whatever has changed since.
    fn asked_before(&self, key: &IdempotencyKey) -> Result<Option<Created>, Refused> {
        let Some(known) = self.read(|db| idempotency::known(db, &key.key))? else {
            return Ok(None);
        };
        if known.body_sha256 != key.body_sha256 {
            return Err(Refused::IdempotencyMismatch);
        }
        let run = known.run_id.parse().map_err(anyhow::Error::new)?;
        self.again(run, known.answer_json).map(Some)
    }

    /// Tells the agent something more, in the same session.
    ///
    /// # Errors
    /// The run's state does not allow it, or the agent has no session.
    pub async fn message(&self, run: &str, text: String) -> Result<Created, Refused> {
        let id = self.run_id(run)?;
        if is_blank(&text) || text.len() > PROMPT_MAX {
            return Err(Refused::Invalid(vec![FieldProblem::new(
                "/text",
                "must be 1 byte to 1 MiB of text",
            )]));
        }
        self.another_attempt(id, |attempt| Command::Message { attempt, text })
            .await
    }

    /// Begins afresh on the same worktree.
    ///
    /// # Errors
    /// The run's state does not allow it.
    pub async fn retry(&self, run: &str) -> Result<Created, Refused> {
        let id = self.run_id(run)?;
        self.another_attempt(id, |attempt| Command::Retry { attempt })
            .await
    }

    async fn another_attempt(
        &self,
        id: RunId,
        command: impl FnOnce(AttemptId) -> Command,
    ) -> Result<Created, Refused> {
        if self.context().closing.is_cancelled() {
            return Err(Refused::Draining);
        }
        self.has_room()?;
        let command = command(AttemptId(Uuid::now_v7()));
        match self.context().journal.ask(id, command).await? {
            Answer::No(refusal) => Err(Refused::State(refusal)),
            Answer::Done(_) | Answer::Already(_) => self.admitted(id).await,
        }
    }

    /// Starts the run's agent if a slot is free, and says what came of it.
    async fn admitted(&self, id: RunId) -> Result<Created, Refused> {
        let started = self.runner().admit(id).await?;
        let run = match started {
            Some(run) => run,
            None => self.load(id)?,
        };
        self.created(&run)
    }

    fn again(&self, run: RunId, answer_json: Option<String>) -> Result<Created, Refused> {
        let Some(json) = answer_json else {
            // The first request is at work, or a crash took its answer: the run is what there is to say.
            return self.created(&self.load(run)?);
        };
        let accepted: Accepted = serde_json::from_str(&json).map_err(anyhow::Error::new)?;
        Ok(Created {
            queued: accepted.status == Status::Queued,
            accepted,
        })
    }

    fn created(&self, run: &Run) -> Result<Created, Refused> {
        let queue_position = self.queue_position(run)?;
        let id = run.id.to_string();
        Ok(Created {
            queued: run.status() == Status::Queued,
            accepted: Accepted {
                sse_url: format!("/api/runs/{id}/sse"),
                run_id: id,
                branch: run.branch.clone(),
                worktree_path: run.worktree_path.clone(),
                status: run.status(),
                queue_position,
                stub_reason: run.spec.stub.map(|s| s.sentence().to_owned()),
            },
        })
    }

    /// The request as it is stored, and the commit that it starts from: everything that can be refused is refused here.
    async fn planned(
        &self,
        request: NewRun,
        workflow_name: &str,
        workflow: &NewWorkflow,
        key: Option<IdempotencyKey>,
    ) -> Result<(Stored, CommitId), Refused> {
        let agent_asked = request
            .agent
            .or(workflow.agent)
            .unwrap_or(AgentKind::Claude);
        let mut bad = bad_fields(&request, workflow, agent_asked);
        if built_in(workflow_name).is_some() {
            bad.extend(lacking(workflow_name, &request));
        }
        let base = request
            .base
            .clone()
            .unwrap_or_else(|| self.context().base.clone());
        let asked = match Asked::of(&request, &workflow.settings) {
            Ok(asked) => Some(asked),
            Err(problem) => {
                bad.push(problem);
                None
            }
        };
        let mut tip = None;
        match RefName::branch(&base) {
            Err(error) => bad.push(FieldProblem::new("/base", error.to_string())),
            Ok(name) => {
                let repository = &self.context().repository;
                if repository.is_symbolic(&name) {
                    bad.push(FieldProblem::new(
                        "/base",
                        format!("`{base}` is a symbolic ref; name the branch that it stands for"),
                    ));
                } else {
                    tip = repository.resolve(&name).await?;
                    if tip.is_none() {
                        bad.push(FieldProblem::new(
                            "/base",
                            format!("the repository has no branch `{base}`"),
                        ));
                    }
                }
            }
        }
        let more = item::checked(request.dod.clone()).unwrap_or_else(|items| {
            bad.extend(
                items
                    .into_iter()
                    .map(|item| FieldProblem::new(format!("/dod{}", item.pointer), item.detail)),
            );
            Vec::new()
        });
        let (true, Some(tip), Some(asked)) = (bad.is_empty(), tip, asked) else {
            return Err(Refused::Invalid(bad));
        };
        let sparse = asked.at(&self.context().repository, &tip).await?;
        let app = request.kanban_app.as_deref();
        let written = Part::of_workflow(workflow_name, workflow.dod.clone());
        let more = Part::of_request(more);
        let Defined { definition, items } =
            definition::define(self.context(), &tip, app, written, more).await?;
        let id = RunId(Uuid::now_v7());
        let wanted_for = [&request.issue_id, &request.card_id, &request.prompt]
            .into_iter()
            .flatten()
            .next()
            .unwrap_or(&request.mode);
        let branch = BranchName::new(wanted_for, id);
        let worktree = Place::new(&self.context().config.worktrees_root, &branch).path();
        let spec = self
            .spec(
                &request,
                workflow_name,
                workflow,
                &branch,
                &items,
                base,
                sparse,
                agent_asked,
            )
            .await?;
        let items = definition::items(items, &[]);
        let alone_for = [("card_id", request.card_id), ("issue_id", request.issue_id)]
            .into_iter()
            .filter_map(|(what, value)| Some((what, value?)))
            .filter(|_| !request.allow_parallel)
            .collect();
        let stored = Stored {
            id,
            events: vec![
                Event::Created {
                    spec,
                    branch: branch.to_string(),
                    worktree_path: worktree.display().to_string(),
                    items: items.clone(),
                },
                Event::DefinitionFixed { definition, items },
                Event::AttemptQueued {
                    attempt: AttemptId(Uuid::now_v7()),
                    why: AttemptKind::First,
                },
            ],
            alone_for,
            key,
        };
        Ok((stored, tip))
    }

    #[expect(clippy::too_many_arguments, reason = "all that a spec is made of")]
    async fn spec(
        &self,
        request: &NewRun,
        workflow_name: &str,
        workflow: &NewWorkflow,
        branch: &BranchName,
        dod: &[ItemSpec],
        base: String,
        sparse: Cone,
        agent_asked: AgentKind,
    ) -> Result<Spec, Refused> {
        let context = self.context();
        let issue_body = match &request.issue_id {
            Some(id) => {
                prompt::issue_body(&context.config.issues, &context.config.repo_root, id).await?
            }
            None => None,
        };
        let full_prompt = prompt::fill(
            &workflow.prompt_template,
            request,
            branch.as_str(),
            dod,
            sparse.folders(),
            issue_body.as_deref(),
        )?;
        let stub = if context.config.stub || agent_asked == AgentKind::Stub {
            Some(StubReason::Wanted)
        } else if agent_asked == AgentKind::Claude && context.claude.is_err() {
            Some(StubReason::NoAgent)
        } else {
            None
        };
        let mut limits = request
            .limits
            .or(&workflow.limits)
            .or(&context.config.limits)
            .within(&context.config.limits);
        if agent_asked != AgentKind::Claude {
            // The server's defaults for what only some agents tell do not bind the others.
            limits = Limits {
                max_cost_usd: None,
                max_turns: None,
                ..limits
            };
        }
        let mut env = workflow.env.clone();
        env.extend(request.env.clone());
        Ok(Spec {
            workflow: workflow_name.to_owned(),
            mode: request.mode.clone(),
            issue_id: request.issue_id.clone(),
            card_id: request.card_id.clone(),
            kanban_app: request.kanban_app.clone(),
            prompt: request.prompt.clone(),
            full_prompt,
            agent: if stub.is_some() {
                AgentKind::Stub
            } else {
                agent_asked
            },
            stub,
            model: request.model.clone().or_else(|| workflow.model.clone()),
            base,
            sparse,
            limits,
            env,
            labels: request.labels.clone(),
            settings: workflow.settings.clone(),
        })
    }
}
