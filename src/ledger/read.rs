//! Objects of the API → what the ledger sees of them. Here, and in how the bodies of writes are made, is all that one
//! family of claims and addresses has over the other.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::seen::{
    Address, Claim, ClaimOwner, Cluster, ClusterOwner, Finalizers, Id, Meta, Parts, Pool, PoolStatusSeen,
    Ready, Shown, Text,
};
use super::{Uid, fingerprint};
use crate::addr::parse_ip;
use crate::api::{
    CLAIM_UID_ANNOTATION, CLUSTER_GROUP, CLUSTER_NAME_LABEL, ClusterSpec, Family, IPAddress, IPClaim,
    IPClaimStatus, IPPool, Kind, PAUSED_ANNOTATION, PROVIDER, PROVIDER_LABEL, PoolRules,
    REQUESTED_IP_ANNOTATION,
};

impl Claim {
    /// What is seen of an `IPClaim`.
    pub fn of_metal3(claim: &IPClaim) -> Self {
        let meta = &claim.metadata;
        let id = id(Kind::Claim(Family::Metal3), meta);
        let pool = &claim.spec.pool;
        let elsewhere = pool.namespace.as_deref().filter(|namespace| **namespace != *id.namespace);
        let requested = annotation(meta, REQUESTED_IP_ANNOTATION).filter(|text| !text.is_empty());
        Self {
            meta: read_meta(id.kind, meta),
            created: meta.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second()),
            pool: pool.name.as_deref().unwrap_or_default().into(),
            elsewhere: elsewhere.filter(|namespace| !namespace.is_empty()).map(Text::from),
            requested: requested.map(Text::from),
            paused: annotation(meta, PAUSED_ANNOTATION).is_some(),
            labels: Arc::new(meta.labels.clone().unwrap_or_default()),
            shown: claim.status.as_ref().map(Shown::of_metal3).unwrap_or_default(),
            id,
        }
    }
}

impl Shown {
    fn of_metal3(status: &IPClaimStatus) -> Self {
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        let name = status.address.as_ref().and_then(|address| address.name.as_deref());
        Self {
            address: name.filter(|name| !name.is_empty()).map(Text::from),
            error: status.error_message.as_deref().filter(|error| !error.is_empty()).map(Text::from),
            ready: ready.map(|condition| Ready {
                is: condition.status == "True",
                reason: condition.reason.as_str().into(),
                message: condition.message.as_str().into(),
                since: condition.last_transition_time.0.as_second(),
            }),
        }
    }
}

impl Address {
    /// What is seen of an `IPAddress` of `ipam.metal3.io`.
    pub fn of_metal3(address: &IPAddress) -> Self {
        let meta = &address.metadata;
        let id = id(Kind::Address(Family::Metal3), meta);
        let name = |reference: &ObjectReference| Text::from(reference.name.as_deref().unwrap_or_default());
        Self {
            meta: read_meta(id.kind, meta),
            ip: parse_ip(&address.spec.address).ok(),
            pool: name(&address.spec.pool),
            claim: name(&address.spec.claim),
            owner: claim_owner(meta, id.family()),
            annotated: annotation(meta, CLAIM_UID_ANNOTATION).map(Uid::new),
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

/// The identity of an object of this kind.
pub(crate) fn id(kind: Kind, meta: &ObjectMeta) -> Id {
    let text = |value: &Option<String>| Text::from(value.as_deref().unwrap_or_default());
    Id { kind, namespace: text(&meta.namespace), name: text(&meta.name) }
}

fn read_meta(kind: Kind, meta: &ObjectMeta) -> Meta {
    let finalizers = meta.finalizers.as_deref().unwrap_or_default();
    let ours = finalizers.iter().position(|finalizer| Some(finalizer.as_str()) == kind.finalizer());
    let index = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    Meta {
        uid: Uid::new(meta.uid.as_deref().unwrap_or_default()),
        version: meta.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0),
        deleting: meta.deletion_timestamp.is_some(),
        finalizers: Finalizers { ours: ours.map(index), total: index(finalizers.len()) },
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

fn claim_owner(meta: &ObjectMeta, family: Family) -> Option<ClaimOwner> {
    let claim = Kind::Claim(family);
    let found = owners(meta).find(|(_, owner)| owner.kind == claim.name() && group(owner) == claim.group());
    found.map(|(at, owner)| ClaimOwner {
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
