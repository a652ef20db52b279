//! The supervisor's loop: select, handle, respond, until the agent's main process has ended.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitStatus, getpgid, kill_process, kill_process_group};

use super::listener::Listener;
use super::reap::{Child, reap};
use super::signals::Signals;
use super::stopping::{Send, Stopping};
use crate::process::control::{Request, Status};
use crate::process::limits::LimitWatch;
use crate::process::records::{Launch, StopSignal};
use crate::run::{EndedBy, Exit};

/// An agent at work.
pub(super) struct Watch<'a> {
    agent: Pid,
    begun: Instant,
    output: &'a File,
    output_from: u64,
    stopping: Stopping,
    limits: LimitWatch,
}

impl<'a> Watch<'a> {
    pub(super) fn new(
        launch: &Launch,
        agent: Pid,
        begun: Instant,
        output: &'a File,
        output_from: u64,
    ) -> Watch<'a> {
        Watch {
            agent,
            begun,
            output,
            output_from,
            stopping: Stopping::new(&launch.stop),
            limits: LimitWatch::new(launch.limits, begun, begun),
        }
    }

    /// Waits for the end of the agent's main process, and makes it end when it has to.
    pub(super) fn until_the_end(
        mut self,
        signals: &Signals,
        listener: &mut Listener,
    ) -> io::Result<(Exit, EndedBy)> {
        loop {
            self.wait_for_something(signals, listener)?;
            let asked = signals.take();
            if let Some(exit) = self.reap_all() {
                return Ok((exit, self.stopping.ended_by().unwrap_or(EndedBy::Itself)));
            }
            let now = Instant::now();
            if asked {
                self.stopping.stop(EndedBy::Stop, now);
            }
            listener.serve(now, |request| self.carry_out(request, now));
            self.hold_limits(now);
            if let Some(send) = self.stopping.next(now) {
                self.send(send);
            }
        }
    }

    fn wait_for_something(&self, signals: &Signals, listener: &Listener) -> io::Result<()> {
        let due = [self.stopping.due(), self.look_due(), listener.due()];
        let timeout = due.into_iter().flatten().min().map(|due| {
            // Rounded up by the kernel's own granularity: a poll never returns before its time.
            due.saturating_duration_since(Instant::now())
        });
        let mut fds = vec![PollFd::new(signals, PollFlags::IN)];
        for fd in listener.waits_on() {
            fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
        }
        match poll(&mut fds, timeout.map(timespec).as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Takes all ended children away, so that no zombies of a long run pile up; the agent's end if it is among them.
    fn reap_all(&self) -> Option<Exit> {
        let mut exit = None;
        while let Child::Ended(pid, status) = reap() {
            if pid == self.agent {
                exit = Some(exit_of(status));
            }
        }
        exit
    }

    fn carry_out(&mut self, request: Request, now: Instant) -> Status {
        match request {
            Request::Stop { ended_by } => self.stopping.stop(ended_by, now),
            Request::Kill { ended_by } => self.stopping.kill(ended_by, now),
            Request::Status {} => {}
        }
        Status {
            pid: self.agent.as_raw_nonzero().get(),
            stopping: self.stopping.ended_by(),
            output_bytes: self.output_bytes(),
            running_ms: millis(now.saturating_duration_since(self.begun)),
        }
    }

    /// Limits no longer count once it is being stopped.
    fn look_due(&self) -> Option<Instant> {
        self.stopping.ended_by().map_or(self.limits.due(), |_| None)
    }

    fn hold_limits(&mut self, now: Instant) {
        if self.look_due().is_none_or(|due| now < due) {
            return;
        }
        match self.limits.look(self.output_bytes(), now) {
            // The disk comes first: what floods is not given seconds to go on.
            Some(EndedBy::OutputSize) => self.stopping.kill(EndedBy::OutputSize, now),
            Some(by) => self.stopping.stop(by, now),
            None => {}
        }
    }

    fn output_bytes(&self) -> u64 {
        let size = self.output.metadata().map_or(0, |metadata| metadata.len());
        size.saturating_sub(self.output_from)
    }

    /// To the agent's process group, and to the agent itself where it has left its group. It has not been waited for, so
    /// the numbers are still its own.
    fn send(&self, send: Send) {
        let signal = match send {
            Send::Ask(StopSignal::Hup) => Signal::HUP,
            Send::Ask(StopSignal::Int) => Signal::INT,
            Send::Ask(StopSignal::Term) => Signal::TERM,
            Send::Kill => Signal::KILL,
        };
        let to_group = kill_process_group(self.agent, signal).is_ok();
        if !to_group || getpgid(Some(self.agent)) != Ok(self.agent) {
            // Gone meanwhile is as good.
            let _gone = kill_process(self.agent, signal);
        }
    }
}

fn exit_of(status: WaitStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Unknown,
    }
}

/// Whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
