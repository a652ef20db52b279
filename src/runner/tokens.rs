//! The tokens of agents: what a run's agent shows to be known as that run's.
//!
//! A token is the run's id with its HMAC (RFC 2104, SHA-256) under a secret of this service, so that nothing is kept for
//! each run and a token outlives a restart. The secret is made once, in a file that only the service's user can read.
//!
//! Deliberately absent: what a token opens (the door for programs), and whether its run is at an end (the app).

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::run::RunId;

/// What every token begins with, so that it is known for one where it should not be.
const PREFIX: &str = "agent_runner_run.";

/// What the secret is used for here, so that nothing else that it may be used for gives a token.
const PURPOSE: &[u8] = b"agent_runner_api agent token 1\0";

/// Bytes of the secret.
const SECRET_LEN: usize = 32;

/// Makes the tokens of agents, and knows them again.
pub struct AgentTokens {
    secret: [u8; SECRET_LEN],
}

/// The token of one run. It is shown to nobody but that run's agent.
#[derive(Clone, PartialEq, Eq)]
pub struct AgentToken(String);

impl AgentToken {
    /// The token itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AgentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgentToken(…)")
    }
}

impl fmt::Debug for AgentTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgentTokens(…)")
    }
}

impl AgentTokens {
    /// Those under the secret in this file; the secret is made if it is not there.
    ///
    /// # Errors
    /// The file cannot be read or written, or is no secret.
    pub fn open(path: &Path) -> io::Result<AgentTokens> {
        let mut secret = [0; SECRET_LEN];
        match File::open(path) {
            Ok(mut file) => {
                file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
                if file.metadata()?.len() != SECRET_LEN as u64 {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("it has not {SECRET_LEN} bytes"),
                    ));
                }
                file.read_exact(&mut secret)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                File::open("/dev/urandom")?.read_exact(&mut secret)?;
                write_whole(path, &secret)?;
            }
            Err(error) => return Err(error),
        }
        Ok(AgentTokens { secret })
    }

    /// The token of this run.
    #[must_use]
    pub fn of(&self, run: RunId) -> AgentToken {
        let tag = self.mac(run).finalize().into_bytes();
        AgentToken(format!("{PREFIX}{run}.{}", URL_SAFE_NO_PAD.encode(tag)))
    }

    /// The run whose token this is, if it is one of ours. Takes as long for every wrong tag.
    #[must_use]
    pub fn run_of(&self, shown: &str) -> Option<RunId> {
        let (id, tag) = shown.strip_prefix(PREFIX)?.split_once('.')?;
        let run: RunId = id.parse().ok()?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        // One run has one token: other ways to write its id are none.
        let known = id == run.to_string() && self.mac(run).verify_slice(&tag).is_ok();
        known.then_some(run)
    }

    fn mac(&self, run: RunId) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes keys of any length");
        mac.update(PURPOSE);
        mac.update(run.0.as_bytes());
        mac
    }
}

/// The file is there whole or not at all. Nobody else writes it: the service is alone with its folder.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&aside, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_token_is_known_for_its_run_alone_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token-secret");
        let tokens = AgentTokens::open(&path).unwrap();
        let (one, other) = (RunId(Uuid::now_v7()), RunId(Uuid::now_v7()));
        let token = tokens.of(one);
        let again = AgentTokens::open(&path).unwrap();
        assert_eq!(again.of(one), token);
        assert_eq!(again.run_of(token.reveal()), Some(one));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let of_another_run = token.reveal().replace(&one.to_string(), &other.to_string());
        let upper = token
            .reveal()
            .replace(&one.to_string(), &one.to_string().to_uppercase());
        for wrong in [
            "",
            PREFIX,
            &token.reveal()[..token.reveal().len() - 1],
            &format!("{}A", token.reveal()),
            &of_another_run,
            &upper,
        ] {
            assert_eq!(again.run_of(wrong), None, "{wrong}");
        }
        let elsewhere = AgentTokens::open(&folder.path().join("another")).unwrap();
        assert_eq!(elsewhere.run_of(token.reveal()), None);
        assert_eq!(
            format!("{token:?} {tokens:?}"),
            "AgentToken(…) AgentTokens(…)"
        );
    }

    #[test]
    fn a_file_that_is_no_secret_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token-secret");
        std::fs::write(&path, "short").unwrap();
        assert!(AgentTokens::open(&path).is_err());
    }
}
