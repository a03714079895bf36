//! Objects of the API → what the ledger sees of them. Here, and in how the bodies of writes are made, is all that one
//! family of claims and addresses has over the other.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::{Map, Value, json};

use super::seen::{
    Address, Claim, ClaimOwner, Cluster, ClusterOwner, Finalizers, Id, Meta, Others, Parts, Pool,
    PoolStatusSeen, Ready, Shown, Text,
};
use super::{Uid, fingerprint};
use crate::addr::parse_ip;
use crate::api::{
    ADOPTED_ANNOTATION, CLAIM_UID_ANNOTATION, CLUSTER_GROUP, CLUSTER_NAME_LABEL, CapiAddressSpec,
    ClusterSpec, Family, IPAddress, IPAddressClaimSpec, IPAddressClaimStatus, IPClaim, IPClaimStatus, IPPool,
    Kind, PAUSED_ANNOTATION, PROVIDER, PROVIDER_LABEL, PoolRules, REQUESTED_IP_ANNOTATION,
};

impl Claim {
    /// What is seen of an `IPClaim`.
    pub fn of_metal3(claim: &IPClaim) -> Self {
        let meta = &claim.metadata;
        let id = id(Kind::Claim(Family::Metal3), meta);
        let pool = &claim.spec.pool;
        let elsewhere = pool.namespace.as_deref().filter(|namespace| **namespace != *id.namespace);
        Self {
            pool: pool.name.as_deref().unwrap_or_default().into(),
            elsewhere: elsewhere.filter(|namespace| !namespace.is_empty()).map(Text::from),
            shown: claim.status.as_ref().map(Shown::of_metal3).unwrap_or_default(),
            ..Self::with(id, meta)
        }
    }

    /// What is seen of an `IPAddressClaim`, if it is ours: it asks for a pool of this project, or it once did and we
    /// still hold it.
    pub fn of_capi(
        meta: &ObjectMeta,
        spec: &IPAddressClaimSpec,
        status: Option<&IPAddressClaimStatus>,
    ) -> Option<Self> {
        let claim = Self::with(id(Kind::Claim(Family::Capi), meta), meta);
        let pool = spec.pool_ref.ours();
        (pool.is_some() || claim.meta.finalizers.ours.is_some()).then(|| Self {
            pool: pool.unwrap_or_default().into(),
            foreign: pool.is_none(),
            shown: status.map(Shown::of_capi).unwrap_or_default(),
            ..claim
        })
    }

    /// What both families have.
    fn with(id: Id, meta: &ObjectMeta) -> Self {
        let requested = annotation(meta, REQUESTED_IP_ANNOTATION).filter(|text| !text.is_empty());
        Self {
            meta: read_meta(id.kind, meta),
            created: meta.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second()),
            pool: Text::from(""),
            elsewhere: None,
            requested: requested.map(Text::from),
            paused: annotation(meta, PAUSED_ANNOTATION).is_some(),
            foreign: false,
            labels: Arc::new(meta.labels.clone().unwrap_or_default()),
            shown: Shown::default(),
            id,
        }
    }
}

impl Shown {
    fn of_metal3(status: &IPClaimStatus) -> Self {
        let name = status.address.as_ref().and_then(|address| address.name.as_deref());
        let conditions = status.conditions.iter().map(|condition| json!(condition)).collect();
        Self {
            error: status.error_message.as_deref().filter(|error| !error.is_empty()).map(Text::from),
            ..Self::with(name, conditions, Map::new())
        }
    }

    fn of_capi(status: &IPAddressClaimStatus) -> Self {
        let name = status.address_ref.as_ref().map(|address| address.name.as_str());
        // By this the replaced system marked claims that it had given up. Ours says what there is to say.
        let mut conditions = status.conditions.clone();
        conditions.retain(|condition| condition["type"] != "ErrorMessage");
        Self::with(name, conditions, status.others.clone())
    }

    /// What both families have.
    fn with(name: Option<&str>, mut conditions: Vec<Value>, members: Map<String, Value>) -> Self {
        let at = conditions.iter().position(|condition| condition["type"] == READY);
        let ready = at.map(|at| Ready::of(&conditions.remove(at)));
        Self {
            address: name.filter(|name| !name.is_empty()).map(Text::from),
            error: None,
            ready,
            others: (!conditions.is_empty() || !members.is_empty())
                .then(|| Arc::new(Others { conditions, members })),
        }
    }
}

impl Ready {
    /// A condition in whatever form.
    fn of(condition: &Value) -> Self {
        let text = |member: &str| condition[member].as_str().unwrap_or_default();
        let since = text("lastTransitionTime").parse().map_or(0, |time: jiff::Timestamp| time.as_second());
        Self {
            is: text("status") == "True",
            reason: text("reason").into(),
            message: text("message").into(),
            since,
        }
    }
}

const READY: &str = "Ready";

impl Address {
    /// What is seen of an `IPAddress` of `ipam.metal3.io`.
    pub fn of_metal3(address: &IPAddress) -> Self {
        let meta = &address.metadata;
        let id = id(Kind::Address(Family::Metal3), meta);
        let name = |reference: &ObjectReference| Text::from(reference.name.as_deref().unwrap_or_default());
        Self {
            ip: parse_ip(&address.spec.address).ok(),
            pool: name(&address.spec.pool),
            ..Self::with(id, meta, name(&address.spec.claim))
        }
    }

    /// What is seen of an `IPAddress` of Cluster API. Of another provider's, only that it is there.
    pub fn of_capi(meta: &ObjectMeta, spec: &CapiAddressSpec) -> Self {
        let id = id(Kind::Address(Family::Capi), meta);
        match spec.pool_ref.ours() {
            Some(pool) => Self {
                ip: parse_ip(&spec.address).ok(),
                pool: pool.into(),
                ..Self::with(id, meta, spec.claim_ref.name.as_str().into())
            },
            None => Self { owner: None, annotated: None, mark: None, ..Self::with(id, meta, "".into()) },
        }
    }

    /// What both families have.
    fn with(id: Id, meta: &ObjectMeta, claim: Text) -> Self {
        Self {
            meta: read_meta(id.kind, meta),
            ip: None,
            pool: Text::from(""),
            owner: claim_owner(meta, id.family(), &claim),
            claim,
            annotated: annotation(meta, CLAIM_UID_ANNOTATION).map(Uid::new),
            mark: annotation(meta, ADOPTED_ANNOTATION).map(Text::from),
            has: parts(meta),
            id,
        }
    }
}

impl Pool {
    /// What is seen of an `IPPool`.
    pub fn of(pool: &IPPool) -> Self {
        let (meta, spec) = (&pool.metadata, &pool.spec);
        let cluster = spec.cluster_name.as_deref().filter(|name| !name.is_empty());
        let label = |key: &str| meta.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
        Self {
            id: id(Kind::Pool, meta),
            meta: read_meta(Kind::Pool, meta),
            rules: Arc::new(PoolRules::read(spec)),
            name_prefix: spec.name_prefix.as_str().into(),
            cluster: cluster.map(Text::from),
            paused: annotation(meta, PAUSED_ANNOTATION).is_some(),
            labelled: label(CLUSTER_NAME_LABEL) == cluster && label(PROVIDER_LABEL) == Some(PROVIDER),
            owner: cluster.and_then(|name| cluster_owner(meta, name)),
            has: parts(meta),
            status: pool.status.as_ref().map(read_status).unwrap_or_default(),
        }
    }
}

impl Cluster {
    /// What is seen of a Cluster, read in the version `api_version`.
    pub fn of(meta: &ObjectMeta, spec: &ClusterSpec, api_version: &str) -> Self {
        Self {
            id: id(Kind::Cluster, meta),
            meta: read_meta(Kind::Cluster, meta),
            api_version: api_version.into(),
            paused: spec.paused || annotation(meta, PAUSED_ANNOTATION).is_some(),
        }
    }
}

fn read_status(status: &crate::api::IPPoolStatus) -> PoolStatusSeen {
    let indexes = status.indexes.iter().map(|(claim, ip)| (claim.as_str(), ip.as_str()));
    PoolStatusSeen {
        indexes: fingerprint(indexes),
        last_updated: status.last_updated.as_ref().map(|time| time.0.as_second()),
        capacity: status.capacity,
        available: status.available_ip_count,
        conditions: status.conditions.clone(),
    }
}

/// Which object of this kind it is.
pub fn identity(kind: Kind, meta: &ObjectMeta) -> (Id, Uid) {
    (id(kind, meta), Uid::new(meta.uid.as_deref().unwrap_or_default()))
}

/// The identity of an object of this kind.
fn id(kind: Kind, meta: &ObjectMeta) -> Id {
    let text = |value: &Option<String>| Text::from(value.as_deref().unwrap_or_default());
    Id { kind, namespace: text(&meta.namespace), name: text(&meta.name) }
}

fn read_meta(kind: Kind, meta: &ObjectMeta) -> Meta {
    let finalizers = meta.finalizers.iter().flatten().map(String::as_str);
    Meta {
        uid: Uid::new(meta.uid.as_deref().unwrap_or_default()),
        version: meta.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0),
        deleting: meta.deletion_timestamp.is_some(),
        finalizers: Finalizers::of(finalizers, kind.finalizer()),
    }
}

fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str)
}

fn parts(meta: &ObjectMeta) -> Parts {
    Parts {
        annotations: meta.annotations.is_some(),
        owners: meta.owner_references.is_some(),
        labels: meta.labels.is_some(),
    }
}

fn owners(meta: &ObjectMeta) -> impl Iterator<Item = (usize, &OwnerReference)> {
    meta.owner_references.iter().flatten().enumerate()
}

fn group(owner: &OwnerReference) -> &str {
    owner.api_version.split_once('/').map_or("", |(group, _)| group)
}

/// The owner reference to the claim that an address names; one to any other claim is somebody else's.
fn claim_owner(meta: &ObjectMeta, family: Family, name: &str) -> Option<ClaimOwner> {
    let claim = Kind::Claim(family);
    let is_claim = |owner: &OwnerReference| {
        owner.kind == claim.name() && group(owner) == claim.group() && owner.name == name
    };
    owners(meta).find(|(_, owner)| is_claim(owner)).map(|(at, owner)| ClaimOwner {
        at: u16::try_from(at).unwrap_or(u16::MAX),
        uid: Uid::new(&owner.uid),
    })
}

fn cluster_owner(meta: &ObjectMeta, name: &str) -> Option<ClusterOwner> {
    let is_cluster = |owner: &OwnerReference| {
        owner.kind == "Cluster" && group(owner) == CLUSTER_GROUP && owner.name == name
    };
    let (at, owner) = owners(meta).find(|(_, owner)| is_cluster(owner))?;
    Some(ClusterOwner { at, uid: Uid::new(&owner.uid), api_version: owner.api_version.as_str().into() })
}
