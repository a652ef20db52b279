//! The environment of an agent: built from a list, not inherited.
//!
//! The service's own environment holds secrets and switches that are nobody else's (and, if it was itself
//! started by an agent, that agent's markers). So an agent gets what any program needs, what belongs to that
//! agent, what the workflow names, what the request adds, and what we set: later ones win, ours last.

use std::collections::BTreeMap;
use std::path::Path;

use super::invocation::Reach;
use crate::run::{AttemptId, Hooks, RunId, Spec, given};

/// What any program needs: who and where it is, how it speaks, how it reaches the network.
const FOR_EVERY_PROGRAM: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
];

/// A program without PATH finds nothing; this is what `sh` would take.
const PATH_WHERE_THERE_IS_NONE: &str = "/usr/local/bin:/usr/bin:/bin";

/// An environment while it is built.
pub(crate) struct Environment {
    vars: BTreeMap<String, String>,
}

impl Environment {
    /// What any program needs, out of the service's environment.
    pub(crate) fn of_any_program(server: &BTreeMap<String, String>) -> Self {
        let mut env = Environment {
            vars: BTreeMap::new(),
        };
        env.set("PATH", PATH_WHERE_THERE_IS_NONE);
        env.pass(server, FOR_EVERY_PROGRAM.iter().copied());
        let locale = server.keys().filter(|name| name.starts_with("LC_"));
        env.pass(server, locale.map(String::as_str));
        env
    }

    /// Takes over those of `names` that the service has and that are not empty.
    pub(crate) fn pass<'a>(
        &mut self,
        server: &BTreeMap<String, String>,
        names: impl Iterator<Item = &'a str>,
    ) {
        for name in names {
            if let Some(value) = server.get(name).filter(|value| !value.is_empty()) {
                self.set(name, value);
            }
        }
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.vars.insert(name.to_owned(), value.to_owned());
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        self.vars.get(name).map_or("", String::as_str)
    }

    /// All of them.
    pub(crate) fn variables(self) -> BTreeMap<String, String> {
        self.vars
    }

    /// What we set whoever the agent is: no terminal, no questions, a place for its temporary files, the marks by
    /// which its processes are known, how it reaches the service, and what its git is configured with.
    pub(crate) fn close(
        mut self,
        run: RunId,
        attempt: AttemptId,
        tmp: &Path,
        git: &[(&str, &str)],
        reach: Option<&Reach<'_>>,
    ) -> BTreeMap<String, String> {
        self.set("TERM", "dumb");
        self.set("GIT_TERMINAL_PROMPT", "0");
        self.set("TMPDIR", &tmp.to_string_lossy());
        self.set(given::RUN_ID, &run.to_string());
        self.set(given::ATTEMPT_ID, &attempt.to_string());
        if let Some(reach) = reach {
            self.set(given::URL, reach.url);
            self.set(given::TOKEN, reach.token);
        }
        if !git.is_empty() {
            // git-config(1): configuration by the environment wins over every file.
            self.set("GIT_CONFIG_COUNT", &git.len().to_string());
        }
        for (at, (key, value)) in git.iter().enumerate() {
            self.set(&format!("GIT_CONFIG_KEY_{at}"), key);
            self.set(&format!("GIT_CONFIG_VALUE_{at}"), value);
        }
        self.vars
    }
}

/// What an agent's git is configured with, beside what its files say.
#[must_use]
pub(crate) fn git_settings(spec: &Spec) -> Vec<(&'static str, &'static str)> {
    let mut settings = Vec::new();
    if spec.settings.hooks == Hooks::Skip {
        settings.push(("core.hooksPath", "/dev/null"));
    }
    if !spec.sparse.is_whole() {
        // As in its worktree's git dir. Not `index.sparse`: the index keeps an entry a file, for all its readers.
        settings.push(("core.sparseCheckout", "true"));
        settings.push(("core.sparseCheckoutCone", "true"));
        settings.push(("index.sparse", "false"));
    }
    settings
}

/// Why a request may not set this variable; `None` if it may.
///
/// A request comes from somebody who may use agents, not from the owner of the machine. It must not choose
/// which code is loaded or run, where the agent's keys are sent, or which repository git works on; and it
/// must not take the marks by which we know our processes.
#[must_use]
pub fn forbidden_env(name: &str) -> Option<&'static str> {
    let mut bytes = name.bytes();
    let begins = bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if !begins || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Some("a name is letters, digits and underscores and does not begin with a digit");
    }
    if name.starts_with("AGENT_RUNNER_") {
        return Some("the service sets it itself");
    }
    if name.starts_with("LD_") || name.starts_with("DYLD_") {
        return Some("it loads code into every program");
    }
    if name.starts_with("GIT_") && !IDENTITY_FOR_GIT.contains(&name) {
        return Some("it changes which repository git works on or what git runs");
    }
    FORBIDDEN
        .iter()
        .find(|(_, names)| names.contains(&name))
        .map(|(why, _)| *why)
}

/// What a request may tell git: whose name is on the agent's commits.
const IDENTITY_FOR_GIT: &[&str] = &[
    "GIT_AUTHOR_NAME",
    "GIT_AUTHOR_EMAIL",
    "GIT_COMMITTER_NAME",
    "GIT_COMMITTER_EMAIL",
];

const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "it changes which programs run, or runs code when one starts",
        &[
            "PATH",
            "SHELL",
            "ENV",
            "BASH_ENV",
            "IFS",
            "SHELLOPTS",
            "BASHOPTS",
            "PS4",
            "PROMPT_COMMAND",
            "EDITOR",
            "VISUAL",
            "PAGER",
            "BROWSER",
            "NODE_OPTIONS",
            "NODE_PATH",
            "BUN_OPTIONS",
            "PYTHONPATH",
            "PYTHONHOME",
            "PYTHONSTARTUP",
            "PERL5LIB",
            "PERL5OPT",
            "RUBYLIB",
            "RUBYOPT",
            "JAVA_TOOL_OPTIONS",
            "_JAVA_OPTIONS",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
        ],
    ),
    (
        "it moves the agent's home, its configuration or its temporary files",
        &[
            "HOME",
            "TMPDIR",
            "XDG_CONFIG_HOME",
            "XDG_CACHE_HOME",
            "XDG_DATA_HOME",
            "XDG_STATE_HOME",
            "XDG_RUNTIME_DIR",
            "CLAUDE_CONFIG_DIR",
        ],
    ),
    (
        "it sends the agent's requests, and the service's keys with them, to another place",
        &[
            "ANTHROPIC_BASE_URL",
            "ANTHROPIC_BEDROCK_BASE_URL",
            "ANTHROPIC_VERTEX_BASE_URL",
            "ANTHROPIC_UNIX_SOCKET",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "ALL_PROXY",
            "NO_PROXY",
            "http_proxy",
            "https_proxy",
            "all_proxy",
            "no_proxy",
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
            "NODE_EXTRA_CA_CERTS",
            "NODE_TLS_REJECT_UNAUTHORIZED",
        ],
    ),
    (
        "the service decides it from the workflow's settings",
        &["IS_SANDBOX", "CLAUDE_CODE_BUBBLEWRAP", "TERM"],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_sets_its_own_variables_and_none_that_change_what_runs_or_where_keys_go() {
        for fine in [
            "CI",
            "RUST_LOG",
            "GIT_AUTHOR_NAME",
            "CLAUDE_CODE_MAX_RETRIES",
            "_x",
            "lower_1",
        ] {
            assert_eq!(forbidden_env(fine), None, "{fine}");
        }
        for not in [
            "LD_PRELOAD",
            "PATH",
            "HOME",
            "GIT_DIR",
            "GIT_CONFIG_COUNT",
            "GIT_SSH_COMMAND",
            "NODE_OPTIONS",
            "ANTHROPIC_BASE_URL",
            "HTTPS_PROXY",
            "AGENT_RUNNER_RUN_ID",
            "IS_SANDBOX",
            "",
            "1A",
            "A=B",
            "A B",
            "Ä",
        ] {
            assert!(forbidden_env(not).is_some(), "{not}");
        }
    }
}
