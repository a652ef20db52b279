//! Names of refs and branches. Text of a client becomes one only through here.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::run::{CommitId, RunId};

/// The most characters of a client's text in a branch's name: what people still read in a list.
const SLUG: usize = 40;

/// The longest branch name that is taken from a client: refs are files, and a file's name has 255 bytes.
const LONGEST: usize = 200;

/// The name of a branch of ours: `auto/<what it is for>-<short id>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BranchName(String);

impl BranchName {
    /// For this run, named after any text: an issue, a card, a prompt. Lower-case ASCII letters, digits and
    /// single dashes are kept of it, at most 40; `run` if nothing is left.
    #[must_use]
    pub fn new(wanted_for: &str, run: RunId) -> BranchName {
        BranchName(format!("auto/{}-{}", slug(wanted_for), run.short()))
    }

    /// The name without `refs/heads/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as one part of a path: the branch without `auto/`.
    #[must_use]
    pub fn folder(&self) -> &str {
        self.0.strip_prefix("auto/").unwrap_or(&self.0)
    }

    /// The ref of this branch.
    #[must_use]
    pub fn to_ref(&self) -> RefName {
        RefName(format!("refs/heads/{}", self.0))
    }
}

impl fmt::Display for BranchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<BranchName> for String {
    fn from(name: BranchName) -> String {
        name.0
    }
}

impl TryFrom<String> for BranchName {
    type Error = BadBranch;

    /// Only what [`BranchName::new`] can have made.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let plain = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-');
        match text.strip_prefix("auto/") {
            Some(rest)
                if !rest.is_empty()
                    && rest.len() <= SLUG + 9
                    && !rest.starts_with('-')
                    && rest.bytes().all(plain) =>
            {
                Ok(BranchName(text))
            }
            _ => Err(BadBranch(text)),
        }
    }
}

fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        // One more than fits: then it is known whether a word was cut.
        if slug.len() > SLUG {
            break;
        }
    }
    if slug.len() > SLUG {
        let whole_words = slug[..=SLUG].rfind('-').filter(|at| *at >= SLUG / 2);
        slug.truncate(whole_words.unwrap_or(SLUG));
    }
    let slug = slug.trim_matches('-');
    if slug.is_empty() {
        "run".to_owned()
    } else {
        slug.to_owned()
    }
}

/// The text is not the name of a branch (git-check-ref-format(1)).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a branch name: {0:?}")]
pub struct BadBranch(pub String);

/// The full name of a ref, `refs/…`, well-formed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RefName(String);

impl RefName {
    /// The ref of a branch that a client or an operator names, `master` or `release/2`.
    pub fn branch(name: &str) -> Result<RefName, BadBranch> {
        if well_formed(name) {
            Ok(RefName(format!("refs/heads/{name}")))
        } else {
            Err(BadBranch(name.to_owned()))
        }
    }

    /// Where all work of a run is kept before its worktree goes.
    #[must_use]
    pub fn preserved(run: RunId) -> RefName {
        RefName(format!("refs/agent_runner/preserved/{run}"))
    }

    /// Where a tip is kept that nobody asked for but that was in the way.
    #[must_use]
    pub fn leftover(branch: &BranchName, tip: &CommitId) -> RefName {
        let short = &tip.as_str()[..12];
        RefName(format!(
            "refs/agent_runner/preserved/leftover/{branch}/{short}"
        ))
    }

    /// The ref of such a tip, as git lists it.
    #[must_use]
    pub fn below_leftover(name: &str) -> Option<RefName> {
        let below = name.strip_prefix("refs/agent_runner/preserved/leftover/")?;
        well_formed(below).then(|| RefName(name.to_owned()))
    }

    /// What keeps a candidate from being collected.
    #[must_use]
    pub fn candidate(candidate: &CommitId) -> RefName {
        RefName(format!("refs/agent_runner/candidates/{candidate}"))
    }

    /// Where notes on merge commits are: `git log --notes=agent_runner` shows them.
    #[must_use]
    pub fn notes() -> RefName {
        RefName("refs/notes/agent_runner".to_owned())
    }

    /// The full name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the branch, without `refs/heads/`, if it is one.
    #[must_use]
    pub fn branch_name(&self) -> Option<&str> {
        self.0.strip_prefix("refs/heads/")
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The rules of git-check-ref-format(1) for a branch, and that it does not look like an option.
fn well_formed(name: &str) -> bool {
    let bad = |c: char| c.is_ascii_control() || " ~^:?*[\\".contains(c);
    !name.is_empty()
        && name.len() <= LONGEST
        && name != "@"
        && name != "HEAD"
        && !name.starts_with('-')
        && !name.ends_with('.')
        && !name.contains("..")
        && !name.contains("@{")
        && !name.contains(bad)
        && name
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run() -> RunId {
        "01934e2a-0000-7000-8000-0123456789ab".parse().unwrap()
    }

    #[test]
    fn a_branch_is_named_after_what_it_is_for() {
        let name = |text: &str| BranchName::new(text, run()).as_str().to_owned();
        assert_eq!(
            name("ISSUE-42: Fix the login!"),
            "auto/issue-42-fix-the-login-456789ab"
        );
        assert_eq!(name(""), "auto/run-456789ab");
        assert_eq!(name("../../etc/passwd"), "auto/etc-passwd-456789ab");
        assert_eq!(name("--upload-pack=x"), "auto/upload-pack-x-456789ab");
        assert_eq!(name("世界"), "auto/run-456789ab");
        assert_eq!(
            name("please rewrite the whole of the authentication layer"),
            "auto/please-rewrite-the-whole-of-the-456789ab"
        );
        assert_eq!(
            name(&"x".repeat(99)),
            format!("auto/{}-456789ab", "x".repeat(40))
        );
    }

    #[test]
    fn a_base_branch_from_outside_is_a_branch_or_refused() {
        for good in ["master", "main", "release/2.x", "feature/ünï"] {
            assert!(RefName::branch(good).is_ok(), "{good}");
        }
        let bad = [
            "",
            "-x",
            "--output=x",
            "a..b",
            "a b",
            "a~1",
            "x.lock",
            "a/.b",
            "/a",
            "a/",
            "a//b",
            "@",
            "HEAD",
            "x@{1}",
            "a:b",
            "a\\b",
            "a\nb",
            "refs/heads/../x",
        ];
        for bad in bad {
            assert!(RefName::branch(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_name_that_git_and_a_shell_take(text in any::<String>()) {
            let name = BranchName::new(&text, run());
            let part = name.folder().strip_suffix("-456789ab").unwrap();
            prop_assert!((1..=40).contains(&part.len()));
            prop_assert!(!part.starts_with('-') && !part.ends_with('-') && !part.contains("--"));
            prop_assert!(well_formed(name.as_str()));
            prop_assert_eq!(BranchName::try_from(name.as_str().to_owned()), Ok(name));
        }

        #[test]
        fn what_is_taken_as_a_branch_stays_below_refs_heads(text in "[-a-z./@{~^:*\\\\ \\n]{0,12}") {
            if let Ok(name) = RefName::branch(&text) {
                prop_assert!(!name.as_str().contains(".."));
                prop_assert!(!text.starts_with('-'));
                prop_assert_eq!(name.branch_name(), Some(text.as_str()));
            }
        }
    }
}
