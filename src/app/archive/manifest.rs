//! What an archive says of itself.

use serde::{Deserialize, Serialize};

use crate::run::RunId;

/// The form of archives that this program writes. A change that an older program would misread needs a new number.
pub(super) const FORMAT: u32 = 2;

/// What an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The whole database with its payloads.
    Backup,
    /// Runs, to be taken into any database.
    Export,
}

/// A member of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// Their SHA-256.
    pub sha256: String,
}

/// A run that is not in an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its id.
    pub run: RunId,
    /// What it was at.
    pub phase: String,
}

/// What an archive holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of the archive.
    pub format: u32,
    /// What it is.
    pub kind: Kind,
    /// The version of the program that made it.
    pub program: String,
    /// When.
    pub made_at: String,
    /// The version of the database.
    pub schema: i64,
    /// How many runs are in it.
    pub runs: u64,
    /// How many events.
    pub events: u64,
    /// Payloads that evidence names and that were not there, or not as they were written, when it was made.
    pub lacking: Vec<String>,
    /// Runs that are not in it, for they were at work.
    pub left_out: Vec<LeftOut>,
    /// All members before this one, in their order.
    pub members: Vec<Member>,
}

impl Manifest {
    /// One of this program, made now, with nothing in it yet.
    pub(super) fn new(kind: Kind, schema: i64) -> Manifest {
        Manifest {
            format: FORMAT,
            kind,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            made_at: crate::clock::rfc3339(crate::clock::now()),
            schema,
            runs: 0,
            events: 0,
            lacking: Vec::new(),
            left_out: Vec::new(),
            members: Vec::new(),
        }
    }

    /// Of how many runs there is output in it.
    #[must_use]
    pub fn outputs(&self) -> usize {
        let names = self.members.iter().map(|member| Name::parse(&member.name));
        names
            .filter(|name| matches!(name, Some(Name::Output(_))))
            .count()
    }

    /// How many payloads are in it.
    #[must_use]
    pub fn payloads(&self) -> usize {
        let names = self.members.iter().map(|member| Name::parse(&member.name));
        names
            .filter(|name| matches!(name, Some(Name::Payload(_))))
            .count()
    }
}

/// What a member is: the only names that are read, so that none can lead out of its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    Database,
    Events,
    Runs,
    Workflows,
    Payload(String),
    Output(RunId),
    Record(RunId, u32, Record),
}

/// A file of an attempt. What starts it (`launch.json`) is none of these: it may have keys in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record {
    Started,
    Exit,
    Stderr,
}

impl Record {
    pub(super) const ALL: [Record; 3] = [Record::Started, Record::Exit, Record::Stderr];

    pub(super) fn file(self) -> &'static str {
        match self {
            Record::Started => "started.json",
            Record::Exit => "exit.json",
            Record::Stderr => "stderr",
        }
    }
}

pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const SEAL: &str = "seal.sha256";

impl Name {
    pub(super) fn parse(name: &str) -> Option<Name> {
        match name {
            "database.sqlite" => return Some(Name::Database),
            "events.jsonl" => return Some(Name::Events),
            "runs.jsonl" => return Some(Name::Runs),
            "workflows.jsonl" => return Some(Name::Workflows),
            _ => {}
        }
        if let Some(sha256) = name.strip_prefix("evidence/") {
            let hexadecimal = sha256.len() == 64
                && sha256
                    .bytes()
                    .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            return hexadecimal.then(|| Name::Payload(sha256.to_owned()));
        }
        let (run, file) = name.strip_prefix("runs/")?.split_once('/')?;
        let id: RunId = run.parse().ok()?;
        let found = match file {
            "output" => Name::Output(id),
            file => {
                let (number, file) = file.strip_prefix("attempts/")?.split_once('/')?;
                let record = Record::ALL.into_iter().find(|known| known.file() == file)?;
                Name::Record(id, number.parse().ok()?, record)
            }
        };
        // Only as it would have been written.
        (found.text() == name).then_some(found)
    }

    pub(super) fn text(&self) -> String {
        match self {
            Name::Database => "database.sqlite".to_owned(),
            Name::Events => "events.jsonl".to_owned(),
            Name::Runs => "runs.jsonl".to_owned(),
            Name::Workflows => "workflows.jsonl".to_owned(),
            Name::Payload(sha256) => format!("evidence/{sha256}"),
            Name::Output(run) => format!("runs/{run}/output"),
            Name::Record(run, number, record) => {
                format!("runs/{run}/attempts/{number}/{}", record.file())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written_and_no_others() {
        let run = RunId(uuid::Uuid::now_v7());
        let sha256 = "a0".repeat(32);
        for name in [
            Name::Database,
            Name::Events,
            Name::Runs,
            Name::Workflows,
            Name::Payload(sha256),
            Name::Output(run),
            Name::Record(run, 12, Record::Exit),
        ] {
            assert_eq!(Name::parse(&name.text()), Some(name));
        }
        for name in [
            "",
            "/etc/passwd",
            "evidence/../../x",
            "runs/../output",
            "evidence/",
            "runs//output",
            "runs/01934e2a-0000-7000-8000-0123456789ab/attempts/01/exit.json",
            "runs/01934e2a-0000-7000-8000-0123456789ab/attempts/1/launch.json",
            "runs/01934e2a-0000-7000-8000-0123456789ab/attempts/../output",
            "database.sqlite/",
        ] {
            assert_eq!(Name::parse(name), None, "{name}");
        }
    }
}
