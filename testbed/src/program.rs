use std::{io, path::Path, process::Command};

/// Writes a program that can be run at once: a script, with the line that says by what.
///
/// Another process does. What this one has open for writing, a child that another thread is about to start has open too for a
/// moment, and a program that somebody has open for writing cannot be run ("text file busy").
///
/// # Errors
///
/// The file cannot be written.
pub fn write_program(path: &Path, script: &str) -> io::Result<()> {
    const WRITE: &str = r#"printf %s "$1" >"$2" && chmod 755 "$2""#;
    let written = Command::new("sh").args(["-c", WRITE, "sh", script]).arg(path).status()?;
    if written.success() { Ok(()) } else { Err(io::Error::other(format!("cannot write {}", path.display()))) }
}
