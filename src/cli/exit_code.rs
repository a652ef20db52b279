//! The exit codes: an API for scripts and for systemd. A code never changes its meaning; new ones are added at the end.

use std::fmt::Write as _;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// It did what was asked.
    Ok = 0,
    /// It failed in a way that has no code of its own.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// No server answers.
    Unreachable = 3,
    /// There is no such run, evidence or workflow.
    NotFound = 4,
    /// The server refused: the gate, the run's state or who asks does not allow it.
    Refused = 5,
    /// The run that was followed failed or was aborted.
    RunFailed = 6,
    /// The repository is none.
    NotARepository = 10,
    /// The repository has no such base branch.
    NoSuchBase = 11,
    /// The installed git is too old, or there is none.
    GitTooOld = 12,
    /// The database was written by a newer version of this program.
    DatabaseNewer = 13,
    /// Something else listens on the port.
    PortTaken = 14,
    /// A folder cannot be written to.
    FolderNotWritable = 15,
    /// A setting in a flag, a variable or the file is wrong.
    ConfigWrong = 16,
    /// Another server works on the same database.
    InUse = 17,
    /// The database, or an archive of one, is damaged.
    Damaged = 18,
    /// A check did not pass, or was not run.
    CheckFailed = 19,
    /// The merge that was looked at is not what was proven.
    Unproven = 20,
}

impl ExitCode {
    /// All of them, in the order of their numbers.
    pub const ALL: [ExitCode; 18] = [
        ExitCode::Ok,
        ExitCode::Failed,
        ExitCode::Usage,
        ExitCode::Unreachable,
        ExitCode::NotFound,
        ExitCode::Refused,
        ExitCode::RunFailed,
        ExitCode::NotARepository,
        ExitCode::NoSuchBase,
        ExitCode::GitTooOld,
        ExitCode::DatabaseNewer,
        ExitCode::PortTaken,
        ExitCode::FolderNotWritable,
        ExitCode::ConfigWrong,
        ExitCode::InUse,
        ExitCode::Damaged,
        ExitCode::CheckFailed,
        ExitCode::Unproven,
    ];

    /// The number that the shell sees.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// What it means, for `--help` and the documentation.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            ExitCode::Ok => "done",
            ExitCode::Failed => "failed, for a reason that the message tells",
            ExitCode::Usage => "the command line is wrong",
            ExitCode::Unreachable => "no server answers",
            ExitCode::NotFound => "no such run, evidence or workflow",
            ExitCode::Refused => "refused: the gate, the run's state or who asks does not allow it",
            ExitCode::RunFailed => "the run that was followed failed or was aborted",
            ExitCode::NotARepository => "server start: not a git repository",
            ExitCode::NoSuchBase => "server start: no such base branch",
            ExitCode::GitTooOld => "server start: git is too old or missing",
            ExitCode::DatabaseNewer => {
                "server start: the database is of a newer version of this program"
            }
            ExitCode::PortTaken => "server start: the port is taken",
            ExitCode::FolderNotWritable => "server start: a folder cannot be written to",
            ExitCode::InUse => "server start: another server works on the same database",
            ExitCode::CheckFailed => "a check did not pass, or was not run",
            ExitCode::Damaged => "the database or the archive is damaged",
            ExitCode::Unproven => "the merge is not what was proven",
            ExitCode::ConfigWrong => "a setting in a flag, a variable or the file is wrong",
        }
    }

    /// The lines of `--help`.
    pub(super) fn table() -> String {
        let mut out = String::from("Exit codes:\n");
        for code in ExitCode::ALL {
            let _ = writeln!(out, "  {:>2}  {}", code.number(), code.meaning());
        }
        out
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        std::process::ExitCode::from(code.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_codes_are_listed_once_in_order() {
        let numbers: Vec<u8> = ExitCode::ALL.iter().map(|code| code.number()).collect();
        assert_eq!(
            numbers,
            [
                0, 1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20
            ]
        );
    }
}
