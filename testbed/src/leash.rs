//! Processes that end when their owner does, even when the owner is killed.
//!
//! A leash is a process group whose leader, a shell, waits for the end of a pipe that only the owner holds. When the
//! owner lets go, or dies in any way, the shell kills the whole group, itself included. A group's number cannot be
//! reused while its leader lives, so no process of somebody else can ever be hit. `PR_SET_PDEATHSIG` would be shorter,
//! but it fires at the end of the *thread* that started the child, and each test has a thread of its own.

use std::{
    io,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

/// `$1` is a folder to remove at the end, unless it holds a file [`KEEP`]; the empty string for none.
const GUARD: &str = r#"read -r _; [ -z "$1" ] || [ -e "$1/keep" ] || rm -rf -- "$1"; kill -KILL 0"#;

/// The file whose presence keeps a folder from being removed with its leash.
pub(crate) const KEEP: &str = "keep";

/// Owns a group of processes. Dropping it kills them all.
#[derive(Debug)]
pub(crate) struct Leash {
    guard: Child,
    hold: Option<ChildStdin>,
}

impl Leash {
    /// An empty group. `doomed` is removed with it.
    pub(crate) fn new(doomed: Option<&Path>) -> io::Result<Self> {
        let mut guard = Command::new("/bin/sh")
            .args(["-c", GUARD, "testbed-guard"])
            .arg(doomed.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A group of its own, so that Ctrl-C reaches the owner alone, and the rest goes the same way as always.
            .process_group(0)
            .spawn()?;
        let hold = guard.stdin.take();
        Ok(Self { guard, hold })
    }

    /// Starts `command` in the group. The caller reaps it.
    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        command.process_group(self.guard.id().cast_signed()).spawn()
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        drop(self.hold.take());
        // Fails only if it was reaped already; there is nothing left to wait for then.
        self.guard.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn dropping_a_leash_kills_its_group_and_removes_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let leash = Leash::new(Some(dir.path())).unwrap();
        let mut child = leash.spawn(Command::new("sleep").arg("1000")).unwrap();
        drop(leash);
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert!(!dir.path().exists());
    }

    #[test]
    fn a_kept_folder_stays() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(KEEP), "").unwrap();
        drop(Leash::new(Some(dir.path())).unwrap());
        assert!(dir.path().exists());
    }

    #[test]
    fn a_stopped_process_dies_too() {
        let leash = Leash::new(None).unwrap();
        let mut child = leash.spawn(Command::new("sleep").arg("1000")).unwrap();
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&child),
            rustix::process::Signal::STOP,
        )
        .unwrap();
        drop(leash);
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
}
