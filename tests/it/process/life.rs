//! One attempt from its start to its end.

use std::fs;
use std::path::PathBuf;

use agent_runner_api::process::{
    ATTEMPT_MARKER, Attachment, RUN_MARKER, RefusedAt, StartError, attach, start,
};
use agent_runner_api::run::{EndedBy, Exit};
use rstest::rstest;

use super::stage::{Stage, binary, recorded, until};

#[rstest]
#[case("exit 0", Exit::Code(0))]
#[case("exit 3", Exit::Code(3))]
#[case("exit 255", Exit::Code(255))]
#[case("kill-self TERM", Exit::Signal(15))]
#[case("kill-self KILL", Exit::Signal(9))]
#[tokio::test]
async fn the_exit_is_the_agents_own(#[case] script: &str, #[case] exit: Exit) {
    let record = Stage::of(script).run().await;
    assert_eq!((record.exit, record.ended_by), (exit, EndedBy::Itself));
}

#[tokio::test]
async fn the_environment_is_exactly_what_was_given_and_the_two_markers() {
    let mut stage = Stage::of("all-env");
    let value = "with = signs, \"quotes\" and ünïcode";
    stage
        .launch
        .env
        .insert("GIVEN".to_owned(), value.to_owned());
    stage.run().await;
    let mut expected = stage.launch.env.clone();
    expected.insert(RUN_MARKER.to_owned(), stage.launch.run.to_string());
    expected.insert(ATTEMPT_MARKER.to_owned(), stage.launch.attempt.to_string());
    let expected: Vec<_> = expected.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let output = stage.output_text();
    let mut found: Vec<_> = output.lines().collect();
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn arguments_directory_and_both_streams_are_as_given() {
    let mut stage = Stage::of("args\ncwd\nprint-error to stderr");
    let arguments = ["--flag", "two words", "", "ünïcode"].map(str::to_owned);
    stage.launch.argv.extend(arguments);
    stage.run().await;
    let cwd = stage.launch.cwd.display();
    let expected = format!("[\"--flag\",\"two words\",\"\",\"ünïcode\"]\n{cwd}\n");
    assert_eq!(stage.output_text(), expected);
    let stderr = fs::read_to_string(&stage.launch.stderr).unwrap();
    assert_eq!(stderr, "to stderr\n");
}

#[tokio::test]
async fn no_signal_is_blocked_in_the_agent_and_it_leads_its_own_session() {
    let stage = Stage::of("sh grep -E '^(SigBlk|NSsid):' /proc/$PPID/status");
    let supervised = stage.start().await;
    recorded(&supervised).await;
    let pid = supervised.started().agent.pid;
    let expected = format!("NSsid:\t{pid}\nSigBlk:\t0000000000000000\n");
    assert_eq!(stage.output_text(), expected);
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "a child of this process, to compare with"
)]
async fn the_agent_inherits_no_descriptor_of_ours_and_its_new_files_have_the_usual_mode() {
    let question = ["/bin/sh", "-c", "umask; ls -m /proc/self/fd"];
    let mut stage = Stage::of("");
    stage.launch.argv = question.map(str::to_owned).to_vec();
    stage.run().await;
    let direct_child = std::process::Command::new(question[0])
        .args(&question[1..])
        .output()
        .unwrap();
    assert_eq!(stage.output(), direct_child.stdout);
}

#[tokio::test]
async fn the_agent_is_on_record_before_its_program_runs() {
    let stage = Stage::of("");
    let record = stage.dir().join("started.json");
    let script = format!(
        "```script\nsh test -s '{}' && echo recorded\n```",
        record.display()
    );
    fs::write(&stage.launch.stdin, script).unwrap();
    stage.run().await;
    assert_eq!(stage.output_text(), "recorded\n");
}

#[tokio::test]
async fn a_supervisor_pins_no_folder_and_its_zombie_is_taken_away() {
    let stage = Stage::of("wait-for go");
    let supervised = stage.start().await;
    let proc = PathBuf::from(format!("/proc/{}", supervised.started().supervisor.pid));
    assert_eq!(fs::read_link(proc.join("cwd")).unwrap(), PathBuf::from("/"));
    fs::write(stage.work("go"), "").unwrap();
    recorded(&supervised).await;
    until("the zombie is taken away", || !proc.exists()).await;
}

#[tokio::test]
async fn a_program_that_cannot_run_is_an_error_by_name_and_stays_one() {
    let text_file = Stage::of("");
    let not_executable = text_file.launch.stdin.to_str().unwrap();
    for (program, errno) in [
        ("/no/such/program", 2),
        (not_executable, 13),
        ("relative", 0),
    ] {
        let mut stage = Stage::of("");
        stage.launch.argv = vec![program.to_owned()];
        let outcome = start(binary(), &stage.dir(), &stage.launch, &stage.containment).await;
        let Err(StartError::Refused(refusal)) = outcome else {
            panic!("{program}: {outcome:?}");
        };
        assert_eq!(
            (refusal.at, refusal.errno),
            (RefusedAt::Exec, errno),
            "{refusal}"
        );
        assert!(refusal.text.contains(program), "{refusal}");
        let found = attach(&stage.dir()).await.unwrap();
        let Attachment::Ended(record) = found else {
            panic!("{program}: {found:?}");
        };
        assert_eq!(
            (record.exit, record.refused),
            (Exit::Unknown, Some(refusal))
        );
    }
}

#[tokio::test]
async fn a_missing_directory_or_prompt_is_not_blamed_on_the_program() {
    let mut no_cwd = Stage::of("");
    no_cwd.launch.cwd = no_cwd.work("gone");
    let mut no_stdin = Stage::of("");
    no_stdin.launch.stdin = no_stdin.work("gone");
    for (stage, at) in [(no_cwd, RefusedAt::Cwd), (no_stdin, RefusedAt::Stdin)] {
        let outcome = start(binary(), &stage.dir(), &stage.launch, &stage.containment).await;
        assert!(
            matches!(&outcome, Err(StartError::Refused(r)) if r.at == at && r.errno == 2),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn a_supervisor_that_cannot_be_spawned_or_do_its_part_is_an_error() {
    let stage = Stage::of("");
    let missing = start(
        "/no/such/binary".as_ref(),
        &stage.dir(),
        &stage.launch,
        &stage.containment,
    )
    .await;
    assert!(
        matches!(missing, Err(StartError::Spawn { .. })),
        "{missing:?}"
    );
    // It ends with 1 and says nothing.
    let stage = Stage::of("");
    let mute = start(
        "/bin/false".as_ref(),
        &stage.dir(),
        &stage.launch,
        &stage.containment,
    )
    .await;
    assert!(matches!(mute, Err(StartError::Supervisor(_))), "{mute:?}");
    let mut stage = Stage::of("");
    stage.launch.output = stage.work("no/such/folder/output.log");
    let no_output = start(binary(), &stage.dir(), &stage.launch, &stage.containment).await;
    assert!(
        matches!(&no_output, Err(StartError::Supervisor(why)) if why.contains("output.log")),
        "{no_output:?}"
    );
}

#[tokio::test]
async fn a_directory_is_never_used_twice() {
    let stage = Stage::of("append count again");
    stage.run().await;
    let again = start(binary(), &stage.dir(), &stage.launch, &stage.containment).await;
    assert!(matches!(again, Err(StartError::Supervisor(_))), "{again:?}");
    assert_eq!(fs::read_to_string(stage.work("count")).unwrap(), "again\n");
}

#[tokio::test]
async fn the_status_tells_how_it_is() {
    let stage = Stage::of("print-raw four\nwait-for go");
    let supervised = stage.start().await;
    until("it has printed", || stage.output() == b"four").await;
    let status = supervised.status().await.unwrap();
    assert_eq!(status.pid, supervised.started().agent.pid);
    assert_eq!((status.output_bytes, status.stopping), (4, None));
    fs::write(stage.work("go"), "").unwrap();
    let record = recorded(&supervised).await;
    assert_eq!(record.exit, Exit::Code(0));
    assert!(record.max_rss_kib > 0, "{record:?}");
}
