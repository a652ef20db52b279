//! Any program as an agent: the workflow's `command`, with the prompt on stdin.
//!
//! It has no format of its own: each line that it prints is text, and its exit code is its last word.
//! It gets none of the keys that belong to an agent which we know; a workflow names what it needs in `pass_env`.

use super::activity::{Activity, TEXT_MAX, capped};
use super::environment::Environment;
use super::invocation::{Refused, Work, absolute};

/// The workflow's command, its program found on the PATH that it will have.
pub(crate) fn argv(work: &Work<'_>, env: &Environment) -> Result<Vec<String>, Refused> {
    let named = work.spec.settings.command.as_deref().unwrap_or_default();
    let [program, arguments @ ..] = named else {
        return Err(Refused::NoCommand);
    };
    let mut argv = vec![absolute(program, work.worktree, env.get("PATH"))?];
    argv.extend_from_slice(arguments);
    Ok(argv)
}

/// The line as text, or nothing if it is empty.
pub(crate) fn parse(line: &[u8]) -> Vec<Activity> {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Vec::new();
    }
    vec![Activity::Text {
        text: capped(text, TEXT_MAX),
    }]
}
