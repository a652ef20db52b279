//! The environment of checks: built from a list, as that of agents is, and with nothing that is an agent's own.
//!
//! Programs are found where the service finds its own, and nowhere else: entries of `PATH` that are no absolute paths, or
//! lead to where agents work, are left out. Homes and caches of tools are the user's, so that what is there need not be
//! fetched again. No keys, and nothing that a request or a workflow has set.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::tools;
use crate::agent::environment::Environment as Building;
use crate::dod::check::CheckSpec;
use crate::dod::content::hex;
use crate::git;
use crate::run::{CommitId, TreeId};
use crate::runner::Context;

/// The variables of a command.
pub(super) type Variables = BTreeMap<String, String>;

/// Where tools have what they need beside themselves.
const HOMES_OF_TOOLS: &[&str] = &[
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "GOPATH",
    "GOROOT",
    "GOCACHE",
    "GOMODCACHE",
    "JAVA_HOME",
    "GRADLE_USER_HOME",
    "ANDROID_HOME",
    "DOTNET_ROOT",
    "NVM_DIR",
    "VOLTA_HOME",
    "PNPM_HOME",
    "COREPACK_HOME",
    "PYENV_ROOT",
    "UV_CACHE_DIR",
    "PIP_CACHE_DIR",
    "POETRY_HOME",
    "RBENV_ROOT",
    "GEM_HOME",
    "PLAYWRIGHT_BROWSERS_PATH",
];

/// What checks are run in.
#[derive(Debug, Clone)]
pub struct Environment {
    pub(super) variables: Variables,
    /// What tools said of their versions, by their names.
    pub tools: BTreeMap<String, String>,
    /// SHA-256 over all of it: variables, tools, and which network.
    pub digest: String,
}

impl Environment {
    fn new(
        variables: Variables,
        tools: BTreeMap<String, String>,
        own_network: bool,
    ) -> Environment {
        let mut digest = Digest::default();
        digest.part(if own_network {
            "own network"
        } else {
            "the machine's network"
        });
        for (name, value) in variables.iter().chain(&tools) {
            digest.part(name);
            digest.part(value);
        }
        Environment {
            digest: digest.hex(),
            variables,
            tools,
        }
    }

    /// The same in this network.
    pub(super) fn in_network(self, own: bool) -> Environment {
        Environment::new(self.variables, self.tools, own)
    }

    /// With what is another one in each round.
    pub(super) fn variables(&self, tmp: &Path, port: u16) -> Variables {
        let mut variables = self.variables.clone();
        variables.insert("TMPDIR".to_owned(), tmp.to_string_lossy().into_owned());
        variables.insert("PORT".to_owned(), port.to_string());
        variables
    }
}

/// The environment in which these checks are run at a commit. The versions are those that the tools tell outside of any
/// checkout: what a file of the repository pins is in its tree.
///
/// # Errors
/// git failed.
pub async fn environment(
    context: &Context,
    commit: &CommitId,
    specs: &[&CheckSpec],
) -> Result<Environment, git::Error> {
    let variables = variables(context);
    let files = context.repository.names_at_root(commit).await?;
    let names = tools::suggested(&files, specs);
    let tools = tools::versions(&names, &variables).await;
    let own_network = context.networks.why_not_own().is_none();
    Ok(Environment::new(variables, tools, own_network))
}

/// Under which a result is kept: the same tree, check and environment give the same result. What a check with `red_green`
/// comes to is decided by the base as well.
#[must_use]
pub fn key(tree: &TreeId, base: &CommitId, spec: &CheckSpec, environment: &str) -> String {
    let mut digest = Digest::default();
    digest.part(tree.as_str());
    digest.part(if spec.red_green { base.as_str() } else { "" });
    // Maps and strings only: it can always be written.
    digest.part(&serde_json::to_string(spec).unwrap_or_default());
    digest.part(environment);
    digest.hex()
}

/// A digest of parts, none of which can be taken for the end of another.
#[derive(Default)]
struct Digest(Sha256);

impl Digest {
    fn part(&mut self, text: &str) {
        self.0.update(text.len().to_le_bytes());
        self.0.update(text);
    }

    fn hex(self) -> String {
        hex(&self.0.finalize())
    }
}

fn variables(context: &Context) -> Variables {
    let server = &context.environment;
    let mut building = Building::of_any_program(server);
    building.pass(server, HOMES_OF_TOOLS.iter().copied());
    let config = &context.config;
    let path = trusted(
        building.get("PATH"),
        &[&config.worktrees_root, &config.state_root],
    );
    building.set("PATH", &path);
    building.set("CI", "1");
    building.set("TERM", "dumb");
    building.set("GIT_TERMINAL_PROMPT", "0");
    building.variables()
}

/// The entries of a `PATH` that mean the same wherever one is, and do not lead to where others write.
fn trusted(path: &str, not_below: &[&Path]) -> String {
    let entries = path.split(':').filter(|entry| {
        let entry = Path::new(entry);
        entry.is_absolute() && !not_below.iter().any(|folder| entry.starts_with(folder))
    });
    entries.collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_not_looked_for_where_the_checkout_decides() {
        let path = "/usr/bin::node_modules/.bin:.:/work/trees/x/bin:/bin";
        assert_eq!(trusted(path, &[Path::new("/work/trees")]), "/usr/bin:/bin");
    }

    #[test]
    fn a_result_is_found_again_only_for_the_same_tree_check_and_environment() {
        let tree = |c: char| -> TreeId { c.to_string().repeat(40).parse().unwrap() };
        let base = |c: char| -> CommitId { c.to_string().repeat(40).parse().unwrap() };
        let spec = CheckSpec::of("x");
        let red = CheckSpec {
            red_green: true,
            ..spec.clone()
        };
        let keys = [
            key(&tree('a'), &base('c'), &spec, "e"),
            key(&tree('b'), &base('c'), &spec, "e"),
            key(&tree('a'), &base('c'), &CheckSpec::of("y"), "e"),
            key(&tree('a'), &base('c'), &spec, "f"),
            key(&tree('a'), &base('c'), &red, "e"),
            key(&tree('a'), &base('d'), &red, "e"),
        ];
        let different: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(different.len(), keys.len());
        // A base that moved changes nothing for what does not run there.
        assert_eq!(keys[0], key(&tree('a'), &base('d'), &spec, "e"));
    }

    #[test]
    fn the_digest_tells_variables_tools_and_network_apart() {
        let map = |name: &str, value: &str| Variables::from([(name.to_owned(), value.to_owned())]);
        let of = |variables, tools, own| Environment::new(variables, tools, own).digest;
        let one = of(map("a", "b"), map("cargo", "1"), true);
        assert_eq!(one, of(map("a", "b"), map("cargo", "1"), true));
        assert_ne!(one, of(map("a", "c"), map("cargo", "1"), true));
        assert_ne!(one, of(map("a", "b"), map("cargo", "2"), true));
        assert_ne!(one, of(map("a", "b"), map("cargo", "1"), false));
    }
}
