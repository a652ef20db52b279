//! Where Claude Code is: the inner program, not what is wrapped around it.
//!
//! On PATH it is a symbolic link: of npm (`.bin/claude` -> `@anthropic-ai/claude-code/bin/claude.exe`) or of its own
//! installer (`~/.local/bin/claude` -> `versions/<version>`). The end of the link is the native program, or, where
//! npm ran no install scripts, a placeholder which only says so; the native program then lies in the package for
//! the platform, beside or inside. A wrapper between us and the agent would get our signals in its place.
//!
//! Deliberately absent: running it. Which version it is, is asked elsewhere.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::agent::invocation::on_path;

/// The packages that hold the native program for this machine, the likeliest first.
#[cfg(target_arch = "x86_64")]
const PLATFORM_PACKAGES: &[&str] = &["claude-code-linux-x64", "claude-code-linux-x64-musl"];
/// The packages that hold the native program for this machine, the likeliest first.
#[cfg(not(target_arch = "x86_64"))]
const PLATFORM_PACKAGES: &[&str] = &["claude-code-linux-arm64", "claude-code-linux-arm64-musl"];

/// The folder of npm's packages of Claude Code.
const SCOPE: &str = "@anthropic-ai";

/// Claude Code, found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// What is started: an absolute path without links.
    pub path: String,
    /// What it is.
    pub form: Form,
    /// What was found on PATH, before links were followed.
    pub found: PathBuf,
}

/// What the program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The native program.
    Native,
    /// A script with an interpreter, around we do not know what. It is started as it is; worth a warning,
    /// because it gets our signals in the agent's place.
    Script,
}

/// Why there is no Claude Code to start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotLocated {
    /// None on PATH.
    #[error("no `claude` on PATH")]
    NotOnPath,
    /// npm left only the wrapper: its install scripts did not run, and the package for this platform is missing.
    #[error(
        "{found} is only the wrapper of npm's package, and its native program ({package}) is not installed; \
         install the package with its optional dependencies"
    )]
    OnlyWrapper {
        /// What was found on PATH.
        found: String,
        /// The package that is missing.
        package: String,
    },
    /// It can be found but not read or named.
    #[error("{found} cannot be used: {why}")]
    Unusable {
        /// What was found on PATH.
        found: String,
        /// What went wrong.
        why: String,
    },
}

/// Claude Code on this PATH.
pub fn locate(path: &str) -> Result<Program, NotLocated> {
    let found = on_path("claude", path).ok_or(NotLocated::NotOnPath)?;
    locate_at(&found)
}

/// Claude Code behind this file, which is what a person would have started.
pub fn locate_at(found: &Path) -> Result<Program, NotLocated> {
    let unusable = |why: String| NotLocated::Unusable {
        found: found.display().to_string(),
        why,
    };
    let target = found
        .canonicalize()
        .map_err(|error| unusable(error.to_string()))?;
    let (path, form) = match begins(&target).map_err(|error| unusable(error.to_string()))? {
        Begins::Elf => (target, Form::Native),
        // A script inside npm's package is the placeholder or `cli-wrapper.cjs`.
        other => match (native_beside(&target), other) {
            (Some(native), _) => (native, Form::Native),
            (None, Begins::Interpreter) if !inside_package(&target) => (target, Form::Script),
            (None, _) if inside_package(&target) => {
                return Err(NotLocated::OnlyWrapper {
                    found: found.display().to_string(),
                    package: format!("{SCOPE}/{}", PLATFORM_PACKAGES[0]),
                });
            }
            (None, _) => {
                return Err(unusable(
                    "it is neither a native program nor a script".to_owned(),
                ));
            }
        },
    };
    let path = path
        .into_os_string()
        .into_string()
        .map_err(|_| unusable("its path is not UTF-8".to_owned()))?;
    Ok(Program {
        path,
        form,
        found: found.to_owned(),
    })
}

enum Begins {
    Elf,
    Interpreter,
    Otherwise,
}

fn begins(file: &Path) -> std::io::Result<Begins> {
    let mut head = Vec::new();
    File::open(file)?.take(4).read_to_end(&mut head)?;
    Ok(match head.as_slice() {
        b"\x7fELF" => Begins::Elf,
        [b'#', b'!', ..] => Begins::Interpreter,
        _ => Begins::Otherwise,
    })
}

/// npm's package that this file is in, if it is in one.
fn package_of(file: &Path) -> Option<&Path> {
    file.ancestors()
        .find(|folder| folder.ends_with(Path::new(SCOPE).join("claude-code")))
}

fn inside_package(file: &Path) -> bool {
    package_of(file).is_some()
}

/// The native program of the package that this file is in: in a package beside it, or in one inside it.
fn native_beside(file: &Path) -> Option<PathBuf> {
    let package = package_of(file)?;
    let scopes = [
        package.parent()?.to_owned(),
        package.join("node_modules").join(SCOPE),
    ];
    scopes
        .iter()
        .flat_map(|scope| {
            PLATFORM_PACKAGES
                .iter()
                .map(|name| scope.join(name).join("claude"))
        })
        .find(|program| matches!(begins(program), Ok(Begins::Elf)))
}

#[cfg(test)]
mod tests;
