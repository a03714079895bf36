//! What happens when a step goes wrong.

use std::time::Duration;

use super::scene::Scene;
use super::*;
use crate::ledger::{Act, Notice, Outcome};

fn refused() -> Outcome {
    Outcome::Refused("no".into())
}

fn guard_failed() -> Outcome {
    Outcome::GuardFailed("no".into())
}

#[test]
fn l3_a_take_whose_reply_is_lost_is_looked_for_and_found() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(claim("a"));
    scene.due();
    scene.lose_reply();
    let due = scene.run();
    // It may be another controller that has made it.
    assert_eq!(due, ["read address p-10-0-0-1", ADOPT, "bind claim a to p-10-0-0-1"]);
}

#[test]
fn l3_a_take_that_was_lost_is_sent_again_under_the_same_name() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(claim("a"));
    scene.due();
    scene.lose();
    let due = scene.run();
    assert_eq!(due, ["read address p-10-0-0-1", "take 10.0.0.1 for claim a", "bind claim a to p-10-0-0-1"]);
}

#[test]
fn the_address_of_a_take_that_may_still_land_is_given_to_nobody_else() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(claim("a"));
    scene.due();
    scene.lose();
    scene.add(claim("b"));
    assert_eq!(scene.due(), ["read address p-10-0-0-1", "take 10.0.0.2 for claim b"]);
}

#[test]
fn a_protection_whose_reply_is_lost_is_looked_for() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(bare_claim("a"));
    scene.due();
    scene.lose_reply();
    assert_eq!(scene.run(), ["read claim a", "take 10.0.0.1 for claim a", "bind claim a to p-10-0-0-1"]);
}

#[test]
fn a_publication_whose_reply_is_lost_is_looked_for_and_no_second_address_is_published() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(claim("a"));
    scene.due();
    scene.done();
    assert_eq!(scene.due(), ["bind claim a to p-10-0-0-1"]);
    scene.lose_reply();
    assert_eq!(scene.run(), ["read claim a"]);
}

#[test]
fn l3_a_name_that_is_taken_by_another_claim_means_the_next_address() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add_unseen(made("p-10-0-0-1", "10.0.0.1", "b", "u"));
    let due = scene.after(claim("a"));
    let expected = [
        "take 10.0.0.1 for claim a",
        "read address p-10-0-0-1",
        "take 10.0.0.2 for claim a",
        "bind claim a to p-10-0-0-2",
    ];
    assert_eq!(due, expected);
}

#[test]
fn l3_a_name_that_is_taken_by_the_claim_itself_is_its_address() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    let uid = scene.add(claim("a")).to_string();
    scene.add_unseen(made("p-10-0-0-1", "10.0.0.1", "a", &uid));
    let due = scene.run();
    let expected =
        ["take 10.0.0.1 for claim a", "read address p-10-0-0-1", ADOPT, "bind claim a to p-10-0-0-1"];
    assert_eq!(due, expected);
}

#[test]
fn a_name_that_was_taken_and_is_free_by_the_time_of_the_read_is_tried_again() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(claim("a"));
    scene.due();
    scene.reply(Outcome::Exists);
    let due = scene.run();
    assert_eq!(due, ["read address p-10-0-0-1", "take 10.0.0.1 for claim a", "bind claim a to p-10-0-0-1"]);
}

#[test]
fn a_guard_that_fails_means_a_look_and_a_new_decision() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(claim("a"));
    scene.due();
    scene.done();
    assert_eq!(scene.due(), ["bind claim a to p-10-0-0-1"]);
    let relabelled = scene.server.change(&claim_id("a"), |_| {});
    scene.succeed();
    assert_eq!(scene.run(), ["read claim a", "bind claim a to p-10-0-0-1"]);
    scene.ledger.observe(relabelled);
    assert_eq!(scene.run(), NOTHING);
}

#[test]
fn a_claim_that_others_change_all_the_time_is_published_in_the_end() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(claim("a"));
    for _ in 0..20 {
        scene.due();
        scene.server.change(&claim_id("a"), |_| {});
        scene.done();
        scene.pass(Duration::from_secs(40));
    }
    scene.run();
    assert_eq!(scene.bound(), [("a", "p-10-0-0-1")]);
}

#[test]
fn s2_a_refusal_is_shown_to_people_and_not_in_the_status_and_tried_again_later() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    let uid = scene.add(claim("a"));
    assert_eq!(scene.due(), ["take 10.0.0.1 for claim a"]);
    scene.reply(refused());
    let message = "the API server refused to create IPAddress ns/p-10-0-0-1: no".into();
    assert_eq!(scene.notices(), [Notice { about: claim_id("a"), uid, reason: "WriteRefused", message }]);
    assert_eq!(scene.due(), ["read claim a"]);
    scene.done();
    assert_eq!(scene.run(), ["take 10.0.0.1 for claim a", "bind claim a to p-10-0-0-1"]);
}

#[test]
fn s2_a_create_that_is_invalid_is_shown_to_people_too_as_it_has_no_guard() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(claim("a"));
    assert_eq!(scene.due(), ["take 10.0.0.1 for claim a"]);
    scene.reply(guard_failed());
    assert_eq!(scene.notices().len(), 1);
}

#[test]
fn s2_a_write_that_goes_unanswered_time_and_again_is_shown_to_people() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(bare_claim("a"));
    for _ in 0..20 {
        scene.due();
        while !scene.sent.is_empty() {
            scene.lose();
        }
        scene.pass(Duration::from_secs(40));
    }
    assert!(!scene.notices().is_empty());
}

#[test]
fn a_write_that_is_refused_again_and_again_is_tried_less_and_less_often() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(claim("a"));
    let all = scene.ten_minutes(|act| matches!(act, Act::Take(_)), &refused());
    let tries = all.iter().filter(|act| act.starts_with("take")).count();
    assert!((20..60).contains(&tries), "{tries} tries in ten minutes");
}

#[test]
fn not_now_is_heard_and_the_address_is_kept_meanwhile() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(claim("a"));
    scene.due();
    scene.reply(Outcome::NotNow(Some(Duration::from_secs(8))));
    assert_eq!(scene.after(claim("b"))[0], "take 10.0.0.2 for claim b");
    assert_eq!(scene.run_for(Duration::from_millis(7900)), ["status of pool p"]);
    scene.pass(Duration::from_millis(200));
    assert_eq!(scene.due(), ["take 10.0.0.1 for claim a"]);
}

#[test]
fn a_take_under_way_when_its_pool_is_made_anew_under_another_prefix_is_settled() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(claim("a"));
    scene.due();
    scene.tear_away(&pool_id("p"));
    scene.add(Pool { name_prefix: "new".into(), ..pool("10.0.0.1-10.0.0.9") });
    scene.lose();
    scene.add_unseen(by_hand("new-10-0-0-1", "10.0.0.1", "somebody"));
    scene.run_for(Duration::from_mins(1));
    assert_eq!(scene.bound(), [("a", "new-10-0-0-2")]);
}

#[test]
fn s14_claims_that_are_refused_an_address_in_turn_do_not_begin_anew_each_time_that_they_say_why() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    for n in 0..10 {
        scene.add(claim(&format!("c{n}")));
    }
    // Whatever is refused is answered last: somebody has the address at almost every moment.
    let requests = scene.ten_minutes(|act| matches!(act, Act::Take(_)), &refused()).len();
    assert!(requests < 10 * 200, "{requests} requests in ten minutes");
}

#[test]
fn s14_a_publication_that_is_refused_is_tried_less_and_less_often_though_its_object_is_marked_anew() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(claim("a"));
    let all = scene.ten_minutes(|act| matches!(act, Act::Publish { .. }), &refused());
    let tries = all.iter().filter(|act| act.starts_with("bind")).count();
    assert!((15..60).contains(&tries), "{tries} tries in ten minutes");
}

#[test]
fn s14_what_is_refused_of_metadata_is_written_less_and_less_often_and_people_are_told() {
    for what in ["dress", "protect", "adopt"] {
        let (mut pool, mut claim) = (pool("10.0.0.1-10.0.0.9"), claim("a"));
        let mut scene = Scene::unlisted();
        match what {
            "dress" => pool.meta.finalizers = Finalizers::default(),
            "protect" => claim.meta.finalizers = Finalizers::default(),
            _ => drop(scene.add(by_hand("by-hand", "10.0.0.5", "a"))),
        }
        scene.add(pool);
        scene.add(claim);
        scene.list_all();
        let fails = |act: &Act| match act {
            Act::Dress(_) => what == "dress",
            Act::Protect { .. } => what == "protect",
            Act::Adopt(_) => what == "adopt",
            _ => false,
        };
        let all = scene.ten_minutes(fails, &refused());
        let tries = all.iter().filter(|act| act.starts_with(what)).count();
        assert!((15..60).contains(&tries), "{what}: {tries} tries in ten minutes");
        assert!(scene.notices().iter().any(|notice| notice.message.ends_with(": no")), "{what}");
        // Nobody refuses it any more.
        scene.run_for(Duration::from_mins(1));
        assert_eq!(scene.bound().len(), 1, "{what}");
    }
}
