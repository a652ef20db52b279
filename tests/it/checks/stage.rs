//! A place for lists of checks: a repository with a commit, and all that the engine works with, but for the server.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use agent_runner_api::config::{Config, ServerArgs, Surroundings};
use agent_runner_api::dod::check::{CheckRecord, CheckSpec, FailedCode};
use agent_runner_api::dod::content::ContentStore;
use agent_runner_api::git::{Program, Repository};
use agent_runner_api::journal::Journal;
use agent_runner_api::process::{self, Containment, Growths, Networks, WantedNetwork};
use agent_runner_api::run::{CommitId, ItemId, RoundId, RunId};
use agent_runner_api::runner::checks::CheckSlots;
use agent_runner_api::runner::checks::engine::{self, Done, Order, Ordered};
use agent_runner_api::runner::definition::Known;
use agent_runner_api::runner::failures::Failures;
use agent_runner_api::runner::files::Files;
use agent_runner_api::runner::pool::Pool;
use agent_runner_api::runner::room::Room;
use agent_runner_api::runner::seeding::Seeds;
use agent_runner_api::runner::stream::Streams;
use agent_runner_api::runner::tokens::AgentTokens;
use agent_runner_api::runner::{Context, Lanes};
use agent_runner_api::store::Store;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::repo::Repo;
use crate::support::wait::PATIENCE;

/// The program under test.
pub fn binary() -> PathBuf {
    env!("CARGO_BIN_EXE_agent_runner_api").into()
}

/// The service without its doors, on folders of its own. What its run has started is ended when this is dropped.
pub struct Stage {
    pub repo: Repo,
    pub context: Arc<Context>,
    pub run: RunId,
    pub folder: TempDir,
}

impl Drop for Stage {
    fn drop(&mut self) {
        process::sweep_marked(self.run);
    }
}

/// What a check came to, and what it printed.
#[derive(Debug)]
pub struct Came {
    pub item: ItemId,
    pub record: CheckRecord,
    pub log: String,
}

impl Came {
    pub fn code(&self) -> Option<FailedCode> {
        self.record.failed.as_ref().map(|failed| failed.code)
    }

    #[track_caller]
    pub fn passed(&self) -> &Came {
        assert_eq!(self.record.failed, None, "{self:#?}");
        self
    }
}

impl Stage {
    pub async fn new() -> Stage {
        Stage::with(WantedNetwork::Best, &[]).await
    }

    /// With this network, and these variables in the environment of the service.
    pub async fn with(network: WantedNetwork, variables: &[(&str, &str)]) -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let repo = Repo::at(&at("repository"));
        std::fs::create_dir(at("home")).unwrap();
        let text = |name: &str| at(name).display().to_string();
        let mut environment = BTreeMap::from([
            ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("HOME".to_owned(), text("home")),
            ("AGENT_RUNNER_DB".to_owned(), text("runs.db")),
            ("AGENT_RUNNER_REPO_ROOT".to_owned(), text("repository")),
            ("AGENT_RUNNER_WORKTREES_ROOT".to_owned(), text("worktrees")),
            ("AGENT_RUNNER_STATE_ROOT".to_owned(), text("state")),
            (
                "AGENT_RUNNER_LIMITS_MAX_OUTPUT_BYTES".to_owned(),
                "64MiB".to_owned(),
            ),
        ]);
        let more = variables.iter().map(|(name, value)| {
            let value = value.replace("{folder}", folder.path().to_str().unwrap());
            ((*name).to_owned(), value)
        });
        environment.extend(more);
        let around = Surroundings {
            environment: environment.clone(),
            current_dir: folder.path().to_owned(),
            cores: 2,
            available_memory: None,
            program: None,
        };
        let config = Config::load(&ServerArgs::default(), &around).unwrap();
        let files = Files::below(config.state_root.clone());
        std::fs::create_dir_all(&config.state_root).unwrap();
        let program = Program::find(environment["PATH"].as_ref()).await.unwrap();
        let repository = Repository::open(program, &config.repo_root, &files.git_view()).await;
        let repository = repository.unwrap();
        let context = Context {
            base: "master".to_owned(),
            journal: Journal::open(Store::open(&config.db).unwrap()).unwrap(),
            content: ContentStore::open(files.evidence()).unwrap(),
            room: Room::of(&config, repository.common_dir()),
            pool: Pool::new(&config, &repository),
            repository,
            tokens: AgentTokens::open(&files.token_secret()).unwrap(),
            files,
            binary: binary(),
            program: None,
            url: OnceLock::new(),
            containment: Containment::nothing(),
            networks: Networks::find(network, &binary()).await.unwrap(),
            claude: Err("no claude here".to_owned()),
            environment,
            closing: CancellationToken::new(),
            left_out: OnceLock::new(),
            check_slots: CheckSlots::new(config.max_checks),
            definitions: Known::default(),
            growths: Growths::new(),
            streams: Streams::default(),
            lanes: Lanes::default(),
            seeds: Seeds::find(None, &config.worktrees_root),
            failures: Failures::default(),
            config,
        };
        Stage {
            repo,
            context: Arc::new(context),
            run: RunId(Uuid::now_v7()),
            folder,
        }
    }

    /// A list at master, in a round of its own.
    pub fn order(&self, specs: &[CheckSpec]) -> Order {
        let master: CommitId = self.repo.master().parse().unwrap();
        let list = specs.iter().enumerate().map(|(n, spec)| Ordered {
            item: ItemId(Uuid::now_v7()),
            key: format!("item-{n}"),
            spec: spec.clone(),
        });
        Order {
            run: self.run,
            round: RoundId(Uuid::now_v7()),
            commit: master.clone(),
            base: master,
            list: list.collect(),
        }
    }

    /// Runs it to its end; what each check came to, in the order of the list. Its folder is gone then.
    pub async fn carry_out(&self, order: Order) -> Vec<Came> {
        let (tell, mut told) = mpsc::unbounded_channel();
        let (run, round, items) = (order.run, order.round, items(&order));
        engine::run_list(&self.context, order, CancellationToken::new(), tell)
            .await
            .unwrap();
        let mut came = Vec::new();
        while let Some(Done { item, record, log }) = told.recv().await {
            let log = std::fs::read(log).unwrap_or_default();
            let log = String::from_utf8_lossy(&log).into_owned();
            came.push(Came { item, record, log });
        }
        engine::clear(&self.context, run, round).await.unwrap();
        assert!(!self.context.files.of_round(round).exists());
        assert_eq!(came.len(), items.len(), "each is told once");
        came.sort_by_key(|came| items.iter().position(|item| *item == came.item));
        came
    }

    /// Runs these at master.
    pub async fn run(&self, specs: &[CheckSpec]) -> Vec<Came> {
        self.carry_out(self.order(specs)).await
    }

    /// Runs this one command, which must pass; what it printed.
    pub async fn printed(&self, cmd: &str) -> String {
        let mut came = self.run(&[CheckSpec::of(cmd)]).await;
        came[0].passed();
        came.remove(0).log
    }

    /// How many processes carry the marker of its run.
    pub fn processes(&self) -> usize {
        let marked = process::marked().unwrap();
        let ours = marked.iter().filter(|marked| marked.run == self.run);
        ours.map(|marked| marked.identity.pid)
            .collect::<HashSet<_>>()
            .len()
    }

    /// Whether lists have networks of their own here; says so by the test's name where not.
    pub fn has_own_networks(&self, test: &str) -> bool {
        let why_not = self.context.networks.why_not_own();
        if let Some(why) = why_not {
            println!("SKIPPED {test}: no network of its own can be had here: {why}");
        }
        why_not.is_none()
    }
}

fn items(order: &Order) -> Vec<ItemId> {
    order.list.iter().map(|ordered| ordered.item).collect()
}

/// A command that goes on, and its health.
pub fn with_health(cmd: &str, health: &str) -> CheckSpec {
    CheckSpec {
        health: Some(health.to_owned()),
        timeout_s: Some(30),
        ..CheckSpec::of(cmd)
    }
}

/// Waits for something that gives no event.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let comes = async {
        let mut pause = tokio::time::interval(Duration::from_millis(3));
        while !condition() {
            pause.tick().await;
        }
    };
    let came = tokio::time::timeout(PATIENCE, comes).await;
    came.unwrap_or_else(|_| panic!("never: {what}"));
}
