//! How an address becomes free again.

use std::time::Duration;

use super::scene::Scene;
use super::*;
use crate::ledger::Outcome;

/// What is due when claim `a`, which has 10.0.0.1, goes.
const RELEASE: [&str; 3] = ["delete address p-10-0-0-1", "strip address p-10-0-0-1", "strip claim a"];

/// What is due when claim `a` is gone and has left 10.0.0.1 behind.
const SWEEP: [&str; 5] = [
    "status of pool p",
    "read claim a",
    "delete address p-10-0-0-1",
    "strip address p-10-0-0-1",
    "status of pool p",
];

/// A pool of one address, which claim `a` has.
fn full_pool() -> Scene {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.after(claim("a"));
    scene
}

#[test]
fn the_address_of_a_deleted_claim_is_deleted_and_stripped_and_then_the_claim_is_let_go() {
    let mut scene = full_pool();
    scene.delete(&claim_id("a"));
    assert_eq!(scene.run(), RELEASE);
    assert!(scene.server.objects.keys().eq([&pool_id("p")]));
}

#[test]
fn a_claim_of_cluster_api_is_released_alike() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.after(capi_claim("a"));
    scene.delete(&capi_claim_id("a"));
    let expected = ["delete capi address p-10-0-0-1", "strip capi address p-10-0-0-1", "strip capi claim a"];
    assert_eq!(scene.run(), expected);
}

#[test]
fn a_claim_that_somebody_else_holds_keeps_its_address_until_they_let_go() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.after(Claim { meta: meta(OURS_AND_FOREIGN), ..claim("a") });
    scene.delete(&claim_id("a"));
    assert_eq!(scene.run(), NOTHING);
    scene.change_claim("a", |claim| claim.meta.finalizers = OURS);
    assert_eq!(scene.run(), RELEASE);
}

#[test]
fn s12_our_finalizer_is_found_wherever_it_stands_in_the_list() {
    let mut scene = full_pool();
    let last = Finalizers { ours: Some(2), total: 3 };
    scene.change_address("p-10-0-0-1", |address| address.meta.finalizers = last);
    scene.delete(&claim_id("a"));
    assert_eq!(scene.run(), ["delete address p-10-0-0-1", "strip address p-10-0-0-1"]);
    scene.change_address("p-10-0-0-1", |address| address.meta.finalizers.total = 0);
    assert_eq!(scene.run(), ["strip claim a"]);
}

#[test]
fn the_address_is_free_once_its_object_is_gone_and_not_before() {
    let mut scene = full_pool();
    scene.after(claim("b"));
    scene.delete(&claim_id("a"));
    assert_eq!(scene.due(), ["delete address p-10-0-0-1"]);
    scene.done();
    assert_eq!(scene.due(), ["strip address p-10-0-0-1"]);
    scene.done();
    // Nobody gets it before the claim that publishes it is gone too.
    assert_eq!(scene.due(), ["strip claim a"]);
    scene.done();
    assert_eq!(scene.due(), ["take 10.0.0.1 for claim b"]);
}

#[test]
fn l2_an_address_that_the_claim_publishes_and_no_list_shows_is_looked_for_before_the_claim_goes() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    let uid = scene.add_unseen(claim("a")).to_string();
    scene.add_unseen(made("p-10-0-0-1", "10.0.0.1", "a", &uid));
    scene.change_claim("a", |claim| {
        claim.shown.address = Some("p-10-0-0-1".into());
        claim.meta.deleting = true;
    });
    let found = ["read address p-10-0-0-1"].into_iter().chain(RELEASE);
    assert_eq!(scene.run(), found.collect::<Vec<_>>());
}

#[test]
fn l2_an_address_that_is_looked_for_and_not_found_does_not_hold_its_claim() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    let shown = Shown { address: Some("p-10-0-0-1".into()), ..Shown::default() };
    scene.add(Claim { shown, meta: Meta { deleting: true, ..meta(OURS) }, ..claim("a") });
    assert_eq!(scene.run(), ["read address p-10-0-0-1", "strip claim a"]);
}

#[test]
fn l2_a_look_for_one_address_says_nothing_of_another_that_the_claim_publishes() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    let shown = Shown { address: Some("elsewhere".into()), ..Shown::default() };
    scene.add(Claim { shown, ..claim("a") });
    assert_eq!(scene.due(), ["take 10.0.0.1 for claim a"]);
    scene.lose();
    assert_eq!(scene.due(), ["read address p-10-0-0-1"]);
    scene.done();
    scene.delete(&claim_id("a"));
    assert_eq!(scene.run(), ["read address elsewhere", "strip claim a"]);
}

#[test]
fn l1_a_claim_deleted_while_its_address_is_taken_gives_it_back() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.add(claim("a"));
    assert_eq!(scene.due(), ["take 10.0.0.1 for claim a"]);
    scene.delete(&claim_id("a"));
    assert_eq!(scene.due(), NOTHING);
    scene.done();
    assert_eq!(scene.run(), RELEASE);
}

#[test]
fn l1_a_claim_deleted_while_a_take_is_unanswered_is_let_go_only_after_a_look() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.add(claim("a"));
    scene.due();
    scene.delete(&claim_id("a"));
    scene.lose_reply();
    let looked = ["read address p-10-0-0-1"].into_iter().chain(RELEASE);
    assert_eq!(scene.run(), looked.collect::<Vec<_>>());
}

#[test]
fn l3_a_take_that_lands_after_its_claim_is_gone_is_swept_up() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.add(claim("a"));
    scene.due();
    let late = scene.sent[0].clone();
    scene.lose();
    scene.delete(&claim_id("a"));
    assert_eq!(scene.run(), ["read address p-10-0-0-1", "strip claim a"]);
    let Outcome::Seen(landed) = scene.server.carry_out(&late) else { panic!("it lands") };
    scene.ledger.observe(landed);
    assert_eq!(scene.run_for(Duration::from_secs(31)), SWEEP);
}

#[test]
fn s11_a_claim_whose_pool_is_gone_is_released() {
    let mut scene = full_pool();
    scene.tear_away(&pool_id("p"));
    scene.delete(&claim_id("a"));
    assert_eq!(scene.run(), RELEASE);
}

#[test]
fn s11_a_claim_that_never_got_an_address_is_let_go() {
    let mut scene = full_pool();
    scene.after(claim("b"));
    scene.delete(&claim_id("b"));
    assert_eq!(scene.run(), ["strip claim b"]);
}

#[test]
fn a_claim_that_is_not_ours_to_hold_goes_without_a_write() {
    let mut scene = full_pool();
    scene.after(bare_claim("b"));
    scene.delete(&claim_id("b"));
    assert_eq!(scene.run(), NOTHING);
}

#[test]
fn an_address_that_somebody_else_holds_is_stripped_and_holds_its_claim_until_it_is_gone() {
    let mut scene = full_pool();
    scene.change_address("p-10-0-0-1", |address| address.meta.finalizers = OURS_AND_FOREIGN);
    scene.delete(&claim_id("a"));
    assert_eq!(scene.run(), ["delete address p-10-0-0-1", "strip address p-10-0-0-1"]);
    scene.change_address("p-10-0-0-1", |address| address.meta.finalizers = Finalizers::default());
    assert_eq!(scene.run(), ["strip claim a"]);
}

#[test]
fn a_claim_with_a_finalizer_torn_off_leaves_its_address_to_the_sweep() {
    let mut scene = full_pool();
    scene.tear_away(&claim_id("a"));
    assert_eq!(scene.run(), NOTHING);
    assert_eq!(scene.run_for(Duration::from_secs(31)), SWEEP);
}

#[test]
fn d6_an_address_removed_by_force_is_made_again_before_anybody_else_gets_it() {
    let mut scene = full_pool();
    scene.after(claim("b"));
    scene.tear_away(&address_id("p-10-0-0-1"));
    assert_eq!(scene.run(), ["take 10.0.0.1 for claim a"]);
    assert_eq!(scene.bound(), [("a", "p-10-0-0-1")]);
}

#[test]
fn an_address_deleted_by_a_person_is_helped_out_and_made_again() {
    let mut scene = full_pool();
    scene.delete(&address_id("p-10-0-0-1"));
    assert_eq!(scene.run(), ["strip address p-10-0-0-1", "take 10.0.0.1 for claim a"]);
}

#[test]
fn d6_an_address_removed_by_force_while_it_is_being_published_is_made_again() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.add(claim("a"));
    scene.due();
    scene.done();
    assert_eq!(scene.due(), ["bind claim a to p-10-0-0-1"]);
    scene.tear_away(&address_id("p-10-0-0-1"));
    scene.add(claim("b"));
    assert_eq!(scene.due(), ["fail claim b: PoolExhausted: Exhausted IP Pools"]);
    scene.done();
    assert_eq!(scene.run(), ["take 10.0.0.1 for claim a"]);
}

#[test]
fn a_claim_whose_address_is_lost_and_excluded_meanwhile_gets_another_and_says_so() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.2"));
    scene.after(claim("a"));
    let excluded = IPPoolSpec { excluded_addresses: vec!["10.0.0.1".into()], ..spec(&["10.0.0.1-10.0.0.2"]) };
    scene.change_pool("p", |pool| pool.rules = Arc::new(PoolRules::read(&excluded)));
    assert_eq!(scene.run(), NOTHING);
    scene.tear_away(&address_id("p-10-0-0-1"));
    assert_eq!(
        scene.run(),
        ["take 10.0.0.2 for claim a", "read address p-10-0-0-1", "bind claim a to p-10-0-0-2"]
    );
}

#[test]
fn l6_a_deletion_whose_reply_is_lost_is_looked_at_before_the_next_step() {
    let mut scene = full_pool();
    scene.delete(&claim_id("a"));
    assert_eq!(scene.due(), ["delete address p-10-0-0-1"]);
    scene.lose_reply();
    let expected = ["read address p-10-0-0-1", "read claim a", "strip address p-10-0-0-1", "strip claim a"];
    assert_eq!(scene.run(), expected);
}

#[test]
fn d8_a_claim_made_anew_under_the_name_of_one_that_was_torn_away_has_that_ones_address() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.after(claim("a"));
    scene.tear_away(&claim_id("a"));
    let adopt = "adopt address p-10-0-0-1 for claim a: annotations, owner";
    assert_eq!(scene.after(claim("a")), ["read claim a", adopt, "bind claim a to p-10-0-0-1"]);
}

#[test]
fn nothing_of_a_paused_claim_is_released() {
    let mut scene = full_pool();
    scene.change_claim("a", |claim| claim.paused = true);
    scene.delete(&claim_id("a"));
    assert_eq!(scene.run(), NOTHING);
    scene.change_claim("a", |claim| claim.paused = false);
    assert_eq!(scene.run(), RELEASE);
}

#[test]
fn d7_a_published_address_that_is_deleted_is_made_again_though_the_claim_has_another_by_hand() {
    let mut scene = full_pool();
    scene.after(by_hand("router", "10.0.0.5", "a"));
    scene.delete(&address_id("p-10-0-0-1"));
    assert_eq!(scene.run(), ["strip address p-10-0-0-1", "take 10.0.0.1 for claim a"]);
}

#[test]
fn a_claim_that_publishes_what_no_object_can_be_called_is_served_and_goes() {
    for name in ["?", "", "a/b", "..", "A", "x y", &"a".repeat(254)] {
        let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
        let published = |name: &str| {
            let mut claim = claim("a");
            claim.shown.address = Some(name.into());
            claim
        };
        let due = scene.after(published(name));
        assert!(due.iter().all(|act| !act.starts_with("read")), "{name}: {due:?}");
        assert_eq!(scene.bound(), [("a", "p-10-0-0-1")], "{name}");
        // And one that was about to go.
        scene.add(claim("b"));
        scene.run();
        scene.change_claim("b", |claim| claim.shown.address = Some(name.into()));
        scene.delete(&claim_id("b"));
        let due = scene.run();
        assert!(due.iter().all(|act| !act.starts_with("read")), "{name}: {due:?}");
        assert!(!scene.server.objects.contains_key(&claim_id("b")), "{name}: {due:?}");
    }
}
