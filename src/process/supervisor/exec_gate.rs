//! The gate between the supervisor and the agent: a process that already is the agent's (same pid, session, output) but
//! waits until it is on record before it becomes the agent's program.
//!
//! They talk over a socket pair, the gate's standard input: one byte down opens the gate; up come [`PASSED`] right before the
//! exec, then either the end of file (the exec closed it) or a [`Refusal`] in JSON. A gate whose supervisor is gone ends.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal, setsid};

use super::signals::{ignore_none, unblock_all};
use crate::effect::{self, Effect};
use crate::process::network;
use crate::process::records::{ATTEMPT_MARKER, Launch, RUN_MARKER, Record, Refusal, RefusedAt};

/// Says that all before the exec went well.
const PASSED: u8 = b'x';
/// Opens the gate.
const OPEN: u8 = b'o';

/// The agent's process, before it is the agent.
pub(super) struct Gate {
    pub pid: Pid,
    socket: UnixStream,
}

impl Gate {
    /// Starts the process that becomes the agent. Dropping the gate ends it.
    pub(super) fn spawn(
        dir: &Path,
        launch: &Launch,
        output: File,
        stderr: File,
    ) -> io::Result<Gate> {
        let (socket, theirs) = UnixStream::pair()?;
        // Not by its path: a newer binary may be there by now.
        #[expect(clippy::disallowed_methods, reason = "agents are spawned here")]
        let child = Command::new("/proc/self/exe")
            .arg0("agent_runner_api")
            .arg("exec-gate")
            .arg(dir)
            .env_clear()
            .envs(effect::variables())
            .envs(markers(launch))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(output)
            .stderr(stderr)
            .spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        Ok(Gate {
            pid: pid.expect("the kernel gives positive pids"),
            socket,
        })
    }

    /// Lets it become the agent's program; returns when it has, or why not.
    pub(super) fn open(mut self) -> Result<(), Refusal> {
        let mut said = Vec::new();
        effect::begins(Effect::GateOpen)
            .map_err(io::Error::from)
            .and_then(|()| self.socket.write_all(&[OPEN]))
            .and_then(|()| self.socket.read_to_end(&mut said))
            .map_err(|e| refusal(RefusedAt::Gate, "the gate's socket", &e))?;
        let rest = said.strip_prefix(&[PASSED]);
        match rest {
            Some([]) => Ok(()),
            _ => Err(
                serde_json::from_slice(rest.unwrap_or(&said)).unwrap_or_else(|_| Refusal {
                    at: RefusedAt::Gate,
                    errno: 0,
                    text: "the gate ended without a word".to_owned(),
                }),
            ),
        }
    }
}

/// The hidden subcommand `exec-gate <attempt dir>`: becomes the agent's program. Returns an exit code only if it could not.
pub fn exec_gate_main(dir: &Path) -> i32 {
    let Ok(socket) = rustix::stdio::stdin().try_clone_to_owned() else {
        return 1;
    };
    let mut socket = UnixStream::from(socket);
    let Err(refusal) = pass(dir, &mut socket);
    if let Ok(text) = serde_json::to_vec(&refusal) {
        let _unheard = socket.write_all(&text);
    }
    1
}

/// Never returns where it succeeds: this process is the agent's then.
fn pass(dir: &Path, socket: &mut UnixStream) -> Result<std::convert::Infallible, Refusal> {
    let gate = |what: &'static str| move |e: io::Error| refusal(RefusedAt::Gate, what, &e);
    // The supervisor's death is the agent's; kept through the exec.
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|e| gate("PR_SET_PDEATHSIG")(e.into()))?;
    setsid().map_err(|e| gate("setsid")(e.into()))?;
    ignore_none().map_err(gate("sigaction"))?;
    unblock_all().map_err(gate("sigprocmask"))?;
    let launch = Launch::load(dir)
        .map_err(io::Error::other)
        .and_then(|launch| launch.ok_or_else(|| io::ErrorKind::NotFound.into()))
        .map_err(gate(Launch::FILE))?;

    socket
        .read_exact(&mut [0])
        .map_err(gate("the supervisor"))?;
    // It may have died before PDEATHSIG was set: then the parent is not the one who made the socket pair.
    let peer = rustix::net::sockopt::socket_peercred(&*socket)
        .map_err(|e| gate("SO_PEERCRED")(e.into()))?;
    if getppid() != Some(peer.pid) {
        return Err(gate("the supervisor")(io::ErrorKind::NotConnected.into()));
    }

    if let Some(holder) = launch.network {
        network::enter(holder).map_err(gate("its network"))?;
    }
    let cwd = launch.cwd.display();
    std::env::set_current_dir(&launch.cwd)
        .map_err(|e| refusal(RefusedAt::Cwd, &cwd.to_string(), &e))?;
    let stdin = File::open(&launch.stdin)
        .map_err(|e| refusal(RefusedAt::Stdin, &launch.stdin.display().to_string(), &e))?;
    let (program, arguments) = match launch.argv.split_first() {
        Some((program, arguments)) if program.starts_with('/') => (program, arguments),
        _ => {
            let not_absolute = io::Error::other("not an absolute path");
            let program = format!("{:?}", launch.argv.first());
            return Err(refusal(RefusedAt::Exec, &program, &not_absolute));
        }
    };
    effect::begins(Effect::AgentExec).map_err(|struck| gate("the exec")(struck.into()))?;
    socket
        .write_all(&[PASSED])
        .map_err(gate("the supervisor"))?;
    #[expect(
        clippy::disallowed_methods,
        reason = "this process becomes the agent here"
    )]
    let error = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(&launch.env)
        .envs(markers(&launch))
        .stdin(stdin)
        .exec();
    Err(refusal(RefusedAt::Exec, program, &error))
}

/// What every process of the attempt has in its environment.
fn markers(launch: &Launch) -> [(&'static str, String); 2] {
    [
        (RUN_MARKER, launch.run.to_string()),
        (ATTEMPT_MARKER, launch.attempt.to_string()),
    ]
}

pub(super) fn refusal(at: RefusedAt, what: &str, error: &io::Error) -> Refusal {
    Refusal {
        at,
        errno: error.raw_os_error().unwrap_or(0),
        text: format!("{what}: {error}"),
    }
}
