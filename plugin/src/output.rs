//! Tables in kubectl's style, and the same as data.

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::error::{Error, Kind};

/// Flags of commands that show something.
#[derive(Args, Debug)]
pub struct Output {
    /// Form of the output
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = Form::Table)]
    output: Form,
    /// Leave out the header of a table
    #[arg(long)]
    no_headers: bool,
}

/// Form of an output.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Table,
    Json,
    Yaml,
    Name,
}

/// Rows under a header.
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table; the header is shown in upper case.
    pub fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The table as kubectl shows one: columns three blanks apart, nothing behind the last.
    pub fn render(&self, headers: bool) -> String {
        let header: Vec<String> = self.header.iter().map(ToString::to_string).collect();
        let shown = headers.then_some(&header).into_iter().chain(&self.rows);
        let width = |column: usize| {
            shown
                .clone()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.header.len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
            let line = cells.collect::<Vec<_>>().join("   ");
            format!("{}\n", line.trim_end())
        };
        shown.clone().map(line).collect()
    }
}

impl Output {
    /// Prints the answer in the form that was asked for.
    pub fn print(&self, table: &Table, data: &impl Serialize, names: &[String]) -> Result<(), Error> {
        let failed = |error: String| Error::new(Kind::Failed, "cannot print the answer").caused_by(error);
        match self.output {
            Form::Table => print!("{}", table.render(!self.no_headers)),
            Form::Json => {
                println!(
                    "{}",
                    serde_json::to_string_pretty(data).map_err(|error| failed(error.to_string()))?
                );
            }
            Form::Yaml => {
                print!("{}", serde_saphyr::to_string(data).map_err(|error| failed(error.to_string()))?);
            }
            Form::Name => names.iter().for_each(|name| println!("{name}")),
        }
        Ok(())
    }

    /// Whether it is a table for people.
    pub fn is_table(&self) -> bool {
        self.output == Form::Table
    }
}

/// `<none>` where there is nothing, as kubectl shows it.
pub fn or_none(text: Option<impl ToString>) -> String {
    text.map_or_else(|| "<none>".to_owned(), |text| text.to_string())
}

/// A number of addresses, short where it is beyond counting.
pub fn count(n: u128) -> String {
    if n < 10_000_000 { n.to_string() } else { format!("2^{:.1}", log2(n)) }
}

fn log2(n: u128) -> f64 {
    let bits = n.ilog2();
    let rest = n >> bits.saturating_sub(10);
    #[expect(clippy::cast_precision_loss, reason = "at most eleven bits are left")]
    let fraction = (rest as f64).log2();
    f64::from(bits.saturating_sub(10)) + fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_three_blanks_apart_and_nothing_trails() {
        let mut table = Table::new(&["POOL", "FREE"]);
        table.row(vec!["rack-1".into(), "61".into()]);
        table.row(vec!["p".into(), String::new()]);
        assert_eq!(table.render(true), "POOL     FREE\nrack-1   61\np\n");
        assert_eq!(table.render(false), "rack-1   61\np\n");
    }

    #[test]
    fn large_counts_are_powers_of_two() {
        assert_eq!(count(61), "61");
        assert_eq!(count(1 << 64), "2^64.0");
        assert_eq!(count(u128::MAX), "2^128.0");
    }
}
