//! Questions about many commits at once: one git for all of them.

use std::collections::{BTreeMap, BTreeSet};

use super::error::Error;
use super::repository::Repository;
use crate::run::{CommitId, TreeId};

impl Repository {
    /// The parents of each of these commits; one that is not in the repository is left out.
    pub async fn parents_of_all(
        &self,
        commits: &BTreeSet<CommitId>,
    ) -> Result<BTreeMap<CommitId, Vec<CommitId>>, Error> {
        if commits.is_empty() {
            return Ok(BTreeMap::new());
        }
        let output = self
            .call("rev-list")
            .args([
                "--no-walk=unsorted",
                "--parents",
                "--ignore-missing",
                "--stdin",
            ])
            .stdin(lines(commits).into_bytes())
            .run()
            .await?;
        let text = String::from_utf8_lossy(output.stdout()).into_owned();
        text.lines()
            .map(|line| {
                let mut hashes = line
                    .split(' ')
                    .map(|hash| hash.parse().map_err(|_| output.unreadable(line)));
                let commit = hashes.next().ok_or_else(|| output.unreadable(line))??;
                Ok((commit, hashes.collect::<Result<_, _>>()?))
            })
            .collect()
    }

    /// The tree of each of these commits. All of them must be in the repository.
    pub async fn trees_of_all(
        &self,
        commits: &BTreeSet<CommitId>,
    ) -> Result<BTreeMap<CommitId, TreeId>, Error> {
        if commits.is_empty() {
            return Ok(BTreeMap::new());
        }
        let output = self
            .call("rev-list")
            .args(["--no-walk=unsorted", "--no-commit-header"])
            .args(["--format=%H %T", "--stdin"])
            .stdin(lines(commits).into_bytes())
            .run()
            .await?;
        let text = String::from_utf8_lossy(output.stdout()).into_owned();
        text.lines()
            .map(|line| {
                let unreadable = || output.unreadable(line);
                let (commit, tree) = line.split_once(' ').ok_or_else(unreadable)?;
                let commit = commit.parse().map_err(|_| unreadable())?;
                Ok((commit, tree.parse().map_err(|_| unreadable())?))
            })
            .collect()
    }

    /// Those of these commits that are not in the history of `tip`. All of them must be in the repository.
    pub async fn not_in_history(
        &self,
        commits: &BTreeSet<CommitId>,
        tip: &CommitId,
    ) -> Result<BTreeSet<CommitId>, Error> {
        if commits.is_empty() {
            return Ok(BTreeSet::new());
        }
        // What is reachable from them and not from the tip: nothing, as a rule, and then nothing is printed.
        let output = self
            .call("rev-list")
            .args(["--stdin"])
            .stdin(format!("{}^{tip}\n", lines(commits)).into_bytes())
            .run()
            .await?;
        let text = String::from_utf8_lossy(output.stdout()).into_owned();
        let outside: BTreeSet<&str> = text.lines().collect();
        let missing = commits.iter().filter(|c| outside.contains(c.as_str()));
        Ok(missing.cloned().collect())
    }
}

fn lines(commits: &BTreeSet<CommitId>) -> String {
    commits.iter().map(|commit| format!("{commit}\n")).collect()
}
