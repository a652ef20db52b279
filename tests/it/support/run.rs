//! One run, as a client knows it.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::client::Answer;
use super::frames::Frames;
use super::server::Server;
use super::wait::until;

/// A run of a server.
pub struct Run<'a> {
    server: &'a Server,
    pub id: String,
    pub branch: String,
    pub worktree: PathBuf,
}

impl<'a> Run<'a> {
    /// The run that this answer to a request names.
    pub fn of(server: &'a Server, answer: &Value) -> Run<'a> {
        let text = |name: &str| answer[name].as_str().unwrap().to_owned();
        Run {
            server,
            id: text("run_id"),
            branch: text("branch"),
            worktree: text("worktree_path").into(),
        }
    }

    /// The path of something below this run.
    pub fn path(&self, rest: &str) -> String {
        format!("/api/runs/{}{rest}", self.id)
    }

    #[track_caller]
    pub fn get(&self, rest: &str) -> Answer {
        self.server.get(&self.path(rest))
    }

    #[track_caller]
    pub fn post(&self, rest: &str, body: &Value) -> Answer {
        self.server.post(&self.path(rest), body)
    }

    #[track_caller]
    pub fn detail(&self) -> Value {
        self.get("").expect(200)
    }

    #[track_caller]
    pub fn status(&self) -> String {
        self.detail()["status"].as_str().unwrap().to_owned()
    }

    /// Its stream, after the frame with this id or from now on.
    #[track_caller]
    pub fn frames(&self, last_id: Option<&str>) -> Frames {
        self.server.frames(&self.path("/sse"), last_id)
    }

    /// Waits until it says this status, and answers the run as it is then.
    #[track_caller]
    pub fn wait_for(&self, status: &str) -> Value {
        let at_rest = ["finished", "failed", "merged", "aborted"];
        let mut frames = self.frames(None);
        let first = frames.next().expect("a stream begins with a frame");
        let mut now = first.json["run"]["status"].clone();
        while now != status {
            let over = at_rest.contains(&now.as_str().unwrap_or_default());
            assert!(!over, "not {status}: {:#}", self.detail());
            let frame = frames.next();
            let frame = frame.unwrap_or_else(|| panic!("never {status}: {:#}", self.detail()));
            if let Some(next) = frame.json.get("status") {
                now = next.clone();
            }
        }
        self.detail()
    }

    /// What its agent printed, as it is on the server.
    #[track_caller]
    pub fn output(&self) -> Vec<u8> {
        let answer = self.get("/output");
        assert_eq!(answer.status, 200);
        answer.bytes
    }

    /// Words as evidence for an item; its id.
    #[track_caller]
    pub fn say(&self, item_key: &str, text: &str) -> String {
        let evidence = json!({"item_key": item_key, "kind": "text", "payload_text": text});
        let attached = self.post("/evidence", &evidence).expect(201);
        attached["evidence_id"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub fn validate(&self, evidence: &str) -> Answer {
        let by = json!({"validated_by": "Vera Validator"});
        self.post(&format!("/evidence/{evidence}/validate"), &by)
    }

    /// Evidence for the review that `prompt` asks for, validated: the gate is open then.
    #[track_caller]
    pub fn prove(&self) {
        let evidence = self.say("review", "read and found good");
        self.validate(&evidence).expect(200);
        let gate = self.get("/gate").expect(200);
        assert_eq!(gate["open"], true, "{gate}");
    }

    /// Evidence for this item, validated.
    #[track_caller]
    pub fn prove_item(&self, item_key: &str) {
        let evidence = self.say(item_key, "looked at and found good");
        self.validate(&evidence).expect(200);
    }

    #[track_caller]
    pub fn merge(&self) -> Answer {
        self.post("/merge", &json!({}))
    }

    /// Aborts it, and waits until all of its work is preserved, which happens after the answer.
    #[track_caller]
    pub fn abort(&self) -> Answer {
        let answer = self.abort_only();
        if answer.status == 200 {
            self.wait_until_preserved();
        }
        answer
    }

    /// Aborts it.
    #[track_caller]
    pub fn abort_only(&self) -> Answer {
        self.post("/abort", &json!({}))
    }

    /// Waits until what was uncommitted when it was aborted is kept.
    #[track_caller]
    pub fn wait_until_preserved(&self) {
        until("its work is preserved", || {
            self.detail()["preserving"] == false
        });
    }

    /// The names of the reasons for which the gate is shut, with their items.
    #[track_caller]
    pub fn blockers(&self) -> Vec<(String, String)> {
        blockers(&self.get("/gate").expect(200))
    }

    /// Waits until its worktree and its branch are gone, which happens after a merge was answered.
    #[track_caller]
    pub fn wait_until_gone(&self) {
        until("worktree and branch are gone", || {
            !self.worktree.exists() && !self.server.repo.has_branch(&self.branch)
        });
    }
}

/// The names of the reasons in a gate or a problem, with their items.
pub fn blockers(gate: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = gate["blockers"].as_array().expect("there are blockers");
    all.iter()
        .map(|blocker| (text(&blocker["code"]), text(&blocker["item_key"])))
        .collect()
}
