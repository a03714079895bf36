//! A proxy between a client and the API server that injects faults: lost replies, delays, conflicts, cut watches.
//!
//! The client speaks plain HTTP/1.1 with it; its `Authorization` header goes through, so RBAC judges the client and not
//! the proxy. Requests are read whole, replies are streamed. Every request is logged, and every condition can be waited
//! for, so that a test needs no sleep:
//!
//! ```no_run
//! # async fn example(plane: &testbed::ControlPlane, token: &str) -> Result<(), testbed::Error> {
//! use testbed::proxy::{Action, Match, Proxy, Rule, Verb};
//!
//! let proxy = Proxy::start(plane).await?;
//! let lost = proxy.add(Rule::new(Match::verb(Verb::Post).resource("ipaddresses"), Action::CutAfter).once());
//! let kubeconfig = proxy.kubeconfig(token)?; // for the controller
//! lost.done(1).await?; // an address exists, and the controller does not know
//! # drop(kubeconfig);
//! # Ok(())
//! # }
//! ```

mod call;
mod exchange;
mod log;
mod reply;
mod rule;
mod watches;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use kube::{Client, Config, config::AuthInfo};
use tokio::{net::TcpListener, task::AbortHandle, time::timeout};

use self::exchange::Shared;
pub use self::{
    call::{Call, Verb},
    log::Entry,
    reply::Reply,
    rule::{Action, Handle, Match, Rule},
    watches::WatchHold,
};
use crate::{
    ControlPlane, Error,
    control_plane::{config, kubeconfig_text},
};

/// Cuts a connection where hyper is given it.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long a test waits for something before it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running proxy, on a port of its own of 127.0.0.1. It belongs to the Tokio runtime in which it was started;
/// dropping it cuts all its connections and forgets what is parked.
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    kubeconfig_dir: PathBuf,
    server: AbortHandle,
}

/// What a proxy has seen and goes on seeing; the proxy may be somebody else's.
#[derive(Clone)]
pub struct Record(Arc<Shared>);

impl Record {
    /// How many requests so far are among these.
    pub fn count(&self, of: &Match) -> usize {
        self.0.log.entries().iter().filter(|entry| of.includes(&entry.call)).count()
    }
}

impl Proxy {
    /// Starts a proxy to `plane`. Without rules it changes nothing.
    ///
    /// # Errors
    /// No port could be bound.
    pub async fn start(plane: &ControlPlane) -> Result<Self, Error> {
        let mut upstream = plane.config();
        upstream.auth_info = AuthInfo::default();
        // Bodies go through as they are.
        upstream.disable_compression = true;
        let upstream = Client::try_from(upstream).map_err(Error::api("reach the API server"))?;
        let bind = Error::file("listen on", "127.0.0.1");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(bind)?;
        let address = listener.local_addr().map_err(Error::file("listen on", "127.0.0.1"))?;
        let shared = Arc::new(Shared::new(upstream));
        let server = tokio::spawn(exchange::serve(shared.clone(), listener)).abort_handle();
        Ok(Self { shared, address, kubeconfig_dir: plane.dir().to_owned(), server })
    }

    /// Where it listens: `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The configuration of a client that goes through the proxy as whom `token` says. It repeats no request by itself.
    pub fn config(&self, token: &str) -> Config {
        config(self.address.port(), None, Some(token))
    }

    /// Writes a kubeconfig for a client that goes through the proxy as whom `token` says; each call another file.
    ///
    /// # Errors
    /// The control plane's folder is gone.
    pub fn kubeconfig(&self, token: &str) -> Result<PathBuf, Error> {
        let name = format!("proxy-{:08x}.kubeconfig", rand::random::<u32>());
        let path = self.kubeconfig_dir.join(name);
        std::fs::write(&path, kubeconfig_text(&self.url(), None, token))
            .map_err(Error::file("write", &path))?;
        Ok(path)
    }

    /// Follows one more rule from now on. Each rule counts all requests that it matches and that no earlier rule acted
    /// on; the first one that is due acts.
    pub fn add(&self, rule: Rule) -> Handle {
        self.shared.rules.add(rule)
    }

    /// Holds back the events of all watches of a kind (a plural, or `plural.group`), those that are open and those that
    /// are opened meanwhile, until what is returned is released.
    pub fn hold_watch(&self, resource: &str) -> WatchHold {
        self.shared.watches.hold(resource)
    }

    /// Cuts the connections of all open watches of a kind, with what is held back of them.
    pub fn cut_watches(&self, resource: &str) {
        self.shared.watches.end(resource, None);
    }

    /// Ends all open watches of a kind with an event `ERROR` 410: the client has to list anew.
    pub fn expire_watches(&self, resource: &str) {
        self.shared.watches.end(resource, Some(&Reply::expired()));
    }

    /// All requests so far, in the order in which they came.
    pub fn log(&self) -> Vec<Entry> {
        self.shared.log.entries().clone()
    }

    /// How many requests so far are among these.
    pub fn count(&self, of: &Match) -> usize {
        self.record().count(of)
    }

    /// Its log, for others to count in.
    pub fn record(&self) -> Record {
        Record(self.shared.clone())
    }

    /// How many requests there were so far, by verb and plural.
    pub fn counts(&self) -> BTreeMap<(Verb, String), usize> {
        let mut counts = BTreeMap::new();
        for Entry { call, .. } in self.shared.log.entries().iter() {
            *counts.entry((call.verb, call.resource.clone())).or_default() += 1;
        }
        counts
    }

    /// Waits until `n` requests so far are among these; half a minute at most.
    ///
    /// # Errors
    /// [`Error::NeverHappened`].
    pub async fn seen(&self, of: &Match, n: usize) -> Result<(), Error> {
        let enough = |log: &[Entry]| log.iter().filter(|entry| of.includes(&entry.call)).count() >= n;
        self.until(&format!("{n} × {of:?}"), enough).await
    }

    /// Waits until `condition` holds for the log; half a minute at most. `what` says what that means.
    ///
    /// # Errors
    /// [`Error::NeverHappened`].
    pub async fn until(&self, what: &str, condition: impl Fn(&[Entry]) -> bool) -> Result<(), Error> {
        let met = async {
            self.shared.log.until(condition).await;
            true
        };
        happens(met, || what.to_owned()).await
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
        self.shared.abort();
    }
}

/// Waits for what a test needs, but not for ever.
async fn happens(condition: impl Future<Output = bool>, what: impl FnOnce() -> String) -> Result<(), Error> {
    match timeout(PATIENCE, condition).await {
        Ok(true) => Ok(()),
        _ => Err(Error::NeverHappened { what: what(), seconds: PATIENCE.as_secs() }),
    }
}
