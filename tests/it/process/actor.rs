//! The scripted agent itself: what other tests take for granted.

use std::fs;

use agent_runner_api::run::Exit;
use serde_json::Value;

use super::stage::Stage;

/// An attempt whose agent speaks Claude Code's stream.
fn claude(script: &str) -> Stage {
    let mut stage = Stage::of(script);
    let arguments = [
        "-p",
        "--output-format",
        "stream-json",
        "--session-id",
        "the-session",
    ];
    stage.launch.argv.extend(arguments.map(str::to_owned));
    stage
}

/// The type of every line, all of the one session.
fn kinds(stage: &Stage) -> Vec<String> {
    let kind = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["session_id"], "the-session");
        line["type"].as_str().unwrap().to_owned()
    };
    stage.output_text().lines().map(kind).collect()
}

#[tokio::test]
async fn as_claude_it_says_hello_and_goodbye_around_the_script() {
    let stage = claude("print hello\nclaude-tool Bash {\"command\":\"ls\"}");
    stage.run().await;
    let expected = ["system", "assistant", "assistant", "user", "result"];
    assert_eq!(kinds(&stage), expected);
}

#[tokio::test]
async fn as_claude_it_says_its_last_word_once_and_not_when_it_fails_or_is_cut_off() {
    for (script, results) in [
        ("claude-result success 0.5\nexit 0", 1),
        ("claude-result error\nexit 1", 1),
        ("exit 0", 1),
        ("exit 3", 0),
        ("cut-off", 0),
    ] {
        let stage = claude(script);
        stage.run().await;
        let found = kinds(&stage)
            .iter()
            .filter(|kind| *kind == "result")
            .count();
        assert_eq!(found, results, "{script}");
    }
}

#[tokio::test]
async fn a_prompt_without_a_script_gets_one_line_and_success() {
    let stage = Stage::of("");
    fs::write(&stage.launch.stdin, "Please make it work.\n").unwrap();
    let record = stage.run().await;
    assert_eq!(record.exit, Exit::Code(0));
    assert_eq!(stage.output_text(), "fake_agent: no script\n");
}

#[tokio::test]
async fn files_and_git_are_made_in_the_working_directory_and_a_failing_line_is_told() {
    let stage = Stage::of(
        "mkdir a/b\nwrite a/b/file one\nappend a/b/file two\nsymlink a/b/file link\nfifo pipe\nremove nothing\ngit init -q .\nexit 0",
    );
    stage.run().await;
    assert_eq!(
        fs::read_to_string(stage.work("link")).unwrap(),
        "one\ntwo\n"
    );
    assert!(stage.work(".git").is_dir() && stage.work("pipe").exists());
    let stderr = fs::read_to_string(&stage.launch.stderr).unwrap();
    assert!(stderr.contains("remove nothing"), "{stderr}");
}
