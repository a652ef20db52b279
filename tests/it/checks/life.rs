//! Lists that are stopped, or whose service dies.

use std::path::PathBuf;

use agent_runner_api::dod::check::CheckSpec;
use agent_runner_api::runner::checks::engine;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::stage::{Stage, until, with_health};
use crate::support::fake_agent::fake_agent;

/// A list whose second command makes a mark and never ends, with a server in the background.
fn endless(stage: &Stage) -> (Vec<CheckSpec>, PathBuf) {
    let mark = stage.folder.path().join("mark");
    let agent = fake_agent().display();
    let specs = vec![
        with_health(
            &format!("{agent} --serve $PORT 200 &"),
            "http://127.0.0.1:$PORT/",
        ),
        CheckSpec::of(format!(
            "setsid sleep 600 & touch {}; sleep 600",
            mark.display()
        )),
        CheckSpec::of("true"),
    ];
    (specs, mark)
}

#[tokio::test]
async fn a_list_that_is_stopped_tells_nothing_more_and_leaves_nothing() {
    let stage = Stage::new().await;
    let (specs, mark) = endless(&stage);
    let order = stage.order(&[vec![CheckSpec::of("true")], specs].concat());
    let (stop, (tell, mut told)) = (CancellationToken::new(), mpsc::unbounded_channel());
    let (run, round, first) = (order.run, order.round, order.list[0].item);
    let list = engine::run_list(&stage.context, order, stop.clone(), tell);
    let cancel = async {
        until("the second command", || mark.exists()).await;
        assert!(stage.processes() > 0);
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(list, cancel);
    ended.unwrap();
    assert_eq!(told.recv().await.map(|done| done.item), Some(first));
    assert!(told.recv().await.is_none());
    assert_eq!(stage.processes(), 0);
    engine::clear(&stage.context, run, round).await.unwrap();
}

/// A service that dies in the middle looks like this: nobody goes on with the list, the supervisors do.
#[tokio::test]
async fn what_is_left_of_a_round_whose_service_died_is_ended_and_its_folder_removed() {
    let stage = Stage::new().await;
    let (specs, mark) = endless(&stage);
    let order = stage.order(&specs);
    let (run, round) = (order.run, order.round);
    let (tell, _told) = mpsc::unbounded_channel();
    let context = stage.context.clone();
    let list = tokio::spawn(async move {
        engine::run_list(&context, order, CancellationToken::new(), tell).await
    });
    until("the second command", || mark.exists()).await;
    list.abort();
    assert!(list.await.unwrap_err().is_cancelled());
    assert!(stage.processes() > 0, "its supervisors go on");
    for _ in 0..2 {
        engine::clear(&stage.context, run, round).await.unwrap();
        assert_eq!(stage.processes(), 0);
        assert!(!stage.context.files.of_round(round).exists());
    }
}
