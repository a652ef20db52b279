//! What the database tells of a merge: its events in their chain, its rows, and the payloads of its evidence.

use std::io::Read as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::VerifyError;
use super::facts::Facts;
use super::report::Report;
use crate::dod::content::{ContentStore, hex, sha256_hex};
use crate::dod::{Evidence, Head, ItemSpec, Payload, definition};
use crate::gate::{self, Proof};
use crate::git::{RefName, Repository};
use crate::journal::append::step;
use crate::proof::{self, Merge, Shown};
use crate::run::{CommitId, Event, Phase, Run, RunId};
use crate::store::whole::Moment;
use crate::store::{audit, chain, events, runs, whole};

/// What its events tell of a run and its landing.
struct Told {
    /// The run as it is.
    run: Run,
    /// As it was when the merge commit was made.
    before: Option<Run>,
    /// Where the base was, and the head that the gate was open for.
    allowed: Option<(CommitId, CommitId)>,
}

/// Holds the merge against the database.
pub(super) async fn verify(
    moment: &Moment,
    repository: &Repository,
    evidence: &Path,
    facts: &Facts,
    report: &mut Report,
) -> Result<(), VerifyError> {
    let Some(id) = run_of(moment, facts, report)? else {
        return Ok(());
    };
    report.run_id = Some(id);
    let Some(told) = told(moment, id, &facts.commit)? else {
        report.failed("run", format!("the database has no run {id}"));
        return Ok(());
    };
    let run = &told.run;
    let Phase::Merged { commit, at } = &run.phase else {
        let status = run.status().as_str();
        report.failed("run", format!("run {id} has not merged: it is {status}"));
        return Ok(());
    };
    let ours = *commit == facts.commit;
    let other = format!("run {id} has merged by {commit}");
    report.holds("run", ours, format!("run {id} merged it at {at:.0}"), other);
    facts.in_base(repository, &run.spec.base, report).await?;
    parents(&told, facts, report);

    let merge = Merge {
        commit: facts.commit.clone(),
        tree: facts.tree.clone(),
        onto: facts.onto.clone(),
        head: facts.head.clone(),
        at: *at,
    };
    let shown = Shown::of(run, &facts.head, Some(&facts.tree));
    let required: Vec<&ItemSpec> = required(run);
    let unproven = gate::unproven(
        &facts.head,
        &Head {
            commit: facts.commit.clone(),
            tree: facts.tree.clone(),
        },
        &Proof {
            items: &run.items,
            evidence: &run.evidence,
            changed: &facts.changed,
        },
    );
    let unproven = unproven.into_iter().filter_map(|id| run.item(id));
    let unproven: Vec<&str> = unproven.map(|item| item.spec.key.as_str()).collect();
    facts.tree(&facts.with_check(&required), &unproven, report);
    let before = told.before.as_ref().unwrap_or(run);
    facts.trailers(&Shown::of(before, &facts.head, None), report);
    let digest = definition::digest(&proof::defined_items(run));
    let recorded = proof::dod_digest(run);
    let differs = format!("{recorded} was recorded, and the items have {digest}");
    report.holds("definition", digest == recorded, recorded.clone(), differs);
    facts.items(&required, &shown.accepted, report);
    let counted = run.evidence.iter();
    let counted = counted.filter(|e| shown.accepted.iter().any(|a| a.evidence == e.id));
    payloads(&ContentStore::at(evidence.to_owned()), counted, report);
    note(facts, &proof::of_merge(run, &merge).text(), report);
    rows(moment, id, report)?;
    match chain::first_broken_link_of(moment, id)? {
        None => report.ok("journal", "the run's events are as they were written"),
        Some(seq) => report.failed("journal", format!("event {seq} is not what was written")),
    }
    Ok(())
}

/// The run that the commit names; if it names none, the one that says it has merged by it.
fn run_of(
    moment: &Moment,
    facts: &Facts,
    report: &mut Report,
) -> Result<Option<RunId>, VerifyError> {
    if let Some(named) = facts.trailer("Agent-Run") {
        let run = named.parse().ok();
        if run.is_none() {
            report.failed("run", format!("`Agent-Run: {named}` names no run"));
        }
        return Ok(run);
    }
    let found = runs::merged_by(moment, &facts.commit)?;
    if found.is_empty() {
        report.failed(
            "run",
            "the commit names no run, and no run has merged by it",
        );
    }
    Ok(found.first().copied())
}

fn told(moment: &Moment, id: RunId, commit: &CommitId) -> Result<Option<Told>, VerifyError> {
    let (mut run, mut before, mut allowed) = (None, None, None);
    for recorded in events::of_run(moment, id)? {
        match &recorded.event {
            Event::CandidateMade { candidate } if candidate.candidate.commit == *commit => {
                before.clone_from(&run);
            }
            Event::MergeStarted {
                onto,
                head,
                candidate,
            } if candidate == commit => {
                allowed = Some((onto.clone(), head.clone()));
                before = before.or_else(|| run.clone());
            }
            _ => {}
        }
        run = Some(step(run, &recorded)?);
    }
    Ok(run.map(|run| Told {
        run,
        before,
        allowed,
    }))
}

fn parents(told: &Told, facts: &Facts, report: &mut Report) {
    let Some((onto, head)) = &told.allowed else {
        report.failed("parents", "the gate was never open for this commit");
        return;
    };
    let as_allowed = *onto == facts.onto && *head == facts.head.commit;
    let ok = format!("the gate was open for {head} onto {onto}");
    let differs = format!(
        "the gate was open for {head} onto {onto}, and they are {} and {}",
        facts.onto, facts.head.commit
    );
    report.holds("parents", as_allowed, ok, differs);
}

fn required(run: &Run) -> Vec<&ItemSpec> {
    let specs = run.items.iter().map(|item| &item.spec);
    specs.filter(|spec| spec.required).collect()
}

fn payloads<'a>(
    content: &ContentStore,
    counted: impl Iterator<Item = &'a Evidence>,
    report: &mut Report,
) {
    let (mut looked_at, mut wrong) = (0, Vec::new());
    for evidence in counted {
        let found = match &evidence.payload {
            Payload::Text { text } => Ok(sha256_hex(text.as_bytes())),
            // An address is kept, and what is there was never looked at.
            Payload::Url { .. } => continue,
            Payload::File { .. } => digest_of(content, &evidence.sha256),
        };
        looked_at += 1;
        match found {
            Ok(found) if found == evidence.sha256 => {}
            Ok(_) => wrong.push(format!("that of evidence {} has other bytes", evidence.id)),
            Err(why) => wrong.push(format!("that of evidence {}: {why}", evidence.id)),
        }
    }
    let ok = format!("{looked_at} have the bytes that they had");
    report.holds("payloads", wrong.is_empty(), ok, wrong.join("; "));
}

fn digest_of(content: &ContentStore, sha256: &str) -> std::io::Result<String> {
    let mut file = content.open_payload(sha256)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

fn note(facts: &Facts, expected: &str, report: &mut Report) {
    let name = RefName::notes();
    match &facts.note {
        None => report.failed("note", format!("there is none in {name}")),
        Some(note) if note == expected => {
            report.ok(
                "note",
                format!(
                    "{} statements, as the journal gives them",
                    note.lines().count()
                ),
            );
        }
        Some(_) => report.failed("note", "it says something else than the journal"),
    }
}

fn rows(moment: &Moment, id: RunId, report: &mut Report) -> Result<(), VerifyError> {
    let schema = whole::schema(moment)?;
    if schema != whole::newest() {
        report.skipped("rows", format!("the database is of version {schema}"));
        return Ok(());
    }
    let differing: Vec<&str> = audit::differing_of(moment, id)?.into_iter().collect();
    let differs = format!("not what the events tell: {}", differing.join(", "));
    let is_none = differing.is_empty();
    report.holds(
        "rows",
        is_none,
        "the tables are what the events tell",
        differs,
    );
    Ok(())
}
