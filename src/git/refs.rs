//! Writing refs: several at once or none, each only if it is what it was.

use std::path::{Path, PathBuf};

use super::error::Error;
use super::inside::{Made, break_own};
use super::names::RefName;
use super::output::Output;
use super::repository::Repository;
use crate::effect::{self, Effect};
use crate::run::CommitId;

/// How many gits are tried: killed ones are rare, and each waits for locks by itself.
const TRIES: u32 = 3;

/// One change of a ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefEdit {
    /// A ref that must not be there yet.
    Create(RefName, CommitId),
    /// From one commit to another.
    Move {
        /// Which ref.
        name: RefName,
        /// What it must be.
        from: CommitId,
        /// What it is then.
        to: CommitId,
    },
    /// To a commit, whatever it was.
    Set(RefName, CommitId),
    /// Away, if it is this commit.
    Delete(RefName, CommitId),
}

impl RefEdit {
    fn name(&self) -> &RefName {
        match self {
            RefEdit::Create(name, _) | RefEdit::Set(name, _) | RefEdit::Delete(name, _) => name,
            RefEdit::Move { name, .. } => name,
        }
    }

    /// One instruction of `git update-ref --stdin -z`.
    fn instruction(&self) -> String {
        match self {
            RefEdit::Create(name, to) => format!("create {name}\0{to}\0"),
            RefEdit::Move { name, from, to } => format!("update {name}\0{to}\0{from}\0"),
            RefEdit::Set(name, to) => format!("update {name}\0{to}\0\0"),
            RefEdit::Delete(name, from) => format!("delete {name}\0{from}\0"),
        }
    }

    /// What the ref is at when it is done.
    fn to(&self) -> Option<&CommitId> {
        match self {
            RefEdit::Create(_, to) | RefEdit::Move { to, .. } | RefEdit::Set(_, to) => Some(to),
            RefEdit::Delete(..) => None,
        }
    }

    /// Whether the ref, being at `now`, lets this change through.
    fn fits(&self, now: Option<&CommitId>) -> bool {
        match self {
            RefEdit::Create(..) => now.is_none(),
            RefEdit::Move { from, .. } | RefEdit::Delete(_, from) => now == Some(from),
            RefEdit::Set(..) => true,
        }
    }
}

/// Why it is not known that refs were changed and are on disk.
#[derive(Debug, thiserror::Error)]
pub enum NotMoved {
    /// This one was not what it should have been: none of them was changed.
    #[error("{name} is not what it was")]
    Changed {
        /// Which ref.
        name: RefName,
        /// Where it is now.
        now: Option<CommitId>,
    },
    /// git failed, or the way to the disk: they may have been changed.
    #[error(transparent)]
    Git(#[from] Error),
}

impl Repository {
    /// All of these changes or none; on disk before it returns. `reason` goes into the reflog.
    ///
    /// A git that is killed in the middle is followed by another one, for what it had not done yet; a lock that one of
    /// ours has left is broken (`git/locks.rs` says when).
    pub async fn edit_refs(&self, edits: &[RefEdit], reason: &str) -> Result<(), NotMoved> {
        let mut edits = edits.to_vec();
        let mut tries = 1;
        loop {
            match self.edit_refs_once(&edits, reason).await {
                Err(NotMoved::Git(error)) if tries < TRIES => {
                    if matches!(&error, Error::Killed { .. }) {
                        edits = self.not_done(edits).await?;
                        if edits.is_empty() {
                            return Ok(());
                        }
                    } else if self.break_stale_locks().await?.broken == 0 {
                        return Err(error.into());
                    }
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    /// Those of the changes that a killed git had not come to.
    async fn not_done(&self, edits: Vec<RefEdit>) -> Result<Vec<RefEdit>, Error> {
        let mut left = Vec::new();
        for edit in edits {
            if self.resolve(edit.name()).await?.as_ref() == edit.to() {
                self.sync_folder_of(edit.name())?;
            } else {
                left.push(edit);
            }
        }
        Ok(left)
    }

    /// The locks that git takes for these changes, and the file that it writes packed refs to (git removes neither
    /// when it is killed, and takes none that is there).
    fn locks_of(&self, edits: &[RefEdit]) -> Vec<PathBuf> {
        let named = edits.iter().map(|edit| format!("{}.lock", edit.name()));
        let packed = ["packed-refs.lock", "packed-refs.new"].map(str::to_owned);
        let locks = named.chain(packed);
        locks.map(|lock| self.common_dir().join(lock)).collect()
    }

    async fn edit_refs_once(&self, edits: &[RefEdit], reason: &str) -> Result<(), NotMoved> {
        effect::awaits(Effect::RefsWrite)
            .await
            .map_err(Error::from)?;
        for edit in edits {
            let lock = format!("{}.lock", edit.name());
            break_own(&self.common_dir().join(lock));
        }
        if let [RefEdit::Create(name, to)] = edits {
            let created = self.asked("create_ref", |inside| {
                inside.create_ref(name.as_str(), to, reason)
            });
            match created {
                Some(Made::New(folders)) => return self.sync_folders(&folders).await,
                Some(Made::Taken) => {
                    return Err(NotMoved::Changed {
                        name: name.clone(),
                        now: self.resolve(name).await?,
                    });
                }
                None => {}
            }
        }
        let note = self.note_locks(&self.locks_of(edits))?;
        let output = self.update_refs(edits, reason).await?;
        note.done()?;
        if output.code() == 0 {
            effect::awaits(Effect::RefsSync)
                .await
                .map_err(Error::from)?;
            for edit in edits {
                self.sync_folder_of(edit.name())?;
            }
            return Ok(());
        }
        // The reason is in a text for people, so look instead.
        for edit in edits {
            let now = self.resolve(edit.name()).await?;
            if !edit.fits(now.as_ref()) {
                return Err(NotMoved::Changed {
                    name: edit.name().clone(),
                    now,
                });
            }
        }
        Err(output.failed().into())
    }

    async fn sync_folders(&self, folders: &[PathBuf]) -> Result<(), NotMoved> {
        effect::awaits(Effect::RefsSync)
            .await
            .map_err(Error::from)?;
        for folder in folders {
            sync_folder(folder)?;
        }
        Ok(())
    }

    async fn update_refs(&self, edits: &[RefEdit], reason: &str) -> Result<Output, Error> {
        let instructions: String = edits.iter().map(RefEdit::instruction).collect();
        self.call("update-ref")
            .args(["--no-deref", "-m", reason, "--stdin", "-z"])
            // For the reflog; a ref has no author.
            .env("GIT_COMMITTER_NAME", "agent_runner_api")
            .env("GIT_COMMITTER_EMAIL", "agent_runner_api@localhost")
            .stdin(instructions.into_bytes())
            .run_any()
            .await
    }

    /// git writes a ref's file to disk, but not the folder that it was renamed into.
    fn sync_folder_of(&self, name: &RefName) -> Result<(), Error> {
        let path = self.common_dir().join(name.as_str());
        sync_folder(path.parent().unwrap_or(Path::new("/")))
    }
}

fn sync_folder(folder: &Path) -> Result<(), Error> {
    match std::fs::File::open(folder) {
        Ok(file) => file.sync_all().map_err(Error::io("write to disk", folder)),
        // The last ref of a folder was deleted.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("open", folder)(error)),
    }
}
