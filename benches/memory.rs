//! What the ledger keeps of each claim and its address, by the growth of this process: `-- N` for N of them.

use std::net::Ipv4Addr;
use std::time::Duration;

use ipam::api::{Family, IPAddress, IPClaim, IPPool, Kind};
use ipam::ledger::{Address, Claim, Config, Ledger, Now, Pool, Seen};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde_json::json;

const KINDS: [Kind; 3] = [Kind::Pool, Kind::Claim(Family::Metal3), Kind::Address(Family::Metal3)];

fn main() {
    let count = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(100_000);
    let mut ledger = Ledger::new(Config::default(), KINDS);
    let empty = memory("VmRSS");
    list(&mut ledger, Kind::Address(Family::Metal3), (0..count).map(address));
    let addresses = memory("VmRSS");
    list(&mut ledger, Kind::Claim(Family::Metal3), (0..count).map(claim));
    list(&mut ledger, Kind::Pool, [pool()]);
    let now = Now { elapsed: Duration::from_secs(1), wall: 1 };
    let due = ledger.due(now, usize::MAX, &mut SmallRng::seed_from_u64(1));
    assert!(due.iter().all(|write| write.subject.kind == Kind::Pool), "all claims are served");
    let (all, most) = (memory("VmRSS"), memory("VmHWM"));
    let mebibytes = |bytes: u64| bytes / 1024 / 1024;
    println!("{count} claims with their addresses: {} MiB, {} at most", mebibytes(all), mebibytes(most));
    let each = |bytes: u64| bytes / u64::from(count);
    println!("{} bytes an address, {} bytes a claim", each(addresses - empty), each(all - addresses));
}

/// One after the other, as a watch brings them.
fn list(ledger: &mut Ledger, kind: Kind, objects: impl IntoIterator<Item = Seen>) {
    ledger.list_begins(kind);
    objects.into_iter().for_each(|seen| ledger.list_shows(seen));
    ledger.list_ends(kind);
}

/// What the kernel says of this process, in bytes.
fn memory(which: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find(|line| line.starts_with(which)).expect("the kernel says so");
    1024 * line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).expect("a number")
}

fn pool() -> Seen {
    let object: IPPool = serde_json::from_value(json!({
        "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool",
        "metadata": {"name": "p", "namespace": "bench", "uid": "pool", "resourceVersion": "1"},
        "spec": {"namePrefix": "p", "pools": [{"subnet": "10.0.0.0/8"}]},
    }))
    .expect("a pool");
    Seen::Pool(Box::new(Pool::of(&object)))
}

fn address(n: u32) -> Seen {
    let ip = Ipv4Addr::from_bits(0x0a00_0002 + n);
    let object: IPAddress = serde_json::from_value(json!({
        "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPAddress",
        "metadata": {
            "name": object_name(ip), "namespace": "bench", "uid": uid(n), "resourceVersion": n.to_string(),
            "finalizers": ["ipaddress.ipam.metal3.io"], "annotations": {"ipam.metal3.io/claim-uid": uid(!n)},
            "ownerReferences": [
                {"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "name": "p", "uid": "pool"},
                {"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim", "name": claim_name(n), "uid": uid(!n)},
            ],
        },
        "spec": {
            "address": ip, "prefix": 8, "pool": {"name": "p", "namespace": "bench"},
            "claim": {"name": claim_name(n), "namespace": "bench"},
        },
    }))
    .expect("an address");
    Seen::Address(Box::new(Address::of_metal3(&object)))
}

fn claim(n: u32) -> Seen {
    let published = object_name(Ipv4Addr::from_bits(0x0a00_0002 + n));
    let ready = json!({
        "type": "Ready", "status": "True", "reason": "AddressAllocated", "message": "The address is allocated",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let object: IPClaim = serde_json::from_value(json!({
        "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim",
        "metadata": {
            "name": claim_name(n), "namespace": "bench", "uid": uid(!n), "resourceVersion": n.to_string(),
            "creationTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["ipclaim.ipam.metal3.io"],
        },
        "spec": {"pool": {"name": "p"}},
        "status": {"address": {"name": published}, "conditions": [ready]},
    }))
    .expect("a claim");
    Seen::Claim(Box::new(Claim::of_metal3(&object)))
}

fn object_name(ip: Ipv4Addr) -> String {
    format!("p-{}", ip.to_string().replace('.', "-"))
}

fn claim_name(n: u32) -> String {
    format!("claim-{n:06}")
}

fn uid(n: u32) -> String {
    format!("{n:08x}-0000-4000-8000-000000000000")
}
