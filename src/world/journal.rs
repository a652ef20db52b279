//! I2, I6, I10, I12: the journal is whole, and the tables are what it tells.

use super::finding::{Code, Finding, Remedy};
use crate::run::RunId;
use crate::store::audit::Audit;

const BACKUP: &str = "bring back a backup; nothing here can know what was written";
const UNREADABLE: &str = "if a newer version of this program has worked on this database, start that one; else bring back a backup";

pub(super) fn check(audit: &Audit) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(seq) = audit.broken_at {
        let detail = format!("event {seq} of the journal is not what was written");
        findings
            .push(Finding::new(Code::ChainBroken, format!("event {seq}"), detail).by_hand(BACKUP));
    }
    if audit.missing_at_end > 0 {
        let detail = format!(
            "the journal ends {} events before the last one that was written",
            audit.missing_at_end
        );
        findings.push(Finding::new(Code::EventsMissing, "events", detail).by_hand(BACKUP));
    }
    if audit.missing_between > 0 {
        let detail = format!(
            "{} events in the middle of the journal are gone",
            audit.missing_between
        );
        findings.push(Finding::new(Code::EventsMissing, "events", detail).by_hand(BACKUP));
    }
    for (seq, run, why) in &audit.unreadable {
        let detail = format!("of run {run} nothing is known beyond the lists: {why}");
        let finding = Finding::new(Code::EventUnreadable, format!("event {seq}"), detail);
        let finding = finding.by_hand(UNREADABLE);
        findings.push(match run.parse() {
            Ok(run) => finding.of(run),
            Err(_) => finding,
        });
    }
    for (seq, run, why) in &audit.impossible {
        let at = format!("event {seq}");
        findings.push(
            Finding::new(Code::EventImpossible, at, why.clone())
                .of(*run)
                .by_hand(BACKUP),
        );
    }
    for run in &audit.unrecorded {
        let detail = format!("run {run} was accepted, and the journal has nothing of it");
        findings.push(Finding::new(Code::RequestLost, "idempotency", detail).by_hand(BACKUP));
    }
    for (id, tables) in &audit.differing {
        let tables = tables.iter().copied().collect::<Vec<_>>().join(", ");
        let detail = format!("the rows of run {id} in {tables} are not what its events tell");
        let finding = Finding::new(Code::RowsDiffer, tables, detail);
        let known = id.parse::<RunId>().ok();
        let told = known.filter(|run| audit.runs.contains_key(run));
        // Only a whole journal is to be believed against the tables.
        let whole = audit.broken_at.is_none()
            && audit.missing_at_end == 0
            && audit.missing_between == 0
            && !audit
                .impossible
                .iter()
                .any(|(_, run, _)| Some(*run) == known);
        findings.push(match told {
            Some(run) if whole => finding.of(run).by(
                Remedy::Rebuild(run),
                "the rows are written anew from the events",
            ),
            Some(run) => finding.of(run).by_hand(BACKUP),
            None => finding.by_hand("no event tells of this run; look where its rows came from"),
        });
    }
    findings
}
