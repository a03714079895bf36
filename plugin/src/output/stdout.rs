//! The only door to stdout. Whoever reads may stop at any line, as `head` does: that is no failure, and no reason to stop in
//! the middle of what is written to the cluster.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::talk_line;

/// Something is written to the cluster, and is to come to its end whoever reads of it.
static WRITES: AtomicBool = AtomicBool::new(false);

/// From here on, nobody's ceasing to read ends the process.
pub fn write_on() {
    WRITES.store(true, Relaxed);
}

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
        Err(error) if error.kind() == ErrorKind::BrokenPipe && WRITES.load(Relaxed) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            talk_line(format_args!("error: cannot write to stdout: {error}"));
            std::process::exit(1);
        }
    }
}
