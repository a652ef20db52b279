//! The shapes of attestations: in-toto Statements of version 1, as JSON.
//!
//! - Statement and ResourceDescriptor: in-toto Attestation Framework, `spec/v1` (v1.1).
//! - A check: predicate `https://in-toto.io/attestation/test-result/v0.1`, version 0.1.0.
//! - The gate: predicate `https://slsa.dev/verification_summary/v1`, as SLSA 1.1 has it.
//! - What was accepted by whom: a predicate of our own, [`Shown`](super::Shown).
//!
//! Members that these specifications do not have are named by a URI of ours, as they ask for.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::urn;
use crate::dod::check::{Counts, End, Failed};
use crate::dod::content::sha256_hex;
use crate::dod::{Evidence, Head};
use crate::gate::Blocker;
use crate::run::{CommitId, EvidenceId, Run, TreeId};

/// `_type` of a Statement.
pub const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// What a check came to.
pub const TEST_PREDICATE: &str = "https://in-toto.io/attestation/test-result/v0.1";
/// What the gate said.
pub const SUMMARY_PREDICATE: &str = "https://slsa.dev/verification_summary/v1";
/// What was shown, and who accepted it.
pub const DOD_PREDICATE: &str = "urn:agent_runner_api:predicate:definition_of_done:v1";

/// The most bytes of content in a ResourceDescriptor.
const MOST_CONTENT: usize = 1024;

/// Something that is said of some artifacts.
#[derive(Debug, Serialize)]
pub(super) struct Statement<P> {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: Vec<Resource>,
    #[serde(rename = "predicateType")]
    predicate_type: &'static str,
    predicate: P,
}

/// An artifact, or something that was used.
#[derive(Debug, Default, Serialize)]
pub(super) struct Resource {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    digest: BTreeMap<&'static str, String>,
    /// Base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(rename = "mediaType", skip_serializing_if = "Option::is_none")]
    media_type: Option<&'static str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct TestResult<'a> {
    result: &'static str,
    configuration: Vec<Resource>,
    url: String,
    #[serde(rename = "urn:agent_runner_api:check")]
    check: Check<'a>,
}

/// What the specification has no member for: its `passedTests` and `failedTests` are names, and runners tell numbers.
#[derive(Debug, Serialize)]
struct Check<'a> {
    item: &'a str,
    evidence: EvidenceId,
    #[serde(flatten)]
    end: &'a End,
    failed: Option<&'a Failed>,
    tests: Option<Counts>,
    duration_ms: u64,
    log_sha256: &'a str,
    key: &'a str,
    cached_from: Option<EvidenceId>,
    own_network: bool,
    red_green: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    verifier: Verifier,
    time_verified: String,
    resource_uri: String,
    policy: Resource,
    input_attestations: Vec<Resource>,
    verification_result: &'static str,
    verified_levels: [&'static str; 1],
    slsa_version: &'static str,
    #[serde(rename = "urn:agent_runner_api:run")]
    run: String,
    #[serde(
        rename = "urn:agent_runner_api:missing",
        skip_serializing_if = "<[_]>::is_empty"
    )]
    missing: &'a [Blocker],
}

#[derive(Debug, Serialize)]
struct Verifier {
    id: &'static str,
}

impl<P: Serialize> Statement<P> {
    /// As one line of a bundle.
    pub(super) fn line(&self) -> String {
        // Nothing in it can fail: no map has keys that are no strings.
        serde_json::to_string(self).unwrap_or_default()
    }
}

pub(super) fn statement<P>(
    subject: Vec<Resource>,
    predicate_type: &'static str,
    predicate: P,
) -> Statement<P> {
    Statement {
        kind: STATEMENT,
        subject,
        predicate_type,
        predicate,
    }
}

/// A commit and its tree, as what is spoken of.
pub(super) fn subject(commit: &CommitId, tree: &TreeId) -> Vec<Resource> {
    let one = |name, algorithm, value: &str| Resource {
        name: Some(name),
        digest: BTreeMap::from([(algorithm, value.to_owned())]),
        ..Resource::default()
    };
    vec![
        one("commit", "gitCommit", commit.as_str()),
        one("tree", "gitTree", tree.as_str()),
    ]
}

/// What a check came to; nothing if no check has brought the evidence.
pub(super) fn of_check(run: &Run, evidence: &Evidence) -> Option<String> {
    let record = evidence.check.as_ref()?;
    let item = run.item(evidence.item_id)?;
    let cmd = record.cmd.as_bytes();
    let command = Resource {
        name: Some("command"),
        digest: BTreeMap::from([("sha256", sha256_hex(cmd))]),
        content: (cmd.len() <= MOST_CONTENT).then(|| STANDARD.encode(cmd)),
        media_type: Some("text/x-shellscript"),
        ..Resource::default()
    };
    let environment = Resource {
        name: Some("environment"),
        digest: BTreeMap::from([("sha256", record.environment.clone())]),
        annotations: record.tools.clone(),
        ..Resource::default()
    };
    let Head { commit, tree } = &evidence.head;
    let predicate = TestResult {
        result: if record.passed() { "PASSED" } else { "FAILED" },
        configuration: vec![command, environment],
        url: urn::of_evidence(run.id, evidence.id),
        check: Check {
            item: &item.spec.key,
            evidence: evidence.id,
            end: &record.end,
            failed: record.failed.as_ref(),
            tests: record.counts,
            duration_ms: record.duration_ms,
            log_sha256: &evidence.sha256,
            key: &record.key,
            cached_from: record.cached_from,
            own_network: record.own_network,
            red_green: record.on_base.is_some(),
        },
    };
    Some(statement(subject(commit, tree), TEST_PREDICATE, predicate).line())
}

/// What the gate said of this, after it had looked at the statements in `inputs`, each with its name.
pub(super) fn of_gate(
    run: &Run,
    subject: Vec<Resource>,
    dod_digest: &str,
    inputs: &[(String, &str)],
    at: String,
    missing: &[Blocker],
) -> String {
    let passed = missing.is_empty();
    let digest_of = |text: String| BTreeMap::from([("sha256", text)]);
    let predicate = Summary {
        verifier: Verifier { id: urn::GATE },
        time_verified: at,
        resource_uri: urn::of_base(&run.spec.base),
        policy: Resource {
            uri: Some(urn::of_definition(run.id)),
            digest: digest_of(dod_digest.to_owned()),
            ..Resource::default()
        },
        input_attestations: inputs
            .iter()
            .map(|(uri, line)| Resource {
                uri: Some(uri.clone()),
                digest: digest_of(sha256_hex(line.as_bytes())),
                ..Resource::default()
            })
            .collect(),
        verification_result: if passed { "PASSED" } else { "FAILED" },
        verified_levels: [if passed {
            "AGENT_RUNNER_DONE"
        } else {
            "FAILED"
        }],
        slsa_version: "1.1",
        run: urn::of_run(run.id),
        missing,
    };
    statement(subject, SUMMARY_PREDICATE, predicate).line()
}
