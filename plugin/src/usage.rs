//! What is held, reserved and free in a pool, and who waits: worked out from the objects, with no controller.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipam::addr::parse_ip;
use ipam::api::{Family, IPAddress, IPClaim, IPPool, Kind, PoolRules};
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::DynamicResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, api};
use crate::wait::ready;

/// All objects that say how pools are used.
pub struct World {
    pub pools: Vec<IPPool>,
    pub claims: Vec<IPClaim>,
    pub addresses: Vec<IPAddress>,
    /// Addresses of Cluster API's kind that are of our pools: namespace, pool, address.
    capi: Vec<(String, String, IpAddr)>,
    /// What could not be seen, as a sentence.
    pub unseen: Option<String>,
}

/// How one pool is used.
#[derive(Serialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    pub namespace: String,
    pub pool: String,
    pub cluster: Option<String>,
    /// Decimal, as it may exceed what JSON numbers hold.
    pub capacity: String,
    pub used: usize,
    pub reserved: usize,
    pub waiting: usize,
    /// Decimal, as it may exceed what JSON numbers hold.
    pub free: String,
    pub used_percent: u8,
    pub state: String,
    pub message: String,
}

impl World {
    /// Reads the namespace, or all of them.
    pub async fn read(client: &Client, namespace: Option<&str>) -> Result<Self, Error> {
        let (capi, unseen) = capi_addresses(client, namespace).await;
        Ok(Self {
            pools: all(&scoped::<IPPool>(client, namespace), "list ippools").await?,
            claims: all(&scoped::<IPClaim>(client, namespace), "list ipclaims").await?,
            addresses: all(&scoped::<IPAddress>(client, namespace), "list ipaddresses").await?,
            capi,
            unseen,
        })
    }

    /// The addresses that are held of a pool.
    pub fn held(&self, pool: &IPPool) -> BTreeSet<IpAddr> {
        let (namespace, name) = (pool.namespace().unwrap_or_default(), pool.name_any());
        let ours = self.addresses_of(pool).filter_map(|address| parse_ip(&address.spec.address).ok());
        let theirs = self.capi.iter().filter(|(ns, pool, _)| *ns == namespace && *pool == name);
        ours.chain(theirs.map(|(_, _, ip)| *ip)).collect()
    }

    /// The address objects of a pool.
    pub fn addresses_of<'a>(&'a self, pool: &'a IPPool) -> impl Iterator<Item = &'a IPAddress> {
        let is_of = |address: &&IPAddress| {
            address.namespace() == pool.namespace() && address.spec.pool.name == pool.metadata.name
        };
        self.addresses.iter().filter(is_of)
    }

    /// The claims of a pool.
    pub fn claims_of<'a>(&'a self, pool: &'a IPPool) -> impl Iterator<Item = &'a IPClaim> {
        let is_of = |claim: &&IPClaim| {
            claim.namespace() == pool.namespace() && claim.spec.pool.name == pool.metadata.name
        };
        self.claims.iter().filter(is_of)
    }

    /// The claims of a pool that have no address, the oldest first.
    pub fn waiting_for<'a>(&'a self, pool: &'a IPPool) -> Vec<&'a IPClaim> {
        let has_none = |claim: &&IPClaim| {
            claim.metadata.deletion_timestamp.is_none()
                && claim.status.as_ref().is_none_or(|status| status.address.is_none())
        };
        let mut waiting: Vec<&IPClaim> = self.claims_of(pool).filter(has_none).collect();
        waiting.sort_by_key(|claim| {
            (claim.metadata.creation_timestamp.clone().map(|time| time.0), claim.name_any())
        });
        waiting
    }

    /// How a pool is used.
    pub fn usage(&self, pool: &IPPool) -> Usage {
        let rules = PoolRules::read(&pool.spec);
        let (mut space, held) = (rules.space(), self.held(pool));
        for &ip in &held {
            space.take(ip);
        }
        let reserved =
            rules.pre_allocations.values().filter(|ip| !held.contains(ip) && space.may_name(**ip)).count();
        let capacity = space.capacity();
        let (state, message) = state(pool);
        Usage {
            namespace: pool.namespace().unwrap_or_default(),
            pool: pool.name_any(),
            cluster: pool.spec.cluster_name.clone(),
            capacity: capacity.to_string(),
            used: held.len(),
            reserved,
            waiting: self.waiting_for(pool).len(),
            free: space.free().to_string(),
            used_percent: u8::try_from((held.len() as u128 * 100).checked_div(capacity).unwrap_or(0))
                .unwrap_or(100),
            state,
            message,
        }
    }
}

/// The reason of the `Ready` condition, or what can be told without a controller of ours.
fn state(pool: &IPPool) -> (String, String) {
    let conditions = pool.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    match ready(conditions) {
        Some(ready) => (ready.reason.clone(), ready.message.clone()),
        None if pool.metadata.deletion_timestamp.is_some() => ("Deleting".into(), String::new()),
        None if pool.annotations().contains_key(ipam::api::PAUSED_ANNOTATION) => {
            ("Paused".into(), String::new())
        }
        None => ("Unknown".into(), "no controller has reported on the pool".into()),
    }
}

fn scoped<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope>,
    K::DynamicType: Default,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// All objects, page by page.
async fn all<K>(objects: &Api<K>, doing: &str) -> Result<Vec<K>, Error>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut found = Vec::new();
    let mut page = ListParams::default().limit(500);
    loop {
        let list = objects.list(&page).await.map_err(|error| api(doing, error))?;
        found.extend(list.items);
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(found),
        }
    }
}

/// Cluster API's addresses that are of our pools. That the kind is not installed is no news; that it may not be listed
/// is.
async fn capi_addresses(
    client: &Client,
    namespace: Option<&str>,
) -> (Vec<(String, String, IpAddr)>, Option<String>) {
    let kind = Kind::Address(Family::Capi).resource();
    for version in ["v1beta2", "v1beta1"] {
        let resource = ApiResource {
            group: kind.group.to_owned(),
            version: version.to_owned(),
            api_version: format!("{}/{version}", kind.group),
            kind: kind.kind.to_owned(),
            plural: kind.plural.to_owned(),
        };
        let objects: Api<DynamicObject> = dynamic(client, namespace, &resource);
        match objects.list(&ListParams::default()).await {
            Ok(list) => return (list.items.iter().filter_map(read_capi).collect(), None),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => {
                let why = format!("IPAddresses of Cluster API cannot be listed and are not counted: {error}");
                return (Vec::new(), Some(why));
            }
        }
    }
    (Vec::new(), None)
}

fn dynamic<K>(client: &Client, namespace: Option<&str>, resource: &ApiResource) -> Api<K>
where
    K: Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    }
}

fn read_capi(object: &DynamicObject) -> Option<(String, String, IpAddr)> {
    let spec = &object.data["spec"];
    let pool = &spec["poolRef"];
    let is_ours = pool["kind"] == "IPPool" && pool["apiGroup"] == ipam::api::GROUP;
    let name = pool["name"].as_str().filter(|_| is_ours)?;
    Some((object.namespace()?, name.to_owned(), parse_ip(spec["address"].as_str()?).ok()?))
}
