//! What the ledger keeps of each claim and its address, by the growth of this process: `-- N` for N of them.

use std::net::Ipv4Addr;

use ipam::api::{Family, IPAddress, IPClaim, Kind};
use ipam::ledger::{Address, Claim, Config, Ledger, Seen};
use serde_json::{Value, json};

fn main() {
    let count = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(100_000);
    let kinds = [Kind::Pool, Kind::Claim(Family::Metal3), Kind::Address(Family::Metal3)];
    let mut ledger = Ledger::new(Config::default(), kinds);
    let empty = resident();
    for n in 0..count {
        let object: IPAddress = serde_json::from_value(address(n)).expect("an address");
        ledger.observe(Seen::Address(Box::new(Address::of_metal3(&object))));
    }
    let addresses = resident();
    for n in 0..count {
        let object: IPClaim = serde_json::from_value(claim(n)).expect("a claim");
        ledger.observe(Seen::Claim(Box::new(Claim::of_metal3(&object))));
    }
    let all = resident();
    let each = |bytes: u64| bytes / u64::from(count);
    println!("{count} claims with their addresses: {} MiB", all / 1024 / 1024);
    println!("{} bytes an address, {} bytes a claim", each(addresses - empty), each(all - addresses));
}

/// In bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("the kernel says so");
    1024 * line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).expect("a number")
}

fn address(n: u32) -> Value {
    let ip = Ipv4Addr::from_bits(0x0a00_0002 + n);
    json!({
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
    })
}

fn claim(n: u32) -> Value {
    let object = object_name(Ipv4Addr::from_bits(0x0a00_0002 + n));
    let ready = json!({
        "type": "Ready", "status": "True", "reason": "AddressAllocated", "message": "The address is allocated",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    json!({
        "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim",
        "metadata": {
            "name": claim_name(n), "namespace": "bench", "uid": uid(!n), "resourceVersion": n.to_string(),
            "creationTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["ipclaim.ipam.metal3.io"],
        },
        "spec": {"pool": {"name": "p"}},
        "status": {"address": {"name": object}, "conditions": [ready]},
    })
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
