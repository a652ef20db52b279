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

/// What the checks of a list are run in.
#[derive(Debug, Clone)]
pub struct Environment {
    variables: Variables,
    /// The names at the root of the repository, which suggest tools.
    files: Vec<String>,
    /// What tools said of their versions, by their names: those of all checks.
    tools: BTreeMap<String, String>,
    own_network: bool,
}

/// What one check is run in: it does not depend on the checks beside it.
#[derive(Debug, Clone)]
pub struct OfCheck {
    /// What the tools that it is likely to use said of their versions, by their names.
    pub tools: BTreeMap<String, String>,
    /// SHA-256 over all of it: variables, tools, and which network.
    pub digest: String,
}

impl Environment {
    /// That of one check of the list.
    #[must_use]
    pub fn of(&self, spec: &CheckSpec) -> OfCheck {
        let names = tools::suggested(&self.files, &[spec]);
        let tools: BTreeMap<String, String> = names
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), self.tools.get(name)?.clone())))
            .collect();
        let mut digest = Digest::default();
        digest.part(match self.own_network {
            true => "own network",
            false => "the machine's network",
        });
        for (name, value) in self.variables.iter().chain(&tools) {
            digest.part(name);
            digest.part(value);
        }
        OfCheck {
            digest: digest.hex(),
            tools,
        }
    }

    /// Under which the result of a check is kept: the same tree, check and environment give the same result. What one with
    /// `red_green` comes to is decided by the base as well.
    #[must_use]
    pub fn key(&self, tree: &TreeId, base: &CommitId, spec: &CheckSpec) -> String {
        let mut digest = Digest::default();
        digest.part(tree.as_str());
        digest.part(if spec.red_green { base.as_str() } else { "" });
        // Maps and strings only: it can always be written.
        digest.part(&serde_json::to_string(spec).unwrap_or_default());
        digest.part(&self.of(spec).digest);
        digest.hex()
    }

    /// The same in this network.
    pub(super) fn in_network(self, own_network: bool) -> Environment {
        Environment {
            own_network,
            ..self
        }
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
    Ok(Environment {
        variables,
        files,
        tools,
        own_network: context.networks.why_not_own().is_none(),
    })
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
        let path = "/usr/bin::node_modules/.bin:.:/srv/trees/x/bin:/bin";
        assert_eq!(trusted(path, &[Path::new("/srv/trees")]), "/usr/bin:/bin");
    }

    /// An environment with one variable, and tools of this version.
    fn with(variable: &str, version: &str, own_network: bool) -> Environment {
        let tool = |name: &str| (name.to_owned(), version.to_owned());
        Environment {
            variables: Variables::from([("A".to_owned(), variable.to_owned())]),
            files: vec!["Cargo.toml".to_owned()],
            tools: ["cargo", "rustc", "npm"].map(tool).into(),
            own_network,
        }
    }

    #[test]
    fn a_result_is_found_again_only_for_the_same_tree_check_and_environment() {
        let tree = |c: char| -> TreeId { c.to_string().repeat(40).parse().unwrap() };
        let base = |c: char| -> CommitId { c.to_string().repeat(40).parse().unwrap() };
        let (here, there) = (with("a", "1", true), with("b", "1", true));
        let spec = CheckSpec::of("x");
        let red = CheckSpec {
            red_green: true,
            ..spec.clone()
        };
        let keys = [
            here.key(&tree('a'), &base('c'), &spec),
            here.key(&tree('b'), &base('c'), &spec),
            here.key(&tree('a'), &base('c'), &CheckSpec::of("y")),
            there.key(&tree('a'), &base('c'), &spec),
            here.key(&tree('a'), &base('c'), &red),
            here.key(&tree('a'), &base('d'), &red),
        ];
        let different: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(different.len(), keys.len());
        // A base that moved changes nothing for what does not run there.
        assert_eq!(keys[0], here.key(&tree('a'), &base('d'), &spec));
    }

    #[test]
    fn the_digest_tells_variables_tools_and_network_apart_and_knows_no_other_check() {
        let spec = CheckSpec::of("cargo test");
        let of = |environment: Environment| environment.of(&spec).digest;
        let one = of(with("a", "1", true));
        assert_eq!(one, of(with("a", "1", true)));
        assert_ne!(one, of(with("b", "1", true)));
        assert_ne!(one, of(with("a", "2", true)));
        assert_ne!(one, of(with("a", "1", false)));
        let tools = with("a", "1", true).of(&spec).tools;
        assert_eq!(tools.into_keys().collect::<Vec<_>>(), ["cargo", "rustc"]);
        let mut without_npm = with("a", "1", true);
        without_npm.tools.remove("npm");
        assert_eq!(one, of(without_npm), "npm is for another check");
    }
}
