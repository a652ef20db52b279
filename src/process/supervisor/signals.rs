//! Signals as something to wait for: children that ended, and somebody who wants the supervisor gone.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use signal_hook::consts::{
    SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU,
    SIGUSR1, SIGUSR2, SIGWINCH,
};

/// The signals of this process, from here on blocked and read.
pub(super) struct Signals(SignalFd);

impl Signals {
    pub(super) fn block() -> io::Result<Signals> {
        let mut set = SigSet::empty();
        for signal in [
            Signal::SIGCHLD,
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGHUP,
        ] {
            set.add(signal);
        }
        set.thread_block()?;
        // Were it ignored, as it may be inherited, the kernel would take the children's exit codes away (wait(2)).
        signal_hook::flag::register(SIGCHLD, Arc::default())?;
        Ok(Signals(SignalFd::with_flags(
            &set,
            SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC,
        )?))
    }

    /// Takes all that came; whether one of them asks for the end (TERM or INT, as at a shutdown of the machine).
    pub(super) fn take(&self) -> bool {
        let mut asked = false;
        while let Ok(Some(signal)) = self.0.read_signal() {
            let number = i32::try_from(signal.ssi_signo).ok();
            asked |=
                number == Some(Signal::SIGTERM as i32) || number == Some(Signal::SIGINT as i32);
        }
        asked
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// No signal is ignored in what is exec'd next.
///
/// Who starts the service in the background of a script has SIGINT ignored, and nohup(1) SIGHUP; that is inherited down
/// to the agent, which could then not be asked to end. A handler is not: exec sets the signal back to its default
/// (execve(2)). So each gets one, whatever it does. What comes before the exec is lost, and nobody sends anything
/// to an agent that is not there yet.
pub(super) fn ignore_none() -> io::Result<()> {
    let unheard = Arc::new(AtomicBool::new(false));
    for signal in [
        SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGCHLD, SIGCONT, SIGTSTP,
        SIGTTIN, SIGTTOU, SIGWINCH,
    ] {
        signal_hook::flag::register(signal, unheard.clone())?;
    }
    Ok(())
}

/// Blocks nothing: a mask is inherited, and the agent's must be that of a fresh process.
pub(super) fn unblock_all() -> io::Result<()> {
    Ok(SigSet::empty().thread_set_mask()?)
}
