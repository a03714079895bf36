//! The controller's command line, and what follows from it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use ipam::apply::connect;
use ipam::controller::{Options, current_leader};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tracing_subscriber::EnvFilter;

/// Hand out IP addresses from IPPools to IPClaims
#[derive(Parser, Debug)]
#[command(version)]
pub struct Args {
    /// Kubeconfig file [default: KUBECONFIG, else the service account of the pod, else ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Namespace whose pools and claims are served [default: all]
    #[arg(long, value_name = "NAMESPACE", default_value = "", hide_default_value = true)]
    namespace: String,
    /// Serve only pools and claims whose label `cluster.x-k8s.io/watch-filter` has this value
    #[arg(long, value_name = "VALUE", default_value = "", hide_default_value = true)]
    watch_filter: String,
    /// Seconds that an address must have been without its claim before it is released
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    orphan_grace: u64,
    /// The most requests to the API server under way at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    max_in_flight: u16,
    /// Run although another controller holds the lease; for development, where the other is known to be gone
    #[arg(long)]
    ignore_leader: bool,
    /// Form of the log
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    logging_format: LogFormat,
    /// Level of detail of the log; 4 and more show each write
    #[arg(short, value_name = "LEVEL", default_value_t = 0)]
    v: u8,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the binary does besides.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Write the CRDs that this version is built with
    Crds {
        /// Folder that they are written to
        #[arg(long, value_name = "FOLDER", default_value = "config/crd")]
        into: PathBuf,
    },
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum LogFormat {
    Text,
    Json,
}

/// Why the controller does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
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
    /// The operating system refuses something.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl Args {
    pub fn options(&self) -> Options {
        Options {
            namespace: self.namespace.clone(),
            watch_filter: self.watch_filter.clone(),
            in_flight: usize::from(self.max_in_flight),
            grace: Duration::from_secs(self.orphan_grace),
        }
    }

    pub fn start_log(&self) {
        let level = match self.v {
            0..=3 => "info",
            4 => "info,ipam=debug",
            _ => "debug",
        };
        // kube logs every answer of 5xx as an error of its own; what became of a write is said by the controller.
        let default = format!("{level},kube_client::client=warn");
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        match self.logging_format {
            LogFormat::Text => log.with_target(false).init(),
            LogFormat::Json => log.json().flatten_event(true).init(),
        }
    }

    /// A client that has reached the API server.
    pub async fn client(&self) -> Result<Client, Error> {
        let config = self.config().await?;
        let url = config.cluster_url.to_string();
        let unreachable =
            |error: kube::Error| Error::Unreachable { url: url.clone(), cause: error.to_string() };
        let client = connect(config).map_err(unreachable)?;
        client.apiserver_version().await.map_err(unreachable)?;
        Ok(client)
    }

    async fn config(&self) -> Result<Config, Error> {
        let mut config = match &self.kubeconfig {
            Some(file) => {
                let refused = |cause: String| Error::Kubeconfig { file: file.display().to_string(), cause };
                let kubeconfig = Kubeconfig::read_from(file).map_err(|error| refused(error.to_string()))?;
                Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
                    .await
                    .map_err(|error| refused(error.to_string()))?
            }
            None => Config::infer().await.map_err(|error| {
                let file = std::env::var("KUBECONFIG").unwrap_or_else(|_| "~/.kube/config".into());
                Error::Kubeconfig { file, cause: error.to_string() }
            })?,
        };
        let agent = concat!("ipam-controller/", env!("CARGO_PKG_VERSION"));
        config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(agent)));
        Ok(config)
    }

    /// Does not start beside another controller.
    #[expect(
        clippy::disallowed_methods,
        reason = "an edge: whether a lease has run out is asked once, at the start"
    )]
    pub async fn refuse_if_led(&self, client: &Client) -> Result<(), Error> {
        if self.ignore_leader {
            return Ok(());
        }
        match current_leader(client.clone(), jiff::Timestamp::now()).await {
            Ok(None) => Ok(()),
            Ok(Some(leader)) => Err(Error::Led { namespace: leader.namespace, identity: leader.identity }),
            Err(error) => {
                tracing::warn!(%error, "leases cannot be listed: whether another controller runs is not known");
                Ok(())
            }
        }
    }
}

/// Resolves when the process is asked to end.
pub async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};

    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Writes one file a CRD.
pub fn write_crds(into: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(into)?;
    for (name, yaml) in ipam::api::crd_files() {
        std::fs::write(into.join(name), yaml)?;
    }
    Ok(())
}
