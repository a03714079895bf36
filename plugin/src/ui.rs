//! Talking with a person: stderr, prompts, and how to stay silent.

use std::cell::RefCell;
use std::io::IsTerminal;
use std::time::Duration;

use clap::{Args, ValueEnum};
use console::Term;
use dialoguer::theme::{ColorfulTheme, SimpleTheme, Theme};
use dialoguer::{Confirm, FuzzySelect, Input};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::error::{Error, Kind};
use crate::output::{plain, talk_line};

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
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    color: Color,
    /// What was answered, as words of a command line.
    #[arg(skip)]
    answers: RefCell<Vec<String>>,
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
    /// One that says nothing and asks nobody.
    #[cfg(test)]
    pub fn quiet() -> Self {
        Self { quiet: true, no_input: true, color: Color::Never, answers: RefCell::default() }
    }

    /// Makes the choice of colour hold for everything that is printed.
    pub fn set_up(&self) {
        let on = match self.color {
            Color::Auto => return,
            Color::Always => true,
            Color::Never => false,
        };
        console::set_colors_enabled(on);
        console::set_colors_enabled_stderr(on);
    }

    /// Says something on stderr.
    pub fn say(&self, what: &str) {
        if !self.quiet {
            talk_line(format_args!("{}", plain(what)));
        }
    }

    /// Whoever is there to be asked.
    pub fn person(&self) -> Option<Person<'_>> {
        let there = !self.no_input && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        there.then(|| Person { ui: self, theme: theme() })
    }

    /// The command line that does the same with nothing to be asked; none where nothing was asked.
    pub fn same_by_flags(&self) -> Option<String> {
        let answers = self.answers.borrow();
        if answers.is_empty() {
            return None;
        }
        let given = without_secrets(std::env::args().skip(1));
        let words: Vec<String> = given.chain(answers.iter().cloned()).map(|word| quoted(&word)).collect();
        Some(format!("the same by flags: kubectl ipam {}", words.join(" ")))
    }

    /// A bar for `total` steps; drawn on a terminal only, and not for a single one.
    pub fn progress(&self, total: usize) -> Progress {
        let drawn = !self.quiet && total > 1 && std::io::stderr().is_terminal();
        let target = if drawn { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total as u64), target);
        let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {elapsed} {wide_msg}");
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        if drawn {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Progress(bar)
    }
}

/// How far something has come.
pub struct Progress(ProgressBar);

impl Progress {
    /// One more is done; `tell` may print.
    pub fn step(&self, tell: impl FnOnce()) {
        self.0.suspend(tell);
        self.0.inc(1);
    }

    /// Says on what it waits.
    pub fn waits_for(&self, what: &str) {
        self.0.set_message(what.to_owned());
    }

    /// Whether it is drawn at all.
    pub fn is_drawn(&self) -> bool {
        !self.0.is_hidden()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Somebody at a terminal. Only who has one can ask.
pub struct Person<'a> {
    ui: &'a Ui,
    theme: Box<dyn Theme>,
}

impl Person<'_> {
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

    /// Notes how the answer would have been given on the command line.
    pub fn note<S: Into<String>>(&self, words: impl IntoIterator<Item = S>) {
        self.ui.answers.borrow_mut().extend(words.into_iter().map(Into::into));
    }

    /// Asks for one of the names that there are, and notes it.
    pub fn choose_name(&self, what: &str, flag: Option<&str>, names: Vec<String>) -> Result<String, Error> {
        let chosen = self.choose(what, &names)?;
        let name = names.into_iter().nth(chosen).unwrap_or_default();
        self.note(flag.map(str::to_owned).into_iter().chain([name.clone()]));
        Ok(name)
    }
}

fn theme() -> Box<dyn Theme> {
    if console::colors_enabled_stderr() { Box::new(ColorfulTheme::default()) } else { Box::new(SimpleTheme) }
}

/// The words of a command line without what nobody may read over a shoulder.
fn without_secrets(words: impl Iterator<Item = String>) -> impl Iterator<Item = String> {
    let mut hide = false;
    words.map(move |word| {
        let is_secret = std::mem::replace(&mut hide, word == "--token");
        match word.split_once('=') {
            _ if is_secret => "…".to_owned(),
            Some(("--token", _)) => "--token=…".to_owned(),
            _ => word,
        }
    })
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.split('\'').collect::<Vec<_>>().join("'\\''"))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_said_again() {
        let said =
            |words: &str| -> Vec<String> { without_secrets(words.split(' ').map(str::to_owned)).collect() };
        assert_eq!(said("explain --token abc c"), ["explain", "--token", "…", "c"]);
        assert_eq!(said("explain --token=abc c"), ["explain", "--token=…", "c"]);
    }

    #[test]
    fn words_are_quoted_where_a_shell_would_change_them() {
        assert_eq!(quoted("10.0.0.0/24"), "10.0.0.0/24");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }
}
