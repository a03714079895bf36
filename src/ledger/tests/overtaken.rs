//! What was read, decided or confirmed a moment ago, and is not so any more.

use std::time::Duration;

use super::scene::Scene;
use super::*;
use crate::ledger::{Act, ClaimOwner, Config, Ledger, Now, Outcome};
use rand::SeedableRng;
use rand::rngs::SmallRng;

fn publishing(name: &str) -> Shown {
    Shown { address: Some(name.into()), ..Shown::default() }
}

/// An address object of Cluster API for 10.0.0.1.
fn theirs(uid: &str, claim: &str, pool: &str) -> Address {
    let address = made("p-10-0-0-1", "10.0.0.1", claim, "other");
    let meta = Meta { uid: Uid::new(uid), ..address.meta.clone() };
    Address { id: id(Kind::Address(Family::Capi), "p-10-0-0-1"), pool: pool.into(), meta, ..address }
}

/// Another controller has published 10.0.0.1 for a claim of Cluster API, and nothing here tells of that yet.
fn published_elsewhere(scene: &mut Scene) {
    scene.add_unseen(theirs("second", "b2", "p"));
    scene.add_unseen(Claim { shown: publishing("p-10-0-0-1"), ..capi_claim("b2") });
}

#[test]
fn d1_the_fence_that_was_passed_for_one_object_is_not_passed_for_the_next_of_its_name() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    let uid = scene.add(claim("a")).to_string();
    assert_eq!(scene.due(), ["take 10.0.0.1 for claim a"]);
    scene.succeed();
    assert_eq!(scene.due(), [BIND]);
    scene.reply(Outcome::NotNow(None));
    scene.tear_away(&address_id("p-10-0-0-1"));
    // Another controller has the address by now, and somebody puts the object back.
    published_elsewhere(&mut scene);
    scene.add(made("p-10-0-0-1", "10.0.0.1", "a", &uid));
    let all = scene.run_for(Duration::from_secs(10));
    assert!(!all.contains(&BIND.to_owned()), "{all:?}");
    assert_eq!(scene.bound(), [("a", "p-10-0-0-2"), ("b2", "p-10-0-0-1")]);
}

const BIND: &str = "bind claim a to p-10-0-0-1";

#[test]
fn d1_a_name_in_a_list_is_read_even_if_an_object_of_that_name_is_known_as_it_may_be_an_earlier_one() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.surveys_take_time = true;
    scene.add(claim("a"));
    assert_eq!(scene.due(), ["take 10.0.0.1 for claim a"]);
    let earlier = scene.server.create(theirs("first", "b1", "p").into());
    let object = earlier.id().clone();
    scene.server.objects.remove(&object);
    published_elsewhere(&mut scene);
    scene.done();
    assert_eq!(scene.due(), ["survey for claim a"]);
    // The watch shows the earlier one, the reply names the later one, and then the watch shows the end of the earlier one:
    // all before the claim has its turn.
    scene.ledger.observe(earlier);
    let outcome = scene.server.carry_out(&scene.sent[0].clone());
    scene.reply(outcome);
    scene.ledger.deleted(&object, &Uid::new("first"));
    let all = scene.run();
    assert!(all.contains(&"read capi address p-10-0-0-1".to_owned()), "{all:?}");
    assert!(!all.contains(&BIND.to_owned()), "{all:?}");
}

#[test]
fn d1_nor_does_the_object_of_another_pool_that_had_the_name_open_the_fence() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.surveys_take_time = true;
    let of_another = scene.server.create(theirs("first", "old", "q").into());
    scene.ledger.observe(of_another.clone());
    scene.run();
    scene.server.objects.remove(of_another.id());
    published_elsewhere(&mut scene);
    let all = scene.after(claim("a"));
    assert!(!all.contains(&BIND.to_owned()), "{all:?}");
}

/// An address whose claim is gone, a grace later, with the read of the claim under way.
fn about_to_be_swept() -> Scene {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.1"));
    scene.add(made("p-10-0-0-1", "10.0.0.1", "a", "u"));
    scene.run();
    scene.pass(Duration::from_secs(30));
    assert!(scene.due().contains(&"read claim a".to_owned()));
    scene
}

/// The claim comes back with its status, and its watch is late; another claim waits for the address.
fn comes_back_unseen(scene: &mut Scene) {
    scene.add_unseen(Claim { shown: publishing("p-10-0-0-1"), ..claim("a") });
    scene.add(claim("w"));
}

#[test]
fn d10_that_a_claim_is_gone_does_not_hold_beyond_a_pause() {
    let mut scene = about_to_be_swept();
    scene.change_pool("p", |pool| pool.paused = true);
    scene.done();
    assert_eq!(
        scene.run_for(Duration::from_hours(1)).iter().filter(|said| said.starts_with("delete")).count(),
        0
    );
    comes_back_unseen(&mut scene);
    scene.change_pool("p", |pool| pool.paused = false);
    let all = scene.run_for(Duration::from_secs(29));
    assert!(!all.iter().any(|said| said.starts_with("delete")), "{all:?}");
    let back = scene.server.objects[&claim_id("a")].clone();
    scene.ledger.observe(back);
    scene.run_for(Duration::from_mins(5));
    assert_eq!(scene.bound(), [("a", "p-10-0-0-1")]);
}

#[test]
fn d10_that_a_claim_is_gone_is_read_again_where_the_release_is_put_off() {
    for reply in [
        Outcome::NotNow(Some(Duration::from_mins(1))),
        Outcome::Refused("no".into()),
        Outcome::Unknown("lost".into()),
        Outcome::GuardFailed("another version".into()),
    ] {
        let mut scene = about_to_be_swept();
        scene.done();
        let due = scene.due();
        assert!(due.contains(&"delete address p-10-0-0-1".to_owned()), "{due:?}");
        while let Some(write) = scene.sent.first() {
            if matches!(write.act, Act::Delete { .. }) {
                scene.reply(reply.clone());
            } else {
                scene.succeed();
            }
        }
        comes_back_unseen(&mut scene);
        let all = scene.run_for(Duration::from_mins(2));
        assert!(all.contains(&"read claim a".to_owned()), "{reply:?}: {all:?}");
        assert!(!all.iter().any(|said| said.starts_with("delete")), "{reply:?}: {all:?}");
        assert_eq!(scene.bound(), [("a", "p-10-0-0-1")], "{reply:?}");
    }
}

#[test]
fn d10_an_address_that_is_given_to_another_claim_of_the_name_begins_its_grace_anew() {
    let mut scene = about_to_be_swept();
    scene.done();
    let due = scene.due();
    assert!(due.contains(&"delete address p-10-0-0-1".to_owned()), "{due:?}");
    // Before that arrives, the claim comes back and the owner reference is rewritten, as by a move.
    let meta = Meta { uid: Uid::new("u1"), ..meta(OURS) };
    scene.add_unseen(Claim { shown: publishing("p-10-0-0-1"), meta, ..claim("a") });
    scene.server.change(&address_id("p-10-0-0-1"), |seen| {
        let Seen::Address(address) = seen else { return };
        address.owner = Some(ClaimOwner { at: 1, uid: Uid::new("u1") });
    });
    scene.done();
    let all = scene.run_for(Duration::from_secs(29));
    assert!(!all.iter().any(|said| said.starts_with("delete")), "{all:?}");
}

#[test]
fn an_address_that_is_reserved_for_another_before_it_is_asked_for_is_not_taken() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(bare_claim("a"));
    assert_eq!(scene.due(), ["protect claim a"]);
    let mut spec = spec(&["10.0.0.1-10.0.0.9"]);
    spec.pre_allocations = [("c".to_owned(), "10.0.0.1".to_owned())].into();
    scene.change_pool("p", |pool| pool.rules = Arc::new(PoolRules::read(&spec)));
    scene.done();
    let all = scene.run();
    assert!(all.contains(&"take 10.0.0.2 for claim a".to_owned()), "{all:?}");
}

#[test]
fn what_is_wished_for_before_anything_is_done_is_what_the_claim_gets() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(claim("a"));
    assert_eq!(scene.due(), ["take 10.0.0.1 for claim a"]);
    scene.reply(Outcome::NotNow(Some(Duration::from_mins(1))));
    scene.change_claim("a", |claim| claim.requested = Some("10.0.0.7".into()));
    scene.run_for(Duration::from_mins(2));
    assert_eq!(scene.bound(), [("a", "p-10-0-0-7")]);
}

#[test]
fn an_address_made_by_hand_under_a_name_of_its_own_is_had_once_nobody_else_has_it() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.add(claim("b"));
    scene.run();
    scene.add(by_hand("foo", "10.0.0.1", "c"));
    scene.add(claim("c"));
    scene.run_for(Duration::from_mins(1));
    scene.delete(&claim_id("b"));
    scene.run();
    assert_eq!(scene.bound(), [("c", "foo")]);
    // So it is where the pool is shown after its addresses.
    let mut scene = Scene::unlisted();
    scene.list_all();
    scene.add(by_hand("foo", "10.0.0.1", "c"));
    scene.add(made("p-10-0-0-1", "10.0.0.1", "b", "b"));
    let meta = Meta { uid: Uid::new("b"), ..meta(OURS) };
    scene.add(Claim { shown: publishing("p-10-0-0-1"), meta, ..claim("b") });
    scene.add(claim("c"));
    scene.add(pool("10.0.0.1"));
    scene.run_for(Duration::from_mins(1));
    scene.delete(&claim_id("b"));
    scene.run();
    assert_eq!(scene.bound(), [("c", "foo")]);
}

#[test]
fn an_address_on_its_way_out_does_not_wait_for_a_pool_that_is_not_there() {
    let mut scene = Scene::unlisted();
    scene.list_all();
    scene.add(made("p-10-0-0-1", "10.0.0.1", "a", "former"));
    scene.add(claim("a"));
    scene.run_for(Duration::from_mins(10));
    assert!(scene.server.objects.contains_key(&address_id("p-10-0-0-1")), "the claim is to have it");
    scene.delete(&address_id("p-10-0-0-1"));
    scene.run_for(Duration::from_mins(10));
    assert!(!scene.server.objects.contains_key(&address_id("p-10-0-0-1")));
}

#[test]
fn a_refusal_that_goes_on_is_shown_once_whichever_address_is_tried() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(claim("a"));
    let mut told = Vec::new();
    for n in 0..20 {
        told.extend(scene.due().into_iter().filter(|said| said.starts_with("tell claim")));
        while let Some(write) = scene.sent.first() {
            if matches!(write.act, Act::Take(_)) {
                scene.reply(Outcome::Refused(format!("quota of try {n}")));
            } else {
                scene.succeed();
            }
        }
        scene.pass(Duration::from_secs(40));
    }
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("refuses to create the IPAddress: quota of try"), "{told:?}");
    scene.run();
    assert_eq!(scene.bound(), [("a", "p-10-0-0-1")]);
}

#[test]
fn the_longest_grace_is_no_more_than_long() {
    let config = Config { grace: Duration::MAX, ..Config::default() };
    let mut ledger = Ledger::new(config, [Kind::Address(Family::Metal3)]);
    ledger.list_begins(Kind::Address(Family::Metal3));
    let mut address = made("p-10-0-0-1", "10.0.0.1", "a", "u");
    address.meta.version = 1;
    ledger.list_shows(address.into());
    ledger.list_ends(Kind::Address(Family::Metal3));
    let now = Now { elapsed: Duration::from_secs(2), wall: 1 };
    assert!(ledger.due(now, 9, &mut SmallRng::seed_from_u64(1)).is_empty());
    assert_eq!(ledger.next_wake(), Some(Duration::MAX));
}
