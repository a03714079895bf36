//! Addresses that no claim has any more.

use std::time::Duration;

use super::scene::Scene;
use super::*;
use crate::ledger::{Act, Outcome};

const GRACE: Duration = Duration::from_secs(30);
const ALMOST: Duration = Duration::from_secs(29);

/// What becomes of an address object whose claim is gone.
const SWEEP: [&str; 4] =
    ["read claim a", "delete address p-10-0-0-1", "strip address p-10-0-0-1", "status of pool p"];

/// A pool with an address object that we made for a claim `a`, which is nowhere to be seen.
fn orphaned() -> Scene {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.2"));
    scene.add(made("p-10-0-0-1", "10.0.0.1", "a", "u"));
    scene
}

#[test]
fn d10_an_address_without_its_claim_is_released_after_a_grace_and_a_read_of_the_claim() {
    let mut scene = orphaned();
    assert_eq!(scene.run(), NOTHING);
    assert_eq!(scene.run_for(ALMOST), ["status of pool p"]);
    assert_eq!(scene.run_for(Duration::from_secs(1)), SWEEP);
    assert!(!scene.server.objects.contains_key(&address_id("p-10-0-0-1")));
}

#[test]
fn d10_an_address_for_what_no_claim_can_be_called_is_released_without_a_read() {
    for name in ["x y", ""] {
        let mut scene = Scene::with(pool("10.0.0.1-10.0.0.2"));
        scene.add(made("p-10-0-0-1", "10.0.0.1", name, "u"));
        assert_eq!(scene.run_for(ALMOST), ["status of pool p"]);
        assert_eq!(scene.run_for(Duration::from_secs(1)), SWEEP[1..]);
    }
}

#[test]
fn l4_an_address_of_cluster_api_is_swept_up_alike() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    let object = id(Kind::Address(Family::Capi), "p-10-0-0-1");
    scene.add(Address { id: object, ..made("", "10.0.0.1", "a", "u") });
    let sweep = ["read capi claim a", "delete capi address p-10-0-0-1", "strip capi address p-10-0-0-1"];
    assert_eq!(scene.run_for(GRACE)[1..4], sweep);
}

#[test]
fn d10_an_address_whose_claim_shows_up_within_the_grace_is_its() {
    let mut scene = orphaned();
    scene.run_for(GRACE / 2);
    scene.add(Claim { meta: Meta { uid: Uid::new("u"), ..meta(OURS) }, ..claim("a") });
    assert_eq!(scene.run_for(GRACE * 2), [ADOPT, "bind claim a to p-10-0-0-1"]);
}

#[test]
fn d10_the_grace_begins_anew_once_the_claim_was_seen() {
    let mut scene = orphaned();
    scene.run_for(ALMOST);
    scene.add(Claim { meta: Meta { uid: Uid::new("u"), ..meta(OURS) }, ..claim("a") });
    scene.run();
    scene.tear_away(&claim_id("a"));
    assert_eq!(scene.run_for(ALMOST), NOTHING);
    assert_eq!(scene.run_for(Duration::from_secs(1)), SWEEP);
}

#[test]
fn d10_a_claim_that_no_watch_shows_and_the_read_finds_keeps_its_address() {
    let mut scene = orphaned();
    scene.add_unseen(Claim { meta: Meta { uid: Uid::new("u"), ..meta(OURS) }, ..claim("a") });
    assert_eq!(scene.run_for(GRACE)[1..], ["read claim a", ADOPT, "bind claim a to p-10-0-0-1"]);
    assert_eq!(scene.run_for(GRACE * 2), NOTHING);
}

/// A list lacks claim `a`, which is there: somebody has taken off the label that this controller serves.
fn unselected(scene: &mut Scene) {
    let kind = Kind::Claim(Family::Metal3);
    scene.ledger.list_begins(kind);
    scene.end_list(kind, |id| *id != claim_id("a"));
}

#[test]
fn d10_a_claim_that_a_list_lacks_and_the_read_finds_keeps_its_address() {
    let mut scene = Scene::of_a_shard(pool("10.0.0.1-10.0.0.2"));
    scene.add(claim("a"));
    scene.run_for(GRACE);
    unselected(&mut scene);
    assert_eq!(scene.run_for(GRACE * 3), ["read claim a"]);
}

#[test]
fn d10_such_a_claim_keeps_its_address_also_while_a_write_from_before_is_under_way() {
    let mut scene = Scene::of_a_shard(pool("10.0.0.1-10.0.0.2"));
    scene.add(claim("a"));
    scene.run_for(GRACE);
    scene.add(claim("b"));
    assert_eq!(scene.due(), ["take 10.0.0.2 for claim b"]);
    unselected(&mut scene);
    // The grace begins, and the claim is read three times.
    scene.due();
    for _ in 0..3 {
        scene.pass(GRACE);
        assert_eq!(scene.due().last().unwrap(), "read claim a");
        let look = scene.sent.pop().unwrap();
        let found = scene.server.carry_out(&look);
        scene.sent.insert(0, look);
        scene.reply(found);
        assert_eq!(scene.due(), NOTHING);
    }
}

#[test]
fn a_claim_that_a_list_lacked_is_served_once_its_watch_shows_it_again() {
    let mut scene = Scene::of_a_shard(pool("10.0.0.1-10.0.0.2"));
    scene.add(Claim { paused: true, ..claim("a") });
    unselected(&mut scene);
    scene.change_claim("a", |claim| claim.paused = false);
    assert_eq!(scene.run()[0], "take 10.0.0.1 for claim a");
}

#[test]
fn a_claim_whose_label_is_put_back_while_an_older_write_is_under_way_is_served() {
    let mut scene = Scene::of_a_shard(pool("10.0.0.1-10.0.0.2"));
    let uid = scene.add(bare_claim("a"));
    assert_eq!(scene.due(), ["protect claim a"]);
    scene.add(claim("b"));
    assert_eq!(scene.due(), ["take 10.0.0.2 for claim b"]);
    scene.ledger.deleted(&claim_id("a"), &uid);
    // What the reply shows of it says nothing of its label.
    scene.succeed();
    assert_eq!(scene.due(), NOTHING);
    scene
        .change_claim("a", |claim| claim.labels = Arc::new([("shard".to_owned(), "ours".to_owned())].into()));
    assert_eq!(scene.due(), ["take 10.0.0.1 for claim a"]);
}

#[test]
fn d10_a_read_that_is_not_answered_releases_nothing() {
    let mut scene = orphaned();
    scene.run_for(ALMOST);
    scene.pass(Duration::from_secs(1));
    assert_eq!(scene.due(), ["read claim a"]);
    scene.lose();
    assert_eq!(scene.due(), ["read address p-10-0-0-1"]);
    scene.done();
    assert_eq!(scene.due(), ["read claim a"]);
}

#[test]
fn d2_an_address_of_a_claim_of_the_same_name_and_another_uid_is_an_orphan_once_that_one_has_its_own() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.2"));
    scene.after(request("a", "10.0.0.2"));
    scene.after(made("p-10-0-0-1", "10.0.0.1", "a", "u"));
    assert_eq!(scene.run_for(GRACE)[1..], SWEEP);
}

#[test]
fn d10_an_annotation_is_enough_where_the_garbage_collector_took_the_owner_reference() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.add(Address { owner: None, ..made("p-10-0-0-1", "10.0.0.1", "a", "u") });
    assert_eq!(scene.run_for(GRACE)[1..], SWEEP);
}

#[test]
fn d10_an_owner_reference_that_was_moved_wins_over_the_annotation() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    let moved = made("p-10-0-0-1", "10.0.0.1", "a", "new");
    scene.add(Address { annotated: Some(Uid::new("old")), ..moved });
    scene.add(Claim { meta: Meta { uid: Uid::new("new"), ..meta(OURS) }, ..claim("a") });
    let expected = ["adopt address p-10-0-0-1 for claim a: annotations", "bind claim a to p-10-0-0-1"];
    assert_eq!(scene.run(), expected);
}

#[test]
fn the_address_of_a_person_is_left_alone() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.add(by_hand("router", "10.0.0.1", "nobody"));
    assert_eq!(scene.run_for(GRACE * 10), ["status of pool p"]);
}

#[test]
fn an_address_of_the_system_that_is_replaced_is_swept_up_if_its_claim_is_gone() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.add(Address { meta: meta(OURS), ..by_hand("p-10-0-0-1", "10.0.0.1", "a") });
    assert_eq!(scene.run_for(GRACE)[1..], SWEEP);
}

#[test]
fn an_address_of_the_system_that_is_replaced_is_swept_up_if_its_claim_has_another() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.2"));
    scene.after(request("a", "10.0.0.2"));
    scene.after(Address { meta: meta(OURS), ..by_hand("p-10-0-0-1", "10.0.0.1", "a") });
    assert_eq!(scene.run_for(GRACE)[1..], SWEEP);
    assert_eq!(scene.bound(), [("a", "p-10-0-0-2")]);
}

#[test]
fn nothing_is_swept_up_while_the_pool_is_paused_as_it_may_be_on_the_move() {
    let mut scene = orphaned();
    scene.change_pool("p", |pool| pool.paused = true);
    assert_eq!(scene.run_for(GRACE * 10), ["status of pool p"]);
    scene.change_pool("p", |pool| pool.paused = false);
    assert_eq!(scene.run_for(GRACE), ["status of pool p", SWEEP[0], SWEEP[1], SWEEP[2], SWEEP[3]]);
}

#[test]
fn s11_an_orphan_of_a_pool_that_is_gone_is_released() {
    let mut scene = orphaned();
    scene.tear_away(&pool_id("p"));
    assert_eq!(scene.run_for(GRACE), SWEEP[..3]);
}

#[test]
fn an_orphan_that_a_list_does_not_show_any_more_is_gone() {
    let mut scene = orphaned();
    scene.run();
    scene.server.objects.remove(&address_id("p-10-0-0-1"));
    scene.list(Kind::Address(Family::Metal3));
    assert_eq!(scene.after(claim("b"))[0], "take 10.0.0.1 for claim b");
}

#[test]
fn an_orphan_that_somebody_else_holds_is_stripped_once_and_left_to_them() {
    let mut scene = orphaned();
    scene.change_address("p-10-0-0-1", |address| address.meta.finalizers = OURS_AND_FOREIGN);
    assert_eq!(scene.run_for(GRACE)[1..], SWEEP[..3]);
    assert_eq!(scene.run_for(GRACE * 10), NOTHING);
}

#[test]
fn an_address_of_a_pool_that_another_shard_serves_is_left_to_it() {
    let mut scene = Scene::of_a_shard(pool("10.0.0.1-10.0.0.9"));
    scene.add(Address { pool: "theirs".into(), ..made("q-10-0-0-1", "10.0.0.1", "gone", "u") });
    scene.add(made("p-10-0-0-1", "10.0.0.1", "gone", "u"));
    let swept: Vec<String> = scene.run_for(Duration::from_mins(2));
    assert!(swept.contains(&"delete address p-10-0-0-1".to_owned()), "{swept:?}");
    assert!(!swept.iter().any(|act| act.contains("q-10-0-0-1")), "{swept:?}");
}

#[test]
fn s14_a_release_that_fails_again_and_again_is_tried_less_and_less_often() {
    let lost = Outcome::Unknown("connection reset".into());
    for (fails, what) in [
        ((|act| matches!(act, Act::Delete { .. })) as fn(&Act) -> bool, "delete"),
        (|act| matches!(act, Act::Strip { .. }), "strip"),
        (|act| matches!(act, Act::Look { .. }), "read"),
    ] {
        let mut scene = orphaned();
        let all = scene.ten_minutes(fails, &lost);
        let tries = all.iter().filter(|act| act.starts_with(what)).count();
        assert!((15..60).contains(&tries), "{tries} times {what} in ten minutes");
        // People hear of it.
        assert!(scene.notices().iter().any(|notice| notice.about == address_id("p-10-0-0-1")));
    }
}

#[test]
fn what_a_paused_claim_has_is_not_released_though_somebody_else_has_the_address_too() {
    let mut scene = orphaned();
    let twin = Address { id: id(Kind::Address(Family::Capi), "p-10-0-0-1"), ..by_hand("", "10.0.0.1", "x") };
    scene.add(twin);
    scene.add(Claim { meta: Meta { uid: Uid::new("u"), ..meta(OURS) }, paused: true, ..claim("a") });
    scene.run_for(GRACE * 3);
    assert!(scene.server.objects.contains_key(&address_id("p-10-0-0-1")));
    scene.change_claim("a", |claim| claim.paused = false);
    scene.run_for(GRACE * 2);
    assert!(!scene.server.objects.contains_key(&address_id("p-10-0-0-1")));
    assert_eq!(scene.bound(), [("a", "p-10-0-0-2")]);
}
