//! From a request to merge to a base that has moved.

use crate::goal::{Bound, Goal, Line, Unit};
use crate::ground::{Ground, Size};
use crate::measure::{Series, time};
use crate::processes::git;
use crate::served::Served;

/// G4: the answer to `POST …/merge`, beside git's own merge of the same two commits. Nobody has the base checked out.
pub fn landing(ground: &Ground) -> anyhow::Result<Goal> {
    let mut lines = Vec::new();
    for &size in ground.sizes() {
        let repository = ground.repository(size)?;
        let served = Served::start(ground, &repository, &["--pool=2"])?;
        let checkout = served.folder.path().join("checkout");
        let at = checkout.display().to_string();
        git(
            &repository,
            &["worktree", "add", "--quiet", "--detach", &at, "master"],
        )?;
        let (mut ours, mut tree, mut merged) =
            (Series::default(), Series::default(), Series::default());
        for round in 0..ground.rounds(12) + 1 {
            served.wait_for_pool(2)?;
            // Two from one base, so that the second is a true merge.
            let other = served.run(&format!("echo {round} > other{round}.txt"))?;
            let run = served.run(&format!("echo {round} >> crate0/src/part0/file1.rs"))?;
            served.wait_for(&other, "finished")?;
            served.wait_for(&run, "finished")?;
            served.accept(&other)?;
            served.accept(&run)?;
            served.merge(&other)?;
            let view = served.get(&format!("/api/runs/{run}"))?;
            let head = view["head"]["commit"]
                .as_str()
                .or(view["head"].as_str())
                .unwrap_or_default()
                .to_owned();
            let (alone, _) = time(|| {
                git(
                    &repository,
                    &["merge-tree", "--write-tree", "master", &head],
                )
            })?;
            git(&checkout, &["checkout", "--quiet", "--detach", "master"])?;
            let (in_checkout, _) = time(|| {
                git(
                    &checkout,
                    &["merge", "--quiet", "--no-ff", "-m", "merge", &head],
                )
            })?;
            served.wait_for_pool(2)?;
            let (took, ()) = time(|| served.merge(&run))?;
            if round >= 1 {
                ours.add(took);
                tree.add(alone);
                merged.add(in_checkout);
            }
        }
        let line = |floor_is: &str, floor: &Series, bound| Line {
            ours_is: format!("POST /api/runs/{{id}}/merge, {}", size.name()),
            floor_is: floor_is.to_owned(),
            unit: Unit::Us,
            ours: ours.median(),
            floor: floor.median(),
            bound,
        };
        lines.push(line(
            "git merge-tree --write-tree alone",
            &tree,
            Some(Bound::AtMost(1.0)),
        ));
        let bound = (size == Size::Big).then_some(Bound::AtMost(0.1));
        lines.push(line("git merge --no-ff in a checkout", &merged, bound));
    }
    Ok(Goal {
        id: "G4",
        what: "landing",
        lines,
    })
}
