//! Columns that line up.

use std::fmt;

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

use crate::render::text::{FAINT, fitted, printable};

/// Rows under headings, each column as wide as it must be.
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

struct Column {
    heading: &'static str,
    right: bool,
}

/// A text in a table and how it looks.
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A text that stands out as the style says.
    pub(crate) fn styled(text: impl AsRef<str>, style: Style) -> Self {
        Self { text: printable(text.as_ref()), style }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, Style::new())
    }
}

impl Table {
    /// A table of these columns; a heading that starts with `>` is of a column of numbers.
    pub(crate) fn new<const COLUMNS: usize>(headings: [&'static str; COLUMNS]) -> Self {
        let column = |heading: &'static str| match heading.strip_prefix('>') {
            Some(heading) => Column { heading, right: true },
            None => Column { heading, right: false },
        };
        Self { columns: headings.into_iter().map(column).collect(), rows: Vec::new() }
    }

    /// One more row. What is too long is cut, but in the last column.
    pub(crate) fn row<const COLUMNS: usize>(&mut self, cells: [Cell; COLUMNS]) {
        let mut row = Vec::from(cells);
        for cell in row.iter_mut().rev().skip(1).filter(|cell| cell.text.width() > CELL_MAX) {
            cell.text = fitted(&cell.text, CELL_MAX);
        }
        self.rows.push(row);
    }

    fn width(&self, at: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.text.width());
        cells.chain([self.columns[at].heading.width()]).max().unwrap_or(0)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<usize> = (0..self.columns.len()).map(|at| self.width(at)).collect();
        let headings: Vec<Cell> =
            self.columns.iter().map(|column| Cell::styled(column.heading, FAINT)).collect();
        for row in [&headings].into_iter().chain(&self.rows) {
            // Nothing is padded at the end of a line.
            let used = row.iter().rposition(|cell| !cell.text.is_empty()).map_or(0, |last| last + 1);
            for (at, (cell, column)) in row.iter().zip(&self.columns).enumerate().take(used) {
                let gap = if at == 0 { "" } else { GAP };
                let padding = " ".repeat(widths[at].saturating_sub(cell.text.width()));
                let (before, after) = match column.right {
                    true => (padding.as_str(), ""),
                    false if at + 1 == used => ("", ""),
                    false => ("", padding.as_str()),
                };
                let style = cell.style;
                write!(formatter, "{gap}{before}{style}{}{style:#}{after}", cell.text)?;
            }
            writeln!(formatter)?;
        }
        Ok(())
    }
}

const GAP: &str = "  ";
/// Room for a long host name; ids can be 255 bytes.
const CELL_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_the_script() {
        let mut table = Table::new(["id", ">points", "address"]);
        table.row(["ash".into(), "160".into(), "host:1".into()]);
        table.row(["日本".into(), "8".into(), "h".into()]);
        let text = anstream::adapter::strip_str(&table.to_string()).to_string();
        assert_eq!(text, "id    points  address\nash      160  host:1\n日本       8  h\n");
    }

    #[test]
    fn a_long_id_leaves_room_for_the_rest() {
        let mut table = Table::new(["id", "address", "tags"]);
        table.row(["x".repeat(255).into(), "host:1".into(), "".into()]);
        let text = anstream::adapter::strip_str(&table.to_string()).to_string();
        let row = text.lines().last().unwrap();
        assert!(row.ends_with("x…  host:1") && row.width() == CELL_MAX + 8, "{row:?}");
    }
}
