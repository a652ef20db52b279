//! The output file holds every byte, whatever the bytes are.

use std::fs;

use agent_runner_api::run::{AttemptId, Exit};
use uuid::Uuid;

use super::stage::Stage;

#[tokio::test]
async fn a_line_of_fifty_megabytes_arrives_whole() {
    const LENGTH: usize = 50_000_000;
    let stage = Stage::of(&format!("big-line {LENGTH}"));
    let record = stage.run().await;
    let output = stage.output();
    assert_eq!(output.len(), LENGTH + 1);
    assert!(output[..LENGTH].iter().all(|byte| *byte == b'x') && output.ends_with(b"\n"));
    assert_eq!(record.output_to, output.len() as u64);
}

#[tokio::test]
async fn binary_without_a_newline_at_the_end_arrives_byte_for_byte() {
    let stage = Stage::of("binary 1000\nprint-raw no newline");
    stage.run().await;
    let mut expected: Vec<u8> = (0..=255).cycle().take(1000).collect();
    expected.extend_from_slice(b"no newline");
    assert_eq!(stage.output(), expected);
}

#[tokio::test]
async fn attempts_of_a_run_share_one_output_and_each_knows_its_part() {
    let mut stage = Stage::of("print-raw first");
    let first = stage.run().await;
    assert_eq!((first.output_from, first.output_to), (0, 5));
    fs::remove_dir_all(stage.dir()).unwrap();
    stage.launch.attempt = AttemptId(Uuid::now_v7());
    stage.launch.limits.output_bytes = Some(5);
    let second = stage.run().await;
    assert_eq!((second.output_from, second.output_to), (5, 10));
    assert_eq!(second.exit, Exit::Code(0), "the limit is the attempt's own");
    assert_eq!(stage.output_text(), "firstfirst");
}

#[tokio::test]
async fn output_after_the_main_process_is_counted_until_the_sweep() {
    let stage = Stage::of("sh (trap '' TERM; while :; do echo late; done) & \nexit 0");
    let record = stage.run().await;
    assert_eq!(record.output_to, stage.output().len() as u64);
}
