//! Pushing a merge, and asking the remote what it has: the only calls that leave this machine.
//!
//! A branch of the remote goes from exactly one commit to a merge on top of it (`--force-with-lease` with that commit), so
//! nothing that somebody else pushed is ever overwritten. Whether a push that failed has arrived all the same, the remote
//! is asked.

use std::time::Duration;

use super::error::Error;
use super::names::RefName;
use super::remote::NAME;
use super::repository::Repository;
use crate::run::CommitId;

/// How long a push may take.
const PUSH: Duration = Duration::from_secs(120);
/// How long the remote may take to say what it has.
const ASK: Duration = Duration::from_secs(30);

/// Why it is not known that the remote has it.
#[derive(Debug, thiserror::Error)]
pub enum NotPushed {
    /// The remote said no, and its branch is not there.
    #[error("the remote refused the push: {0}")]
    Refused(String),
    /// It could not be reached, or did not say how it ended.
    #[error("the push failed: {0}")]
    Failed(String),
}

/// What the remote says of the branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnRemote {
    /// It is at this commit; at none, if there is no such branch.
    At(Option<CommitId>),
    /// It cannot be asked: what was said.
    Unknown(String),
}

impl Repository {
    /// Whether merges are pushed.
    #[must_use]
    pub fn pushes(&self) -> bool {
        self.remote.is_some()
    }

    /// Moves the remote's branch from one commit to the other, which is a descendant; there already is as good. Where no
    /// merges are pushed it is done already.
    ///
    /// # Errors
    /// As [`NotPushed`] says.
    pub async fn push(
        &self,
        branch: &RefName,
        from: &CommitId,
        to: &CommitId,
    ) -> Result<(), NotPushed> {
        let Some(remote) = &self.remote else {
            return Ok(());
        };
        let call = remote.onto(self.call("push")).timeout(PUSH).args([
            "--porcelain",
            "--no-verify",
            "--no-signed",
            "--no-follow-tags",
            "--recurse-submodules=no",
            &format!("--force-with-lease={branch}:{from}"),
            NAME,
            &format!("{to}:{branch}"),
        ]);
        let (refused, said) = match call.run_any().await {
            Ok(output) if output.code() == 0 => return Ok(()),
            Ok(output) => {
                let lines = String::from_utf8_lossy(output.stdout()).into_owned();
                let refused = refusal(&lines);
                let said = [refused.as_deref().unwrap_or_default(), output.stderr()];
                let said = said.join("\n").trim().to_owned();
                (refused.is_some(), remote.without_secrets(&said))
            }
            Err(error) => (false, remote.without_secrets(&error.to_string())),
        };
        match self.on_remote(branch).await {
            OnRemote::At(Some(at)) if at == *to => Ok(()),
            OnRemote::Unknown(why) if !refused => Err(NotPushed::Failed(format!(
                "{said}; whether the remote has {to} is not known, it cannot be asked: {why}"
            ))),
            OnRemote::At(_) | OnRemote::Unknown(_) if refused => Err(NotPushed::Refused(said)),
            OnRemote::At(_) | OnRemote::Unknown(_) => Err(NotPushed::Failed(said)),
        }
    }

    /// Where the remote's branch is now.
    pub async fn on_remote(&self, branch: &RefName) -> OnRemote {
        let Some(remote) = &self.remote else {
            return OnRemote::At(None);
        };
        let call = remote.onto(self.call("ls-remote")).timeout(ASK);
        let asked = call.args(["--refs", NAME, branch.as_str()]).run().await;
        let output = match asked {
            Ok(output) => output,
            Err(Error::Failed { stderr, .. }) => {
                return OnRemote::Unknown(remote.without_secrets(&stderr));
            }
            Err(error) => return OnRemote::Unknown(remote.without_secrets(&error.to_string())),
        };
        let text = String::from_utf8_lossy(output.stdout()).into_owned();
        // What is asked for is a pattern for the end of a name.
        let mut lines = text.lines().filter_map(|line| line.split_once('\t'));
        match lines.find(|(_, name)| *name == branch.as_str()) {
            None => OnRemote::At(None),
            Some((commit, _)) => match commit.parse() {
                Ok(commit) => OnRemote::At(Some(commit)),
                Err(_) => OnRemote::Unknown(output.unreadable(commit).to_string()),
            },
        }
    }

    /// Whether a git that outlived its starter may yet push this commit.
    ///
    /// # Errors
    /// The processes of this machine cannot be listed.
    pub fn is_being_pushed(&self, commit: &CommitId) -> Result<bool, Error> {
        let processes =
            std::fs::read_dir("/proc").map_err(Error::io("list the processes of", "/proc"))?;
        let refspec = format!("{commit}:refs/heads/");
        Ok(processes.flatten().any(|process| {
            // One that has gone meanwhile pushes nothing.
            let argv = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let mut words = argv.split(|byte| *byte == 0);
            words.any(|word| word.starts_with(refspec.as_bytes()))
        }))
    }
}

/// What `git push --porcelain` says of a branch that the remote did not move: `!`, the refs, and why.
fn refusal(lines: &str) -> Option<String> {
    let line = lines.lines().find(|line| line.starts_with("!\t"))?;
    let why = line.splitn(3, '\t').nth(2)?;
    // The remote ended without a word: it may have moved it.
    (!why.starts_with("[remote failure]")).then(|| why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::refusal;

    #[test]
    fn a_refusal_is_read_and_a_remote_that_fell_silent_is_none() {
        let lines = "To /x\n!\ta:refs/heads/b\t[rejected] (stale info)\nDone";
        assert_eq!(refusal(lines).as_deref(), Some("[rejected] (stale info)"));
        let lines = "To /x\n!\ta:refs/heads/b\t[remote failure] (remote failed to report status)\n";
        assert_eq!(refusal(lines), None);
        assert_eq!(refusal("To /x\n=\ta:b\t[up to date]\nDone\n"), None);
    }
}
