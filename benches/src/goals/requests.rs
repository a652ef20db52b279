//! Requests, with everything on: guard, events, durable commits.

use std::time::Duration;

use serde_json::json;

use crate::clients::rate;
use crate::floors::Floor;
use crate::goal::{Bound, Goal, Line, Unit};
use crate::ground::{Ground, Size};
use crate::served::Served;

/// Clients at once.
const CONNECTIONS: usize = 64;

/// G11: a page of runs and a new run, beside the same library with the same answers and no database.
pub fn requests(ground: &Ground) -> anyhow::Result<Goal> {
    let repository = ground.repository(Size::Small)?;
    let served = Served::start(ground, &repository, &["--pool=0", "--max-running=1"])?;
    // It has the only slot: what comes after it is stored and waits.
    served.run("exec sleep 1000")?;
    for _ in 0..if ground.fast { 200 } else { 2_000 } {
        served.run("true")?;
    }
    let page = served.get("/api/runs?limit=20")?;
    let floor = Floor::start(&page)?;
    let body = json!({"mode": "script", "prompt": "true"}).to_string();
    let list = "GET /api/runs?limit=20 HTTP/1.1\r\nHost: HOST\r\n\r\n".to_owned();
    let insert = format!(
        "POST /api/runs HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let lasts = Duration::from_secs(if ground.fast { 2 } else { 6 });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let mut lines = Vec::new();
    for (ours_is, request, least) in [
        ("GET /api/runs?limit=20", list, 0.4),
        ("POST /api/runs that waits for a slot", insert, 0.3),
    ] {
        let (mut ours, mut floors) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            floors.push(runtime.block_on(rate(&floor.url, &request, CONNECTIONS, lasts))?);
            ours.push(runtime.block_on(rate(&served.url, &request, CONNECTIONS, lasts))?);
        }
        ours.sort_by(f64::total_cmp);
        floors.sort_by(f64::total_cmp);
        lines.push(Line {
            ours_is: format!("{ours_is}, {CONNECTIONS} clients"),
            floor_is: "the same answer without a database".to_owned(),
            unit: Unit::PerSecond,
            ours: ours[1],
            floor: floors[1],
            bound: Some(Bound::AtLeast(least)),
        });
    }
    Ok(Goal {
        id: "G11",
        what: "requests",
        lines,
    })
}
