//! Checks: run by the service once the agent has ended, when the branch moves and when somebody asks; their results are
//! evidence, and the agent is told what did not pass.

mod asked;
mod cached;
mod ended;
mod feedback;
mod passed;
mod unfooled;

use serde_json::{Value, json};

use crate::support::run::Run;
use crate::support::server::Server;

impl Server {
    /// A run whose Definition of Done is these items and nothing else, and whose agent carries out this script.
    #[track_caller]
    fn checked(&self, script: &str, dod: &Value) -> Run<'_> {
        let workflow = json!({"prompt_template": "{{ prompt }}", "dod": dod});
        self.put("/api/workflows/checked", &workflow);
        self.run_with(script, &json!({"mode": "checked"}))
    }

    /// A command that says it has begun by one mark and waits for another.
    fn held(&self, begun: &str, until: &str) -> String {
        let (begun, until) = (self.mark_path(begun), self.mark_path(until));
        format!("touch {begun}; while [ ! -e {until} ]; do sleep 0.02; done")
    }
}

/// An item with this check.
fn item(key: &str, cmd: &str) -> Value {
    json!({"key": key, "check": {"cmd": cmd}})
}

/// All check evidence of an item, as the run's detail has it.
#[track_caller]
fn results(detail: &Value, key: &str) -> Vec<Value> {
    let items = detail["dod_items"].as_array().unwrap().iter();
    let mut items = items.filter(|item| item["item_key"] == key);
    let evidence = items.next().unwrap()["evidence"].as_array().unwrap();
    evidence
        .iter()
        .filter(|e| e["author"] == "check")
        .cloned()
        .collect()
}

/// The code with which the newest check of an item did not pass; nothing if it did.
#[track_caller]
fn code(detail: &Value, key: &str) -> Option<String> {
    let newest = results(detail, key).pop().expect("it was checked");
    newest["check"]["code"].as_str().map(str::to_owned)
}

/// The log of a check.
#[track_caller]
fn log(run: &Run<'_>, evidence: &Value) -> String {
    let id = evidence["evidence_id"].as_str().unwrap();
    let answer = run.get(&format!("/evidence/{id}/payload"));
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.bytes).unwrap()
}
