//! Every way not to pass, by its own name, with real commands.

use agent_runner_api::dod::check::{CheckSpec, Counts, End, FailedCode};
use agent_runner_api::process::WantedNetwork;
use uuid::Uuid;

use super::stage::{Stage, with_health};
use crate::support::fake_agent::fake_agent;

fn junit(cmd: &str) -> CheckSpec {
    CheckSpec {
        junit: Some("reports/*.xml".to_owned()),
        ..CheckSpec::of(cmd)
    }
}

fn in_time(timeout_s: u64, spec: CheckSpec) -> CheckSpec {
    CheckSpec {
        timeout_s: Some(timeout_s),
        ..spec
    }
}

#[tokio::test]
async fn each_way_not_to_pass_has_its_own_name() {
    use FailedCode as F;
    let stage = Stage::new().await;
    let agent = fake_agent().display();
    let nextest = "echo 'Summary [ 0.008s] 2 tests run: 1 passed, 1 failed, 0 skipped'";
    let cases = [
        (CheckSpec::of("echo fine"), None),
        (CheckSpec::of("exit 3"), Some(F::ExitCode)),
        (CheckSpec::of("./missing"), Some(F::NotFound)),
        (
            CheckSpec::of("touch plain && ./plain"),
            Some(F::NotExecutable),
        ),
        (in_time(1, CheckSpec::of("sleep 600")), Some(F::TimedOut)),
        (
            in_time(1, CheckSpec::of("trap '' TERM; while :; do sleep 1; done")),
            Some(F::TimedOut),
        ),
        (CheckSpec::of("kill -9 $$"), Some(F::Killed)),
        (
            CheckSpec::of("sh -c 'kill -9 $$'; exit $?"),
            Some(F::Killed),
        ),
        (
            CheckSpec::of(format!("{nextest}; exit 0")),
            Some(F::TestsFailed),
        ),
        (
            CheckSpec::of(
                "echo 'test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 4 filtered out'",
            ),
            Some(F::NoTests),
        ),
        (
            CheckSpec {
                min_tests: Some(1),
                ..CheckSpec::of("echo all good")
            },
            Some(F::TooFewTests),
        ),
        (junit("true"), Some(F::ReportMissing)),
        (
            junit("mkdir -p reports; echo torn > reports/a.xml"),
            Some(F::ReportUnreadable),
        ),
        (
            // Made anew: what the check before has left there is not its own.
            junit(
                "mkdir -p reports; echo '<testsuite><testcase name=\"a\"><failure/></testcase></testsuite>' > reports/b.xml",
            ),
            Some(F::TestsFailed),
        ),
        (
            junit(
                "mkdir -p reports; echo '<testsuite><testcase name=\"a\"/></testsuite>' | tee reports/a.xml reports/b.xml",
            ),
            None,
        ),
        (
            junit("ln -s /etc/hostname reports/c.xml"),
            Some(F::ReportUnreadable),
        ),
        (
            with_health("true", "http://127.0.0.1:$PORT/"),
            Some(F::EndedEarly),
        ),
        (
            with_health("./missing &", "http://127.0.0.1:$PORT/"),
            Some(F::NotFound),
        ),
        (
            in_time(1, with_health("sleep 600", "http://127.0.0.1:$PORT/")),
            Some(F::NeverHealthy),
        ),
        (
            in_time(
                1,
                with_health(
                    &format!("{agent} --serve $PORT 503"),
                    "http://127.0.0.1:$PORT/",
                ),
            ),
            Some(F::NeverHealthy),
        ),
    ];
    let specs: Vec<_> = cases.iter().map(|(spec, _)| spec.clone()).collect();
    let came = stage.run(&specs).await;
    for ((spec, expected), came) in cases.iter().zip(&came) {
        assert_eq!(came.code(), *expected, "{spec:#?} {came:#?}");
        assert_eq!(came.record.cmd, spec.cmd);
    }
    let of_reports = came[14].record.counts;
    let expected = Counts {
        passed: 2,
        ..Counts::default()
    };
    assert_eq!(of_reports, Some(expected));
    assert_eq!(stage.processes(), 0, "nothing is left of any of them");
}

#[tokio::test]
async fn a_flood_is_cut_and_told_as_that() {
    let limit = [("AGENT_RUNNER_LIMITS_MAX_OUTPUT_BYTES", "1MiB")];
    let stage = Stage::with(WantedNetwork::Best, &limit).await;
    let came = stage.run(&[CheckSpec::of("yes")]).await;
    assert_eq!(came[0].code(), Some(FailedCode::TooMuchOutput));
}

#[tokio::test]
async fn what_cannot_be_prepared_has_failed_and_is_not_skipped() {
    let stage = Stage::new().await;
    let mut order = stage.order(&[CheckSpec::of("true"), CheckSpec::of("true")]);
    order.commit = "0123456789012345678901234567890123456789".parse().unwrap();
    for came in stage.carry_out(order).await {
        assert_eq!(came.code(), Some(FailedCode::NotStarted));
        assert!(matches!(came.record.end, End::NotStarted { .. }));
    }
}

#[tokio::test]
async fn a_failure_in_the_middle_does_not_hide_the_checks_behind_it() {
    let stage = Stage::new().await;
    let came = stage
        .run(&["true", "false", "true"].map(CheckSpec::of))
        .await;
    let codes: Vec<_> = came.iter().map(|came| came.code()).collect();
    assert_eq!(codes, [None, Some(FailedCode::ExitCode), None]);
}

#[tokio::test]
async fn the_log_has_every_byte_of_both_streams_in_their_order() {
    let stage = Stage::new().await;
    assert_eq!(
        stage.printed("echo a; echo b >&2; echo c").await,
        "a\nb\nc\n"
    );
    let much = "head -c 10000000 /dev/zero | tr '\\0' x; echo end >&2";
    let log = stage.printed(much).await;
    assert_eq!(log.len(), 10_000_004);
    assert!(log.ends_with("xend\n"));
}

#[tokio::test]
async fn what_a_command_leaves_running_is_ended_with_it_however_it_got_away() {
    let stage = Stage::new().await;
    let away =
        "setsid sleep 600 & (setsid sh -c 'sleep 600 & sleep 600' &) ; nohup sleep 600 & sleep 0.1";
    let came = stage
        .run(&[CheckSpec::of(away), CheckSpec::of("true")])
        .await;
    came[0].passed();
    assert_eq!(stage.processes(), 0);
}

#[tokio::test]
async fn a_report_that_the_commit_brings_along_is_not_taken_for_one() {
    let stage = Stage::new().await;
    let passing = "<testsuite><testcase name=\"a\"/></testsuite>";
    std::fs::create_dir(stage.repo.root().join("reports")).unwrap();
    stage.repo.commit("reports/forged.xml", passing);
    let came = stage.run(&[junit("true")]).await;
    assert_eq!(came[0].code(), Some(FailedCode::ReportMissing));
}

#[tokio::test]
async fn records_of_equal_checks_have_equal_keys() {
    let stage = Stage::new().await;
    let first = stage.run(&["true", "false"].map(CheckSpec::of)).await;
    let again = stage.run(&["true"].map(CheckSpec::of)).await;
    assert_eq!(first[0].record.key, again[0].record.key);
    assert_ne!(first[0].record.key, first[1].record.key);
    assert_eq!(first[0].record.environment, again[0].record.environment);
    stage.repo.commit("c.txt", &Uuid::now_v7().to_string());
    let moved = stage.run(&["true"].map(CheckSpec::of)).await;
    assert_ne!(first[0].record.key, moved[0].record.key);
    assert_eq!(first[0].record.environment, moved[0].record.environment);
}
