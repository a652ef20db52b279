//! What a git said, for machines: bytes, lines, fields, hashes.

use super::error::Error;

/// What a call ended with.
#[derive(Debug)]
pub(crate) struct Output {
    pub(super) call: String,
    pub(super) code: i32,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
    pub(super) truncated: bool,
}

impl Output {
    pub(crate) fn code(&self) -> i32 {
        self.code
    }

    pub(crate) fn stdout(&self) -> &[u8] {
        &self.stdout
    }

    pub(crate) fn into_stdout(self) -> Vec<u8> {
        self.stdout
    }

    /// Only for knowing that something was said.
    pub(crate) fn stderr(&self) -> &str {
        &self.stderr
    }

    pub(crate) fn truncated(&self) -> bool {
        self.truncated
    }

    /// The answer as one line of text.
    pub(crate) fn line(&self) -> String {
        String::from_utf8_lossy(&self.stdout)
            .trim_end_matches(['\n', '\0'])
            .to_owned()
    }

    /// The answer as an object's hash.
    pub(crate) fn hash<T: std::str::FromStr>(&self) -> Result<T, Error> {
        let line = self.line();
        line.parse().map_err(|_| self.unreadable(&line))
    }

    /// The fields of an answer with `-z`.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &[u8]> {
        let body = self.stdout.strip_suffix(b"\0").unwrap_or(&self.stdout);
        body.split(|byte| *byte == 0)
            .filter(|_| !self.stdout.is_empty())
    }

    /// The call failed, though it had no reason that has a name.
    pub(crate) fn failed(&self) -> Error {
        Error::Failed {
            call: self.call.clone(),
            code: self.code.to_string(),
            stderr: self.stderr.clone(),
        }
    }

    pub(crate) fn unreadable(&self, what: &str) -> Error {
        Error::Unreadable {
            call: self.call.clone(),
            what: what.chars().take(200).collect(),
        }
    }
}
