//! An aligned table: the first column to the left, the others to the right.

use std::fmt::Write;

/// Lines of cells, the first of them the heading.
pub struct Table {
    lines: Vec<Vec<String>>,
}

impl Table {
    /// A table with this heading.
    pub fn new(heading: &[&str]) -> Self {
        Self { lines: vec![heading.iter().map(|cell| (*cell).to_owned()).collect()] }
    }

    /// Adds a line; a shorter one than the heading ends in a cell that takes no part in aligning.
    pub fn push(&mut self, cells: Vec<String>) {
        self.lines.push(cells);
    }

    /// The text.
    pub fn render(&self) -> String {
        let columns = self.lines.first().map_or(0, Vec::len);
        let width = |column: usize| {
            let full = self.lines.iter().filter(|line| line.len() == columns || column == 0);
            full.map(|line| line[column].len()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for line in &self.lines {
            text.push_str(render_line(line, &widths).trim_end());
            text.push('\n');
        }
        text
    }
}

fn render_line(line: &[String], widths: &[usize]) -> String {
    let mut text = String::new();
    let short = line.len() < widths.len();
    for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
        let left = column == 0 || (short && column + 1 == line.len());
        let written =
            if left { write!(text, "{cell:<width$}  ") } else { write!(text, "{cell:>width$}  ") };
        debug_assert!(written.is_ok(), "writing to a string does not fail");
    }
    text
}
