//! A check as a Definition of Done writes it.

use serde::{Deserialize, Serialize};

/// Seconds that a check may take if it does not say.
pub const TIMEOUT_S: u64 = 600;
/// The most seconds of a check: a day.
pub const TIMEOUT_MAX_S: u64 = 86_400;
/// The most tests that can be asked for.
const TESTS_MAX: u64 = 1_000_000_000;
/// The longest command, in bytes.
const CMD_MAX: usize = 16 * 1024;

/// A command that the service itself runs for an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckSpec {
    /// The command, for `sh -c`, in a clean checkout of the commit. `$PORT` is a free port.
    #[schema(min_length = 1)]
    pub cmd: String,
    /// Seconds that it may take, and that `health` may take to answer. 600 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 86_400)]
    pub timeout_s: Option<u64>,
    /// A URL on this machine: the command is started in the background, and passes once the URL answers with a 2xx.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// The command must fail on the base and pass on the head.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub red_green: bool,
    /// The path of a JUnit report that the command writes, from the root of the checkout; `*` stands for names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub junit: Option<String>,
    /// How many tests must have run at least: a command that tells no number fails then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000_000)]
    pub min_tests: Option<u64>,
}

/// A field that cannot be taken: its name, and what to write instead.
pub type BadField = (&'static str, String);

impl CheckSpec {
    /// A check that is this command and nothing more.
    #[must_use]
    pub fn of(cmd: impl Into<String>) -> CheckSpec {
        CheckSpec {
            cmd: cmd.into(),
            timeout_s: None,
            health: None,
            red_green: false,
            junit: None,
            min_tests: None,
        }
    }

    /// Seconds that it may take.
    #[must_use]
    pub fn timeout_s(&self) -> u64 {
        self.timeout_s.unwrap_or(TIMEOUT_S)
    }

    /// Whether the command goes on in the background until its health was seen.
    #[must_use]
    pub fn is_background(&self) -> bool {
        self.health.is_some()
    }

    /// Everything in it that cannot be taken.
    #[must_use]
    pub fn bad_fields(&self) -> Vec<BadField> {
        let mut bad = Vec::new();
        if self.cmd.trim().is_empty() {
            bad.push(("cmd", "write the command that shows it".to_owned()));
        } else if self.cmd.len() > CMD_MAX || self.cmd.contains('\0') {
            let most = format!(
                "at most {CMD_MAX} bytes, with no byte 0; put it into a script of the repository"
            );
            bad.push(("cmd", most));
        }
        if self
            .timeout_s
            .is_some_and(|s| !(1..=TIMEOUT_MAX_S).contains(&s))
        {
            bad.push((
                "timeout_s",
                format!("must be from 1 to {TIMEOUT_MAX_S} seconds"),
            ));
        }
        if self
            .min_tests
            .is_some_and(|tests| !(1..=TESTS_MAX).contains(&tests))
        {
            bad.push((
                "min_tests",
                format!("must be from 1 to {TESTS_MAX}; leave it out if no test need run"),
            ));
        }
        if let Some(url) = &self.health {
            bad.extend(bad_health(url).map(|why| ("health", why)));
            if self.red_green {
                bad.push((
                    "red_green",
                    "a check with `health` cannot be shown to fail on the base".to_owned(),
                ));
            }
        }
        if let Some(path) = &self.junit {
            bad.extend(bad_report(path).map(|why| ("junit", why)));
        }
        bad
    }
}

/// The port of a health URL, if it is one of this machine: it is only ever asked here.
#[must_use]
pub fn health_port(url: &str) -> Option<u16> {
    let rest = url.strip_prefix("http://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (authority, "80"),
    };
    if !matches!(host, "127.0.0.1" | "localhost" | "[::1]") {
        return None;
    }
    port.parse().ok().filter(|port| *port > 0)
}

fn bad_health(url: &str) -> Option<String> {
    // `$PORT` is filled in when the check runs.
    let filled = url.replace("${PORT}", "1").replace("$PORT", "1");
    health_port(&filled).is_none().then(|| {
        "must be an http URL of this machine, as `http://127.0.0.1:8080/health` or `http://127.0.0.1:$PORT/health`".to_owned()
    })
}

fn bad_report(path: &str) -> Option<String> {
    let mut parts = path.split('/');
    let inside = parts.all(|part| !matches!(part, "" | "." | "..")) && !path.contains('\0');
    (!inside).then(|| "must be a path inside the checkout, as `target/junit.xml`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(spec: &CheckSpec) -> Vec<&'static str> {
        spec.bad_fields()
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    }

    #[test]
    fn what_can_be_run_is_taken() {
        let with_health = CheckSpec {
            timeout_s: Some(120),
            health: Some("http://127.0.0.1:$PORT/api/health".to_owned()),
            ..CheckSpec::of("./app --port $PORT")
        };
        assert_eq!(names(&with_health), [""; 0]);
        let with_report = CheckSpec {
            junit: Some("target/nextest/*/junit.xml".to_owned()),
            ..CheckSpec::of("x")
        };
        assert_eq!(names(&with_report), [""; 0]);
    }

    #[test]
    fn each_field_that_cannot_be_taken_is_named() {
        let spec = CheckSpec {
            cmd: " ".to_owned(),
            timeout_s: Some(0),
            health: Some("https://example.org/".to_owned()),
            red_green: true,
            junit: Some("../report.xml".to_owned()),
            min_tests: Some(0),
        };
        assert_eq!(
            names(&spec),
            [
                "cmd",
                "timeout_s",
                "min_tests",
                "health",
                "red_green",
                "junit"
            ]
        );
    }

    #[test]
    fn health_is_asked_on_this_machine_only() {
        assert_eq!(health_port("http://127.0.0.1:8486/api/health"), Some(8486));
        assert_eq!(health_port("http://localhost/"), Some(80));
        assert_eq!(health_port("http://[::1]:9/x"), Some(9));
        assert_eq!(health_port("http://[::1]/x"), Some(80));
        for other in [
            "http://127.0.0.1.evil.org:80/",
            "http://user@example.org/",
            "http://127.0.0.1:80@example.org/",
            "http://10.0.0.1:80/",
            "file:///etc",
            "http://127.0.0.1:0/",
        ] {
            assert_eq!(health_port(other), None, "{other}");
        }
    }
}
