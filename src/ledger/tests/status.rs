//! What a pool's status says, and how often.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::scene::Scene;
use super::*;
use crate::api::IPPoolStatus;
use crate::ledger::{Outcome, time};

const SECOND: Duration = Duration::from_secs(1);

fn status(scene: &Scene) -> &IPPoolStatus {
    &scene.server.statuses[&pool_id("p")]
}

/// Claim names and addresses.
fn indexes(scene: &Scene) -> Vec<(&str, &str)> {
    status(scene).indexes.iter().map(|(claim, ip)| (claim.as_str(), ip.as_str())).collect()
}

/// Type, status and reason of all conditions.
fn conditions(scene: &Scene) -> Vec<(&str, &str, &str)> {
    let all = status(scene).conditions.iter();
    all.map(|condition| (&*condition.type_, &*condition.status, &*condition.reason)).collect()
}

fn message<'a>(scene: &'a Scene, type_: &str) -> &'a str {
    &status(scene).conditions.iter().find(|condition| condition.type_ == type_).unwrap().message
}

#[test]
fn the_status_lists_the_addresses_of_both_kinds_by_claim() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.after(claim("a"));
    scene.after(capi_claim("b"));
    assert_eq!(scene.run_for(SECOND), ["status of pool p"]);
    assert_eq!(indexes(&scene), [("a", "10.0.0.1"), ("b", "10.0.0.2")]);
}

#[test]
fn where_claims_of_both_kinds_share_a_name_the_status_means_the_metal3_one() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.after(capi_claim("x"));
    scene.after(claim("x"));
    scene.run_for(SECOND);
    assert_eq!(indexes(&scene), [("x", "10.0.0.2")]);
}

#[test]
fn the_status_counts_what_the_pool_can_hand_out_and_what_is_free() {
    let reserved = IPPoolSpec {
        pre_allocations: [("r".to_owned(), "10.0.0.9".to_owned())].into(),
        excluded_addresses: vec!["10.0.0.3".into()],
        ..spec(&["10.0.0.1-10.0.0.9"])
    };
    let mut scene = Scene::with(pool_of(&reserved));
    assert_eq!((status(&scene).capacity, status(&scene).available_ip_count), (Some(8), Some(7)));
    scene.after(claim("a"));
    scene.run_for(SECOND);
    assert_eq!((status(&scene).capacity, status(&scene).available_ip_count), (Some(8), Some(6)));
}

#[test]
fn s7_counts_that_63_bits_cannot_say_are_left_out() {
    let scene = Scene::with(pool("fd00::-fd00::ffff:ffff:ffff:ffff"));
    assert_eq!((status(&scene).capacity, status(&scene).available_ip_count), (None, None));
    assert_eq!(conditions(&scene), [("Ready", "True", "Available")]);
}

#[test]
fn a_full_pool_says_that_it_is_exhausted() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.after(claim("a"));
    scene.run_for(SECOND);
    assert_eq!(conditions(&scene), [("Ready", "False", "Exhausted")]);
}

#[test]
fn a_pool_without_its_cluster_says_that_it_waits() {
    let scene = Scene::with(Pool { cluster: Some("k".into()), ..pool("10.0.0.1") });
    assert_eq!(conditions(&scene), [("Ready", "False", "WaitingForCluster")]);
    assert_eq!(message(&scene, "Ready"), "The pool \"p\" waits for its Cluster \"k\"");
}

#[test]
fn a_paused_pool_says_so() {
    let scene = Scene::with(Pool { paused: true, ..pool("10.0.0.1") });
    assert_eq!(conditions(&scene), [("Ready", "False", "Paused")]);
}

#[test]
fn a_pool_that_is_being_deleted_and_in_use_says_so() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.after(claim("a"));
    scene.delete(&pool_id("p"));
    scene.run_for(SECOND);
    assert_eq!(conditions(&scene), [("Ready", "False", "Deleting")]);
}

#[test]
fn a_pool_that_holds_no_address_says_what_is_wrong_with_its_spec() {
    let scene = Scene::with(pool_of(&spec(&["nonsense-10.0.0.9"])));
    assert_eq!(conditions(&scene), [("Ready", "False", "InvalidSpec")]);
    assert!(message(&scene, "Ready").contains("invalid Start IP"), "{}", message(&scene, "Ready"));
}

#[test]
fn s10_a_pool_that_is_invalid_in_part_hands_out_the_rest_and_says_what_is_ignored() {
    let mut scene = Scene::with(pool_of(&spec(&["10.0.0.9-10.0.0.1", "10.0.0.5"])));
    assert_eq!(conditions(&scene), [("Ready", "True", "Available")]);
    assert!(message(&scene, "Ready").contains("ignored: spec.pools[0]"), "{}", message(&scene, "Ready"));
    assert_eq!(scene.after(claim("a"))[0], "take 10.0.0.5 for claim a");
}

#[test]
fn s8_a_spec_with_very_many_faults_does_not_make_a_status_that_is_too_large() {
    let pre_allocations = (0..20_000).map(|n| (format!("c{n}"), "nonsense".to_owned())).collect();
    let scene = Scene::with(pool_of(&IPPoolSpec { pre_allocations, ..spec(&["10.0.0.1"]) }));
    assert!(message(&scene, "Ready").len() < 4096, "{} bytes", message(&scene, "Ready").len());
}

#[test]
fn s8_the_indexes_stop_at_the_limit_and_a_condition_says_so() {
    let mut scene = Scene::with_limit(40, pool("10.0.0.1-10.0.0.9"));
    for name in ["a", "b", "c"] {
        scene.after(claim(name));
    }
    scene.run_for(SECOND);
    assert_eq!(indexes(&scene), [("a", "10.0.0.1"), ("b", "10.0.0.2")]);
    let expected = [("IndexesTruncated", "True", "SizeLimit"), ("Ready", "True", "Available")];
    assert_eq!(conditions(&scene), expected);
    assert_eq!(scene.bound().len(), 3);
}

#[test]
fn s8_the_condition_goes_when_the_indexes_are_whole_again() {
    let mut scene = Scene::with_limit(40, pool("10.0.0.1-10.0.0.9"));
    for name in ["a", "b", "c"] {
        scene.after(claim(name));
    }
    scene.run_for(SECOND);
    scene.delete(&claim_id("a"));
    scene.run_for(SECOND);
    assert_eq!(indexes(&scene), [("b", "10.0.0.2"), ("c", "10.0.0.3")]);
    assert_eq!(conditions(&scene), [("Ready", "True", "Available")]);
}

#[test]
fn s8_the_indexes_leave_room_for_what_the_pool_reserves() {
    // A megabyte and a half with the addresses, which is all that etcd takes.
    let reserved = (0..30_000).map(|n| (format!("{n:031}"), format!("10.1.{}.{}", n / 256, n % 256)));
    let spec = IPPoolSpec { pre_allocations: reserved.collect(), ..spec(&["10.0.0.0-10.255.255.255"]) };
    let mut scene = Scene::with(pool_of(&spec));
    scene.after(claim("a"));
    scene.run_for(SECOND);
    assert_eq!(indexes(&scene), []);
    assert_eq!(conditions(&scene)[0], ("IndexesTruncated", "True", "SizeLimit"));
    assert_eq!(scene.bound().len(), 1);
}

#[test]
fn s8_many_changes_make_one_status_a_second() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.99"));
    let mut written = 0;
    for n in 0..50 {
        scene.add(claim(&format!("c{n}")));
        let due = scene.run_for(SECOND / 10);
        written += due.iter().filter(|act| *act == "status of pool p").count();
    }
    assert_eq!(written, 5);
}

#[test]
fn s8_a_large_status_is_written_less_often() {
    let name = |n: usize| format!("{n:0>200}");
    let mut scene = Scene::with(pool("10.0.0.0-10.0.255.255"));
    for n in 0..2600 {
        scene.add(claim(&name(n)));
    }
    scene.run_for(SECOND);
    scene.add(claim("one-more"));
    // Half a mebibyte, at a sixteenth of one a second.
    assert!(!scene.run_for(SECOND * 6).contains(&"status of pool p".to_owned()));
    assert_eq!(scene.run_for(SECOND * 3), ["status of pool p"]);
}

#[test]
fn s14_nothing_is_written_when_nothing_changed() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.after(claim("a"));
    scene.run_for(SECOND * 2);
    scene.change_pool("p", |pool| pool.has.labels = true);
    assert_eq!(scene.run_for(SECOND * 600), NOTHING);
    assert_eq!(scene.ledger.next_wake(), None);
}

#[test]
fn a_new_leader_writes_no_status_that_is_there_already() {
    let mut before = Scene::with(pool("10.0.0.1-10.0.0.9"));
    before.after(claim("a"));
    before.run_for(SECOND * 2);
    let mut after = Scene::unlisted();
    std::mem::swap(&mut after.server, &mut before.server);
    after.list_all();
    assert_eq!(after.run_for(SECOND * 600), NOTHING);
}

/// A condition of somebody else's.
fn theirs() -> Condition {
    Condition {
        type_: "Backup".into(),
        status: "True".into(),
        reason: "Done".into(),
        message: "by somebody else".into(),
        last_transition_time: time(7),
        observed_generation: Some(3),
    }
}

#[test]
fn the_conditions_of_others_stay_as_they_are() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.change_pool("p", |pool| pool.status.conditions.push(theirs()));
    scene.after(claim("a"));
    scene.run_for(SECOND);
    assert_eq!(status(&scene).conditions[0], theirs());
    assert_eq!(conditions(&scene)[1..], [("Ready", "False", "Exhausted")]);
}

#[test]
fn a_condition_that_somebody_sets_while_our_status_is_under_way_is_not_lost() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.after(claim("a"));
    scene.pass(SECOND);
    assert_eq!(scene.due(), ["status of pool p"]);
    scene.server.change(&pool_id("p"), |seen| {
        let Seen::Pool(pool) = seen else { panic!("a pool") };
        pool.status.conditions.push(theirs());
    });
    scene.done();
    assert_eq!(scene.run_for(SECOND), ["read pool p", "status of pool p"]);
    assert_eq!(status(&scene).conditions[0], theirs());
    assert_eq!(conditions(&scene)[1..], [("Ready", "False", "Exhausted")]);
}

#[test]
fn last_updated_is_when_the_indexes_changed_and_not_when_a_condition_did() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    assert_eq!(status(&scene).last_updated, Some(time(1000)));
    scene.pass(SECOND * 5);
    scene.change_pool("p", |pool| pool.paused = true);
    assert_eq!(scene.run(), ["status of pool p"]);
    assert_eq!(status(&scene).last_updated, Some(time(1000)));
    scene.change_pool("p", |pool| pool.paused = false);
    scene.run_for(SECOND);
    scene.after(claim("a"));
    scene.run_for(SECOND);
    assert!(status(&scene).last_updated > Some(time(1005)));
}

#[test]
fn a_status_whose_write_failed_is_written_again() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.after(claim("a"));
    scene.pass(SECOND);
    assert_eq!(scene.due(), ["status of pool p"]);
    scene.reply(Outcome::GuardFailed("no".into()));
    assert_eq!(scene.run_for(SECOND), ["read pool p", "status of pool p"]);
}

#[test]
fn s4_a_shared_name_prefix_is_a_condition_that_names_the_other_pool() {
    let mut scene = Scene::with(twin("q", "10.0.0.1-10.0.0.2"));
    scene.after(Claim { pool: "q".into(), ..claim("a") });
    scene.add(pool("10.0.0.1-10.0.0.2"));
    scene.after(claim("b"));
    scene.run_for(SECOND);
    let expected = [("NameConflict", "True", "SharedNamePrefix"), ("Ready", "False", "Exhausted")];
    assert_eq!(conditions(&scene), expected);
    assert!(message(&scene, "NameConflict").contains("pool \"q\""));
}

#[test]
fn s4_a_name_that_the_pool_itself_has_used_up_is_not_laid_to_another_pool() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.2"));
    // Its name is that of 10.0.0.1, and in it is another address.
    scene.add(by_hand("p-10-0-0-1", "10.0.0.2", "somebody"));
    scene.after(claim("a"));
    scene.run_for(SECOND);
    assert_eq!(conditions(&scene), [("Ready", "False", "Exhausted")]);
}

#[test]
fn s4_another_providers_address_that_has_the_name_is_a_condition_that_says_so() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.2"));
    scene.add(Address { pool: "".into(), ..by_hand("p-10-0-0-1", "192.168.0.1", "somebody") });
    scene.after(claim("a"));
    scene.run_for(SECOND);
    assert!(message(&scene, "NameConflict").contains("\"p-10-0-0-1\" of another provider"));
}

#[test]
fn s8_many_busy_pools_do_not_take_the_room_of_the_claims() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    for n in 0..50 {
        let id = pool_id(&format!("q{n}"));
        scene.add(Pool { id, name_prefix: format!("q{n}").into(), ..pool("10.0.0.1-10.0.0.99") });
    }
    scene.run_for(SECOND * 10);
    let mut written = 0;
    for round in 0..10 {
        for n in 0..50 {
            scene.add(Claim { pool: format!("q{n}").into(), ..claim(&format!("c{n}-{round}")) });
        }
        let due = scene.run_for(SECOND);
        written += due.iter().filter(|act| act.starts_with("status")).count();
    }
    // Each pool once at first, and then ten a second together.
    assert!((50..=50 + 10 * 10).contains(&written), "{written} statuses in ten seconds");
}

#[test]
fn s4_what_a_status_says_of_a_shared_name_prefix_does_not_depend_on_who_came_upon_it() {
    let mut scene = Scene::with(twin("q", "10.0.0.1-10.0.0.3"));
    scene.after(Claim { pool: "q".into(), ..claim("a") });
    scene.after(Claim { pool: "q".into(), ..claim("b") });
    scene.add(pool("10.0.0.1-10.0.0.9"));
    scene.run_for(SECOND);
    // No claim of this pool has come upon a name so far.
    assert_eq!(conditions(&scene)[0], ("NameConflict", "True", "SharedNamePrefix"));
    assert!(
        message(&scene, "NameConflict")
            .starts_with("2 of this pool's addresses cannot be handed out, 10.0.0.1")
    );
    let free = status(&scene).available_ip_count;
    assert_eq!(free, Some(7));
    let said = status(&scene).conditions.clone();
    // One that comes upon the first name changes nothing of that but what it takes.
    scene.after(claim("c"));
    scene.run_for(SECOND);
    assert_eq!((status(&scene).available_ip_count, &status(&scene).conditions), (Some(6), &said));
}

#[test]
fn s4_a_shared_name_prefix_is_told_of_until_the_other_pools_address_is_gone() {
    let mut scene = Scene::with(twin("q", "10.0.0.1"));
    scene.add(pool("10.0.0.1-10.0.0.2"));
    scene.run_for(SECOND);
    assert_eq!(conditions(&scene), [("Ready", "True", "Available")]);
    scene.after(Claim { pool: "q".into(), ..claim("a") });
    scene.run_for(SECOND);
    assert_eq!(conditions(&scene)[0], ("NameConflict", "True", "SharedNamePrefix"));
    scene.delete(&claim_id("a"));
    scene.run_for(SECOND);
    assert_eq!(conditions(&scene), [("Ready", "True", "Available")]);
    assert_eq!(status(&scene).available_ip_count, Some(2));
}

#[test]
fn s4_a_shared_name_prefix_is_told_of_whatever_stands_in_it() {
    for prefix in ["rack.1", "p", "p-10"] {
        let mut scene = Scene::with(Pool { name_prefix: prefix.into(), ..twin("q", "10.0.0.1") });
        scene.after(Claim { pool: "q".into(), ..claim("a") });
        scene.add(Pool { name_prefix: prefix.into(), ..pool("10.0.0.1-10.0.0.2") });
        // What begins like that and goes on otherwise is none of these names.
        scene.add(Pool { name_prefix: format!("{prefix}-10").into(), ..twin("r", "10.0.0.2") });
        scene.after(Claim { pool: "r".into(), ..claim("b") });
        scene.run_for(SECOND);
        let conditions = &scene.server.statuses[&pool_id("p")].conditions;
        let told = conditions.iter().find(|condition| condition.type_ == "NameConflict").expect(prefix);
        assert!(told.message.starts_with("1 of this pool's addresses"), "{}", told.message);
    }
}

#[test]
fn what_the_api_server_does_not_keep_is_written_once() {
    let mut scene = Scene::unlisted();
    scene.server.keeps_no_conditions = true;
    scene.list_all();
    scene.add(pool("10.0.0.1-10.0.0.2"));
    assert_eq!(scene.run(), ["status of pool p"]);
    assert_eq!(scene.after(claim("a")), ["take 10.0.0.1 for claim a", "bind claim a to p-10-0-0-1"]);
    assert_eq!(scene.run_for(Duration::from_mins(1)), ["status of pool p"]);
    // What is to be said changes: it is tried again.
    scene.after(claim("b"));
    let due = scene.after(claim("c"));
    assert_eq!(due, ["fail claim c: PoolExhausted: Exhausted IP Pools"]);
    scene.delete(&claim_id("a"));
    let due = scene.run_for(Duration::from_mins(1));
    assert!(due.contains(&"bind claim c to p-10-0-0-1".to_owned()), "{due:?}");
    assert_eq!(scene.run_for(Duration::from_mins(1)), NOTHING);
    let told: Vec<_> = scene.notices().into_iter().map(|notice| (notice.about, notice.reason)).collect();
    assert_eq!(told, [(pool_id("p"), "StatusNotKept"), (claim_id("a"), "StatusNotKept")]);
}

#[test]
fn what_somebody_else_has_changed_since_is_written_again_though_it_is_not_kept_whole() {
    let mut scene = Scene::unlisted();
    scene.server.keeps_no_conditions = true;
    scene.list_all();
    scene.add(pool("10.0.0.1-10.0.0.2"));
    scene.after(claim("a"));
    scene.run_for(Duration::from_mins(1));
    scene.change_claim("a", |claim| claim.shown.address = None);
    assert_eq!(scene.run(), [ADOPT, "bind claim a to p-10-0-0-1"]);
    scene.change_pool("p", |pool| pool.status.indexes = 0);
    assert_eq!(scene.run_for(Duration::from_mins(1)), ["status of pool p"]);
    assert_eq!(scene.run_for(Duration::from_mins(1)), NOTHING);
}
