//! What the ledger keeps of each claim and its address, by the growth of this process: `-- N` for N of them.

#[path = "crowd/mod.rs"]
mod crowd;

use std::time::Duration;

use ipam::api::{Family, Kind};
use ipam::ledger::Now;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde_json::json;

use crowd::{Which, address, claim, list, pool};

fn main() {
    let count = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(100_000);
    let mut ledger = crowd::empty();
    let (empty, plain) = (memory("VmRSS"), json!({}));
    list(&mut ledger, Kind::Address(Family::Metal3), (0..count).map(|n| address(Which::first(n), &plain)));
    let addresses = memory("VmRSS");
    list(&mut ledger, Kind::Claim(Family::Metal3), (0..count).map(|n| claim(Which::first(n), true, &plain)));
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

/// What the kernel says of this process, in bytes.
fn memory(which: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find(|line| line.starts_with(which)).expect("the kernel says so");
    1024 * line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).expect("a number")
}
