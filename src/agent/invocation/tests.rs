use super::*;
use crate::run::{AgentSettings, Cone, Hooks, Limits, StubReason};
use uuid::Uuid;

fn spec(agent: AgentKind) -> Spec {
    Spec {
        workflow: "prompt".to_owned(),
        mode: "prompt".to_owned(),
        issue_id: None,
        card_id: None,
        kanban_app: None,
        prompt: None,
        full_prompt: "do it".to_owned(),
        agent,
        stub: None,
        model: None,
        base: "master".to_owned(),
        sparse: Default::default(),
        limits: Limits::default(),
        env: BTreeMap::new(),
        labels: BTreeMap::new(),
        settings: AgentSettings::default(),
    }
}

fn vars<const N: usize>(vars: [(&str, &str); N]) -> BTreeMap<String, String> {
    vars.map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn program() -> claude::Program {
    claude::Program {
        path: "/opt/claude".to_owned(),
        form: claude::Form::Native,
        found: "/usr/bin/claude".into(),
    }
}

/// What becomes of this spec, with this environment of the service and this session.
fn invoked(
    spec: &Spec,
    server_env: &BTreeMap<String, String>,
    session: Session,
) -> Result<Invocation, Refused> {
    invocation(&Work {
        spec,
        run: RunId(Uuid::from_u128(1)),
        attempt: AttemptId(Uuid::from_u128(2)),
        session,
        prompt: &spec.full_prompt,
        spent_usd: 0.25,
        worktree: Path::new("/"),
        branch: "auto/card-7",
        tmp: Path::new("/runs/1/tmp"),
        server_env,
        claude: Some(&program()),
        as_root: true,
        reach: None,
    })
}

fn of(spec: &Spec) -> Result<Invocation, Refused> {
    let server_env = vars([("PATH", "/usr/bin:/bin")]);
    invoked(spec, &server_env, Session::Fresh(Uuid::from_u128(3)))
}

#[test]
fn claude_without_settings_bypasses_permissions_and_reads_the_users_settings_only() {
    insta::assert_snapshot!(of(&spec(AgentKind::Claude)).unwrap().argv.join(" "), @"/opt/claude -p --output-format stream-json --verbose --session-id 00000000-0000-0000-0000-000000000003 --dangerously-skip-permissions --setting-sources user --strict-mcp-config");
}

#[test]
fn claude_with_every_setting_and_limit_gets_them_all() {
    let mut spec = spec(AgentKind::Claude);
    spec.model = Some("claude-sonnet-4-5".to_owned());
    spec.settings.permission_mode = Some("dontAsk".to_owned());
    spec.settings.allowed_tools = vec!["Edit".to_owned(), "Bash(git *)".to_owned()];
    spec.settings.disallowed_tools = vec!["Bash(rm *)".to_owned()];
    spec.settings.setting_sources = Some(vec!["user".to_owned(), "project".to_owned()]);
    spec.limits.max_turns = Some(30);
    spec.limits.max_cost_usd = Some(1.0);
    let resumed = Session::Resume("0199-abc".to_owned());
    let invocation = invoked(&spec, &vars([]), resumed).unwrap();
    insta::assert_snapshot!(invocation.argv.join("\n"), @"
    /opt/claude
    -p
    --output-format
    stream-json
    --verbose
    --resume
    0199-abc
    --model
    claude-sonnet-4-5
    --permission-mode
    dontAsk
    --setting-sources
    user,project
    --strict-mcp-config
    --allowedTools
    Edit
    --allowedTools
    Bash(git *)
    --disallowedTools
    Bash(rm *)
    --max-turns
    30
    --max-budget-usd
    0.75
    ");
    assert!(
        !invocation.env.contains_key("IS_SANDBOX"),
        "only bypassed permissions need it"
    );
}

#[test]
fn the_prompt_is_stdin_and_never_an_argument() {
    let mut spec = spec(AgentKind::Claude);
    spec.full_prompt = "--dangerous words".to_owned();
    let invocation = of(&spec).unwrap();
    assert_eq!(invocation.stdin, b"--dangerous words");
    assert!(
        !invocation
            .argv
            .iter()
            .any(|word| word.contains("dangerous words"))
    );
}

#[test]
fn the_environment_is_built_and_not_inherited() {
    let server_env = vars([
        ("PATH", "/usr/bin"),
        ("HOME", "/home/dev"),
        ("LC_ALL", "C.UTF-8"),
        ("HTTPS_PROXY", "http://proxy:3128"),
        ("TERM", "xterm"),
        ("TMPDIR", "/tmp"),
        ("ANTHROPIC_API_KEY", "sk-1"),
        ("CLAUDECODE", "1"),
        ("DATABASE_URL", "postgres://secret"),
        ("NAMED_BY_THE_WORKFLOW", "yes"),
    ]);
    let mut claude = spec(AgentKind::Claude);
    claude.settings.pass_env = vec!["NAMED_BY_THE_WORKFLOW".to_owned(), "NOT_THERE".to_owned()];
    claude.env = vars([("OF_THE_REQUEST", "1")]);
    let fresh = || Session::Fresh(Uuid::from_u128(3));
    let built = |spec: &Spec| {
        let env = invoked(spec, &server_env, fresh()).unwrap().env;
        let lines: Vec<String> = env
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        lines.join("\n")
    };
    insta::assert_snapshot!(built(&claude), @"
    AGENT_RUNNER_ATTEMPT_ID=00000000-0000-0000-0000-000000000002
    AGENT_RUNNER_RUN_ID=00000000-0000-0000-0000-000000000001
    ANTHROPIC_API_KEY=sk-1
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1
    DISABLE_AUTOUPDATER=1
    DISABLE_ERROR_REPORTING=1
    DISABLE_TELEMETRY=1
    GIT_CONFIG_COUNT=1
    GIT_CONFIG_KEY_0=core.hooksPath
    GIT_CONFIG_VALUE_0=/dev/null
    GIT_TERMINAL_PROMPT=0
    HOME=/home/dev
    HTTPS_PROXY=http://proxy:3128
    IS_SANDBOX=1
    LC_ALL=C.UTF-8
    NAMED_BY_THE_WORKFLOW=yes
    OF_THE_REQUEST=1
    PATH=/usr/bin
    TERM=dumb
    TMPDIR=/runs/1/tmp
    ");

    let mut command = spec(AgentKind::Command);
    command.settings.command = Some(vec!["sh".to_owned()]);
    command.settings.hooks = Hooks::Inherit;
    command.sparse = Cone::new(&["apps/shop".to_owned()]).unwrap();
    let env = built(&command);
    let told = "GIT_CONFIG_COUNT=3\nGIT_CONFIG_KEY_0=core.sparseCheckout\nGIT_CONFIG_KEY_1=core.sparseCheckoutCone\n";
    assert!(env.contains(told), "{env}");
    command.sparse = Cone::WHOLE;
    let env = built(&command);
    assert!(
        !env.contains("ANTHROPIC_API_KEY"),
        "Claude's key is not any command's: {env}"
    );
    assert!(
        !env.contains("GIT_CONFIG"),
        "the hooks are inherited: {env}"
    );
}

#[test]
fn a_command_is_found_on_the_path_it_will_have_or_in_the_worktree() {
    let mut spec = spec(AgentKind::Command);
    assert_eq!(of(&spec), Err(Refused::NoCommand));
    spec.settings.command = Some(vec!["sh".to_owned(), "-c".to_owned(), "true".to_owned()]);
    let argv = of(&spec).unwrap().argv;
    assert!(
        argv[0].starts_with('/') && argv[0].ends_with("/sh"),
        "{argv:?}"
    );
    assert_eq!(argv[1..], ["-c", "true"]);
    spec.settings.command = Some(vec!["bin/sh".to_owned()]);
    assert_eq!(of(&spec).unwrap().argv, ["/bin/sh"]);
    spec.settings.command = Some(vec!["no-such-program".to_owned()]);
    assert_eq!(
        of(&spec),
        Err(Refused::NoProgram("no-such-program".to_owned()))
    );
}

#[test]
fn the_stub_is_an_echo_that_says_why() {
    let mut spec = spec(AgentKind::Stub);
    spec.stub = Some(StubReason::NoAgent);
    let argv = of(&spec).unwrap().argv;
    assert!(argv[0].ends_with("/echo"));
    assert_eq!(
        argv[1..],
        ["STUB: an agent with a prompt of 5 bytes on auto/card-7 (no `claude` was found on PATH)"]
    );
    assert!(!crate::agent::leaves_empty_commit(&spec));
    spec.stub = Some(StubReason::Wanted);
    assert!(crate::agent::leaves_empty_commit(&spec));
}

#[test]
fn what_claude_would_take_for_something_else_is_refused_by_name() {
    let refused = |change: &dyn Fn(&mut Spec)| {
        let mut spec = spec(AgentKind::Claude);
        change(&mut spec);
        of(&spec).expect_err("it was taken").to_string()
    };
    let refusals = [
        refused(&|spec| spec.full_prompt = " \n".to_owned()),
        refused(&|spec| spec.full_prompt = "x".repeat(claude::PROMPT_MAX + 1)),
        refused(&|spec| spec.model = Some("--resume".to_owned())),
        refused(&|spec| spec.settings.permission_mode = Some("yolo".to_owned())),
        refused(&|spec| spec.settings.setting_sources = Some(vec!["all".to_owned()])),
        refused(&|spec| spec.settings.allowed_tools = vec![String::new()]),
        refused(&|spec| spec.limits.max_cost_usd = Some(0.25)),
        refused(&|spec| spec.env = vars([("LD_PRELOAD", "evil.so")])),
        refused(&|spec| spec.env = vars([("FINE", "a\0b")])),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    the prompt is empty
    the prompt has 10000001 bytes; the agent takes at most 10000000
    model cannot be "--resume": it begins with a dash
    permission_mode cannot be "yolo": Claude Code knows no such value
    setting_sources cannot be "all": Claude Code knows no such value
    allowed_tools cannot be "": it is empty
    the run has cost $0.25 and may cost $0.25
    the environment variable "LD_PRELOAD" cannot be set: it loads code into every program
    the environment variable "FINE" cannot be set: its value has a NUL in it
    "#);
}
