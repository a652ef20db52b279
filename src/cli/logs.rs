//! `logs ID`: what the agent did, readable, or its raw output.

use super::error::CliError;
use super::follow::{Follow, Until};
use super::screen;
use super::wire::{Connection, query, segment};
use crate::config::Surroundings;

#[derive(Debug, clap::Args)]
pub struct LogsArgs {
    /// Id of the run, or its beginning
    id: String,
    /// Go on until the run is at rest; exit code 6 if it failed
    #[arg(long, short)]
    follow: bool,
    /// The bytes that the agent printed, unchanged
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    #[command(flatten)]
    connection: Connection,
}

pub fn logs(args: &LogsArgs, around: &Surroundings) -> Result<(), CliError> {
    let client = args.connection.client(around)?;
    if args.raw {
        let mut pairs = vec![("after", "0".to_owned())];
        if args.follow {
            pairs.push(("follow", "true".into()));
        }
        let path = format!("/api/runs/{}/output{}", segment(&args.id), query(&pairs));
        let body = client.open(&path, &[])?.into_body();
        return screen::raw(body.into_with_config().limit(u64::MAX).reader());
    }
    let mut follow = Follow::replay(&client, &args.id, args.connection.json)?;
    if args.follow {
        follow.show_to_the_end()
    } else {
        follow.show(Until::Shown)
    }
}
