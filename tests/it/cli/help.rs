//! What the program says about itself.

use agent_runner_api::config::{SETTINGS, reference};

use super::program::Program;

#[test]
fn help_shows_all_settings_commands_and_exit_codes() {
    let ended = Program::new().run(&["--help"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    insta::assert_snapshot!(ended.stdout);
}

#[test]
fn each_setting_is_in_help_and_reference_with_its_default() {
    let help = Program::new().run(&["--help"]).stdout;
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (help, reference) = (words(&help), reference());
    for setting in SETTINGS {
        let default = words(setting.default.shown());
        let told = format!("[env: {}] [default: {default}]", setting.env());
        assert!(help.contains(&told), "{told}");
        let row = format!(
            "| `--{}` | `{}` | `{}` |",
            setting.flag(),
            setting.env(),
            setting.key
        );
        assert!(reference.contains(&row), "{row}");
    }
}

#[test]
fn the_reference_is_a_markdown_table() {
    insta::assert_snapshot!(reference());
}

#[test]
fn every_command_has_help() {
    let commands = [
        "run",
        "list",
        "show",
        "logs",
        "evidence",
        "validate",
        "reject",
        "merge",
        "abort",
        "restore",
        "retry",
        "message",
        "workflows",
        "agent",
        "doctor",
        "backup",
        "restore-backup",
        "export",
        "import",
        "demo",
        "completions",
        "service",
    ];
    for command in commands {
        let ended = Program::new().run(&[command, "--help"]);
        assert_eq!(ended.code, 0, "{command}");
        assert!(
            ended.stdout.contains("Usage: agent_runner_api"),
            "{ended:?}"
        );
    }
}

#[test]
fn completions_are_made_for_each_shell_and_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = Program::new().run(&["completions", shell]);
        assert_eq!(ended.code, 0, "{shell}");
        assert!(ended.stdout.contains("workflows"), "{shell}");
    }
}

#[test]
fn the_settings_in_force_are_printed_as_a_file_with_where_each_came_from() {
    let program = Program::new().with("AGENT_RUNNER_KEEP_BRANCH", "1");
    let ended = program.run(&["--port", "0", "--print-config"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let line = |key: &str| {
        ended
            .stdout
            .lines()
            .find(|line| line.starts_with(key))
            .unwrap()
    };
    assert_eq!(line("port"), "port = 0 # --port");
    assert_eq!(
        line("keep_branch"),
        "keep_branch = true # AGENT_RUNNER_KEEP_BRANCH"
    );
    assert_eq!(line("stop_grace_s"), "stop_grace_s = 10 # default");
    assert_eq!(line("# base_branch"), "# base_branch is not set");
    let file = program.home().join("again.toml");
    std::fs::write(&file, &ended.stdout).unwrap();
    let again = Program::new().run(&["--config", file.to_str().unwrap(), "--print-config"]);
    let values = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.split(" # ").next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(values(&again.stdout), values(&ended.stdout));
}
