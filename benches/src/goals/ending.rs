//! The end of a run that does not land.

use crate::goal::{Bound, Goal, Line, Unit};
use crate::ground::{Ground, Size};
use crate::measure::{Series, time};
use crate::processes::git;
use crate::served::Served;

/// G5: the answer to `POST …/abort` of a run whose agent has ended, with work that is nowhere else, beside what git needs
/// to take a worktree and a branch away without keeping anything.
pub fn ending(ground: &Ground) -> anyhow::Result<Goal> {
    let mut lines = Vec::new();
    for &size in ground.sizes() {
        let repository = ground.repository(size)?;
        let served = Served::start(ground, &repository, &["--pool=1"])?;
        let (mut ours, mut floor) = (Series::default(), Series::default());
        for round in 0..ground.rounds(9) + 1 {
            served.wait_for_pool(1)?;
            let run = served.finished(&format!("echo {round} > new{round}.txt"))?;
            let view = served.get(&format!("/api/runs/{run}"))?;
            let worktree = view["worktree_path"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            std::fs::write(format!("{worktree}/later.txt"), "not committed\n")?;
            let beside = served.folder.path().join("beside").display().to_string();
            git(
                &repository,
                &[
                    "worktree", "add", "--quiet", "-b", "beside", &beside, "master",
                ],
            )?;
            served.wait_for_pool(1)?;
            let (gits, ()) = time(|| {
                git(&repository, &["worktree", "remove", "--force", &beside])?;
                git(&repository, &["branch", "-D", "beside"])?;
                Ok(())
            })?;
            let (took, ()) = time(|| served.abort(&run))?;
            if round >= 1 {
                ours.add(took);
                floor.add(gits);
            }
        }
        lines.push(Line {
            ours_is: format!("POST /api/runs/{{id}}/abort, {}", size.name()),
            floor_is: "git worktree remove --force and branch -D".to_owned(),
            unit: Unit::Us,
            ours: ours.median(),
            floor: floor.median(),
            bound: (size != Size::Small).then_some(Bound::AtMost(0.05)),
        });
        lines.push(Line {
            ours_is: format!("POST /api/runs/{{id}}/abort, {}", size.name()),
            floor_is: "5 ms".to_owned(),
            unit: Unit::Us,
            ours: ours.median(),
            floor: 5_000.0,
            bound: Some(Bound::AtMost(1.0)),
        });
    }
    Ok(Goal {
        id: "G5",
        what: "abort, and the end of its worktree",
        lines,
    })
}
