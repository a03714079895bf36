//! The ledger's figures as gauges, made anew for each scrape: a pool that is gone leaves none behind.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::NAME;
use super::labels::{Fates, Name, PoolName, state};
use crate::api::Kind;
use crate::ledger::{Figures, PoolFigures};

type Pools = Family<PoolName, Gauge<f64, AtomicU64>>;

/// One gauge of each pool: its name without the unit, its unit, what it says, and its value at a time.
type Column = (&'static str, Unit, &'static str, fn(&PoolFigures, i64) -> f64);

/// The figures at the time `now`, in seconds since the epoch.
pub(super) fn registry(figures: &Figures, now: i64) -> Registry {
    let mut all = Registry::default();
    let depth = Family::<Name, Gauge>::default();
    depth.get_or_create(&Name { name: NAME }).set(i64::try_from(figures.to_do).unwrap_or(i64::MAX));
    all.register("workqueue_depth", "Objects that are to be looked at", depth);
    let added = Family::<Name, Counter>::default();
    added.get_or_create(&Name { name: NAME }).inc_by(figures.added);
    all.register("workqueue_adds", "Objects that were to be looked at", added);
    all.register("ipam_claims", "Claims by kind and by how they fare", claims(figures));
    for (name, unit, help, value) in columns() {
        let gauges = Pools::default();
        for pool in &figures.pools {
            gauges.get_or_create(&self::name(pool)).set(value(pool, now));
        }
        all.register_with_unit(name, help, unit, gauges);
    }
    all
}

fn columns() -> [Column; 7] {
    let addresses = || Unit::Other("addresses".into());
    let claims = || Unit::Other("claims".into());
    [
        ("ipam_pool_capacity", addresses(), "Addresses that the pool can hand out", |pool, _| {
            float(pool.capacity)
        }),
        ("ipam_pool_free", addresses(), "Addresses of the pool that are free", |pool, _| float(pool.free)),
        ("ipam_pool_allocated", addresses(), "Address objects of the pool, of both kinds", |pool, _| {
            float(pool.allocated as u128)
        }),
        ("ipam_pool_leaked", addresses(), "Address objects that seem to have lost their claim", |pool, _| {
            float(pool.leaked as u128)
        }),
        ("ipam_pool_doubled", addresses(), "Addresses that objects of both kinds have", |pool, _| {
            float(pool.doubled as u128)
        }),
        (
            "ipam_pool_waiting",
            claims(),
            "Claims that wait for an address of the pool to become free",
            |pool, _| float(pool.waiting as u128),
        ),
        (
            "ipam_pool_oldest_waiting",
            Unit::Seconds,
            "Age of the oldest of these claims, 0 where none waits",
            age,
        ),
    ]
}

fn claims(figures: &Figures) -> Family<Fates, Gauge> {
    let gauges = Family::<Fates, Gauge>::default();
    for ((family, fate), count) in &figures.claims {
        let kind = Kind::Claim(*family);
        let labels = Fates { group: kind.group(), kind: kind.name(), state: state(*fate) };
        gauges.get_or_create(&labels).set(i64::try_from(*count).unwrap_or(i64::MAX));
    }
    gauges
}

fn name(pool: &PoolFigures) -> PoolName {
    PoolName { namespace: pool.id.namespace.to_string(), pool: pool.id.name.to_string() }
}

fn age(pool: &PoolFigures, now: i64) -> f64 {
    let seconds = pool.oldest.map_or(0, |oldest| now.saturating_sub(oldest).max(0));
    float(u128::from(seconds.unsigned_abs()))
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; a large IPv6 pool is shown to 15 digits")]
fn float(number: u128) -> f64 {
    number as f64
}
