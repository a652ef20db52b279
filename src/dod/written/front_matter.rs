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

use super::BadText;
use crate::dod::check::CheckSpec;
use crate::dod::item;
use crate::dod::{EvidenceKind, ItemSpec, Validator};

#[derive(Deserialize)]
struct FrontMatter {
    #[serde(default)]
    e2e_checks: Option<Vec<E2eCheck>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct E2eCheck {
    id: String,
    cmd: String,
    #[serde(default)]
    timeout_s: Option<u64>,
    #[serde(default)]
    health: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    junit: Option<String>,
    #[serde(default)]
    min_tests: Option<u64>,
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
/// The front matter is no YAML, or a check in it cannot be taken.
pub fn items(path: &str, page: &str) -> Result<Vec<ItemSpec>, BadText> {
    let Some(text) = of_page(page) else {
        return Ok(Vec::new());
    };
    let bad = |place, detail| BadText {
        path: path.to_owned(),
        place,
        detail,
    };
    let read: Option<FrontMatter> = serde_saphyr::from_str(text).map_err(|error| {
        // The first line of the page is `---`.
        let place = error
            .location()
            .map(|at| (at.line() as usize + 1, at.column() as usize));
        bad(
            place,
            error
                .to_string()
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned(),
        )
    })?;
    let checks = read.and_then(|read| read.e2e_checks).unwrap_or_default();
    item::checked(checks.into_iter().map(item_of).collect()).map_err(|wrong| {
        let wrong: Vec<_> = wrong
            .iter()
            .map(|wrong| format!("e2e_checks{wrong}"))
            .collect();
        bad(None, wrong.join("; "))
    })
}

fn item_of(check: E2eCheck) -> ItemSpec {
    // A command that ends with `&` is one in the background: its health is what shows it, and the shell must stay with it.
    let cmd = match (&check.health, check.cmd.trim_end().strip_suffix('&')) {
        (Some(_), Some(foreground)) if !foreground.ends_with('&') => {
            foreground.trim_end().to_owned()
        }
        _ => check.cmd,
    };
    ItemSpec {
        title: check.title.unwrap_or_default(),
        key: check.id,
        required: true,
        accepts: EvidenceKind::ALL.to_vec(),
        validator: Validator::Check,
        check: Some(CheckSpec {
            timeout_s: check.timeout_s,
            health: check.health,
            junit: check.junit,
            min_tests: check.min_tests,
            ..CheckSpec::of(cmd)
        }),
        when: None,
        revalidate: None,
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
        let page = "---\ne2e_checks:\n  - id: a\n    cmd: x\n    timeuot_s: 3\n---\n";
        let bad = items("p.md", page).unwrap_err();
        assert_eq!(bad.place.unwrap().0, 5, "{bad}");
        assert!(bad.detail.contains("timeuot_s"), "{bad}");
        let page = "---\ne2e_checks:\n  - id: a b\n    cmd: ''\n---\n";
        let bad = items("p.md", page).unwrap_err().to_string();
        assert!(
            bad.contains("e2e_checks/0/key") && bad.contains("e2e_checks/0/check/cmd"),
            "{bad}"
        );
        assert!(items("p.md", "---\n: [\n---\n").is_err());
    }

    #[test]
    fn a_background_command_without_health_stays_as_it_is() {
        let page = "---\ne2e_checks:\n  - {id: a, cmd: 'x & wait'}\n  - {id: b, cmd: 'y &'}\n---\n";
        let items = items("p.md", page).unwrap();
        assert_eq!(items[1].check.as_ref().unwrap().cmd, "y &");
    }
}
