//! Why the controller does not start, or ends.

use crate::controller::ProcessError;

/// Why the controller does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A flag says what cannot be.
    #[error("{flag}: {cause}")]
    Flag {
        /// The flag.
        flag: String,
        /// Its value, what is wrong with it, and what would do.
        cause: String,
    },
    /// The kubeconfig is missing, or not one.
    #[error("cannot use the kubeconfig `{file}`: {cause}\nhint: --kubeconfig or KUBECONFIG names it")]
    Kubeconfig {
        /// The file, or what stands for it.
        file: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The API server does not answer.
    #[error(
        "cannot reach the API server at `{url}`: {cause}\nhint: `kubectl version` shows whether it is up, and --kubeconfig names another"
    )]
    Unreachable {
        /// Its address.
        url: String,
        /// What went wrong.
        cause: String,
    },
    /// Another controller is at work.
    #[error(
        "the controller `{identity}` leads already, in namespace `{namespace}`\nhint: `kubectl -n {namespace} scale deployment ipam-controller-manager --replicas=0` stops it"
    )]
    Led {
        /// Namespace of its lease.
        namespace: String,
        /// Its identity.
        identity: String,
    },
    /// The process cannot work, or not go on.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The operating system refuses something.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}
