//! The settings in force, as a file that would give the same ones.

use std::fmt::Write as _;

use super::settings::SETTINGS;
use super::{Config, Layers, LogFormat, PoolSize, Source};

/// The settings in force as TOML, each with a comment that says where it came from. Settings without a value are
/// comments altogether.
#[must_use]
pub fn effective(config: &Config, layers: &Layers) -> String {
    let mut out = String::new();
    if let Some(path) = layers.file() {
        let _ = writeln!(out, "# file: {}", path.display());
    }
    for setting in SETTINGS {
        let source = layers.source(setting.key);
        let _ = match value(config, setting.key) {
            Some(value) => writeln!(out, "{} = {value} # {source}", setting.key),
            None => writeln!(out, "# {} is not set", setting.key),
        };
    }
    out
}

/// Settings that a server needs wherever it is started from, so that they are always said.
const PLACES: [&str; 4] = ["port", "db", "repo_root", "worktrees_root"];

/// The flags that give another process the same settings: those given here by flags and variables, which it would not
/// have, and its places. What a file says stays in the file.
#[must_use]
pub fn frozen(config: &Config, layers: &Layers) -> Vec<String> {
    let file = layers
        .file()
        .map(|path| format!("--config={}", path.display()));
    let settings = SETTINGS.iter().filter_map(|setting| {
        let given_here = matches!(
            layers.source(setting.key),
            Source::Flag(_) | Source::Environment(_)
        );
        let said = given_here || PLACES.contains(&setting.key);
        let value = value(config, setting.key).filter(|_| said)?;
        Some(format!(
            "--{}={}",
            setting.flag(),
            as_flag(setting.key, value)
        ))
    });
    file.into_iter().chain(settings).collect()
}

/// A value as the text of a flag; lists as their flags take them.
fn as_flag(key: &str, value: toml::Value) -> String {
    match value {
        toml::Value::String(text) => text,
        toml::Value::Array(list) => {
            let separator = if ["allowed_origins", "seed"].contains(&key) {
                ","
            } else {
                " "
            };
            let texts: Vec<&str> = list.iter().filter_map(toml::Value::as_str).collect();
            texts.join(separator)
        }
        other => other.to_string(),
    }
}

/// A setting's value as TOML.
fn value(config: &Config, key: &str) -> Option<toml::Value> {
    let path = |path: &std::path::Path| toml::Value::from(path.to_string_lossy().into_owned());
    let number = |number: u64| toml::Value::from(i64::try_from(number).unwrap_or(i64::MAX));
    let list = |list: &Vec<String>| toml::Value::from(list.clone());
    let limits = &config.limits;
    Some(match key {
        "port" => toml::Value::from(i64::from(config.port)),
        "bind" => config.bind.to_string().into(),
        "db" => path(&config.db),
        "repo_root" => path(&config.repo_root),
        "worktrees_root" => path(&config.worktrees_root),
        "state_root" => path(&config.state_root),
        "base_branch" => config.base_branch.clone()?.into(),
        "max_running" => number(config.max_running as u64),
        "max_checks" => number(config.max_checks as u64),
        "max_feedback" => number(config.max_feedback.into()),
        "limits.timeout_s" => number(limits.timeout_s?),
        "limits.idle_timeout_s" => number(limits.idle_timeout_s?),
        "limits.max_cost_usd" => limits.max_cost_usd?.into(),
        "limits.max_turns" => number(limits.max_turns?.into()),
        "limits.max_output_bytes" => number(limits.max_output_bytes?),
        "disk_floor_bytes" => number(config.disk_floor_bytes),
        "limits.max_memory_bytes" => number(limits.max_memory_bytes?),
        "limits.max_tasks" => number(limits.max_tasks?.into()),
        "limits.cpu_weight" => number(limits.cpu_weight?.into()),
        "pool" => match config.pool {
            PoolSize::Fixed(slots) => number(slots as u64),
            PoolSize::Adaptive => "adaptive".into(),
        },
        "pool_idle_s" => number(config.pool_idle.map_or(0, |idle| idle.as_secs())),
        "containment" => config.containment.as_str().into(),
        "check_network" => config.check_network.as_str().into(),
        "stop_grace_s" => number(config.stop_grace.as_secs()),
        "claude" => path(&config.claude),
        "stub" => config.stub.into(),
        "identity.name" => config.identity.name.clone().into(),
        "identity.email" => config.identity.email.clone().into(),
        "sign_key" => path(config.sign_key.as_ref()?),
        "push_remote" => config.push_remote.clone()?.into(),
        "keep_branch" => config.keep_branch.into(),
        "preserved_keep_days" => number(config.preserved_keep_days.into()),
        "keep_output_days" => number(config.keep_output_days?.into()),
        "keep_output_gib" => number(config.keep_output_gib?.into()),
        "allowed_origins" => list(&config.allowed_origins),
        "issues.glob" => config.issues.glob.clone()?.into(),
        "issues.command" => list(config.issues.command.as_ref()?),
        "app_pages" => config.app_pages.clone().into(),
        "seed" => list(&config.seed),
        "seed_source" => path(config.seed_source.as_ref()?),
        "seed_copy" => config.seed_copy.into(),
        "log.level" => config.log.level.clone().into(),
        "log.format" => match config.log.format {
            LogFormat::Text => "text".into(),
            LogFormat::Json => "json".into(),
        },
        _ => return None,
    })
}
