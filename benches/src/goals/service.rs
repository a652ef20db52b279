//! The start of the service, and what it is at rest.

use std::time::Duration;

use crate::goal::{Bound, Goal, Line, Unit};
use crate::ground::{Ground, Size};
use crate::measure::Series;
use crate::processes::bytes_of;
use crate::served::Served;

/// G12: until it says that it listens; its memory; its size.
pub fn service(ground: &Ground) -> anyhow::Result<Goal> {
    let repository = ground.repository(Size::Small)?;
    let mut served = Served::start(ground, &repository, &["--pool=0"])?;
    std::thread::sleep(Duration::from_secs(2));
    let resident = bytes_of(served.pid, "status", "VmRSS:")?;
    let mut empty = Series::default();
    for _ in 0..ground.rounds(15) {
        served.restart()?;
        empty.add(served.ready_after);
    }
    let live = if ground.fast { 50 } else { 1_000 };
    for _ in 0..live {
        served.run("exec sleep 1000")?;
    }
    let mut full = Series::default();
    for _ in 0..ground.rounds(9) {
        served.restart()?;
        full.add(served.ready_after);
    }
    let size = std::fs::metadata(&ground.program)?.len() as f64;
    let line = |ours_is: String, floor_is: &str, unit, ours, floor| Line {
        ours_is,
        floor_is: floor_is.to_owned(),
        unit,
        ours,
        floor,
        bound: Some(Bound::AtMost(1.0)),
    };
    Ok(Goal {
        id: "G12",
        what: "start and rest of the service",
        lines: vec![
            line(
                "spawn to listening, no runs".to_owned(),
                "50 ms",
                Unit::Us,
                empty.median(),
                50_000.0,
            ),
            line(
                format!("spawn to listening after a crash, {live} agents at work"),
                "100 ms",
                Unit::Us,
                full.median(),
                100_000.0,
            ),
            line(
                "resident memory at rest".to_owned(),
                "15 MiB",
                Unit::Bytes,
                resident,
                15.0 * 1_048_576.0,
            ),
            line(
                "the program".to_owned(),
                "20 MiB",
                Unit::Bytes,
                size,
                20.0 * 1_048_576.0,
            ),
        ],
    })
}
