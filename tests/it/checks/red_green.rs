//! Checks that must fail on the base and pass on the head.

use agent_runner_api::dod::check::{CheckSpec, End, FailedCode};
use agent_runner_api::run::CommitId;

use super::stage::{Came, Stage};

/// What a check comes to whose work is one commit with this file.
async fn came(cmd: &str, file: (&str, &str)) -> Came {
    let stage = Stage::new().await;
    let base: CommitId = stage.repo.master().parse().unwrap();
    stage.repo.commit(file.0, file.1);
    let spec = CheckSpec {
        red_green: true,
        ..CheckSpec::of(cmd)
    };
    let mut order = stage.order(&[spec]);
    order.base = base;
    stage.carry_out(order).await.remove(0)
}

#[tokio::test]
async fn what_fails_on_the_base_and_passes_on_the_head_passes() {
    let came = came("echo looking; grep -q feature c.txt", ("c.txt", "feature")).await;
    // 2 on the base: there is no such file.
    let on_base = came.passed().record.on_base.as_ref().unwrap();
    assert_eq!(on_base.end, End::Exited { code: 2 });
    assert_eq!(came.record.end, End::Exited { code: 0 });
    assert_eq!(came.log.matches("looking").count(), 2, "{}", came.log);
    assert!(came.log.starts_with("== on the base, "), "{}", came.log);
}

#[tokio::test]
async fn what_passes_on_the_base_as_well_shows_nothing() {
    let came = came("true", ("c.txt", "feature")).await;
    assert_eq!(came.code(), Some(FailedCode::PassedOnBase));
}

#[tokio::test]
async fn a_command_that_is_missing_on_the_base_is_not_red() {
    let came = came(
        "if test -e c.txt; then true; else ./missing; fi",
        ("c.txt", "feature"),
    )
    .await;
    assert_eq!(came.code(), Some(FailedCode::NotRed));
    assert_eq!(came.record.on_base.unwrap().end, End::Exited { code: 127 });
}

#[tokio::test]
async fn what_fails_on_the_head_fails_whatever_the_base_says() {
    let came = came("false", ("c.txt", "feature")).await;
    assert_eq!(came.code(), Some(FailedCode::ExitCode));
    assert!(came.record.on_base.is_some());
}
