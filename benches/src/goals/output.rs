//! What an agent's output costs.

use std::io::Read as _;
use std::process::Stdio;

use serde_json::json;

use crate::goal::{Bound, Goal, Line, Unit};
use crate::ground::{Ground, Size};
use crate::measure::{Series, time};
use crate::processes::{cpu_seconds, program};
use crate::served::Served;

/// G9: an agent that prints as fast as it can, beside a reader that throws everything away.
pub fn output(ground: &Ground) -> anyhow::Result<Goal> {
    let bytes: u64 = if ground.fast {
        100_000_000
    } else {
        1_000_000_000
    };
    let own = std::env::current_exe()?.display().to_string();
    let what = format!("--as-agent=bytes:{bytes}");
    let repository = ground.repository(Size::Small)?;
    let served = Served::start(ground, &repository, &["--pool=1"])?;
    let (mut theirs, mut unseen, mut watched) =
        (Series::default(), Series::default(), Series::default());
    let (mut reader_cpu, mut unseen_cpu, mut watched_cpu) = (0.0, 0.0, 0.0);
    let rounds = 3;
    for _ in 0..rounds {
        let me = std::process::id();
        let before = cpu_seconds(me)?;
        let (took, ()) = time(|| {
            let mut child = program(&own).arg(&what).stdout(Stdio::piped()).spawn()?;
            let mut stdout = child.stdout.take().expect("it is piped");
            let mut buffer = vec![0; 64 * 1024];
            while stdout.read(&mut buffer)? > 0 {}
            child.wait()?;
            Ok(())
        })?;
        reader_cpu += cpu_seconds(me)? - before;
        theirs.add(took);
        for (series, cpu, is_watched) in [
            (&mut unseen, &mut unseen_cpu, false),
            (&mut watched, &mut watched_cpu, true),
        ] {
            let before = cpu_seconds(served.pid)?;
            let body = json!({"mode": "script", "prompt": format!("exec {own} {what}"), "limits": {"max_output_bytes": 4_000_000_000_u64}});
            let (took, run) = time(|| {
                let answer = served.post("/api/runs", &body)?;
                let run = answer["run_id"].as_str().unwrap_or_default().to_owned();
                if is_watched {
                    read_all(&served, &run, bytes)?;
                }
                served.wait_for(&run, "finished")?;
                Ok(run)
            })?;
            *cpu += cpu_seconds(served.pid)? - before;
            series.add(took);
            served.abort(&run)?;
        }
    }
    let rate = |series: &Series| bytes as f64 / series.median() * 1e6 / 1e6;
    let line = |ours_is: &str, ours, bound| Line {
        ours_is: format!("{ours_is}, {} MB", bytes / 1_000_000),
        floor_is: "a pipe whose reader throws it away".to_owned(),
        unit: Unit::PerSecond,
        ours,
        floor: rate(&theirs),
        bound,
    };
    let cpu = |ours_is: &str, ours: f64, bound| Line {
        ours_is: format!("CPU of the service, {ours_is}"),
        floor_is: "CPU of that reader".to_owned(),
        unit: Unit::Us,
        ours: ours / f64::from(rounds) * 1e6,
        floor: reader_cpu / f64::from(rounds) * 1e6,
        bound,
    };
    Ok(Goal {
        id: "G9",
        what: "output (MB a second)",
        lines: vec![
            line("nobody watches", rate(&unseen), Some(Bound::AtLeast(0.4))),
            line(
                "one reads it all",
                rate(&watched),
                Some(Bound::AtLeast(0.4)),
            ),
            cpu("nobody watches", unseen_cpu, Some(Bound::AtMost(0.2))),
            cpu("one reads it all", watched_cpu, Some(Bound::AtMost(2.0))),
        ],
    })
}

/// Reads the raw output to its end.
fn read_all(served: &Served, run: &str, bytes: u64) -> anyhow::Result<()> {
    use std::io::Write as _;
    let host = served.url.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(host)?;
    write!(
        stream,
        "GET /api/runs/{run}/output?after=0&follow=true HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )?;
    let mut buffer = vec![0; 256 * 1024];
    let mut seen = 0;
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        seen += n as u64;
    }
    anyhow::ensure!(seen >= bytes, "only {seen} of {bytes} bytes were sent");
    Ok(())
}
