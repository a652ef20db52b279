//! A client that does not give up: what was not answered, or answered with a fault of the service, it asks for again.

use std::cell::Cell;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::fault::{Action, Fault};
use crate::support::client::{Answer, Client};
use crate::support::fake_agent::prompt;
use crate::support::server::{Server, request};
use crate::support::wait::until;

/// How often one request may fail before somebody must say that the service is broken.
const TRIES: usize = 4;
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// The client, and whoever starts a service again that has died.
pub struct Patient<'a> {
    pub server: &'a Server,
    fault: Option<&'a Fault>,
    /// The first answers that said that something of the service had failed.
    problems: Cell<usize>,
    deaths: Cell<usize>,
}

impl<'a> Patient<'a> {
    pub fn of(server: &'a Server, fault: Option<&'a Fault>) -> Patient<'a> {
        Patient {
            server,
            fault,
            problems: Cell::new(0),
            deaths: Cell::new(0),
        }
    }

    fn struck(&self) -> bool {
        self.fault
            .is_some_and(|fault| fault.has_struck(self.server))
    }

    fn is(&self, action: Action) -> bool {
        self.fault.is_some_and(|fault| fault.action == action)
    }

    /// Waits for the strike, which may come in the background, and starts the service again if it has died of it or has
    /// told that it failed: the doctor tells that until the next start.
    pub fn heal(&self) {
        let Some(fault) = self.fault else { return };
        until("it strikes", || self.struck());
        if self.is(Action::Abort) && fault.is_in_service() && self.deaths.get() == 0 {
            self.revive();
        }
        if self.problems.get() > 0 {
            self.server.restart();
        }
    }

    /// Waits for what the service does by itself, though it may die of it.
    pub fn until_gone(&self, is_gone: impl Fn() -> bool) {
        until("it is gone", || {
            if self.server.has_ended() {
                self.revive();
            }
            is_gone()
        });
    }

    /// The same for what is left for the next start, if it fails.
    pub fn until_gone_at_last(&self, is_gone: impl Fn() -> bool) {
        if self.is(Action::Error) {
            // What is gone may have a last effect before it, as the way to the disk: it comes soon, or was not counted.
            let begun = Instant::now();
            let late = || begun.elapsed() > Duration::from_secs(5);
            until("it was struck, or is gone without", || {
                self.struck() || (late() && is_gone())
            });
            self.server.restart();
        }
        self.until_gone(is_gone);
    }

    /// Nobody answers: it has died, and whoever watches over it starts it again.
    fn revive(&self) {
        until("it has ended, or else it would have answered", || {
            self.server.has_ended()
        });
        self.died();
        self.start_until_up();
    }

    /// Starts the service, as often as it takes: it may be struck at its start.
    pub fn start_until_up(&self) {
        while !self.server.try_start_again() {
            self.died();
        }
    }

    fn died(&self) {
        let struck = self.struck();
        assert!(struck, "it died by itself:\n{}", self.server.log());
        self.deaths.set(self.deaths.get() + 1);
        assert!(self.deaths.get() <= 1, "one strike, and it died twice");
    }

    /// Asks until there is an answer that is not a fault of the service.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        for _ in 0..TRIES {
            let client = self.server.client();
            let Some(answer) = client.try_ask(method, path, headers, body) else {
                self.revive();
                continue;
            };
            if answer.status < 500 {
                return answer;
            }
            self.assert_told(&answer);
        }
        panic!("{method} {path}: it fails again and again");
    }

    /// A fault of the service is told clearly, after a strike, and once.
    fn assert_told(&self, answer: &Answer) {
        let problem = answer.json();
        assert!(self.struck(), "{problem:#}");
        assert!(!self.is(Action::Delay), "{problem:#}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let code = problem["code"].as_str().unwrap();
        assert!(["internal", "degraded"].contains(&code), "{problem:#}");
        self.problems.set(self.problems.get() + 1);
        assert!(
            self.problems.get() <= 1,
            "one strike, told twice: {problem:#}"
        );
    }

    pub fn get(&self, path: &str) -> Value {
        self.ask("GET", path, &[], b"").expect(200)
    }

    fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let headers = [&JSON, headers].concat();
        self.ask("POST", path, &headers, body.to_string().as_bytes())
    }

    /// Asks for something that may be under way already, until it is so.
    pub fn insist(&self, path: &str, body: &Value) -> Value {
        let mut answered = Value::Null;
        until("nothing else is under way", || {
            let answer = self.post(path, &[], body);
            answered = answer.json();
            let code = answered["code"].as_str().unwrap_or_default();
            let busy = ["merging", "aborting", "run_active"].contains(&code);
            // A retry may have to wait for the slot that the step which failed still has.
            assert!(
                busy || [200, 202].contains(&answer.status),
                "{path}: {answered:#}"
            );
            !busy
        });
        answered
    }

    /// Asks for a run by a key, as often as it takes.
    pub fn create(&self, script: &str) -> Value {
        let key = [("idempotency-key", "mine")];
        let answer = self.post("/api/runs", &key, &request(script, &json!({})));
        assert!([201, 202].contains(&answer.status), "{answer:?}");
        answer.json()
    }

    /// Waits until its agent works, or it is at rest already.
    pub fn started(&self, id: &str) {
        until("its agent works", || {
            let list = self.get("/api/runs");
            let mut all = list["runs"].as_array().unwrap().iter();
            let run = all.find(|run| run["id"] == id).expect("it is there");
            !["queued", "preparing"].contains(&run["status"].as_str().unwrap())
        });
    }

    /// The run once nothing goes on in it; this costs the service no git.
    pub fn at_rest(&self, id: &str) -> Value {
        let mut run = Value::Null;
        until("it is at rest", || {
            let list = self.get("/api/runs");
            let mut all = list["runs"].as_array().unwrap().iter();
            run = all
                .find(|run| run["id"] == id)
                .expect("it is there")
                .clone();
            let status = run["status"].as_str().unwrap();
            ["finished", "failed", "merged", "aborted"].contains(&status)
        });
        run
    }

    /// The run, once it has finished; an attempt that the strike has made fail is retried, as a person would.
    pub fn finished(&self, id: &str) -> Value {
        let retry = || drop(self.insist(&format!("/api/runs/{id}/retry"), &json!({})));
        self.finished_after(id, retry)
    }

    /// The same, with what is asked for where an attempt has failed.
    pub fn finished_after(&self, id: &str, again: impl Fn()) -> Value {
        let run = self.at_rest(id);
        if run["status"] == "finished" {
            return run;
        }
        let path = format!("/api/runs/{id}");
        let detail = self.get(&path);
        assert_eq!(run["status"], "failed", "{detail:#}");
        let code = detail["failure"]["code"].as_str().unwrap();
        let may_fail = self.fault.is_some_and(|fault| fault.may_fail_as(code));
        assert!(may_fail, "{detail:#}");
        assert!(self.struck(), "{detail:#}");
        again();
        let run = self.at_rest(id);
        assert_eq!(run["status"], "finished", "{run:#}");
        run
    }

    /// Asks for something that has no key; where no answer came, or a fault, it first looks whether it was heard.
    fn once(
        &self,
        ask: impl Fn(&Client) -> Option<Answer>,
        heard: impl Fn() -> Option<String>,
        ok: impl Fn(Answer) -> String,
    ) -> String {
        for _ in 0..TRIES {
            match ask(&self.server.client()) {
                Some(answer) if answer.status < 500 => return ok(answer),
                Some(answer) => self.assert_told(&answer),
                None => self.revive(),
            }
            if let Some(heard) = heard() {
                return heard;
            }
        }
        panic!("it fails again and again");
    }

    /// Tells the agent something more.
    pub fn message(&self, id: &str, script: &str) {
        let path = format!("/api/runs/{id}");
        let text = prompt(script);
        let body = json!({"text": text}).to_string();
        self.once(
            |client| client.try_ask("POST", &format!("{path}/messages"), &JSON, body.as_bytes()),
            || {
                let run = self.get(&path);
                let mut attempts = run["attempts"].as_array().unwrap().iter();
                attempts
                    .any(|a| a["message"] == text.as_str())
                    .then(String::new)
            },
            |answer| {
                assert!([200, 202].contains(&answer.status), "{answer:?}");
                String::new()
            },
        );
    }

    /// Brings an aborted run back.
    pub fn restore(&self, id: &str) {
        let path = format!("/api/runs/{id}");
        self.once(
            |client| client.try_ask("POST", &format!("{path}/restore"), &JSON, b"{}"),
            || (self.get(&path)["status"] != "aborted").then(String::new),
            |answer| {
                answer.expect(200);
                String::new()
            },
        );
    }

    /// Words as evidence for an item; its id.
    pub fn say(&self, id: &str, item_key: &str, text: &str) -> String {
        let body = json!({"item_key": item_key, "kind": "text", "payload_text": text}).to_string();
        let path = format!("/api/runs/{id}/evidence");
        self.once(
            |client| client.try_ask("POST", &path, &JSON, body.as_bytes()),
            || self.attached(id, |kept| kept["payload_text"] == text),
            |answer| evidence_id(&answer),
        )
    }

    /// A file as evidence for an item; its id.
    pub fn show(&self, id: &str, item_key: &str, file: (&str, &[u8])) -> String {
        let path = format!("/api/runs/{id}/evidence");
        self.once(
            |client| client.try_upload(&path, &[("item_key", item_key)], file),
            || self.attached(id, |kept| kept["item_key"] == item_key),
            |answer| evidence_id(&answer),
        )
    }

    fn attached(&self, id: &str, is_it: impl Fn(&Value) -> bool) -> Option<String> {
        let all = self.get(&format!("/api/runs/{id}/evidence"))["evidence"].clone();
        let found = all.as_array().unwrap().iter().find(|kept| is_it(kept))?;
        Some(found["id"].as_str().unwrap().to_owned())
    }

    /// Somebody else accepts it.
    pub fn validate(&self, id: &str, evidence: &str) {
        let by = json!({"validated_by": "Vera Validator"});
        self.insist(&format!("/api/runs/{id}/evidence/{evidence}/validate"), &by);
    }
}

fn evidence_id(answer: &Answer) -> String {
    answer.expect(201)["evidence_id"]
        .as_str()
        .unwrap()
        .to_owned()
}
