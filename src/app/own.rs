//! What the agent of a run may ask of its own run, and how often it is sent back before it ends.
//!
//! Deliberately absent: anything that judges. An agent reads what is asked of it and attaches evidence; that it is sent
//! back is a courtesy, and the gate alone decides.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use super::App;
use super::refused::Refused;
use crate::dod::{Evidence, Head, Item, ItemStatus, Payload, item_status};
use crate::gate::{Blocker, BlockerCode};
use crate::run::state::AttemptStage;
use crate::run::{AttemptId, Phase, Run, RunId};
use crate::runner::{ask_gate, changed_paths, current_head};
use crate::shape::request::Ending;
use crate::shape::view::{
    MayEnd, Missing, OwnCheck, OwnDefinition, OwnItem, OwnResult, OwnResults, kinds,
};

/// The most bytes of a check's log that an agent is shown.
const LOG_END: u64 = 4096;

/// The most runs of which it is remembered what their agents were told: far more than work at a time.
const REMEMBERED: usize = 1024;

/// What agents were told when they were about to end, the newest runs last.
#[derive(Debug, Default)]
pub struct Endings(Mutex<BTreeMap<RunId, Told>>);

/// What one attempt was told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    attempt: AttemptId,
    times: u32,
    /// The items that were missing the last time, and the commit of the work then.
    last: (Vec<String>, Option<Head>),
}

impl App {
    /// The run whose agent shows this token.
    ///
    /// # Errors
    /// It is no token of a run that there is, or the run is at its end.
    pub fn agent_of(&self, token: &str) -> Result<RunId, Refused> {
        let id = self
            .context()
            .tokens
            .run_of(token)
            .ok_or(Refused::NoToken)?;
        let run = self.context().journal.run(id)?.ok_or(Refused::NoToken)?;
        match run.phase {
            Phase::Merged { .. } | Phase::Aborting { .. } | Phase::Aborted { .. } => {
                Err(Refused::TokenEnded)
            }
            _ => Ok(id),
        }
    }

    /// The address at which agents reach the service by MCP.
    #[must_use]
    pub fn mcp_url(&self) -> Option<String> {
        let url = self.context().url.get()?;
        Some(format!("{url}/mcp"))
    }

    /// What the run must show, and what is missing.
    ///
    /// # Errors
    /// There is no such run, or git failed.
    pub async fn own_definition(&self, run: RunId) -> Result<OwnDefinition, Refused> {
        let run = self.load(run)?;
        let asked = ask_gate(self.context(), &run).await?;
        let blockers = asked.answer.err().unwrap_or_default();
        let items = run.items.iter();
        Ok(OwnDefinition {
            run_id: run.id.to_string(),
            head: asked.head.as_ref().map(|head| head.commit.to_string()),
            items: items
                .map(|item| own_item(&run, item, asked.head.as_ref(), &blockers))
                .collect(),
            // That it works is no news to it.
            blockers: blockers
                .into_iter()
                .filter(|b| b.item_key.is_none() && b.code != BlockerCode::RunActive)
                .collect(),
        })
    }

    /// What the run's checks came to.
    ///
    /// # Errors
    /// There is no such run, or git failed, or a log cannot be read.
    pub async fn own_results(&self, run: RunId) -> Result<OwnResults, Refused> {
        let run = self.load(run)?;
        let head = current_head(self.context(), &run).await?;
        let (mut results, mut not_run) = (Vec::new(), Vec::new());
        for item in run.items.iter().filter(|item| item.spec.check.is_some()) {
            let mut of_item = run.evidence.iter().filter(|e| e.item_id == item.id);
            match of_item.rfind(|e| e.check.is_some()) {
                Some(evidence) => results.extend(self.own_result(item, evidence, head.as_ref())?),
                None => not_run.push(item.spec.key.clone()),
            }
        }
        Ok(OwnResults {
            head: head.map(|head| head.commit.to_string()),
            results,
            not_run,
        })
    }

    fn own_result(
        &self,
        item: &Item,
        evidence: &Evidence,
        head: Option<&Head>,
    ) -> Result<Option<OwnResult>, Refused> {
        let Some(record) = evidence.check.clone() else {
            return Ok(None);
        };
        Ok(Some(OwnResult {
            item_key: item.spec.key.clone(),
            evidence_id: evidence.id.to_string(),
            cmd: record.cmd,
            passed: record.failed.is_none(),
            code: record.failed.as_ref().map(|failed| failed.code),
            detail: record.failed.map(|failed| failed.detail),
            end: record.end,
            duration_ms: record.duration_ms,
            counts: record.counts,
            commit: evidence.head.commit.to_string(),
            stale: evidence.is_stale(head),
            log_end: self.log_end(evidence)?,
        }))
    }

    /// The last bytes of a payload, as text.
    fn log_end(&self, evidence: &Evidence) -> Result<String, Refused> {
        match &evidence.payload {
            Payload::File { .. } => self
                .context()
                .content
                .end_of(&evidence.sha256, LOG_END)
                .map_err(|error| Refused::failed(error.into())),
            _ => Ok(String::new()),
        }
    }

    /// Whether the agent may end: it is told what it could still bring, as often as its workflow says, and once more only
    /// if something has changed.
    ///
    /// # Errors
    /// There is no such run, or git failed.
    pub async fn may_end(&self, run: &str, ending: &Ending) -> Result<MayEnd, Refused> {
        let run = self.load(self.run_id(run)?)?;
        let most = run.spec.settings.stop_hook_blocks;
        let now = run.attempt().filter(|attempt| {
            attempt.id.to_string() == ending.attempt_id
                && matches!(attempt.stage, AttemptStage::Started { .. })
        });
        let Some(attempt) = now.map(|attempt| attempt.id).filter(|_| most > 0) else {
            return Ok(may_end(0, most));
        };
        let head = current_head(self.context(), &run).await?;
        let missing = self.to_bring(&run, head.as_ref()).await?;
        let keys: Vec<_> = missing.iter().map(|item| item.spec.key.clone()).collect();
        let endings = &self.endings.0;
        let mut endings = endings.lock().unwrap_or_else(PoisonError::into_inner);
        let told = next_word(
            endings.get(&run.id),
            attempt,
            (keys, head),
            most,
            ending.stop_hook_active,
        );
        match told {
            Some(told) => {
                let times = told.times;
                endings.insert(run.id, told);
                while endings.len() > REMEMBERED {
                    endings.pop_first();
                }
                tracing::info!(run = %run.id, attempt = %attempt, times, "the agent is sent back before it ends");
                Ok(MayEnd {
                    may_end: false,
                    reason: Some(self.sent_back(&run, &missing)),
                    told: times,
                    told_at_most: most,
                })
            }
            None => {
                let told = endings.get(&run.id);
                let told = told.filter(|told| told.attempt == attempt);
                Ok(may_end(told.map_or(0, |told| told.times), most))
            }
        }
    }

    /// The required items for which the agent could still bring something.
    async fn to_bring<'a>(
        &self,
        run: &'a Run,
        head: Option<&Head>,
    ) -> Result<Vec<&'a Item>, Refused> {
        let mut items: Vec<_> = run
            .items
            .iter()
            .filter(|item| item.spec.required && item.spec.agent_can_bring())
            .filter(|item| {
                let status = item_status(item, &run.evidence, head);
                matches!(status, ItemStatus::Pending | ItemStatus::Failed)
            })
            .collect();
        if items.iter().any(|item| item.spec.when.is_some()) {
            let changed = changed_paths(self.context(), run, head).await?;
            // What is not known counts as applying for the gate, and is not asked for here.
            let changed = changed.unwrap_or_default();
            items.retain(|item| item.spec.applies(&changed));
        }
        Ok(items)
    }

    /// What an agent that is about to end is told.
    fn sent_back(&self, run: &Run, missing: &[&Item]) -> String {
        let mut out = String::from(
            "Before you end: these required items of the Definition of Done have no evidence that counts for your \
             branch as it is now.\n",
        );
        for item in missing {
            let (key, title) = (&item.spec.key, &item.spec.title);
            let _ = writeln!(out, "- {key}: {title} ({})", kinds(&item.spec.accepts));
        }
        out.push_str(
            "Commit your work first, because evidence speaks of a commit. Then attach what shows it, ",
        );
        let program = self.context().program.as_ref();
        match (run.spec.settings.mcp, program) {
            (true, _) => {
                out.push_str("with the tool `attach_evidence` of the MCP server `agent_runner`")
            }
            (false, Some(program)) => {
                let program = program.display();
                let _ = write!(
                    out,
                    "with `{program} agent evidence --item KEY --text TEXT`"
                );
            }
            (false, None) => out.push_str("with `agent_runner_api agent evidence`"),
        }
        out.push_str(
            ". Somebody else judges it. If you cannot bring it, say why in your last message, and end.",
        );
        out
    }
}

fn may_end(told: u32, told_at_most: u32) -> MayEnd {
    MayEnd {
        may_end: true,
        reason: None,
        told,
        told_at_most,
    }
}

/// What the attempt is told now, if it is told anything. `active`: it goes on because it was sent back before.
///
/// Who was sent back and has changed nothing since is not sent back again. After a restart of the service it is not known
/// how often that was: then `active` alone says that it was.
fn next_word(
    before: Option<&Told>,
    attempt: AttemptId,
    now: (Vec<String>, Option<Head>),
    most: u32,
    active: bool,
) -> Option<Told> {
    let before = before.filter(|told| told.attempt == attempt);
    let times = match before {
        None if active => return None,
        None => 0,
        Some(told) if active && told.last == now => return None,
        Some(told) => told.times,
    };
    (!now.0.is_empty() && times < most).then(|| Told {
        attempt,
        times: times + 1,
        last: now,
    })
}

fn own_item(run: &Run, item: &Item, head: Option<&Head>, blockers: &[Blocker]) -> OwnItem {
    let of_item = |b: &&Blocker| b.item_id == Some(item.id);
    OwnItem {
        item_key: item.spec.key.clone(),
        title: item.spec.title.clone(),
        required: item.spec.required,
        status: item_status(item, &run.evidence, head),
        accepts: item.spec.accepts.clone(),
        validator: item.spec.validator,
        check: item.spec.check.as_ref().map(|check| OwnCheck {
            cmd: check.cmd.clone(),
            timeout_s: check.timeout_s(),
            health: check.health.clone(),
            red_green: check.red_green,
        }),
        when_changed: item.spec.when.as_ref().map(|when| when.changed.clone()),
        missing: blockers.iter().find(of_item).map(|blocker| Missing {
            code: blocker.code,
            detail: blocker.detail.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn missing(keys: &[&str]) -> (Vec<String>, Option<Head>) {
        (keys.iter().map(|&key| key.to_owned()).collect(), None)
    }

    #[test]
    fn an_agent_is_sent_back_as_often_as_it_is_said_and_only_for_something_new() {
        let attempt = AttemptId(Uuid::from_u128(1));
        let say = |before: Option<&Told>, keys: &[&str], active| {
            next_word(before, attempt, missing(keys), 2, active)
        };
        assert_eq!(say(None, &[], false), None, "nothing is missing");
        let first = say(None, &["a", "b"], false).expect("something is missing");
        assert_eq!(first.times, 1);
        assert_eq!(say(Some(&first), &["a", "b"], true), None, "nothing is new");
        let second = say(Some(&first), &["b"], true).expect("something is new");
        assert_eq!(second.times, 2);
        assert_eq!(say(Some(&second), &["c"], true), None, "it was told twice");
        // A new turn of the same attempt that nobody has sent back counts on.
        assert_eq!(say(Some(&second), &["c"], false), None);
    }

    #[test]
    fn after_a_restart_who_was_sent_back_may_end_and_another_attempt_counts_anew() {
        let (one, other) = (AttemptId(Uuid::from_u128(1)), AttemptId(Uuid::from_u128(2)));
        assert_eq!(next_word(None, one, missing(&["a"]), 2, true), None);
        let told = next_word(None, one, missing(&["a"]), 2, false).unwrap();
        let anew = next_word(Some(&told), other, missing(&["a"]), 2, false).unwrap();
        assert_eq!((anew.attempt, anew.times), (other, 1));
    }
}
