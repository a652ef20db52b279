//! What the output of one attempt adds up to: whose session, how much, the last word.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::activity::{Activity, Final, parse};
use super::lines::{Line, Lines};
use crate::run::{AgentKind, Usage};

/// The most tools that are counted as going on at once; a stream that starts more without an end is not
/// worth memory.
const OPEN_TOOLS_MAX: usize = 256;

/// The sum of one attempt's output, line by line.
///
/// It can be stored and taken up again: [`Transcript::consumed`] says from which byte of the output.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Transcript {
    kind: AgentKind,
    consumed: u64,
    session_id: Option<String>,
    model: Option<String>,
    finals: u32,
    last_final: Option<Final>,
    finals_usage: Usage,
    /// The call that goes on, and what was used since the last final, in calls that are over.
    open_call: Option<(String, Usage)>,
    calls_usage: Usage,
    last_retry: Option<Retry>,
    api_error: Option<String>,
    open_tools: BTreeSet<String>,
    after_final: bool,
    skipped_lines: u32,
    #[serde(skip)]
    lines: Lines,
}

/// The last time that the model's API failed, if nothing came from it since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Which try failed, from 1.
    pub attempt: u32,
    /// The HTTP status, if there was one.
    pub status: Option<u16>,
}

impl Transcript {
    /// Nothing yet.
    #[must_use]
    pub fn new(kind: AgentKind) -> Self {
        Transcript {
            kind,
            consumed: 0,
            session_id: None,
            model: None,
            finals: 0,
            last_final: None,
            finals_usage: Usage::default(),
            open_call: None,
            calls_usage: Usage::default(),
            last_retry: None,
            api_error: None,
            open_tools: BTreeSet::new(),
            after_final: false,
            skipped_lines: 0,
            lines: Lines::default(),
        }
    }

    /// Takes the next bytes of the output, in any pieces.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        let mut lines = std::mem::take(&mut self.lines);
        lines.push(bytes, |line, length| self.take_line(line, length));
        self.lines = lines;
    }

    /// The output is at its end: a last line without a newline counts as well.
    pub fn finish(&mut self) {
        let mut lines = std::mem::take(&mut self.lines);
        lines.finish(|line, length| self.take_line(line, length));
    }

    fn take_line(&mut self, line: Line<'_>, length: u64) {
        self.consumed += length;
        match line {
            Line::Whole(line) => {
                for activity in parse(self.kind, line) {
                    self.take(activity);
                }
            }
            Line::TooLong(_) => self.skipped_lines += 1,
        }
    }

    fn take(&mut self, activity: Activity) {
        match activity {
            Activity::Session { session_id, model } => {
                self.session_id = Some(session_id);
                self.model = model.or(self.model.take());
                self.after_final = true;
            }
            Activity::Text { .. } | Activity::Thinking { .. } => self.model_spoke(),
            Activity::ToolStart { id, .. } => {
                if self.open_tools.len() < OPEN_TOOLS_MAX {
                    self.open_tools.insert(id);
                }
                self.model_spoke();
            }
            Activity::ToolEnd { id, .. } => {
                self.open_tools.remove(&id);
                self.after_final = true;
            }
            Activity::Usage { call, usage } => self.take_usage(call, usage),
            Activity::Retry {
                attempt, status, ..
            } => {
                self.last_retry = Some(Retry { attempt, status });
                self.after_final = true;
            }
            Activity::ApiError { error, .. } => {
                self.api_error = Some(error);
                self.after_final = true;
            }
            Activity::Final(last) => {
                self.finals += 1;
                self.finals_usage = self.finals_usage.plus(last.usage);
                self.open_call = None;
                self.calls_usage = Usage::default();
                self.open_tools.clear();
                self.after_final = false;
                self.last_final = Some(last);
            }
            Activity::Notice { .. } | Activity::Other { .. } => {}
        }
    }

    fn model_spoke(&mut self) {
        self.last_retry = None;
        self.api_error = None;
        self.after_final = true;
    }

    fn take_usage(&mut self, call: String, usage: Usage) {
        if let Some((open, used)) = self.open_call.take()
            && open != call
        {
            self.calls_usage = self.calls_usage.plus(used);
        }
        self.open_call = Some((call, usage));
    }

    /// Which agent's output this is.
    #[must_use]
    pub fn kind(&self) -> AgentKind {
        self.kind
    }

    /// Bytes of output that are accounted for: whole lines. A stored transcript goes on from there.
    #[must_use]
    pub fn consumed(&self) -> u64 {
        self.consumed
    }

    /// The agent's own session: what a follow-up resumes.
    #[must_use]
    pub fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    /// The model that the agent named.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// How many last words there were: more than one where a background command woke the agent again.
    #[must_use]
    pub fn finals(&self) -> u32 {
        self.finals
    }

    /// The last word that counts.
    #[must_use]
    pub fn last_final(&self) -> Option<&Final> {
        self.last_final.as_ref()
    }

    /// The agent went on working after its last word, or has not had one.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.after_final || self.last_final.is_none()
    }

    /// The model's API failed last, and the agent had nothing from it since.
    #[must_use]
    pub fn last_retry(&self) -> Option<Retry> {
        self.last_retry
    }

    /// The agent's word for why it could not use the model's API, if nothing came from it since.
    #[must_use]
    pub fn api_error(&self) -> Option<&str> {
        self.api_error.as_deref()
    }

    /// Tools that began and did not end.
    #[must_use]
    pub fn open_tools(&self) -> usize {
        self.open_tools.len()
    }

    /// Lines that were too long to be read.
    #[must_use]
    pub fn skipped_lines(&self) -> u32 {
        self.skipped_lines
    }

    /// Tokens of this attempt: what the last words tell, and for what came after the last of them what the
    /// single calls tell (there the output is told only in part).
    #[must_use]
    pub fn usage(&self) -> Usage {
        let open = self
            .open_call
            .as_ref()
            .map_or(Usage::default(), |(_, usage)| *usage);
        self.finals_usage.plus(self.calls_usage).plus(open)
    }

    /// US dollars of the agent's whole session so far, over all its attempts, as the agent counts them.
    #[must_use]
    pub fn session_cost_usd(&self) -> Option<f64> {
        self.last_final.as_ref()?.cost_usd
    }

    /// US dollars of this attempt alone, given what the session had cost before it.
    #[must_use]
    pub fn attempt_cost_usd(&self, before_usd: Option<f64>) -> Option<f64> {
        let cost = self.session_cost_usd()?;
        Some((cost - before_usd.unwrap_or(0.0)).max(0.0))
    }

    /// Turns with the model, as the last words tell.
    #[must_use]
    pub fn turns(&self) -> Option<u32> {
        self.last_final.as_ref()?.turns
    }
}
