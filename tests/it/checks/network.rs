//! The network of a list.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};

use agent_runner_api::dod::check::{CheckSpec, FailedCode};
use agent_runner_api::process::{Answer, Network, Networks, WantedNetwork};

use super::stage::{Stage, binary, until, with_health};
use crate::support::fake_agent::fake_agent;

#[tokio::test]
async fn fixed_ports_of_two_lists_at_once_and_of_the_machine_do_not_meet() {
    let stage = Stage::new().await;
    if !stage.has_own_networks("fixed_ports_of_two_lists_at_once_and_of_the_machine_do_not_meet") {
        return;
    }
    // As the service itself does, on the very port.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let agent = fake_agent().display();
    let mark = |name: &str| stage.folder.path().join(name).display().to_string();
    // Each waits for the other one to be there as well.
    let list = |status: u16, own: &str, other: &str| {
        [
            with_health(
                &format!("{agent} --serve {port} {status} &"),
                &format!("http://127.0.0.1:{port}/"),
            ),
            CheckSpec::of(format!(
                "touch {}; until test -e {}; do sleep 0.01; done",
                mark(own),
                mark(other)
            )),
            CheckSpec::of(format!("{agent} --get {port}")),
        ]
    };
    let (one, other) = (list(201, "a", "b"), list(202, "b", "a"));
    let (one, other) = tokio::join!(stage.run(&one), stage.run(&other));
    for (came, status) in [(one, " 201 "), (other, " 202 ")] {
        assert!(came[2].passed().log.contains(status), "{came:#?}");
        assert!(came.iter().all(|came| came.record.own_network));
    }
}

#[tokio::test]
async fn in_the_machines_network_somebody_elses_answer_is_told_and_never_a_pass() {
    let stage = Stage::with(WantedNetwork::Machines, &[]).await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let taken = with_health("sleep 600", &format!("http://127.0.0.1:{port}/"));
    let agent = fake_agent().display();
    let free = with_health(
        &format!("{agent} --serve $PORT 200"),
        "http://127.0.0.1:$PORT/",
    );
    let came = stage.run(&[taken, free]).await;
    assert_eq!(came[0].code(), Some(FailedCode::PortInUse));
    assert!(!came[1].passed().record.own_network);
}

#[tokio::test]
async fn commands_of_a_list_share_a_network_and_stay_who_they_are() {
    let stage = Stage::new().await;
    if !stage.has_own_networks("commands_of_a_list_share_a_network_and_stay_who_they_are") {
        return;
    }
    let cmd =
        CheckSpec::of("readlink /proc/self/ns/net; id -u; id -g; touch mine && stat -c %u mine");
    let came = stage.run(&[cmd.clone(), cmd]).await;
    assert_eq!(came[0].passed().log, came[1].passed().log);
    let machines = std::fs::read_link("/proc/self/ns/net").unwrap();
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    let (user, group) = (user.as_raw(), group.as_raw());
    let (network, who) = came[0].log.split_once('\n').unwrap();
    assert_ne!(network, machines.to_str().unwrap());
    assert_eq!(who, format!("{user}\n{group}\n{user}\n"));
}

/// The same as nobody, by way of a user namespace.
#[tokio::test]
async fn without_root_commands_share_a_network_as_well() {
    let test = "without_root_commands_share_a_network_as_well";
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED {test}: this is not root, so the other tests have shown it");
        return;
    }
    let this = std::env::current_exe().unwrap();
    let theirs = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
    std::os::unix::fs::chown(theirs.path(), Some(65_534), Some(65_534)).unwrap();
    #[expect(clippy::disallowed_methods, reason = "this test, as somebody else")]
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(this)
        .args(["--exact", "--nocapture"])
        .arg("checks::network::commands_of_a_list_share_a_network_and_stay_who_they_are")
        .env("TMPDIR", theirs.path())
        .current_dir("/")
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => return println!("SKIPPED {test}: setpriv: {error}"),
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    if complained.contains("Permission denied") && said.is_empty() {
        return println!("SKIPPED {test}: nobody may not execute what was built: {complained}");
    }
    if said.contains("SKIPPED") {
        return println!("{said}");
    }
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{complained}"
    );
}

#[tokio::test]
async fn loopback_is_up_in_it_and_a_port_is_free() {
    let networks = Networks::find(WantedNetwork::Best, &binary())
        .await
        .unwrap();
    let mut network = networks.take().await.unwrap();
    let port = network.free_port().await.unwrap();
    let answer = network
        .get(&format!("http://127.0.0.1:{port}/"))
        .await
        .unwrap();
    let Answer::Nobody(why) = answer else {
        panic!("{answer:?}");
    };
    // Were it down, the network would be unreachable.
    assert!(why.contains("refused"), "{why}");
}

#[tokio::test]
async fn the_holder_of_a_network_ends_when_its_starter_does_whatever_that_dies_of() {
    #[expect(
        clippy::disallowed_methods,
        reason = "a holder whose starter is this test"
    )]
    let mut holder = Command::new(binary())
        .args(["hold-network", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // The kernel closes this end, however a process ends.
    drop(holder.stdin.take());
    let _however = holder.wait().unwrap();

    let networks = Networks::find(WantedNetwork::Best, &binary())
        .await
        .unwrap();
    let Network::Own(holder) = networks.take().await.unwrap() else {
        println!("SKIPPED the rest: {:?}", networks.why_not_own());
        return;
    };
    let network = Network::Own(holder);
    let pid = network.holder().unwrap();
    drop(network);
    // Its starter has killed it; the zombie is taken away by the runtime.
    let program = format!("/proc/{pid}/exe");
    until("the holder ends", || std::fs::read_link(&program).is_err()).await;
}

#[tokio::test]
async fn where_none_can_be_had_it_is_told_or_refused_as_it_was_asked_for() {
    let no_holder = Path::new("/bin/false");
    let refused = Networks::find(WantedNetwork::Own, no_holder).await;
    let sentence = refused.unwrap_err().to_string();
    assert_eq!(
        sentence,
        "a network of their own for checks cannot be had: the holder of the network ended without a word"
    );
    let networks = Networks::find(WantedNetwork::Best, no_holder)
        .await
        .unwrap();
    assert!(networks.why_not_own().is_some());
    assert!(!networks.take().await.unwrap().is_own());
}
