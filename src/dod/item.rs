//! One line of a Definition of Done, as a workflow or a request writes it and as a run keeps it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::check::CheckSpec;
use crate::run::ItemId;

/// The longest key, title and list, so that a Definition of Done stays a list that a person reads.
const MAX_KEY: usize = 64;
const MAX_TITLE: usize = 200;
/// The most items that one run can have.
pub const MAX_ITEMS: usize = 100;
/// The most patterns of one item, and the longest one, in bytes.
const MAX_PATTERNS: usize = 100;
const MAX_PATTERN: usize = 1024;
/// The key of the item that the service itself adds when the work changes what decides whether it is done: nobody else
/// can write an item of this name.
pub const DEFINITION_CHANGED: &str = "definition-changed";

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
    /// The item's check, which the service runs.
    Check,
}

impl Validator {
    /// The word for it in the API and the tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Validator::Operator => "operator",
            Validator::Check => "check",
        }
    }
}

/// An item as a Definition of Done writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(from = "Written", deny_unknown_fields)]
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
    /// Who accepts its evidence; if nobody is named, the check where there is one, else an operator.
    #[schema(required = false, value_type = Option<Validator>)]
    pub validator: Validator,
    /// The command that the service runs for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckSpec>,
    /// When it applies; always, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// Patterns of paths that its proof depends on, as `scripts/**`: work that changes one of them needs a person who
    /// has looked at that. The script that the check's command runs is always one of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, max_items = 100)]
    pub protects: Vec<String>,
    /// When its evidence is to be brought again though the work has not changed; never, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revalidate: Option<Revalidate>,
}

/// When evidence is to be brought again though the work has not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Revalidate {
    /// The base branch has moved since it was attached.
    OnBaseChange,
}

/// When an item applies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// Patterns of paths, as `migrations/**`: it applies if the work changes a path that fits one of them.
    #[schema(min_items = 1)]
    pub changed: Vec<String>,
}

/// An item as it is written, before it is known who accepts its evidence if it does not say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    key: String,
    #[serde(default)]
    title: String,
    #[serde(default = "yes")]
    required: bool,
    #[serde(default = "every_kind")]
    accepts: Vec<EvidenceKind>,
    validator: Option<Validator>,
    check: Option<CheckSpec>,
    when: Option<When>,
    revalidate: Option<Revalidate>,
    #[serde(default)]
    protects: Vec<String>,
}

impl From<Written> for ItemSpec {
    fn from(written: Written) -> ItemSpec {
        let by_itself = match written.check {
            Some(_) => Validator::Check,
            None => Validator::Operator,
        };
        ItemSpec {
            key: written.key,
            title: written.title,
            required: written.required,
            accepts: written.accepts,
            validator: written.validator.unwrap_or(by_itself),
            check: written.check,
            when: written.when,
            revalidate: written.revalidate,
            protects: written.protects,
        }
    }
}

/// The key of the item that is somebody's own look at the work: an agent's word proves nothing there.
const REVIEW: &str = "review";

impl ItemSpec {
    /// A required item of this key, with evidence of any kind that an operator accepts.
    #[must_use]
    pub fn of(key: impl Into<String>, title: impl Into<String>) -> ItemSpec {
        ItemSpec {
            key: key.into(),
            title: title.into(),
            required: true,
            accepts: every_kind(),
            validator: Validator::Operator,
            check: None,
            when: None,
            protects: Vec::new(),
            revalidate: None,
        }
    }

    /// Whether the agent that does the work can bring evidence for it: the service brings that of a check, and a review
    /// is a person's.
    #[must_use]
    pub fn agent_can_bring(&self) -> bool {
        let a_persons = [REVIEW, DEFINITION_CHANGED].contains(&self.key.as_str());
        self.check.is_none() && self.validator == Validator::Operator && !a_persons
    }

    /// Whether it applies to work that changes these paths.
    #[must_use]
    pub fn applies(&self, changed: &[String]) -> bool {
        let Some(when) = &self.when else {
            return true;
        };
        when.changed
            .iter()
            .any(|pattern| changed.iter().any(|path| fits(pattern, path)))
    }
}

/// Whether the path fits the pattern. A pattern that is none was refused when its item was taken; here it fits all.
#[must_use]
pub fn fits(pattern: &str, path: &str) -> bool {
    pattern_of(pattern).map_or(true, |glob| glob.is_match(path))
}

/// The pattern that this path alone fits.
#[must_use]
pub fn pattern_for(path: &str) -> String {
    path.chars().fold(String::new(), |mut escaped, c| {
        if matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
        escaped
    })
}

/// `*` stays within a folder, `**` goes through them.
fn pattern_of(pattern: &str) -> Result<globset::GlobMatcher, globset::Error> {
    let glob = globset::GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()?;
    Ok(glob.compile_matcher())
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

/// What is wrong with patterns of paths, each with its number, or of all of them.
fn bad_patterns(patterns: &[String]) -> Vec<(Option<usize>, String)> {
    let mut bad = Vec::new();
    if patterns.len() > MAX_PATTERNS {
        bad.push((None, format!("over {MAX_PATTERNS} patterns")));
    }
    for (number, pattern) in patterns.iter().enumerate() {
        let why = match pattern_of(pattern) {
            Err(error) => error.to_string(),
            Ok(_) if pattern.len() > MAX_PATTERN => format!("over {MAX_PATTERN} bytes"),
            Ok(_)
                if pattern.is_empty() || pattern.starts_with('/') || pattern.starts_with("./") =>
            {
                "write it from the root of the repository, as `migrations/**`".to_owned()
            }
            Ok(_) => continue,
        };
        bad.push((Some(number), why));
    }
    bad
}

/// The items with their titles filled in, or every reason why they cannot be taken.
///
/// # Errors
/// A key that is no key or stands twice, a title over 200 characters, nothing accepted, a check that cannot be run, a
/// pattern that is none, over 100 items.
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
        if item.key == DEFINITION_CHANGED {
            let detail =
                format!("`{DEFINITION_CHANGED}` is the service's own item; name it otherwise");
            refuse(index, "key", detail);
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
        if item.validator == Validator::Check && item.check.is_none() {
            let detail = "`check` accepts its own evidence only: write a `check` with its `cmd`";
            refuse(index, "validator", detail.to_owned());
        }
        for (field, detail) in item.check.iter().flat_map(CheckSpec::bad_fields) {
            refuse(index, &format!("check/{field}"), detail);
        }
        if item
            .when
            .as_ref()
            .is_some_and(|when| when.changed.is_empty())
        {
            let detail = "name a pattern of paths, or leave `when` out";
            refuse(index, "when/changed", detail.to_owned());
        }
        let when = item
            .when
            .as_ref()
            .map_or(&[][..], |when| when.changed.as_slice());
        for (field, patterns) in [
            ("when/changed", when),
            ("protects", item.protects.as_slice()),
        ] {
            for (number, why) in bad_patterns(patterns) {
                let place = number.map_or(field.to_owned(), |n| format!("{field}/{n}"));
                refuse(index, &place, why);
            }
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
        ItemSpec::of(key, "")
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
    fn the_check_validates_where_nobody_is_named() {
        let read = |json: &str| serde_json::from_str::<ItemSpec>(json).unwrap();
        assert_eq!(read(r#"{"key":"a"}"#).validator, Validator::Operator);
        let check = read(r#"{"key":"a","check":{"cmd":"true"}}"#);
        assert_eq!(check.validator, Validator::Check);
        let person = read(r#"{"key":"a","check":{"cmd":"true"},"validator":"operator"}"#);
        assert_eq!(person.validator, Validator::Operator);
        let written = serde_json::to_string(&check).unwrap();
        assert_eq!(read(&written), check);
        let bad = checked(vec![read(r#"{"key":"a","validator":"check"}"#)]).unwrap_err();
        assert_eq!(bad[0].pointer, "/0/validator");
    }

    #[test]
    fn an_item_applies_when_a_path_that_fits_has_changed() {
        let applies = |patterns: &[&str], changed: &[&str]| {
            let changed: Vec<_> = changed.iter().map(|&path| path.to_owned()).collect();
            let when = When {
                changed: patterns.iter().map(|&p| p.to_owned()).collect(),
            };
            let item = ItemSpec {
                when: Some(when),
                ..item("a")
            };
            item.applies(&changed)
        };
        assert!(applies(&["migrations/**"], &["migrations/1/up.sql"]));
        assert!(applies(&["*.lock", "src/*.rs"], &["a", "src/a.rs"]));
        assert!(!applies(&["src/*.rs"], &["src/a/b.rs", "other"]));
        assert!(!applies(&["migrations/**"], &[]));
        assert!(item("always").applies(&[]));
    }

    #[test]
    fn the_pattern_for_a_path_fits_that_path_alone() {
        for path in ["a/b.sh", "a[1]/{b}?.sh", r"a\b*.sh", "a/ü b"] {
            assert!(fits(&pattern_for(path), path), "{path}");
            assert!(!fits(&pattern_for(path), &format!("{path}x")), "{path}");
        }
        assert!(!fits(&pattern_for("a*b"), "axb"));
    }

    #[test]
    fn patterns_are_written_from_the_root_and_can_be_read() {
        let bad = checked(vec![ItemSpec {
            protects: vec!["fine/**".to_owned(), "/etc".to_owned(), "./x".to_owned()],
            when: Some(When {
                changed: vec!["[".to_owned()],
            }),
            ..item("a")
        }]);
        let places: Vec<_> = bad.unwrap_err().into_iter().map(|b| b.pointer).collect();
        assert_eq!(
            places,
            ["/0/when/changed/0", "/0/protects/1", "/0/protects/2"]
        );
    }

    #[test]
    fn nobody_else_writes_the_item_of_a_changed_definition() {
        let bad = checked(vec![item(DEFINITION_CHANGED)]).unwrap_err();
        assert_eq!(bad[0].pointer, "/0/key");
    }

    proptest::proptest! {
        /// Merging is like writing into a list by key: the last word counts, the first place stays, and nothing is lost,
        /// doubled or made up.
        #[test]
        fn the_last_word_for_a_key_counts_at_the_first_place_of_the_key(
            parts in proptest::collection::vec(
                proptest::collection::btree_map("[a-f]", proptest::bool::ANY, 0..6),
                0..5,
            )
        ) {
            let part = |keys: &std::collections::BTreeMap<String, bool>| {
                let item = |(key, required): (&String, &bool)| ItemSpec {
                    required: *required,
                    ..ItemSpec::of(key, key)
                };
                keys.iter().map(item).collect::<Vec<_>>()
            };
            let all = parts.iter().map(part).fold(Vec::new(), merged);
            let mut order: Vec<&String> = Vec::new();
            for key in parts.iter().flat_map(|part| part.keys()) {
                if !order.contains(&key) {
                    order.push(key);
                }
            }
            let keys: Vec<&String> = all.iter().map(|item| &item.key).collect();
            proptest::prop_assert_eq!(keys, order);
            for item in &all {
                let last = parts.iter().rev().find_map(|part| part.get(&item.key));
                proptest::prop_assert_eq!(Some(&item.required), last);
            }
            // In two steps or in one: the same.
            let again = merged(all.clone(), all.clone());
            proptest::prop_assert_eq!(again, all);
        }
    }

    #[test]
    fn an_agent_can_bring_what_is_neither_a_checks_nor_a_review() {
        assert!(item("docs").agent_can_bring());
        assert!(!item("review").agent_can_bring());
        let check = ItemSpec {
            check: Some(CheckSpec::of("true")),
            ..item("tests")
        };
        assert!(!check.agent_can_bring());
    }

    #[test]
    fn an_item_without_a_title_is_called_by_its_key() {
        assert_eq!(checked(vec![item("review")]).unwrap()[0].title, "review");
    }
}
