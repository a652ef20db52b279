//! The TOML file: keys and values with the line where each stands.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::layers::Source;
use super::settings::SETTINGS;
use super::value::Raw;
use super::{ConfigError, Setting};

/// What was found: for each setting its value and its line.
type Found = BTreeMap<&'static str, (Raw, Source)>;

/// Reads the text of the file at `path`.
pub(super) fn read(path: &Path, text: &str) -> Result<Found, ConfigError> {
    let table = DeTable::parse(text).map_err(|why| ConfigError::NotToml {
        path: path.to_owned(),
        line: line_at(text, why.span().map_or(0, |span| span.start)),
        why: why.message().trim().replace('\n', ", "),
    })?;
    let mut found = Found::new();
    let reader = Reader { path, text };
    reader.walk("", table.get_ref(), &mut found)?;
    Ok(found)
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    fn walk(&self, above: &str, table: &DeTable<'_>, found: &mut Found) -> Result<(), ConfigError> {
        for (name, value) in table {
            let line = line_at(self.text, name.span().start);
            let key = match above {
                "" => name.get_ref().to_string(),
                above => format!("{above}.{}", name.get_ref()),
            };
            if let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) {
                let source = Source::File(self.path.to_owned(), line);
                let raw = self.raw(setting, &source, value)?;
                found.insert(setting.key, (raw, source));
            } else if let (DeValue::Table(inner), true) = (value.get_ref(), is_table(&key)) {
                self.walk(&key, inner, found)?;
            } else {
                return Err(ConfigError::UnknownKey {
                    path: self.path.to_owned(),
                    line,
                    nearest: nearest(&key),
                    key,
                });
            }
        }
        Ok(())
    }

    fn raw(
        &self,
        setting: &Setting,
        source: &Source,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Raw, ConfigError> {
        let written = &self.text[value.span()];
        let raw = match value.get_ref() {
            DeValue::Array(list) => list
                .iter()
                .map(|entry| entry.get_ref().as_str().map(str::to_owned))
                .collect::<Option<_>>()
                .map(Raw::Many),
            single => scalar(single).map(Raw::One),
        };
        raw.ok_or_else(|| ConfigError::Invalid {
            key: setting.key,
            from: source.clone(),
            value: written.to_owned(),
            why: "it must be text, a number, true or false, or a list of texts".into(),
        })
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        // TOML allows 1_000; its parser leaves the digits as they are but for the underscores.
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(|number| number.to_string()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        DeValue::Array(_) | DeValue::Table(_) | DeValue::Datetime(_) => None,
    }
}

/// Whether settings stand in a table of this name.
fn is_table(name: &str) -> bool {
    SETTINGS.iter().any(|setting| {
        setting
            .key
            .split_once('.')
            .is_some_and(|(table, _)| table == name)
    })
}

/// The setting that is written most like `key`, if one is near enough to have been meant.
fn nearest(key: &str) -> Option<&'static str> {
    let plain = |text: &str| text.replace('-', "_").to_ascii_lowercase();
    SETTINGS
        .iter()
        .map(|setting| (distance(&plain(key), setting.key), setting.key))
        .min()
        .filter(|(distance, near)| *distance <= near.len() / 3)
        .map(|(_, near)| near)
}

/// How many letters must be put in, left out or changed (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, against) in other.iter().enumerate() {
            let change = diagonal + usize::from(letter != *against);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

fn line_at(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}
