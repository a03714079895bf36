//! Watches → views. One stream a kind; nothing is decided here.

mod stream;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::TryStreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::{ApiResource, DynamicResourceScope};
use kube::{Api, Client};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot};

use self::stream::{Error, Event};
use super::metrics::Metrics;
use crate::api::{
    CapiAddressSpec, CapiVersion, ClusterSpec, Family, IPAddress, IPAddressClaimSpec, IPAddressClaimStatus,
    IPAddressSpec, IPClaim, IPPool, Kind,
};
use crate::ledger::{Address, Claim, Cluster, Id, Pool, Seen, Uid, identity};

/// What a watch has to say.
#[derive(Debug)]
pub(super) enum News {
    /// A complete list of the kind is asked for once this was heard; Cluster API's kinds in this version.
    Listing(Kind, CapiVersion, oneshot::Sender<()>),
    /// A view of an object, from a list.
    Listed(Seen),
    /// The list was complete.
    ListDone(Kind),
    /// A view of an object.
    Seen(Seen),
    /// An object is gone.
    Deleted(Id, Uid),
    /// The kind is not served.
    NotServed(Kind),
    /// The API server has forgotten a part of what it has said of a kind. Nothing more is said of that.
    SetBack,
}

/// What is watched, and where the news go.
#[derive(Clone)]
pub(super) struct Watches {
    pub client: Client,
    /// One namespace, or all where it is empty.
    pub namespace: String,
    /// Pools and claims with this value of the watch-filter label; all where it is empty.
    pub filter: String,
    /// Where failures are counted.
    pub metrics: Metrics,
    pub news: mpsc::Sender<News>,
    pub heard: Heard,
}

/// The latest version that was heard of, by kind: a list from before that is none, whichever watch and term it is of.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<Mutex<BTreeMap<Kind, Arc<AtomicU64>>>>);

impl Heard {
    fn of(&self, kind: Kind) -> Arc<AtomicU64> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.entry(kind).or_default().clone()
    }
}

/// How soon a kind that is not served is looked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// So often is a kind that was served looked for before it counts as gone,
const PATIENCE: u32 = 3;
/// at this distance.
const SOON: Duration = Duration::from_secs(1);

impl Watches {
    /// Follows a kind for ever. Returns only when nobody listens any more.
    pub async fn follow(self, kind: Kind) {
        match kind {
            Kind::Pool => self.follow_views(kind, |view, _| Ok(pool(view))).await,
            Kind::Claim(Family::Metal3) => self.follow_views(kind, |view, _| Ok(claim(view))).await,
            Kind::Claim(Family::Capi) => self.follow_views(kind, |view, _| capi_claim(&view)).await,
            Kind::Address(Family::Metal3) => self.follow_views(kind, |view, _| Ok(address(view))).await,
            Kind::Address(Family::Capi) => self.follow_views(kind, |view, _| Ok(capi_address(&view))).await,
            Kind::Cluster => self.follow_views(kind, |view, version| Ok(cluster(&view, version))).await,
        }
    }

    async fn follow_views<S, T, F>(self, kind: Kind, read: F)
    where
        S: DeserializeOwned + Default + Clone + Debug + Send + 'static,
        T: DeserializeOwned + Clone + Debug + Send + 'static,
        F: Fn(View<S, T>, CapiVersion) -> Result<Seen, Elsewhere>,
    {
        let mut patience = 0;
        while !self.news.is_closed() {
            let mut was_served = false;
            for &version in kind.versions() {
                match self.follow_version(kind, version, &read).await {
                    Served::Yes => return,
                    Served::NoMore => was_served = true,
                    Served::No => {}
                }
            }
            // Its objects may be there in another version, which was not asked for a moment ago, or which one of several API
            // servers does not know of yet. Until that is clear, they stay known.
            if was_served {
                patience = PATIENCE;
                continue;
            }
            if patience > 0 {
                patience -= 1;
                tokio::time::sleep(SOON).await;
                continue;
            }
            if self.news.send(News::NotServed(kind)).await.is_err() {
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Follows one version of a kind until it turns out that it is not served, or nobody listens any more.
    async fn follow_version<S, T, F>(&self, kind: Kind, version: CapiVersion, read: &F) -> Served
    where
        S: DeserializeOwned + Default + Clone + Debug + Send + 'static,
        T: DeserializeOwned + Clone + Debug + Send + 'static,
        F: Fn(View<S, T>, CapiVersion) -> Result<Seen, Elsewhere>,
    {
        let description = kind.resource_in(version).described();
        let api: Api<View<S, T>> = if self.namespace.is_empty() {
            Api::all_with(self.client.clone(), &description)
        } else {
            Api::namespaced_with(self.client.clone(), &self.namespace, &description)
        };
        let latest = self.heard.of(kind);
        let mut events = std::pin::pin!(stream::events(api, self.labels(kind), latest.clone()));
        let mut was_listed = false;
        loop {
            let event = match events.try_next().await {
                Ok(Some(event)) => event,
                Ok(None) => return Served::Yes,
                Err(error) if error.is_not_served() => {
                    return if was_listed { Served::NoMore } else { Served::No };
                }
                Err(error @ Error::SetBack { .. }) => {
                    // However far the store comes again: what it has forgotten stays forgotten.
                    latest.store(u64::MAX, Ordering::Relaxed);
                    self.metrics.watch_failed(kind);
                    tracing::error!(
                        kind = kind.name(), error = %error,
                        "nothing is given out or released any more; hint: docs/troubleshooting.md says what to do after a restore \
                         from a backup; then start all replicas anew"
                    );
                    drop(self.news.send(News::SetBack).await);
                    return Served::Yes;
                }
                Err(error) => {
                    self.metrics.watch_failed(kind);
                    tracing::warn!(kind = kind.name(), error = %error, "the watch failed and is started again");
                    continue;
                }
            };
            let news = match event {
                Event::Listing => {
                    let (tell, heard) = oneshot::channel();
                    if self.news.send(News::Listing(kind, version, tell)).await.is_err()
                        || heard.await.is_err()
                    {
                        return Served::Yes;
                    }
                    None
                }
                Event::Listed(view) => read(view, version).ok().map(News::Listed),
                Event::ListDone => {
                    was_listed = true;
                    Some(News::ListDone(kind))
                }
                Event::Seen(view) => Some(match read(view, version) {
                    Ok(seen) => News::Seen(seen),
                    // It may have been a concern of ours before.
                    Err(Elsewhere(id, uid)) => News::Deleted(id, uid),
                }),
                Event::Deleted(view) => {
                    let (id, uid) = identity(kind, &view.metadata);
                    Some(News::Deleted(id, uid))
                }
            };
            if let Some(news) = news
                && self.news.send(news).await.is_err()
            {
                return Served::Yes;
            }
        }
    }

    /// The labels that are asked for.
    fn labels(&self, kind: Kind) -> Option<String> {
        let is_filtered = matches!(kind, Kind::Pool | Kind::Claim(_)) && !self.filter.is_empty();
        is_filtered.then(|| format!("{}={}", crate::api::WATCH_FILTER_LABEL, self.filter))
    }
}

/// Whether the API server knows a version of a kind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Served {
    Yes,
    No,
    /// It was listed, and is not served any more.
    NoMore,
}

fn pool(view: View<crate::api::IPPoolSpec, crate::api::IPPoolStatus>) -> Seen {
    let View { metadata, spec, status } = view;
    Seen::Pool(Box::new(Pool::of(&IPPool { metadata, spec, status })))
}

fn claim(view: View<crate::api::IPClaimSpec, crate::api::IPClaimStatus>) -> Seen {
    let View { metadata, spec, status } = view;
    Seen::Claim(Box::new(Claim::of_metal3(&IPClaim { metadata, spec, status })))
}

/// An object that is no concern of ours.
struct Elsewhere(Id, Uid);

fn capi_claim(view: &View<IPAddressClaimSpec, IPAddressClaimStatus>) -> Result<Seen, Elsewhere> {
    let claim = Claim::of_capi(&view.metadata, &view.spec, view.status.as_ref());
    claim.map(|claim| Seen::Claim(Box::new(claim))).ok_or_else(|| {
        let (id, uid) = identity(Kind::Claim(Family::Capi), &view.metadata);
        Elsewhere(id, uid)
    })
}

fn address(view: View<IPAddressSpec, NoStatus>) -> Seen {
    let View { metadata, spec, .. } = view;
    Seen::Address(Box::new(Address::of_metal3(&IPAddress { metadata, spec })))
}

fn capi_address(view: &View<CapiAddressSpec, NoStatus>) -> Seen {
    Seen::Address(Box::new(Address::of_capi(&view.metadata, &view.spec)))
}

fn cluster(view: &View<ClusterSpec, NoStatus>, version: CapiVersion) -> Seen {
    let api_version = Kind::Cluster.resource_in(version).api_version();
    Seen::Cluster(Box::new(Cluster::of(&view.metadata, &view.spec, &api_version)))
}

/// An object as far as it is read. What is missing takes its default: one object that was stored before a field was
/// required must not end the watch of all.
#[derive(Clone, Debug, Deserialize)]
struct View<S, T> {
    #[serde(default, deserialize_with = "crate::apply::lean::metadata")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: S,
    #[serde(default = "Option::default")]
    status: Option<T>,
}

/// A status that does not concern us.
#[derive(Clone, Debug, Deserialize)]
struct NoStatus {}

impl<S, T> kube::Resource for View<S, T> {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> std::borrow::Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> std::borrow::Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> std::borrow::Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> std::borrow::Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
