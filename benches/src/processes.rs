//! Other programs: git and the floors, and what the system says of a process.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;

/// A program with none of this machine's own configuration of git.
pub fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("GIT_AUTHOR_NAME", "Bench")
        .env("GIT_AUTHOR_EMAIL", "bench@localhost")
        .env("GIT_COMMITTER_NAME", "Bench")
        .env("GIT_COMMITTER_EMAIL", "bench@localhost")
        .stdin(Stdio::null());
    command
}

/// git in this folder; its output without the last line break.
pub fn git(folder: &Path, args: &[&str]) -> anyhow::Result<String> {
    let output = program("git").arg("-C").arg(folder).args(args).output();
    let output = output.context("git cannot be run")?;
    anyhow::ensure!(
        output.status.success(),
        "git {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

/// Spawns `/bin/true` and waits for it.
pub fn spawn_true() -> anyhow::Result<()> {
    Command::new("/bin/true")
        .env_clear()
        .stdin(Stdio::null())
        .status()?;
    Ok(())
}

/// A line of a file of /proc such as `VmRSS:    1234 kB`, in bytes.
pub fn bytes_of(pid: u32, file: &str, name: &str) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/{file}");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| {
        line.split_whitespace()
            .find_map(|word| word.parse::<f64>().ok())
    });
    Ok(kib.with_context(|| format!("{path} has no {name}"))? * 1024.0)
}

/// Seconds of CPU that a process has had.
pub fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after = text
        .rsplit_once(") ")
        .context("/proc/…/stat has no name")?
        .1;
    let ticks: f64 = after
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|word| word.parse::<f64>().ok())
        .sum();
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    Ok(ticks / per_second)
}

/// How many descriptors a process has open.
pub fn descriptors(pid: u32) -> anyhow::Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}
