//! Claims and addresses that come back from a backup, under new UIDs.

use std::time::Duration;

use super::scene::Scene;
use super::*;
use crate::ledger::ClaimOwner;

const GRACE: Duration = Duration::from_secs(30);
const ALMOST: Duration = Duration::from_secs(29);

/// What becomes of an address object that nobody inherits.
const SWEEP: [&str; 4] =
    ["read claim a", "delete address p-10-0-0-1", "strip address p-10-0-0-1", "status of pool p"];

/// What a claim does about an address object that it finds under its name.
const INHERIT: [&str; 3] = [
    "read claim a",
    "adopt address p-10-0-0-1 for claim a: annotations, owner",
    "bind claim a to p-10-0-0-1",
];

/// A pool with an address object for a former claim `a`.
fn left() -> Scene {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(made("p-10-0-0-1", "10.0.0.1", "a", "old"));
    scene
}

/// That claim, and the deletion of its address that is under way after the grace.
fn being_swept() -> Scene {
    let mut scene = left();
    scene.run_for(ALMOST);
    scene.pass(Duration::from_secs(1));
    assert_eq!(scene.due(), SWEEP[..1]);
    scene.done();
    assert_eq!(scene.due(), SWEEP[1..2]);
    scene
}

#[test]
fn a_claim_that_comes_back_without_its_status_has_its_address_again() {
    let mut scene = left();
    assert_eq!(scene.after(claim("a")), INHERIT);
    assert_eq!(scene.run_for(GRACE * 10), ["status of pool p"]);
}

#[test]
fn an_address_that_comes_back_without_owners_and_finalizer_is_made_ours_again() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    let restored = made("p-10-0-0-1", "10.0.0.1", "a", "old");
    let bare = meta(Finalizers::default());
    scene.add(Address { meta: bare, owner: None, ..restored });
    let adopt = "adopt address p-10-0-0-1 for claim a: finalizer, annotations, owner";
    assert_eq!(scene.after(claim("a")), [INHERIT[0], adopt, INHERIT[2]]);
}

#[test]
fn a_claim_of_cluster_api_has_its_address_again_alike() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    let object = id(Kind::Address(Family::Capi), "p-10-0-0-1");
    scene.add(Address { id: object, ..made("", "10.0.0.1", "a", "old") });
    // The IPClaim of that name has nothing to do with it.
    let take = ["take 10.0.0.2 for claim a", "bind claim a to p-10-0-0-2"];
    assert_eq!(scene.after(claim("a")), take);
    let adopt = "adopt capi address p-10-0-0-1 for capi claim a: annotations, owner";
    let expected = ["read capi claim a", adopt, "bind capi claim a to p-10-0-0-1"];
    assert_eq!(scene.after(capi_claim("a")), expected);
}

#[test]
fn d8_d10_a_claim_inherits_nothing_from_one_that_is_younger_than_its_view() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    // The claim was deleted and made again; another controller serves it, and the watch of claims lags.
    scene.add(claim("a"));
    scene.server.objects.remove(&claim_id("a"));
    scene.add_unseen(Claim { meta: Meta { uid: Uid::new("new"), ..meta(OURS) }, ..claim("a") });
    scene.add(made("p-10-0-0-1", "10.0.0.1", "a", "new"));
    assert_eq!(scene.run(), ["read claim a", ADOPT, "bind claim a to p-10-0-0-1"]);
}

#[test]
fn d10_a_read_proves_nothing_of_an_address_that_has_changed_hands_meanwhile() {
    let mut scene = left();
    scene.add(claim("a"));
    assert_eq!(scene.due(), ["read claim a"]);
    let other = Uid::new("other");
    scene.change_address("p-10-0-0-1", |address| {
        address.owner = Some(ClaimOwner { at: 1, uid: other.clone() });
        address.annotated = Some(other);
    });
    scene.done();
    assert_eq!(scene.run(), INHERIT);
}

#[test]
fn d10_a_read_that_is_not_answered_proves_nothing() {
    let mut scene = left();
    scene.add(claim("a"));
    assert_eq!(scene.due(), ["read claim a"]);
    scene.lose();
    assert_eq!(scene.run(), INHERIT);
}

#[test]
fn a_claim_that_asks_for_another_address_does_not_inherit() {
    let mut scene = left();
    let take = ["take 10.0.0.2 for claim a", "bind claim a to p-10-0-0-2"];
    assert_eq!(scene.after(request("a", "10.0.0.2")), take);
    assert_eq!(scene.run_for(GRACE)[1..], SWEEP);
}

#[test]
fn a_claim_whose_pre_allocation_is_another_address_does_not_inherit() {
    for (name, ip) in [("a", "10.0.0.5"), ("b", "10.0.0.1")] {
        let reserved = [(name.to_owned(), ip.to_owned())].into();
        let mut scene =
            Scene::with(pool_of(&IPPoolSpec { pre_allocations: reserved, ..spec(&["10.0.0.1-10.0.0.9"]) }));
        scene.add(made("p-10-0-0-1", "10.0.0.1", "a", "old"));
        assert!(scene.after(claim("a"))[0].starts_with("take "), "{name}");
        assert_eq!(scene.run_for(GRACE)[1..4], SWEEP[..3], "{name}");
    }
}

#[test]
fn an_address_that_the_pool_has_no_more_is_not_inherited() {
    let mut scene = Scene::with(pool("10.0.0.2-10.0.0.9"));
    scene.add(made("p-10-0-0-1", "10.0.0.1", "a", "old"));
    let take = ["take 10.0.0.2 for claim a", "bind claim a to p-10-0-0-2"];
    assert_eq!(scene.after(claim("a")), take);
    assert_eq!(scene.run_for(GRACE)[1..4], SWEEP[..3]);
}

#[test]
fn an_address_that_another_claim_has_too_is_not_inherited() {
    let mut scene = left();
    scene.after(by_hand("same", "10.0.0.1", "b"));
    let take = ["take 10.0.0.2 for claim a", "bind claim a to p-10-0-0-2"];
    assert_eq!(scene.after(claim("a")), take);
}

#[test]
fn of_two_addresses_a_claim_inherits_one_and_the_other_is_swept_up() {
    let mut scene = left();
    scene.add(made("p-10-0-0-2", "10.0.0.2", "a", "older"));
    assert_eq!(scene.after(claim("a")), INHERIT);
    let other = ["read claim a", "delete address p-10-0-0-2", "strip address p-10-0-0-2"];
    assert_eq!(scene.run_for(GRACE)[1..4], other);
}

#[test]
fn an_address_waits_for_its_pool_with_the_claim_that_inherits_it() {
    let mut scene = left();
    scene.tear_away(&pool_id("p"));
    let tell = "tell claim a: PoolNotReady: There is no pool \"p\" in namespace \"ns\"";
    assert_eq!(scene.after(claim("a")), [tell]);
    assert_eq!(scene.run_for(GRACE * 10), NOTHING);
    scene.add(pool("10.0.0.1-10.0.0.9"));
    assert_eq!(scene.run()[1..], INHERIT);
}

#[test]
fn l5_nothing_is_inherited_of_a_pool_that_is_being_deleted() {
    let mut scene = left();
    scene.delete(&pool_id("p"));
    scene.after(claim("a"));
    assert_eq!(scene.run_for(GRACE)[1..4], SWEEP[..3]);
    assert!(!scene.server.objects.contains_key(&pool_id("p")));
}

#[test]
fn l6_a_sweep_that_comes_late_does_not_touch_an_address_that_was_inherited() {
    let mut scene = being_swept();
    let sweep = scene.sent.remove(0);
    assert_eq!(scene.after(claim("a")), INHERIT);
    scene.sent.push(sweep);
    scene.done();
    assert_eq!(scene.run(), ["read address p-10-0-0-1"]);
    assert_eq!(scene.run_for(GRACE * 10), NOTHING);
    assert_eq!(scene.bound(), [("a", "p-10-0-0-1")]);
}

#[test]
fn an_address_that_is_on_its_way_out_is_taken_again_by_the_claim_that_inherits_it() {
    let mut scene = being_swept();
    scene.done();
    scene.add(claim("b"));
    let due = scene.after(claim("a"));
    let again = ["strip address p-10-0-0-1", "take 10.0.0.1 for claim a", "bind claim a to p-10-0-0-1"];
    for act in again {
        assert!(due.contains(&act.to_owned()), "{act}: {due:?}");
    }
    assert_eq!(scene.bound(), [("a", "p-10-0-0-1"), ("b", "p-10-0-0-2")]);
}

#[test]
fn an_address_that_is_on_its_way_out_and_held_by_others_holds_up_nobody() {
    let mut scene = being_swept();
    scene.done();
    scene.change_address("p-10-0-0-1", |address| address.meta.finalizers = OURS_AND_FOREIGN);
    scene.after(claim("a"));
    assert_eq!(scene.bound(), [("a", "p-10-0-0-2")]);
}

#[test]
fn a_claim_that_is_deleted_before_it_has_inherited_leaves_the_address_to_the_sweep() {
    let mut scene = left();
    scene.add(Claim { paused: true, ..claim("a") });
    assert_eq!(scene.run_for(GRACE * 2).last().unwrap(), "status of pool p");
    scene.change_claim("a", |claim| (claim.paused, claim.meta.deleting) = (false, true));
    assert_eq!(scene.run(), ["strip claim a"]);
    assert_eq!(scene.run_for(GRACE), SWEEP);
}

#[test]
fn a_claim_that_is_deleted_while_it_inherits_leaves_the_address_to_the_sweep() {
    let mut scene = left();
    scene.add(bare_claim("a"));
    assert_eq!(scene.due(), INHERIT[..1]);
    scene.done();
    assert_eq!(scene.due(), ["protect claim a"]);
    scene.change_claim("a", |claim| (claim.meta.finalizers, claim.meta.deleting) = (FOREIGN, true));
    scene.lose();
    assert_eq!(scene.run()[0], "read claim a");
    assert_eq!(scene.run_for(GRACE)[1..4], SWEEP[..3]);
}

/// A claim that is on its way out and publishes an address object that was made for another.
fn leaving() -> Scene {
    let mut scene = left();
    let shown = Shown { address: Some("p-10-0-0-1".into()), ..Shown::default() };
    let meta = Meta { deleting: true, ..claim("a").meta };
    scene.add(Claim { meta, shown, ..claim("a") });
    scene
}

#[test]
fn l6_what_was_made_for_another_claim_is_released_after_a_read_of_the_one_that_goes() {
    let release = ["read claim a", "delete address p-10-0-0-1", "strip address p-10-0-0-1", "strip claim a"];
    let mut scene = leaving();
    assert_eq!(scene.run()[..4], release);
}

#[test]
fn l6_what_a_later_claim_has_inherited_is_not_released_for_one_that_was_torn_away() {
    let mut scene = leaving();
    assert_eq!(scene.due(), ["read claim a"]);
    scene.done();
    // Another controller lets a later claim inherit the address, and publishes it; only the mark is seen here.
    scene.server.objects.remove(&claim_id("a"));
    let shown = Shown { address: Some("p-10-0-0-1".into()), ..Shown::default() };
    let later = scene.add_unseen(Claim { shown, ..claim("a") });
    scene.change_address("p-10-0-0-1", |address| {
        address.mark = Some("1".into());
        address.annotated = Some(later.clone());
        address.owner = Some(ClaimOwner { at: 0, uid: later });
    });
    assert_eq!(scene.due(), ["read claim a"]);
    scene.done();
    scene.run_for(GRACE * 10);
    assert_eq!(scene.bound(), [("a", "p-10-0-0-1")]);
    assert!(!scene.server.objects[&address_id("p-10-0-0-1")].meta().deleting);
}

#[test]
fn d6_who_publishes_an_object_of_another_claim_has_the_address_once_that_is_gone() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.after(claim("y"));
    let shown = Shown { address: Some("p-10-0-0-1".into()), ..Shown::default() };
    let due = scene.after(Claim { shown, ..claim("x") });
    assert_eq!(due, ["fail claim x: PoolExhausted: Exhausted IP Pools (still p-10-0-0-1)"]);
    scene.delete(&claim_id("y"));
    let due = scene.run();
    assert!(due.contains(&"take 10.0.0.1 for claim x".to_owned()), "{due:?}");
    assert_eq!(scene.bound(), [("x", "p-10-0-0-1")]);
}
