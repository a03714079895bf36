//! Picking and giving back an address, by how many are held.

use std::hint::black_box;
use std::net::IpAddr;

use criterion::{Criterion, criterion_group, criterion_main};
use ipam::addr::{AddressSet, Entry, Space, parse_cidr};
use rand::SeedableRng;
use rand::rngs::SmallRng;

/// A space of this subnet, every other address of which is held up to `held`: the worst case for intervals.
fn fragmented(subnet: &str, held: u32) -> Space {
    let range = parse_cidr(subnet).expect("a subnet of this file").range();
    let entry = Entry { range: Some(range), ..Entry::default() };
    let mut space = Space::new(vec![entry], AddressSet::new(), []);
    for n in 0..held {
        space.take(nth(range.first(), 2 * n));
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
    for (family, subnet) in [("v4", "10.0.0.0/8"), ("v6", "fd00::/64")] {
        for held in [1_000, 100_000, 1_000_000] {
            let mut space = fragmented(subnet, held);
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

criterion_group!(benches, picks, nearly_full);
criterion_main!(benches);
