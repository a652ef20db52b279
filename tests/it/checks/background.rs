//! Commands that go on until their list is over.

use agent_runner_api::dod::check::{CheckSpec, End, FailedCode};

use super::stage::{Stage, with_health};
use crate::support::fake_agent::fake_agent;

const URL: &str = "http://127.0.0.1:$PORT/api/health";

#[tokio::test]
async fn a_command_goes_on_for_those_behind_it_with_an_ampersand_and_without() {
    let stage = Stage::new().await;
    let agent = fake_agent().display();
    for end in ["", " &", "& \n"] {
        let serve = with_health(&format!("echo up; {agent} --serve $PORT 204{end}"), URL);
        let get = CheckSpec::of(format!("{agent} --get $PORT"));
        let came = stage.run(&[serve, get.clone(), get]).await;
        assert_eq!(came[0].passed().record.end, End::Healthy);
        assert!(came[0].log.starts_with("up\nserving "), "{came:#?}");
        assert!(came[2].passed().log.contains(" 204 "), "{came:#?}");
        assert_eq!(stage.processes(), 0, "it ends with its list");
    }
}

#[tokio::test]
async fn each_command_in_the_background_has_a_port_of_its_own() {
    let stage = Stage::new().await;
    let agent = fake_agent().display();
    let serve = |status: u16| with_health(&format!("{agent} --serve $PORT {status}"), URL);
    let get = CheckSpec::of(format!("{agent} --get $PORT"));
    let came = stage.run(&[serve(201), get.clone(), serve(202), get]).await;
    assert!(came[1].passed().log.contains(" 201 "));
    assert!(came[3].passed().log.contains(" 202 "));
}

#[tokio::test]
async fn a_url_that_an_earlier_command_answers_is_a_failure_and_never_a_pass() {
    let stage = Stage::new().await;
    let agent = fake_agent().display();
    let first = with_health(&format!("{agent} --serve $PORT 200"), URL);
    // It does not listen at all: what answers is the first one.
    let second = with_health("echo $PORT; sleep 600", "http://127.0.0.1:$PORT/");
    let port = CheckSpec::of("echo $PORT");
    let came = stage.run(&[first.clone(), port]).await;
    assert!(came[1].log.trim().parse::<u16>().is_ok());

    let fixed = |cmd: String| with_health(&cmd, "http://localhost:18486/");
    if stage.has_own_networks("a_url_that_an_earlier_command_answers") {
        let serve = fixed(format!("{agent} --serve 18486 200"));
        let silent = fixed("sleep 600".to_owned());
        let came = stage.run(&[serve, silent]).await;
        came[0].passed();
        assert_eq!(came[1].code(), Some(FailedCode::PortInUse));
    }
    let early = CheckSpec {
        timeout_s: Some(1),
        ..second
    };
    let came = stage.run(&[first, early]).await;
    assert_eq!(came[1].code(), Some(FailedCode::NeverHealthy));
}

#[tokio::test]
async fn one_that_ends_while_its_health_is_waited_for_has_ended_early() {
    let stage = Stage::new().await;
    let came = stage
        .run(&[with_health("echo bye; sleep 0.2; exit 7", URL)])
        .await;
    assert_eq!(came[0].code(), Some(FailedCode::EndedEarly));
    assert_eq!(came[0].record.end, End::Exited { code: 7 });
    assert_eq!(came[0].log, "bye\n");
}
