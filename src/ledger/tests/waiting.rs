//! When a claim that had to wait is served after all.

use std::time::Duration;

use super::scene::Scene;
use super::*;
use crate::ledger::{Act, Outcome};

const EXHAUSTED: &str = "PoolExhausted: Exhausted IP Pools";

#[test]
fn s14_what_a_claim_shows_already_is_not_written_again() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.after(claim("a"));
    scene.after(claim("b"));
    scene.change_claim("b", |claim| claim.labels = Arc::new([("x".into(), "y".into())].into()));
    assert_eq!(scene.run(), NOTHING);
}

#[test]
fn s14_a_claim_of_cluster_api_is_told_once_though_its_kind_has_no_error_message() {
    let mut scene = Scene::with(pool_of(&spec(&[])));
    assert_eq!(scene.after(capi_claim("a")).len(), 1);
    assert_eq!(scene.run(), NOTHING);
}

#[test]
fn s5_the_reason_of_a_condition_is_never_empty() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.after(capi_claim("a"));
    scene.after(capi_claim("b"));
    for name in ["a", "b"] {
        assert!(!scene.shown(&capi_claim_id(name)).ready.as_ref().unwrap().reason.is_empty());
    }
}

#[test]
fn the_time_of_a_condition_is_that_of_its_last_change_from_true_to_false_or_back() {
    let mut scene = Scene::with(Pool { paused: true, ..pool("10.0.0.1-10.0.0.2") });
    let since = |scene: &Scene| scene.shown(&claim_id("a")).ready.as_ref().map(|ready| ready.since);
    scene.after(claim("a"));
    assert_eq!(since(&scene), Some(1000));
    scene.pass(Duration::from_secs(5));
    scene.change_claim("a", |claim| claim.requested = Some("nonsense".into()));
    scene.change_pool("p", |pool| pool.paused = false);
    scene.run();
    assert_eq!((since(&scene), scene.bound().len()), (Some(1000), 0));
    scene.change_claim("a", |claim| claim.requested = None);
    scene.run();
    assert_eq!((since(&scene), scene.bound().len()), (Some(1005), 1));
}

#[test]
fn s1_an_address_that_becomes_free_goes_to_the_claim_that_is_the_oldest() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.after(claim("first"));
    scene.after(Claim { created: 30, ..claim("young") });
    scene.after(Claim { created: 20, ..capi_claim("old") });
    scene.delete(&claim_id("first"));
    let due = scene.run();
    assert_eq!(due[3..], ["take 10.0.0.1 for capi claim old", "bind capi claim old to p-10-0-0-1"]);
}

#[test]
fn s1_a_newcomer_does_not_get_what_an_older_claim_waits_for() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.after(claim("first"));
    scene.after(bare_claim("waits"));
    scene.delete(&claim_id("first"));
    while scene.server.objects.contains_key(&claim_id("first")) {
        scene.due();
        scene.done();
    }
    scene.add(claim("newcomer"));
    assert_eq!(scene.due(), ["protect claim waits", &format!("fail claim newcomer: {EXHAUSTED}")]);
    scene.done();
    assert_eq!(scene.run(), ["take 10.0.0.1 for claim waits", "bind claim waits to p-10-0-0-1"]);
}

fn respec(scene: &mut Scene, spec: &IPPoolSpec) {
    scene.change_pool("p", |pool| pool.rules = Arc::new(PoolRules::read(spec)));
}

#[test]
fn s1_a_pool_that_grows_serves_who_waits_in_their_order() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    for name in ["a", "b", "c"] {
        scene.after(claim(name));
    }
    respec(&mut scene, &spec(&["10.0.0.1-10.0.0.3"]));
    assert_eq!(scene.due(), ["take 10.0.0.2 for claim b", "take 10.0.0.3 for claim c"]);
}

#[test]
fn s1_a_pool_that_grows_serves_all_who_wait_however_many_they_are() {
    let mut scene = Scene::with(pool_of(&spec(&[])));
    for n in 0..200 {
        scene.add(bare_claim(&format!("c{n}")));
    }
    assert_eq!(scene.run().len(), 200);
    respec(&mut scene, &spec(&["10.0.0.0-10.0.3.255"]));
    scene.run_for(Duration::from_secs(1));
    assert_eq!(scene.bound().len(), 200);
}

#[test]
fn s1_an_exclusion_that_is_lifted_serves_who_waits() {
    let mut scene = Scene::with(pool_of(&IPPoolSpec {
        excluded_addresses: vec!["10.0.0.1".into()],
        ..spec(&["10.0.0.1"])
    }));
    assert_eq!(scene.after(claim("a")), [format!("fail claim a: {EXHAUSTED}")]);
    respec(&mut scene, &spec(&["10.0.0.1"]));
    assert_eq!(scene.run(), ["take 10.0.0.1 for claim a", "bind claim a to p-10-0-0-1"]);
}

#[test]
fn a_claim_whose_annotation_is_fixed_is_served() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.after(request("a", "10.0.0.x"));
    scene.change_claim("a", |claim| claim.requested = Some("10.0.0.7".into()));
    assert_eq!(scene.run(), ["take 10.0.0.7 for claim a", "bind claim a to p-10-0-0-7"]);
}

#[test]
fn a_claim_whose_reservation_is_fixed_is_served() {
    let reserved = |ip: &str| IPPoolSpec {
        pre_allocations: [("a".to_owned(), ip.to_owned())].into(),
        ..spec(&["10.0.0.1-10.0.0.3"])
    };
    let mut scene = Scene::with(pool_of(&reserved("10.0.0.9")));
    assert_eq!(scene.after(claim("a")), ["fail claim a: AllocationFailed: Pre-allocated IP out of bounds"]);
    respec(&mut scene, &reserved("10.0.0.3"));
    assert_eq!(scene.run(), ["take 10.0.0.3 for claim a", "bind claim a to p-10-0-0-3"]);
}

#[test]
fn a_claim_that_waits_for_one_address_gets_it_when_it_is_free_and_not_any_other() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.3"));
    scene.after(claim("a"));
    scene.after(claim("b"));
    scene.after(request("wants", "10.0.0.1"));
    scene.delete(&claim_id("b"));
    assert_eq!(scene.run()[2..], ["strip claim b"]);
    scene.delete(&claim_id("a"));
    assert_eq!(scene.run()[3..], ["take 10.0.0.1 for claim wants", "bind claim wants to p-10-0-0-1"]);
}

#[test]
fn a_claim_whose_pool_appears_is_served() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.after(Claim { pool: "q".into(), ..claim("a") });
    scene.add(Pool { id: pool_id("q"), name_prefix: "q".into(), ..pool("10.1.0.1") });
    let due = scene.run();
    assert_eq!(due, ["status of pool q", "take 10.1.0.1 for claim a", "bind claim a to q-10-1-0-1"]);
}

#[test]
fn s6_claims_are_served_when_the_cluster_of_their_pool_appears() {
    let mut scene = Scene::with(Pool { cluster: Some("k".into()), labelled: true, ..pool("10.0.0.1") });
    scene.after(claim("a"));
    scene.add(cluster());
    let expected = ["dress pool p: owner", "take 10.0.0.1 for claim a", "bind claim a to p-10-0-0-1"];
    assert_eq!(scene.run(), expected);
}

#[test]
fn s3_one_bad_claim_holds_up_nobody() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(request("bad", "nonsense"));
    scene.add(request("worse", "10.0.0.77"));
    scene.add(claim("good"));
    assert_eq!(scene.due()[2..], ["take 10.0.0.1 for claim good"]);
}

#[test]
fn s3_a_claim_whose_writes_are_refused_does_not_keep_its_place_in_the_line() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.after(claim("first"));
    scene.after(bare_claim("bad"));
    scene.after(claim("good"));
    scene.delete(&claim_id("first"));
    for _ in 0..60 {
        scene.due();
        while let Some(write) = scene.sent.first() {
            if matches!(write.act, Act::Protect { .. }) {
                scene.reply(Outcome::Refused("no".into()));
            } else {
                scene.succeed();
            }
        }
        scene.pass(Duration::from_secs(1));
    }
    assert_eq!(scene.bound(), [("good", "p-10-0-0-1")]);
}

#[test]
fn s3_a_claim_that_turns_to_another_namespace_does_not_keep_its_place_in_the_line() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.after(claim("first"));
    scene.after(claim("turns"));
    scene.after(claim("good"));
    scene.change_claim("turns", |claim| claim.elsewhere = Some("other".into()));
    scene.delete(&claim_id("first"));
    scene.run();
    assert_eq!(scene.bound(), [("good", "p-10-0-0-1")]);
}

#[test]
fn a_claim_that_turns_to_another_pool_leaves_nothing_behind() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.add(Pool { id: pool_id("q"), name_prefix: "q".into(), ..pool("10.1.0.1") });
    scene.run();
    scene.add(claim("a"));
    assert_eq!(scene.due(), ["take 10.0.0.1 for claim a"]);
    scene.change_claim("a", |claim| claim.pool = "q".into());
    scene.lose();
    assert_eq!(scene.due(), ["take 10.1.0.1 for claim a"]);
    assert_eq!(scene.after(claim("b"))[0], "take 10.0.0.1 for claim b");
}

#[test]
fn a_claim_whose_lost_address_a_person_held_for_a_while_gets_it_back() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.after(claim("a"));
    scene.tear_away(&address_id("p-10-0-0-1"));
    scene.add(by_hand("router", "10.0.0.1", "somebody"));
    let due = scene.run();
    // A later object of that name might be there, which the claim publishes and no watch has shown yet.
    let read = "read address p-10-0-0-1".to_owned();
    assert_eq!(due, [read, format!("fail claim a: {EXHAUSTED} (still p-10-0-0-1)")]);
    scene.delete(&address_id("router"));
    assert_eq!(scene.run(), ["take 10.0.0.1 for claim a", "bind claim a to p-10-0-0-1"]);
}

#[test]
fn s1_an_older_claim_that_has_to_be_protected_first_gets_what_it_waits_for() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.after(claim("first"));
    scene.after(Claim { requested: Some("10.0.0.1".into()), ..bare_claim("wants") });
    scene.after(claim("younger"));
    scene.delete(&claim_id("first"));
    scene.run();
    assert_eq!(scene.bound(), [("wants", "p-10-0-0-1")]);
}

#[test]
fn s3_a_claim_that_waits_for_an_address_on_its_way_out_does_not_keep_its_place_in_the_line() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.after(claim("first"));
    scene.after(claim("stuck"));
    scene.after(claim("good"));
    let deleting = Meta { deleting: true, ..meta(FOREIGN) };
    scene.add(Address { meta: deleting, ..by_hand("router", "10.9.9.9", "stuck") });
    scene.delete(&claim_id("first"));
    scene.run();
    assert_eq!(scene.bound(), [("good", "p-10-0-0-1")]);
}

#[test]
fn s2_a_claim_whose_address_is_on_its_way_out_and_held_by_others_says_so() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    let deleting = Meta { deleting: true, ..meta(FOREIGN) };
    scene.add(Address { meta: deleting, ..by_hand("router", "10.9.9.9", "a") });
    let why =
        "The IPAddress \"router\" of this claim is being deleted, and somebody else's finalizer holds it";
    assert_eq!(scene.after(claim("a")), [format!("tell claim a: PoolNotReady: {why}")]);
    scene.tear_away(&address_id("router"));
    scene.run();
    assert_eq!(scene.bound(), [("a", "p-10-0-0-1")]);
}

#[test]
fn s2_a_claim_is_not_told_that_there_is_nothing_where_there_is_more_than_all_who_wait_need() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.after(claim("first"));
    (0..150).for_each(|n| drop(scene.add(claim(&format!("older-{n:03}")))));
    assert_eq!(scene.due().len(), 150);
    // While all of them are being told that there is nothing, the pool grows.
    let rules = pool("10.0.0.1-10.0.3.255").rules;
    scene.change_pool("p", |pool| pool.rules = rules);
    scene.add(claim("newcomer"));
    let due = scene.due();
    assert!(
        due.iter().any(|act| act.starts_with("take ") && act.ends_with(" for claim newcomer")),
        "{due:?}"
    );
}

#[test]
fn claims_are_protected_only_as_far_as_there_are_addresses_for_them() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.add(bare_claim("a"));
    scene.add(bare_claim("b"));
    assert_eq!(scene.due(), ["protect claim a", &format!("fail claim b: {EXHAUSTED}")]);
    scene.done();
    assert_eq!(scene.run(), ["take 10.0.0.1 for claim a", "bind claim a to p-10-0-0-1"]);
}

#[test]
fn s1_a_claim_that_leaves_the_line_lets_the_next_one_have_what_is_free() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    for name in ["first", "paused", "next"] {
        scene.after(claim(name));
    }
    scene.delete(&claim_id("first"));
    while scene.server.objects.contains_key(&claim_id("first")) {
        scene.due();
        scene.done();
    }
    scene.change_claim("paused", |claim| claim.paused = true);
    scene.run();
    assert_eq!(scene.bound(), [("next", "p-10-0-0-1")]);
}

/// All that is due, one write after the other.
fn one_by_one(scene: &mut Scene) -> Vec<String> {
    let mut said = Vec::new();
    loop {
        let due = scene.due_at_most(1);
        if due.is_empty() {
            return said;
        }
        said.extend(due);
        scene.done();
    }
}

#[test]
fn who_is_released_keeps_nobody_waiting_who_is_to_be_served() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    for name in ["a", "b", "c", "d"] {
        scene.after(claim(name));
    }
    for name in ["a", "b", "c", "d"] {
        scene.delete(&claim_id(name));
    }
    scene.add(claim("new"));
    let said = one_by_one(&mut scene);
    assert_eq!(said[..2], ["take 10.0.0.5 for claim new", "bind claim new to p-10-0-0-5"]);
    assert!(said.contains(&"strip claim d".to_owned()), "{said:?}");
}

#[test]
fn where_there_is_room_for_a_few_writes_who_is_served_and_who_is_released_share_it() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    for name in ["a", "b", "c"] {
        scene.after(claim(name));
    }
    for name in ["a", "b", "c"] {
        scene.delete(&claim_id(name));
    }
    for name in ["d", "e", "f"] {
        scene.add(claim(name));
    }
    let due = scene.due_at_most(4);
    let (takes, releases): (Vec<&str>, Vec<&str>) =
        due.iter().map(String::as_str).partition(|act| act.starts_with("take"));
    assert_eq!((takes.len(), releases.len()), (2, 2), "{due:?}");
    // One that is done makes room for the next of its kind.
    scene.succeed();
    assert_eq!(scene.due_at_most(1), ["bind claim d to p-10-0-0-4"]);
    scene.done();
    scene.run();
    assert_eq!(scene.bound().len(), 3);
}
