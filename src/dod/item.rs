//! One line of a Definition of Done, as a workflow or a request writes it and as a run keeps it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::run::ItemId;

/// The longest key, title and list, so that a Definition of Done stays a list that a person reads.
const MAX_KEY: usize = 64;
const MAX_TITLE: usize = 200;
/// The most items that one run can have.
pub const MAX_ITEMS: usize = 100;

/// What evidence can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceKind {
    /// Words, in the evidence itself.
    Text,
    /// A file, copied into the service's content store.
    File,
    /// An address, kept and never fetched.
    Url,
}

impl EvidenceKind {
    /// All kinds: what an item accepts that does not say.
    pub const ALL: [EvidenceKind; 3] = [EvidenceKind::Text, EvidenceKind::File, EvidenceKind::Url];

    /// The word for it in the API and the tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            EvidenceKind::Text => "text",
            EvidenceKind::File => "file",
            EvidenceKind::Url => "url",
        }
    }
}

/// Who accepts the evidence of an item.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Validator {
    /// A person, or a program that speaks for one.
    #[default]
    Operator,
}

impl Validator {
    /// The word for it in the API and the tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Validator::Operator => "operator",
        }
    }
}

/// An item as a Definition of Done writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemSpec {
    /// Its name within the run: letters, digits, `-`, `_`, `.`; at most 64.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$")]
    pub key: String,
    /// What it asks for, in one line; the key if it is absent.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub title: String,
    /// Whether the gate stays shut without it.
    #[serde(default = "yes")]
    pub required: bool,
    /// Which kinds of evidence fit.
    #[serde(default = "every_kind")]
    #[schema(min_items = 1)]
    pub accepts: Vec<EvidenceKind>,
    /// Who accepts its evidence.
    #[serde(default)]
    pub validator: Validator,
}

fn yes() -> bool {
    true
}

fn every_kind() -> Vec<EvidenceKind> {
    EvidenceKind::ALL.to_vec()
}

/// An item of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its id.
    pub id: ItemId,
    /// What it says.
    #[serde(flatten)]
    pub spec: ItemSpec,
}

/// Why a Definition of Done cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadItem {
    /// JSON pointer to the place, from the list of items.
    pub pointer: String,
    /// What is wrong, and what to write instead.
    pub detail: String,
}

impl fmt::Display for BadItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.pointer, self.detail)
    }
}

/// Whether `key` can name an item.
#[must_use]
pub fn is_key(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= MAX_KEY
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// The items in their order, those of `later` added or put in the place of an earlier one with the same key.
#[must_use]
pub fn merged(earlier: Vec<ItemSpec>, later: Vec<ItemSpec>) -> Vec<ItemSpec> {
    let mut all = earlier;
    for item in later {
        match all.iter_mut().find(|known| known.key == item.key) {
            Some(known) => *known = item,
            None => all.push(item),
        }
    }
    all
}

/// The items with their titles filled in, or every reason why they cannot be taken.
///
/// # Errors
/// A key that is no key or stands twice, a title over 200 characters, nothing accepted, over 100 items.
pub fn checked(items: Vec<ItemSpec>) -> Result<Vec<ItemSpec>, Vec<BadItem>> {
    let mut bad = Vec::new();
    let mut refuse = |index: usize, field: &str, detail: String| {
        bad.push(BadItem {
            pointer: format!("/{index}/{field}"),
            detail,
        });
    };
    for (index, item) in items.iter().enumerate() {
        if !is_key(&item.key) {
            refuse(
                index,
                "key",
                "a key is 1 to 64 letters, digits, `-`, `_` or `.`".to_owned(),
            );
        }
        if items[..index].iter().any(|other| other.key == item.key) {
            refuse(index, "key", format!("`{}` stands here twice", item.key));
        }
        if item.title.chars().count() > MAX_TITLE {
            refuse(index, "title", format!("over {MAX_TITLE} characters"));
        }
        if item.accepts.is_empty() {
            refuse(
                index,
                "accepts",
                "no kind of evidence is accepted".to_owned(),
            );
        }
    }
    if items.len() > MAX_ITEMS {
        bad.push(BadItem {
            pointer: String::new(),
            detail: format!("over {MAX_ITEMS} items"),
        });
    }
    if !bad.is_empty() {
        return Err(bad);
    }
    Ok(items
        .into_iter()
        .map(|item| ItemSpec {
            title: if item.title.trim().is_empty() {
                item.key.clone()
            } else {
                item.title
            },
            ..item
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(key: &str) -> ItemSpec {
        ItemSpec {
            key: key.to_owned(),
            title: String::new(),
            required: true,
            accepts: every_kind(),
            validator: Validator::Operator,
        }
    }

    #[test]
    fn a_later_item_takes_the_place_of_an_earlier_one_with_its_key() {
        let optional = ItemSpec {
            required: false,
            ..item("a")
        };
        let all = merged(
            vec![item("a"), item("b")],
            vec![optional.clone(), item("c")],
        );
        assert_eq!(all, [optional, item("b"), item("c")]);
    }

    #[test]
    fn every_reason_is_told_with_its_place() {
        let bad = checked(vec![item("fine"), item("not fine"), item("fine")]).unwrap_err();
        let places: Vec<_> = bad.iter().map(|b| b.pointer.as_str()).collect();
        assert_eq!(places, ["/1/key", "/2/key"]);
    }

    #[test]
    fn an_item_without_a_title_is_called_by_its_key() {
        assert_eq!(checked(vec![item("review")]).unwrap()[0].title, "review");
    }
}
