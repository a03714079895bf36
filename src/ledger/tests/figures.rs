//! What those who watch over the pools are told.

use std::time::Duration;

use super::scene::Scene;
use super::*;
use crate::ledger::{Fate, PoolFigures};

const GRACE: Duration = Duration::from_secs(30);

fn figures(scene: &Scene) -> PoolFigures {
    let figures = scene.ledger.figures();
    assert_eq!(figures.pools.len(), 1);
    figures.pools[0].clone()
}

/// How many claims of a family fare so.
fn count(scene: &Scene, family: Family, fate: Fate) -> usize {
    scene.ledger.figures().claims[&(family, fate)]
}

#[test]
fn an_address_without_its_claim_is_a_leak_until_it_is_released() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.2"));
    scene.add(made("p-10-0-0-1", "10.0.0.1", "a", "u"));
    scene.run();
    assert_eq!((figures(&scene).allocated, figures(&scene).leaked), (1, 1));
    scene.run_for(GRACE);
    assert_eq!((figures(&scene).allocated, figures(&scene).leaked), (0, 0));
}

#[test]
fn an_address_with_its_claim_or_made_by_hand_is_no_leak() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.3"));
    scene.add(claim("a"));
    scene.add(by_hand("by-hand", "10.0.0.3", "nobody"));
    scene.run_for(GRACE);
    assert_eq!((figures(&scene).allocated, figures(&scene).leaked, figures(&scene).doubled), (2, 0, 0));
}

#[test]
fn an_address_that_a_claim_of_each_family_publishes_is_doubled() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.add(claim("a"));
    scene.run();
    let object = id(Kind::Address(Family::Capi), "p-10-0-0-1");
    scene.add(Address { id: object, ..made("", "10.0.0.1", "b", "v") });
    assert_eq!((figures(&scene).allocated, figures(&scene).doubled), (2, 1));
}

#[test]
fn each_claim_is_counted_once_by_how_it_fares() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.add(claim("a"));
    assert_eq!(count(&scene, Family::Metal3, Fate::New), 1);
    scene.run();
    scene.add(Claim { created: 1, ..claim("b") });
    scene.add(request("c", "no address"));
    scene.add(Claim { pool: "q".into(), ..claim("d") });
    scene.add(Claim { created: 2, ..capi_claim("e") });
    scene.add(Claim { meta: meta(OURS_AND_FOREIGN), pool: "q".into(), ..claim("f") });
    scene.delete(&claim_id("f"));
    scene.run();
    for (family, fate, expected) in [
        (Family::Metal3, Fate::Bound, 1),
        (Family::Metal3, Fate::Waiting, 1),
        (Family::Metal3, Fate::Refused, 1),
        (Family::Metal3, Fate::HeldUp, 1),
        (Family::Metal3, Fate::Releasing, 1),
        (Family::Metal3, Fate::New, 0),
        (Family::Capi, Fate::Waiting, 1),
    ] {
        assert_eq!(count(&scene, family, fate), expected, "{family:?} {fate:?}");
    }
    assert_eq!(scene.ledger.figures().claims.values().sum::<usize>(), 6);
}

#[test]
fn a_claim_waits_since_it_was_made_until_it_publishes_an_address() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.add(Claim { created: 7, ..claim("a") });
    assert_eq!(scene.ledger.waits_since(&claim_id("a")), Some(7));
    scene.run();
    assert_eq!(scene.ledger.waits_since(&claim_id("a")), None);
}
