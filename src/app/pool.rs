//! The worktrees that stand ready, in health and in the figures.

use std::fmt::Write as _;

use super::App;
use crate::runner::pool::Doing;
use crate::shape::view::PoolView;

impl App {
    /// How the pool is.
    pub(super) fn pool(&self) -> PoolView {
        let figures = self.context().pool.figures();
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        PoolView {
            state: figures.doing.as_str(),
            size: number(figures.size),
            ready: number(figures.ready),
            at: figures.at.iter().map(ToString::to_string).collect(),
            claimed: figures.claims.hit,
            caught_up: figures.claims.caught_up,
            missed: figures.claims.made,
            detail: match figures.doing {
                Doing::Failing(why) => Some(why),
                _ => None,
            },
        }
    }

    /// Its figures, in the text format of Prometheus.
    pub(super) fn pool_figures(&self) -> String {
        let figures = self.context().pool.figures();
        let mut text = String::new();
        let gauges = [
            ("size", "Worktrees that are to stand ready.", figures.size),
            ("ready", "Worktrees that stand ready.", figures.ready),
        ];
        for (name, help, value) in gauges {
            let name = format!("agent_runner_pool_{name}");
            let _ = writeln!(
                text,
                "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}"
            );
        }
        let name = "agent_runner_pool_claims_total";
        let help =
            "Worktrees of runs since the start: claimed as they stood, caught up first, or made.";
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
        let claims = figures.claims;
        for (outcome, count) in [
            ("hit", claims.hit),
            ("caught_up", claims.caught_up),
            ("made", claims.made),
        ] {
            let _ = writeln!(text, "{name}{{outcome=\"{outcome}\"}} {count}");
        }
        let name = "agent_runner_pool_catch_up_seconds";
        let help = "How long it took to bring ready worktrees to where the base was.";
        let (times, took) = (figures.followed.times, figures.followed.took);
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} summary");
        let _ = writeln!(
            text,
            "{name}_sum {}\n{name}_count {times}",
            took.as_secs_f64()
        );
        text
    }
}
