//! Reading commits and refs. Every answer is a full hash or a closed yes or no.

use super::call::Call;
use super::checkouts::{Head, read_head};
use super::error::Error;
use super::names::RefName;
use super::repository::{Identity, Repository};
use crate::effect::{self, Effect};
use crate::run::{CommitId, TreeId};

impl Repository {
    /// The commit that a ref is at; `None` if there is no such ref (or it is not at a commit).
    ///
    /// By exact name: `rev-parse` would also find `refs/tags/refs/heads/x` for a missing `refs/heads/x`.
    pub async fn resolve(&self, name: &RefName) -> Result<Option<CommitId>, Error> {
        if let Some(found) = self.asked("resolve", |inside| inside.resolve(name.as_str())) {
            return Ok(found);
        }
        let output = self
            .call("for-each-ref")
            .args([
                "--format=%(objecttype) %(objectname) %(refname)",
                name.as_str(),
            ])
            .run()
            .await?;
        let text = String::from_utf8_lossy(output.stdout()).into_owned();
        let mut hashes = text.lines().filter_map(|line| {
            let (hash, found) = line.strip_prefix("commit ")?.split_once(' ')?;
            (found == name.as_str()).then_some(hash)
        });
        hashes
            .next()
            .map(|hash| hash.parse().map_err(|_| output.unreadable(&text)))
            .transpose()
    }

    /// Whether the ref is another name for a ref.
    #[must_use]
    pub fn is_symbolic(&self, name: &RefName) -> bool {
        let file = self.common_dir().join(name.as_str());
        std::fs::read(file).is_ok_and(|text| text.starts_with(b"ref:"))
    }

    /// Whether there is such a branch.
    pub async fn branch_exists(&self, name: &RefName) -> Result<bool, Error> {
        Ok(self.resolve(name).await?.is_some())
    }

    /// The commit that this text names as git takes it (a hash or what begins it, a branch, a tag); nothing if it names
    /// none. `HEAD` is that of the main checkout.
    ///
    /// # Errors
    /// git failed.
    pub async fn commit_named(&self, text: &str) -> Result<Option<CommitId>, Error> {
        let named = match (text, read_head(self.common_dir())) {
            // Ours leads nowhere.
            ("HEAD", Head::On(branch)) => branch,
            ("HEAD", Head::Detached(commit)) => commit.to_string(),
            _ => text.to_owned(),
        };
        let commit = format!("{named}^{{commit}}");
        let call = self.call("rev-parse");
        let call = call.args(["--verify", "--quiet", "--end-of-options", &commit]);
        let output = call.run_any().await?;
        match output.code() {
            0 => output.hash().map(Some),
            _ => Ok(None),
        }
    }

    /// Whether this commit's objects are there at all.
    pub async fn has_commit(&self, commit: &CommitId) -> Result<bool, Error> {
        if self
            .asked("has_commit", |inside| inside.has_commit(commit))
            .is_some()
        {
            return Ok(true);
        }
        let text = format!("{commit}^{{commit}}");
        let output = self.call("cat-file").args(["-e", &text]).run_any().await?;
        Ok(output.code() == 0)
    }

    /// The tree of a commit.
    pub async fn tree_of(&self, commit: &CommitId) -> Result<TreeId, Error> {
        if let Some(tree) = self.asked("tree_of", |inside| inside.tree_of(commit)) {
            return Ok(tree);
        }
        let text = format!("{commit}^{{tree}}");
        self.call("rev-parse")
            .args(["--verify", "--end-of-options", &text])
            .run()
            .await?
            .hash()
    }

    /// The names at the root of a commit's tree.
    pub async fn names_at_root(&self, commit: &CommitId) -> Result<Vec<String>, Error> {
        if let Some(names) = self.asked("names_at_root", |inside| inside.names_at_root(commit)) {
            return Ok(names);
        }
        let output = self
            .call("ls-tree")
            .args(["--name-only", "-z", commit.as_str()])
            .run()
            .await?;
        let names = output.fields().map(String::from_utf8_lossy);
        Ok(names.map(|name| name.into_owned()).collect())
    }

    /// The parents of a commit, first parent first.
    pub async fn parents_of(&self, commit: &CommitId) -> Result<Vec<CommitId>, Error> {
        if let Some(parents) = self.asked("parents_of", |inside| inside.parents_of(commit)) {
            return Ok(parents);
        }
        let output = self
            .call("rev-list")
            .args([
                "--parents",
                "--max-count=1",
                "--end-of-options",
                commit.as_str(),
            ])
            .run()
            .await?;
        let line = output.line();
        line.split(' ')
            .skip(1)
            .map(|hash| hash.parse().map_err(|_| output.unreadable(&line)))
            .collect()
    }

    /// The message of a commit, as it was given.
    pub async fn message_of(&self, commit: &CommitId) -> Result<String, Error> {
        if let Some(message) = self.asked("message_of", |inside| inside.message_of(commit)) {
            return Ok(message);
        }
        let output = self
            .call("cat-file")
            .args(["commit", commit.as_str()])
            .run()
            .await?;
        let text = String::from_utf8_lossy(output.stdout()).into_owned();
        Ok(text
            .split_once("\n\n")
            .map(|(_, message)| message.to_owned())
            .unwrap_or_default())
    }

    /// Whether `old` is in the history of `new` (a commit is in its own).
    pub async fn is_ancestor(&self, old: &CommitId, new: &CommitId) -> Result<bool, Error> {
        let (a, b) = (old.clone(), new.clone());
        let asked = self.asked_at_length("is_ancestor", move |inside| inside.is_ancestor(&a, &b));
        if let Some(answer) = asked.await {
            return Ok(answer);
        }
        let output = self
            .call("merge-base")
            .args(["--is-ancestor", old.as_str(), new.as_str()])
            .run_expecting(&[0, 1])
            .await?;
        Ok(output.code() == 0)
    }

    /// The best common ancestor; `None` if the histories have nothing in common.
    pub async fn merge_base(&self, a: &CommitId, b: &CommitId) -> Result<Option<CommitId>, Error> {
        let (one, other) = (a.clone(), b.clone());
        let asked =
            self.asked_at_length("merge_base", move |inside| inside.merge_base(&one, &other));
        if let Some(base) = asked.await {
            return Ok(base);
        }
        let output = self
            .call("merge-base")
            .args([a.as_str(), b.as_str()])
            .run_expecting(&[0, 1])
            .await?;
        if output.code() == 1 {
            Ok(None)
        } else {
            output.hash().map(Some)
        }
    }

    /// The branch to land on where none is named: `master`, `main`, else that of the repository's HEAD.
    pub async fn default_branch(&self) -> Result<Option<String>, Error> {
        let path = self.common_dir().join("HEAD");
        let head = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let of_head = head
            .trim()
            .strip_prefix("ref: refs/heads/")
            .unwrap_or_default();
        for name in ["master", "main", of_head] {
            if let Ok(branch) = RefName::branch(name)
                && self.branch_exists(&branch).await?
            {
                return Ok(Some(name.to_owned()));
            }
        }
        Ok(None)
    }

    /// All refs below this prefix (`refs/agent_runner/`), with the object each is at.
    pub async fn refs_below(&self, prefix: &str) -> Result<Vec<(String, CommitId)>, Error> {
        let output = self
            .call("for-each-ref")
            .args([
                "--format=%(objectname) %(refname)",
                "--end-of-options",
                prefix,
            ])
            .run()
            .await?;
        let text = String::from_utf8_lossy(output.stdout()).into_owned();
        text.lines()
            .map(|line| {
                let (hash, name) = line
                    .split_once(' ')
                    .ok_or_else(|| output.unreadable(line))?;
                let commit = hash.parse().map_err(|_| output.unreadable(line))?;
                Ok((name.to_owned(), commit))
            })
            .collect()
    }

    /// A new commit object, reachable from nothing yet.
    pub(crate) async fn commit_tree(
        &self,
        tree: &TreeId,
        parents: &[&CommitId],
        identity: &Identity,
        message: &str,
    ) -> Result<CommitId, Error> {
        let call = self.call("commit-tree");
        commit(call, tree, parents, identity, message).await
    }

    /// The same for a merge that is to land: signed, if merges are.
    pub(crate) async fn merge_commit(
        &self,
        tree: &TreeId,
        parents: &[&CommitId],
        identity: &Identity,
        message: &str,
    ) -> Result<CommitId, Error> {
        let call = self.signed(self.call("commit-tree"));
        commit(call, tree, parents, identity, message).await
    }
}

async fn commit(
    call: Call,
    tree: &TreeId,
    parents: &[&CommitId],
    identity: &Identity,
    message: &str,
) -> Result<CommitId, Error> {
    effect::awaits(Effect::CommitWrite).await?;
    let call = call
        .args(parents.iter().flat_map(|parent| ["-p", parent.as_str()]))
        .args(["-F", "-", tree.as_str()])
        // git refuses a NUL in a message.
        .stdin(message.replace('\0', "").into_bytes());
    identity.onto(call).run().await?.hash()
}
