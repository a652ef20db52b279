//! The start of an attempt, in stages that consume themselves: each knows how to fail, and none can be left out.
//!
//! `Planned` (in the journal, with a slot) → `Placed` (the worktree is there) → `Ready` (the invocation is made) →
//! the agent works.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::definition::{self, NotRead};
use super::driver::Driver;
use super::room::tells_of_full_disk;
use super::seeding;
use super::slots::Slot;
use super::work::Working;
use crate::agent::{self, Invocation, Reach, Session, Work};
use crate::effect::{self, Effect};
use crate::git::{BranchName, RefName};
use crate::process::{self, Launch, LaunchLimits, StopSignal, StopStep, Supervised};
use crate::run::event::{AgentProcess, AttemptKind};
use crate::run::state::Attempt;
use crate::run::{AgentKind, AttemptId, Event, Failure, FailureCode, Phase, Run, RunId};
use crate::worktree::Place;

/// An attempt that waits.
struct Planned {
    run: Run,
    attempt: Attempt,
}

/// Its worktree is there.
struct Placed {
    run: Run,
    attempt: Attempt,
    place: Place,
    /// What is not in the journal yet: it goes there with the next intent, as nothing is done in between.
    untold: Vec<Event>,
}

/// Its launch is made.
struct Ready {
    attempt: Attempt,
    launch: Launch,
    dir: PathBuf,
}

impl Driver {
    /// Starts the attempt that waits. A start that fails is recorded as that; the run is then at rest. One that fails for
    /// lack of room is tried again, as after a crash.
    pub(super) async fn start(&mut self, slot: Slot) -> anyhow::Result<Run> {
        let run = self.run()?;
        if !matches!(run.phase, Phase::Queued | Phase::Preparing) {
            // It was aborted while it waited.
            return Ok(run);
        }
        if let Some(stub) = run.spec.stub {
            tracing::warn!(run = %run.id, why = stub.sentence(), "the stub carries this run");
        }
        let Some(attempt) = run.attempt().cloned() else {
            anyhow::bail!("the run is queued without an attempt");
        };
        match self.stages(Planned { run, attempt }).await? {
            Ok((supervised, attempt)) => {
                let event = started_event(self.id, attempt.id, &supervised);
                let run = self.context().journal.record(self.id, vec![event]).await?;
                self.working = Some(Working::new(self.context(), &run, supervised, slot));
                Ok(run)
            }
            Err(failure) if tells_of_full_disk(&failure.detail) => {
                anyhow::bail!("{}; it is tried again", failure.detail)
            }
            Err(failure) => {
                tracing::warn!(run = %self.id, code = ?failure.code, detail = failure.detail, "a run could not be started");
                Ok(self
                    .context()
                    .journal
                    .record(self.id, vec![Event::StartFailed { failure }])
                    .await?)
            }
        }
    }

    async fn stages(
        &self,
        planned: Planned,
    ) -> anyhow::Result<Result<(Supervised, Attempt), Failure>> {
        let placed = match self.place(planned).await? {
            Ok(placed) => placed,
            Err(failure) => return Ok(Err(failure)),
        };
        let ready = match self.prepare(placed).await? {
            Ok(ready) => ready,
            Err(failure) => return Ok(Err(failure)),
        };
        let context = self.context();
        let started = process::start(
            &context.binary,
            &ready.dir,
            &ready.launch,
            &context.containment,
        );
        match started.await {
            Ok(supervised) => Ok(Ok((supervised, ready.attempt))),
            Err(error) => Ok(Err(Failure::new(
                FailureCode::SpawnFailed,
                format!(
                    "the agent could not be started: {:#}",
                    anyhow::Error::new(error)
                ),
            ))),
        }
    }

    /// Makes the worktree, unless it is there from an attempt before.
    async fn place(&self, planned: Planned) -> anyhow::Result<Result<Placed, Failure>> {
        let Planned { run, attempt } = planned;
        let place = self.place_of(&run)?;
        if run.placed {
            return Ok(Ok(Placed {
                run,
                attempt,
                place,
                untold: Vec::new(),
            }));
        }
        let context = self.context();
        let fail = |detail: String| Ok(Err(Failure::new(FailureCode::PlaceFailed, detail)));
        let base_commit = match run.base_commit.clone() {
            // It was on record with the request, or a crash came after the intent: the same commit again.
            Some(commit) => commit,
            None => {
                let onto = match RefName::branch(&run.spec.base) {
                    Ok(name) => context.repository.resolve(&name).await,
                    Err(error) => return fail(error.to_string()),
                };
                match onto {
                    Ok(Some(commit)) => commit,
                    Ok(None) => return fail(format!("there is no branch `{}`", run.spec.base)),
                    Err(error) => return fail(format!("{:#}", anyhow::Error::new(error))),
                }
            }
        };
        let fixed = match definition::fixed_at(context, &run, &base_commit).await {
            Ok(fixed) => fixed,
            Err(NotRead::Git(error)) => return fail(format!("{:#}", anyhow::Error::new(error))),
            Err(error) => {
                let failure = Failure::new(FailureCode::DefinitionUnreadable, error.to_string());
                return Ok(Err(failure));
            }
        };
        let on_record = matches!(run.phase, Phase::Preparing) && run.base_commit.is_some();
        let placing = (!on_record).then(|| Event::Placing {
            base_commit: base_commit.clone(),
        });
        let intent: Vec<Event> = placing.into_iter().chain(fixed).collect();
        let run = if intent.is_empty() {
            run
        } else {
            context.journal.record(self.id, intent).await?
        };
        let seeding = context.seeding(&run);
        let (repository, seeding) = (&context.repository, seeding.as_ref());
        let placed = context
            .pool
            .place(repository, &place, &base_commit, seeding);
        match placed.await {
            Ok(Some(seeded)) => seeding::tell(&run, &seeded),
            Ok(None) => {}
            Err(error) => {
                let error = anyhow::Error::new(error);
                return fail(format!("the worktree could not be made: {error:#}"));
            }
        }
        Ok(Ok(Placed {
            run,
            attempt,
            place,
            untold: vec![Event::Placed],
        }))
    }

    /// Makes the invocation and records that the agent is about to be started.
    async fn prepare(&self, placed: Placed) -> anyhow::Result<Result<Ready, Failure>> {
        let Placed {
            run,
            attempt,
            place,
            untold,
        } = placed;
        let context = self.context();
        let files = context.files.of_run(self.id);
        files.make().context("make the folders of the run")?;
        let session = match (&attempt.why, &run.session_id) {
            (AttemptKind::Message { .. } | AttemptKind::Feedback { .. }, Some(session)) => {
                Session::Resume(session.clone())
            }
            _ => Session::Fresh(uuid::Uuid::new_v4()),
        };
        let session_id = match (&session, run.spec.agent) {
            (Session::Fresh(id), AgentKind::Claude) => Some(id.to_string()),
            (Session::Resume(id), AgentKind::Claude) => Some(id.clone()),
            (_, AgentKind::Command | AgentKind::Stub) => None,
        };
        let prompt = match &attempt.why {
            AttemptKind::Message { text } | AttemptKind::Feedback { text, .. } => text.clone(),
            AttemptKind::First | AttemptKind::Retry => {
                let again = definition::told_again(&run).unwrap_or_default();
                format!("{}{again}", run.spec.full_prompt)
            }
        };
        let dir = files.attempt(attempt.number);
        let token = context.tokens.of(run.id);
        let work = Work {
            spec: &run.spec,
            run: run.id,
            attempt: attempt.id,
            session,
            prompt: &prompt,
            spent_usd: run.spent_usd(),
            worktree: &place.path(),
            branch: &run.branch,
            tmp: &files.tmp(),
            server_env: &context.environment,
            claude: context.claude.as_ref().ok(),
            as_root: rustix::process::geteuid().is_root(),
            reach: context.url.get().map(|url| Reach {
                url,
                token: token.reveal(),
                program: context.program.as_deref(),
                folder: &dir,
            }),
        };
        let invocation = match agent::invocation(&work) {
            Ok(invocation) => invocation,
            Err(refused) => {
                let code = match refused {
                    agent::Refused::NothingLeftToSpend { .. } => FailureCode::CostLimit,
                    _ => FailureCode::SpawnFailed,
                };
                if !untold.is_empty() {
                    context.journal.record(self.id, untold).await?;
                }
                return Ok(Err(Failure::new(code, refused.to_string())));
            }
        };
        let output_from = files.output_len();
        let launch = launch(
            &run,
            &attempt,
            invocation,
            &dir,
            &place.path(),
            &files.output(),
            context.config.stop_grace,
        )
        .context("write the prompt")?;
        let mut intent = untold;
        intent.push(Event::AttemptStarting {
            attempt: attempt.id,
            session_id,
            output_from,
        });
        context.journal.record(self.id, intent).await?;
        Ok(Ok(Ready {
            attempt,
            launch,
            dir,
        }))
    }

    /// The run's place, by the branch that it was given.
    pub(super) fn place_of(&self, run: &Run) -> anyhow::Result<Place> {
        let branch = BranchName::try_from(run.branch.clone())?;
        let place = Place::new(&self.context().config.worktrees_root, &branch);
        Ok(place.with_cone(&run.spec.sparse))
    }
}

/// What the journal keeps of an agent that runs. What a person should know of its start is told in the log as well.
pub(super) fn started_event(run: RunId, attempt: AttemptId, supervised: &Supervised) -> Event {
    let started = supervised.started();
    for notice in &started.notices {
        tracing::warn!(%run, attempt = %attempt, code = ?notice.code, "{}", notice.detail);
    }
    Event::AttemptStarted {
        attempt,
        process: AgentProcess {
            pid: started.agent.pid.cast_unsigned(),
            boot_id: started.agent.boot_id.clone(),
            start_time: started.agent.start_ticks,
        },
        notices: started.notices.clone(),
    }
}

/// Writes a file that nobody else can read.
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut open = fs::OpenOptions::new();
    open.write(true).create(true).truncate(true).mode(0o600);
    open.open(path)?.write_all(bytes)
}

fn launch(
    run: &Run,
    attempt: &Attempt,
    invocation: Invocation,
    dir: &Path,
    cwd: &Path,
    output: &Path,
    grace: std::time::Duration,
) -> std::io::Result<Launch> {
    effect::begins(Effect::LaunchPrompt)?;
    fs::create_dir_all(dir)?;
    let stdin = dir.join("prompt");
    fs::write(&stdin, &invocation.stdin)?;
    for file in &invocation.files {
        write_private(&file.path, &file.bytes)?;
    }
    let limits = &run.spec.limits;
    let ms = |seconds: u64| seconds.saturating_mul(1000);
    let step = |signal, grace_ms| StopStep { signal, grace_ms };
    let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
    Ok(Launch {
        run: run.id,
        attempt: attempt.id,
        number: attempt.number,
        argv: invocation.argv,
        env: invocation.env,
        network: None,
        cwd: cwd.to_owned(),
        stdin,
        output: output.to_owned(),
        stderr: dir.join("stderr"),
        limits: LaunchLimits {
            wall_clock_ms: limits.timeout_s.map(ms),
            idle_ms: limits.idle_timeout_s.map(ms),
            output_bytes: limits.max_output_bytes,
            memory_bytes: limits.max_memory_bytes,
            tasks: limits.max_tasks,
            cpu_weight: limits.cpu_weight,
        },
        stop: vec![
            step(StopSignal::Int, grace_ms.min(2_000)),
            step(StopSignal::Term, grace_ms.saturating_sub(2_000)),
        ],
    })
}
