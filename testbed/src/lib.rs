//! A real Kubernetes control plane as local processes, for tests and for trying things out.
//!
//! etcd, kube-apiserver and kube-controller-manager run on 127.0.0.1 with RBAC on, and end with the process that
//! started them, however that process ends. Nothing is needed but a Go toolchain for the first run, or binaries that
//! are already there (see [`Binaries`]).
//!
//! ```no_run
//! # async fn example() -> Result<(), testbed::Error> {
//! let plane = testbed::ControlPlane::shared().await?;
//! let namespace = plane.create_namespace("demo").await?;
//! let token = plane.token_for(&namespace, "default").await?;
//! # drop(token);
//! # Ok(())
//! # }
//! ```
//!
//! Linux only: identities of processes are read from `/proc`, and signals go through pidfds.

mod binaries;
mod control_plane;
mod crds;
mod error;
mod go;
mod leash;
mod pins;
mod program;
pub mod proxy;
pub mod standing;
mod wait;

pub use binaries::{Binaries, Tool, clusterctl};
pub use control_plane::{Component, ControlPlane, Options, Stored, free_port};
pub use crds::{capi_crds, cert_manager_crds, prometheus_operator_crds};
pub use error::Error;
pub use pins::{Pins, pins};
pub use program::write_program;
