//! Where the files of one control plane are, in its folder.

use std::path::{Path, PathBuf};

/// The folder of one control plane.
#[derive(Debug)]
pub(super) struct Layout(PathBuf);

impl Layout {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self(dir)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.0
    }

    pub(super) fn ca(&self) -> PathBuf {
        self.0.join("ca.crt")
    }

    pub(super) fn serving_certificate(&self) -> PathBuf {
        self.0.join("apiserver.crt")
    }

    pub(super) fn serving_key(&self) -> PathBuf {
        self.0.join("apiserver.key")
    }

    /// Signs the tokens of service accounts.
    pub(super) fn accounts_key(&self) -> PathBuf {
        self.0.join("service-accounts.key")
    }

    /// Verifies the tokens of service accounts.
    pub(super) fn accounts_public_key(&self) -> PathBuf {
        self.0.join("service-accounts.pub")
    }

    pub(super) fn tokens(&self) -> PathBuf {
        self.0.join("tokens.csv")
    }

    pub(super) fn admin_kubeconfig(&self) -> PathBuf {
        self.0.join("admin.kubeconfig")
    }

    /// A kubeconfig for something else than the administrator.
    pub(super) fn kubeconfig(&self, whose: &str) -> PathBuf {
        self.0.join(format!("{whose}.kubeconfig"))
    }

    pub(super) fn store(&self) -> PathBuf {
        self.0.join("etcd")
    }

    pub(super) fn log(&self, component: &str) -> PathBuf {
        self.0.join(format!("{component}.log"))
    }

    pub(super) fn kubectl_cache(&self) -> PathBuf {
        self.0.join("kubectl-cache")
    }
}
