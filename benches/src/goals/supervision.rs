//! What an agent at work costs: memory, descriptors, and time that nobody asked for.

use std::time::Duration;

use crate::goal::{Bound, Goal, Line, Unit};
use crate::ground::{Ground, Size};
use crate::processes::{bytes_of, cpu_seconds, descriptors};
use crate::served::Served;

/// How long a service with agents that do nothing is watched.
const WATCHED: Duration = Duration::from_secs(10);

/// G8: many agents that do nothing.
pub fn supervision(ground: &Ground) -> anyhow::Result<Goal> {
    let count = if ground.fast { 40 } else { 200 };
    let repository = ground.repository(Size::Small)?;
    let served = Served::start(ground, &repository, &["--pool=0"])?;
    // What the first ones make is there for all: connections, threads, caches.
    for _ in 0..20 {
        served.run("exec sleep 1000")?;
    }
    let memory = || bytes_of(served.pid, "smaps_rollup", "Anonymous:");
    let (bytes, open) = (memory()?, descriptors(served.pid)?);
    for _ in 0..count {
        served.run("exec sleep 1000")?;
    }
    let runs = f64::from(count);
    let grown = (memory()? - bytes).max(0.0) / runs;
    let opened = (descriptors(served.pid)? as f64 - open as f64) / runs;
    let supervisors = served.supervisors()?;
    let mut shares = Vec::new();
    for pid in &supervisors {
        // One may be a process that was just ending.
        if let Ok(bytes) = bytes_of(*pid, "smaps_rollup", "Pss:") {
            shares.push(bytes);
        }
    }
    shares.sort_by(f64::total_cmp);
    let share = shares.get(shares.len() / 2).copied().unwrap_or(f64::NAN);
    let all: Vec<u32> = supervisors.iter().copied().chain([served.pid]).collect();
    let spent = || {
        all.iter()
            .filter_map(|pid| cpu_seconds(*pid).ok())
            .sum::<f64>()
    };
    let before = spent();
    std::thread::sleep(WATCHED);
    let busy = (spent() - before) / WATCHED.as_secs_f64();
    let line = |ours_is: &str, floor_is: &str, unit, ours, floor| Line {
        ours_is: format!("{ours_is}, {count} agents"),
        floor_is: floor_is.to_owned(),
        unit,
        ours,
        floor,
        bound: Some(Bound::AtMost(1.0)),
    };
    Ok(Goal {
        id: "G8",
        what: "supervision",
        lines: vec![
            line(
                "memory of the service a run",
                "2 KiB",
                Unit::Bytes,
                grown,
                2_048.0,
            ),
            line(
                "descriptors of the service a run",
                "1",
                Unit::Count,
                opened,
                1.0,
            ),
            line(
                "share of memory of a supervisor",
                "1 MiB",
                Unit::Bytes,
                share,
                1_048_576.0,
            ),
            line(
                "CPU of service and supervisors while nothing happens",
                "1 % of a core",
                Unit::Count,
                busy,
                0.01,
            ),
        ],
    })
}
