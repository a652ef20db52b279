//! What checks have brought, recorded as the service records it, in the journal of a server that is down.

use std::collections::BTreeMap;

use agent_runner_api::clock;
use agent_runner_api::dod::check::{CheckRecord, CheckSpec, Counts, End, Failed, FailedCode};
use agent_runner_api::dod::content::ContentStore;
use agent_runner_api::dod::{
    Author, Evidence, EvidenceKind, Head, Item, ItemSpec, Payload, Validator, Verdict,
};
use agent_runner_api::journal::Journal;
use agent_runner_api::run::{Event, EvidenceId, ItemId, Run};
use agent_runner_api::store::Store;
use uuid::Uuid;

use super::server::Server;

/// The journal of a server that is down, for one run.
pub struct Books<'a> {
    server: &'a Server,
    runtime: tokio::runtime::Runtime,
    journal: Journal,
    id: String,
}

/// A check that ended with 0, having run two tests; or with 1.
fn record(cmd: &str, passed: bool) -> CheckRecord {
    let failed = Failed {
        code: FailedCode::ExitCode,
        detail: "it ended with 1".to_owned(),
    };
    CheckRecord {
        key: "c0ffee".repeat(10),
        cmd: cmd.to_owned(),
        end: End::Exited {
            code: i32::from(!passed),
        },
        failed: (!passed).then_some(failed),
        duration_ms: 1200,
        counts: Some(Counts {
            passed: 2,
            failed: u64::from(!passed),
            skipped: 0,
            at_least: false,
        }),
        environment: "e".repeat(64),
        tools: BTreeMap::from([("git".to_owned(), "2.47.3".to_owned())]),
        own_network: true,
        cached_from: None,
        on_base: None,
    }
}

impl<'a> Books<'a> {
    /// Opens the books of this run. Kills the server; start it again when they are closed.
    pub fn of(server: &'a Server, run: &str) -> Books<'a> {
        server.kill();
        Books::of_stopped(server, run)
    }

    /// The same of a server that is down already.
    pub fn of_stopped(server: &'a Server, run: &str) -> Books<'a> {
        let store = Store::open(&server.at("runs.db")).unwrap();
        Books {
            journal: Journal::open(store).unwrap(),
            runtime: tokio::runtime::Runtime::new().unwrap(),
            id: run.to_owned(),
            server,
        }
    }

    pub fn run(&self) -> Run {
        self.journal.run(self.id.parse().unwrap()).unwrap().unwrap()
    }

    pub fn record(&self, event: Event) {
        let recorded = self.journal.record(self.id.parse().unwrap(), vec![event]);
        self.runtime.block_on(recorded).unwrap();
    }

    /// One more required item, with a check.
    pub fn item(&self, key: &str, cmd: &str) -> ItemId {
        let id = ItemId(Uuid::now_v7());
        let spec = ItemSpec {
            accepts: vec![EvidenceKind::File],
            validator: Validator::Check,
            check: Some(CheckSpec::of(cmd)),
            ..ItemSpec::of(key, key)
        };
        self.record(Event::ItemAdded {
            item: Item { id, spec },
        });
        id
    }

    /// What the item's check came to on the work as it is; its evidence.
    pub fn checked(&self, item: ItemId, passed: bool) -> EvidenceId {
        let head = self.run().head.unwrap();
        self.checked_on(item, passed, head, None)
    }

    /// The same on another commit: the merge of this work.
    pub fn checked_on(
        &self,
        item: ItemId,
        passed: bool,
        head: Head,
        candidate_of: Option<&Head>,
    ) -> EvidenceId {
        let run = self.run();
        let content = ContentStore::open(self.server.at("state/evidence")).unwrap();
        let log = format!("{item} on {}\n", head.commit);
        let stored = content.put(&mut log.as_bytes(), 1024).unwrap();
        let id = EvidenceId(Uuid::now_v7());
        let cmd = run
            .item(item)
            .unwrap()
            .spec
            .check
            .as_ref()
            .unwrap()
            .cmd
            .clone();
        let evidence = Evidence {
            id,
            item_id: item,
            payload: Payload::File {
                path: "check.log".to_owned(),
                media_type: None,
            },
            head,
            base_commit: run.base_commit.unwrap(),
            onto: None,
            check: Some(record(&cmd, passed)),
            candidate_of: candidate_of.map(|head| head.commit.clone()),
            carried_to: Vec::new(),
            sha256: stored.sha256,
            size: stored.size,
            author: Author::Check,
            author_name: None,
            created_at: clock::now(),
            verdict: Verdict::Open,
        };
        self.record(Event::EvidenceAttached { evidence });
        let by = "check".to_owned();
        self.record(match passed {
            true => Event::EvidenceValidated {
                evidence: id,
                by,
                overrides: None,
            },
            false => Event::EvidenceRejected {
                evidence: id,
                by,
                reason: "it ended with 1".to_owned(),
            },
        });
        id
    }

    /// An operator accepts it in the place of the check.
    pub fn overridden(&self, evidence: EvidenceId, by: &str, reason: &str) {
        self.record(Event::EvidenceValidated {
            evidence,
            by: by.to_owned(),
            overrides: Some(reason.to_owned()),
        });
    }
}
