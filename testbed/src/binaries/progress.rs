//! What the user sees of work that takes minutes: a live line on a terminal, a plain line a step elsewhere.

use std::{
    fmt::Display,
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// A step under way.
pub(super) struct Step {
    bar: Option<ProgressBar>,
    started: Instant,
}

impl Step {
    /// Begins a step that `label` says; its length may become known later.
    pub(super) fn start(label: impl Display) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner().with_message(label.to_string());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            say(format_args!("{label} ..."));
        }
        Self { bar, started: Instant::now() }
    }

    /// The step consists of `length` parts.
    pub(super) fn set_length(&self, length: u64) {
        let Some(bar) = &self.bar else { return };
        bar.set_length(length);
        if let Ok(style) =
            ProgressStyle::with_template("{spinner} {msg} {bar:20} {pos}/{len} packages, {elapsed}")
        {
            bar.set_style(style);
        }
    }

    /// One part is done.
    pub(super) fn advance(&self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// The step is done, as `label` says.
    pub(super) fn done(self, label: impl Display) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        say(format_args!("{label} in {}", elapsed(self.started.elapsed())));
    }
}

fn say(line: impl Display) {
    // Straight to stderr: a test harness would swallow `eprintln!`, and a build of minutes would look stuck.
    writeln!(std::io::stderr(), "testbed: {line}").ok();
}

fn elapsed(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elapsed_time_reads_naturally() {
        assert_eq!(elapsed(Duration::from_millis(900)), "0 s");
        assert_eq!(elapsed(Duration::from_secs(59)), "59 s");
        assert_eq!(elapsed(Duration::from_secs(391)), "6 min 31 s");
    }
}
