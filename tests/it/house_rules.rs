//! The house guards itself: the direction of use, the homes of what has only one, the size of files, and that the
//! documents are true where a test can tell.
//!
//! It reads source text, line by line, without comments and without what stands behind `#[cfg(test)] mod tests`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use agent_runner_api::cli::ExitCode;
use agent_runner_api::config;

/// What each module may use of the others. Whatever is not named here is against the direction of use:
/// doors → app → runner → stages → pure.
const MAY_USE: &[(&str, &[&str])] = &[
    // Pure.
    ("run", &["dod"]),
    ("dod", &["effect", "run"]),
    ("gate", &["dod", "run"]),
    ("shape", &["clock", "dod", "gate", "run"]),
    ("proof", &["clock", "dod", "gate", "run"]),
    ("clock", &[]),
    ("effect", &[]),
    // Tools.
    ("git", &["effect", "run"]),
    ("store", &["clock", "dod", "effect", "run", "shape"]),
    // Stages: none uses another.
    ("worktree", &["effect", "git", "run"]),
    ("agent", &["run"]),
    ("process", &["clock", "effect", "run"]),
    // Landing consumes the gate's leave.
    ("merge", &["effect", "gate", "git", "run"]),
    ("journal", &["clock", "dod", "run", "shape", "store"]),
    // Who walks a run through the stages.
    (
        "runner",
        &[
            "agent", "clock", "config", "dod", "effect", "gate", "git", "journal", "merge",
            "process", "proof", "run", "shape", "store", "worktree",
        ],
    ),
    // Who looks at all of it.
    (
        "world",
        &[
            "clock", "dod", "gate", "git", "merge", "process", "run", "runner", "store", "worktree",
        ],
    ),
    // The service as its doors see it.
    (
        "app",
        &[
            "agent", "clock", "config", "dod", "gate", "git", "journal", "process", "proof", "run",
            "runner", "shape", "store", "worktree", "world",
        ],
    ),
    // The doors.
    (
        "http",
        &[
            "app", "clock", "dod", "effect", "gate", "journal", "run", "shape",
        ],
    ),
    ("cli", &["app", "clock", "config", "telemetry"]),
    // Settings and logs.
    ("config", &["run"]),
    ("telemetry", &["config"]),
    ("main", &[]),
];

/// Uses against the direction, each with its reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "src/app/serve.rs",
        "http",
        "the start of the service opens the door that it serves",
    ),
    (
        "src/cli/archive.rs",
        "http",
        "a moment is written as the API has it",
    ),
    (
        "src/cli/process_side.rs",
        "process",
        "the hidden commands are the supervisor's way in",
    ),
    (
        "src/cli/doctor/machine.rs",
        "git",
        "the version of git is asked for where git is known",
    ),
    (
        "src/cli/demo/stage.rs",
        "git",
        "the demo makes the repository that it plays on",
    ),
    (
        "src/cli/demo/story.rs",
        "git",
        "the demo shows the history of its repository",
    ),
    (
        "src/config/value.rs",
        "telemetry",
        "whether a log level is one, is asked where it is read",
    ),
];

/// The longest file, without its tests, that needs no reason.
const MOST_LINES: usize = 400;

/// How a file says why it is longer.
const REASON_FOR_LENGTH: &str = "//! Longer than others, because ";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder of the repository whose names end so, as paths from its root.
fn files(folder: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_str().unwrap().ends_with(ending) {
                let inside = path.strip_prefix(root()).unwrap();
                found.push(inside.to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "nothing found in {folder}");
    found
}

fn text(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap()
}

/// The file without its tests.
fn before_tests(file: &str) -> String {
    let text = text(file);
    let end = text.find("#[cfg(test)]\nmod tests");
    end.map_or(text.as_str(), |end| &text[..end]).to_owned()
}

/// The file without its tests and comments.
fn code(file: &str) -> String {
    let lines = before_tests(file);
    let lines = lines
        .lines()
        .map(|line| line.split("//").next().unwrap_or(""));
    lines.collect::<Vec<_>>().join("\n")
}

/// The sources, but for files that are tests from end to end: those whose parent says `#[cfg(test)] mod …;`.
fn sources() -> Vec<String> {
    let mut all = files("src", ".rs");
    let mut tests = BTreeSet::new();
    for file in &all {
        let text = text(file);
        for (at, only_in_tests) in text.match_indices("#[cfg(test)]\nmod ") {
            let rest = &text[at + only_in_tests.len()..];
            let name: String = rest
                .chars()
                .take_while(|c| *c != ';' && *c != ' ')
                .collect();
            let inside = match file.strip_suffix("/mod.rs") {
                Some(folder) => folder,
                None => file.trim_end_matches(".rs"),
            };
            tests.insert(format!("{inside}/{name}.rs"));
        }
    }
    all.retain(|file| !tests.contains(file));
    all
}

/// The top module that a file of `src` belongs to.
fn module_of(file: &str) -> &str {
    let inside = file.strip_prefix("src/").unwrap();
    inside.split('/').next().unwrap().trim_end_matches(".rs")
}

/// Whether the word stands in the text by itself, not as a part of another.
fn names(text: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !part(before) && !part(after)
    })
}

/// The top modules that the code names as `crate::…`, also in `use crate::{…}`.
fn used_modules(code: &str) -> BTreeSet<String> {
    let all: Vec<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    let mut used = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => {
                let group = group.split("};").next().unwrap_or(group);
                let named = all.iter().filter(|name| names(group, name));
                used.extend(named.map(|name| (*name).to_owned()));
            }
            None => {
                let word = |c: char| c.is_alphanumeric() || c == '_';
                let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
                used.insert(rest[..end].to_owned());
            }
        }
    }
    used.retain(|name| all.contains(&name.as_str()));
    used
}

/// The files that name any of these words.
fn files_naming(words: &[&str]) -> BTreeSet<String> {
    let all = sources().into_iter();
    all.filter(|file| words.iter().any(|word| names(&code(file), word)))
        .collect()
}

fn set(files: &[&str]) -> BTreeSet<String> {
    files.iter().map(|file| (*file).to_owned()).collect()
}

#[test]
fn modules_use_each_other_in_one_direction_only() {
    let mut against = Vec::new();
    let mut exceptions: BTreeSet<(&str, &str)> = EXCEPTIONS
        .iter()
        .map(|(file, used, _)| (*file, *used))
        .collect();
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    for file in sources() {
        let module = module_of(&file);
        if module == "lib" {
            continue;
        }
        let may = allowed
            .get(module)
            .unwrap_or_else(|| panic!("{file}: say in MAY_USE what `{module}` may use"));
        for used in used_modules(&code(&file)) {
            let fine = used == module || may.contains(&used.as_str());
            let excepted = exceptions
                .iter()
                .copied()
                .find(|e| *e == (file.as_str(), used.as_str()));
            match excepted {
                Some(exception) => {
                    exceptions.remove(&exception);
                }
                None if !fine => against.push(format!("{file} uses {used}")),
                None => {}
            }
        }
    }
    assert_eq!(against, Vec::<String>::new());
    assert!(exceptions.is_empty(), "no longer needed: {exceptions:?}");
}

#[test]
fn pure_modules_know_no_database_no_network_no_process_no_file_and_no_clock() {
    let impure = [
        "tokio",
        "rusqlite",
        "axum",
        "hyper",
        "ureq",
        "rustix",
        "nix",
        "tracing",
        "anyhow",
        "std::process",
        "std::fs",
        "std::net",
        "std::env",
        "std::thread",
        "std::time",
        "std::io",
        "clock::now",
        "now()",
        "Timestamp::now",
    ];
    let mut wrong = Vec::new();
    for file in sources() {
        let pure = ["run", "dod", "gate", "shape", "proof"].contains(&module_of(&file));
        // The content store is where the payloads of evidence are; it is the one part of `dod` that touches a disk.
        if !pure || file == "src/dod/content.rs" {
            continue;
        }
        let code = code(&file);
        wrong.extend(
            impure
                .iter()
                .filter(|word| names(&code, word))
                .map(|word| format!("{file} names {word}")),
        );
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn sql_is_in_the_store() {
    let mut outside = files_naming(&["rusqlite", "rusqlite_migration"]);
    outside.retain(|file| !file.starts_with("src/store/"));
    // The journal appends an event and its projection in one transaction, and the app reads in one: they pass a
    // connection on.
    let pass_it_on = [
        "src/app/mod.rs",
        "src/journal/append.rs",
        "src/journal/at_hand.rs",
    ];
    assert_eq!(outside, set(&pass_it_on));
    for file in sources()
        .iter()
        .filter(|file| !file.starts_with("src/store/"))
    {
        let code = code(file);
        for statement in ["SELECT ", "INSERT INTO", "UPDATE ", "DELETE FROM"] {
            assert!(!code.contains(statement), "{file}: {statement}");
        }
    }
}

#[test]
fn processes_are_started_in_their_homes_only() {
    let homes = [
        ("src/git/call.rs", "git"),
        ("src/process/start.rs", "supervisors"),
        ("src/process/supervisor/exec_gate.rs", "agents"),
        ("src/process/network/mod.rs", "holders of networks"),
        ("src/process/short.rs", "short commands"),
        ("src/cli/systemd/systemctl.rs", "systemctl"),
        ("src/cli/demo/stage.rs", "the demo's service"),
    ];
    let homes: Vec<&str> = homes.iter().map(|(file, _)| *file).collect();
    assert_eq!(files_naming(&["Command::new"]), set(&homes));
}

#[test]
fn only_git_knows_how_git_is_called() {
    let mut literal = BTreeSet::new();
    for file in sources() {
        if code(&file).contains("\"git\"") {
            literal.insert(file);
        }
    }
    literal.retain(|file| !file.starts_with("src/git/"));
    // The doctors tell of it under its name; neither runs it.
    assert_eq!(
        literal,
        set(&["src/app/doctor.rs", "src/cli/doctor/machine.rs"])
    );
}

#[test]
fn the_time_of_day_and_the_environment_are_asked_for_in_one_place() {
    let times = files_naming(&["Timestamp::now", "SystemTime::now", "Utc::now"]);
    assert_eq!(times, set(&["src/clock.rs"]));
    let environment = files_naming(&["env::var", "env::var_os", "env::vars", "env::vars_os"]);
    // Strikes are no setting: no release has them.
    let homes = ["src/config/surroundings.rs", "src/effect/armed.rs"];
    assert_eq!(environment, set(&homes));
}

/// A release is built without the tests' dependencies, so what only they ask for is not in it.
#[test]
fn only_the_tests_ask_for_failpoints() {
    let manifest: toml::Table = text("Cargo.toml").parse().unwrap();
    let features = manifest["features"].as_table().unwrap();
    assert_eq!(
        features.keys().collect::<Vec<_>>(),
        ["failpoints"],
        "no default"
    );
    assert_eq!(
        manifest["dependencies"]["fail"]["optional"].as_bool(),
        Some(true)
    );
    let own = &manifest["dev-dependencies"]["agent_runner_api"]["features"];
    assert_eq!(own.as_array().unwrap()[0].as_str(), Some("failpoints"));
    let asking = files_naming(&["fail::eval", "fail::FailScenario"]);
    assert_eq!(asking, set(&["src/effect/armed.rs"]));
}

#[test]
fn anyhow_is_glue_and_no_part_of_a_stage() {
    for file in files_naming(&["anyhow"]) {
        let module = module_of(&file);
        let glue = ["runner", "app", "http", "cli", "main"].contains(&module);
        assert!(
            glue,
            "{file} names anyhow: a tool's error says what was attempted"
        );
    }
}

#[test]
fn nothing_is_left_to_do_and_no_lint_is_switched_off_without_a_reason() {
    // Put together, so that this file does not find itself.
    let never =
        ["todo!", "unimplemented!", "#[allow", "#![allow", "dbg!"].map(|word| format!("{word}("));
    let notes = [("TO", "DO"), ("FIX", "ME"), ("XX", "X")].map(|(a, b)| format!("{a}{b}"));
    for file in [
        files("src", ".rs"),
        files("tests/it", ".rs"),
        files("examples", ".rs"),
    ]
    .concat()
    {
        if file == "tests/it/house_rules.rs" {
            continue;
        }
        let text = text(&file);
        for word in &never {
            assert!(!text.contains(word), "{file}: {word}");
        }
        for word in &notes {
            assert!(!names(&text, word), "{file}: {word}");
        }
    }
}

#[test]
fn no_file_is_long_without_a_reason() {
    let mut too_long = Vec::new();
    for file in sources() {
        let text = before_tests(&file);
        let lines = text.lines().count();
        if lines > MOST_LINES && !text.contains(REASON_FOR_LENGTH) {
            too_long.push(format!("{file}: {lines} lines"));
        }
    }
    assert_eq!(too_long, Vec::<String>::new());
}

#[test]
fn no_module_has_a_name_that_says_nothing() {
    let empty_words = [
        "manager",
        "service",
        "helper",
        "helpers",
        "util",
        "utils",
        "common",
        "misc",
        "container",
        "task",
        "tasks",
        "processor",
        "imp",
        "data",
        "info",
    ];
    for file in [files("src", ".rs"), files("tests/it", ".rs")].concat() {
        for part in file.trim_end_matches(".rs").split('/') {
            assert!(!empty_words.contains(&part), "{file}: what is it really?");
        }
    }
}

#[test]
fn every_source_file_is_a_module_of_its_parent() {
    for (folder, top) in [("src", "src/lib.rs"), ("tests/it", "tests/it/main.rs")] {
        for file in files(folder, ".rs") {
            if ["src/lib.rs", "src/main.rs", "tests/it/main.rs"].contains(&file.as_str()) {
                continue;
            }
            let path = Path::new(&file);
            let path = if path.ends_with("mod.rs") {
                path.parent().unwrap().to_owned()
            } else {
                path.with_extension("")
            };
            let name = path.file_name().unwrap().to_str().unwrap();
            let above = path.parent().unwrap();
            let parents = [
                above.join("mod.rs"),
                above.with_extension("rs"),
                PathBuf::from(top),
            ];
            let parent = if above == Path::new(folder) {
                PathBuf::from(top)
            } else {
                let there = parents.iter().find(|parent| root().join(parent).is_file());
                there.unwrap().clone()
            };
            let parent = text(parent.to_str().unwrap());
            let named = parent.lines().any(|line| {
                let line = line.trim();
                line.ends_with(&format!("mod {name};")) && !line.starts_with("//")
            });
            assert!(named, "{file} is built by nobody");
        }
    }
}

/// What a newcomer reads.
fn documents() -> Vec<String> {
    let top = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
    ];
    let mut all: Vec<String> = top.iter().map(|file| (*file).to_owned()).collect();
    all.extend(files("docs", ".md"));
    all
}

#[test]
fn documents_name_no_path_of_the_machine_that_they_were_written_on() {
    // The API's own paths, and folders that every system of this kind has.
    let known = [
        "api",
        "home",
        "srv",
        "openapi.json",
        "docs",
        "metrics",
        "mcp",
        "proc",
        "dev",
        "tmp",
        "bin",
        "usr",
        "etc",
        "path",
    ];
    for file in documents() {
        for word in text(&file).split(|c: char| c.is_whitespace() || "`'\"()[],;|=".contains(c)) {
            let Some(inside) = word.strip_prefix('/') else {
                continue;
            };
            let first = inside.split(['/', '?', '.', ':']).next().unwrap_or("");
            let first = if inside.starts_with("openapi.json") {
                "openapi.json"
            } else {
                first
            };
            assert!(first.is_empty() || known.contains(&first), "{file}: {word}");
        }
    }
}

#[test]
fn links_in_documents_lead_to_files_that_are_there() {
    for file in documents() {
        let text = text(&file);
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap();
            let target = target.split('#').next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let there = root().join(&file).parent().unwrap().join(target);
            assert!(there.exists(), "{file}: {target}");
        }
    }
}

#[test]
fn the_reference_of_settings_is_that_of_the_program() {
    let page = text("docs/configuration.md");
    let reference = config::reference();
    assert!(
        page.contains(&reference),
        "docs/configuration.md should have this table:\n{reference}"
    );
}

#[test]
fn the_table_of_exit_codes_is_that_of_the_program() {
    let page = text("docs/operations.md");
    let rows = ExitCode::ALL.map(|code| format!("| {} | {} |\n", code.number(), code.meaning()));
    let table = format!("| Code | Meaning |\n| --- | --- |\n{}\n", rows.concat());
    assert!(
        page.contains(&table),
        "docs/operations.md should have this table:\n{table}"
    );
}

#[test]
fn the_map_of_the_house_names_every_folder_and_the_tests_that_hold_its_invariants() {
    let map = text("ARCHITECTURE.md");
    for file in sources() {
        let module = module_of(&file);
        let shown = [format!("`{module}/`"), format!("`{module}.rs`")];
        assert!(
            shown.iter().any(|name| map.contains(name)),
            "ARCHITECTURE.md has no line for {module}"
        );
    }
    // A test is named as `file::name`, so that the map cannot promise one that is gone.
    let tests = [files("tests/it", ".rs"), files("src", ".rs")].concat();
    let all: String = tests.iter().map(|file| text(file)).collect();
    let named = map
        .split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|word| word.strip_prefix("test "));
    let mut count = 0;
    for name in named {
        assert!(
            all.contains(&format!("fn {name}(")),
            "there is no test `{name}`"
        );
        count += 1;
    }
    assert!(count > 0, "the invariants name no test");
}
