//! The ledger's figures as gauges, made anew for each scrape: a pool that is gone leaves none behind.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::NAME;
use super::labels::{Name, PoolName};
use crate::ledger::{Figures, PoolFigures};

type Pools = Family<PoolName, Gauge<f64, AtomicU64>>;

/// The figures at the time `now`, in seconds since the epoch.
pub(super) fn registry(figures: &Figures, now: i64) -> Registry {
    let mut all = Registry::default();
    let depth = Family::<Name, Gauge>::default();
    depth.get_or_create(&Name { name: NAME }).set(i64::try_from(figures.to_do).unwrap_or(i64::MAX));
    all.register("workqueue_depth", "Objects that are to be looked at", depth);
    let addresses = Unit::Other("addresses".into());
    let gauge = |value: fn(&PoolFigures, i64) -> f64| {
        let gauges = Pools::default();
        for pool in &figures.pools {
            gauges.get_or_create(&name(pool)).set(value(pool, now));
        }
        gauges
    };
    let help = "Addresses that the pool can hand out";
    all.register_with_unit(
        "ipam_pool_capacity",
        help,
        addresses.clone(),
        gauge(|pool, _| float(pool.capacity)),
    );
    let help = "Addresses of the pool that are free";
    all.register_with_unit("ipam_pool_free", help, addresses, gauge(|pool, _| float(pool.free)));
    let help = "Claims that wait for an address of the pool to become free";
    let waiting = gauge(|pool, _| float(pool.waiting as u128));
    all.register_with_unit("ipam_pool_waiting", help, Unit::Other("claims".into()), waiting);
    let help = "Age of the oldest of these claims, 0 where none waits";
    all.register_with_unit("ipam_pool_oldest_waiting", help, Unit::Seconds, gauge(age));
    all
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
