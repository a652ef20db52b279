//! Which folders of the repository a run's worktree has.
//!
//! A *cone*, as `git sparse-checkout` calls it: some folders with all that is below them, and the files (not the
//! folders) that lie directly in each folder above them, up to the root. Nothing else is checked out; commits have
//! the whole tree all the same.
//!
//! Deliberately absent: patterns of files. A cone is decided by folders alone, for git and for a reader.

use serde::{Deserialize, Serialize};

/// The most folders that can be named.
pub const FOLDERS_MAX: usize = 100;
/// The longest path of a folder, in bytes: what Linux takes.
const PATH_MAX: usize = 4096;

/// The folders of a worktree; the whole tree if there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cone(Vec<String>);

/// A folder that cannot be in a cone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{folder}` {why}")]
pub struct BadFolder {
    /// Which one of those that were given, from 0.
    pub at: usize,
    /// As it was given.
    pub folder: String,
    /// Why not.
    pub why: &'static str,
}

impl Cone {
    /// The whole tree.
    pub const WHOLE: Cone = Cone(Vec::new());

    /// Of these folders, each a path from the root of the repository. One inside another is not repeated.
    ///
    /// # Errors
    /// One of them is no such path.
    pub fn new(folders: &[String]) -> Result<Cone, BadFolder> {
        let mut all = Vec::with_capacity(folders.len());
        for (at, given) in folders.iter().enumerate() {
            let folder = given.strip_suffix('/').unwrap_or(given);
            if let Some(why) = why_not(folder) {
                let folder = given.clone();
                return Err(BadFolder { at, folder, why });
            }
            all.push(folder.to_owned());
        }
        all.sort();
        all.dedup();
        let outer = all.clone();
        all.retain(|folder| !outer.iter().any(|other| is_below(folder, other)));
        Ok(Cone(all))
    }

    /// Whether it is the whole tree.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.0.is_empty()
    }

    /// Its folders, in order, none inside another; none for the whole tree.
    #[must_use]
    pub fn folders(&self) -> &[String] {
        &self.0
    }

    /// Whether the file at this path is checked out.
    #[must_use]
    pub fn has(&self, path: &[u8]) -> bool {
        if self.is_whole() {
            return true;
        }
        let Some(slash) = path.iter().rposition(|byte| *byte == b'/') else {
            return true;
        };
        let parent = &path[..slash];
        self.0.iter().any(|folder| {
            let folder = folder.as_bytes();
            is_inside(path, folder) || is_inside(folder, parent)
        })
    }

    /// The text of `info/sparse-checkout` for it, as git itself writes it (git-sparse-checkout(1), "Internals").
    #[must_use]
    pub fn patterns(&self) -> String {
        let mut above: Vec<&str> = Vec::new();
        for folder in &self.0 {
            above.extend(folder.match_indices('/').map(|(at, _)| &folder[..at]));
        }
        above.sort_unstable();
        above.dedup();
        let mut text = "/*\n!/*/\n".to_owned();
        for folder in above.into_iter().map(escaped) {
            text.push_str(&format!("/{folder}/\n!/{folder}/*/\n"));
        }
        for folder in &self.0 {
            text.push_str(&format!("/{}/\n", escaped(folder)));
        }
        text
    }
}

/// Why this is no path of a folder in a repository.
#[must_use]
pub fn why_not(folder: &str) -> Option<&'static str> {
    if folder.is_empty() || folder.len() > PATH_MAX {
        return Some("is not 1 to 4096 bytes long");
    }
    if folder.starts_with('/') {
        return Some("is absolute: name it from the root of the repository");
    }
    if folder.chars().any(char::is_control) {
        return Some("has a control character in it");
    }
    for part in folder.split('/') {
        match part {
            "" => return Some("has an empty part"),
            "." | ".." => return Some("has a part `.` or `..`"),
            part if part.eq_ignore_ascii_case(".git") => {
                return Some("leads into git's own folder");
            }
            _ => {}
        }
    }
    None
}

fn is_below(folder: &str, other: &str) -> bool {
    is_inside(folder.as_bytes(), other.as_bytes())
}

fn is_inside(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// With no character that means anything in a pattern.
fn escaped(folder: &str) -> String {
    folder.chars().fold(String::new(), |mut escaped, c| {
        if matches!(c, '*' | '?' | '[' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cone(folders: &[&str]) -> Cone {
        let folders: Vec<String> = folders.iter().map(|folder| (*folder).to_owned()).collect();
        Cone::new(&folders).unwrap()
    }

    #[test]
    fn a_cone_has_its_folders_and_the_files_on_the_way_to_them() {
        let cone = cone(&["apps/a/web", "libs/"]);
        for there in [
            "README",
            "apps/list",
            "apps/a/list",
            "apps/a/web/x",
            "apps/a/web/deep/x",
            "libs/x/y",
        ] {
            assert!(cone.has(there.as_bytes()), "{there}");
        }
        for absent in [
            "apps/b/x",
            "apps/a/webs/x",
            "docs/x",
            "libsx/y",
            "apps/a/we/x",
        ] {
            assert!(!cone.has(absent.as_bytes()), "{absent}");
        }
        assert!(Cone::WHOLE.has(b"docs/x"));
    }

    #[test]
    fn a_folder_inside_another_is_not_repeated() {
        let cone = cone(&["b/c", "b", "b-c", "a", "a"]);
        assert_eq!(cone.folders(), ["a", "b", "b-c"]);
    }

    #[test]
    fn its_patterns_are_those_of_git() {
        let expected = "/*\n!/*/\n/apps/\n!/apps/*/\n/apps/a/\n/x\\*y/\n";
        assert_eq!(cone(&["x*y", "apps/a"]).patterns(), expected);
    }

    #[test]
    fn what_is_no_folder_of_a_repository_is_refused_by_its_place() {
        for bad in [
            "", "/", "/etc", "..", "a/../b", "a//b", "./a", "a/.git", ".GIT/x", "a\nb",
        ] {
            let error = Cone::new(&["fine".to_owned(), bad.to_owned()]).unwrap_err();
            assert_eq!((error.at, error.folder.as_str()), (1, bad), "{error}");
        }
    }
}
