//! The CRDs of Cluster API, read from its Go module.

use std::path::PathBuf;

use serde::Deserialize;

use crate::{Error, go};

const MODULE: &str = "sigs.k8s.io/cluster-api@v1.14.2";
const SUM: &str = "h1:o3GFNaeNFAOEEMpDPfhCK+2CjmV6gtQ8yLEcUwCg7bA=";
const CRDS: &str = "core/config/crd/bases";

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
    let elsewhere = std::env::temp_dir();
    let printed = go::fetch(&elsewhere, &["mod", "download", "-json", MODULE], MODULE)?;
    let Download { dir, sum } = serde_json::from_slice(&printed)
        .map_err(|reason| Error::Modules { of: MODULE.to_owned(), output: reason.to_string() })?;
    if sum != SUM {
        return Err(Error::Checksum { module: MODULE.to_owned(), found: sum, wanted: SUM.to_owned() });
    }
    Ok(dir.join(CRDS))
}
