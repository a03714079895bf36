//! Rows under a header.

use std::borrow::Cow;

use console::{Style, measure_text_width};

use super::plain_line;

/// Rows under a header.
pub struct Table {
    header: Vec<&'static str>,
    /// How many columns come before those that only a wide table has.
    narrow: usize,
    rows: Vec<Vec<Cell>>,
}

/// One cell, and how it is meant.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    tone: Option<Tone>,
    /// It changes with time alone, which is no news.
    ages: bool,
}

/// How a cell is meant; shown as a colour where there are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Good,
    Warn,
    Bad,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        let text = text.into();
        let text = match plain_line(&text) {
            Cow::Borrowed(line) if line.len() == text.len() => text,
            line => line.into_owned(),
        };
        Self { text, tone: None, ages: false }
    }
}

impl Cell {
    /// A cell that means something.
    pub fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { tone: Some(tone), ..Self::from(text) }
    }

    /// An age.
    pub fn age(text: impl Into<String>) -> Self {
        Self { text: text.into(), tone: None, ages: true }
    }

    /// Whether it says the same as before, but for the time that has passed.
    pub fn says_the_same(&self, before: &Self) -> bool {
        (self.ages && before.ages) || (&self.text, self.tone) == (&before.text, before.tone)
    }

    /// The state of a pool or a claim.
    pub fn state(state: &str) -> Self {
        let tone = match state {
            "Available" | "Bound" | "True" => Tone::Good,
            "Exhausted" | "InvalidSpec" | "Failed" | "AllocationFailed" | "PoolExhausted" | "Leaked" => {
                Tone::Bad
            }
            _ => Tone::Warn,
        };
        Self::toned(state, tone)
    }

    fn shown(&self, width: usize) -> String {
        let blanks = " ".repeat(width.saturating_sub(measure_text_width(&self.text)));
        let style = match self.tone {
            None => return format!("{}{blanks}", self.text),
            Some(Tone::Good) => Style::new().green(),
            Some(Tone::Warn) => Style::new().yellow(),
            Some(Tone::Bad) => Style::new().red(),
        };
        format!("{}{blanks}", style.apply_to(&self.text))
    }
}

impl Table {
    /// An empty table; headers are in upper case.
    pub fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), narrow: header.len(), rows: Vec::new() }
    }

    /// Further columns that only a wide table shows.
    pub fn wide(mut self, header: &[&'static str]) -> Self {
        self.header.extend(header);
        self
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as kubectl shows one: columns three blanks apart, nothing behind the last.
    pub fn render(&self, headers: bool, wide: bool) -> String {
        self.lines(headers, wide, self.rows.iter().cloned()).collect()
    }

    /// The lines of a table of other rows, which are made twice and not kept: once for the widths, once to be shown.
    pub fn lines(
        &self,
        headers: bool,
        wide: bool,
        rows: impl Iterator<Item = Vec<Cell>> + Clone,
    ) -> impl Iterator<Item = String> {
        let columns = if wide { self.header.len() } else { self.narrow };
        let header: Vec<Cell> = self.header.iter().map(|&text| text.into()).collect();
        let shown = headers.then_some(header).into_iter().chain(rows);
        let mut widths = vec![0; columns];
        for row in shown.clone() {
            for (width, cell) in widths.iter_mut().zip(&row) {
                *width = measure_text_width(&cell.text).max(*width);
            }
        }
        shown.map(move |row| line(&row, &widths))
    }
}

fn line(row: &[Cell], widths: &[usize]) -> String {
    let last = row.iter().take(widths.len()).rposition(|cell| !cell.text.is_empty()).unwrap_or(0);
    let cells = row.iter().zip(widths).take(last + 1).enumerate();
    let cells = cells.map(|(i, (cell, &width))| cell.shown(if i == last { 0 } else { width }));
    cells.collect::<Vec<_>>().join("   ") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["POOL", "FREE"]).wide(&["WHY"]);
        table.row(vec!["rack-1".into(), "61".into(), "so".into()]);
        table.row(vec!["p".into(), "".into(), "".into()]);
        table
    }

    #[test]
    fn columns_stand_three_blanks_apart_and_nothing_trails() {
        assert_eq!(table().render(true, false), "POOL     FREE\nrack-1   61\np\n");
        assert_eq!(table().render(false, false), "rack-1   61\np\n");
    }

    #[test]
    fn a_wide_table_has_further_columns() {
        assert_eq!(table().render(true, true), "POOL     FREE   WHY\nrack-1   61     so\np\n");
    }
}
