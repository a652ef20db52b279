//! What can be seen of this machine without a server, and without changing anything.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::check::Check;
use crate::cli::systemd::{UserManager, user_manager};
use crate::config::{Config, Surroundings};
use crate::git;

/// The first bytes of every SQLite database that is not empty (sqlite.org/fileformat2.html).
const SQLITE_MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// All checks, in the order in which a person would want to repair things.
pub fn checks(config: &Config, around: &Surroundings, our_server_answers: bool) -> Vec<Check> {
    vec![
        git(around),
        repository(&config.repo_root),
        agent(config, around),
        folder("worktrees", &config.worktrees_root, "--worktrees-root"),
        folder("state", &config.state_root, "--state-root"),
        database(&config.db),
        port(config, our_server_answers),
        systemd(around),
    ]
}

/// The git that the server would find, asked for its version.
fn git(around: &Surroundings) -> Check {
    let path = around.variable("PATH").unwrap_or_default().to_owned();
    let advice = format!(
        "install git {} or newer, and see that it is on PATH",
        git::MINIMUM_VERSION
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let found = match runtime {
        Ok(runtime) => runtime
            .block_on(git::Program::find(path.as_ref()))
            .map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match found {
        Ok(program) => Check::ok(
            "git",
            format!("{} at {}", program.version(), program.path().display()),
        ),
        Err(error) => Check::fail("git", error, advice),
    }
}

fn repository(root: &Path) -> Check {
    let shown = root.display();
    // A bare repository has no `.git` in it, but is one.
    if root.join(".git").exists() || (root.join("HEAD").is_file() && root.join("objects").is_dir())
    {
        Check::ok("repository", shown.to_string())
    } else {
        let advice = "name the repository's top folder with --repo-root, or make one: git init";
        Check::fail(
            "repository",
            format!("{shown} is not the top of a git repository"),
            advice,
        )
    }
}

fn agent(config: &Config, around: &Surroundings) -> Check {
    let program = &config.claude;
    let found = if program.is_absolute() {
        executable(program).then(|| program.clone())
    } else {
        on_path(&program.to_string_lossy(), around)
    };
    match found {
        _ if config.stub => Check::warn(
            "agent",
            "every run is carried by the stub",
            "unset AGENT_RUNNER_STUB to use an agent",
        ),
        Some(path) => Check::ok("agent", path.display().to_string()),
        None => Check::warn(
            "agent",
            format!(
                "there is no program {}: runs become stubs and never merge",
                program.display()
            ),
            "install Claude Code (npm install -g @anthropic-ai/claude-code), or name it with --claude PATH",
        ),
    }
}

/// A folder that is there must be writable; of one that is not, the nearest that is.
fn folder(name: &'static str, path: &Path, flag: &str) -> Check {
    let advice = format!("make it writable, or name another with {flag}");
    let there = path.ancestors().find(|ancestor| ancestor.exists());
    match there {
        Some(there) if !there.is_dir() => {
            Check::fail(name, format!("{} is no folder", there.display()), advice)
        }
        Some(there) if access(there, Access::WRITE_OK | Access::EXEC_OK).is_err() => Check::fail(
            name,
            format!("{} cannot be written to", there.display()),
            advice,
        ),
        Some(there) if there == path => Check::ok(name, path.display().to_string()),
        _ => Check::ok(name, format!("{} will be made", path.display())),
    }
}

fn database(path: &Path) -> Check {
    let shown = path.display();
    if !path.exists() {
        return folder("database", path, "--db");
    }
    let mut magic = Vec::new();
    match File::open(path).and_then(|file| file.take(16).read_to_end(&mut magic)) {
        Ok(0) => Check::ok("database", format!("{shown} is empty")),
        Ok(_) if magic == SQLITE_MAGIC && access(path, Access::WRITE_OK).is_ok() => {
            Check::ok("database", shown.to_string())
        }
        Ok(_) if magic == SQLITE_MAGIC => Check::fail(
            "database",
            format!("{shown} cannot be written to"),
            "make it writable, or name another with --db",
        ),
        Ok(_) => Check::fail(
            "database",
            format!("{shown} is not an SQLite database"),
            "name another with --db; nothing was changed in this one",
        ),
        Err(why) => Check::fail(
            "database",
            format!("{shown} cannot be read: {why}"),
            "make it readable, or name another with --db",
        ),
    }
}

fn port(config: &Config, our_server_answers: bool) -> Check {
    let address = (config.bind, config.port);
    match TcpListener::bind(address) {
        Ok(_) => Check::ok("port", format!("{} is free", config.port)),
        Err(_) if our_server_answers => {
            Check::ok("port", format!("the server listens on {}", config.port))
        }
        Err(why) if why.kind() == io::ErrorKind::AddrInUse => Check::fail(
            "port",
            format!("something else listens on {}", config.port),
            "end it, or take another port with --port",
        ),
        Err(why) => Check::fail(
            "port",
            format!("cannot listen on {}: {why}", config.port),
            "take another port with --port",
        ),
    }
}

fn systemd(around: &Surroundings) -> Check {
    match user_manager(around) {
        UserManager::Running => Check::ok("systemd", "a user manager is running"),
        UserManager::Absent(why) => Check::warn(
            "systemd",
            why,
            "start the server yourself; without a user manager nothing starts it again",
        ),
    }
}

/// Where PATH leads for this name.
fn on_path(name: &str, around: &Surroundings) -> Option<PathBuf> {
    let path = around.variable("PATH")?;
    std::env::split_paths(path)
        .map(|folder| folder.join(name))
        .find(|program| executable(program))
}

fn executable(program: &Path) -> bool {
    program.is_file() && access(program, Access::EXEC_OK).is_ok()
}
