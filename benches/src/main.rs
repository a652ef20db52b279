//! What a run costs, beside a floor that is measured in the same run: the goals of docs/performance.md.
//!
//! Every goal is a ratio, so that a slow or busy machine says the same as a quick one: ours and its floor are measured in
//! turns, and their medians compared. The program under test is the release build, as a user has it; it is driven over
//! HTTP by its own command line and by nothing that a client does not have.
//!
//! ```text
//! cargo build --release && cargo run --release -p benches             # all of it: some minutes
//! cargo run --release -p benches -- --fast                            # a subset, with bounds further away
//! cargo run --release -p benches -- --only G1 --only G4               # these
//! cargo run --release -p benches -- --write docs/performance.md       # and the table and plots there
//! ```
//!
//! The exit code is 1 where a ratio is over its bound.

mod clients;
mod floors;
mod goal;
mod goals;
mod ground;
mod measure;
mod plot;
mod printer;
mod processes;
mod report;
mod served;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;

use goal::Goal;
use ground::Ground;

/// What is measured, where, and what becomes of it.
#[derive(Debug, Parser)]
struct Asked {
    /// A subset with small repositories and few rounds, for a build machine
    #[arg(long)]
    fast: bool,
    /// Only this goal (repeatable), such as G1
    #[arg(long, value_name = "GOAL")]
    only: Vec<String>,
    /// The program under test
    #[arg(
        long,
        value_name = "PATH",
        default_value = "target/release/agent_runner_api"
    )]
    program: PathBuf,
    /// Where repositories and databases lie; a memory file system, if there is one with room
    #[arg(long, value_name = "FOLDER")]
    ground: Option<PathBuf>,
    /// Replace the table between the marks of this document, and the plots in the folder of its name
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Be an agent that prints so, and nothing else: how the bench calls itself
    #[arg(long, hide = true, value_name = "WHAT")]
    as_agent: Option<String>,
    /// Be the server that is the floor, and nothing else: how the bench calls itself
    #[arg(long, hide = true)]
    as_floor: bool,
}

/// How often a goal of the subset is measured that is over its bound: a build machine has neighbours.
const TRIES: usize = 3;

fn measured(id: &str, measure: goals::Measure, ground: &Ground) -> anyhow::Result<Goal> {
    let mut goal = measure(ground).with_context(|| format!("{id} could not be measured"))?;
    if ground.fast {
        goal.loosen(goals::slack(id));
    }
    print!("{}", report::text(&goal));
    Ok(goal)
}

fn main() -> anyhow::Result<ExitCode> {
    let asked = Asked::parse();
    if let Some(what) = &asked.as_agent {
        printer::print(what)?;
        return Ok(ExitCode::SUCCESS);
    }
    if asked.as_floor {
        floors::serve()?;
        return Ok(ExitCode::SUCCESS);
    }
    let program = asked.program.canonicalize().with_context(|| {
        format!(
            "there is no program {}: build it with `cargo build --release`",
            asked.program.display()
        )
    })?;
    let ground = Ground::new(asked.ground.as_deref(), program, asked.fast)?;
    println!("{}\n", report::machine(&ground));
    let mut reached: Vec<Goal> = Vec::new();
    for (id, measure) in goals::ALL {
        if !asked.only.is_empty() && !asked.only.iter().any(|only| only.eq_ignore_ascii_case(id)) {
            continue;
        }
        if asked.fast && !goals::FAST.contains(&id) {
            continue;
        }
        let mut goal = measured(id, measure, &ground)?;
        for _ in 1..if asked.fast { TRIES } else { 1 } {
            if goal.is_met() {
                break;
            }
            println!("{id} is measured again");
            goal = measured(id, measure, &ground)?;
        }
        reached.push(goal);
    }
    if let Some(document) = &asked.write {
        report::write(document, &ground, &reached)?;
    }
    let over: Vec<_> = reached.iter().filter(|goal| !goal.is_met()).collect();
    for goal in &over {
        println!("over its bound: {} ({})", goal.id, goal.what);
    }
    Ok(if over.is_empty() {
        println!("{} goals measured, all within their bounds", reached.len());
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
