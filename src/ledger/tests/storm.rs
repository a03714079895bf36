//! Both kinds of claims at once, while requests fail and people do what they like: nobody is left waiting for nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::scene::Scene;
use super::*;
use crate::ledger::Outcome;

const SEEDS: u64 = 300;

fn one_of(rng: &mut SmallRng, ids: &[Id]) -> Option<Id> {
    (!ids.is_empty()).then(|| ids[rng.random_range(0..ids.len())].clone())
}

fn ids(scene: &Scene, is: impl Fn(Kind) -> bool) -> Vec<Id> {
    scene.server.objects.keys().filter(|id| is(id.kind)).cloned().collect()
}

fn make_claim(scene: &mut Scene, rng: &mut SmallRng) {
    let name = format!("c{}", rng.random_range(0..12));
    let family = if rng.random() { Family::Metal3 } else { Family::Capi };
    let id = id(Kind::Claim(family), &name);
    if scene.server.objects.contains_key(&id) {
        return;
    }
    let held = if rng.random() { OURS } else { Finalizers::default() };
    let requested = rng.random_bool(0.2).then(|| format!("10.0.0.{}", rng.random_range(0..9)).into());
    let pool = if rng.random_bool(0.7) { "p" } else { "q" };
    scene.add(Claim { id, meta: meta(held), requested, pool: pool.into(), ..claim(&name) });
}

fn meddle(scene: &mut Scene, rng: &mut SmallRng) {
    let is_claim = |kind| matches!(kind, Kind::Claim(_));
    let is_address = |kind| matches!(kind, Kind::Address(_));
    match rng.random_range(0..10) {
        0..5 => make_claim(scene, rng),
        5..8 => {
            if let Some(id) = one_of(rng, &ids(scene, is_claim)) {
                scene.delete(&id);
            }
        }
        8 => {
            if let Some(id) = one_of(rng, &ids(scene, is_address)) {
                scene.tear_away(&id);
            }
        }
        _ => {
            let last = rng.random_range(1..8);
            let rules = PoolRules::read(&spec(&[&format!("10.0.0.1-10.0.0.{last}")]));
            let name = if rng.random() { "p" } else { "q" };
            scene.change_pool(name, |pool| pool.rules = Arc::new(rules));
        }
    }
}

fn answer(scene: &mut Scene, rng: &mut SmallRng) {
    if scene.sent.is_empty() {
        return;
    }
    match rng.random_range(0..10) {
        0 => scene.lose(),
        1 => scene.lose_reply(),
        2 => scene.reply(Outcome::Refused("no".into())),
        3 => scene.reply(Outcome::NotNow(Some(Duration::from_secs(2)))),
        _ => scene.succeed(),
    }
}

/// Claims that wait for any address although their pool has a free one.
fn stuck(scene: &Scene) -> Vec<String> {
    let free = |pool: &Id| scene.ledger.books.get(pool).map_or(0, |book| book.space.free());
    let claims = scene.server.objects.values().filter_map(|seen| match seen {
        Seen::Claim(claim) => Some(&**claim),
        _ => None,
    });
    let waits = |claim: &&Claim| {
        let served = claim.shown.ready.as_ref().is_some_and(|ready| ready.is);
        claim.meta.deleting || (!served && claim.requested.is_none() && free(&claim.pool_id()) > 0)
    };
    claims.filter(waits).map(|claim| claim.id.to_string()).collect()
}

#[test]
fn s1_nobody_waits_for_an_address_that_is_free_once_the_storm_is_over() {
    for seed in 0..SEEDS {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut scene = Scene::with(pool("10.0.0.1-10.0.0.4"));
        scene.add(twin("q", "10.0.0.1-10.0.0.6"));
        for _ in 0..200 {
            match rng.random_range(0..4) {
                0 => meddle(&mut scene, &mut rng),
                1 => scene.pass(Duration::from_millis(rng.random_range(0..2000))),
                2 => drop(scene.due_at_most(rng.random_range(0..4))),
                _ => answer(&mut scene, &mut rng),
            }
        }
        scene.done();
        scene.run_for(Duration::from_mins(10));
        assert_eq!(stuck(&scene), [""; 0], "seed {seed}");
        let ips = scene.ledger.addresses.values().map(|entry| (entry.address.pool.clone(), entry.address.ip));
        let (all, distinct) = (ips.clone().count(), ips.collect::<BTreeSet<_>>().len());
        assert_eq!(all, distinct, "seed {seed}: an address is handed out twice");
        assert_eq!(scene.ledger.next_wake(), None, "seed {seed}");
    }
}
