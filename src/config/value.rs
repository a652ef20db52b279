//! From what was written to what is meant. Each function takes the text and says why it is no value.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::{CheckNetwork, Containment, LogFormat, PoolSize};
use crate::run::cone::{FOLDERS_MAX, why_not};

/// A value as it was written: the file has lists, flags and variables have text only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raw {
    /// Text, a number or a boolean.
    One(String),
    /// A list, from the file.
    Many(Vec<String>),
}

impl Raw {
    /// As a person would want to see it.
    pub fn shown(&self) -> String {
        match self {
            Raw::One(text) => text.clone(),
            Raw::Many(list) => format!("{list:?}"),
        }
    }

    fn one(&self) -> Result<&str, String> {
        match self {
            Raw::One(text) => Ok(text),
            Raw::Many(_) => Err("a list is not expected here".into()),
        }
    }
}

type Parsed<T> = Result<T, String>;

/// A value of a type that can parse itself.
pub fn parsed<T: FromStr<Err: std::fmt::Display>>(raw: &Raw) -> Parsed<T> {
    raw.one()?
        .trim()
        .parse()
        .map_err(|why: T::Err| why.to_string())
}

/// Text that is not empty.
pub fn text(raw: &Raw) -> Parsed<String> {
    match raw.one()? {
        "" => Err("it is empty".into()),
        text => Ok(text.to_owned()),
    }
}

/// A path, relative or absolute.
pub fn path(raw: &Raw) -> Parsed<PathBuf> {
    text(raw).map(PathBuf::from)
}

/// A whole number from 1.
pub fn at_least_one<T: FromStr<Err: std::fmt::Display> + std::fmt::Display>(
    raw: &Raw,
) -> Parsed<T> {
    let number: T = parsed(raw)?;
    if number.to_string() == "0" {
        Err("it must be at least 1".into())
    } else {
        Ok(number)
    }
}

/// The number, if it is not under the least nor over the most.
pub fn within<T: PartialOrd + std::fmt::Display>(number: T, (least, most): (T, T)) -> Parsed<T> {
    if number >= least && number <= most {
        Ok(number)
    } else {
        Err(format!("it must be from {least} to {most}"))
    }
}

/// What holds attempts together.
pub fn containment(raw: &Raw) -> Parsed<Containment> {
    let all = [
        Containment::Auto,
        Containment::Systemd,
        Containment::Cgroup,
        Containment::None,
    ];
    let word = raw.one()?.trim();
    let found = all.into_iter().find(|one| one.as_str() == word);
    found.ok_or_else(|| "it must be auto, systemd, cgroup or none".into())
}

/// How many worktrees stand ready.
pub fn pool(raw: &Raw) -> Parsed<PoolSize> {
    if raw.one()?.trim() == "adaptive" {
        return Ok(PoolSize::Adaptive);
    }
    let number = parsed(raw).map_err(|_| "it must be a number or adaptive".to_owned())?;
    within(number, (0, PoolSize::MOST)).map(PoolSize::Fixed)
}

/// The network that checks run in.
pub fn check_network(raw: &Raw) -> Parsed<CheckNetwork> {
    let all = [CheckNetwork::Auto, CheckNetwork::Own, CheckNetwork::Machine];
    let word = raw.one()?.trim();
    let found = all.into_iter().find(|one| one.as_str() == word);
    found.ok_or_else(|| "it must be auto, own or machine".into())
}

/// US dollars, more than none.
pub fn dollars(raw: &Raw) -> Parsed<f64> {
    let amount: f64 = parsed(raw)?;
    if amount.is_finite() && amount > 0.0 {
        Ok(amount)
    } else {
        Err("it must be an amount greater than 0".into())
    }
}

/// A number of bytes, from 1, with `KiB`, `MiB`, `GiB` or nothing behind it.
pub fn bytes(raw: &Raw) -> Parsed<u64> {
    match bytes_or_none(raw)? {
        0 => Err("it must be at least 1".into()),
        bytes => Ok(bytes),
    }
}

/// The same, from 0.
pub fn bytes_or_none(raw: &Raw) -> Parsed<u64> {
    let text = raw.one()?.trim();
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let (number, shift) = units
        .iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))
        .unwrap_or((text, 0));
    let number: u64 = number
        .trim()
        .parse()
        .map_err(|_| "it must be a number of bytes, like 1048576, 512MiB or 1GiB".to_owned())?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| "it is too large".to_owned())
}

/// Yes or no.
pub fn boolean(raw: &Raw) -> Parsed<bool> {
    match raw.one()?.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" | "" => Ok(false),
        _ => Err("it must be true or false".into()),
    }
}

/// A loopback address: there is no way yet to say who may call, so nobody else may.
pub fn loopback(raw: &Raw) -> Parsed<IpAddr> {
    let address: IpAddr = match raw.one()?.trim() {
        "localhost" => IpAddr::from([127, 0, 0, 1]),
        text => text
            .parse()
            .map_err(|_| "it must be an IP address".to_owned())?,
    };
    if address.is_loopback() {
        Ok(address)
    } else {
        Err("only a loopback address (127.0.0.1, ::1) is allowed: whoever can reach the API can run programs as you".into())
    }
}

/// A program: a bare name stays one and is looked for on PATH, a path becomes absolute.
pub fn program(current_dir: &Path, raw: &Raw) -> Parsed<PathBuf> {
    let program = path(raw)?;
    Ok(if program.components().count() > 1 {
        absolute(current_dir, &program)
    } else {
        program
    })
}

/// A name or an address that git takes for an identity.
pub fn identity(raw: &Raw) -> Parsed<String> {
    let text = text(raw)?;
    if text.contains(['<', '>', '\n', '\0']) || text.trim().is_empty() {
        Err("git takes no name or address that is blank or has <, > or a new line".into())
    } else {
        Ok(text)
    }
}

/// Origins, as a list or separated by commas.
pub fn origins(raw: &Raw) -> Parsed<Vec<String>> {
    let written: Vec<String> = match raw {
        Raw::One(text) => text.split(',').map(|part| part.trim().to_owned()).collect(),
        Raw::Many(list) => list.clone(),
    };
    written
        .into_iter()
        .filter(|origin| !origin.is_empty())
        .map(origin)
        .collect()
}

/// `scheme://host[:port]`, as a browser sends it: no path, no wildcard, not `null`.
fn origin(text: String) -> Parsed<String> {
    let host = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    match host {
        Some(host)
            if !host.is_empty()
                && !host.contains(['/', '*', '?', '#', '@', ' '])
                && *host == host.to_ascii_lowercase() =>
        {
            Ok(text)
        }
        _ => Err(format!(
            "{text:?} is no origin: write it like http://localhost:5173, in lower case, without a path or *"
        )),
    }
}

/// A pattern of paths in the repository that names the app.
pub fn pages(raw: &Raw) -> Parsed<String> {
    let pattern = text(raw)?;
    if !pattern.contains("{kanban_app}") || pattern.starts_with('/') {
        return Err("it must be a pattern from the root of the repository with {kanban_app}, like apps/{kanban_app}/*.md".into());
    }
    globset::Glob::new(&pattern).map_err(|error| error.to_string())?;
    Ok(pattern)
}

/// Paths below the root of the repository, as a list or separated by commas.
pub fn seeds(raw: &Raw) -> Parsed<Vec<String>> {
    let written: Vec<String> = match raw {
        Raw::One(text) => text.split(',').map(|part| part.trim().to_owned()).collect(),
        Raw::Many(list) => list.clone(),
    };
    let paths = written.into_iter().filter(|path| !path.is_empty());
    let paths: Vec<String> = paths
        .map(|path| path.strip_suffix('/').unwrap_or(&path).to_owned())
        .collect();
    if paths.len() > FOLDERS_MAX {
        return Err(format!("at most {FOLDERS_MAX} paths"));
    }
    match paths.iter().find_map(|path| Some((path, why_not(path)?))) {
        Some((path, why)) => Err(format!("`{path}` {why}")),
        None => Ok(paths),
    }
}

/// A program and its arguments, as a list or separated by blanks.
pub fn words(raw: &Raw) -> Parsed<Vec<String>> {
    let words: Vec<String> = match raw {
        Raw::One(text) => text.split_whitespace().map(str::to_owned).collect(),
        Raw::Many(list) => list.clone(),
    };
    match words.first() {
        Some(program) if !program.is_empty() => Ok(words),
        _ => Err("it names no program".into()),
    }
}

/// A level or directives that tracing understands.
pub fn log_level(raw: &Raw) -> Parsed<String> {
    let text = text(raw)?;
    crate::telemetry::filter(&text).map_err(|why| why.to_string())?;
    Ok(text)
}

/// `text` or `json`.
pub fn log_format(raw: &Raw) -> Parsed<LogFormat> {
    match raw.one()?.trim() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("it must be text or json".into()),
    }
}

/// The path from the root, `.` and `..` worked out by their letters.
pub fn absolute(current_dir: &Path, path: &Path) -> PathBuf {
    let mut whole = PathBuf::new();
    for part in current_dir.join(path).components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                whole.pop();
            }
            part => whole.push(part),
        }
    }
    whole
}

/// The path without links, if it is there; else as it is.
pub fn resolved(path: PathBuf) -> PathBuf {
    path.canonicalize().unwrap_or(path)
}
