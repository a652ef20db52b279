//! Many readers of one run.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::clients::{Read, Readers};
use crate::floors::Floor;
use crate::goal::{Bound, Goal, Line, Unit};
use crate::ground::{Ground, Size};
use crate::printer::LAST;
use crate::processes::bytes_of;
use crate::served::Served;

/// G10: deliveries, beside a server that encodes for each reader; memory of a reader; how late a line is.
pub fn streams(ground: &Ground) -> anyhow::Result<Goal> {
    let repository = ground.repository(Size::Small)?;
    let served = Served::start(ground, &repository, &["--pool=1"])?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let mut lines = Vec::new();
    for readers in [100_usize, 1_000] {
        let frames = 400_000 / readers as u64;
        let floor = runtime.block_on(per_reader(readers, frames))?;
        let ours = runtime.block_on(delivered(&served, readers, frames))?;
        lines.push(Line {
            ours_is: format!("output frames delivered to {readers} readers"),
            floor_is: "a server that encodes for each reader".to_owned(),
            unit: Unit::PerSecond,
            ours,
            floor,
            bound: Some(Bound::AtLeast(4.0)),
        });
    }
    let many = if ground.fast { 1_000 } else { 5_000 };
    let (bytes, p99) = runtime.block_on(paced(&served, many))?;
    let (_, few) = runtime.block_on(paced(&served, 100))?;
    let told = |ours_is: String, floor_is: &str, unit, ours, floor| Line {
        ours_is,
        floor_is: floor_is.to_owned(),
        unit,
        ours,
        floor,
        bound: Some(Bound::AtMost(1.0)),
    };
    lines.push(told(
        format!("memory of a reader, {many}"),
        "24 KiB",
        Unit::Bytes,
        bytes,
        24.0 * 1024.0,
    ));
    lines.push(told(
        "p99 of a line, 100 readers".to_owned(),
        "2 ms",
        Unit::Us,
        few,
        2_000.0,
    ));
    lines.push(told(
        format!("p99 of a line, {many} readers"),
        "100 ms",
        Unit::Us,
        p99,
        100_000.0,
    ));
    Ok(Goal {
        id: "G10",
        what: "streams",
        lines,
    })
}

fn rate(read: &[Read], took: Duration) -> f64 {
    let frames: u64 = read.iter().map(|read| read.frames).sum();
    frames as f64 / took.as_secs_f64()
}

async fn per_reader(readers: usize, frames: u64) -> anyhow::Result<f64> {
    let mut floor = Floor::start(&json!([]))?;
    let connected = Readers::connect(&floor.url, "/sse", readers).await?;
    let began = Instant::now();
    floor.send(frames)?;
    let read = connected.until(LAST).await?;
    Ok(rate(&read, began.elapsed()))
}

/// Starts an agent that prints `what` once the mark is there.
async fn agent(served: &Served, what: &str) -> anyhow::Result<(String, std::path::PathBuf)> {
    let mark = served
        .folder
        .path()
        .join(format!("mark-{}", crate::printer::now_ns()));
    let own = std::env::current_exe()?.display().to_string();
    let script = format!("exec {own} --as-agent=after:{}:{what}", mark.display());
    let run = tokio::task::block_in_place(|| served.run(&script))?;
    Ok((run, mark))
}

async fn delivered(served: &Served, readers: usize, frames: u64) -> anyhow::Result<f64> {
    let (run, mark) = agent(served, &format!("lines:{frames}")).await?;
    let connected = Readers::connect(&served.url, &format!("/api/runs/{run}/sse"), readers).await?;
    let began = Instant::now();
    std::fs::write(&mark, "")?;
    let read = connected.until(LAST).await?;
    let took = began.elapsed();
    tokio::task::block_in_place(|| served.abort(&run))?;
    Ok(rate(&read, took))
}

/// Memory of a reader in bytes, and the 99th percentile of how late a line is in microseconds.
async fn paced(served: &Served, readers: usize) -> anyhow::Result<(f64, f64)> {
    let (run, mark) = agent(served, "paced:200").await?;
    let memory = || bytes_of(served.pid, "smaps_rollup", "Anonymous:");
    let before = memory()?;
    let connected = Readers::connect(&served.url, &format!("/api/runs/{run}/sse"), readers).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let bytes = (memory()? - before).max(0.0) / readers as f64;
    std::fs::write(&mark, "")?;
    let read = connected.until(LAST).await?;
    let mut late: Vec<u64> = read.into_iter().flat_map(|read| read.late).collect();
    late.sort_unstable();
    let p99 = late.get(late.len() * 99 / 100).copied().unwrap_or(u64::MAX);
    tokio::task::block_in_place(|| served.abort(&run))?;
    Ok((bytes, p99 as f64 / 1e3))
}
