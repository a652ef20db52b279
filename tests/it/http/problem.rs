//! Refusals as problems: the status and code of each, and the whole of some.

use agent_runner_api::app::{FieldProblem, Refused};
use agent_runner_api::dod::EvidenceKind;
use agent_runner_api::gate::{Blocker, BlockerCode};
use agent_runner_api::http::problem::{Code, Problem};
use agent_runner_api::http::{Guard, guarded};
use agent_runner_api::run::{EvidenceId, ItemId, Refusal, RunId, Status};
use agent_runner_api::runner::room::FileSystem;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use uuid::Uuid;

use super::{Answer, ask};

fn blocker(code: BlockerCode, detail: &str) -> Blocker {
    Blocker {
        code,
        item_id: None,
        item_key: None,
        evidence_id: None,
        detail: detail.to_owned(),
    }
}

fn states() -> Vec<Refusal> {
    let evidence = EvidenceId(Uuid::nil());
    vec![
        Refusal::RunActive(Status::Running),
        Refusal::AlreadyMerged,
        Refusal::RunAborted,
        Refusal::NotAborted,
        Refusal::Aborting,
        Refusal::Merging,
        Refusal::UnknownItem(ItemId(Uuid::nil())),
        Refusal::UnknownEvidence(evidence),
        Refusal::KindNotAccepted {
            item_key: "tests".to_owned(),
            kind: EvidenceKind::Url,
            accepts: vec![EvidenceKind::Text, EvidenceKind::File],
        },
        Refusal::EvidenceStale(evidence),
        Refusal::EvidenceRejected(evidence),
        Refusal::EvidenceValidated(evidence),
        Refusal::TooMuch("items"),
        Refusal::NoSession("this agent keeps no session; `retry` starts it again"),
        Refusal::NoHead,
    ]
}

fn gates() -> Vec<Refused> {
    let active = blocker(BlockerCode::RunActive, "the run is running");
    let nothing = blocker(BlockerCode::NothingToMerge, "nothing is on the branch");
    let missing = blocker(
        BlockerCode::EvidenceMissing,
        "`review`: there is no evidence",
    );
    vec![
        Refused::GateClosed(vec![missing.clone()]),
        Refused::GateClosed(vec![active, missing.clone()]),
        Refused::GateClosed(vec![nothing.clone()]),
        Refused::GateClosed(vec![nothing, missing]),
    ]
}

fn refusals() -> Vec<Refused> {
    let mut all = vec![
        Refused::NotFound {
            what: "run",
            id: "0197".to_owned(),
        },
        Refused::AmbiguousId {
            what: "run",
            prefix: "019701".to_owned(),
        },
        Refused::UnknownMode {
            mode: "atuo".to_owned(),
            pointer: "/mode",
            known: vec!["auto".to_owned(), "prompt".to_owned()],
        },
        Refused::Invalid(vec![FieldProblem::new("/prompt", "say what to do")]),
        Refused::LiveRun {
            what: "card_id",
            run: RunId(Uuid::nil()),
        },
        Refused::IdempotencyMismatch,
        Refused::OwnEvidence {
            evidence: EvidenceId(Uuid::nil()),
            by: "agent".to_owned(),
        },
        Refused::MergeConflict {
            paths: vec!["src/a.rs".to_owned()],
        },
        Refused::BaseCheckedOutDirty {
            checkout: "/repo".to_owned(),
            paths: vec!["src/a.rs".to_owned()],
            busy: None,
        },
        Refused::BaseMoved,
        Refused::TooLarge { limit: 10 },
        Refused::CannotRestore("its branch exists".to_owned()),
        Refused::Workflow("it is built in".to_owned()),
        Refused::DiskLow(FileSystem {
            holds: vec!["database", "state"],
            path: "/data".into(),
            free: 5 << 20,
            floor: 1 << 30,
        }),
        Refused::failed(
            anyhow::anyhow!("No space left on device (os error 28)").context("write a payload"),
        ),
        Refused::Draining,
        Refused::Degraded,
        Refused::Internal(anyhow::anyhow!("secret")),
    ];
    all.extend(gates());
    all.extend(states().into_iter().map(Refused::State));
    all
}

#[test]
fn each_refusal_has_its_status_and_code() {
    let lines: Vec<_> = refusals()
        .into_iter()
        .map(|refused| {
            let problem = Problem::from(refused);
            let name = serde_json::to_value(problem.code()).unwrap();
            let status = problem.code().status().as_u16();
            format!("{status} {}: {}", name.as_str().unwrap(), problem.detail())
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    404 not_found: there is no run `0197`
    409 ambiguous_id: `019701` begins the id of more than one run; write more of it
    422 unknown_mode: there is no mode `atuo`; there are: auto, prompt
    422 invalid: /prompt: say what to do
    409 live_run: run 00000000-0000-0000-0000-000000000000 for the same card_id is going on; wait for it, abort it, or ask with `allow_parallel: true`
    422 idempotency_mismatch: the Idempotency-Key was used before with another request
    403 own_evidence: `agent` cannot validate: evidence is accepted by somebody other than its author
    409 merge_conflict: the branch conflicts with the base in: src/a.rs
    409 base_checked_out_dirty: the base is checked out at /repo with changes that the merge would overwrite: src/a.rs
    409 base_moved: the base moved while the merge was made; try again
    413 too_large: the payload has over 10 bytes
    409 cannot_restore: the run cannot be restored: its branch exists
    409 workflow_conflict: the workflow cannot be changed: it is built in
    507 disk_low: nothing new is begun: /data (database, state) has 5 MiB free and 1024 MiB must be: make room there, or set another --disk-floor-bytes. Abort, merge, evidence and its validation go on
    507 disk_full: a file system is full, so this was not done. Make room (GET /api/health tells where) and ask again
    503 draining: the service is stopping; try again in a moment
    503 degraded: the database does not answer
    500 internal: something failed inside the service; the log has it under this request_id
    409 gate_closed: the gate is shut: `review`: there is no evidence
    409 run_active: the gate is shut: the run is running; `review`: there is no evidence
    409 nothing_to_merge: the gate is shut: nothing is on the branch
    409 gate_closed: the gate is shut: nothing is on the branch; `review`: there is no evidence
    409 run_active: the run is running; wait until it is finished
    409 already_merged: the run has merged and never changes
    409 run_aborted: the run was aborted; `restore` brings it back
    409 not_aborted: the run is not aborted; there is nothing to restore
    409 aborting: the run is being aborted
    409 merging: the run is being merged
    404 not_found: there is no item `00000000-0000-0000-0000-000000000000` in this run
    404 not_found: there is no evidence `00000000-0000-0000-0000-000000000000` in this run
    422 kind_not_accepted: `tests` takes text, file, not url
    409 evidence_stale: the work has changed since this evidence was attached; attach it again
    409 evidence_rejected: this evidence was rejected; attach new evidence
    409 evidence_validated: this evidence is validated
    409 too_much: the run has as many items as one run can have
    409 no_session: this agent keeps no session; `retry` starts it again
    409 no_head: the run has no branch yet that evidence could speak of
    "#);
}

#[test]
fn no_two_codes_have_the_same_title() {
    let mut titles: Vec<_> = Code::ALL.iter().map(|code| code.title()).collect();
    titles.sort_unstable();
    titles.dedup();
    assert_eq!(titles.len(), Code::ALL.len());
}

/// The refusal as a client gets it.
async fn sent(refused: fn() -> Refused) -> Answer {
    let routes = Router::new().route(
        "/merge",
        get(async move || -> Result<(), Problem> { Err(refused().into()) }),
    );
    let request = Request::get("/merge?dry_run=1")
        .header("host", "localhost:8486")
        .header("x-request-id", "the-request")
        .body(Body::empty())
        .unwrap();
    ask(&guarded(routes, Guard::new(8486, vec![])), request).await
}

#[tokio::test]
async fn a_shut_gate_names_what_is_missing() {
    let answer = sent(|| {
        Refused::GateClosed(vec![Blocker {
            item_key: Some("review".to_owned()),
            ..blocker(
                BlockerCode::EvidenceMissing,
                "`review`: there is no evidence",
            )
        }])
    })
    .await;
    insta::assert_json_snapshot!(answer.json(), @r#"
    {
      "blockers": [
        {
          "code": "evidence_missing",
          "detail": "`review`: there is no evidence",
          "evidence_id": null,
          "item_id": null,
          "item_key": "review"
        }
      ],
      "code": "gate_closed",
      "detail": "the gate is shut: `review`: there is no evidence",
      "instance": "/merge",
      "request_id": "the-request",
      "status": 409,
      "title": "The gate is shut",
      "type": "urn:agent_runner_api:problem:gate_closed"
    }
    "#);
}

#[tokio::test]
async fn what_is_behind_an_internal_problem_is_not_sent() {
    let answer = sent(|| Refused::Internal(anyhow::anyhow!("secret").context("open /etc/x"))).await;
    insta::assert_json_snapshot!(answer.json(), @r#"
    {
      "code": "internal",
      "detail": "something failed inside the service; the log has it under this request_id",
      "instance": "/merge",
      "request_id": "the-request",
      "status": 500,
      "title": "Something failed inside the service",
      "type": "urn:agent_runner_api:problem:internal"
    }
    "#);
}

#[tokio::test]
async fn a_service_that_stops_says_when_to_come_back() {
    let answer = sent(|| Refused::Draining).await;
    assert_eq!(answer.code(), "draining");
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn a_panic_is_an_internal_problem() {
    let routes = Router::new().route("/", get(async || -> () { panic!("secret") }));
    let request = Request::get("/").header("host", "localhost:8486");
    let door = guarded(routes, Guard::new(8486, vec![]));
    let answer = ask(&door, request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.code(), "internal");
    assert!(!String::from_utf8(answer.body).unwrap().contains("secret"));
}

#[tokio::test]
async fn an_address_that_is_too_long_is_a_problem() {
    let routes = Router::new().route("/{id}", get(async || "fine"));
    let door = guarded(routes, Guard::new(8486, vec![]));
    let request = Request::get(format!("/{}", "a".repeat(9000))).header("host", "localhost:8486");
    let answer = ask(&door, request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.code(), "uri_too_long");
}
