//! The server's refusals (RFC 9457), in words for a person.

use std::fmt::Write as _;

use serde_json::Value;

use crate::cli::screen::words;

/// Letters shown of a body that is no problem document.
const BODY_LETTERS: usize = 300;

/// A refusal of the server.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The document; `Null` if the body was none.
    pub document: Value,
    /// The body, as it came.
    pub body: String,
    /// The run that was asked about, as the person named it, for the hints.
    pub run: Option<String>,
}

impl Problem {
    /// The stable word for the reason, if there is one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.document["code"].as_str()
    }

    /// Title, detail and code; then a line for each blocker and each wrong field, with what to do.
    #[must_use]
    pub fn told(&self) -> String {
        if !self.document.is_object() {
            let body: String = self.body.trim().chars().take(BODY_LETTERS).collect();
            return format!("the server answered {}: {body}", self.status);
        }
        let mut out = self.headline();
        for error in list(&self.document["errors"]) {
            let _ = write!(out, "\n  - {}: {}", place(error), said(error));
        }
        for blocker in list(&self.document["blockers"]) {
            out.push_str(&self.blocker(blocker));
        }
        for mode in list(&self.document["modes"]) {
            let _ = write!(out, "\n  - {}", mode.as_str().unwrap_or_default());
        }
        for path in list(&self.document["paths"]) {
            let _ = write!(out, "\n  - {}", path.as_str().unwrap_or_default());
        }
        let named = words(&self.document, "run_id");
        let run = if named.is_empty() { self.run() } else { &named };
        if let Some(hint) = self.code().and_then(|code| hint(code, run)) {
            let _ = write!(out, "\n  hint: {hint}");
        }
        if self.status >= 500 && self.document["request_id"].is_string() {
            let id = words(&self.document, "request_id");
            let _ = write!(out, "\n  the server's log tells more about request {id}");
        }
        out
    }

    fn headline(&self) -> String {
        let title = words(&self.document, "title");
        let detail = words(&self.document, "detail");
        let mut out = match (title.is_empty(), detail.is_empty()) {
            (true, true) => format!("the server answered {}", self.status),
            (false, true) => title,
            (true, false) => detail,
            (false, false) if detail.starts_with(&title) => detail,
            (false, false) => format!("{title}: {detail}"),
        };
        if let Some(code) = self.code() {
            let _ = write!(out, " ({code})");
        }
        out
    }

    fn blocker(&self, blocker: &Value) -> String {
        let mut out = String::from("\n  - ");
        let item = words(blocker, "item_key");
        if !item.is_empty() {
            let _ = write!(out, "{item}: ");
        }
        let _ = write!(out, "{} ({})", said(blocker), words(blocker, "code"));
        let evidence = words(blocker, "evidence_id");
        let run = self.run();
        match blocker["code"].as_str() {
            Some("evidence_not_validated") if !evidence.is_empty() => {
                let _ = write!(
                    out,
                    "\n    hint: agent_runner_api validate {run} {evidence} --by YOUR-NAME"
                );
            }
            // Missing, stale or rejected: what is wanted is new evidence.
            Some(code) if code.starts_with("evidence_") && !item.is_empty() => {
                let _ = write!(
                    out,
                    "\n    hint: agent_runner_api evidence add {run} --item {item} --text '…'"
                );
            }
            _ => {}
        }
        out
    }

    fn run(&self) -> &str {
        self.run.as_deref().unwrap_or("RUN")
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Where in the request a wrong field is: a JSON pointer, else its name.
fn place(error: &Value) -> String {
    let found = ["pointer", "field", "parameter"].map(|name| words(error, name));
    let named = found.into_iter().find(|text| !text.is_empty());
    named.unwrap_or_else(|| "request".into())
}

fn said(entry: &Value) -> String {
    let found = ["detail", "message", "code"].map(|name| words(entry, name));
    found
        .into_iter()
        .find(|text| !text.is_empty())
        .unwrap_or_default()
}

/// What a person can do about it.
fn hint(code: &str, run: &str) -> Option<String> {
    Some(match code {
        "run_active" => format!("wait for its end (`agent_runner_api logs {run} -f`) or abort it"),
        "base_checked_out_dirty" => {
            "commit or stash the changes in the checkout of the base branch, then merge again"
                .into()
        }
        "merge_conflict" => {
            format!("have the agent resolve it: `agent_runner_api message {run} --conflict`")
        }
        "candidate_checks_failed" => format!(
            "what landed meanwhile and this work fail together: see `agent_runner_api show {run}`, and have the agent bring its branch up to date"
        ),
        "live_run" => format!(
            "follow that one (`agent_runner_api logs {run} -f`), or start this one beside it with --allow-parallel"
        ),
        "ambiguous_id" => "write more characters of the id".into(),
        "own_evidence" => "somebody other than its author must validate it".into(),
        "no_session" => format!("start afresh: `agent_runner_api retry {run}`"),
        "base_moved" => "the base branch moved meanwhile; merge again".into(),
        "nothing_to_merge" => format!("see what the agent did: `agent_runner_api logs {run}`"),
        "unknown_mode" | "unknown_workflow" => {
            "see them with `agent_runner_api workflows list`".into()
        }
        _ => return None,
    })
}
