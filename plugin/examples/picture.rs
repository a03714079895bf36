//! Draws a terminal's screen, as `tmux capture-pane -e -p` prints it, as an SVG: `picture COLUMNS <screen >picture.svg`.
//!
//! The picture follows the reader's choice of light or dark. Each run of letters is as wide as its cells, whatever the
//! font.

use std::fmt::Write;
use std::io::Read;

/// Size of a cell, and the margin around the screen.
const WIDE: f64 = 8.4;
const HIGH: f64 = 18.0;
const MARGIN: f64 = 14.0;

/// Colours by the number that terminals give them: on light, and on dark.
const COLOURS: [(&str, &str); 8] = [
    ("#1f2328", "#8b949e"),
    ("#b3261e", "#ff7b72"),
    ("#1a7f37", "#56d364"),
    ("#8a6100", "#e3b341"),
    ("#0550ae", "#79c0ff"),
    ("#8250df", "#d2a8ff"),
    ("#0a6e7c", "#56d4dd"),
    ("#57606a", "#c9d1d9"),
];

/// How letters look.
#[derive(Clone, Copy, Default, PartialEq)]
struct Look {
    colour: Option<usize>,
    bold: bool,
    dim: bool,
}

/// Letters in a row that look alike.
#[derive(Debug, PartialEq)]
struct Run {
    column: usize,
    text: String,
    class: String,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let columns: usize = std::env::args().nth(1).ok_or("usage: picture COLUMNS <screen")?.parse()?;
    let mut screen = String::new();
    std::io::stdin().read_to_string(&mut screen)?;
    println!("{}", svg(&screen, columns));
    Ok(())
}

fn svg(screen: &str, columns: usize) -> String {
    let mut look = Look::default();
    let lines: Vec<Vec<Run>> = screen.trim_end().lines().map(|line| runs(line, &mut look)).collect();
    let (width, height) = (cells(columns) + 2.0 * MARGIN, HIGH * number(lines.len()) + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" xml:space=\"preserve\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\">\n<style>\n{}</style>\n<rect width=\"100%\" height=\"100%\" rx=\"6\"/>\n",
        style()
    );
    for (row, runs) in lines.iter().enumerate() {
        let y = MARGIN + HIGH * number(row) + 13.0;
        for run in runs {
            let (x, wide) = (MARGIN + cells(run.column), cells(run.text.chars().count()));
            let class =
                if run.class.is_empty() { String::new() } else { format!(" class=\"{}\"", run.class) };
            // Writing to a text does not fail.
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{y:.0}\" textLength=\"{wide:.1}\"{class}>{}</text>",
                escaped(&run.text)
            );
        }
    }
    svg + "</svg>"
}

fn style() -> String {
    let colours = |of: fn(&(&'static str, &'static str)) -> &'static str| -> String {
        let rules = COLOURS.iter().enumerate().map(|(n, pair)| format!(".c{n}{{fill:{}}}", of(pair)));
        rules.collect::<Vec<_>>().concat()
    };
    format!(
        "text{{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre;fill:#1f2328}}\n\
         rect{{fill:#f6f8fa;stroke:#d0d7de}}.b{{font-weight:700}}.d{{opacity:.55}}{}\n\
         @media(prefers-color-scheme:dark){{text{{fill:#e6edf3}}rect{{fill:#0d1117;stroke:#30363d}}{}}}\n",
        colours(|pair| pair.0),
        colours(|pair| pair.1)
    )
}

/// The runs of a line. How letters look goes on from one line to the next.
fn runs(line: &str, look: &mut Look) -> Vec<Run> {
    let (mut runs, mut column, mut text) = (Vec::new(), 0, String::new());
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        if letter != '\u{1b}' {
            text.push(letter);
            continue;
        }
        let code: String = letters.by_ref().take_while(|letter| !letter.is_ascii_alphabetic()).collect();
        column = end_run(&mut runs, column, &mut text, *look);
        look.change(&code);
    }
    end_run(&mut runs, column, &mut text, *look);
    runs
}

/// Notes what was collected, without the blanks around it; the column after it.
fn end_run(runs: &mut Vec<Run>, column: usize, text: &mut String, look: Look) -> usize {
    let text = std::mem::take(text);
    let blanks = text.chars().take_while(|letter| *letter == ' ').count();
    if !text.trim().is_empty() {
        runs.push(Run { column: column + blanks, text: text.trim().to_owned(), class: look.class() });
    }
    column + text.chars().count()
}

impl Look {
    /// Follows one sequence, such as `[1;32`.
    fn change(&mut self, code: &str) {
        for part in code.trim_start_matches('[').split(';') {
            match part.parse().unwrap_or(0) {
                0 => *self = Self::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                22 => (self.bold, self.dim) = (false, false),
                colour @ 30..=37 => self.colour = Some(colour - 30),
                colour @ 90..=97 => self.colour = Some(colour - 90),
                39 => self.colour = None,
                _ => {}
            }
        }
    }

    fn class(self) -> String {
        let colour = self.colour.map(|colour| format!("c{colour}"));
        let flags = [(self.bold, "b"), (self.dim, "d")];
        let flags = flags.into_iter().filter(|(is, _)| *is).map(|(_, class)| class.to_owned());
        colour.into_iter().chain(flags).collect::<Vec<_>>().join(" ")
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn cells(n: usize) -> f64 {
    WIDE * number(n)
}

#[expect(clippy::cast_precision_loss, reason = "a screen has some hundred columns")]
fn number(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(column: usize, text: &str, class: &str) -> Run {
        Run { column, text: text.into(), class: class.into() }
    }

    #[test]
    fn letters_keep_their_place_and_their_colour() {
        let mut look = Look::default();
        let found = runs("a  b \u{1b}[1;32mok\u{1b}[0m  \u{1b}[31mno", &mut look);
        assert_eq!(found, [run(0, "a  b", ""), run(5, "ok", "c2 b"), run(9, "no", "c1")]);
        assert_eq!(runs("more\u{1b}[39m", &mut look), [run(0, "more", "c1")]);
    }

    #[test]
    fn what_svg_would_read_as_its_own_is_escaped() {
        let picture = svg("<a> & b\n", 10);
        assert!(picture.contains(">&lt;a&gt; &amp; b</text>"), "{picture}");
    }
}
