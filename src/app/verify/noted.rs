//! What the note alone tells of a merge: for who has the repository and no database.
//!
//! Nobody signs a note, so this says that commit, trailers and note fit together, and not that the service wrote them.

use serde_json::Value;

use super::VerifyError;
use super::facts::Facts;
use super::report::Report;
use crate::dod::content::sha256_hex;
use crate::dod::{Author, ItemSpec, definition};
use crate::git::Repository;
use crate::proof::{Accepted, DOD_PREDICATE, STATEMENT, SUMMARY_PREDICATE, Shown, TEST_PREDICATE};

/// The statements of a note.
struct Noted {
    /// Each line, with what it says.
    lines: Vec<(String, Value)>,
    shown: Shown,
    summary: Value,
}

/// Holds the merge against its note.
pub(super) async fn verify(
    repository: &Repository,
    facts: &Facts,
    report: &mut Report,
) -> Result<(), VerifyError> {
    let Some(note) = &facts.note else {
        report.failed("note", "there is neither a database nor a note");
        return Ok(());
    };
    let noted = match read(note) {
        Ok(noted) => noted,
        Err(why) => {
            report.failed("note", why);
            return Ok(());
        }
    };
    let shown = &noted.shown;
    report.run_id = Some(shown.run);
    let named = facts.trailer("Agent-Run") == Some(shown.run.to_string().as_str());
    let other = format!("the note is of run {}, the commit of another", shown.run);
    report.holds(
        "run",
        named,
        format!("{}, as the note has it", shown.run),
        other,
    );
    facts.in_base(repository, &shown.base, report).await?;
    let as_noted = shown.onto.as_ref() == Some(&facts.onto) && shown.head == facts.head;
    let others = "the note speaks of other parents";
    report.holds("parents", as_noted, "those that the note names", others);
    let required = shown.items.iter().filter(|item| item.required);
    let required: Vec<&ItemSpec> = required.collect();
    let asked = facts.with_check(&required);
    let unproven = asked.iter().filter(|key| !is_proven(shown, key, facts));
    let unproven: Vec<&str> = unproven.copied().collect();
    facts.tree(&asked, &unproven, report);
    facts.trailers(shown, report);
    let digest = definition::digest(&shown.items);
    let differs = format!(
        "the note names {}, and its items have {digest}",
        shown.dod_digest
    );
    report.holds("definition", digest == shown.dod_digest, digest, differs);
    facts.items(&required, &shown.accepted, report);
    checks(&noted, report);
    summary(&noted, facts, report);
    for what in ["payloads", "rows", "journal"] {
        report.skipped(what, "there is no database here; name one with --db");
    }
    Ok(())
}

/// Whether the item's check has passed on the tree of the merge, or was overridden.
fn is_proven(shown: &Shown, key: &str, facts: &Facts) -> bool {
    let mut of_item = shown.accepted.iter().filter(|a| a.item == key);
    of_item.any(|a| a.overrides.is_some() || (a.author == Author::Check && a.of.tree == facts.tree))
}

fn read(note: &str) -> Result<Noted, String> {
    let parsed = note
        .lines()
        .map(|line| match serde_json::from_str::<Value>(line) {
            Ok(value) if value["_type"] == STATEMENT => Ok((line.to_owned(), value)),
            _ => Err("a line of it is no Statement".to_owned()),
        });
    let lines: Vec<(String, Value)> = parsed.collect::<Result<_, _>>()?;
    let one = |kind: &str| {
        let mut found = lines
            .iter()
            .filter(|(_, value)| value["predicateType"] == kind);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Ok(value.clone()),
            _ => Err(format!("it should have one statement of {kind}")),
        }
    };
    let shown = one(DOD_PREDICATE)?["predicate"].take();
    let shown = serde_json::from_value(shown).map_err(|why| why.to_string())?;
    let summary = one(SUMMARY_PREDICATE)?;
    Ok(Noted {
        lines,
        shown,
        summary,
    })
}

/// Whoever accepted what a check brought, its statement is there and says the same.
fn checks(noted: &Noted, report: &mut Report) {
    let by_checks = noted.shown.accepted.iter();
    let by_checks: Vec<&Accepted> = by_checks.filter(|a| a.author == Author::Check).collect();
    let statement = |accepted: &Accepted| {
        let id = accepted.evidence.to_string();
        let mut tests = noted.lines.iter().map(|(_, value)| value);
        tests.find(|value| {
            value["predicateType"] == TEST_PREDICATE
                && value["predicate"]["urn:agent_runner_api:check"]["evidence"] == id
        })
    };
    let fits = |accepted: &&&Accepted| {
        let passed = statement(accepted).map(|value| &value["predicate"]["result"] == "PASSED");
        passed.is_some_and(|passed| passed || accepted.overrides.is_some())
    };
    let unfit: Vec<&str> = by_checks
        .iter()
        .filter(|accepted| !fits(accepted))
        .map(|accepted| accepted.item.as_str())
        .collect();
    let ok = format!("{} with their statements", by_checks.len());
    let differs = format!("no statement says that it passed: {}", unfit.join(", "));
    report.holds("checks", unfit.is_empty(), ok, differs);
}

/// The gate's statement is about this merge, and about the very statements that are there.
fn summary(noted: &Noted, facts: &Facts, report: &mut Report) {
    let predicate = &noted.summary["predicate"];
    let subject = &noted.summary["subject"];
    let mut wrong = Vec::new();
    if subject[0]["digest"]["gitCommit"] != facts.commit.as_str()
        || subject[1]["digest"]["gitTree"] != facts.tree.as_str()
    {
        wrong.push("the gate's statement is about another commit");
    }
    if predicate["verificationResult"] != "PASSED" {
        wrong.push("the gate did not let it through");
    }
    if predicate["policy"]["digest"]["sha256"] != noted.shown.dod_digest.as_str() {
        wrong.push("the gate asked another Definition of Done");
    }
    let inputs = predicate["inputAttestations"].as_array();
    let mut named: Vec<&str> = inputs
        .into_iter()
        .flatten()
        .filter_map(|input| input["digest"]["sha256"].as_str())
        .collect();
    let others = noted
        .lines
        .iter()
        .filter(|(_, value)| *value != noted.summary);
    let mut there: Vec<String> = others
        .map(|(line, _)| sha256_hex(line.as_bytes()))
        .collect();
    named.sort_unstable();
    there.sort_unstable();
    if named != there {
        wrong.push("the gate looked at other statements than those that are there");
    }
    let ok = format!("{} statements that fit together", noted.lines.len());
    report.holds("note", wrong.is_empty(), ok, wrong.join("; "));
}
