//! Tables without borders: columns that a person reads and `awk` can still cut.

use anstyle::Style;
use comfy_table::{Attribute, Cell, Color, Table};

use super::{BAD, BUSY, FAINT, GOOD, escape_line};

/// A cell: its text, escaped here, and its style.
#[derive(Debug, Clone)]
pub struct Column(String, Style);

impl Column {
    /// Plain text.
    pub fn text(text: impl AsRef<str>) -> Column {
        Column::in_style(text, Style::new())
    }

    /// Text in a style.
    pub fn in_style(text: impl AsRef<str>, style: Style) -> Column {
        Column(escape_line(text.as_ref()).into_owned(), style)
    }
}

/// The table as text; no line ends in blanks.
#[must_use]
pub fn table(header: &[&str], rows: Vec<Vec<Column>>) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(header.iter().map(|text| cell(text, FAINT)));
    for row in rows {
        table.add_row(row.iter().map(|column| cell(&column.0, column.1)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// The table measures its cells, so it must know styles apart from text.
fn cell(text: &str, style: Style) -> Cell {
    let cell = Cell::new(text);
    match style {
        FAINT => cell.add_attribute(Attribute::Dim),
        GOOD => cell.fg(Color::Green),
        BAD => cell.fg(Color::Red),
        BUSY => cell.fg(Color::Yellow),
        _ => cell,
    }
}
