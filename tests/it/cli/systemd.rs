//! The unit of the user's systemd, in a home of its own; `systemctl` is a script that writes down what it was asked.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use super::program::Program;

const UNIT: &str = ".config/systemd/user/agent_runner_api.service";

#[test]
fn without_a_user_systemd_the_unit_is_written_and_a_person_told_what_to_do() {
    let program = Program::new().with("AGENT_RUNNER_MAX_RUNNING", "3");
    let repo = program.home().join("my repo");
    fs::create_dir(&repo).unwrap();
    let arguments = [
        "service",
        "install",
        "--port",
        "9001",
        "--repo-root",
        "my repo",
        "--keep-branch",
    ];
    let ended = program.run(&arguments);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended.stdout.contains("no user systemd is running here"),
        "{ended:?}"
    );
    assert!(ended.stdout.contains("loginctl enable-linger"), "{ended:?}");
    let text = fs::read_to_string(program.home().join(UNIT)).unwrap();
    let home = program.home().canonicalize().unwrap();
    let text = text
        .replace(home.to_str().unwrap(), "HOME")
        .replace(env!("CARGO_BIN_EXE_agent_runner_api"), "PROGRAM");
    insta::assert_snapshot!(text);
}

/// What systemd itself has to say of the unit: nothing.
#[test]
#[expect(clippy::disallowed_methods, reason = "systemd's own check")]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let analyze = "/usr/bin/systemd-analyze";
    if !std::path::Path::new(analyze).exists() {
        eprintln!("skipped: systemd_finds_nothing_wrong_with_the_unit: there is no {analyze}");
        return;
    }
    let program = Program::new();
    let ended = program.run(&["service", "install"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let said = std::process::Command::new(analyze)
        .args(["--user", "verify"])
        .arg(program.home().join(UNIT))
        .env_clear()
        .env("HOME", program.home())
        .env("XDG_RUNTIME_DIR", program.home())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{text}");
    assert!(!text.contains("agent_runner_api"), "{text}");
}

#[test]
fn with_a_user_systemd_the_unit_is_loaded_and_started_and_removed_again() {
    let runtime = tempfile::TempDir::new().unwrap();
    fs::create_dir(runtime.path().join("systemd")).unwrap();
    let _manager = UnixListener::bind(runtime.path().join("systemd/private")).unwrap();
    let asked = runtime.path().join("asked");
    let script = runtime.path().join("systemctl");
    let text = format!(
        "#!/bin/sh\necho \"$*\" >> {}\necho active\n",
        asked.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", runtime.path().display());
    let program = Program::new()
        .with("XDG_RUNTIME_DIR", runtime.path().to_str().unwrap())
        .with("PATH", &path);
    for action in ["install", "status", "uninstall"] {
        let ended = program.run(&["service", action]);
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    assert!(!program.home().join(UNIT).exists());
    insta::assert_snapshot!(fs::read_to_string(asked).unwrap(), @"
    --user daemon-reload
    --user enable agent_runner_api.service
    --user restart agent_runner_api.service
    --user show --property=ActiveState,SubState,MainPID --value agent_runner_api.service
    --user disable --now agent_runner_api.service
    --user daemon-reload
    ");
}

#[test]
fn status_and_uninstall_of_what_is_not_there_say_so() {
    let program = Program::new();
    let status = program.run(&["service", "status"]);
    assert_eq!(status.code, 0);
    assert!(status.stdout.contains("not installed"), "{status:?}");
    assert!(
        status.stdout.contains("no user systemd is running here"),
        "{status:?}"
    );
    let uninstall = program.run(&["service", "uninstall"]);
    assert_eq!(uninstall.code, 0);
    assert!(uninstall.stdout.contains("there is no"), "{uninstall:?}");
}
