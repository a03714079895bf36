//! What can go wrong in the test bed, and the way out of each.

use std::{io, path::PathBuf, process::ExitStatus};

/// An error of the test bed. Its text is its own; the cause, where there is one, is its source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be used.
    #[error("could not {action} `{}`", path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A program could not be started.
    #[error("could not run `{}`", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is nothing to build the control plane with.
    #[error("there is no Go toolchain on PATH, and {needed} has to be built")]
    NoGo {
        /// What would have been built.
        needed: String,
    },
    /// The Go toolchain is too old.
    #[error("Go {wanted} or newer is needed: {found}")]
    GoTooOld {
        /// The oldest that will do.
        wanted: String,
        /// What the toolchain said about itself.
        found: String,
    },
    /// Modules could not be fetched.
    #[error("the Go modules of {of} could not be fetched:\n{output}")]
    Modules {
        /// What the modules are for.
        of: String,
        /// The end of what `go` printed.
        output: String,
    },
    /// A module is not the one that is pinned.
    #[error("`{module}` has checksum `{found}`, not the pinned `{wanted}`")]
    Checksum {
        /// The module and its version.
        module: String,
        /// The checksum of what was fetched.
        found: String,
        /// The pinned one.
        wanted: String,
    },
    /// A binary could not be built.
    #[error("{tool} could not be built:\n{output}")]
    Build {
        /// The binary's name.
        tool: &'static str,
        /// The end of what `go` printed.
        output: String,
    },
    /// `KUBEBUILDER_ASSETS` holds a binary of another release.
    #[error("`{}` is {found}, and {wanted} is needed", path.display())]
    WrongVersion {
        /// The binary.
        path: PathBuf,
        /// What it said about itself.
        found: String,
        /// The pinned release.
        wanted: String,
    },
    /// Another process listens on a port that has to be used.
    #[error("port {port} of {component} is taken by another process")]
    PortTaken {
        /// The component that needs it.
        component: &'static str,
        /// The port.
        port: u16,
    },
    /// A component ended by itself.
    #[error("{component} ended ({status}); the end of its log `{}`:\n{tail}", log.display())]
    Ended {
        /// The component.
        component: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// Its log, which stays.
        log: PathBuf,
        /// The last lines of that log.
        tail: String,
    },
    /// A component runs but does not get ready.
    #[error("{component} is not ready after {seconds} s; the end of its log `{}`:\n{tail}", log.display())]
    NotReady {
        /// The component.
        component: &'static str,
        /// How long it was waited for.
        seconds: u64,
        /// Its log, which stays.
        log: PathBuf,
        /// The last lines of that log.
        tail: String,
    },
    /// A key or certificate could not be made.
    #[error("could not make the certificates of the control plane")]
    Certificates(#[source] rcgen::Error),
    /// The API server did not do what was asked.
    #[error("could not {action}")]
    Api {
        /// What was asked.
        action: String,
        /// The answer.
        source: Box<kube::Error>,
    },
    /// `kubectl` failed.
    #[error("`kubectl {arguments}` failed: {output}")]
    Kubectl {
        /// Its arguments.
        arguments: String,
        /// What it printed.
        output: String,
    },
    /// What a test waited for did not happen.
    #[error("{what} did not happen within {seconds} s")]
    NeverHappened {
        /// The condition.
        what: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The state folder is in use by a process that is not the one it names.
    #[error("`{}` is in use, but process {pid} is not the test bed that it names", dir.display())]
    NotOurs {
        /// The state folder.
        dir: PathBuf,
        /// The process that was left alone.
        pid: i32,
    },
    /// Another process has the state folder.
    #[error("a control plane runs already in `{}`", dir.display())]
    Busy {
        /// The state folder.
        dir: PathBuf,
    },
    /// The background process ended before its control plane was ready.
    #[error("the control plane did not start:\n{output}")]
    Background {
        /// What it said.
        output: String,
    },
}

impl Error {
    /// The way out, as a sentence for the user, where there is one.
    pub fn hint(&self) -> Option<String> {
        const ASSETS: &str = "set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver, kube-controller-manager \
                              and kubectl";
        match self {
            Self::NoGo { .. } | Self::GoTooOld { .. } => {
                Some(format!("install Go from https://go.dev/dl, or {ASSETS}"))
            }
            Self::Modules { .. } => Some(format!(
                "set GOPROXY to a module proxy that can be reached (and GOFLAGS, GONOSUMDB or GOSUMDB if it needs \
                 them), or {ASSETS}"
            )),
            Self::Checksum { .. } => Some("point GOPROXY at a module proxy that can be trusted".to_owned()),
            Self::Build { .. } => Some(format!("see what `go` printed above; or {ASSETS}")),
            Self::WrongVersion { wanted, .. } => Some(format!(
                "unset KUBEBUILDER_ASSETS to have {wanted} built, or set IPAM_TESTBED_ANY_VERSION=1 to run what is there"
            )),
            Self::PortTaken { port, .. } => {
                Some(format!("`ss -tlnp sport = :{port}` tells which process has it"))
            }
            Self::Ended { log, .. } | Self::NotReady { log, .. } => {
                Some(format!("the whole log is in `{}`", log.display()))
            }
            Self::Busy { .. } => Some("`testbed status` shows it, `testbed down` ends it".to_owned()),
            Self::NotOurs { dir, .. } => Some(format!(
                "it may run in another container that shares this folder; if not, remove `{}`",
                dir.display()
            )),
            _ => None,
        }
    }

    /// For `map_err` on anything done to a file.
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }

    /// For `map_err` on a request.
    pub(crate) fn api(action: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let action = action.into();
        move |source| Self::Api { action, source: Box::new(source) }
    }
}
