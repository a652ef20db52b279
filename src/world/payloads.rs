//! I8: every payload of evidence is there: with the bytes that it had, or, where the look is to be quick, with as many.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read as _};

use sha2::{Digest as _, Sha256};

use super::Runs;
use super::finding::{Code, Finding};
use crate::dod::content::{ContentStore, hex, sha256_hex};
use crate::dod::{Evidence, Payload};
use crate::store::audit::Depth;

const BACKUP: &str =
    "bring the file back from a backup of the state root, or attach the evidence anew";

/// What was found, and how many files were looked at.
pub(super) fn check(content: &ContentStore, runs: &Runs, depth: Depth) -> (Vec<Finding>, u64) {
    let mut findings = Vec::new();
    let mut files = 0;
    let mut seen = BTreeSet::new();
    for told in runs.values() {
        for evidence in &told.run.evidence {
            // The same bytes are kept once.
            if !seen.insert(&evidence.sha256) {
                continue;
            }
            let wrong = match &evidence.payload {
                Payload::Text { text } => {
                    let same = sha256_hex(text.as_bytes()) == evidence.sha256;
                    (!same).then_some((Code::PayloadChanged, "has other words".to_owned()))
                }
                Payload::Url { .. } => None,
                Payload::File { .. } => {
                    files += 1;
                    match is_whole(content, evidence, depth) {
                        Ok(true) => None,
                        Ok(false) => Some((Code::PayloadChanged, "has other bytes".to_owned())),
                        Err(error) if error.kind() == ErrorKind::NotFound => {
                            Some((Code::PayloadMissing, "is not there".to_owned()))
                        }
                        Err(error) => {
                            Some((Code::PayloadMissing, format!("cannot be read: {error}")))
                        }
                    }
                }
            };
            if let Some((code, how)) = wrong {
                let detail = format!("the payload of evidence {} {how}", evidence.id);
                findings.push(
                    Finding::new(code, format!("sha256 {}", evidence.sha256), detail)
                        .of(told.run.id)
                        .by_hand(BACKUP),
                );
            }
        }
    }
    (findings, files)
}

fn is_whole(content: &ContentStore, evidence: &Evidence, depth: Depth) -> std::io::Result<bool> {
    match depth {
        Depth::Newest => {
            let file = content.open_payload(&evidence.sha256)?;
            Ok(file.metadata()?.len() == evidence.size)
        }
        Depth::Whole => Ok(digest(content, &evidence.sha256)? == evidence.sha256),
    }
}

fn digest(content: &ContentStore, sha256: &str) -> std::io::Result<String> {
    let mut file = content.open_payload(sha256)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hash.finalize())),
            Ok(n) => hash.update(&buffer[..n]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
