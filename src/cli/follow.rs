//! A run as it goes on: events shown as they come, until the run is at rest.

use std::time::Duration;

use serde_json::{Value, json};

use super::error::CliError;
use super::screen::{self, EventLines, words};
use super::wire::{Client, Event, Heard, Start, Stream, segment};

/// How long nothing more must come before a replay counts as read to its end. State and output come from two sources,
/// so a run's last status may arrive before its last output.
const QUIET: Duration = Duration::from_millis(400);

/// When to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// When the run is at rest: its agent has ended.
    Rest,
    /// When what there is has been shown.
    Shown,
}

/// How what is followed is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    Lines,
    Json,
    Nothing,
}

impl Shows {
    fn of(json: bool) -> Shows {
        if json { Shows::Json } else { Shows::Lines }
    }
}

/// A run being followed.
#[derive(Debug)]
pub struct Follow {
    client: Client,
    run: String,
    stream: Stream,
    lines: EventLines,
    shows: Shows,
    begun: bool,
    status: String,
    failure: Value,
}

impl Follow {
    /// All that a run did and does. With `json`, each event is shown as a line `{id, event, data}`.
    pub fn replay(client: &Client, run: &str, json: bool) -> Result<Follow, CliError> {
        // A replay begins without a snapshot, which tells whose output it is.
        let snapshot = client.fetch(&format!("/api/runs/{}", segment(run)))?.value;
        let mut follow = Follow::open(client, run, Start::Beginning, Shows::of(json))?;
        follow.lines.of("connected", &json!({"run": snapshot}));
        Ok(follow)
    }

    /// What a run does from now on; nothing of it is missed once this is back.
    pub fn from_now(client: &Client, run: &str, json: bool) -> Result<Follow, CliError> {
        let mut follow = Follow::open(client, run, Start::Now, Shows::of(json))?;
        follow.wait_connected()?;
        Ok(follow)
    }

    /// The same, and nothing of it is shown.
    pub fn unseen(client: &Client, run: &str) -> Result<Follow, CliError> {
        let mut follow = Follow::open(client, run, Start::Now, Shows::Nothing)?;
        follow.wait_connected()?;
        Ok(follow)
    }

    fn open(client: &Client, run: &str, start: Start, shows: Shows) -> Result<Follow, CliError> {
        let path = format!("/api/runs/{}/sse", segment(run));
        Ok(Follow {
            client: client.clone(),
            run: run.to_owned(),
            stream: Stream::open(client, path, start)?,
            lines: EventLines::default(),
            shows,
            begun: false,
            status: String::new(),
            failure: Value::Null,
        })
    }

    fn wait_connected(&mut self) -> Result<(), CliError> {
        loop {
            match self.stream.next(None)? {
                Heard::Event(event) => {
                    self.see(&event)?;
                    if event.name == "connected" {
                        return Ok(());
                    }
                }
                Heard::Nothing => {}
                Heard::Lost(why) => self.connect_again(&why)?,
            }
        }
    }

    /// The status that the server answered to a command, which is newer than what was seen.
    pub fn set_status(&mut self, answer: &Value) {
        let status = words(answer, "status");
        if !status.is_empty() {
            self.status = status;
        }
    }

    /// Shows events until it is time to stop.
    pub fn show(&mut self, until: Until) -> Result<(), CliError> {
        loop {
            // However slow the server is: before its first event, silence says nothing.
            let stopping = self.begun && (until == Until::Shown || self.at_rest());
            match self.stream.next(stopping.then_some(QUIET))? {
                Heard::Event(event) => self.see(&event)?,
                Heard::Nothing => return Ok(()),
                Heard::Lost(_) if stopping => return Ok(()),
                Heard::Lost(why) => self.connect_again(&why)?,
            }
        }
    }

    /// Shows events until the run is at rest; an error if it did not end well.
    pub fn show_to_the_end(mut self) -> Result<(), CliError> {
        self.show(Until::Rest)?;
        match self.status.as_str() {
            "finished" | "merged" => Ok(()),
            _ => Err(CliError::RunFailed(self.ending())),
        }
    }

    /// How it ended. An event may tell the status alone; the run itself knows why.
    fn ending(&self) -> String {
        let path = format!("/api/runs/{}", segment(&self.run));
        let failure = match (&self.failure, self.client.fetch(&path)) {
            (Value::Null, Ok(answer)) => answer.value["failure"].clone(),
            (told, _) => told.clone(),
        };
        let detail = words(&failure, "detail");
        let code = words(&failure, "code");
        match code.is_empty() {
            true => format!("the run is {}", self.status),
            false => format!("the run is {}: {detail} ({code})", self.status),
        }
    }

    fn at_rest(&self) -> bool {
        matches!(
            self.status.as_str(),
            "finished" | "failed" | "merged" | "aborted"
        )
    }

    fn connect_again(&mut self, why: &str) -> Result<(), CliError> {
        screen::remark(screen::styled(
            screen::FAINT,
            format!(
                "connection lost ({}), connecting again",
                screen::escape_line(why)
            ),
        ));
        self.stream.reconnect()
    }

    fn see(&mut self, event: &Event) -> Result<(), CliError> {
        self.begun = true;
        let payload: Value = serde_json::from_str(&event.payload).unwrap_or_default();
        let told = match event.name.as_str() {
            "connected" => Some(&payload["run"]),
            "status" => Some(&payload),
            _ => None,
        };
        if let Some(told) = told {
            self.set_status(told);
            self.failure.clone_from(&told["failure"]);
        }
        match event.name.as_str() {
            "merged" | "aborted" => event.name.clone_into(&mut self.status),
            _ => {}
        }
        match self.shows {
            Shows::Nothing => Ok(()),
            Shows::Json => {
                screen::json_line(&json!({"id": event.id, "event": event.name, "data": payload}))
            }
            Shows::Lines => {
                let mut lines = self.lines.of(&event.name, &payload).into_iter();
                lines.try_for_each(screen::line)
            }
        }
    }
}
