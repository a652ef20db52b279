//! `/proc`, as far as it is needed: who a process is, its children, its environment. See proc(5).

use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::Pid;

/// Some fields of `/proc/<pid>/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    /// One letter: R, S, D, T, Z …
    pub state: char,
    /// The parent's pid, 0 for none.
    pub parent: i32,
    /// The process group.
    pub group: i32,
    /// Clock ticks from boot to the start of the process.
    pub start_ticks: u64,
}

impl Stat {
    /// Whether it still can do something: neither a zombie nor being removed.
    pub(super) fn living(self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }

    /// Whether somebody keeps it from doing anything, a signal or a debugger.
    pub(super) fn held(self) -> bool {
        matches!(self.state, 'T' | 't')
    }
}

/// The state of a process now; `None` where there is no such process.
pub(super) fn stat(pid: Pid) -> io::Result<Option<Stat>> {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => parse_stat(&text).map(Some).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "unreadable /proc/<pid>/stat")
        }),
        Err(e) if gone(&e) => Ok(None),
        Err(e) => Err(e),
    }
}

/// The program's name in the second field may hold spaces and parentheses, so the fields are counted from the last one.
fn parse_stat(text: &str) -> Option<Stat> {
    let mut fields = text[text.rfind(')')? + 1..].split_ascii_whitespace();
    Some(Stat {
        state: fields.next()?.chars().next()?,
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
        start_ticks: fields.nth(16)?.parse().ok()?,
    })
}

/// The time since the boot of the machine, sleep included (proc_uptime(5)).
pub(super) fn uptime() -> io::Result<Duration> {
    let text = fs::read_to_string("/proc/uptime")?;
    let seconds = text
        .split_ascii_whitespace()
        .next()
        .and_then(|word| word.parse().ok());
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unreadable /proc/uptime"))
}

/// The children of a single-threaded process, zombies among them.
///
/// From `/proc/<pid>/task/<pid>/children`, and from all of `/proc` on a kernel that was built without that file.
pub(super) fn children(pid: Pid) -> io::Result<Vec<Pid>> {
    match fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")) {
        Ok(text) => Ok(text
            .split_ascii_whitespace()
            .filter_map(|word| Pid::from_raw(word.parse().ok()?))
            .collect()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => children_by_search(pid),
        Err(e) => Err(e),
    }
}

fn children_by_search(parent: Pid) -> io::Result<Vec<Pid>> {
    let of_parent = |pid: &Pid| matches!(stat(*pid), Ok(Some(stat)) if stat.parent == parent.as_raw_nonzero().get());
    Ok(all()?.into_iter().filter(of_parent).collect())
}

/// Every process, in the order of `/proc`.
pub(super) fn all() -> io::Result<Vec<Pid>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok());
        pids.extend(pid.and_then(Pid::from_raw));
    }
    Ok(pids)
}

/// Whether `NAME=value` is in the environment with which a process was executed. What may not be read has it not.
pub(super) fn has_variable(pid: Pid, variable: &[u8]) -> bool {
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|v| v == variable))
}

/// What follows `NAME=` in the environment with which a process was executed. What may not be read has it not.
pub(super) fn variable(pid: Pid, prefix: &[u8]) -> Option<Vec<u8>> {
    let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut variables = environ.split(|byte| *byte == 0);
    variables.find_map(|v| v.strip_prefix(prefix).map(<[u8]>::to_vec))
}

/// No such process: the directory is gone, or was when it was read.
fn gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::getpid;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let text = "77 (a) R 1 (b) S 42 77 77 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 9 9\n";
        let expected = Stat {
            state: 'S',
            parent: 42,
            group: 77,
            start_ticks: 123_456,
        };
        assert_eq!(parse_stat(text), Some(expected));
    }

    #[test]
    fn what_is_not_a_stat_line_is_not_read() {
        for text in ["", "77", "77 (a", "77 (a) S", "77 (a) S 1 2 3"] {
            assert_eq!(parse_stat(text), None, "{text:?}");
        }
    }

    #[test]
    fn this_process_is_alive_and_no_process_is_not() {
        assert!(stat(getpid()).unwrap().unwrap().living());
        let beyond_pid_max = Pid::from_raw(i32::MAX).unwrap();
        assert_eq!(stat(beyond_pid_max).unwrap(), None);
    }
}
