//! One strike: where, at which passage, and what it does; and what an undisturbed story passes.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;

use crate::support::server::{Server, Setup};

/// What happens at an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The process ends as by kill -9.
    Abort,
    /// The effect fails.
    Error,
    /// It waits.
    Delay,
}

/// A strike.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The names of effects, with the role of the process that passes them. One, but for a delay.
    pub points: Vec<String>,
    pub action: Action,
    /// At which passage in a process, from 1; a delay is at each.
    pub passage: usize,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let points = self.points.join(" ");
        write!(f, "{:?} at {points} ({})", self.action, self.passage)
    }
}

const STRUCK: &str = "marks/struck";
const TRACE: &str = "marks/trace";

impl Fault {
    /// From the next start on it may strike, once; a delay strikes always.
    pub fn arm(&self, setup: &Setup) {
        let before = match self.passage {
            1 => String::new(),
            n => format!("{}*off->", n - 1),
        };
        let what = match self.action {
            Action::Abort => format!("{before}1*return(abort)"),
            Action::Error => format!("{before}1*return(error)"),
            Action::Delay => "return(delay)".to_owned(),
        };
        let points = self.points.iter();
        let points: Vec<_> = points.map(|point| format!("{point}={what}")).collect();
        setup.set_variable("FAILPOINTS", &points.join(";"));
        if self.action == Action::Delay {
            trace(setup);
        } else {
            let once = setup.at(STRUCK).display().to_string();
            setup.set_variable("FAILPOINTS_ONCE", &once);
        }
    }

    pub fn has_struck(&self, server: &Server) -> bool {
        match self.action {
            Action::Delay => {
                let passed = passages(server);
                self.points.iter().all(|point| passed.contains_key(point))
            }
            Action::Abort | Action::Error => server.at(STRUCK).exists(),
        }
    }

    /// Whether it is the service itself that is struck.
    pub fn is_in_service(&self) -> bool {
        !self.points.iter().any(|point| point.contains(':'))
    }

    /// Whether an attempt may fail so: by the death of a process, or because a step of its start or end failed.
    pub fn may_fail_as(&self, code: &str) -> bool {
        let of_error = ["place_failed", "spawn_failed", "settle_failed"];
        match self.action {
            Action::Delay => false,
            Action::Error => of_error.contains(&code),
            // The death of a supervisor or of a gate is told; that of the service is made good.
            Action::Abort => {
                !self.is_in_service() && ["spawn_failed", "unknown", "killed"].contains(&code)
            }
        }
    }
}

/// From the next start on, passages are counted.
pub fn trace(setup: &Setup) {
    setup.set_variable("FAILPOINTS_TRACE", &setup.at(TRACE).display().to_string());
}

/// How often each effect was passed, in the process that passed it most.
pub fn passages(setup: &Setup) -> BTreeMap<String, usize> {
    let mut by_process: BTreeMap<(String, String), usize> = BTreeMap::new();
    for line in fs::read_to_string(setup.at(TRACE))
        .unwrap_or_default()
        .lines()
    {
        let (process, name) = line.split_once(' ').unwrap();
        *by_process
            .entry((name.to_owned(), process.to_owned()))
            .or_default() += 1;
    }
    let mut most = BTreeMap::new();
    for ((name, _), count) in by_process {
        let known: &mut usize = most.entry(name).or_default();
        *known = count.max(*known);
    }
    most
}
