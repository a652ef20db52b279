//! The supervisor: a small process of its own that owns one agent. One thread, no runtime, nothing in memory but its state.
//!
//! ```text
//! claim the launch -> own session, subreaper -> open files -> hear where it was put -> gate -> control socket -> started.json
//!   -> open the gate -> watch -> main process ended -> sweep all that is left -> exit.json -> gone
//! ```
//!
//! Deliberately absent: reading the output, retries, any knowledge of agents or runs. What it cannot do it says in
//! `supervisor.log`, its standard error.

mod claim;
mod exec_gate;
mod listener;
mod placed;
mod reap;
mod signals;
mod stopping;
mod watch;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use rustix::process::{WaitOptions, getpgrp, getpid, set_child_subreaper, setsid, waitpid};

use super::Identity;
use super::containment::Placement;
use super::control::SOCKET;
use super::records::{ExitRecord, Launch, Record, RefusedAt, Started};
use super::start::Report;
use crate::clock;
use crate::effect::{self, Effect};
use crate::run::{EndedBy, Exit, Strain};
use claim::{Claimed, claim};
pub use exec_gate::exec_gate_main;
use exec_gate::{Gate, refusal};
use listener::Listener;
use placed::placed;
use reap::{Swept, sweep};
use signals::Signals;
use watch::{Watch, millis};

/// How often and how far apart the exit record is tried. While the disk is full it is tried for ever: as long as this
/// process lives the exit is not lost.
const RECORD_TRIES: u32 = 30;
const RECORD_PAUSE: Duration = Duration::from_secs(1);

/// The hidden subcommand `supervise <attempt dir>`: runs the launch in that directory to its end. Returns the exit code.
pub fn supervise_main(dir: &Path) -> i32 {
    match supervise(dir) {
        Ok(()) => 0,
        Err(why) => {
            note(&why);
            tell(&Report::Failed(why));
            1
        }
    }
}

fn supervise(dir: &Path) -> Result<(), String> {
    let claimed = claim(dir)?;
    let launch = &claimed.launch;
    let told = |what: &'static str| move |e: io::Error| format!("{what}: {e}");
    own_session().map_err(told("setsid"))?;
    // Not that of the path that it was started by, which is the service's own.
    rustix::thread::set_name(c"supervisor").map_err(|e| told("PR_SET_NAME")(e.into()))?;
    set_child_subreaper(Some(getpid())).map_err(|e| told("PR_SET_CHILD_SUBREAPER")(e.into()))?;
    let signals = Signals::block().map_err(told("signalfd"))?;
    let output = append(&launch.output)?;
    let stderr = append(&launch.stderr)?;
    let output_from = output.metadata().map_err(told("the output file"))?.len();
    let agents_output = output.try_clone().map_err(told("the output file"))?;

    let placement = placed().map_err(told("the starter"))?;
    let spawned = effect::begins(Effect::GateSpawn)
        .map_err(io::Error::from)
        .and_then(|()| Gate::spawn(dir, launch, agents_output, stderr));
    let gate = match spawned {
        Ok(gate) => gate,
        Err(e) => {
            let refused = refusal(RefusedAt::Gate, "spawning the gate", &e);
            tell(&Report::Refused(refused));
            return Ok(());
        }
    };
    // The gate makes itself ready beside this.
    let mut listener = Listener::bind(dir).map_err(told("the control socket"))?;
    // An agent can fill the disk, and its exit code is known here alone.
    ExitRecord::reserve(dir).map_err(|e| e.to_string())?;
    let agent = gate.pid;
    let cgroup = placement.cgroup.clone();
    if let Some(cgroup) = &cgroup {
        // The gate is shut, so nothing of the agent has been outside of it.
        let pid = agent.as_raw_nonzero().get().cast_unsigned();
        let entered = cgroup.take_in_agent(pid);
        entered.map_err(told("putting the agent into its cgroup"))?;
    }
    let started = recorded(dir, &claimed, &gate, output_from, placement)?;
    let begun = Instant::now();
    let (exit, ended_by, refused) = match gate.open() {
        Ok(()) => {
            effect::comes(Effect::AgentStarted);
            tell(&Report::Started(started));
            let (exit, ended_by) = Watch::new(launch, agent, begun, &output, output_from)
                .until_the_end(&signals, &mut listener)
                .map_err(told("poll"))?;
            (exit, ended_by, None)
        }
        Err(refused) => {
            let _gate_ended = waitpid(Some(agent), WaitOptions::empty());
            (Exit::Unknown, EndedBy::Itself, Some(refused))
        }
    };
    let (ended_at, duration_ms) = (clock::now(), millis(begun.elapsed()));
    effect::comes(Effect::SupervisorSweep);
    let Swept { killed, left } = sweep(cgroup.as_ref());
    // Whoever reads the record may count on what the agent printed; a disk that fails here does not change how it ended.
    if let Err(e) = output.sync_all() {
        note(&format!("the output may not outlive a power cut: {e}"));
    }
    let record = with_usage(ExitRecord {
        exit,
        ended_by,
        ended_at,
        duration_ms,
        swept: killed,
        left,
        output_from,
        output_to: output.metadata().map_err(told("the output file"))?.len(),
        max_rss_kib: 0,
        user_ms: 0,
        system_ms: 0,
        refused: refused.clone(),
        strain: cgroup.map_or_else(Strain::default, |cgroup| cgroup.strain()),
    });
    write_persistently(&record, dir)?;
    // Nobody listens any more.
    let _absent = std::fs::remove_file(dir.join(SOCKET));
    if let Some(refused) = refused {
        tell(&Report::Refused(refused));
    }
    Ok(())
}

/// A session of its own, so that no terminal's signal reaches it.
fn own_session() -> io::Result<()> {
    // The leader of a process group, as under an interactive shell, cannot have one, and needs none.
    if getpgrp() != getpid() {
        setsid()?;
    }
    Ok(())
}

fn append(path: &Path) -> Result<File, String> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(|e| format!("{}: {e}", path.display()))
}

/// Puts on record who is going to run. The gate is still shut.
fn recorded(
    dir: &Path,
    claimed: &Claimed,
    gate: &Gate,
    output_from: u64,
    placement: Placement,
) -> Result<Started, String> {
    let Launch { run, attempt, .. } = claimed.launch;
    let started = Started {
        run,
        attempt,
        agent: Identity::of(gate.pid).map_err(|e| format!("/proc/{}: {e}", gate.pid))?,
        supervisor: claimed.supervisor.clone(),
        output_from,
        started_at: clock::now(),
        cgroup: placement.cgroup,
        notices: placement.notices,
    };
    started.write(dir).map_err(|e| e.to_string())?;
    Ok(started)
}

/// With what the children that were waited for have used. The system's numbers; where it has none they stay 0.
fn with_usage(record: ExitRecord) -> ExitRecord {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else {
        return record;
    };
    let number = |n: i64| u64::try_from(n).unwrap_or(0);
    ExitRecord {
        max_rss_kib: number(usage.max_rss()),
        user_ms: number(usage.user_time().num_milliseconds()),
        system_ms: number(usage.system_time().num_milliseconds()),
        ..record
    }
}

fn write_persistently(record: &ExitRecord, dir: &Path) -> Result<(), String> {
    let mut tries = 1;
    loop {
        match record.write(dir) {
            Ok(()) => return Ok(()),
            Err(e) if e.is_for_lack_of_room() => {}
            Err(e) if tries == RECORD_TRIES => return Err(e.to_string()),
            Err(e) => {
                note(&e.to_string());
                tries += 1;
            }
        }
        thread::sleep(RECORD_PAUSE);
    }
}

/// Tells the starter, who may be gone, and ends the conversation.
fn tell(report: &Report) {
    let mut line = serde_json::to_vec(report).unwrap_or_default();
    line.push(b'\n');
    let mut stdout = io::stdout().lock();
    let _unheard = stdout.write_all(&line).and_then(|()| stdout.flush());
    if let Ok(null) = OpenOptions::new().write(true).open("/dev/null") {
        let _still_open = rustix::stdio::dup2_stdout(null);
    }
}

/// Into the log; not `eprintln!`, which panics where the disk is full.
fn note(text: &str) {
    let _lost = writeln!(io::stderr(), "{} {text}", clock::rfc3339(clock::now()));
}
