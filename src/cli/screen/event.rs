//! A stream's events in lines for a person.

use base64::Engine as _;
use serde_json::Value;

use super::{
    BAD, BOLD, FAINT, GOOD, activity, escape, escape_line, shown, style_of, styled, words,
};

/// Turns events into lines, knowing what came before.
#[derive(Debug, Default)]
pub struct EventLines {
    attempt: Option<u64>,
    status: String,
    silent: String,
    agent: String,
    cost: Option<f64>,
}

impl EventLines {
    /// The lines for one event; none for what a person need not see, or has just seen.
    pub fn of(&mut self, name: &str, payload: &Value) -> Vec<String> {
        let told = match payload["evidence"].is_object() {
            true => &payload["evidence"],
            false => payload,
        };
        let line = |field: &str| escape_line(&shown(told, field)).into_owned();
        match name {
            "connected" => {
                self.agent = words(&payload["run"], "agent");
                Vec::new()
            }
            "status" => self.status(payload),
            "output" => self.output(payload),
            "evidence" => vec![format!(
                "+ evidence for {} ({}) {}",
                line("item_key"),
                line("kind"),
                styled(FAINT, line("evidence_id"))
            )],
            "validated" => vec![styled(
                GOOD,
                format!(
                    "+ {} validated by {}",
                    line("item_key"),
                    line("validated_by")
                ),
            )],
            "rejected" => vec![styled(
                BAD,
                format!("- {} rejected: {}", line("item_key"), line("reason")),
            )],
            "candidate" => vec![candidate(&payload["merge"]["items"])],
            "merged" => vec![styled(
                GOOD,
                format!(
                    "merged as {}",
                    escape_line(&first(payload, &["merge_commit", "commit"]))
                ),
            )],
            "stopping" => vec![styled(FAINT, "the server stops; its agents go on")],
            "aborted" => vec![styled(BAD, "aborted")],
            "restored" => vec!["restored".into()],
            _ => Vec::new(),
        }
    }

    fn status(&mut self, payload: &Value) -> Vec<String> {
        let status = words(payload, "status");
        let silent = words(payload, "supervisor_silent");
        if silent != self.silent && status == self.status {
            self.silent.clone_from(&silent);
            let line = match silent.as_str() {
                "" => "its supervisor answers again".to_owned(),
                why => format!("nothing is heard of its supervisor ({})", escape_line(why)),
            };
            return vec![styled(FAINT, line)];
        }
        if status == self.status || status.is_empty() {
            return Vec::new();
        }
        self.status.clone_from(&status);
        let mut line = format!("[{}]", escape_line(&status));
        let failure = &payload["failure"];
        if failure.is_object() {
            line += &format!(
                " {}: {}",
                escape_line(&words(failure, "code")),
                escape_line(&words(failure, "detail"))
            );
        }
        let merge = &payload["merge"];
        if merge["code"].is_string() {
            line += &format!(
                " the merge stopped: {}: {}",
                escape_line(&words(merge, "code")),
                escape_line(&words(merge, "detail"))
            );
        }
        vec![styled(style_of(&status), line)]
    }

    fn output(&mut self, payload: &Value) -> Vec<String> {
        let mut lines = Vec::new();
        let attempt = payload["attempt"].as_u64();
        if let (Some(before), Some(now)) = (self.attempt, attempt)
            && before != now
        {
            lines.push(styled(BOLD, format!("--- attempt {now} ---")));
        }
        self.attempt = attempt.or(self.attempt);
        let activities = payload["events"].as_array().map_or(&[][..], Vec::as_slice);
        for activity in activities {
            lines.extend(activity::lines(activity));
            lines.extend(self.cost_so_far(activity));
        }
        // Of Claude the text is its own protocol, whose events stand beside it; of any other program it is what a
        // person wants to read.
        if activities.is_empty() && self.agent != "claude" {
            let text = text_of(payload);
            if !text.is_empty() {
                lines.push(escape(text.strip_suffix('\n').unwrap_or(&text)).into_owned());
            }
        }
        lines
    }

    /// Costs that are told while the agent works; its last word has the final one.
    fn cost_so_far(&mut self, activity: &Value) -> Option<String> {
        let cost = activity["cost_usd"].as_f64()?;
        let news = activity["type"] == "usage" && self.cost != Some(cost);
        self.cost = Some(cost);
        news.then(|| styled(FAINT, format!("  ${cost:.4} so far")))
    }
}

fn candidate(items: &Value) -> String {
    let keys = items.as_array().into_iter().flatten();
    let keys: Vec<String> = keys.map(|item| words(item, "item_key")).collect();
    let line = match keys.join(", ").as_str() {
        "" => "the result of the merge is made".to_owned(),
        keys => format!(
            "checks run on the result of the merge: {}",
            escape_line(keys)
        ),
    };
    styled(FAINT, line)
}

fn first(payload: &Value, fields: &[&str]) -> String {
    let found = fields.iter().map(|field| words(payload, field));
    found
        .into_iter()
        .find(|text| !text.is_empty())
        .unwrap_or_else(|| "-".into())
}

fn text_of(payload: &Value) -> String {
    match (payload["text"].as_str(), payload["base64"].as_str()) {
        (Some(text), _) => text.to_owned(),
        (None, Some(coded)) => base64::engine::general_purpose::STANDARD
            .decode(coded)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default(),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain(lines: Vec<String>) -> Vec<String> {
        lines
            .iter()
            .map(|line| anstream::adapter::strip_str(line).to_string())
            .collect()
    }

    #[test]
    fn a_status_is_told_once_with_its_failure() {
        let mut lines = EventLines::default();
        let failed = json!({"status": "failed", "failure": {"code": "auth", "detail": "no key"}});
        assert_eq!(
            plain(lines.of("status", &failed)),
            ["[failed] auth: no key"]
        );
        assert_eq!(plain(lines.of("status", &failed)), [""; 0]);
    }

    #[test]
    fn the_text_of_a_plain_program_is_shown_and_claudes_protocol_is_not() {
        let output = json!({"attempt": 1, "text": "STUB: hello\n", "events": []});
        let mut stub = EventLines::default();
        stub.of("connected", &json!({"run": {"agent": "stub"}}));
        assert_eq!(stub.of("output", &output), ["STUB: hello"]);
        let mut claude = EventLines::default();
        claude.of("connected", &json!({"run": {"agent": "claude"}}));
        assert_eq!(claude.of("output", &output), [""; 0]);
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_escaped() {
        let mut lines = EventLines::default();
        let output = json!({"attempt": 1, "base64": "G1szMW3/"});
        assert_eq!(lines.of("output", &output), ["\\u001b[31m\u{fffd}"]);
    }

    #[test]
    fn a_new_attempt_is_announced() {
        let mut lines = EventLines::default();
        lines.of("output", &json!({"attempt": 1, "text": "a"}));
        assert_eq!(
            plain(lines.of("output", &json!({"attempt": 2, "text": "b"}))),
            ["--- attempt 2 ---", "b"]
        );
    }
}
