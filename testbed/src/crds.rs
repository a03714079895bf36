//! CRDs of others, read from their Go modules.

use std::path::PathBuf;

use serde::Deserialize;

use crate::{Error, go};

/// A Go module at a version, and where in it the CRDs are, a file `<group>_<plural>.yaml` each.
struct Module {
    at: &'static str,
    sum: &'static str,
    folder: &'static str,
}

const CLUSTER_API: Module = Module {
    at: "sigs.k8s.io/cluster-api@v1.14.2",
    sum: "h1:o3GFNaeNFAOEEMpDPfhCK+2CjmV6gtQ8yLEcUwCg7bA=",
    folder: "core/config/crd/bases",
};

const CERT_MANAGER: Module = Module {
    at: "github.com/cert-manager/cert-manager@v1.21.2",
    sum: "h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=",
    folder: "deploy/crds",
};

const PROMETHEUS_OPERATOR: Module = Module {
    at: "github.com/prometheus-operator/prometheus-operator@v0.92.1",
    sum: "h1:rHWuFo6SVya4FBSCNg2DCzyc4xAv54zk3eDTzp5mQZc=",
    folder: "example/prometheus-operator-crd",
};

/// What `go mod download -json` prints of a module.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Download {
    dir: PathBuf,
    sum: String,
}

/// The folder with Cluster API's CRDs, a file `<group>_<plural>.yaml` each, in the Go module cache. Fetches the pinned
/// module if need be; blocks. The files are read-only and not ours: use them where they are.
///
/// # Errors
/// There is no Go, the module proxy cannot be reached, or it serves another content than the pinned one.
pub fn capi_crds() -> Result<PathBuf, Error> {
    CLUSTER_API.crds()
}

/// The folder with cert-manager's CRDs; as [`capi_crds`].
///
/// # Errors
/// Those of [`capi_crds`].
pub fn cert_manager_crds() -> Result<PathBuf, Error> {
    CERT_MANAGER.crds()
}

/// The folder with the CRDs of the Prometheus operator; as [`capi_crds`].
///
/// # Errors
/// Those of [`capi_crds`].
pub fn prometheus_operator_crds() -> Result<PathBuf, Error> {
    PROMETHEUS_OPERATOR.crds()
}

impl Module {
    fn crds(&self) -> Result<PathBuf, Error> {
        let elsewhere = std::env::temp_dir();
        let printed = go::fetch(&elsewhere, &["mod", "download", "-json", self.at], self.at)?;
        let Download { dir, sum } = serde_json::from_slice(&printed)
            .map_err(|reason| Error::Modules { of: self.at.to_owned(), output: reason.to_string() })?;
        if sum != self.sum {
            let (module, wanted) = (self.at.to_owned(), self.sum.to_owned());
            return Err(Error::Checksum { module, found: sum, wanted });
        }
        Ok(dir.join(self.folder))
    }
}
