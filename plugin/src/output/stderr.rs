//! The only door to stderr. Talk that nobody reads any more is no reason to stop.

use std::fmt::Arguments;
use std::io::Write;

/// Says something on stderr, as it is.
pub fn talk(text: Arguments) {
    drop(std::io::stderr().lock().write_fmt(text));
}

/// Says a line on stderr.
pub fn talk_line(text: Arguments) {
    talk(format_args!("{text}\n"));
}
