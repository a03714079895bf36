//! Picking and giving back an address, by how many are held: among the intervals of a pool alone, and with all that the ledger
//! decides of a claim from its coming to its going.

#[path = "crowd/mod.rs"]
mod crowd;

use std::collections::BTreeSet;
use std::hint::black_box;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use ipam::addr::{AddressSet, Entry, Range, Space, parse_cidr};
use ipam::api::{Family, Kind};
use ipam::ledger::{Act, Ledger, Now, Outcome, Seen, Write};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde_json::json;

use crowd::Which;

/// A space from this address on in which every other address is held: the worst case for intervals. It has as many free ones
/// as held ones, so that each pick falls among them.
fn fragmented(first: &str, held: u32) -> Space {
    let first: IpAddr = first.parse().expect("an address of this file");
    let range = Range::new(first, nth(first, 2 * held - 1)).expect("a range");
    let entry = Entry { range: Some(range), ..Entry::default() };
    let mut space = Space::new(vec![entry], AddressSet::new(), []);
    for n in 0..held {
        space.take(nth(first, 2 * n));
    }
    space
}

fn nth(first: IpAddr, n: u32) -> IpAddr {
    match first {
        IpAddr::V4(ip) => IpAddr::V4((ip.to_bits() + n).into()),
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() + u128::from(n)).into()),
    }
}

fn picks(criterion: &mut Criterion) {
    for (family, first) in [("v4", "10.0.0.0"), ("v6", "fd00::")] {
        for held in [1_000, 100_000, 1_000_000] {
            let mut space = fragmented(first, held);
            let mut rng = SmallRng::seed_from_u64(1);
            criterion.bench_function(
                &format!("{family}/{held} held/lowest: pick, take, give back"),
                |bencher| {
                    bencher.iter(|| {
                        let ip = space.pick_lowest().expect("there is room");
                        black_box(space.take(ip));
                        black_box(space.give_back(ip));
                    });
                },
            );
            criterion.bench_function(
                &format!("{family}/{held} held/random: pick, take, give back"),
                |bencher| {
                    bencher.iter(|| {
                        let ip = space.pick_random(&mut rng).expect("there is room");
                        black_box(space.take(ip));
                        black_box(space.give_back(ip));
                    });
                },
            );
        }
    }
}

/// A /16 of which one address in a hundred is free: most draws hit a held one.
fn nearly_full(criterion: &mut Criterion) {
    let range = parse_cidr("10.0.0.0/16").expect("a subnet").range();
    let entry = Entry { range: Some(range), ..Entry::default() };
    let mut space = Space::new(vec![entry], AddressSet::new(), []);
    for n in (0..65_536).filter(|n| n % 100 != 0) {
        space.take(nth(range.first(), n));
    }
    let mut rng = SmallRng::seed_from_u64(1);
    criterion.bench_function("v4/99 % held/random: pick, take, give back", |bencher| {
        bencher.iter(|| {
            let ip = space.pick_random(&mut rng).expect("there is room");
            black_box(space.take(ip));
            black_box(space.give_back(ip));
        });
    });
}

/// A claim comes, gets the lowest address, publishes it, is deleted and goes. What the API server would answer is made
/// meanwhile, and is not counted.
fn whole_claims(criterion: &mut Criterion) {
    for held in [1_000, 100_000] {
        let mut ledger = crowd::empty();
        let plain = json!({});
        let addresses = (0..held).map(|n| crowd::address(Which::first(n), &plain));
        crowd::list(&mut ledger, Kind::Address(Family::Metal3), addresses);
        let claims = (0..held).map(|n| crowd::claim(Which::first(n), true, &plain));
        crowd::list(&mut ledger, Kind::Claim(Family::Metal3), claims);
        crowd::list(&mut ledger, Kind::Pool, [crowd::pool()]);
        let which = Which::first(held);
        let mut life = Life { ledger, which, rng: SmallRng::seed_from_u64(1), spent: Duration::ZERO };
        // The pool's status is never answered, so that it is worked out once.
        life.due();
        criterion.bench_function(
            &format!("ledger/{held} held/a claim from its coming to its going"),
            |bencher| {
                bencher.iter_custom(|times| {
                    life.spent = Duration::ZERO;
                    (0..times).for_each(|_| life.live());
                    life.spent
                });
            },
        );
    }
}

/// A ledger, the claim of the lowest free address, and the time that the ledger has spent.
struct Life {
    ledger: Ledger,
    which: Which,
    rng: SmallRng,
    spent: Duration,
}

impl Life {
    fn live(&mut self) {
        self.which.life += 1;
        let came = self.claim(false, false);
        self.timed(|ledger, _| ledger.observe(came));
        self.settle();
        let leaves = self.claim(true, true);
        self.timed(|ledger, _| ledger.observe(leaves));
        self.settle();
    }

    /// All that is due, and what follows from it: each reply, and the same by the watch.
    fn settle(&mut self) {
        loop {
            let due = self.due();
            if due.is_empty() {
                return;
            }
            for write in due {
                let outcome = self.answer(&write);
                let echo = if let Outcome::Seen(seen) = &outcome { Some(seen.clone()) } else { None };
                self.timed(|ledger, rng| ledger.outcome(&write, outcome, NOW, rng));
                self.timed(|ledger, _| match (&write.act, echo) {
                    (_, Some(seen)) => ledger.observe(seen),
                    (Act::Strip { object, uid, .. }, None) => ledger.deleted(object, uid),
                    _ => {}
                });
            }
        }
    }

    fn due(&mut self) -> Vec<Write> {
        self.timed(|ledger, rng| ledger.due(NOW, 64, rng))
    }

    fn timed<T>(&mut self, work: impl FnOnce(&mut Ledger, &mut SmallRng) -> T) -> T {
        let start = Instant::now();
        let done = work(&mut self.ledger, &mut self.rng);
        self.spent += start.elapsed();
        done
    }

    fn claim(&mut self, is_bound: bool, leaves: bool) -> Seen {
        self.which.version += 1;
        crowd::claim(self.which, is_bound, &deleting(leaves))
    }

    fn address(&mut self, leaves: bool) -> Seen {
        self.which.version += 1;
        crowd::address(self.which, &deleting(leaves))
    }

    fn answer(&mut self, write: &Write) -> Outcome {
        match &write.act {
            Act::Take(_) => Outcome::Seen(self.address(false)),
            Act::Survey { .. } => Outcome::Names { names: BTreeSet::new(), complete: true },
            Act::Publish { .. } => Outcome::Seen(self.claim(true, false)),
            Act::Delete { .. } => Outcome::Seen(self.address(true)),
            Act::Strip { .. } => Outcome::Gone,
            other => unreachable!("{other}"),
        }
    }
}

fn deleting(is: bool) -> serde_json::Value {
    if is { json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}) } else { json!({}) }
}

const NOW: Now = Now { elapsed: Duration::from_secs(1), wall: 1 };

criterion_group!(benches, picks, nearly_full, whole_claims);
criterion_main!(benches);
