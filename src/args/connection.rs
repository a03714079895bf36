//! The API server: which, as whom, and how much is asked of it.

use std::path::PathBuf;
use std::time::Duration;

use crate::apply::Rate;
use crate::controller::current_leader;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::Error;
use super::values::per_second;

/// Burst where only the rate is given.
const BURST: u32 = 30;
/// How long a request may wait for its turn, in seconds, where there is a limit: what is decided has to be sent before it is
/// out of date.
const WAIT: f64 = 5.0;

/// The API server.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "API server")]
pub struct Connection {
    /// Kubeconfig file [default: KUBECONFIG, else the service account of the pod, else ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The most requests to the API server under way at once; with --kube-api-qps no more than have their turn in 5 s
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    max_in_flight: u16,
    /// The most requests a second in the long run; 0 or less is no limit [default: no limit]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = per_second)]
    kube_api_qps: Option<f64>,
    /// The most requests at once after a rest, where --kube-api-qps sets a limit [default: 30]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    kube_api_burst: Option<u32>,
}

impl Connection {
    /// Says, once, what has no effect.
    pub fn report(&self) {
        if self.kube_api_burst.is_some() && self.rate().is_none() {
            tracing::info!("--kube-api-burst has no effect: without --kube-api-qps there is no limit");
        }
    }

    /// The limit of requests, if there is one.
    pub fn rate(&self) -> Option<Rate> {
        let qps = self.kube_api_qps.filter(|qps| *qps > 0.0)?;
        Some(Rate::new(qps, self.kube_api_burst.unwrap_or(BURST)))
    }

    /// How many requests may be under way at once.
    pub fn in_flight(&self) -> usize {
        let limit = self.kube_api_qps.filter(|qps| *qps > 0.0);
        let is_enough = |n: &u16| limit.is_some_and(|qps| f64::from(*n) >= qps * WAIT);
        usize::from((1..self.max_in_flight).find(is_enough).unwrap_or(self.max_in_flight))
    }

    /// How to reach the API server, and as whom.
    pub async fn config(&self) -> Result<Config, Error> {
        let mut config = match &self.kubeconfig {
            Some(file) => {
                let refused = |cause: String| Error::Kubeconfig { file: file.display().to_string(), cause };
                let kubeconfig = Kubeconfig::read_from(file).map_err(|error| refused(error.to_string()))?;
                Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
                    .await
                    .map_err(|error| refused(error.to_string()))?
            }
            None => inferred().await?,
        };
        let agent = concat!("ipam-controller/", env!("CARGO_PKG_VERSION"));
        config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(agent)));
        Ok(config)
    }

    /// Makes sure that the API server answers.
    pub async fn reach(&self, client: &Client) -> Result<(), Error> {
        let cause = match tokio::time::timeout(PATIENCE, client.apiserver_version()).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {PATIENCE:?}"),
        };
        let url = self.config().await?.cluster_url.to_string();
        Err(Error::Unreachable { url, cause })
    }
}

/// How long the API server may take to answer before anything is begun.
const PATIENCE: Duration = Duration::from_secs(15);

/// The API server where nothing is said of it. A pod may have a kubeconfig in its home for something else, so its own
/// account comes before that file.
async fn inferred() -> Result<Config, Error> {
    let named = std::env::var("KUBECONFIG").ok().filter(|files| !files.is_empty());
    if named.is_none()
        && let Ok(config) = Config::incluster()
    {
        return Ok(config);
    }
    Config::infer().await.map_err(|error| {
        let file = named.unwrap_or_else(|| "~/.kube/config".into());
        Error::Kubeconfig { file, cause: error.to_string() }
    })
}

/// Does not start beside another controller.
#[expect(
    clippy::disallowed_methods,
    reason = "an edge: whether a lease has run out is asked once, at the start"
)]
pub async fn refuse_if_led(client: &Client) -> Result<(), Error> {
    let asked = tokio::time::timeout(PATIENCE, current_leader(client.clone(), jiff::Timestamp::now()));
    let error = match asked.await {
        Ok(Ok(None)) => return Ok(()),
        Ok(Ok(Some(leader))) => {
            return Err(Error::Led { namespace: leader.namespace, identity: leader.identity });
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {PATIENCE:?}"),
    };
    tracing::warn!(error, "leases cannot be listed: whether another controller runs is not known");
    Ok(())
}
