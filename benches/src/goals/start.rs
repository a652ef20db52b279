//! From a request for a run to its agent's exec.

use crate::goal::{Bound, Goal, Line, Unit};
use crate::ground::{Ground, Size};
use crate::measure::{Series, time, until};
use crate::processes::{git, spawn_true};
use crate::served::Served;

/// An agent that works until it is ended.
const WORKS: &str = "exec sleep 1000";

/// Waits until nothing of the last run is under way: no deletion, no filling.
fn settle(served: &Served, ready: u64) -> anyhow::Result<()> {
    served.wait_for_pool(ready)?;
    let trash = served.folder.path().join("worktrees/.trash");
    until("the trash is empty", || {
        Ok(std::fs::read_dir(&trash).map_or(0, Iterator::count) == 0)
    })
}

/// Requests with a ready worktree, and spawns of `/bin/true`, in turns.
fn requests(ground: &Ground, size: Size, rounds: usize) -> anyhow::Result<(Series, Series)> {
    let repository = ground.repository(size)?;
    let served = Served::start(ground, &repository, &["--pool=2"])?;
    let (mut ours, mut floor) = (Series::default(), Series::default());
    for round in 0..rounds + 3 {
        settle(&served, 2)?;
        let (spawned, ()) = time(spawn_true)?;
        let (asked, run) = time(|| served.run(WORKS))?;
        // The first ones warm what is read lazily.
        if round >= 3 {
            floor.add(spawned);
            ours.add(asked);
        }
        served.abort(&run)?;
    }
    Ok((ours, floor))
}

/// G1: a slot is ready, the row is durable, the agent is exec'd by its supervisor.
pub fn from_the_pool(ground: &Ground) -> anyhow::Result<Goal> {
    let mut lines = Vec::new();
    let mut small = None;
    for &size in ground.sizes() {
        let (ours, floor) = requests(ground, size, ground.rounds(30))?;
        lines.push(Line {
            ours_is: format!("POST /api/runs, {}", size.name()),
            floor_is: "spawn and wait of /bin/true".to_owned(),
            unit: Unit::Us,
            ours: ours.median(),
            floor: floor.median(),
            bound: Some(Bound::AtMost(5.0)),
        });
        let first = *small.get_or_insert(ours.median());
        if size == Size::Big {
            lines.push(Line {
                ours_is: "POST /api/runs, big".to_owned(),
                floor_is: "the same, small".to_owned(),
                unit: Unit::Us,
                ours: ours.median(),
                floor: first,
                bound: Some(Bound::AtMost(1.2)),
            });
        }
    }
    Ok(Goal {
        id: "G1",
        what: "request to agent exec, a worktree ready",
        lines,
    })
}

/// G2: no slot is ready.
pub fn without_a_pool(ground: &Ground) -> anyhow::Result<Goal> {
    let mut lines = Vec::new();
    for &size in ground.sizes() {
        let repository = ground.repository(size)?;
        let served = Served::start(ground, &repository, &["--pool=0"])?;
        let (mut ours, mut floor) = (Series::default(), Series::default());
        for round in 0..ground.rounds(9) + 1 {
            settle(&served, 0)?;
            let beside = served.folder.path().join("beside");
            let path = beside.display().to_string();
            let (added, _) = time(|| {
                git(
                    &repository,
                    &[
                        "worktree", "add", "--quiet", "-b", "beside", &path, "master",
                    ],
                )
            })?;
            git(&repository, &["worktree", "remove", "--force", &path])?;
            git(&repository, &["branch", "-D", "beside"])?;
            let (asked, run) = time(|| served.run(WORKS))?;
            if round >= 1 {
                floor.add(added);
                ours.add(asked);
            }
            served.abort(&run)?;
        }
        lines.push(Line {
            ours_is: format!("POST /api/runs, no pool, {}", size.name()),
            floor_is: "git worktree add".to_owned(),
            unit: Unit::Us,
            ours: ours.median(),
            floor: floor.median(),
            // Of a small repository the agent's own start is the most of it.
            bound: (size != Size::Small).then_some(Bound::AtMost(0.5)),
        });
    }
    Ok(Goal {
        id: "G2",
        what: "the same without a ready worktree",
        lines,
    })
}

/// G6: many ended runs are kept.
pub fn among_many(ground: &Ground) -> anyhow::Result<Goal> {
    let count = if ground.fast { 100 } else { 1_000 };
    let repository = ground.repository(Size::Small)?;
    let empty = Served::start(ground, &repository, &["--pool=2"])?;
    let many_in = ground.repository(Size::Small)?;
    let many = Served::start(ground, &many_in, &["--pool=2"])?;
    for _ in 0..count {
        let run = many.finished("true")?;
        many.abort(&run)?;
    }
    let (mut ours, mut floor) = (Series::default(), Series::default());
    for round in 0..ground.rounds(30) + 3 {
        for (served, series) in [(&empty, &mut floor), (&many, &mut ours)] {
            settle(served, 2)?;
            let (asked, run) = time(|| served.run(WORKS))?;
            if round >= 3 {
                series.add(asked);
            }
            served.abort(&run)?;
        }
    }
    Ok(Goal {
        id: "G6",
        what: "create with many ended runs kept",
        lines: vec![Line {
            ours_is: format!("POST /api/runs, {count} ended runs"),
            floor_is: "the same, none".to_owned(),
            unit: Unit::Us,
            ours: ours.median(),
            floor: floor.median(),
            bound: Some(Bound::AtMost(1.1)),
        }],
    })
}

/// G7: the service has much memory. It gets it as a client can give it: large requests that stay in its allocator do not
/// count, so this process, which starts agents by the same way of the system, is made large instead.
pub fn from_a_large_server(ground: &Ground) -> anyhow::Result<Goal> {
    let bytes: usize = if ground.fast { 256 << 20 } else { 2 << 30 };
    let program = ground.program.clone();
    let spawn = || -> anyhow::Result<()> {
        // What the service does for a supervisor: no closure before the exec, no folder but `/`, pipes for both ends.
        let mut child = std::process::Command::new(&program)
            .arg("--version")
            .env_clear()
            .current_dir("/")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()?;
        drop(child.stdin.take());
        child.wait()?;
        Ok(())
    };
    let rounds = ground.rounds(60);
    let mut floor = Series::default();
    for _ in 0..rounds {
        floor.add(time(spawn)?.0);
    }
    let held = vec![1_u8; bytes];
    let mut ours = Series::default();
    for _ in 0..rounds {
        ours.add(time(spawn)?.0);
    }
    anyhow::ensure!(held.iter().step_by(4096).all(|&byte| byte == 1), "held");
    Ok(Goal {
        id: "G7",
        what: "spawn from a large process",
        lines: vec![Line {
            ours_is: format!("spawn as the service does it, {} MiB resident", bytes >> 20),
            floor_is: "the same, nearly empty".to_owned(),
            unit: Unit::Us,
            ours: ours.median(),
            floor: floor.median(),
            bound: Some(Bound::AtMost(1.1)),
        }],
    })
}
