//! Which tools checks are likely to use, and what those say of their versions.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use super::environment::Variables;
use crate::dod::check::CheckSpec;
use crate::process::short;

/// How long a tool may take to say its version.
const BUDGET: Duration = Duration::from_secs(5);
/// The most bytes that are kept of it.
const VERSION_MAX: u64 = 4096;

/// Each tool that is known, how it tells its version, and the files at the root of a repository that suggest it.
const KNOWN: &[(&str, &str, &[&str])] = &[
    ("cargo", "--version", &["Cargo.toml"]),
    ("rustc", "--version", &["Cargo.toml"]),
    ("cargo-nextest", "--version", &[]),
    ("node", "--version", &["package.json"]),
    ("npm", "--version", &["package-lock.json"]),
    ("pnpm", "--version", &["pnpm-lock.yaml"]),
    ("yarn", "--version", &["yarn.lock"]),
    ("bun", "--version", &["bun.lock", "bun.lockb"]),
    ("deno", "--version", &["deno.json", "deno.jsonc"]),
    (
        "python3",
        "--version",
        &["pyproject.toml", "setup.py", "requirements.txt"],
    ),
    ("python", "--version", &[]),
    ("pytest", "--version", &["pytest.ini"]),
    ("uv", "--version", &["uv.lock"]),
    ("poetry", "--version", &["poetry.lock"]),
    ("go", "version", &["go.mod", "go.work"]),
    (
        "java",
        "--version",
        &["pom.xml", "build.gradle", "build.gradle.kts"],
    ),
    ("mvn", "--version", &["pom.xml"]),
    ("gradle", "--version", &[]),
    ("dotnet", "--version", &["global.json"]),
    ("ruby", "--version", &["Gemfile"]),
    ("bundle", "--version", &["Gemfile"]),
    ("php", "--version", &["composer.json"]),
    ("gcc", "--version", &[]),
    ("cc", "--version", &["Makefile", "CMakeLists.txt"]),
    ("clang", "--version", &[]),
    ("cmake", "--version", &["CMakeLists.txt"]),
    ("make", "--version", &["Makefile"]),
    ("just", "--version", &["justfile", "Justfile", ".justfile"]),
    ("docker", "--version", &[]),
    ("curl", "--version", &[]),
    ("jq", "--version", &[]),
];

/// The tools that the repository's files and the commands suggest.
pub(super) fn suggested(files: &[String], specs: &[&CheckSpec]) -> BTreeSet<&'static str> {
    let words: BTreeSet<&str> = specs
        .iter()
        .flat_map(|spec| {
            spec.cmd
                .split(|c: char| !(c.is_alphanumeric() || "-_.".contains(c)))
        })
        .collect();
    KNOWN
        .iter()
        .filter(|(name, _, signs)| {
            words.contains(name)
                || signs
                    .iter()
                    .any(|sign| files.iter().any(|file| file == sign))
        })
        .map(|(name, _, _)| *name)
        .collect()
}

/// What each of them says, in one line; one that is not there, or says nothing, is left out.
pub(super) async fn versions(
    names: &BTreeSet<&'static str>,
    variables: &Variables,
) -> BTreeMap<String, String> {
    let asked = names.iter().map(|name| async move {
        let version = version(name, variables).await?;
        Some(((*name).to_owned(), version))
    });
    let told = futures_util::future::join_all(asked).await;
    told.into_iter().flatten().collect()
}

/// A program file as it is now.
type Binary = (PathBuf, i64, i64, u64);

/// What was said before, by the file that said it.
static SAID: LazyLock<Mutex<HashMap<Binary, String>>> = LazyLock::new(Mutex::default);

async fn version(name: &str, variables: &Variables) -> Option<String> {
    let (_, flag, _) = KNOWN.iter().find(|(known, _, _)| *known == name)?;
    let file = find(name, variables.get("PATH")?)?;
    let real = file.canonicalize().ok()?;
    let meta = real.metadata().ok()?;
    let binary = (real, meta.mtime(), meta.mtime_nsec(), meta.size());
    let keep = !is_proxy(&binary.0);
    if keep
        && let Some(said) = SAID
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&binary)
    {
        return Some(said.clone());
    }
    let argv = [file.to_str()?.to_owned(), (*flag).to_owned()];
    let said = short::run_with(&argv, Path::new("/"), Some(variables), BUDGET, VERSION_MAX);
    let line = said.await.ok()?;
    let line = line
        .lines()
        .find(|line| !line.trim().is_empty())?
        .trim()
        .to_owned();
    if keep {
        let mut all = SAID.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(binary, line.clone());
    }
    Some(line)
}

/// Whether this file stands for programs that may be exchanged behind it.
fn is_proxy(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str());
    let shim = file.components().any(|part| part.as_os_str() == "shims");
    shim || matches!(name, Some("rustup" | "volta-shim"))
}

fn find(name: &str, path: &str) -> Option<PathBuf> {
    let mut files = path.split(':').map(|folder| Path::new(folder).join(name));
    files.find(|file| {
        let meta = file.metadata();
        meta.is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_suggested_by_files_and_by_words_of_commands() {
        let spec = CheckSpec::of("cd web&&npm ci; (just test)|tee log");
        let files = ["go.mod".to_owned(), "README.md".to_owned()];
        let names = suggested(&files, &[&spec]);
        assert_eq!(names, BTreeSet::from(["go", "just", "npm"]));
    }
}
