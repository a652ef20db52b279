//! An agent at work, from the server's side: its output is read as it grows, and its end is told by its supervisor.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::carried::carries;
use super::checks::wanted;
use super::definition::with_what_follows;
use super::driver::Driver;
use super::files::stderr_tail;
use super::reading::{READ_AT_ONCE, Reading, is_read};
use super::room::tells_of_full_disk;
use super::slots::Slot;
use super::{Context, start};
use crate::agent;
use crate::git::Identity;
use crate::process::{Ended, Growth, News, Supervised, Vigil};
use crate::run::event::AttemptEnd;
use crate::run::state::{Attempt, AttemptStage};
use crate::run::{AttemptId, EndedBy, Event, Failure, FailureCode, Outcome, Phase, RoundWhy, Run};
use crate::worktree::{self, Settle};

/// How long an agent may stay after its last word without another: a command that it left in the background may wake it.
const LINGER: Duration = Duration::from_secs(300);
/// How late output may be seen whose wake-up was lost: each look wakes the service.
const UNSEEN: Duration = Duration::from_secs(15);

/// An agent at work.
pub(super) struct Working {
    pub(super) supervised: Supervised,
    attempt: AttemptId,
    slot: Slot,
    reading: Reading,
    /// Of an output that is read at all.
    growth: Option<Growth>,
    /// Over its supervisor, until the agent is being ended from here.
    vigil: Option<Vigil>,
    /// Who had the agent ended, where its supervisor cannot tell.
    ended_by: EndedBy,
    /// Whether the session was recorded.
    session_told: bool,
    /// When the agent said its last word, if nothing came after it.
    last_word: Option<Instant>,
}

/// What there is to look at while an agent works.
pub(super) enum Seen {
    /// Its output has grown, or some seconds have gone.
    Output,
    /// Something about its supervisor.
    Supervisor(News),
}

impl Working {
    pub(super) fn new(
        context: &Arc<Context>,
        run: &Run,
        supervised: Supervised,
        slot: Slot,
    ) -> Working {
        let attempt = run.attempts.last();
        let unstarted;
        let attempt = match attempt {
            Some(attempt) => attempt,
            None => {
                unstarted = Attempt {
                    id: supervised.started().attempt,
                    number: 1,
                    why: crate::run::event::AttemptKind::First,
                    queued_at: run.created_at,
                    session_id: None,
                    output_from: supervised.started().output_from,
                    notices: Vec::new(),
                    stage: AttemptStage::Starting,
                };
                &unstarted
            }
        };
        Working {
            attempt: attempt.id,
            reading: Reading::new(context, run, attempt),
            growth: is_read(run.spec.agent)
                .then(|| context.growths.of(&context.files.of_run(run.id).output())),
            vigil: Some(Vigil::over(supervised.clone())),
            ended_by: EndedBy::Itself,
            supervised,
            slot,
            session_told: false,
            last_word: None,
        }
    }

    /// Waits for something to look at beside the agent's end.
    pub(super) async fn something(&mut self) -> Seen {
        let news = async {
            match &mut self.vigil {
                Some(vigil) => vigil.news().await,
                None => std::future::pending().await,
            }
        };
        let grown = async {
            match &mut self.growth {
                Some(growth) => growth.changed_within(UNSEEN).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            news = news => Seen::Supervisor(news),
            _ = grown => Seen::Output,
        }
    }

    /// The agent is about to be ended from here, on whose behalf: who watches its supervisor must not wake it meanwhile.
    pub(super) fn end_without_vigil(&mut self, by: EndedBy) {
        self.vigil = None;
        self.ended_by = by;
    }
}

impl Driver {
    /// Goes on with an agent that was started before this server.
    pub(super) async fn attach(
        &mut self,
        slot: Slot,
        supervised: Supervised,
    ) -> anyhow::Result<()> {
        let mut run = self.run()?;
        if matches!(run.phase, Phase::Preparing) {
            let attempt = supervised.started().attempt;
            let event = start::started_event(self.id, attempt, &supervised);
            run = self.context().journal.record(self.id, vec![event]).await?;
        }
        self.working = Some(Working::new(self.context(), &run, supervised, slot));
        Ok(())
    }

    /// Reads what the agent has printed: its session is recorded, and an agent that lingers is ended.
    pub(super) async fn look_at_output(&mut self) -> anyhow::Result<()> {
        let Some(working) = &mut self.working else {
            return Ok(());
        };
        let read = working.reading.read(READ_AT_ONCE, u64::MAX);
        let transcript = &working.reading.transcript;
        if !working.session_told
            && let Some(session) = transcript.session_id()
        {
            let event = Event::SessionSeen {
                session_id: session.to_owned(),
                model: transcript.model().map(str::to_owned),
            };
            self.runner
                .context()
                .journal
                .record(self.id, vec![event])
                .await?;
            working.session_told = true;
        }
        let quiet_after_final = read == 0 && !transcript.goes_on();
        match (quiet_after_final, working.last_word) {
            (false, _) => working.last_word = None,
            (true, None) => working.last_word = Some(Instant::now()),
            (true, Some(since)) if since.elapsed() > LINGER => {
                working.last_word = None;
                if let Err(error) = working.supervised.stop(EndedBy::Lingering).await {
                    tracing::warn!(run = %self.id, %error, "a lingering agent could not be asked to end");
                    return self.end_from_here(EndedBy::Lingering).await;
                }
            }
            (true, Some(_)) => {}
        }
        Ok(())
    }

    /// Records how the watched agent ended; its slot is given back by the caller.
    pub(super) async fn conclude(&mut self, ended: Ended) -> anyhow::Result<Option<Slot>> {
        let Some(working) = self.working.take() else {
            return Ok(None);
        };
        let Working {
            attempt,
            slot,
            reading,
            ended_by,
            ..
        } = working;
        self.record_end(attempt, reading, ended, ended_by).await?;
        Ok(Some(slot))
    }

    /// Records how an agent ended that nobody watched.
    pub(super) async fn conclude_unwatched(&mut self, ended: Ended) -> anyhow::Result<()> {
        let run = self.run()?;
        let attempt = run.attempt().context("the run has no attempt")?.clone();
        let reading = Reading::new(self.context(), &run, &attempt);
        self.record_end(attempt.id, reading, ended, EndedBy::Itself)
            .await
    }

    async fn record_end(
        &mut self,
        attempt: AttemptId,
        mut reading: Reading,
        ended: Ended,
        if_lost: EndedBy,
    ) -> anyhow::Result<()> {
        let run = self.run()?;
        let files = self.context().files.of_run(self.id);
        let output_to = match &ended {
            Ended::Recorded(record) => record.output_to,
            Ended::Lost(_) => files.output_len(),
        };
        let transcript = tokio::task::spawn_blocking(move || {
            reading.read_all(output_to);
            reading.transcript
        })
        .await?;
        let number = run
            .attempts
            .iter()
            .find(|a| a.id == attempt)
            .map_or(1, |a| a.number);
        let (exit, ended_by) = match &ended {
            Ended::Recorded(record) => (record.exit, record.ended_by),
            Ended::Lost(lost) => {
                tracing::warn!(run = %self.id, why = lost.why, "an agent's end is not known");
                (ended.exit(), if_lost)
            }
        };
        let stderr = stderr_tail(&self.attempt_dir(number));
        let before = run
            .attempts
            .iter()
            .filter_map(|a| match &a.stage {
                AttemptStage::Ended { end: Some(end), .. }
                    if end.session_id.as_deref() == transcript.session_id() =>
                {
                    end.session_cost_usd
                }
                _ => None,
            })
            .next_back();
        let usage = transcript.usage();
        let outcome = match &ended {
            // The program never ran: no exit of an agent's is to be judged.
            Ended::Recorded(record) if record.refused.is_some() => Outcome::Failed(Failure::new(
                FailureCode::SpawnFailed,
                record
                    .refused
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            )),
            _ => agent::outcome(&transcript, exit, ended_by, &stderr),
        };
        let (outcome, notices) = agent::strained(outcome, exit, ended.strain(), &run.spec.limits);
        for notice in &notices {
            tracing::warn!(run = %self.id, %attempt, code = ?notice.code, "{}", notice.detail);
        }
        let end = AttemptEnd {
            exit,
            ended_by,
            outcome,
            session_id: transcript.session_id().map(str::to_owned),
            model: transcript.model().map(str::to_owned),
            usage: (usage != crate::run::Usage::default()).then_some(usage),
            session_cost_usd: transcript.session_cost_usd(),
            cost_usd: transcript.attempt_cost_usd(before),
            turns: transcript.turns(),
            output_to,
            notices,
        };
        let event = Event::AttemptEnded { attempt, end };
        self.context().journal.record(self.id, vec![event]).await?;
        Ok(())
    }

    /// Commits what the agent left, and fixes the head; the checks of finished work begin.
    pub(super) async fn settle(&mut self) -> anyhow::Result<()> {
        let run = self.run()?;
        let Phase::Checking {
            outcome,
            round: None,
        } = &run.phase
        else {
            return Ok(());
        };
        let context = self.context();
        let place = self.place_of(&run)?;
        let identity = identity(context);
        let empty_commit = agent::leaves_empty_commit(&run.spec) && run.attempts.len() == 1;
        let what = if empty_commit {
            "an empty commit of the stub"
        } else {
            "what the agent left uncommitted"
        };
        let message = format!("{}: {what}\n\nAgent-Run: {}\n", run.branch, run.id);
        let start = run
            .base_commit
            .clone()
            .context("the run has no base commit")?;
        let how = Settle {
            start: &start,
            identity: &identity,
            message: &message,
            empty_commit,
        };
        let settled = worktree::settle(&context.repository, &place, &how).await;
        let events = match settled {
            Ok(settled) => {
                if let Some(aside) = &settled.aside {
                    tracing::warn!(run = %run.id, %aside, "the agent left work beside its branch; it is kept under refs/agent_runner/preserved/leftover/");
                }
                for missed in &settled.missed {
                    tracing::warn!(run = %run.id, missed, "something that the agent left could not be kept");
                }
                let head = crate::dod::Head {
                    commit: settled.commit,
                    tree: settled.tree,
                };
                let round = match outcome {
                    Outcome::Finished => {
                        wanted::round(context, &run, &head, RoundWhy::AgentEnded).await?
                    }
                    Outcome::Failed(_) => None,
                };
                let settled = Event::Settled {
                    carries: carries(context, &run, &head).await?,
                    head,
                    leftovers: settled.leftovers,
                    checks: round.is_some(),
                };
                let checks = round.map(|round| Event::ChecksStarted { round });
                let mut events = with_what_follows(context, &run, settled).await?;
                events.extend(checks);
                events
            }
            Err(error) => {
                let detail = format!(
                    "what the agent left could not be committed: {:#}",
                    anyhow::Error::new(error)
                );
                if tells_of_full_disk(&detail) {
                    anyhow::bail!("{detail}; it is tried again");
                }
                vec![Event::SettleFailed {
                    failure: Failure::new(FailureCode::SettleFailed, detail),
                }]
            }
        };
        context.journal.record(self.id, events).await?;
        self.carry_out_round(false).await
    }
}

/// Who the service's own commits are by.
pub(super) fn identity(context: &Context) -> Identity {
    Identity {
        name: context.config.identity.name.clone(),
        email: context.config.identity.email.clone(),
    }
}
