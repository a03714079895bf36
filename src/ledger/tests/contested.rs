//! Address objects of two kinds for one address, as two controllers at once, or one after another, make them.

use std::time::Duration;

use super::scene::Scene;
use super::*;
use crate::ledger::Outcome;

/// An address object that another controller made for a claim, and that claim as the watch shows it, which lags.
fn add_made_elsewhere(scene: &mut Scene, name: &str, ip: &str) {
    let uid = scene.add_unseen(claim("a"));
    scene.add(made(name, ip, "a", &uid.to_string()));
    let seen = scene.server.objects[&claim_id("a")].clone();
    scene.ledger.observe(seen);
}

/// An address object of the other family.
fn twin_object(ip: &str) -> Address {
    Address { id: id(Kind::Address(Family::Capi), "p-10-0-0-1"), ..by_hand("", ip, "somebody") }
}

#[test]
fn d1_an_address_of_another_controllers_making_is_left_alone_as_that_one_may_have_published_it() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(capi_claim("b"));
    assert_eq!(scene.due(), ["take 10.0.0.1 for capi claim b"]);
    add_made_elsewhere(&mut scene, "p-10-0-0-1", "10.0.0.1");
    assert_eq!(scene.due(), ["take 10.0.0.2 for claim a"]);
}

#[test]
fn d10_an_address_of_another_controllers_making_is_released_like_one_that_has_lost_its_claim() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.1"));
    scene.add(twin_object("10.0.0.1"));
    scene.run_for(Duration::from_secs(5));
    add_made_elsewhere(&mut scene, "p-10-0-0-1", "10.0.0.1");
    let due = scene.run_for(Duration::from_secs(29));
    assert_eq!(due, ["status of pool p", "fail claim a: PoolExhausted: Exhausted IP Pools"]);
    let due = scene.run_for(Duration::from_secs(1));
    let sweep = ["read claim a", "delete address p-10-0-0-1", "strip address p-10-0-0-1"];
    assert!(due.windows(3).any(|acts| acts == sweep), "{due:?}");
}

#[test]
fn an_address_that_somebody_else_had_too_is_published_once_nobody_else_has_it() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.1"));
    scene.add(twin_object("10.0.0.1"));
    scene.run_for(Duration::from_secs(5));
    add_made_elsewhere(&mut scene, "p-10-0-0-1", "10.0.0.1");
    assert_eq!(scene.run()[1], "fail claim a: PoolExhausted: Exhausted IP Pools");
    scene.tear_away(&id(Kind::Address(Family::Capi), "p-10-0-0-1"));
    assert_eq!(scene.run(), [ADOPT, "bind claim a to p-10-0-0-1"]);
}

/// An address object that was made here for claim `a`, just when one of the other family came.
fn rivals() -> Scene {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(claim("a"));
    scene.due();
    scene.add(twin_object("10.0.0.1"));
    scene.done();
    scene
}

#[test]
fn d1_an_address_that_another_controller_is_about_to_publish_is_not_withdrawn() {
    let mut scene = rivals();
    // Both families have it, but another controller has seen the twin go, says that it publishes this one, and does so.
    scene.change_address("p-10-0-0-1", |address| address.mark = Some("1".into()));
    let due = scene.run_for(Duration::from_secs(1));
    // Once another is published, so that the claim is another version, nobody can publish this one any more.
    assert_eq!(
        due[..3],
        ["take 10.0.0.2 for claim a", "bind claim a to p-10-0-0-2", "delete address p-10-0-0-1"]
    );
}

#[test]
fn d1_an_address_that_another_controller_has_made_anew_is_not_withdrawn() {
    let mut scene = rivals();
    let uid = scene.server.objects[&claim_id("a")].meta().uid.to_string();
    scene.tear_away(&address_id("p-10-0-0-1"));
    scene.add(made("p-10-0-0-1", "10.0.0.1", "a", &uid));
    assert_eq!(scene.due()[..1], ["take 10.0.0.2 for claim a"]);
}

#[test]
fn d10_the_grace_begins_anew_once_another_controller_is_about_to_publish() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.1"));
    scene.add(twin_object("10.0.0.1"));
    scene.run_for(Duration::from_secs(5));
    add_made_elsewhere(&mut scene, "p-10-0-0-1", "10.0.0.1");
    scene.run_for(Duration::from_secs(29));
    let is_swept = |due: Vec<String>| due.contains(&"delete address p-10-0-0-1".to_owned());
    for mark in ["1", "2"] {
        scene.change_address("p-10-0-0-1", |address| address.mark = Some(mark.into()));
        assert!(!is_swept(scene.run_for(Duration::from_secs(29))));
    }
    assert!(is_swept(scene.run_for(Duration::from_secs(1))));
}

/// An address object that another controller made for claim `a`, and that is about to be published here.
fn marked() -> Scene {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.1"));
    scene.run();
    add_made_elsewhere(&mut scene, "p-10-0-0-1", "10.0.0.1");
    assert_eq!(scene.due(), [ADOPT]);
    scene.done();
    scene
}

#[test]
fn d10_an_address_that_was_not_free_for_a_while_is_marked_anew_before_it_is_published() {
    let mut scene = marked();
    scene.add(twin_object("10.0.0.1"));
    assert_eq!(scene.run()[0], "fail claim a: PoolExhausted: Exhausted IP Pools");
    scene.tear_away(&id(Kind::Address(Family::Capi), "p-10-0-0-1"));
    assert_eq!(scene.run(), [ADOPT, "bind claim a to p-10-0-0-1"]);
}

#[test]
fn d10_an_address_whose_publication_has_to_wait_for_half_a_grace_is_marked_anew() {
    for (seconds, follows) in [(14, &["bind claim a to p-10-0-0-1"][..]), (15, &[ADOPT])] {
        let mut scene = marked();
        assert_eq!(scene.due(), ["bind claim a to p-10-0-0-1"]);
        scene.reply(Outcome::NotNow(Some(Duration::from_secs(seconds))));
        scene.pass(Duration::from_secs(seconds));
        assert_eq!(scene.due()[1..], *follows, "after the pool's status");
    }
}

#[test]
fn d10_an_address_that_was_made_here_is_marked_too_where_its_publication_has_to_wait_that_long() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(claim("a"));
    scene.due();
    scene.done();
    assert_eq!(scene.due(), ["bind claim a to p-10-0-0-1"]);
    scene.reply(Outcome::NotNow(Some(Duration::from_secs(15))));
    scene.pass(Duration::from_secs(15));
    assert_eq!(scene.run()[1..], [ADOPT, "bind claim a to p-10-0-0-1"], "after the pool's status");
}

#[test]
fn d10_a_mark_that_another_has_made_is_not_enough_to_publish_an_address() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.1"));
    scene.run();
    let uid = scene.add_unseen(claim("a"));
    let mark = Some("1".into());
    scene.add(Address { mark, ..made("p-10-0-0-1", "10.0.0.1", "a", &uid.to_string()) });
    let seen = scene.server.objects[&claim_id("a")].clone();
    scene.ledger.observe(seen);
    assert_eq!(scene.run(), [ADOPT, "bind claim a to p-10-0-0-1"]);
}

#[test]
fn an_address_whose_deletion_was_asked_for_is_published_only_once_that_deletion_counts_no_more() {
    let mut scene = rivals();
    assert_eq!(scene.due(), ["delete address p-10-0-0-1"]);
    scene.lose();
    scene.tear_away(&id(Kind::Address(Family::Capi), "p-10-0-0-1"));
    let due = scene.run_for(Duration::from_secs(1));
    let expected = [
        "read claim a",
        "read address p-10-0-0-1",
        // Which makes another version of it.
        ADOPT,
        "bind claim a to p-10-0-0-1",
    ];
    assert_eq!(due[..4], expected);
}

#[test]
fn an_address_whose_publication_went_unanswered_is_not_withdrawn_as_that_may_come_late() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(claim("a"));
    scene.due();
    scene.done();
    assert_eq!(scene.due(), ["bind claim a to p-10-0-0-1"]);
    scene.lose();
    scene.add(twin_object("10.0.0.1"));
    let due = scene.run_for(Duration::from_secs(1));
    assert_eq!(due[..2], ["read claim a", "take 10.0.0.2 for claim a"]);
}

#[test]
fn a_claim_that_publishes_an_address_which_was_not_seen_yet_is_not_told_that_there_is_none() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.1"));
    scene.add(capi_claim("b"));
    assert_eq!(scene.due(), ["take 10.0.0.1 for capi claim b"]);
    scene
        .add(Claim { shown: Shown { address: Some("p-10-0-0-1".into()), ..Shown::default() }, ..claim("a") });
    assert_eq!(scene.due(), ["read address p-10-0-0-1"]);
}

/// Claim `a` publishes `p-10-0-0-1`, of which `reveal` decides what was seen. `p-10-0-0-2` was made for it, too, and it seems
/// as if the published address could not be had again.
fn seems_lost(reveal: impl FnOnce(&mut Scene, Address)) -> Scene {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.2"));
    scene.run();
    let shown = Shown { address: Some("p-10-0-0-1".into()), ..Shown::default() };
    let uid = scene.add(Claim { shown, paused: true, ..claim("a") }).to_string();
    reveal(&mut scene, made("p-10-0-0-1", "10.0.0.1", "a", &uid));
    scene.add(made("p-10-0-0-2", "10.0.0.2", "a", &uid));
    let excluded = spec(&["10.0.0.2"]);
    scene.change_pool("p", |pool| pool.rules = Arc::new(PoolRules::read(&excluded)));
    scene.change_claim("a", |claim| claim.paused = false);
    scene
}

/// The published object is looked for, and stays the claim's.
fn assert_stays(mut scene: Scene) {
    let due = scene.run();
    assert_eq!(due[0], "read address p-10-0-0-1");
    assert!(due.iter().all(|act| act != "bind claim a to p-10-0-0-2"), "{due:?}");
    assert_eq!(scene.bound(), [("a", "p-10-0-0-1")]);
}

/// The same object on its way out.
fn going(object: &Address) -> Address {
    Address { meta: Meta { deleting: true, ..object.meta.clone() }, ..object.clone() }
}

#[test]
fn d1_what_a_claim_publishes_stays_though_no_watch_has_shown_it_and_another_object_was_made_for_it() {
    assert_stays(seems_lost(|scene, object| {
        scene.add_unseen(object);
    }));
}

#[test]
fn d1_what_a_claim_publishes_stays_though_only_an_earlier_object_of_its_name_was_seen() {
    assert_stays(seems_lost(|scene, object| {
        scene.add(going(&object));
        scene.server.objects.remove(&object.id);
        scene.add_unseen(object);
    }));
}

#[test]
fn d1_what_a_claim_publishes_is_looked_for_again_once_what_was_on_its_way_out_is_gone() {
    let mut published = None;
    let mut scene = seems_lost(|scene, object| {
        scene.add(going(&object));
        published = Some(object);
    });
    assert!(scene.due().contains(&"read address p-10-0-0-1".to_owned()));
    scene.done();
    assert_eq!(scene.due(), ["adopt address p-10-0-0-2 for claim a: annotations"]);
    // Another controller, for which the pool still has the address, makes the object anew.
    scene.tear_away(&address_id("p-10-0-0-1"));
    scene.add_unseen(published.unwrap());
    scene.done();
    assert_stays(scene);
}

#[test]
fn d1_an_address_that_was_made_for_a_later_claim_is_not_made_an_earlier_ones() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.1"));
    assert_eq!(scene.after(claim("a")), ["take 10.0.0.1 for claim a", "bind claim a to p-10-0-0-1"]);
    // Another controller has let the claim go, and serves another of its name; no watch has shown that here.
    scene.server.objects.remove(&claim_id("a"));
    let shown = Shown { address: Some("p-10-0-0-1".into()), ..Shown::default() };
    let later = scene.add_unseen(Claim { shown, ..claim("a") });
    scene.tear_away(&address_id("p-10-0-0-1"));
    scene.add(made("p-10-0-0-1", "10.0.0.1", "a", &later.to_string()));
    assert_eq!(scene.due(), ["read claim a"]);
    scene.done();
    assert!(!scene.run().iter().any(|act| act.starts_with("adopt") || act.starts_with("delete")));
    assert_eq!(scene.bound(), [("a", "p-10-0-0-1")]);
}

#[test]
fn d1_an_address_whose_deletion_was_asked_for_and_that_is_published_since_becomes_another_version() {
    let mut scene = rivals();
    assert_eq!(scene.due(), ["delete address p-10-0-0-1"]);
    scene.lose();
    // Another controller, for which the twin is gone, has let the claim publish it.
    scene.change_claim("a", |claim| claim.shown.address = Some("p-10-0-0-1".into()));
    let due = scene.run_for(Duration::from_secs(1));
    assert_eq!(due[..3], [ADOPT, "read address p-10-0-0-1", "bind claim a to p-10-0-0-1"]);
}

#[test]
fn a_claim_that_publishes_an_address_which_was_not_seen_yet_is_not_told_that_its_pool_is_gone() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.1"));
    scene.run();
    scene.tear_away(&pool_id("p"));
    let shown = Shown { address: Some("p-10-0-0-1".into()), ..Shown::default() };
    let uid = scene.add(Claim { shown, ..claim("a") }).to_string();
    scene.add_unseen(made("p-10-0-0-1", "10.0.0.1", "a", &uid));
    assert_eq!(scene.run(), ["read address p-10-0-0-1", "bind claim a to p-10-0-0-1"]);
}

#[test]
fn a_read_that_was_sent_before_its_object_was_published_does_not_prove_that_it_is_gone() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.1"));
    scene.add(claim("a"));
    scene.due();
    scene.lose();
    scene.pass(Duration::from_secs(1));
    assert!(scene.due().contains(&"read address p-10-0-0-1".to_owned()));
    // Meanwhile another controller makes the object and lets the claim publish it, and the pool is torn away.
    scene.change_claim("a", |claim| claim.shown.address = Some("p-10-0-0-1".into()));
    scene.tear_away(&pool_id("p"));
    scene.done();
    let uid = scene.server.objects[&claim_id("a")].meta().uid.to_string();
    scene.add_unseen(made("p-10-0-0-1", "10.0.0.1", "a", &uid));
    assert_eq!(scene.run(), ["read address p-10-0-0-1", "bind claim a to p-10-0-0-1"]);
}
