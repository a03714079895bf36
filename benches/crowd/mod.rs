//! A ledger that knows of many claims, each with its address.

use std::net::Ipv4Addr;

use ipam::api::{Family, IPAddress, IPClaim, IPPool, Kind};
use ipam::ledger::{Address, Claim, Config, Ledger, Pool, Seen};
use serde_json::{Value, json};

/// The kinds that are listed.
pub const KINDS: [Kind; 3] = [Kind::Pool, Kind::Claim(Family::Metal3), Kind::Address(Family::Metal3)];

/// A ledger to which nothing was listed yet.
pub fn empty() -> Ledger {
    Ledger::new(Config::default(), KINDS)
}

/// One after the other, as a watch brings them.
pub fn list(ledger: &mut Ledger, kind: Kind, objects: impl IntoIterator<Item = Seen>) {
    ledger.list_begins(kind);
    objects.into_iter().for_each(|seen| ledger.list_shows(seen));
    ledger.list_ends(kind);
}

/// The pool, which hands out its lowest address first.
pub fn pool() -> Seen {
    let object: IPPool = serde_json::from_value(json!({
        "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool",
        "metadata": {
            "name": "p", "namespace": "bench", "uid": "pool", "resourceVersion": "1", "finalizers": ["ippool.ipam.metal3.io"],
        },
        "spec": {"namePrefix": "p", "allocationStrategy": "sequential", "pools": [{"subnet": "10.0.0.0/8"}]},
    }))
    .expect("a pool");
    Seen::Pool(Box::new(Pool::of(&object)))
}

/// The `n`th address of the pool.
pub fn ip(n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0001 + n)
}

/// Which of the claims and addresses of a number, and in which version.
#[derive(Clone, Copy)]
pub struct Which {
    pub n: u32,
    pub life: u64,
    pub version: u64,
}

impl Which {
    /// The first of its number.
    pub fn first(n: u32) -> Self {
        Self { n, life: 0, version: 1 }
    }

    fn uid(self) -> String {
        format!("{:08x}-0000-4000-8000-{:012x}", self.n, self.life)
    }

    fn uid_of_address(self) -> String {
        format!("{:08x}-0000-4000-9000-{:012x}", self.n, self.life)
    }
}

/// The object of an address.
pub fn address(which: Which, metadata: &Value) -> Seen {
    let Which { n, version, .. } = which;
    let ip = ip(n);
    let mut object = json!({
        "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPAddress",
        "metadata": {
            "name": object_name(ip), "namespace": "bench", "uid": which.uid_of_address(), "resourceVersion": version.to_string(),
            "finalizers": ["ipaddress.ipam.metal3.io"], "annotations": {"ipam.metal3.io/claim-uid": which.uid()},
            "ownerReferences": [
                {"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "name": "p", "uid": "pool"},
                {"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim", "name": claim_name(n), "uid": which.uid()},
            ],
        },
        "spec": {
            "address": ip, "prefix": 8, "pool": {"name": "p", "namespace": "bench"},
            "claim": {"name": claim_name(n), "namespace": "bench"},
        },
    });
    merge(&mut object["metadata"], metadata);
    let object: IPAddress = serde_json::from_value(object).expect("an address");
    Seen::Address(Box::new(Address::of_metal3(&object)))
}

/// The claim of an address; with that address, or with none yet.
pub fn claim(which: Which, is_bound: bool, metadata: &Value) -> Seen {
    let Which { n, version, .. } = which;
    let ready = json!({
        "type": "Ready", "status": "True", "reason": "AddressAllocated", "message": "The address is allocated",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let bound = json!({"address": {"name": object_name(ip(n))}, "conditions": [ready]});
    let mut object = json!({
        "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim",
        "metadata": {
            "name": claim_name(n), "namespace": "bench", "uid": which.uid(), "resourceVersion": version.to_string(),
            "creationTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["ipclaim.ipam.metal3.io"],
        },
        "spec": {"pool": {"name": "p"}},
        "status": if is_bound { bound } else { json!({}) },
    });
    merge(&mut object["metadata"], metadata);
    let object: IPClaim = serde_json::from_value(object).expect("a claim");
    Seen::Claim(Box::new(Claim::of_metal3(&object)))
}

fn merge(into: &mut Value, more: &Value) {
    for (name, value) in more.as_object().into_iter().flatten() {
        into[name] = value.clone();
    }
}

fn object_name(ip: Ipv4Addr) -> String {
    format!("p-{}", ip.to_string().replace('.', "-"))
}

fn claim_name(n: u32) -> String {
    format!("claim-{n:06}")
}
