//! What goes to stdout: tables in kubectl's style, and the same as data.

mod age;
mod jsonpath;
mod plain;
mod stderr;
mod stdout;
mod table;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

pub use age::{age, ago};
pub use jsonpath::JsonPath;
pub use plain::{plain, plain_line};
pub use stderr::{talk, talk_line};
pub use stdout::{line, out, write_on};
pub use table::{Cell, Table};

use crate::error::{Error, Kind};

/// Flags of commands that show something.
#[derive(Args, Debug, Clone)]
pub struct Output {
    /// Form of the output: table, wide, json, yaml, name or jsonpath=TEMPLATE
    #[arg(short, long, value_name = "FORM", default_value = "table", value_parser = form)]
    output: Form,
    /// Leave out the header of a table
    #[arg(long)]
    no_headers: bool,
}

/// Flags of commands that write something, and can show it.
#[derive(Args, Debug, Clone)]
pub struct Written {
    /// Show what was written as json, yaml, name or jsonpath=TEMPLATE
    #[arg(short, long, value_name = "FORM", value_parser = data_form)]
    output: Option<Form>,
}

/// Form of an output.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    Table,
    Wide,
    Json,
    Yaml,
    Name,
    JsonPath(JsonPath),
}

fn form(text: &str) -> Result<Form, String> {
    match text {
        "table" => Ok(Form::Table),
        "wide" => Ok(Form::Wide),
        text => read_form(text, "table, wide, json"),
    }
}

fn data_form(text: &str) -> Result<Form, String> {
    read_form(text, "json")
}

fn read_form(text: &str, known: &str) -> Result<Form, String> {
    match text.split_once('=').unwrap_or((text, "")) {
        ("json", "") => Ok(Form::Json),
        ("yaml", "") => Ok(Form::Yaml),
        ("name", "") => Ok(Form::Name),
        ("jsonpath", template) => JsonPath::parse(template).map(Form::JsonPath),
        _ => Err(format!("not one of {known}, yaml, name, jsonpath=TEMPLATE")),
    }
}

/// An answer in all its forms.
pub struct Answer {
    pub table: Table,
    /// As data, whole.
    pub data: Value,
    /// The objects that it is about, as `kind.group/name`.
    pub names: Vec<String>,
}

impl Answer {
    /// An answer that is no object: its schema is this project's own.
    pub fn new(kind: &str, items: &impl Serialize, table: Table, names: Vec<String>) -> Result<Self, Error> {
        let items = serde_json::to_value(items).map_err(unprintable)?;
        Ok(Self { table, data: json!({"apiVersion": API_VERSION, "kind": kind, "items": items}), names })
    }
}

/// What stands in the `apiVersion` of answers that are no objects.
pub const API_VERSION: &str = "ipam.cli/v1";

impl Output {
    /// Prints the answer in the form that was asked for.
    pub fn print(&self, answer: &Answer) -> Result<(), Error> {
        match &self.output {
            Form::Table => out(format_args!("{}", answer.table.render(!self.no_headers, false))),
            Form::Wide => out(format_args!("{}", answer.table.render(!self.no_headers, true))),
            form => print_data(form, &answer.data, &answer.names)?,
        }
        Ok(())
    }

    /// Prints an answer of any number of rows; what is shown as a table is not kept.
    pub fn print_rows<R: Serialize>(
        &self,
        kind: &str,
        table: &Table,
        rows: impl Iterator<Item = R> + Clone,
        cells: impl Fn(R) -> Vec<Cell> + Clone,
        names: impl Iterator<Item = String>,
    ) -> Result<(), Error> {
        if self.is_table() {
            let lines = table.lines(!self.no_headers, self.is_wide(), rows.map(cells));
            lines.for_each(|line| out(format_args!("{line}")));
            return Ok(());
        }
        let rows: Vec<R> = rows.collect();
        self.print(&Answer::new(kind, &rows, Table::new(&[]), names.collect())?)
    }

    /// Prints a picture for people, or else data.
    pub fn print_picture(&self, picture: &str, data: &Value, names: &[String]) -> Result<(), Error> {
        if self.is_table() {
            out(format_args!("{picture}"));
            return Ok(());
        }
        print_data(&self.output, data, names)
    }

    /// Whether it is a table for people.
    pub fn is_table(&self) -> bool {
        matches!(self.output, Form::Table | Form::Wide)
    }

    /// Whether all there is to a row is wanted.
    pub fn is_wide(&self) -> bool {
        self.output == Form::Wide
    }

    /// Whether tables have headers.
    pub fn headers(&self) -> bool {
        !self.no_headers
    }
}

impl Written {
    /// Whether objects are shown in place of what was done to them.
    pub fn wanted(&self) -> bool {
        self.output.is_some()
    }

    /// Prints objects as they are: one alone, several as a list.
    pub fn print(&self, objects: &[Value]) -> Result<(), Error> {
        let Some(form) = &self.output else { return Ok(()) };
        let names: Vec<String> = objects.iter().map(object_name).collect();
        let data = match objects {
            [one] => one.clone(),
            several => json!({"apiVersion": "v1", "kind": "List", "items": several}),
        };
        print_data(form, &data, &names)
    }
}

fn print_data(form: &Form, data: &Value, names: &[String]) -> Result<(), Error> {
    match form {
        Form::Json => line(format_args!("{}", serde_json::to_string_pretty(data).map_err(unprintable)?)),
        Form::Yaml => out(format_args!("{}", yaml(data)?)),
        Form::JsonPath(path) => line(format_args!("{}", path.render(data))),
        Form::Table | Form::Wide | Form::Name => names.iter().for_each(|name| line(format_args!("{name}"))),
    }
    Ok(())
}

/// YAML, with a line's end.
pub fn yaml(data: &Value) -> Result<String, Error> {
    serde_saphyr::to_string(data).map(|text| text.trim_end().to_owned() + "\n").map_err(unprintable)
}

fn unprintable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Kind::Failed, "cannot print the answer").caused_by(error)
}

/// `kind.group/name`, as kubectl names objects; those of the core group have no group.
pub fn object_name(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_lowercase();
    let version = text(&object["apiVersion"]);
    let group = version.split_once('/').map_or(String::new(), |(group, _)| format!(".{group}"));
    format!("{}{group}/{}", text(&object["kind"]), object["metadata"]["name"].as_str().unwrap_or_default())
}

/// `kind.group/name` of one of our kinds.
pub fn named(kind: ipam::api::Kind, name: &str) -> String {
    format!("{}.{}/{name}", kind.name().to_lowercase(), kind.group())
}

/// `<none>` where there is nothing, as kubectl shows it.
pub fn or_none(text: Option<impl ToString>) -> String {
    text.map(|text| text.to_string()).filter(|text| !text.is_empty()).unwrap_or_else(|| "<none>".to_owned())
}

/// A number of addresses, short where it is beyond counting.
pub fn count(n: u128) -> String {
    if n < 10_000_000 { n.to_string() } else { format!("2^{:.1}", log2(n)) }
}

/// "1 claim", "2 claims".
pub fn plural(n: usize, what: &str) -> String {
    let ending = match (n, what.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{n} {what}{ending}")
}

/// The first ten, and how many more there are.
pub fn some_of(items: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = items[..items.len().min(SHOWN)].join(", ");
    match items.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown}, and {more} more"),
    }
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
    fn large_counts_are_powers_of_two() {
        assert_eq!(count(61), "61");
        assert_eq!(count(1 << 64), "2^64.0");
        assert_eq!(count(u128::MAX), "2^128.0");
    }

    #[test]
    fn a_form_that_is_none_is_refused_with_those_there_are() {
        assert_eq!(form("yaml"), Ok(Form::Yaml));
        assert_eq!(form("xml").unwrap_err(), "not one of table, wide, json, yaml, name, jsonpath=TEMPLATE");
        assert!(data_form("wide").is_err());
        assert!(form("jsonpath={.items").is_err());
    }

    #[test]
    fn words_have_their_number() {
        assert_eq!(plural(1, "claim"), "1 claim");
        assert_eq!(plural(2, "claim"), "2 claims");
        assert_eq!(plural(0, "address"), "0 addresses");
    }
}
