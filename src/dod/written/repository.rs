//! `.agent_runner/dod/*.toml`: what a repository asks of every run.
//!
//! ```toml
//! [[item]]
//! key = "migrations"
//! title = "Migrations go up and down"
//! when.changed = ["migrations/**"]
//! check = { cmd = "just migrate-both-ways", timeout_s = 300 }
//! ```

use serde::Deserialize;

use super::BadText;
use crate::dod::ItemSpec;
use crate::dod::item;

/// The folder of these files, from the root of the repository.
pub const FOLDER: &str = ".agent_runner/dod";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default)]
    item: Vec<ItemSpec>,
}

/// The items of one file, in its order.
///
/// # Errors
/// It is no TOML, has a field that there is none of, or an item that cannot be taken.
pub fn items(path: &str, text: &str) -> Result<Vec<ItemSpec>, BadText> {
    let page: Page = toml::from_str(text).map_err(|error| BadText {
        path: path.to_owned(),
        place: error.span().map(|span| place(text, span.start)),
        detail: error.message().to_owned(),
    })?;
    item::checked(page.item).map_err(|bad| BadText {
        path: path.to_owned(),
        place: None,
        detail: bad
            .iter()
            .map(|bad| format!("item{bad}"))
            .collect::<Vec<_>>()
            .join("; "),
    })
}

/// Line and column of a byte, from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dod::Validator;
    use crate::dod::check::CheckSpec;

    #[test]
    fn items_are_read_in_their_order() {
        let text = r#"
            [[item]]
            key = "migrations"
            title = "Migrations go up and down"
            when.changed = ["migrations/**"]
            check = { cmd = "just migrate", timeout_s = 300 }

            [[item]]
            key = "changelog"
            required = false
        "#;
        let items = items(".agent_runner/dod/a.toml", text).unwrap();
        assert_eq!(items.len(), 2);
        let check = CheckSpec {
            timeout_s: Some(300),
            ..CheckSpec::of("just migrate")
        };
        assert_eq!(items[0].check, Some(check));
        assert_eq!(items[0].validator, Validator::Check);
        assert_eq!(items[0].when.as_ref().unwrap().changed, ["migrations/**"]);
        assert_eq!(
            (items[1].key.as_str(), items[1].required, items[1].validator),
            ("changelog", false, Validator::Operator)
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, place, detail) in [
            ("[[item]\nkey = 1", Some((1, 8)), "unclosed"),
            (
                "[[item]]\nkey = \"a\"\nrequierd = true\n",
                Some((3, 1)),
                "requierd",
            ),
            ("[[item]]\nkey = \"a b\"\n", None, "item/0/key"),
            (
                "[[item]]\nkey = \"a\"\n[[item]]\nkey = \"a\"\n",
                None,
                "item/1/key",
            ),
        ] {
            let bad = items("a.toml", text).unwrap_err();
            assert_eq!(bad.place, place, "{bad}");
            assert!(bad.to_string().contains(detail), "{bad}");
        }
    }
}
