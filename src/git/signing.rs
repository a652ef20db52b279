//! Signatures of merges by an SSH key, and what they say.
//!
//! git calls `ssh-keygen` for both; it is found once, at the start. A key with a passphrase is used through an agent:
//! nobody is there to type.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::call::Call;
use super::error::Error;
use super::program::find_executable;
use super::repository::{Identity, Repository};
use crate::run::{CommitId, TreeId};

/// What merges are signed with.
#[derive(Debug, Clone)]
pub struct Signing {
    key: PathBuf,
    ssh_keygen: PathBuf,
    agent: Option<OsString>,
}

/// Why merges cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// No folder of the search path has it.
    #[error("ssh-keygen was not found on PATH; install the OpenSSH client")]
    Missing,
    /// The key cannot be read.
    #[error("the key {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The key.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It was tried, and there was no signature.
    #[error("the key {} does not sign: {why}", path.display())]
    Refused {
        /// The key.
        path: PathBuf,
        /// What git said.
        why: String,
    },
    /// git failed.
    #[error(transparent)]
    Git(#[from] Error),
}

impl Signing {
    /// Signs with this key: a private one, or a public one whose private half an agent has. `search_path` is the value of
    /// `PATH`, `agent` that of `SSH_AUTH_SOCK`.
    ///
    /// # Errors
    /// The key cannot be read, or there is no `ssh-keygen`.
    pub fn with(
        key: &Path,
        search_path: &OsStr,
        agent: Option<&OsStr>,
    ) -> Result<Signing, SigningError> {
        std::fs::read(key).map_err(|source| SigningError::Unreadable {
            path: key.to_owned(),
            source,
        })?;
        Ok(Signing {
            key: key.to_owned(),
            ssh_keygen: ssh_keygen(search_path).ok_or(SigningError::Missing)?,
            agent: agent.map(OsStr::to_owned),
        })
    }

    fn onto(&self, call: Call) -> Call {
        let call = by_ssh(call, &self.ssh_keygen)
            .config_os("user.signingKey=", self.key.as_os_str())
            // Never ask a terminal for a passphrase.
            .env("SSH_ASKPASS", "/bin/false")
            .env("SSH_ASKPASS_REQUIRE", "force")
            .arg("-S");
        match &self.agent {
            Some(agent) => call.env("SSH_AUTH_SOCK", agent),
            None => call,
        }
    }
}

fn by_ssh(call: Call, ssh_keygen: &Path) -> Call {
    call.config("gpg.format=ssh")
        .config_os("gpg.ssh.program=", ssh_keygen.as_os_str())
}

/// The first `ssh-keygen` in the value of `PATH`.
#[must_use]
pub fn ssh_keygen(search_path: &OsStr) -> Option<PathBuf> {
    find_executable(search_path, "ssh-keygen")
}

/// What the signature of a commit says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// There is none.
    None,
    /// It is by one of those who may sign: what `ssh-keygen` said of it, for people.
    Good(String),
    /// It is not: what was said.
    Bad(String),
}

impl Repository {
    /// Signs merges from now on.
    ///
    /// # Errors
    /// A signature was tried, and there was none.
    pub async fn sign_with(&mut self, signing: Signing) -> Result<(), SigningError> {
        let aside = self.aside()?;
        let tree = aside
            .of(self.call("mktree"))
            .run()
            .await?
            .hash::<TreeId>()?;
        let call = aside.of(signing.onto(self.call("commit-tree")));
        let call = call.args(["-m", "a trial", tree.as_str()]);
        let tried = Identity::service().onto(call).run_any().await?;
        if tried.code() != 0 {
            return Err(SigningError::Refused {
                path: signing.key,
                why: tried.stderr().to_owned(),
            });
        }
        self.signing = Some(signing);
        Ok(())
    }

    /// The call of `commit-tree`, signed if merges are.
    pub(super) fn signed(&self, call: Call) -> Call {
        match &self.signing {
            Some(signing) => signing.onto(call),
            None => call,
        }
    }

    /// Whether the commit has a signature at all.
    ///
    /// # Errors
    /// git failed.
    pub async fn is_signed(&self, commit: &CommitId) -> Result<bool, Error> {
        let call = self.call("cat-file").args(["commit", commit.as_str()]);
        let bytes = call.run().await?.into_stdout();
        let text = String::from_utf8_lossy(&bytes);
        let header = text.split("\n\n").next().unwrap_or_default();
        Ok(header.lines().any(|line| line.starts_with("gpgsig")))
    }

    /// What the commit's signature says, if these may sign (ssh-keygen(1), ALLOWED SIGNERS).
    ///
    /// # Errors
    /// git failed.
    pub async fn signature_of(
        &self,
        commit: &CommitId,
        allowed_signers: &Path,
        ssh_keygen: &Path,
    ) -> Result<Signature, Error> {
        if !self.is_signed(commit).await? {
            return Ok(Signature::None);
        }
        let call = by_ssh(self.call("verify-commit"), ssh_keygen)
            .config_os("gpg.ssh.allowedSignersFile=", allowed_signers.as_os_str())
            .args(["--raw", commit.as_str()]);
        let output = call.run_any().await?;
        let said = output.stderr().replace('\n', "; ");
        Ok(match output.code() {
            0 => Signature::Good(said),
            _ => Signature::Bad(said),
        })
    }
}
