//! One component of the control plane as a process.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Error, leash::Leash};

/// How many lines of a log are shown in an error.
const SHOWN: usize = 15;

/// What is needed to start a component, and to start it again.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    pub(super) name: &'static str,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) log: PathBuf,
    /// The port it must have; 0 if none.
    pub(super) port: u16,
}

/// A component that was started. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    recipe: Recipe,
}

impl Server {
    /// Starts the process; it is not ready yet.
    pub(super) fn start(leash: &Leash, recipe: Recipe) -> Result<Self, Error> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&recipe.log)
            .map_err(Error::file("write", &recipe.log))?;
        let errors = log.try_clone().map_err(Error::file("write", &recipe.log))?;
        let mut command = Command::new(&recipe.program);
        // Settings of the user's environment (ETCD_*, KUBE_*, proxies) must not reach it.
        command.args(&recipe.arguments).env_clear().stdin(Stdio::null()).stdout(log).stderr(errors);
        let child = leash
            .spawn(&mut command)
            .map_err(|source| Error::Run { program: recipe.program.clone(), source })?;
        Ok(Self { child, recipe })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error if it has ended.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.ended(status)),
            Err(source) => Err(Error::Run { program: self.recipe.program.clone(), source }),
        }
    }

    /// Sends a signal; nothing happens if it has ended.
    pub(super) fn signal(&mut self, signal: Signal) {
        // A child keeps its number until it was waited for, so nobody else can be hit.
        if matches!(self.child.try_wait(), Ok(None)) {
            kill_process(Pid::from_child(&self.child), signal).ok();
        }
    }

    /// The error for a server that was waited for long enough.
    pub(super) fn not_ready(&self, seconds: u64) -> Error {
        let Recipe { name, log, .. } = &self.recipe;
        Error::NotReady { component: name, seconds, log: log.clone(), tail: tail(log) }
    }

    fn ended(&self, status: ExitStatus) -> Error {
        let Recipe { name, log, port, .. } = &self.recipe;
        let tail = tail(log);
        if *port != 0 && tail.contains("address already in use") {
            return Error::PortTaken { component: name, port: *port };
        }
        Error::Ended { component: name, status, log: log.clone(), tail }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if it has ended and was waited for.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}
