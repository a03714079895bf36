//! What the ledger remembers of what is gone.

use super::scene::{KINDS, Scene};
use super::*;

#[test]
fn nothing_is_left_of_claims_that_came_and_went() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    for n in 0..100 {
        let name = format!("c{n}");
        scene.after(claim(&name));
        scene.delete(&claim_id(&name));
        scene.run();
        // The watches tell of both ends, as they do.
        for id in scene.server.ended() {
            scene.ledger.deleted(&id.0, &id.1);
        }
    }
    let ledger = &scene.ledger;
    assert_eq!((ledger.claims.len(), ledger.addresses.len(), ledger.graveyard.len()), (0, 0, 0));
    assert_eq!((ledger.strays.len(), ledger.locks.len(), ledger.blocks.len()), (0, 0, 0));
}

#[test]
fn who_stands_by_does_not_collect_what_there_would_be_to_do() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    for n in 0..100 {
        let name = format!("c{n}");
        scene.add(claim(&name));
        scene.tear_away(&claim_id(&name));
        scene.ledger.stand_by();
    }
    scene.add(claim("last"));
    scene.ledger.stand_by();
    assert!(scene.ledger.tasks.is_empty());
    // Its term begins, and it knows all that it has to do.
    scene.ledger.begin_term(KINDS);
    scene.list_all();
    assert_eq!(scene.run()[0], "take 10.0.0.1 for claim last");
}

#[test]
fn a_pool_that_is_gone_is_forgotten_once_nothing_of_it_is_held() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.after(claim("a"));
    scene.tear_away(&pool_id("p"));
    assert_eq!(scene.ledger.books.len(), 1);
    scene.delete(&claim_id("a"));
    scene.run();
    assert_eq!(scene.ledger.books.len(), 0);
}

#[test]
fn texts_and_labels_that_nobody_has_any_more_are_forgotten_without_a_new_list() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    for n in 0..10_000 {
        let labels = Arc::new([("machine".to_owned(), n.to_string())].into());
        scene.add(Claim { labels, paused: true, ..claim("a") });
        scene.tear_away(&claim_id("a"));
    }
    assert!(scene.ledger.names.len() < 3000, "{} are kept", scene.ledger.names.len());
}

#[test]
fn an_object_that_a_list_lacks_is_gone_and_one_that_a_reply_showed_meanwhile_is_read() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.after(claim("a"));
    scene.add(claim("b"));
    assert_eq!(scene.due(), ["take 10.0.0.2 for claim b"]);
    let kind = Kind::Address(Family::Metal3);
    scene.ledger.list_begins(kind);
    scene.done();
    scene.end_list(kind, |id| *id == address_id("p-10-0-0-1"));
    let due = scene.due();
    assert_eq!(due, ["read address p-10-0-0-2", "bind claim b to p-10-0-0-2"]);
    // One that the list showed after all is not.
    scene.done();
    scene.add(claim("c"));
    assert_eq!(scene.due(), ["take 10.0.0.3 for claim c"]);
    scene.ledger.list_begins(kind);
    scene.done();
    scene.end_list(kind, |_| true);
    assert_eq!(scene.due(), ["bind claim c to p-10-0-0-3"]);
}

#[test]
fn a_list_that_shows_an_object_before_or_after_a_reply_did_leaves_no_doubt_of_it() {
    let kind = Kind::Claim(Family::Metal3);
    let bound_while_listed = |show: &[&str]| {
        let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
        scene.add(claim("a"));
        scene.due();
        scene.done();
        assert_eq!(scene.due(), ["bind claim a to p-10-0-0-1"]);
        scene.ledger.list_begins(kind);
        let before = scene.server.objects[&claim_id("a")].clone();
        if show.contains(&"before") {
            scene.ledger.list_shows(before);
        }
        scene.done();
        scene.end_list(kind, |_| show.contains(&"after"));
        scene.due().into_iter().filter(|said| said.contains("claim a")).collect::<Vec<_>>()
    };
    assert_eq!(bound_while_listed(&["after"]), NOTHING);
    assert_eq!(bound_while_listed(&["before"]), NOTHING);
    assert_eq!(bound_while_listed(&[]), ["read claim a"]);
}
