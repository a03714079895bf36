//! How pools are used, counted object by object, so that nothing has to be kept of a hundred thousand of them but
//! their addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipam::addr::Space;
use ipam::api::{Family, IPPool, PAUSED_ANNOTATION, PoolRules};
use jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;

use super::{Address, Claim, Word};

/// Namespace and name of a pool.
pub type Key = (Word, Word);

/// Namespace and name of a pool.
pub fn key(pool: &IPPool) -> Key {
    let meta = &pool.metadata;
    (meta.namespace.as_deref().unwrap_or_default().into(), meta.name.as_deref().unwrap_or_default().into())
}

/// The use of each pool.
#[derive(Default)]
pub struct Tallies(BTreeMap<Key, Tally>);

/// The use of one pool.
#[derive(Default, Clone)]
pub struct Tally {
    pub held: BTreeSet<IpAddr>,
    pub waiting: Vec<Waiting>,
}

/// A claim without an address. The oldest comes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiting {
    pub since: Option<Timestamp>,
    pub name: Word,
    pub family: Family,
    pub why: Option<String>,
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

impl Tallies {
    /// Counts an address.
    pub fn add_address(&mut self, address: &Address) {
        if let Some(ip) = address.ip {
            self.at(address.meta.namespace, address.pool).held.insert(ip);
        }
    }

    /// Counts a claim.
    pub fn add_claim(&mut self, claim: &Claim) {
        if claim.bound().is_some() || claim.meta.deleting() || claim.elsewhere.is_some() {
            return;
        }
        let waiting = Waiting {
            since: claim.meta.creation_timestamp.as_ref().map(|time| time.0),
            name: claim.meta.name,
            family: claim.family,
            why: claim.why().map(str::to_owned),
        };
        self.at(claim.meta.namespace, claim.pool).waiting.push(waiting);
    }

    /// The use of a pool; its waiting claims are in the order in which they are served.
    pub fn of(&self, pool: &IPPool) -> Tally {
        let mut tally = self.0.get(&key(pool)).cloned().unwrap_or_default();
        tally.waiting.sort();
        tally
    }

    fn at(&mut self, namespace: Word, pool: Word) -> &mut Tally {
        self.0.entry((namespace, pool)).or_default()
    }
}

impl Tally {
    /// What is left of the pool.
    pub fn space(&self, rules: &PoolRules) -> Space {
        let mut space = rules.space();
        for &ip in &self.held {
            space.take(ip);
        }
        space
    }

    /// The use of the pool in numbers.
    pub fn usage(&self, pool: &IPPool) -> Usage {
        let rules = PoolRules::read(&pool.spec);
        let space = self.space(&rules);
        let kept =
            rules.pre_allocations.values().filter(|ip| !self.held.contains(ip) && space.may_name(**ip));
        let reserved = kept.count();
        let capacity = space.capacity();
        let (state, message) = pool_state(pool);
        Usage {
            namespace: pool.namespace().unwrap_or_default(),
            pool: pool.name_any(),
            cluster: pool.spec.cluster_name.clone(),
            capacity: capacity.to_string(),
            used: self.held.len(),
            reserved,
            waiting: self.waiting.len(),
            free: space.free().to_string(),
            used_percent: u8::try_from((self.held.len() as u128 * 100).checked_div(capacity).unwrap_or(0))
                .unwrap_or(100),
            state,
            message,
        }
    }
}

/// The reason of the `Ready` condition, or what can be told without a controller of ours.
pub fn pool_state(pool: &IPPool) -> (String, String) {
    let conditions = pool.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    match conditions.iter().find(|condition| condition.type_ == "Ready") {
        Some(ready) => (ready.reason.clone(), ready.message.clone()),
        None if pool.metadata.deletion_timestamp.is_some() => ("Deleting".into(), String::new()),
        None if pool.annotations().contains_key(PAUSED_ANNOTATION) => ("Paused".into(), String::new()),
        None => ("Unknown".into(), "no controller has reported on the pool".into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Raw;
    use super::*;

    #[test]
    fn both_families_count_and_what_is_reserved_and_held_counts_once() {
        let pool: IPPool = serde_json::from_value(json!({
            "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": "p", "namespace": "ns"},
            "spec": {"namePrefix": "p", "pools": [{"start": "10.0.0.1", "end": "10.0.0.8"}],
                     "preAllocations": {"a": "10.0.0.1", "b": "10.0.0.2"}},
        }))
        .unwrap();
        let raw = |value| -> Raw { serde_json::from_value(value).unwrap() };
        let meta = json!({"name": "x", "namespace": "ns"});
        let ours = json!({"name": "p", "kind": "IPPool", "apiGroup": "ipam.metal3.io"});
        let mut tallies = Tallies::default();
        for (family, spec) in [
            (Family::Metal3, json!({"address": "10.0.0.1", "pool": {"name": "p"}})),
            (Family::Capi, json!({"address": "10.0.0.3", "poolRef": ours})),
        ] {
            let address = Address::read(family, raw(json!({"metadata": meta, "spec": spec}))).unwrap();
            tallies.add_address(&address);
        }
        let claim =
            Claim::read(Family::Capi, raw(json!({"metadata": meta, "spec": {"poolRef": ours}}))).unwrap();
        tallies.add_claim(&claim);
        let usage = tallies.of(&pool).usage(&pool);
        assert_eq!((usage.used, usage.reserved, usage.waiting), (2, 1, 1));
        assert_eq!((usage.capacity.as_str(), usage.free.as_str(), usage.used_percent), ("8", "5", 25));
        assert_eq!(usage.state, "Unknown");
    }
}
