//! Flags, environment and file, and which of them counts.

use std::path::{Path, PathBuf};

use agent_runner_api::config::{Config, ConfigError, ServerArgs, Surroundings};
use clap::{Args as _, FromArgMatches as _};
use rstest::rstest;
use tempfile::TempDir;

/// Settings from these three, in a home of their own whose repository is `repo`.
fn load(file: &str, environment: &[(&str, &str)], flags: &[&str]) -> Result<Config, ConfigError> {
    let home = TempDir::new().unwrap();
    load_in(home.path(), file, environment, flags)
}

fn load_in(
    home: &Path,
    file: &str,
    environment: &[(&str, &str)],
    flags: &[&str],
) -> Result<Config, ConfigError> {
    let folder = home.join(".config/agent_runner_api");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("config.toml"), file).unwrap();
    let mut around = Surroundings {
        current_dir: home.to_owned(),
        cores: 2,
        available_memory: Some(8 << 30),
        ..Surroundings::default()
    };
    let pairs = environment
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()));
    around.environment.extend(pairs);
    around
        .environment
        .insert("HOME".into(), home.to_str().unwrap().into());
    Config::load(&parsed(flags), &around)
}

fn parsed(flags: &[&str]) -> ServerArgs {
    let command = ServerArgs::augment_args(clap::Command::new("x").no_binary_name(true));
    ServerArgs::from_arg_matches(&command.try_get_matches_from(flags).unwrap()).unwrap()
}

#[rstest]
#[case::default("", &[], &[], 8486)]
#[case::file("port = 1", &[], &[], 1)]
#[case::variable_over_file("port = 1", &[("AGENT_RUNNER_PORT", "2")], &[], 2)]
#[case::flag_over_all("port = 1", &[("AGENT_RUNNER_PORT", "2")], &["--port", "3"], 3)]
#[case::an_empty_variable_is_none("port = 1", &[("AGENT_RUNNER_PORT", "")], &[], 1)]
#[case::zero("", &[], &["--port=0"], 0)]
fn flags_go_before_variables_before_the_file_before_defaults(
    #[case] file: &str,
    #[case] environment: &[(&str, &str)],
    #[case] flags: &[&str],
    #[case] port: u16,
) {
    assert_eq!(load(file, environment, flags).unwrap().port, port);
}

#[test]
fn the_defaults_are_what_the_contract_says() {
    let home = TempDir::new().unwrap();
    let home = home.path().canonicalize().unwrap();
    let repo = home.join("shop");
    std::fs::create_dir(&repo).unwrap();
    let config = load_in(&home, "", &[], &["--repo-root", "shop"]).unwrap();
    assert_eq!(config.bind.to_string(), "127.0.0.1");
    assert_eq!(config.db, home.join("agent_runs.db"));
    assert_eq!(config.state_root, home.join("agent_runs.db-files"));
    assert_eq!(config.repo_root, repo);
    assert_eq!(config.worktrees_root, home.join("shop-worktrees"));
    assert_eq!(config.base_branch, None);
    assert_eq!(config.max_running, 8);
    assert_eq!(config.limits.timeout_s, Some(4 * 3600));
    assert_eq!(config.limits.idle_timeout_s, Some(1800));
    assert_eq!(config.limits.max_output_bytes, Some(1 << 30));
    assert_eq!(config.limits.max_cost_usd, None);
    assert_eq!(config.claude, PathBuf::from("claude"));
    assert!(!config.keep_branch && !config.stub);
}

#[test]
fn the_file_may_use_tables_and_lists() {
    let file = "
        max_running = 3
        keep_branch = true
        allowed_origins = [\"http://localhost:5173\", \"https://board.example\"]
        [limits]
        timeout_s = 1_000
        max_cost_usd = 2.5
        max_output_bytes = \"2MiB\"
        [identity]
        name = \"The runner\"
        [issues]
        command = [\"gh\", \"issue\", \"view\", \"{issue_id}\"]
        [log]
        level = \"debug\"
        format = \"json\"
    ";
    let config = load(file, &[], &[]).unwrap();
    assert_eq!(config.max_running, 3);
    assert!(config.keep_branch);
    assert_eq!(
        config.allowed_origins,
        ["http://localhost:5173", "https://board.example"]
    );
    assert_eq!(config.limits.timeout_s, Some(1000));
    assert_eq!(config.limits.max_cost_usd, Some(2.5));
    assert_eq!(config.limits.max_output_bytes, Some(2 << 20));
    assert_eq!(config.identity.name, "The runner");
    assert_eq!(
        config.issues.command.unwrap(),
        ["gh", "issue", "view", "{issue_id}"]
    );
    assert_eq!(config.log.level, "debug");
}

#[rstest]
#[case::the_stub_by_its_variable(&[("AGENT_RUNNER_STUB", "1")], &[], true)]
#[case::the_stub_off_by_its_flag(&[("AGENT_RUNNER_STUB", "1")], &["--stub=false"], false)]
#[case::the_stub_by_its_flag_alone(&[], &["--stub"], true)]
fn a_switch_needs_no_value(
    #[case] environment: &[(&str, &str)],
    #[case] flags: &[&str],
    #[case] stub: bool,
) {
    assert_eq!(load("", environment, flags).unwrap().stub, stub);
}

#[rstest]
#[case::unknown_key("port = 1\n\nbranch = \"x\"", ":3: unknown setting `branch`")]
#[case::a_near_miss(
    "\n[limits]\ntimeout = 5",
    ":3: unknown setting `limits.timeout`; did you mean `limits.timeout_s`?"
)]
#[case::a_dash(
    "keep-branch = true",
    ":1: unknown setting `keep-branch`; did you mean `keep_branch`?"
)]
#[case::unknown_table("[server]\nport = 1", ":1: unknown setting `server`")]
#[case::a_setting_in_the_wrong_table("[limits]\nport = 1", ":2: unknown setting `limits.port`")]
#[case::not_toml("port = 1\nport: 2\n", ":2: not valid TOML")]
#[case::wrong_value("\nport = 70000", ":2: \"70000\" is no value for `port`")]
#[case::wrong_type("port = [1]", ":1: \"[1]\" is no value for `port`")]
#[case::a_table_for_a_value("[port]\nx = 1", "is no value for `port`")]
#[case::no_agents("max_running = 0", "at least 1")]
#[case::no_time("limits.timeout_s = 0", "at least 1")]
#[case::free_of_charge("limits.max_cost_usd = 0.0", "greater than 0")]
#[case::another_address("bind = \"192.168.1.2\"", "only a loopback address")]
#[case::every_origin("allowed_origins = [\"*\"]", "\"*\" is no origin")]
#[case::origin_null("allowed_origins = [\"null\"]", "\"null\" is no origin")]
#[case::origin_with_a_path("allowed_origins = [\"http://a/\"]", "is no origin")]
#[case::identity_that_git_refuses("identity.email = \"<a@b>\"", "git takes no name or address")]
#[case::log_format("log.format = \"xml\"", "text or json")]
#[case::log_level("log.level = \"a=b=c\"", "is no value for `log.level`")]
#[case::no_bytes("limits.max_output_bytes = \"1GB\"", "1GiB")]
fn a_mistake_in_the_file_is_named_with_its_line(#[case] file: &str, #[case] said: &str) {
    let told = load(file, &[], &[]).unwrap_err().to_string();
    assert!(told.contains(said), "{told}");
}

#[rstest]
#[case::variable(&[("AGENT_RUNNER_MAX_RUNNING", "many")], &[], "AGENT_RUNNER_MAX_RUNNING: \"many\"")]
#[case::flag(&[], &["--limits-max-turns", "0"], "--limits-max-turns: \"0\"")]
fn a_mistake_elsewhere_is_named_with_its_place(
    #[case] environment: &[(&str, &str)],
    #[case] flags: &[&str],
    #[case] said: &str,
) {
    let told = load("", environment, flags).unwrap_err().to_string();
    assert!(told.contains(said), "{told}");
}

#[test]
fn a_named_file_goes_before_the_users_and_must_be_there() {
    let home = TempDir::new().unwrap();
    std::fs::write(home.path().join("mine.toml"), "port = 5").unwrap();
    let variable = [("AGENT_RUNNER_CONFIG", "mine.toml")];
    assert_eq!(
        load_in(home.path(), "port = 1", &variable, &[])
            .unwrap()
            .port,
        5
    );
    let missing = load_in(home.path(), "port = 1", &variable, &["--config", "no.toml"]);
    assert!(
        matches!(missing, Err(ConfigError::Unreadable { .. })),
        "{missing:?}"
    );
}

#[test]
fn a_program_by_name_stays_a_name_and_by_path_becomes_absolute() {
    let home = TempDir::new().unwrap();
    let claude = |given: &str| {
        load_in(home.path(), "", &[], &["--claude", given])
            .unwrap()
            .claude
    };
    assert_eq!(claude("claude-next"), PathBuf::from("claude-next"));
    assert_eq!(claude("./bin/../claude"), home.path().join("claude"));
}

#[test]
fn a_repository_at_the_root_needs_to_be_told_where_worktrees_go() {
    let told = load("", &[], &["--repo-root", "/"])
        .unwrap_err()
        .to_string();
    assert!(told.contains("--worktrees-root"), "{told}");
}
