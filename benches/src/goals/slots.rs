//! Are the ready worktrees at the base?

use std::path::Path;

use crate::goal::{Bound, Goal, Line, Unit};
use crate::ground::{Ground, Size, name};
use crate::measure::{Series, time};
use crate::processes::git;
use crate::served::Served;

/// G3: after each landing the slots are caught up, so that the next claim sees an unmoved base.
pub fn fresh(ground: &Ground) -> anyhow::Result<Goal> {
    let size = if ground.fast { Size::Small } else { Size::Mid };
    let repository = ground.repository(size)?;
    let served = Served::start(ground, &repository, &["--pool=2"])?;
    let claims = ground.rounds(60);
    for round in 0..claims {
        served.wait_for_pool(2)?;
        let script = format!("echo {round} > new{round}.txt");
        let run = served.finished(&script)?;
        served.accept(&run)?;
        served.merge(&run)?;
    }
    let hits = served.metric("agent_runner_pool_claims_total{outcome=\"hit\"}")?;
    let all = served.metric("agent_runner_pool_claims_total{outcome=\"hit\"}")?
        + served.metric("agent_runner_pool_claims_total{outcome=\"caught_up\"}")?
        + served.metric("agent_runner_pool_claims_total{outcome=\"made\"}")?;
    let mut lines = vec![Line {
        ours_is: format!(
            "claims that saw an unmoved base, after {claims} landings, {}",
            size.name()
        ),
        floor_is: "all claims".to_owned(),
        unit: Unit::Count,
        ours: hits,
        floor: all,
        bound: Some(Bound::AtLeast(0.99)),
    }];
    for &size in ground.sizes() {
        lines.push(caught_up(ground, size)?);
    }
    Ok(Goal {
        id: "G3",
        what: "ready worktrees are at the base",
        lines,
    })
}

/// A base that moved by ten files: until the slot is at it, beside git doing the same to a worktree.
fn caught_up(ground: &Ground, size: Size) -> anyhow::Result<Line> {
    let repository = ground.repository(size)?;
    let served = Served::start(ground, &repository, &["--pool=1"])?;
    let work = served.folder.path().join("work");
    let at = work.display().to_string();
    git(
        &repository,
        &["worktree", "add", "--quiet", "--detach", &at, "master"],
    )?;
    let (mut ours, mut floor) = (Series::default(), Series::default());
    for round in 0..ground.rounds(9) {
        served.wait_for_pool(1)?;
        let before = git(&repository, &["rev-parse", "master"])?;
        let after = moved(&work, round)?;
        let (took, _) = time(|| git(&work, &["read-tree", "-u", "-m", &after, &before]))?;
        git(&work, &["read-tree", "-u", "-m", &before, &after])?;
        floor.add(took);
        let seconds = || served.metric("agent_runner_pool_catch_up_seconds_sum");
        let (count, spent) = (
            || served.metric("agent_runner_pool_catch_up_seconds_count"),
            seconds()?,
        );
        let so_far = count()?;
        git(&repository, &["update-ref", "refs/heads/master", &after])?;
        crate::measure::until("the slot is caught up", || Ok(count()? > so_far))?;
        ours.add(std::time::Duration::from_secs_f64(
            (seconds()? - spent).max(0.0),
        ));
    }
    Ok(Line {
        ours_is: format!("a slot caught up with 10 files, {}", size.name()),
        floor_is: "git read-tree -u -m".to_owned(),
        unit: Unit::Us,
        ours: ours.median(),
        floor: floor.median(),
        bound: Some(Bound::AtMost(0.5)),
    })
}

/// A commit on master's tip that changes ten files; made in this worktree, which is then at it.
fn moved(work: &Path, round: usize) -> anyhow::Result<String> {
    for n in 0..10 {
        let file = name((round * 37 + n * 83) % 800);
        std::fs::write(work.join(&file), format!("// round {round}\n"))?;
        git(work, &["add", &file])?;
    }
    git(work, &["commit", "--quiet", "-m", "ten files"])?;
    git(work, &["rev-parse", "HEAD"])
}
