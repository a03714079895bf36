//! A control plane that stays until it is told to go, for trying things out: what `testbed up` starts.
//!
//! A background process owns it, and holds a lock on the state folder for as long as it lives: the lock, and not a
//! file or a process number, says whether a control plane runs.

mod identity;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::{fs::DirBuilderExt as _, process::CommandExt as _},
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use jiff::Timestamp;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

pub use identity::Identity;

use crate::{
    Component, ControlPlane, Error, Options,
    binaries::cache_dir,
    wait::{PATIENCE, until},
};

/// How long the background process may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(10);
/// How often the background process looks whether its components still run.
const ROUND: Duration = Duration::from_secs(1);

/// What runs, as the background process has written it down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The background process.
    pub owner: Identity,
    /// When the control plane was ready.
    pub since: Timestamp,
    /// The API server's URL.
    pub url: String,
    /// etcd's URL.
    pub etcd: String,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// The folder with the logs.
    pub logs: PathBuf,
    /// What runs, as `kubernetes v1.2.3, etcd 1.2.3`.
    pub versions: String,
    /// The process of each component, by the name of its program.
    pub components: BTreeMap<String, Identity>,
}

/// The state folder of a control plane that stays.
#[derive(Clone, Debug)]
pub struct Standing {
    dir: PathBuf,
}

impl Standing {
    /// The control plane of this folder; of the one that the user's cache has for it if `None`.
    pub fn new(dir: Option<PathBuf>) -> Self {
        Self { dir: dir.unwrap_or_else(|| cache_dir().join("up")) }
    }

    /// What runs; `None` if nothing does.
    ///
    /// # Errors
    /// The state folder cannot be read.
    pub fn running(&self) -> Result<Option<State>, Error> {
        if self.lock()?.is_some() {
            return Ok(None);
        }
        // Locked but without a state: it is starting or ending.
        Ok(fs::read(self.state_file()).ok().and_then(|state| serde_json::from_slice(&state).ok()))
    }

    /// Starts a control plane in the background, and waits until it serves. `program` runs [`Self::serve`] on this
    /// folder when it is called. Returns what runs then, which may be what somebody else has started before.
    ///
    /// # Errors
    /// Those of [`ControlPlane::start`], told as [`Error::Background`].
    pub async fn start(&self, mut program: Command) -> Result<State, Error> {
        self.make_dir()?;
        let log = File::create(self.log_file()).map_err(Error::file("write", self.log_file()))?;
        // A group of its own: Ctrl-C in the terminal is not meant for it.
        program.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut owner =
            program.spawn().map_err(|source| Error::Run { program: program.get_program().into(), source })?;
        loop {
            if let Some(state) = self.running()? {
                return Ok(state);
            }
            if !matches!(owner.try_wait(), Ok(None)) {
                // Most likely it failed, but somebody else may have been faster.
                let failed = || Error::Background { output: self.last_words().unwrap_or_default() };
                return self.once_ready().await?.ok_or_else(failed);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Runs a control plane on this folder until this process is told to end (SIGTERM, SIGINT) or a component ends by
    /// itself. `ready` is called once it serves.
    ///
    /// # Errors
    /// Those of [`ControlPlane::start`], [`Error::Ended`], or one runs already.
    pub async fn serve(&self, mut options: Options, ready: impl FnOnce(&State)) -> Result<(), Error> {
        self.make_dir()?;
        // Whoever only asks whether a control plane runs has the lock for an instant, too.
        let locked = until(Duration::from_secs(2), || async { self.lock().transpose() }).await;
        let _lock = locked.ok_or_else(|| Error::Busy { dir: self.dir.clone() })??;
        self.remove_leavings().await?;
        options.dir = Some(self.dir.join("data"));
        let plane = ControlPlane::start(options).await?;
        let state = State::of(&plane).await?;
        self.write(&state)?;
        ready(&state);
        let end = until_told_or_broken(&plane).await.inspect_err(|error| plane.keep_logs(error));
        drop(plane);
        fs::remove_file(self.state_file()).map_err(Error::file("remove", self.state_file()))?;
        end
    }

    /// Ends what runs, and waits until all its processes are gone; `false` if nothing ran. Never signals a process that
    /// is not the one which holds the lock.
    ///
    /// # Errors
    /// [`Error::NotOurs`] if the folder is in use by a process that cannot be identified.
    pub async fn stop(&self) -> Result<bool, Error> {
        let Some(State { owner, components, .. }) = self.once_ready().await? else {
            let _lock = self.lock()?;
            self.remove_leavings().await?;
            return Ok(false);
        };
        for signal in [Signal::TERM, Signal::KILL] {
            let sent = owner.signal(signal).unwrap_or(false);
            let freed = until(GRACE, || async { self.lock().transpose() }).await;
            if let Some(lock) = freed {
                let _lock = lock?;
                let gone = || async { (!components.values().any(Identity::is_alive)).then_some(()) };
                until(GRACE, gone).await.ok_or_else(|| never("the end of the components"))?;
                self.remove_leavings().await?;
                return Ok(true);
            }
            if !sent {
                return Err(Error::NotOurs { dir: self.dir.clone(), pid: owner.pid });
            }
        }
        Err(never(&format!("the end of process {}", owner.pid)))
    }

    /// What runs, even if it is only starting now; `None` if nothing does.
    async fn once_ready(&self) -> Result<Option<State>, Error> {
        let settled = || async {
            match self.lock() {
                Ok(Some(_)) => Some(Ok(None)),
                Ok(None) => self.running().transpose().map(|state| state.map(Some)),
                Err(error) => Some(Err(error)),
            }
        };
        until(PATIENCE, settled).await.unwrap_or_else(|| Err(never("the start of the control plane")))
    }

    /// What the last background process said, if it came to an end by itself or could not start.
    pub fn last_words(&self) -> Option<String> {
        let said = fs::read_to_string(self.log_file()).ok()?;
        Some(said.trim().to_owned()).filter(|said| !said.is_empty())
    }

    /// The folder in which `testbed env` offers all programs.
    pub fn bin_dir(&self) -> PathBuf {
        self.dir.join("bin")
    }

    fn state_file(&self) -> PathBuf {
        self.dir.join("state.json")
    }

    fn log_file(&self) -> PathBuf {
        self.dir.join("testbed.log")
    }

    fn make_dir(&self) -> Result<(), Error> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
            .map_err(Error::file("create", &self.dir))
    }

    /// The lock on the folder, until the file is dropped; `None` while somebody else has it.
    fn lock(&self) -> Result<Option<File>, Error> {
        self.make_dir()?;
        let path = self.dir.join("lock");
        let file = File::create(&path).map_err(Error::file("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(source)) => Err(Error::File { action: "lock", path, source }),
        }
    }

    fn write(&self, state: &State) -> Result<(), Error> {
        let written = self.dir.join("state.json.new");
        let text = serde_json::to_vec_pretty(state).expect("a state is plain data");
        fs::write(&written, text).map_err(Error::file("write", &written))?;
        fs::rename(&written, self.state_file()).map_err(Error::file("write", self.state_file()))
    }

    /// Removes what a background process has left that could not do it itself. Only while we have the lock.
    async fn remove_leavings(&self) -> Result<(), Error> {
        let data = self.dir.join("data");
        let clear = || [fs::remove_file(self.state_file()), fs::remove_dir_all(&data)];
        let gone = |result: &io::Result<()>| {
            result.as_ref().err().is_some_and(|e| e.kind() == io::ErrorKind::NotFound)
        };
        // The guard of a killed process may be at it, too, which can fail either of the two for an instant.
        let cleared = until(GRACE, || async { clear().iter().all(gone).then_some(()) });
        cleared.await.ok_or_else(|| never(&format!("the removal of `{}`", data.display())))
    }
}

fn never(what: &str) -> Error {
    Error::NeverHappened { what: what.to_owned(), seconds: GRACE.as_secs() }
}

impl State {
    #[expect(
        clippy::disallowed_methods,
        reason = "when it was started is said to people, and decides nothing"
    )]
    async fn of(plane: &ControlPlane) -> Result<Self, Error> {
        let identity = |pid: u32| Identity::of(pid.cast_signed());
        let component = |component: Component| {
            Some((component.tool().name().to_owned(), identity(plane.pid(component)?)?))
        };
        Ok(Self {
            owner: identity(std::process::id()).expect("a process that runs can be seen in /proc"),
            components: Component::ALL.into_iter().filter_map(component).collect(),
            since: Timestamp::now(),
            url: plane.url(),
            etcd: plane.etcd_endpoint(),
            kubeconfig: plane.kubeconfig(),
            logs: plane.dir().to_owned(),
            versions: plane.versions().await?,
        })
    }
}

async fn until_told_or_broken(plane: &ControlPlane) -> Result<(), Error> {
    let listen = |kind| signal(kind).map_err(Error::file("listen to", "signals"));
    let (mut term, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    // Closing the terminal that it was started from does not end it; without a listener it would.
    let _hangup = listen(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = term.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            () = tokio::time::sleep(ROUND) => plane.check()?,
        }
    }
}
