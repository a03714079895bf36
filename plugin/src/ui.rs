//! Talking with a person: stderr, prompts, and how to stay silent.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use console::Term;
use dialoguer::theme::{ColorfulTheme, SimpleTheme, Theme};
use dialoguer::{Confirm, FuzzySelect, Input};

use crate::error::{Error, Kind};

/// Flags that say how to talk.
#[derive(Args, Debug)]
#[command(next_help_heading = "Output Options")]
pub struct Ui {
    /// Say nothing but what was asked for
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Ask nothing, even on a terminal
    #[arg(long, global = true)]
    no_input: bool,
    /// When to use colour
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto, hide_possible_values = false)]
    color: Color,
}

/// When to use colour.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Ui {
    /// Makes the choice of colour hold for everything that is printed.
    pub fn set_up(&self) {
        match self.color {
            Color::Auto => {}
            Color::Always => console::set_colors_enabled_stderr(true),
            Color::Never => console::set_colors_enabled_stderr(false),
        }
    }

    /// Says something on stderr.
    pub fn say(&self, what: &str) {
        if !self.quiet {
            eprintln!("{what}");
        }
    }

    /// Whoever is there to be asked.
    pub fn person(&self) -> Option<Person> {
        let there = !self.no_input && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        there.then(|| Person { theme: theme() })
    }
}

/// Somebody at a terminal. Only who has one can ask.
pub struct Person {
    theme: Box<dyn Theme>,
}

impl Person {
    /// Asks for a text; `check` says what is wrong with one.
    pub fn ask(
        &self,
        what: &str,
        default: Option<&str>,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> Result<String, Error> {
        let mut input = Input::<String>::with_theme(&*self.theme).with_prompt(what).allow_empty(true);
        if let Some(default) = default {
            input = input.default(default.to_owned()).show_default(!default.is_empty());
        }
        input
            .validate_with(|text: &String| check(text))
            .interact_text()
            .map_err(|error| not_asked(what, error))
    }

    /// Asks to choose one of several, by typing a part of it.
    pub fn choose(&self, what: &str, items: &[String]) -> Result<usize, Error> {
        let choice = FuzzySelect::with_theme(&*self.theme).with_prompt(what).items(items).default(0);
        choice.interact().map_err(|error| not_asked(what, error))
    }

    /// Asks yes or no.
    pub fn confirm(&self, what: &str, default: bool) -> Result<bool, Error> {
        let question = Confirm::with_theme(&*self.theme).with_prompt(what).default(default);
        question.interact().map_err(|error| not_asked(what, error))
    }
}

fn theme() -> Box<dyn Theme> {
    if console::colors_enabled_stderr() { Box::new(ColorfulTheme::default()) } else { Box::new(SimpleTheme) }
}

fn not_asked(what: &str, error: dialoguer::Error) -> Error {
    drop(Term::stderr().show_cursor());
    let dialoguer::Error::IO(error) = error;
    if error.kind() == std::io::ErrorKind::Interrupted {
        return Error::new(Kind::Interrupted, "interrupted: nothing was written");
    }
    Error::new(Kind::Failed, format!("cannot ask for `{what}`")).caused_by(error)
}

/// All values that are missing and cannot be asked for, in one error.
pub fn missing(flags: &[&str]) -> Error {
    Error::new(Kind::Usage, format!("missing: {}", flags.join(", ")))
        .hint("on a terminal, and without --no-input, they are asked for")
}
