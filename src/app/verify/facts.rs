//! The merge as git has it, and what both the journal and the note are asked of it.

use super::VerifyError;
use super::report::Report;
use crate::dod::{Author, Head, ItemSpec};
use crate::git::{RefName, Repository};
use crate::proof::{self, Accepted, Shown};
use crate::run::{CommitId, TreeId};

/// A merge, as git has it.
pub(super) struct Facts {
    pub(super) commit: CommitId,
    pub(super) tree: TreeId,
    pub(super) onto: CommitId,
    pub(super) head: Head,
    /// The lines of its message that are named as our trailers are.
    pub(super) trailers: Vec<String>,
    /// Its note, if it has one.
    pub(super) note: Option<String>,
    /// The tree that git makes of its parents; nothing if they conflict.
    merged: Option<TreeId>,
    /// The paths that it changes in the base.
    pub(super) changed: Vec<String>,
}

impl Facts {
    /// Nothing if the commit is no merge of two, which is said in the report.
    pub(super) async fn of(
        repository: &Repository,
        commit: &CommitId,
        report: &mut Report,
    ) -> Result<Option<Facts>, VerifyError> {
        let parents = repository.parents_of(commit).await?;
        let [onto, head] = parents.as_slice() else {
            report.failed(
                "parents",
                format!("it has {} and should have 2", parents.len()),
            );
            return Ok(None);
        };
        let changed = repository.changed_paths(onto, commit).await?;
        let note = repository.note_of(commit).await?;
        let message = repository.message_of(commit).await?;
        Ok(Some(Facts {
            commit: commit.clone(),
            tree: repository.tree_of(commit).await?,
            onto: onto.clone(),
            head: Head {
                commit: head.clone(),
                tree: repository.tree_of(head).await?,
            },
            trailers: proof::trailers_of(&message),
            note: note.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
            merged: repository.merged_tree(onto, head).await?,
            changed,
        }))
    }

    /// The value of one of our trailers, if it is there once.
    pub(super) fn trailer(&self, key: &str) -> Option<&str> {
        let prefix = format!("{key}: ");
        let mut values = self.trailers.iter().filter_map(|t| t.strip_prefix(&prefix));
        values.next().filter(|_| values.next().is_none())
    }

    /// The base has it.
    pub(super) async fn in_base(
        &self,
        repository: &Repository,
        base: &str,
        report: &mut Report,
    ) -> Result<(), VerifyError> {
        let tip = match RefName::branch(base) {
            Ok(name) => repository.resolve(&name).await?,
            Err(_) => None,
        };
        let Some(tip) = tip else {
            report.skipped("base", format!("there is no branch `{base}` here"));
            return Ok(());
        };
        let there = repository.is_ancestor(&self.commit, &tip).await?;
        let is_not = format!("`{base}` does not have it");
        report.holds("base", there, format!("`{base}` has it"), is_not);
        Ok(())
    }

    /// The items of these whose check is asked for.
    pub(super) fn with_check<'a>(&self, items: &[&'a ItemSpec]) -> Vec<&'a str> {
        let with_check = items.iter().filter(|item| item.check.is_some());
        let asked = with_check.filter(|item| item.applies(&self.changed));
        asked.map(|item| item.key.as_str()).collect()
    }

    /// Its tree is what git makes of its parents, and the checks that are asked for have passed on it, but for these.
    pub(super) fn tree(&self, asked: &[&str], unproven: &[&str], report: &mut Report) {
        let what = "tree";
        if self.merged.as_ref() != Some(&self.tree) {
            report.failed(what, "it is not what git makes of the two parents");
        } else if !unproven.is_empty() {
            let detail = format!("not checked as it landed: {}", unproven.join(", "));
            report.failed(what, detail);
        } else if self.tree == self.head.tree {
            report.ok(what, "it is that of the work, of which the evidence speaks");
        } else if asked.is_empty() {
            let detail = "it is what git makes of the two parents; no check is asked for";
            report.ok(what, detail);
        } else {
            let detail = format!("checked on the merge itself: {}", asked.join(", "));
            report.ok(what, detail);
        }
    }

    /// The trailers are those that this gives.
    pub(super) fn trailers(&self, shown: &Shown, report: &mut Report) {
        let expected = proof::trailers(shown);
        if self.trailers == expected {
            report.ok(
                "trailers",
                format!("all {} are as they should be", expected.len()),
            );
            return;
        }
        let missing = expected.iter().filter(|line| !self.trailers.contains(line));
        let forged = self.trailers.iter().filter(|line| !expected.contains(line));
        let missing = missing.map(|line| format!("missing `{line}`"));
        let forged = forged.map(|line| format!("not ours `{line}`"));
        let differing: Vec<String> = missing.chain(forged).collect();
        report.failed(
            "trailers",
            match differing.is_empty() {
                true => "they are there in another order or number".to_owned(),
                false => differing.join("; "),
            },
        );
    }

    /// Every required item was shown by somebody who may accept it.
    pub(super) fn items(&self, items: &[&ItemSpec], accepted: &[Accepted], report: &mut Report) {
        if items.is_empty() {
            report.failed("items", "none is required");
        }
        for item in items {
            let what = format!("item {}", item.key);
            let of_item = || {
                accepted
                    .iter()
                    .filter(|a| a.item == item.key && !a.candidate)
            };
            let wrong: Vec<String> = of_item().filter_map(unfit).collect();
            let by: Vec<String> = of_item().map(by_whom).collect();
            match (by.is_empty(), wrong.is_empty()) {
                (false, true) => report.ok(what, by.join("; ")),
                (_, false) => report.failed(what, wrong.join("; ")),
                (true, true) if !item.applies(&self.changed) => {
                    report.ok(
                        what,
                        "it does not apply: the work changes none of its paths",
                    );
                }
                (true, true) => report.failed(what, "no evidence of it was validated for the work"),
            }
        }
    }
}

/// Why this validation is none, if it is.
fn unfit(accepted: &Accepted) -> Option<String> {
    let by = accepted.validated_by.as_str();
    let is_author = accepted
        .author_name
        .as_deref()
        .is_some_and(|name| name.eq_ignore_ascii_case(by));
    let is_ours = ["agent", "service"]
        .iter()
        .any(|word| word.eq_ignore_ascii_case(by));
    let by_check = accepted.author == Author::Check;
    let wrong = if is_author || is_ours {
        "validated by its author"
    } else if by == "check" && !by_check {
        "validated as by a check, and no check has brought it"
    } else if by_check && by != "check" && accepted.overrides.is_none() {
        "brought by a check and validated by hand without a reason"
    } else {
        return None;
    };
    Some(format!("evidence {}: {wrong}", accepted.evidence))
}

fn by_whom(accepted: &Accepted) -> String {
    let carried = match accepted.carried {
        true => ", carried from another base",
        false => "",
    };
    match &accepted.overrides {
        Some(reason) => format!("OVERRIDDEN by {}: {reason}", accepted.validated_by),
        None if accepted.author == Author::Check => format!("its check passed{carried}"),
        None => format!("validated by {}{carried}", accepted.validated_by),
    }
}
