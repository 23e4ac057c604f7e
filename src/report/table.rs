//! Tables of text, aligned for terminals.

use std::fmt;

/// On which side of its column a cell stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Headed columns and rows of cells. `Display` gives aligned plain text, each line ended by a line
/// feed:
///
/// ```
/// use equilens::report::{Align, Table};
/// let mut table = Table::new([("method", Align::Left), ("PSNR", Align::Right)]);
/// table.row(["fbp", "27.12"]);
/// table.row(["equivariant", "30.06"]);
/// let text = "\
/// method        PSNR
/// -----------  -----
/// fbp          27.12
/// equivariant  30.06
/// ";
/// assert_eq!(table.to_string(), text);
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows: headings and how their columns are aligned.
    pub fn new<S: Into<String>>(columns: impl IntoIterator<Item = (S, Align)>) -> Self {
        let columns = columns.into_iter();
        Table {
            columns: columns
                .map(|(heading, align)| (heading.into(), align))
                .collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row. Missing cells are empty, cells beyond the last column get columns without a
    /// heading, and control characters in a cell become spaces.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) -> &mut Self {
        let clean = |cell: S| cell.into().replace(char::is_control, " ");
        let mut cells: Vec<String> = cells.into_iter().map(clean).collect();
        while self.columns.len() < cells.len() {
            self.columns.push((String::new(), Align::Left));
        }
        cells.resize(self.columns.len(), String::new());
        self.rows.push(cells);
        self
    }

    /// Headings and alignments.
    pub fn columns(&self) -> &[(String, Align)] {
        &self.columns
    }

    /// Rows of cells, none longer than [`columns`](Self::columns).
    pub fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = |text: &String| text.chars().count();
        let width = |(column, (heading, _)): (usize, &(String, Align))| {
            let cells = self
                .rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(length);
            cells.chain([length(heading)]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = self.columns.iter().enumerate().map(width).collect();

        let headings: Vec<String> = self.columns.iter().map(|(h, _)| h.clone()).collect();
        let rules: Vec<String> = widths.iter().map(|&n| "-".repeat(n)).collect();
        for row in [&headings, &rules].into_iter().chain(&self.rows) {
            let mut line = String::new();
            for ((cell, &width), (_, align)) in row.iter().zip(&widths).zip(&self.columns) {
                line += &match align {
                    Align::Left => format!("{cell:<width$}  "),
                    Align::Right => format!("{cell:>width$}  "),
                };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_any_length_and_content_stay_aligned() {
        let mut table = Table::new([("a", Align::Right), ("µ", Align::Left)]);
        table
            .row(["1"])
            .row(["22", "two\nlines", "more"])
            .row(["", "‖A‖"]);
        let text = " a  µ\n--  ---------  ----\n 1\n22  two lines  more\n    ‖A‖\n";
        assert_eq!(table.to_string(), text);
    }

    #[test]
    fn an_empty_table_is_its_headings() {
        let table = Table::new([("name", Align::Left)]);
        assert_eq!(table.to_string(), "name\n----\n");
    }
}
