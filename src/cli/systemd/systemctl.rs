//! The user's systemd: whether it is there, and the one place that runs `systemctl`.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::config::Surroundings;

/// Whether a systemd of the user is running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserManager {
    /// It answers.
    Running,
    /// It does not, for this reason.
    Absent(String),
}

/// Looks for the manager's own socket, as `systemctl --user` does: no program has to be run to know.
pub fn user_manager(around: &Surroundings) -> UserManager {
    let Some(folder) = around.variable("XDG_RUNTIME_DIR") else {
        let why = "no user systemd is running here (XDG_RUNTIME_DIR is not set)";
        return UserManager::Absent(why.into());
    };
    let socket = Path::new(folder).join("systemd/private");
    match UnixStream::connect(&socket) {
        Ok(_) => UserManager::Running,
        Err(why) => UserManager::Absent(format!(
            "no user systemd is running here ({}: {why})",
            socket.display()
        )),
    }
}

/// Runs `systemctl --user` with these arguments and gives what it printed.
#[expect(
    clippy::disallowed_methods,
    reason = "systemctl is run here and nowhere else"
)]
pub fn systemctl(arguments: &[&str]) -> anyhow::Result<String> {
    let called = format!("systemctl --user {}", arguments.join(" "));
    let output = Command::new("systemctl")
        .arg("--user")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run `{called}`"))?;
    let printed = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() {
        return Ok(printed);
    }
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    bail!(
        "`{called}` failed ({}): {printed}{complaint}",
        output.status
    )
}
