//! What a client asks for next.

use serde_json::{Value, json};

use crate::support::client::Answer;
use crate::support::fake_agent::{fake_agent, prompt};
use crate::support::held::Held;
use crate::support::server::{Server, request};

use super::Load;
use super::asked::{Asked, Message, Words};
use crate::faults::chance::Chance;

/// Runs that a client has open at once at the most: with three clients all ten slots are taken, and some runs wait.
const OPEN: usize = 8;

/// A workflow whose agent prints what its script says and nothing else.
pub fn put_workflow(server: &Server) {
    let workflow = json!({
        "prompt_template": "{{ prompt }}", "agent": "command", "dod": [{"key": "review"}],
        "settings": {"command": [fake_agent()]},
    });
    let answer = server.put("/api/workflows/plain", &workflow);
    assert!(answer.status < 300, "{answer:?}");
}

/// Asks for one thing; whether it was answered.
pub fn ask_something(
    load: &Load<'_>,
    name: usize,
    mine: &mut Vec<Asked>,
    chance: &mut Chance,
) -> bool {
    let open: Vec<usize> = (0..mine.len()).filter(|n| !mine[*n].is_over()).collect();
    if open.is_empty() || open.len() < OPEN && chance.below(2) == 0 {
        return create(load, name, mine, chance);
    }
    let run = &mut mine[open[chance.below(open.len())]];
    match chance.below(48) {
        0 => abort(load, run),
        1..=6 => message(load, run, chance),
        7..=19 => say(load, run, chance),
        20..=33 => validate(load, run, chance),
        34..=46 => merge(load, run),
        _ => load
            .client()
            .try_ask("GET", "/api/runs", &[], b"")
            .is_some(),
    }
}

fn post(load: &Load<'_>, path: &str, body: &Value) -> Option<Answer> {
    let json = [("content-type", "application/json")];
    load.client()
        .try_ask("POST", path, &json, body.to_string().as_bytes())
}

/// Asks for a run by a key, as often as it takes: one run comes of it.
fn create(load: &Load<'_>, name: usize, mine: &mut Vec<Asked>, chance: &mut Chance) -> bool {
    let server = load.server;
    let number = format!("{name}-{}", mine.len());
    let plain = chance.below(2) == 0;
    let exit_code = [0, 0, 0, 3][chance.below(4)];
    let held = Held::at(&server.at(&format!("marks/held-{number}")));
    let script = format!(
        "hold {}
         append {} worked
         print begins {number}
         spawn-setsid-double-fork 1000 {}
         sleep 0.{}
         write work-{number}.txt {number}
         print ends {number}
         exit {exit_code}",
        server.mark_path(&format!("held-{number}")),
        server.mark_path(&format!("times-{number}")),
        server.mark_path(&format!("away-{number}")),
        chance.below(10)
    );
    let more = if plain {
        json!({"mode": "plain"})
    } else {
        json!({})
    };
    let body = request(&script, &more).to_string();
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", number.as_str()),
    ];
    loop {
        let answer = load
            .client()
            .try_ask("POST", "/api/runs", &headers, body.as_bytes());
        let Some(answer) = answer else {
            load.wait_for_server();
            continue;
        };
        assert!(
            [201, 202].contains(&answer.status),
            "a run was refused: {answer:?}"
        );
        let id = answer.json()["run_id"].as_str().unwrap().to_owned();
        mine.push(Asked::new(id, number, plain, exit_code, held));
        return true;
    }
}

fn abort(load: &Load<'_>, run: &mut Asked) -> bool {
    run.abort_asked = true;
    let answer = post(load, &run.path("/abort"), &json!({}));
    run.aborted |= answer.as_ref().is_some_and(|answer| answer.status == 200);
    no_fault(answer)
}

fn merge(load: &Load<'_>, run: &mut Asked) -> bool {
    run.merge_asked = true;
    let answer = post(load, &run.path("/merge"), &json!({}));
    if let Some(answer) = answer.as_ref().filter(|answer| answer.status == 200) {
        run.merged = Some(answer.json()["commit"].as_str().unwrap().to_owned());
    }
    no_fault(answer)
}

fn message(load: &Load<'_>, run: &mut Asked, chance: &mut Chance) -> bool {
    if run.plain {
        return false;
    }
    let words = format!("message {} {}", run.messages.len(), run.number);
    let text = prompt(&format!(
        "print {words}\nsleep 0.{}\nappend more-{}.txt {words}",
        chance.below(4),
        run.number
    ));
    let answer = post(load, &run.path("/messages"), &json!({"text": text}));
    run.messages.push(Message {
        words,
        accepted: answer
            .as_ref()
            .map(|answer| [200, 202].contains(&answer.status)),
    });
    no_fault(answer)
}

fn say(load: &Load<'_>, run: &mut Asked, chance: &mut Chance) -> bool {
    let text = format!("words {} of {}", run.words.len(), run.number);
    let key = ["review", "review", "review", "note"][chance.below(4)];
    let body = json!({"item_key": key, "kind": "text", "payload_text": text});
    let answer = post(load, &run.path("/evidence"), &body);
    if let Some(answer) = answer.as_ref().filter(|answer| answer.status == 201) {
        let id = answer.json()["evidence_id"].as_str().unwrap().to_owned();
        run.words.push(Words {
            id,
            text,
            validated: false,
        });
    }
    no_fault(answer)
}

fn validate(load: &Load<'_>, run: &mut Asked, chance: &mut Chance) -> bool {
    if run.words.is_empty() {
        return false;
    }
    let n = run.words.len() - 1 - chance.below(run.words.len().min(2));
    let path = run.path(&format!("/evidence/{}/validate", run.words[n].id));
    let answer = post(load, &path, &json!({"validated_by": "Vera"}));
    run.words[n].validated |= answer.as_ref().is_some_and(|answer| answer.status == 200);
    no_fault(answer)
}

/// Whether it was answered; an answer is yes, or no because: never a fault of the service.
fn no_fault(answer: Option<Answer>) -> bool {
    if let Some(answer) = &answer {
        assert!(
            answer.status < 500,
            "{}: {}",
            answer.status,
            String::from_utf8_lossy(&answer.bytes)
        );
    }
    answer.is_some()
}
