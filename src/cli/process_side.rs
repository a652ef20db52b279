//! The hidden commands that the server starts its agents with. Nothing but a door into `process`.
//!
//! They are looked for before the command line is parsed: a supervisor lives as long as its agent, and is small.

use std::ffi::OsString;
use std::path::Path;

use crate::process;

/// Carries out `supervise DIR`, `exec-gate DIR` and `hold-network -`; nothing if it is none of them.
#[must_use]
pub fn hidden(arguments: &[OsString]) -> Option<std::process::ExitCode> {
    let [_, command, dir] = arguments else {
        return None;
    };
    let code = match command.to_str()? {
        "supervise" => process::supervise_main(Path::new(dir)),
        "exec-gate" => process::exec_gate_main(Path::new(dir)),
        "hold-network" => process::hold_network_main(),
        _ => return None,
    };
    Some(std::process::ExitCode::from(
        u8::try_from(code).unwrap_or(u8::MAX),
    ))
}
