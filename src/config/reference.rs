//! The settings as a page of the documentation.

use std::fmt::Write as _;

use super::settings::SETTINGS;

/// A Markdown table of all settings: flag, variable, key, default, meaning.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from(
        "| Flag | Environment | Key in the file | Default | Meaning |\n| --- | --- | --- | --- | --- |\n",
    );
    for setting in SETTINGS {
        let default = match setting.default {
            super::settings::Fallback::Value(text) => format!("`{text}`"),
            super::settings::Fallback::Found(text) => text.replace('<', "\\<"),
        };
        let _ = writeln!(
            out,
            "| `--{}` | `{}` | `{}` | {default} | {} |",
            setting.flag(),
            setting.env(),
            setting.key,
            setting.meaning
        );
    }
    out
}
