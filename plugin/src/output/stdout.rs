//! The only door to stdout. Whoever reads may stop at any line, as `head` does: that is no failure.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

/// Writes a text.
pub fn out(text: Arguments) {
    written(std::io::stdout().lock().write_fmt(text));
}

/// Writes a line.
pub fn line(text: Arguments) {
    out(format_args!("{text}\n"));
}

fn written(result: std::io::Result<()>) {
    match result {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            eprintln!("error: cannot write to stdout: {error}");
            std::process::exit(1);
        }
    }
}
