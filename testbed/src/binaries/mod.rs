//! The programs of the control plane: found where the user has them, or built once from pinned modules.

mod build;
mod find;
mod progress;

use std::path::{Path, PathBuf};

use crate::{Error, pins::pins};

/// One program of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// The store.
    Etcd,
    /// The API server.
    KubeApiserver,
    /// The garbage collector and its like.
    KubeControllerManager,
    /// The command line.
    Kubectl,
}

impl Tool {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Etcd, Self::KubeApiserver, Self::KubeControllerManager, Self::Kubectl];

    /// The file name of the program.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::Kubectl => "kubectl",
        }
    }

    /// The pinned release, as `v1.2.3`.
    pub fn version(self) -> &'static str {
        match self {
            Self::Etcd => &pins().etcd,
            _ => &pins().kubernetes,
        }
    }

    const fn package(self) -> &'static str {
        match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::KubeApiserver => "k8s.io/kubernetes/cmd/kube-apiserver",
            Self::KubeControllerManager => "k8s.io/kubernetes/cmd/kube-controller-manager",
            Self::Kubectl => "k8s.io/kubernetes/cmd/kubectl",
        }
    }

    const fn version_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Kubectl => &["version", "--client"],
            _ => &["--version"],
        }
    }
}

/// Where each [`Tool`] is. Every path exists and is executable when this is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries(Vec<PathBuf>);

impl Binaries {
    /// Finds or makes all programs.
    ///
    /// Looked for in `KUBEBUILDER_ASSETS`, then among those built before, then on `PATH` (there only the pinned minor
    /// release will do); what is in none of them is built from Go modules into
    /// `${IPAM_TESTBED_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ipam-testbed}`, which takes minutes the first time. Says
    /// on stderr what it does if it takes long. Blocks. May run in several processes at once: one builds, the others
    /// wait for it.
    ///
    /// # Errors
    /// Nothing to build with, modules out of reach, or a binary of another release in `KUBEBUILDER_ASSETS`.
    pub fn ensure() -> Result<Self, Error> {
        build::missing(find::all()?).map(Self)
    }

    /// Where `tool` is.
    pub fn path(&self, tool: Tool) -> &Path {
        &self.0[tool as usize]
    }

    /// Makes `dir` a folder that holds all programs under their own names, as `KUBEBUILDER_ASSETS` wants it.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn link_into(&self, dir: &Path) -> Result<(), Error> {
        std::fs::create_dir_all(dir).map_err(Error::file("create", dir))?;
        for tool in Tool::ALL {
            let link = dir.join(tool.name());
            if std::fs::read_link(&link).is_ok_and(|target| target == self.path(tool)) {
                continue;
            }
            std::fs::remove_file(&link).ok();
            std::os::unix::fs::symlink(self.path(tool), &link).map_err(Error::file("create", &link))?;
        }
        Ok(())
    }
}

/// Cluster API's command line `clusterctl`, of the pinned release, which is built once as [`Binaries`] are. Blocks.
///
/// # Errors
/// Nothing to build with, or modules out of reach.
pub fn clusterctl() -> Result<PathBuf, Error> {
    build::clusterctl()
}

/// The folder for all that outlives a run: `${IPAM_TESTBED_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ipam-testbed}`.
pub(crate) fn cache_dir() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("IPAM_TESTBED_CACHE").unwrap_or_else(|| {
        set("XDG_CACHE_HOME")
            .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
            .unwrap_or_else(std::env::temp_dir)
            .join("ipam-testbed")
    })
}
