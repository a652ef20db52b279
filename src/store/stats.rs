//! Honesty figures: how often what was called done was done, by workflow, agent and model.
//!
//! Counted from rows of runs and of their evidence; no event is read. docs/api.md says what each figure means.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::error::{Attempted, StoreError};
use crate::clock::rfc3339;
use crate::shape::request::StatsFilter;
use crate::shape::view::{Figures, GroupView};

/// One line a run. Reopened is an item that was accepted, lost that (its evidence was turned down, or the work became
/// another), and was accepted again.
const OF_RUNS: &str = "
SELECT r.workflow, r.agent, r.model, r.status, r.rounds, r.feedback, r.cost_usd,
  unixepoch(r.merged_at, 'subsec') - unixepoch(r.created_at, 'subsec') AS to_merge_s,
  count(e.run_id) AS evidence, count(e.rejected_at) AS rejected, count(e.overrides) AS overrides,
  count(DISTINCT CASE WHEN e.against_claim THEN e.\"commit\" END) AS against_claim,
  (SELECT count(DISTINCT a.item_id) FROM dod_evidence AS a JOIN dod_evidence AS b
    ON b.run_id = a.run_id AND b.item_id = a.item_id AND b.first_validated_at > a.first_validated_at
    WHERE a.run_id = r.id AND a.candidate_of IS NULL AND b.candidate_of IS NULL
      AND (b.tree <> a.tree OR a.rejected_at <= b.first_validated_at)) AS reopened
FROM runs AS r LEFT JOIN dod_evidence AS e ON e.run_id = r.id";

/// What is counted, while it is counted.
#[derive(Default)]
struct Counted {
    figures: Figures,
    reached: u64,
    first_pass: u64,
    to_merge_s: Vec<f64>,
}

/// The figures of all runs that fit, and of each workflow, agent and model.
///
/// # Errors
/// The rows cannot be read.
pub fn stats(
    connection: &Connection,
    filter: &StatsFilter,
) -> Result<(Figures, Vec<GroupView>), StoreError> {
    let (sql, with) = query(filter);
    let mut statement = connection
        .prepare_cached(&sql)
        .attempted("prepare to count runs")?;
    let mut rows = statement
        .query(params_from_iter(with))
        .attempted("count runs")?;
    let mut total = Counted::default();
    let mut groups: BTreeMap<(String, String, Option<String>), Counted> = BTreeMap::new();
    while let Some(row) = rows.next().attempted("count runs")? {
        let key = (|| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))().attempted("count runs")?;
        total.add(row).attempted("count runs")?;
        let group = groups.entry(key).or_default();
        group.add(row).attempted("count runs")?;
    }
    let groups = groups.into_iter().map(|(key, counted)| GroupView {
        workflow: key.0,
        agent: key.1,
        model: key.2,
        figures: counted.done(),
    });
    let groups = groups.collect();
    Ok((total.done(), groups))
}

fn query(filter: &StatsFilter) -> (String, Vec<Value>) {
    let wanted = [
        ("r.created_at >= ?", filter.since.map(rfc3339)),
        ("r.kanban_app = ?", filter.app.clone()),
        ("r.workflow = ?", filter.workflow.clone()),
    ];
    let (mut sql, mut with) = (format!("{OF_RUNS} WHERE 1"), Vec::new());
    for (condition, value) in wanted {
        if let Some(value) = value {
            sql.push_str(" AND ");
            sql.push_str(condition);
            with.push(Value::from(value));
        }
    }
    sql.push_str(" GROUP BY r.id");
    (sql, with)
}

impl Counted {
    fn add(&mut self, row: &Row<'_>) -> Result<(), rusqlite::Error> {
        let status: String = row.get("status")?;
        let (evidence, rejected): (u64, u64) = (row.get("evidence")?, row.get("rejected")?);
        let (rounds, feedback): (u64, u64) = (row.get("rounds")?, row.get("feedback")?);
        let merged = status == "merged";
        let figures = &mut self.figures;
        figures.runs += 1;
        figures.merged += u64::from(merged);
        figures.aborted += u64::from(status == "aborted");
        figures.failed += u64::from(status == "failed");
        figures.evidence += evidence;
        figures.rejected_evidence += rejected;
        figures.reopened_items += row.get::<_, u64>("reopened")?;
        figures.claims_against_evidence += row.get::<_, u64>("against_claim")?;
        figures.feedback_attempts += feedback;
        figures.overrides += row.get::<_, u64>("overrides")?;
        if let Some(cost) = row.get::<_, Option<f64>>("cost_usd")? {
            *figures.cost_usd.get_or_insert(0.0) += cost;
        }
        self.reached += u64::from(rounds > 0 || evidence > 0);
        self.first_pass += u64::from(merged && rejected == 0 && feedback == 0);
        let to_merge: Option<f64> = row.get("to_merge_s")?;
        self.to_merge_s.extend(to_merge.filter(|_| merged));
        Ok(())
    }

    fn done(mut self) -> Figures {
        self.to_merge_s.sort_by(f64::total_cmp);
        Figures {
            reached_proof: self.reached,
            first_pass: self.first_pass,
            first_pass_rate: rate(self.first_pass, self.reached),
            median_to_merge_s: median(&self.to_merge_s),
            ..self.figures
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "nobody has 2^52 runs")]
fn rate(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| (part as f64 / of as f64 * 10_000.0).round() / 10_000.0)
}

/// The middle of what is sorted, of two the mean; to the millisecond.
fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = sorted.get(middle)?;
    let median = match sorted.len() % 2 {
        1 => *upper,
        _ => f64::midpoint(*sorted.get(middle.checked_sub(1)?)?, *upper),
    };
    Some((median * 1000.0).round() / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[1.5]), Some(1.5));
        assert_eq!(median(&[1.0, 2.0]), Some(1.5));
        assert_eq!(median(&[1.0, 2.0, 90.0]), Some(2.0));
    }

    #[test]
    fn no_runs_have_no_rate() {
        assert_eq!(rate(0, 0), None);
        assert_eq!(rate(1, 3), Some(0.3333));
    }
}
