//! The ledger in sentences: objects are seen, writes are due, and no others.
//!
//! A [`scene::Scene`] holds a ledger and the objects as the API server has them. Its tests read what is due as text, so that
//! each can say all of it.

mod allocation;
mod contested;
mod failures;
mod fence;
mod figures;
mod memory;
mod names;
mod orphans;
mod overtaken;
mod pools;
mod protocol;
mod release;
mod restore;
mod scene;
mod server;
mod status;
mod storm;
mod verdicts;
mod waiting;
mod words;

use std::sync::Arc;

use crate::api::{AllocationStrategy, Family, IPPoolSpec, Kind, PoolEntry, PoolRules};
use crate::ledger::{
    Address, Claim, Cluster, Finalizers, Id, Meta, Others, Parts, Pool, PoolStatusSeen, Seen, Shown, Uid,
};

const NAMESPACE: &str = "ns";
/// What is due where nothing is.
const NOTHING: [&str; 0] = [];

/// Ours, alone.
const OURS: Finalizers = Finalizers { ours: Some(0), total: 1 };
/// Ours, and after it somebody else's.
const OURS_AND_FOREIGN: Finalizers = Finalizers { ours: Some(0), total: 2 };
/// Somebody else's, alone.
const FOREIGN: Finalizers = Finalizers { ours: None, total: 1 };

fn id(kind: Kind, name: &str) -> Id {
    Id::new(kind, NAMESPACE, name)
}

fn claim_id(name: &str) -> Id {
    id(Kind::Claim(Family::Metal3), name)
}

fn capi_claim_id(name: &str) -> Id {
    id(Kind::Claim(Family::Capi), name)
}

fn address_id(name: &str) -> Id {
    id(Kind::Address(Family::Metal3), name)
}

fn pool_id(name: &str) -> Id {
    id(Kind::Pool, name)
}

fn cluster_id() -> Id {
    id(Kind::Cluster, "k")
}

/// Another than who made it says that it will publish it.
const ADOPT: &str = "adopt address p-10-0-0-1 for claim a: annotations";

/// The UID and the version are given by the scene.
fn meta(finalizers: Finalizers) -> Meta {
    Meta { uid: Uid::new(""), version: 0, deleting: false, finalizers }
}

/// A claim on pool `p`, which admission has put our finalizer on.
fn claim(name: &str) -> Claim {
    Claim::new(claim_id(name), meta(OURS), "p")
}

/// A claim without finalizers.
fn bare_claim(name: &str) -> Claim {
    Claim { meta: meta(Finalizers::default()), ..claim(name) }
}

/// A claim of Cluster API's kind.
fn capi_claim(name: &str) -> Claim {
    Claim { id: capi_claim_id(name), ..claim(name) }
}

/// A claim that asks for an address.
fn request(name: &str, ip: &str) -> Claim {
    Claim { requested: Some(ip.into()), ..claim(name) }
}

/// An address object of pool `p` as a person makes it.
fn by_hand(name: &str, ip: &str, claim: &str) -> Address {
    Address {
        id: address_id(name),
        meta: meta(Finalizers::default()),
        ip: ip.parse().ok(),
        pool: "p".into(),
        claim: claim.into(),
        owner: None,
        annotated: None,
        mark: None,
        has: Parts::default(),
    }
}

/// An address object that we made for the claim with this UID.
fn made(name: &str, ip: &str, claim: &str, uid: &str) -> Address {
    let uid = Uid::new(uid);
    let owner = Some(crate::ledger::ClaimOwner { at: 1, uid: uid.clone() });
    let has = Parts { annotations: true, owners: true, labels: false };
    Address { meta: meta(OURS), owner, annotated: Some(uid), has, ..by_hand(name, ip, claim) }
}

/// A range as an entry.
fn entry(range: &str) -> PoolEntry {
    let (start, end) = range.split_once('-').unwrap_or((range, range));
    PoolEntry { start: Some(start.into()), end: Some(end.into()), ..PoolEntry::default() }
}

/// A spec with these ranges, lowest address first.
fn spec(ranges: &[&str]) -> IPPoolSpec {
    IPPoolSpec {
        pools: ranges.iter().map(|range| entry(range)).collect(),
        allocation_strategy: Some(AllocationStrategy::Sequential),
        name_prefix: "p".into(),
        ..IPPoolSpec::default()
    }
}

/// Pool `p` with this spec, which we hold.
fn pool_of(spec: &IPPoolSpec) -> Pool {
    Pool {
        id: pool_id("p"),
        meta: meta(OURS),
        rules: Arc::new(PoolRules::read(spec)),
        name_prefix: spec.name_prefix.as_str().into(),
        cluster: None,
        paused: false,
        labelled: false,
        owner: None,
        has: Parts::default(),
        status: PoolStatusSeen::default(),
    }
}

/// Pool `p` with this range, lowest address first, which we hold.
fn pool(range: &str) -> Pool {
    pool_of(&spec(&[range]))
}

/// Another pool with the `namePrefix` of `p`.
fn twin(name: &str, range: &str) -> Pool {
    Pool { id: pool_id(name), ..pool(range) }
}

/// Cluster `k`.
fn cluster() -> Cluster {
    Cluster {
        id: cluster_id(),
        meta: meta(Finalizers::default()),
        api_version: "cluster.x-k8s.io/v1beta2".into(),
        paused: false,
    }
}

impl From<Pool> for Seen {
    fn from(pool: Pool) -> Self {
        Self::Pool(Box::new(pool))
    }
}

impl From<Claim> for Seen {
    fn from(claim: Claim) -> Self {
        Self::Claim(Box::new(claim))
    }
}

impl From<Address> for Seen {
    fn from(address: Address) -> Self {
        Self::Address(Box::new(address))
    }
}

impl From<Cluster> for Seen {
    fn from(cluster: Cluster) -> Self {
        Self::Cluster(Box::new(cluster))
    }
}
