//! The steps to an address.

use std::time::Duration;

use super::scene::{KINDS, Scene};
use super::*;
use crate::ledger::Outcome;

#[test]
fn a_claim_is_protected_then_its_address_taken_then_published_and_nothing_else_is_written() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    let due = scene.after(bare_claim("a"));
    assert_eq!(due, ["protect claim a", "take 10.0.0.1 for claim a", "bind claim a to p-10-0-0-1"]);
    assert_eq!(scene.run(), NOTHING);
}

#[test]
fn s12_our_finalizer_is_added_beside_those_of_others() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    let due = scene.after(Claim { meta: meta(FOREIGN), ..claim("a") });
    assert_eq!(due[0], "protect claim a beside others");
}

#[test]
fn l7_nothing_is_taken_while_the_finalizer_is_not_known_to_be_there() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(bare_claim("a"));
    assert_eq!(scene.due(), ["protect claim a"]);
    scene.lose();
    assert_eq!(scene.due(), ["read claim a"]);
    scene.done();
    assert_eq!(scene.due(), ["protect claim a"]);
}

#[test]
fn nothing_is_due_before_all_kinds_are_listed() {
    let mut scene = Scene::unlisted();
    scene.add(pool("10.0.0.1-10.0.0.9"));
    scene.add(claim("a"));
    for kind in KINDS {
        assert_eq!(scene.due(), NOTHING, "before {kind:?}");
        assert_eq!(scene.ledger.next_wake(), None);
        scene.list(kind);
    }
    assert_eq!(scene.due(), ["status of pool p", "take 10.0.0.1 for claim a"]);
}

#[test]
fn d9_in_a_new_term_nothing_is_due_before_every_kind_was_listed_anew() {
    for last in KINDS {
        let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
        scene.ledger.begin_term(KINDS);
        scene.add(claim("a"));
        assert_eq!(scene.due(), NOTHING);
        for kind in KINDS.into_iter().filter(|kind| *kind != last) {
            scene.list(kind);
            assert_eq!(scene.due(), NOTHING, "before {last:?}");
        }
        scene.list(last);
        assert_eq!(scene.due(), ["take 10.0.0.1 for claim a"]);
    }
}

#[test]
fn d9_a_new_term_hands_out_nothing_that_its_lists_show_to_be_held() {
    let mut scene = Scene::unlisted();
    scene.add_unseen(pool("10.0.0.1-10.0.0.2"));
    scene.add_unseen(made("p-10-0-0-1", "10.0.0.1", "old", "u"));
    scene.add_unseen(claim("new"));
    scene.list_all();
    assert_eq!(scene.due(), ["status of pool p", "take 10.0.0.2 for claim new"]);
}

#[test]
fn d3_an_own_write_counts_before_any_watch_shows_it() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.add(claim("a"));
    scene.due();
    scene.done();
    scene.add(claim("b"));
    let due = scene.due();
    assert_eq!(due, ["fail claim b: PoolExhausted: Exhausted IP Pools", "bind claim a to p-10-0-0-1"]);
}

#[test]
fn d3_a_view_older_than_what_is_known_changes_nothing() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(claim("a"));
    let old = scene.server.objects[&claim_id("a")].clone();
    scene.run();
    scene.ledger.observe(old);
    assert_eq!(scene.run(), NOTHING);
}

#[test]
fn a_late_view_of_what_is_gone_does_not_bring_it_back() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(bare_claim("a"));
    let alive = scene.server.objects[&claim_id("a")].clone();
    scene.due();
    scene.server.objects.remove(&claim_id("a"));
    scene.reply(Outcome::Gone);
    scene.ledger.observe(alive);
    assert_eq!(scene.run(), NOTHING);
}

#[test]
fn d8_a_write_for_a_claim_that_was_made_anew_changes_nothing_of_the_new_one() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(bare_claim("a"));
    assert_eq!(scene.due(), ["protect claim a"]);
    scene.tear_away(&claim_id("a"));
    scene.add(bare_claim("a"));
    assert_eq!(scene.due(), ["protect claim a"]);
    scene.succeed();
    assert_eq!(scene.due(), NOTHING);
    scene.succeed();
    assert_eq!(scene.run(), ["take 10.0.0.1 for claim a", "bind claim a to p-10-0-0-1"]);
}

#[test]
fn a_claim_has_one_write_under_way_whatever_is_seen_of_it_meanwhile() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(claim("a"));
    assert_eq!(scene.due(), ["take 10.0.0.1 for claim a"]);
    scene.change_claim("a", |claim| claim.labels = Arc::new([("x".into(), "y".into())].into()));
    assert_eq!(scene.due(), NOTHING);
}

#[test]
fn d7_an_address_too_many_is_withdrawn_and_the_published_one_stays() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    let uid = scene.add(claim("a")).to_string();
    scene.run();
    scene.add(made("p-10-0-0-5", "10.0.0.5", "a", &uid));
    assert_eq!(scene.run(), ["delete address p-10-0-0-5", "strip address p-10-0-0-5"]);
    assert_eq!(scene.bound(), [("a", "p-10-0-0-1")]);
}

#[test]
fn d1_an_unpublished_address_that_the_other_kind_has_too_is_withdrawn_for_another() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(claim("a"));
    scene.due();
    let other = id(Kind::Address(Family::Capi), "p-10-0-0-1");
    scene.add(Address { id: other, ..by_hand("", "10.0.0.1", "somebody") });
    scene.done();
    let expected = [
        "delete address p-10-0-0-1",
        "strip address p-10-0-0-1",
        "take 10.0.0.2 for claim a",
        "bind claim a to p-10-0-0-2",
    ];
    assert_eq!(scene.run(), expected);
}

#[test]
fn d7_a_claim_that_is_published_by_the_other_leader_keeps_its_address() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene
        .add(Claim { shown: Shown { address: Some("p-10-0-0-4".into()), ..Shown::default() }, ..claim("a") });
    assert_eq!(scene.due(), ["take 10.0.0.4 for claim a"]);
}

#[test]
fn a_claim_that_lost_its_finalizer_while_its_address_was_taken_is_protected_before_it_is_published() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(claim("a"));
    scene.due();
    scene.change_claim("a", |claim| claim.meta.finalizers = Finalizers::default());
    scene.done();
    assert_eq!(scene.run(), ["protect claim a", "bind claim a to p-10-0-0-1"]);
}

#[test]
fn a_restored_claim_adopts_the_address_that_it_publishes() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(made("p-10-0-0-4", "10.0.0.4", "a", "before the restore"));
    scene
        .add(Claim { shown: Shown { address: Some("p-10-0-0-4".into()), ..Shown::default() }, ..claim("a") });
    let due = scene.run();
    let adopt = "adopt address p-10-0-0-4 for claim a: annotations, owner";
    assert_eq!(due, ["read claim a", adopt, "bind claim a to p-10-0-0-4"]);
}

#[test]
fn d7_what_another_leader_published_meanwhile_stays_and_ours_is_withdrawn() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    let uid = scene.add(claim("a")).to_string();
    scene.due();
    scene.done();
    assert_eq!(scene.due(), ["bind claim a to p-10-0-0-1"]);
    scene.add_unseen(made("p-10-0-0-7", "10.0.0.7", "a", &uid));
    scene.server.change(&claim_id("a"), |seen| {
        let Seen::Claim(claim) = seen else { return };
        claim.shown.address = Some("p-10-0-0-7".into());
    });
    scene.done();
    scene.run_for(Duration::from_secs(10));
    assert_eq!(scene.bound(), [("a", "p-10-0-0-7")]);
    assert!(!scene.server.objects.contains_key(&address_id("p-10-0-0-1")));
}

#[test]
fn an_address_that_lost_our_finalizer_gets_it_back() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.after(claim("a"));
    scene.change_address("p-10-0-0-1", |address| address.meta.finalizers = FOREIGN);
    assert_eq!(scene.run(), ["adopt address p-10-0-0-1 for claim a: finalizer"]);
}

#[test]
fn an_address_that_lost_its_owner_reference_gets_it_back() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.after(claim("a"));
    scene.change_address("p-10-0-0-1", |address| address.owner = None);
    assert_eq!(scene.run(), ["adopt address p-10-0-0-1 for claim a: owner"]);
}
