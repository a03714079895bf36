//! The fence between a take and its publication: what the other family may have.

use std::collections::BTreeSet;
use std::time::Duration;

use super::scene::Scene;
use super::*;
use crate::ledger::{Act, Outcome};

/// A scene whose lists of names take their time.
fn scene(range: &str) -> Scene {
    let mut scene = Scene::with(pool(range));
    scene.surveys_take_time = true;
    scene
}

/// An address object of the other family, which no watch has shown yet.
fn twin_object(name: &str, ip: &str, claim: &str) -> Address {
    let address = made(name, ip, claim, "other");
    Address { id: id(Kind::Address(Family::Capi), name), ..address }
}

fn names(names: &[&str], complete: bool) -> Outcome {
    Outcome::Names { names: names.iter().map(|&name| name.into()).collect(), complete }
}

#[test]
fn d1_an_address_is_published_only_after_the_other_family_was_read() {
    let mut scene = scene("10.0.0.1-10.0.0.9");
    let due = scene.after(claim("a"));
    assert_eq!(due, ["take 10.0.0.1 for claim a", "survey for claim a", "bind claim a to p-10-0-0-1"]);
}

#[test]
fn d1_an_address_that_the_other_family_has_too_is_withdrawn_and_another_is_taken() {
    let mut scene = scene("10.0.0.1-10.0.0.9");
    scene.add(claim("a"));
    assert_eq!(scene.due(), ["take 10.0.0.1 for claim a"]);
    // A second controller does the same for a claim of the other family.
    scene.add_unseen(twin_object("p-10-0-0-1", "10.0.0.1", "b"));
    scene.done();
    assert_eq!(scene.due(), ["survey for claim a"]);
    scene.done();
    let due = scene.run();
    assert_eq!(
        due[..4],
        [
            "read capi address p-10-0-0-1",
            "delete address p-10-0-0-1",
            "strip address p-10-0-0-1",
            "take 10.0.0.2 for claim a"
        ]
    );
    assert_eq!(scene.bound(), [("a", "p-10-0-0-2")]);
}

#[test]
fn d1_what_counts_as_gone_and_is_shown_nevertheless_keeps_the_address_from_being_published() {
    let mut scene = scene("10.0.0.1-10.0.0.9");
    let twin = twin_object("p-10-0-0-1", "10.0.0.1", "b");
    scene.add(claim("a"));
    assert_eq!(scene.due(), ["take 10.0.0.1 for claim a"]);
    let object = twin.id.clone();
    scene.add_unseen(twin);
    let uid = scene.server.objects[&object].meta().uid.clone();
    scene.ledger.gone(&object, &uid);
    scene.done();
    assert_eq!(scene.due(), ["survey for claim a"]);
    for _ in 0..3 {
        scene.done();
        scene.pass(Duration::from_secs(1));
        assert_eq!(scene.due().last().unwrap(), "read capi address p-10-0-0-1");
    }
    assert_eq!(scene.bound(), []);
}

#[test]
fn d1_an_object_of_another_provider_is_not_in_the_way_of_the_other_family() {
    let mut scene = scene("10.0.0.1-10.0.0.9");
    let foreign = Address {
        pool: "".into(),
        claim: "".into(),
        owner: None,
        annotated: None,
        mark: None,
        ip: None,
        ..twin_object("p-10-0-0-1", "10.0.0.1", "")
    };
    scene.add(foreign);
    scene.after(claim("a"));
    assert_eq!(scene.bound(), [("a", "p-10-0-0-1")]);
}

#[test]
fn one_list_of_names_covers_every_take_that_came_before_it() {
    let mut scene = scene("10.0.0.1-10.0.0.9");
    for name in ["a", "b", "c"] {
        scene.add(claim(name));
    }
    scene.due();
    scene.succeed();
    assert_eq!(scene.due(), ["survey for claim a"]);
    // The takes of b and c land after the list was asked for.
    let survey = scene.sent.pop().unwrap();
    scene.done();
    scene.sent.push(survey);
    assert_eq!(scene.due(), [""; 0]);
    scene.done();
    // The next list waits a little, so that it covers more than a few.
    assert_eq!(scene.due(), ["bind claim a to p-10-0-0-1"]);
    scene.done();
    scene.pass(Duration::from_millis(20));
    assert_eq!(scene.due(), ["survey for claim b"]);
    scene.done();
    assert_eq!(scene.due(), ["bind claim b to p-10-0-0-2", "bind claim c to p-10-0-0-3"]);
}

#[test]
fn a_list_that_is_cut_off_says_nothing_of_the_names_that_it_lacks() {
    let mut scene = scene("10.0.0.1-10.0.0.9");
    scene.add(claim("a"));
    scene.due();
    scene.done();
    assert_eq!(scene.due(), ["survey for claim a"]);
    scene.reply(names(&["another"], false));
    assert_eq!(scene.due(), ["read capi address p-10-0-0-1"]);
    scene.done();
    assert_eq!(scene.due(), ["bind claim a to p-10-0-0-1"]);
}

#[test]
fn where_the_other_kind_is_not_installed_nothing_is_in_the_way() {
    let mut scene = scene("10.0.0.1-10.0.0.9");
    scene.add(claim("a"));
    scene.due();
    scene.done();
    scene.due();
    scene.reply(Outcome::Gone);
    assert_eq!(scene.due(), ["bind claim a to p-10-0-0-1"]);
}

#[test]
fn a_list_that_is_refused_or_lost_publishes_nothing_and_is_asked_for_again() {
    for outcome in [Outcome::Refused("no".into()), Outcome::Unknown("reset".into()), Outcome::NotNow(None)] {
        let mut scene = scene("10.0.0.1-10.0.0.9");
        for name in ["a", "b"] {
            scene.add(claim(name));
        }
        scene.due();
        scene.done();
        assert_eq!(scene.due(), ["survey for claim a"]);
        scene.reply(outcome);
        let due = scene.run_for(Duration::from_secs(1));
        assert!(due.iter().any(|act| act.starts_with("survey for")), "{due:?}");
        assert_eq!(scene.bound(), [("a", "p-10-0-0-1"), ("b", "p-10-0-0-2")]);
    }
}

#[test]
fn the_other_family_is_read_again_when_an_address_has_to_be_taken_again() {
    let mut scene = scene("10.0.0.1-10.0.0.9");
    scene.add(claim("a"));
    scene.due();
    scene.done();
    scene.due();
    scene.done();
    // The object is torn away before it is published.
    assert_eq!(scene.due(), ["bind claim a to p-10-0-0-1"]);
    scene.tear_away(&address_id("p-10-0-0-1"));
    scene.reply(Outcome::GuardFailed("the version is another".into()));
    let due = scene.run();
    assert_eq!(
        due,
        ["read claim a", "take 10.0.0.1 for claim a", "survey for claim a", "bind claim a to p-10-0-0-1"]
    );
}

#[test]
fn where_the_other_family_has_very_many_its_object_is_read_by_name() {
    let mut scene = scene("10.0.0.0-10.0.255.255");
    for n in 0..=100 {
        let (name, ip) = (format!("p-10-0-1-{n}"), format!("10.0.1.{n}"));
        scene.add(Address { id: id(Kind::Address(Family::Capi), &name), ..by_hand(&name, &ip, "x") });
    }
    let due = scene.after(claim("a"));
    assert_eq!(
        due,
        ["take 10.0.0.0 for claim a", "read capi address p-10-0-0-0", "bind claim a to p-10-0-0-0"]
    );
}

#[test]
fn a_claim_that_is_gone_while_its_list_is_under_way_leaves_nothing_behind() {
    let mut scene = scene("10.0.0.1-10.0.0.9");
    for name in ["a", "b"] {
        scene.add(claim(name));
    }
    scene.due();
    scene.done();
    assert_eq!(scene.due(), ["survey for claim a"]);
    scene.tear_away(&claim_id("a"));
    scene.done();
    scene.run_for(Duration::from_secs(1));
    assert_eq!(scene.bound(), [("b", "p-10-0-0-2")]);
}

#[test]
fn d12_a_claim_of_another_provider_that_carries_our_finalizer_is_let_go_and_never_served() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    let foreign = Claim { foreign: true, pool: "".into(), meta: meta(OURS_AND_FOREIGN), ..capi_claim("a") };
    assert_eq!(scene.after(foreign), ["strip capi claim a"]);
    let names: BTreeSet<&str> = scene.bound().into_iter().map(|(name, _)| name).collect();
    assert!(names.is_empty());
}

#[test]
fn d1_the_other_family_is_read_too_where_the_pool_went_meanwhile_as_another_controller_may_not_know() {
    let mut scene = scene("10.0.0.1-10.0.0.9");
    scene.add(claim("a"));
    assert_eq!(scene.due(), ["take 10.0.0.1 for claim a"]);
    scene.add_unseen(twin_object("p-10-0-0-1", "10.0.0.1", "b"));
    scene.tear_away(&pool_id("p"));
    scene.done();
    assert_eq!(scene.due(), ["survey for claim a"]);
    scene.done();
    assert_eq!(scene.due(), ["read capi address p-10-0-0-1"]);
}

#[test]
fn a_list_that_is_put_off_is_not_asked_for_by_the_next_claim() {
    let mut scene = scene("10.0.0.1-10.0.0.99");
    for n in 0..20 {
        scene.add(claim(&format!("c{n:02}")));
    }
    scene.due();
    scene.done();
    assert_eq!(scene.due(), ["survey for claim c00"]);
    scene.reply(Outcome::NotNow(Some(Duration::from_secs(8))));
    let due = scene.run_for(Duration::from_secs(7));
    assert!(!due.iter().any(|act| act.starts_with("survey")), "{due:?}");
    let due = scene.run_for(Duration::from_secs(2));
    assert_eq!(due.iter().filter(|act| act.starts_with("survey")).count(), 1, "{due:?}");
    assert_eq!(scene.bound().len(), 20);
}

#[test]
fn s14_nothing_is_marked_again_and_again_while_the_other_family_cannot_be_read() {
    let mut scene = scene("10.0.0.1-10.0.0.9");
    for name in ["a", "b"] {
        scene.add(claim(name));
    }
    scene.due();
    scene.done();
    let lost = Outcome::Unknown("connection reset".into());
    let all = scene.ten_minutes(|act| matches!(act, Act::Survey { .. }), &lost);
    let surveys = all.iter().filter(|act| act.starts_with("survey")).count();
    assert!((15..60).contains(&surveys), "{surveys} lists in ten minutes");
    let is_read = |act: &str| act.starts_with("survey") || act.starts_with("read");
    let writes: Vec<&String> = all.iter().filter(|act| !is_read(act)).collect();
    assert_eq!(writes, ["status of pool p"]);
    // What was made long ago is marked before it is published, once.
    let due = scene.run_for(Duration::from_mins(1));
    assert_eq!(due.iter().filter(|act| **act == ADOPT || act.starts_with("adopt")).count(), 2, "{due:?}");
    assert_eq!(scene.bound(), [("a", "p-10-0-0-1"), ("b", "p-10-0-0-2")]);
}
