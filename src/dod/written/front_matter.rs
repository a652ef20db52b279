//! The YAML front matter of an app's page: `e2e_checks`, run in their order.
//!
//! ```yaml
//! ---
//! e2e_checks:
//!   - id: build
//!     cmd: "cargo build --offline"
//!     timeout_s: 120
//! ---
//! ```
//!
//! Other keys of the front matter are the board's and are let be.

use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::BadText;
use crate::dod::check::CheckSpec;
use crate::dod::item;
use crate::dod::{ItemSpec, Validator};

#[derive(Deserialize)]
struct FrontMatter {
    #[serde(default)]
    e2e_checks: Option<Vec<E2eCheck>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct E2eCheck {
    id: Spanned<String>,
    cmd: Spanned<String>,
    #[serde(default)]
    timeout_s: Option<Spanned<u64>>,
    #[serde(default)]
    health: Option<Spanned<String>>,
    #[serde(default)]
    title: Option<Spanned<String>>,
    #[serde(default)]
    junit: Option<Spanned<String>>,
    #[serde(default)]
    min_tests: Option<Spanned<u64>>,
    #[serde(default)]
    protects: Option<Spanned<Vec<String>>>,
}

impl E2eCheck {
    /// The field of the page that this field of an item was made from, and where it stands.
    fn field(&self, of_item: &str) -> (String, Location) {
        let at = |name: &str, location: Option<Location>| {
            (name.to_owned(), location.unwrap_or(self.id.referenced))
        };
        match of_item {
            "title" => at("title", self.title.as_ref().map(|v| v.referenced)),
            "check/cmd" => at("cmd", Some(self.cmd.referenced)),
            "check/timeout_s" => at("timeout_s", self.timeout_s.as_ref().map(|v| v.referenced)),
            "check/health" => at("health", self.health.as_ref().map(|v| v.referenced)),
            "check/junit" => at("junit", self.junit.as_ref().map(|v| v.referenced)),
            "check/min_tests" => at("min_tests", self.min_tests.as_ref().map(|v| v.referenced)),
            other if other.starts_with("protects") => {
                at(other, self.protects.as_ref().map(|v| v.referenced))
            }
            _ => at("id", None),
        }
    }
}

/// The front matter of a page, without its lines of `---`; nothing if it has none.
#[must_use]
pub fn of_page(page: &str) -> Option<&str> {
    let rest = page.strip_prefix('\u{feff}').unwrap_or(page);
    let rest = rest
        .strip_prefix("---\n")
        .or_else(|| rest.strip_prefix("---\r\n"))?;
    let mut from = 0;
    for line in rest.split_inclusive('\n') {
        if matches!(line.trim_end(), "---" | "...") {
            return Some(&rest[..from]);
        }
        from += line.len();
    }
    None
}

/// The checks of a page as items, in their order; none if it has none.
///
/// # Errors
/// The front matter is no YAML, or checks in it cannot be taken: each with its place.
pub fn items(path: &str, page: &str) -> Result<Vec<ItemSpec>, Vec<BadText>> {
    let Some(text) = of_page(page) else {
        return Ok(Vec::new());
    };
    let bad = |at: Option<Location>, detail: String| BadText {
        path: path.to_owned(),
        // The first line of the page is `---`.
        place: at.map(|at| {
            let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
            (number(at.line()).saturating_add(1), number(at.column()))
        }),
        detail,
    };
    let read: Option<FrontMatter> = serde_saphyr::from_str(text).map_err(|error| {
        let words = error.to_string();
        let first = words.lines().next().unwrap_or_default().to_owned();
        vec![bad(error.location(), first)]
    })?;
    let checks = read.and_then(|read| read.e2e_checks).unwrap_or_default();
    item::checked(checks.iter().map(item_of).collect()).map_err(|wrong| {
        let wrong = wrong.into_iter();
        wrong
            .map(|wrong| {
                let mut steps = wrong.pointer.splitn(3, '/').skip(1);
                let number = steps.next().and_then(|n| n.parse::<usize>().ok());
                let field = steps.next().unwrap_or_default();
                match number.and_then(|n| Some((n, checks.get(n)?.field(field)))) {
                    Some((n, (name, at))) => {
                        bad(Some(at), format!("e2e_checks/{n}/{name}: {}", wrong.detail))
                    }
                    None => bad(None, format!("e2e_checks: {}", wrong.detail)),
                }
            })
            .collect()
    })
}

fn item_of(check: &E2eCheck) -> ItemSpec {
    let text = |value: &Option<Spanned<String>>| value.as_ref().map(|v| v.value.clone());
    let number = |value: &Option<Spanned<u64>>| value.as_ref().map(|v| v.value);
    let id = &check.id.value;
    // A command that ends with `&` is one in the background: its health is what shows it, and the shell must stay with it.
    let cmd = match (&check.health, check.cmd.value.trim_end().strip_suffix('&')) {
        (Some(_), Some(foreground)) if !foreground.ends_with('&') => {
            foreground.trim_end().to_owned()
        }
        _ => check.cmd.value.clone(),
    };
    ItemSpec {
        validator: Validator::Check,
        check: Some(CheckSpec {
            timeout_s: number(&check.timeout_s),
            health: text(&check.health),
            junit: text(&check.junit),
            min_tests: number(&check.min_tests),
            ..CheckSpec::of(cmd)
        }),
        protects: check
            .protects
            .as_ref()
            .map_or_else(Vec::new, |p| p.value.clone()),
        ..ItemSpec::of(
            id,
            text(&check.title).unwrap_or_else(|| format!("e2e: {id}")),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "---
title: The app
status: doing
e2e_checks:
  - id: build
    cmd: \"cargo build --offline\"
    timeout_s: 120
  - id: smoke
    cmd: \"./target/debug/app --port 8486 --db /tmp/app_e2e.db &\"
    health: \"http://127.0.0.1:8486/api/health\"
  - id: tests
    cmd: \"cargo test --offline\"
---
# The app
---
";

    #[test]
    fn checks_of_a_page_are_items_in_their_order() {
        let items = items("apps/app/page.md", PAGE).unwrap();
        let keys: Vec<_> = items.iter().map(|item| item.key.as_str()).collect();
        assert_eq!(keys, ["build", "smoke", "tests"]);
        assert_eq!(items[0].title, "e2e: build");
        let check = |at: usize| items[at].check.clone().unwrap();
        assert_eq!(
            (check(0).cmd.as_str(), check(0).timeout_s),
            ("cargo build --offline", Some(120))
        );
        assert_eq!(
            check(1).cmd,
            "./target/debug/app --port 8486 --db /tmp/app_e2e.db"
        );
        assert_eq!(
            check(1).health.as_deref(),
            Some("http://127.0.0.1:8486/api/health")
        );
        assert!(
            items
                .iter()
                .all(|item| item.required && item.validator == Validator::Check)
        );
    }

    #[test]
    fn a_page_without_checks_asks_for_nothing() {
        for page in [
            "",
            "# A page\n",
            "---\ntitle: x\n---\n",
            "---\n---\n",
            "---\ne2e_checks:\n---\n",
            "---\nnever closed\n",
        ] {
            assert_eq!(items("p.md", page).unwrap(), [], "{page}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let page = "---\ne2e_checks:\n  - id: a\n    cmd: x\n    timeout_m: 3\n---\n";
        let bad = &items("p.md", page).unwrap_err()[0];
        assert_eq!(bad.place.unwrap().0, 5, "{bad}");
        assert!(bad.detail.contains("timeout_m"), "{bad}");
        let page = "---\ntitle: x\ne2e_checks:\n  - id: a b\n    cmd: ''\n    timeout_s: 0\n---\n";
        let bad: Vec<_> = items("p.md", page)
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect();
        let begins = [
            "p.md:4:9: e2e_checks/0/id: a key is",
            "p.md:5:10: e2e_checks/0/cmd: write",
            "p.md:6:16: e2e_checks/0/timeout_s: must be",
        ];
        assert_eq!(bad.len(), begins.len(), "{bad:?}");
        for (bad, begin) in bad.iter().zip(begins) {
            assert!(bad.starts_with(begin), "{bad}");
        }
        assert!(items("p.md", "---\n: [\n---\n").is_err());
    }

    /// An agent writes pages too, and they are read to see what it has changed.
    #[test]
    fn a_page_that_would_never_end_is_refused() {
        let mut bomb = String::from("---\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for n in 1..20 {
            let before = vec![format!("*a{}", n - 1); 10].join(", ");
            bomb.push_str(&format!("a{n}: &a{n} [{before}]\n"));
        }
        bomb.push_str("e2e_checks: *a19\n---\n");
        assert!(items("p.md", &bomb).is_err());
        let deep = format!("---\ne2e_checks: {}\n---\n", "[".repeat(100_000));
        assert!(items("p.md", &deep).is_err());
        let ignored = format!(
            "---\nother: {}{}\n---\n",
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        assert!(items("p.md", &ignored).is_err());
    }

    #[test]
    fn a_background_command_without_health_stays_as_it_is() {
        let page = "---\ne2e_checks:\n  - {id: a, cmd: 'x & wait'}\n  - {id: b, cmd: 'y &'}\n---\n";
        let items = items("p.md", page).unwrap();
        assert_eq!(items[1].check.as_ref().unwrap().cmd, "y &");
    }
}
