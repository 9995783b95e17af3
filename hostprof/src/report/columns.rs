//! Aligned columns for a terminal, the last of which takes what fits.

use std::fmt::{self, Write};

/// No line is wider, unless its fixed columns are.
const WIDTH: usize = 118;

/// How a column is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// Rows under construction.
pub struct Columns {
    heads: Vec<(&'static str, Align)>,
    rows: Vec<Row>,
}

struct Row {
    cells: Vec<String>,
    /// What follows the columns: as many as fit.
    flow: Vec<String>,
}

impl Columns {
    /// Starts with a head; one more than the rows' cells where they have a flow.
    pub fn new(heads: &[(&'static str, Align)]) -> Self {
        Self { heads: heads.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.flowing(cells, Vec::new());
    }

    /// Adds a row with a list at its end.
    pub fn flowing(&mut self, cells: Vec<String>, flow: Vec<String>) {
        self.rows.push(Row { cells, flow });
    }
}

impl fmt::Display for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.cells.get(column));
            let widest = cells.map(|cell| cell.chars().count()).max();
            widest.unwrap_or(0).max(self.heads[column].0.chars().count())
        };
        let widths: Vec<usize> = (0..self.heads.len()).map(width).collect();
        let heads: Vec<String> = self.heads.iter().map(|(head, _)| (*head).to_owned()).collect();
        writeln!(f, "{}", self.line(&heads, &widths).trim_end())?;
        for row in &self.rows {
            let mut line = self.line(&row.cells, &widths);
            flow(&mut line, &row.flow);
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

impl Columns {
    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, &(_, align)), &width) in cells.iter().zip(&self.heads).zip(widths) {
            // Writing to a string cannot fail.
            let _ = match align {
                Align::Left => write!(line, "{cell:<width$}  "),
                Align::Right => write!(line, "{cell:>width$}  "),
            };
        }
        line
    }
}

/// Appends what fits, and `…` for what does not.
fn flow(line: &mut String, parts: &[String]) {
    let mut used = line.chars().count();
    for (at, part) in parts.iter().enumerate() {
        let separator = if at == 0 { "" } else { " · " };
        let room = if at + 1 < parts.len() { 4 } else { 0 };
        let needs = separator.chars().count() + part.chars().count();
        if at > 0 && used + needs + room > WIDTH {
            line.push_str(" · …");
            return;
        }
        line.push_str(separator);
        line.push_str(part);
        used += needs;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_the_last_takes_what_fits() {
        let mut columns = Columns::new(&[("NAME", Align::Left), ("µS", Align::Right), ("MORE", Align::Left)]);
        columns.flowing(vec!["ä".into(), "1".into()], vec!["one".into(), "two".into()]);
        columns.flowing(vec!["longer".into(), "123".into()], vec!["x".repeat(60), "y".repeat(60)]);
        let text = columns.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "NAME     µS  MORE");
        assert_eq!(lines[1], "ä         1  one · two");
        assert!(lines[2].starts_with("longer  123  xxx") && lines[2].ends_with("x · …"), "{text}");
    }
}
