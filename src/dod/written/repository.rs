//! `.agent_runner/dod/*.toml`: what a repository asks of every run.
//!
//! ```toml
//! [[item]]
//! key = "migrations"
//! title = "Migrations go up and down"
//! when.changed = ["migrations/**"]
//! check = { cmd = "just migrate-both-ways", timeout_s = 300 }
//! ```

use std::ops::Range;

use serde::Deserialize;
use toml::de::DeTable;

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
/// It is no TOML, has a field that there is none of, or items that cannot be taken: each with its place.
pub fn items(path: &str, text: &str) -> Result<Vec<ItemSpec>, Vec<BadText>> {
    let bad = |span: Option<Range<usize>>, detail: String| BadText {
        path: path.to_owned(),
        place: span.map(|span| place(text, span.start)),
        detail,
    };
    let page: Page = toml::from_str(text)
        .map_err(|error| vec![bad(error.span(), error.message().to_owned())])?;
    item::checked(page.item).map_err(|wrong| {
        let wrong = wrong.into_iter();
        wrong
            .map(|wrong| {
                let detail = format!("item{}: {}", wrong.pointer, wrong.detail);
                bad(span_of(text, &wrong.pointer), detail)
            })
            .collect()
    })
}

/// Where the value stands that this pointer leads to, or the nearest one above it that is written.
fn span_of(text: &str, pointer: &str) -> Option<Range<usize>> {
    let document = DeTable::parse(text).ok()?;
    let mut at = document.get_ref().get("item")?;
    for step in pointer.split('/').skip(1) {
        let deeper = match step.parse::<usize>() {
            Ok(number) => at.get_ref().get(number),
            Err(_) => at.get_ref().get(step),
        };
        match deeper {
            Some(deeper) => at = deeper,
            None => break,
        }
    }
    Some(at.span())
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
                "[[item]]\nkey = \"a\"\nnecessary = true\n",
                Some((3, 1)),
                "necessary",
            ),
            ("[[item]]\nkey = \"a b\"\n", Some((2, 7)), "item/0/key"),
            (
                "[[item]]\nkey = \"a\"\n[[item]]\nkey = \"a\"\n",
                Some((4, 7)),
                "item/1/key",
            ),
            (
                "[[item]]\nkey = \"a\"\n[item.check]\ncmd = \"x\"\ntimeout_s = 0\n",
                Some((5, 13)),
                "item/0/check/timeout_s",
            ),
            (
                "[[item]]\nkey = \"a\"\nwhen.changed = [\"a/**\", \"[\"]\n",
                Some((3, 25)),
                "item/0/when/changed/1",
            ),
            (
                "[[item]]\nkey = \"a\"\n\n[[item]]\nkey = \"b\"\nvalidator = \"check\"\n",
                Some((6, 13)),
                "write a `check`",
            ),
        ] {
            let all = items("a.toml", text).unwrap_err();
            let bad = &all[0];
            assert_eq!((bad.place, all.len()), (place, 1), "{all:?}");
            assert!(bad.to_string().contains(detail), "{bad}");
        }
    }
}
