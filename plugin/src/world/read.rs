//! Reading objects, of the versions that are served: few in one page, and many as a stream.
//!
//! The pages after the first come from the store and take the API server three to four times as long as the first, which
//! comes from its cache: a hundred thousand objects take 20 s and more. The same objects as the beginning of a watch come
//! from the cache in a third of that, one by one. So a list that does not end with its first page is read in that way, where the
//! API server offers it to whoever asks.

use std::borrow::Cow;
use std::cell::RefCell;
use std::future::Future;

use futures::StreamExt;
use futures::future::join_all;
use futures::stream::LocalBoxStream;
use ipam::api::{Family, GROUP, Kind, Resource};
use ipam::apply::Target;
use ipam::apply::lean::ends_first_list;
use kube::core::WatchEvent;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Address, Claim, ClusterSeen, Raw, World};
use crate::cluster::{Cluster, not_installed};
use crate::error::{Asked, Error, Kind as Failure};

/// How many objects are asked for at once: with these the first rows come soon, and the memory stays small.
const PAGE: usize = 1000;
/// Asks for what there is now, one object after the other, and then for a [bookmark](ends_first_list).
const AS_STREAM: &str =
    "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
/// Versions of Cluster API's kinds that can be read, the preferred one first.
const READABLE: [&str; 2] = ["v1beta2", "v1beta1"];

/// Which objects are meant.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// None is all of them.
    pub namespace: Option<String>,
    /// A selector of labels.
    pub selector: Option<String>,
}

impl Scope {
    /// All objects of a namespace.
    pub fn of(namespace: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), selector: None }
    }
}

/// One page of a list.
#[derive(Deserialize)]
struct Page<T> {
    #[serde(default)]
    metadata: PageMeta,
    items: Vec<T>,
}

#[derive(Deserialize, Default)]
struct PageMeta {
    #[serde(rename = "continue", default)]
    token: String,
}

/// All objects of a kind as they were at one moment, which is past once this is there.
enum Listing<'a, T> {
    Pages {
        asked: Asked,
        /// Where the first page is.
        first: String,
        page: Page<T>,
    },
    Stream {
        asked: Asked,
        events: Events<'a, T>,
    },
}

type Events<'a, T> = LocalBoxStream<'a, Result<WatchEvent<T>, kube::Error>>;

#[derive(Deserialize)]
struct ApiGroup {
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

impl Cluster {
    /// Where a kind is served; none where it is not installed.
    pub async fn resource(&self, kind: Kind) -> Result<Option<Resource>, Error> {
        let resource = kind.resource();
        if resource.group == GROUP {
            return Ok(Some(resource));
        }
        let served = self.versions(resource.group).await?;
        let version = READABLE.into_iter().find(|version| served.iter().any(|other| other == version));
        Ok(version.map(|version| Resource { version: Cow::Borrowed(version), ..resource }))
    }

    /// The versions that are served of a group, the preferred one first; none where it is not installed.
    pub async fn versions(&self, group: &str) -> Result<Vec<String>, Error> {
        let mut served = self.served.lock().await;
        if let Some(versions) = served.get(group) {
            return Ok(versions.clone());
        }
        let asked = Asked { verb: "get", resource: format!("/apis/{group}"), namespace: None };
        let found: Option<ApiGroup> = self.get(&format!("/apis/{group}"), &asked).await?;
        let versions = found.map(|group| group.versions).unwrap_or_default();
        let versions: Vec<String> = versions.into_iter().map(|version| version.version).collect();
        served.insert(group.to_owned(), versions.clone());
        Ok(versions)
    }

    /// What the API server answers to a path; none where there is no such thing.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, asked: &Asked) -> Result<Option<T>, Error> {
        match self.in_time(asked, self.client.request::<T>(request(path)?)).await? {
            Ok(answer) => Ok(Some(answer)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(asked.failed(error)),
        }
    }

    /// The answer, if it comes within `--request-timeout`.
    async fn in_time<T>(&self, asked: &Asked, answer: impl Future<Output = T>) -> Result<T, Error> {
        let Some(timeout) = self.timeout else { return Ok(answer.await) };
        tokio::time::timeout(timeout, answer).await.map_err(|_| {
            asked
                .cannot()
                .passing()
                .caused_by(format!("no answer within {timeout:?}"))
                .hint("--request-timeout says how long a request may take")
        })
    }

    /// One object; none where there is none, or not its kind.
    pub async fn find<T: DeserializeOwned>(&self, kind: Kind, name: &str) -> Result<Option<T>, Error> {
        let Some(resource) = self.resource(kind).await? else { return Ok(None) };
        let namespace = self.namespace.clone();
        let full = format!("{}.{}", resource.plural, resource.group);
        let asked = Asked { verb: "get", resource: full, namespace: Some(namespace.clone()) };
        self.get(&Target { resource, namespace, name: name.to_owned() }.path(), &asked).await
    }

    /// Hands all objects of a kind to `take`; false where the kind is not installed.
    pub async fn each<T: DeserializeOwned + Clone + 'static>(
        &self,
        kind: Kind,
        scope: &Scope,
        take: impl FnMut(T),
    ) -> Result<bool, Error> {
        let Some(resource) = self.resource(kind).await? else { return Ok(false) };
        self.each_of(resource.group, &resource.version, resource.plural, scope, take).await
    }

    /// The same for a kind of anybody.
    pub async fn each_of<T: DeserializeOwned + Clone + 'static>(
        &self,
        group: &str,
        version: &str,
        plural: &str,
        scope: &Scope,
        take: impl FnMut(T),
    ) -> Result<bool, Error> {
        let Some(listing) = self.list(group, version, plural, scope).await? else { return Ok(false) };
        self.rest(listing, take).await.map(|()| true)
    }

    /// Hands the addresses and the claims of both families over, as they come in, and says of each kind what came of it.
    ///
    /// The claims are those of a later moment than the addresses, so that what is under way meanwhile does not look
    /// like an address without a claim; but all four come in at once.
    pub async fn holdings(
        &self,
        scope: &Scope,
        take_address: impl FnMut(Address),
        take_claim: impl FnMut(Claim),
    ) -> Vec<(Kind, Result<bool, Error>)> {
        let open = async |kind| {
            let Some(resource) = self.resource(kind).await? else { return Ok(None) };
            self.list::<Raw>(resource.group, &resource.version, resource.plural, scope).await
        };
        let mut begun = Vec::new();
        for of in [Kind::Address, Kind::Claim] {
            let kinds = Family::ALL.map(of);
            begun.extend(kinds.into_iter().zip(join_all(kinds.map(&open)).await));
        }
        let (take_address, take_claim) = (RefCell::new(take_address), RefCell::new(take_claim));
        let take = |kind, raw| match kind {
            Kind::Address(family) => {
                Address::read(family, raw).into_iter().for_each(&mut *take_address.borrow_mut());
            }
            Kind::Claim(family) => {
                Claim::read(family, raw).into_iter().for_each(&mut *take_claim.borrow_mut());
            }
            Kind::Pool | Kind::Cluster => {}
        };
        let finish = async |(kind, begun): (Kind, Result<Option<Listing<Raw>>, Error>)| {
            let listed = match begun {
                Ok(Some(listing)) => self.rest(listing, |raw| take(kind, raw)).await.map(|()| true),
                Ok(None) => Ok(false),
                Err(error) => Err(error),
            };
            (kind, listed)
        };
        join_all(begun.into_iter().map(finish)).await
    }

    /// Begins to read all objects of a kind; none where it is not installed.
    async fn list<T: DeserializeOwned + Clone + 'static>(
        &self,
        group: &str,
        version: &str,
        plural: &str,
        scope: &Scope,
    ) -> Result<Option<Listing<'_, T>>, Error> {
        let asked =
            Asked { verb: "list", resource: format!("{plural}.{group}"), namespace: scope.namespace.clone() };
        let place = scope.namespace.as_ref().map_or(String::new(), |name| format!("namespaces/{name}/"));
        let selector =
            scope.selector.as_ref().map_or(String::new(), |text| format!("&labelSelector={}", escaped(text)));
        let path = format!("/apis/{group}/{version}/{place}{plural}");
        let first = format!("{path}?limit={PAGE}{selector}");
        let Some(page) = self.get::<Page<T>>(&first, &asked).await? else { return Ok(None) };
        if !page.metadata.token.is_empty()
            && let Some(events) = self.stream(&format!("{path}?{AS_STREAM}{selector}"), &asked).await?
        {
            return Ok(Some(Listing::Stream { asked, events }));
        }
        Ok(Some(Listing::Pages { asked, first, page }))
    }

    /// All objects as a watch begins with them; none where the API server does not do that, or not for us.
    async fn stream<T: DeserializeOwned + Clone + 'static>(
        &self,
        path: &str,
        asked: &Asked,
    ) -> Result<Option<Events<'_, T>>, Error> {
        let watch = self.client.request_events::<T>(request(path)?);
        match self.in_time(asked, watch).await? {
            Ok(events) => Ok(Some(events.boxed_local())),
            Err(kube::Error::Api(_)) => Ok(None),
            Err(error) => Err(asked.failed(error)),
        }
    }

    /// Hands all objects of a list to `take`.
    async fn rest<T: DeserializeOwned + Clone + 'static>(
        &self,
        listing: Listing<'_, T>,
        mut take: impl FnMut(T),
    ) -> Result<(), Error> {
        match listing {
            Listing::Stream { asked, events } => self.rest_of_stream(&asked, events, take).await,
            Listing::Pages { asked, first, mut page } => loop {
                page.items.into_iter().for_each(&mut take);
                if page.metadata.token.is_empty() {
                    return Ok(());
                }
                let next = format!("{first}&continue={}", escaped(&page.metadata.token));
                let Some(following) = self.get(&next, &asked).await? else { return Err(incomplete(&asked)) };
                page = following;
            },
        }
    }

    async fn rest_of_stream<T>(
        &self,
        asked: &Asked,
        mut events: Events<'_, T>,
        mut take: impl FnMut(T),
    ) -> Result<(), Error> {
        // Changes follow what there was when it began, and that is what was asked for.
        let mut is_past = false;
        loop {
            match self.in_time(asked, events.next()).await? {
                Some(Ok(WatchEvent::Added(object))) if !is_past => take(object),
                Some(Ok(WatchEvent::Added(_) | WatchEvent::Modified(_) | WatchEvent::Deleted(_))) => {
                    is_past = true;
                }
                Some(Ok(WatchEvent::Bookmark(mark))) => {
                    if ends_first_list(&mark) {
                        return Ok(());
                    }
                }
                Some(Ok(WatchEvent::Error(status))) => return Err(asked.failed(kube::Error::Api(status))),
                Some(Err(error)) => return Err(asked.failed(error)),
                None => return Err(incomplete(asked)),
            }
        }
    }

    /// Claims of a family that want an address of a pool of ours.
    pub async fn claims(
        &self,
        family: Family,
        scope: &Scope,
        mut take: impl FnMut(Claim),
    ) -> Result<bool, Error> {
        self.each(Kind::Claim(family), scope, |raw| Claim::read(family, raw).into_iter().for_each(&mut take))
            .await
    }

    /// Addresses of a family that are of a pool of ours.
    pub async fn addresses(
        &self,
        family: Family,
        scope: &Scope,
        mut take: impl FnMut(Address),
    ) -> Result<bool, Error> {
        self.each(Kind::Address(family), scope, |raw| {
            Address::read(family, raw).into_iter().for_each(&mut take);
        })
        .await
    }
}

/// A request for what is at a path.
fn request(path: &str) -> Result<http::Request<Vec<u8>>, Error> {
    let request = http::Request::get(path).body(Vec::new());
    request.map_err(|error| Error::new(Failure::Failed, "no request").caused_by(error))
}

fn incomplete(asked: &Asked) -> Error {
    asked
        .cannot()
        .passing()
        .caused_by("the API server ended its answer before that was complete")
        .hint("try again")
}

/// A text as it stands in a query.
fn escaped(text: &str) -> String {
    let byte = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(b).to_string(),
        _ => format!("%{b:02X}"),
    };
    text.bytes().map(byte).collect()
}

impl World {
    /// Reads a namespace, or all of them: [addresses before claims](Cluster::holdings) before pools.
    pub async fn read(cluster: &Cluster, scope: &Scope) -> Self {
        let mut world = Self::default();
        let take_address = |address| world.addresses.push(address);
        let listed = cluster.holdings(scope, take_address, |claim| world.claims.push(claim)).await;
        for (kind, listed) in listed {
            world.note(kind, listed);
        }
        let mut pools: Vec<Value> = Vec::new();
        let listed = cluster.each(Kind::Pool, scope, |pool| pools.push(pool)).await;
        world.note(Kind::Pool, listed);
        for pool in pools {
            world.add_pool(pool);
        }
        world
    }

    /// Reads the Clusters as well.
    pub async fn with_clusters(mut self, cluster: &Cluster, scope: &Scope) -> Self {
        let mut clusters = Vec::new();
        let listed =
            cluster.each(Kind::Cluster, scope, |raw: Raw| clusters.push(ClusterSeen::read(&raw))).await;
        if matches!(listed, Ok(true)) {
            self.clusters = Some(clusters);
        }
        self.note(Kind::Cluster, listed);
        self
    }

    /// Remembers what could not be seen. Kinds of Cluster API that are not installed are no loss.
    fn note(&mut self, kind: Kind, listed: Result<bool, Error>) {
        match listed {
            Ok(false) if kind.group() == GROUP => drop(self.unseen.insert(kind, not_installed(kind))),
            Ok(_) => {}
            Err(error) => drop(self.unseen.insert(kind, error)),
        }
    }
}
