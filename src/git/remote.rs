//! The remote that merges are pushed to, as the repository's configuration had it at the start.
//!
//! Only its address is read: no helper for credentials, no `insteadOf`, no refspec. An address that names a program
//! (`ext::…`), or that git would take for an option, is refused.

use std::ffi::OsStr;

use super::call::Call;
use super::error::Error;
use super::program::find_executable;
use super::repository::Repository;

/// The name under which git is told of it: no configuration speaks of that.
pub(super) const NAME: &str = "agent_runner_push";

/// Where merges are pushed to.
#[derive(Debug)]
pub(super) struct Remote {
    url: String,
    kind: Kind,
    /// For `GIT_SSH_COMMAND`.
    ssh: Option<String>,
    agent: Option<std::ffi::OsString>,
}

/// Why merges cannot be pushed.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The configuration of the repository has no such remote.
    #[error("the repository has no remote `{0}`")]
    Unknown(String),
    /// It has more than one address.
    #[error("the remote `{0}` has more than one address to push to")]
    Several(String),
    /// Its address is of a kind that is not pushed to.
    #[error(
        "the address of the remote `{0}` is neither a path nor one of ssh, https, http, git or file"
    )]
    Refused(String),
    /// There is no `ssh` to reach it with.
    #[error("ssh was not found on PATH; the remote `{0}` is reached by it")]
    NoSsh(String),
    /// git failed.
    #[error(transparent)]
    Git(#[from] Error),
}

/// By what it is reached: git's name of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A path of this machine.
    Path,
    Url(&'static str),
    /// `host:path`.
    Scp,
}

/// The schemes that are pushed to.
const SCHEMES: [&str; 5] = ["ssh", "https", "http", "git", "file"];

impl Kind {
    /// Nothing, if it is refused.
    fn of(url: &str) -> Option<Kind> {
        if url.is_empty() || url.starts_with('-') || url.contains(char::is_control) {
            return None;
        }
        if let Some((scheme, _)) = url.split_once("://") {
            return SCHEMES
                .into_iter()
                .find(|known| *known == scheme)
                .map(Kind::Url);
        }
        if url.contains("::") {
            return None;
        }
        // As git tells them apart.
        match (url.find(':'), url.find('/')) {
            (None, _) => Some(Kind::Path),
            (Some(colon), Some(slash)) if slash < colon => Some(Kind::Path),
            (Some(_), _) => Some(Kind::Scp),
        }
    }

    fn protocol(self) -> &'static str {
        match self {
            Kind::Path => "file",
            Kind::Url(scheme) => scheme,
            Kind::Scp => "ssh",
        }
    }
}

impl Remote {
    /// The call may reach it, by its own protocol and no other, under [`NAME`]; nobody is asked anything.
    pub(super) fn onto(&self, call: Call) -> Call {
        let mut call = call
            .config(&format!("protocol.{}.allow=always", self.kind.protocol()))
            .config("protocol.ext.allow=never")
            .config(&format!("remote.{NAME}.url={}", self.url))
            .env("SSH_ASKPASS", "/bin/false")
            .env("SSH_ASKPASS_REQUIRE", "force");
        if let Some(ssh) = &self.ssh {
            call = call
                .env("GIT_SSH_COMMAND", ssh)
                .env("GIT_SSH_VARIANT", "ssh");
        }
        match &self.agent {
            Some(agent) => call.env("SSH_AUTH_SOCK", agent),
            None => call,
        }
    }

    /// What was said of it, without a name and password that its address may have.
    pub(super) fn without_secrets(&self, said: &str) -> String {
        let after_scheme = self.url.split_once("://").map(|(_, rest)| rest);
        let authority = after_scheme.and_then(|rest| rest.split('/').next());
        match authority.and_then(|authority| authority.rsplit_once('@')) {
            Some((user, _)) => said.replace(&format!("{user}@"), ""),
            None => said.to_owned(),
        }
    }
}

impl Repository {
    /// Pushes merges from now on, to the remote of this name. `search_path` is the value of `PATH`, `agent` that of
    /// `SSH_AUTH_SOCK`. Nobody is asked whether it can be reached.
    ///
    /// # Errors
    /// There is no such remote, or none that is pushed to.
    pub async fn push_to(
        &mut self,
        name: &str,
        search_path: &OsStr,
        agent: Option<&OsStr>,
    ) -> Result<(), RemoteError> {
        let url = self.address_of(name).await?;
        let refused = || RemoteError::Refused(name.to_owned());
        let kind = Kind::of(&url).ok_or_else(refused)?;
        let url = match kind {
            // From where its owner is.
            Kind::Path => {
                let from = self.main_checkout().unwrap_or(self.common_dir());
                let path = from.join(&url).into_os_string();
                path.into_string().map_err(|_| refused())?
            }
            Kind::Url(_) | Kind::Scp => url,
        };
        let ssh = match kind.protocol() {
            "ssh" => {
                let missing = || RemoteError::NoSsh(name.to_owned());
                let ssh = find_executable(search_path, "ssh").ok_or_else(missing)?;
                let quoted = ssh.display().to_string().replace('\'', r"'\''");
                Some(format!("'{quoted}' -o BatchMode=yes -o ConnectTimeout=30"))
            }
            _ => None,
        };
        self.remote = Some(Remote {
            url,
            kind,
            ssh,
            agent: agent.map(OsStr::to_owned),
        });
        Ok(())
    }

    /// The one address that the repository's configuration has for pushes to this remote.
    async fn address_of(&self, name: &str) -> Result<String, RemoteError> {
        let output = Call::bare(self.program().path(), "config")
            .arg("--file")
            .arg(self.common_dir().join("config"))
            .args(["--no-includes", "--list", "-z"])
            .run()
            .await?;
        let all = |key: &str| -> Vec<String> {
            let key = format!("remote.{name}.{key}\n");
            let fields = output.fields();
            let values = fields.filter_map(|field| field.strip_prefix(key.as_bytes()));
            values
                .map(|value| String::from_utf8_lossy(value).into_owned())
                .collect()
        };
        let mut urls = all("pushurl");
        if urls.is_empty() {
            urls = all("url");
        }
        match (urls.pop(), urls.is_empty()) {
            (Some(url), true) => Ok(url),
            (Some(_), false) => Err(RemoteError::Several(name.to_owned())),
            (None, _) => Err(RemoteError::Unknown(name.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_names_a_program_or_an_option_is_none() {
        for refused in [
            "",
            "-oProxyCommand=x",
            "--upload-pack=x",
            "ext::sh -c x",
            "ext::sh -c 'x://y'",
            "fd::7",
            "a::b",
            "gopher://x/y",
            "a\nb",
        ] {
            assert_eq!(Kind::of(refused), None, "{refused}");
        }
        for (url, protocol) in [
            ("/srv/it.git", "file"),
            ("../it.git", "file"),
            ("./a:b", "file"),
            ("file:///srv/it.git", "file"),
            ("git@host:it.git", "ssh"),
            ("ssh://host/it.git", "ssh"),
            ("https://host/it.git", "https"),
        ] {
            assert_eq!(Kind::of(url).map(Kind::protocol), Some(protocol), "{url}");
        }
    }

    #[test]
    fn no_password_of_an_address_is_told() {
        let remote = Remote {
            url: "https://me:secret@host/it.git".to_owned(),
            kind: Kind::Url("https"),
            ssh: None,
            agent: None,
        };
        let said = "unable to access 'https://me:secret@host/it.git/'";
        let told = remote.without_secrets(said);
        assert_eq!(told, "unable to access 'https://host/it.git/'");
    }
}
