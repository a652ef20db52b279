//! What the model says.

use std::time::Duration;

use serde_json::{Value, json};

/// What the model says in one session, answer by answer. After the last one it says that there is no more.
#[derive(Debug, Clone)]
pub struct Scenario {
    answers: Vec<Answer>,
    /// Give this answer to every call, whatever was said before.
    always: Option<Answer>,
}

/// One answer of the model's API.
#[derive(Debug, Clone)]
pub enum Answer {
    /// It says a text and ends its turn.
    Text(String),
    /// It calls a tool. `{cwd}` in the input's texts becomes the agent's current directory.
    Tool(&'static str, Value),
    /// An HTTP error of this status.
    Status(u16),
    /// An HTTP error of this status that asks to wait for so many seconds.
    RetryAfter(u16, u64),
    /// The connection breaks off after these words.
    Cut(String),
    /// It says these words and closes as if that were all, but with no reason for the end: what a gateway makes of a
    /// stream that broke off.
    NoEnd(String),
    /// It says these words, one at a time, with so long between them.
    Slow(String, Duration),
    /// It says a word and then nothing more, until the client goes away.
    Hang,
}

impl Answer {
    /// It says a text and ends its turn.
    pub fn text(text: &str) -> Self {
        Answer::Text(text.to_owned())
    }

    /// It runs a command in the shell tool.
    pub fn bash(command: &str) -> Self {
        Answer::Tool(
            "Bash",
            json!({"command": command, "description": "what the test says", "timeout": 120_000}),
        )
    }

    /// It runs a command in the background and is woken when that ends.
    pub fn background_bash(command: &str) -> Self {
        Answer::Tool(
            "Bash",
            json!({"command": command, "description": "what the test says", "run_in_background": true}),
        )
    }

    /// It writes a file, by its path in the current directory.
    pub fn write(path: &str, content: &str) -> Self {
        Answer::Tool(
            "Write",
            json!({"file_path": format!("{{cwd}}/{path}"), "content": content}),
        )
    }
}

impl Scenario {
    /// These answers, one after the other.
    pub fn of(answers: impl IntoIterator<Item = Answer>) -> Self {
        Scenario {
            answers: answers.into_iter().collect(),
            always: None,
        }
    }

    /// This answer to every call.
    pub fn always(answer: Answer) -> Self {
        Scenario {
            answers: Vec::new(),
            always: Some(answer),
        }
    }

    /// The good case: writes `hello.txt`, runs `cat hello.txt && git status --short`, says `DONE: hello.txt written.`
    pub fn edits_a_file_and_runs_a_command() -> Self {
        Scenario::of([
            Answer::write("hello.txt", "hello from the mock\n"),
            Answer::bash("cat hello.txt && git status --short"),
            Answer::text("DONE: hello.txt written."),
        ])
    }

    /// The agent writes `hello.txt` and commits it itself, as `hello: written by the agent`.
    pub fn edits_a_file_and_commits_it() -> Self {
        Scenario::of([
            Answer::write("hello.txt", "hello from the mock\n"),
            Answer::bash(
                "git add hello.txt && git -c user.name=Agent -c user.email=agent@example.invalid \
                 commit -q -m 'hello: written by the agent'",
            ),
            Answer::text("DONE: hello.txt committed."),
        ])
    }

    /// Every call fails with this status.
    pub fn every_call_answers(status: u16) -> Self {
        Scenario::always(Answer::Status(status))
    }

    /// A command that writes its shell's pid into `tool.pid` and goes on until there is a file `tool.stop` (or
    /// the folder is removed, or for two minutes): for what is done to an agent in mid-tool. The shell outlives an
    /// agent that is killed.
    pub fn runs_a_command_until_told_to_stop() -> Self {
        Scenario::of([
            Answer::bash(
                "echo $$ > tool.pid.new; mv tool.pid.new tool.pid; i=0; \
                 while [ -e tool.pid ] && [ ! -e tool.stop ] && [ $i -lt 1200 ]; do sleep 0.1; i=$((i+1)); done; echo stopped",
            ),
            Answer::text("DONE: the command was told to stop."),
        ])
    }

    /// A command in the background that ends after the turn does: the agent is woken and has two last words.
    pub fn has_two_last_words() -> Self {
        Scenario::of([
            Answer::background_bash("sleep 1; echo background over"),
            Answer::text("The command runs in the background."),
            Answer::text("DONE: the background command is over."),
        ])
    }

    /// Two turns: the first says `FIRST`, a follow-up that resumes the session gets `SECOND`.
    pub fn answers_a_follow_up() -> Self {
        Scenario::of([Answer::text("FIRST"), Answer::text("SECOND")])
    }

    pub(super) fn answer(&self, said: usize) -> Answer {
        self.always
            .clone()
            .or_else(|| self.answers.get(said).cloned())
            .unwrap_or_else(|| Answer::text("(the scenario has no more answers)"))
    }
}
