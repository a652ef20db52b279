//! What a person sees: lines and tables on standard output, coloured on a terminal only, with nothing in them that
//! could steer the terminal.
//!
//! Text from agents, issues and the server goes through [`escape`] or [`escape_line`] on its way here.

mod activity;
mod escape;
mod event;
mod run_words;
mod table;

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write};

use anstyle::{AnsiColor, Style};
use serde_json::Value;

pub use escape::{escape, escape_line};
pub use event::EventLines;
pub use run_words::{age, id, shown, words};
pub use table::{Column, table};

use super::error::CliError;

/// Faint text: what is of second interest.
pub const FAINT: Style = Style::new().dimmed();
/// What catches the eye first.
pub const BOLD: Style = Style::new().bold();
/// What went well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// What went wrong.
pub const BAD: Style = AnsiColor::Red.on_default();
/// What is under way or wants attention.
pub const BUSY: Style = AnsiColor::Yellow.on_default();

/// Text in a style.
pub fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// The style of a run's or an item's status.
#[must_use]
pub fn style_of(status: &str) -> Style {
    match status {
        "finished" | "merged" | "validated" | "done" | "ok" => GOOD,
        "failed" | "aborted" | "fail" | "error" => BAD,
        "warn" | "warning" | "pending" => BUSY,
        _ => Style::new(),
    }
}

/// Writes a line to standard output. The text is already escaped; styles are taken out where no terminal reads.
pub fn line(text: impl Display) -> Result<(), CliError> {
    Ok(writeln!(anstream::stdout(), "{text}")?)
}

/// Writes a line to standard error, for a person who watches. That it cannot be written is no failure.
pub fn remark(text: impl Display) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Writes an answer of the API as it came. Only where a terminal reads, control characters in it become `\u` escapes,
/// which JSON reads as the same text.
pub fn json(text: &str) -> Result<(), CliError> {
    let text = text.trim_end();
    if text.is_empty() {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    if out.is_terminal() {
        writeln!(out, "{}", escape(text))?;
    } else {
        writeln!(out, "{text}")?;
    }
    Ok(())
}

/// Writes a value as one line of JSON.
pub fn json_line(value: &Value) -> Result<(), CliError> {
    json(&value.to_string())
}

/// Copies bytes as they are, also to a terminal: who asks for raw bytes gets them.
pub fn raw(mut from: impl io::Read) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    io::copy(&mut from, &mut out)?;
    Ok(out.flush()?)
}
