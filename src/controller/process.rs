//! The process around the loop: ports, clients, election, and the order of the end.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kube::{Client, Config};
use rustls::pki_types::CertificateDer;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::certificates::{self, CertificateOptions};
use super::health::{self, Check, Pulse};
use super::lease::{Authority, Election, Standing, own_namespace};
use super::listen::{Listen, place, serve, serve_tls};
use super::metrics::{self, Access, Metrics, Questions};
use super::tls::TlsPolicy;
use super::{End, Links, Options, clock, work};
use crate::admission::pki::Facts;
use crate::admission::{self, AdmissionOptions, Bounds, Live, Scope};
use crate::apply::{Rate, Traffic, connect_through};

/// Where the process can be asked how it is.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// Where `/healthz` and `/readyz` are.
    pub health: Listen,
    /// Where `/metrics` is.
    pub diagnostics: Listen,
    /// `/metrics` is for everybody, by plain HTTP.
    pub insecure_diagnostics: bool,
    /// Where the API server asks for admission.
    pub admission: Listen,
    /// Folder with the certificate of admission; where there is none in it, one is made.
    pub certificates: PathBuf,
    /// What of TLS is spoken.
    pub tls: TlsPolicy,
}

/// Why the process cannot work, or not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port cannot be had.
    #[error(
        "{flag}: cannot listen on `{address}`: {source}\nhint: another address such as 127.0.0.1:0, or 0 for none"
    )]
    Listen {
        /// The flag that names it.
        flag: &'static str,
        /// Where.
        address: Listen,
        /// Why not.
        source: std::io::Error,
    },
    /// The certificates or the credentials of the kubeconfig cannot be used.
    #[error(
        "cannot use the credentials for the API server: {0}\nhint: they come from --kubeconfig, KUBECONFIG or the pod's ServiceAccount"
    )]
    Credentials(kube::Error),
    /// No certificate for the metrics.
    #[error("cannot make a certificate for --diagnostics-address: {0}")]
    Certificate(#[from] rcgen::Error),
    /// No TLS with that certificate.
    #[error("cannot serve TLS on --diagnostics-address: {0}")]
    Tls(#[from] rustls::Error),
    /// Another controller may lead by now.
    #[error("the lease could not be kept: another controller may lead by now, and this one starts anew")]
    LeaseLost,
}

/// The controller as a process.
pub struct Process {
    options: Options,
    election: Option<Election>,
    endpoints: Endpoints,
    authority: Authority,
    metrics: Metrics,
    /// For the work: it writes only while it has the authority.
    client: Client,
    /// For the election and the questions about callers, which do not wait behind the work.
    aside: Client,
    health: Option<TcpListener>,
    diagnostics: Option<TcpListener>,
    admission: Option<TcpListener>,
    /// What has to be right, besides the controller's own, before the process is ready.
    ready: Vec<Check>,
}

impl Process {
    /// A process with its ports bound, and nothing asked of the API server yet.
    ///
    /// # Errors
    /// A port is taken, or the credentials cannot be used.
    pub fn new(
        config: Config,
        rate: Option<Rate>,
        options: Options,
        election: Option<Election>,
        endpoints: Endpoints,
    ) -> Result<Self, Error> {
        let bind = |flag, address: &Listen| {
            address.bind().map_err(|source| Error::Listen { flag, address: address.clone(), source })
        };
        let health = bind("--health-addr", &endpoints.health)?;
        let diagnostics = bind("--diagnostics-address", &endpoints.diagnostics)?;
        let admission = bind("--webhook-port", &endpoints.admission)?;
        let authority = if election.is_some() { Authority::none() } else { Authority::unlimited() };
        let metrics = Metrics::new();
        let client = connect_through(config.clone(), &traffic(&metrics, rate, &authority));
        let aside = connect_through(brisk(config, election.as_ref()), &counted(&metrics));
        let (client, aside) = (client.map_err(Error::Credentials)?, aside.map_err(Error::Credentials)?);
        let ready = Vec::new();
        Ok(Self {
            options,
            election,
            endpoints,
            authority,
            metrics,
            client,
            aside,
            health,
            diagnostics,
            admission,
            ready,
        })
    }

    /// The client that the work is done with.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Serves claims until `stop` resolves: then nothing more is begun, what is under way finishes, and the lease is
    /// given back.
    ///
    /// # Errors
    /// The lease was lost. Nothing that was decided in the lost term may be written in another, and the surest way to
    /// forget all of it is to end: whoever runs the process starts it again.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let (ask, asked) = mpsc::channel(4);
        let pulse = Pulse::default();
        let mut servers = JoinSet::new();
        let (live, questions) = Live::new();
        self.serve_admission(live, &mut servers);
        self.serve_health(&pulse, &mut servers);
        self.serve_metrics(ask, &mut servers)?;
        let office = self.election.take().map(|one| one.enter(self.aside.clone(), self.authority.clone()));
        let (_alone, leading) = watch::channel(Standing::Leading);
        let standing = office.as_ref().map_or(leading, |office| office.standing.clone());
        let links = Links { standing, asked, questions, pulse, metrics: self.metrics.clone() };
        match work(self.client, &self.options, links, stop).await {
            End::Done => {}
            // Its writes may still arrive: nobody else may begin before the lease runs out.
            End::CutShort => return Ok(()),
            End::LeaseLost => return Err(Error::LeaseLost),
        }
        if let Some(office) = office {
            office.leave().await;
        }
        Ok(())
    }

    /// Every replica serves admission, and may write what keeps its certificate trusted.
    fn serve_admission(&mut self, live: Live, servers: &mut JoinSet<()>) {
        let Some(listener) = self.admission.take() else { return };
        let folder = Some(self.endpoints.certificates.clone());
        let shipped = CertificateOptions::shipped(&own_namespace());
        let served = certificates::keep(self.aside.clone(), CertificateOptions { folder, ..shipped });
        let (seen, is_served) = (served.clone(), Arc::new(AtomicBool::new(false)));
        let tls = self.endpoints.tls.clone();
        let (usable, metrics) = (is_served.clone(), self.metrics.clone());
        // One that can be used is served from then on, whatever comes after it.
        let handshake = move |chain: Vec<CertificateDer<'static>>, key| {
            let facts = chain.first().and_then(|certificate| Facts::of_der(certificate));
            let config = tls.server(chain, key)?;
            usable.store(true, Ordering::Relaxed);
            if let Some(facts) = facts {
                metrics.certificate_until(facts.until);
            }
            Ok(config)
        };
        self.ready.push(Check::new("certificate", move || match &*seen.borrow() {
            _ if is_served.load(Ordering::Relaxed) => Ok(()),
            Some(_) => Err("the certificate of admission cannot be used; the log says why".to_owned()),
            None => Err("admission has no certificate yet".to_owned()),
        }));
        let options = AdmissionOptions {
            scope: Scope {
                namespace: self.options.namespace.clone(),
                watch_filter: self.options.watch_filter.clone(),
            },
            handshake: Arc::new(handshake),
            observer: Arc::new(self.metrics.reviews()),
            bounds: Bounds::default(),
        };
        // It is asked until the last write is done, and ends with the process.
        let serving = admission::serve(listener, options, served, live, std::future::pending());
        servers.spawn(async { ended("admission", serving.await) });
    }

    fn serve_health(&mut self, pulse: &Pulse, servers: &mut JoinSet<()>) {
        let Some(listener) = self.health.take() else { return };
        let ready = std::iter::once(pulse.is_synced()).chain(std::mem::take(&mut self.ready));
        let router = health::router(vec![pulse.alive()], ready.collect());
        tracing::info!(address = place(&listener), "health is served");
        servers.spawn(async { ended("health", serve(listener, Bounds::brief(), router).await) });
    }

    fn serve_metrics(&mut self, ask: Questions, servers: &mut JoinSet<()>) -> Result<(), Error> {
        let Some(listener) = self.diagnostics.take() else { return Ok(()) };
        let address = place(&listener);
        if self.endpoints.insecure_diagnostics {
            let router = metrics::router(self.metrics.clone(), ask, None);
            servers.spawn(async { ended("metrics", serve(listener, Bounds::default(), router).await) });
        } else {
            let (certificate, key) = metrics::self_signed(clock::wall())?;
            let config = Arc::new(self.endpoints.tls.server(vec![certificate], key)?);
            let router = metrics::router(self.metrics.clone(), ask, Some(Access::new(self.aside.clone())));
            servers.spawn(async { ended("metrics", serve_tls(listener, config, router).await) });
        }
        tracing::info!(address, secure = !self.endpoints.insecure_diagnostics, "metrics are served");
        Ok(())
    }
}

fn ended(what: &str, result: std::io::Result<()>) {
    if let Err(error) = result {
        tracing::error!(%error, "{what} is no longer served");
    }
}

/// What the requests of the work pass.
fn traffic(metrics: &Metrics, rate: Option<Rate>, authority: &Authority) -> Traffic {
    let authority = authority.clone();
    let permit: crate::apply::Permit = Arc::new(move || authority.holds());
    Traffic { rate, permit: Some(permit), observer: Some(metrics.observer()) }
}

fn counted(metrics: &Metrics) -> Traffic {
    Traffic { observer: Some(metrics.observer()), ..Traffic::default() }
}

/// The same server with short timeouts: a renewal that takes longer is better tried anew.
fn brisk(mut config: Config, election: Option<&Election>) -> Config {
    if let Some(election) = election {
        let timeout = Some(election.terms().request_timeout());
        (config.connect_timeout, config.read_timeout, config.write_timeout) = (timeout, timeout, timeout);
    }
    config
}
