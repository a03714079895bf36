//! What a claim that cannot be served shows.

use super::scene::Scene;
use super::*;

/// What a claim is told by a pool of the addresses .1 to .3, where .1 is reserved for `reserved` and .9 for `outside`.
fn told(claim: Claim) -> Vec<String> {
    let reserved = |(name, ip): (&str, &str)| (name.to_owned(), ip.to_owned());
    let pre_allocations = [("reserved", "10.0.0.1"), ("outside", "10.0.0.9")].map(reserved).into();
    let mut scene = Scene::with(pool_of(&IPPoolSpec { pre_allocations, ..spec(&["10.0.0.1-10.0.0.3"]) }));
    scene.after(request("first", "10.0.0.3"));
    scene.after(claim)
}

#[test]
fn an_annotation_that_is_no_address_is_an_error() {
    let text = "AllocationFailed: Invalid ipAddress annotation \"10.0.0\": not a valid IP address";
    assert_eq!(told(request("a", "10.0.0")), [format!("fail claim a: {text}")]);
}

#[test]
fn s8_an_annotation_of_any_size_does_not_make_a_status_that_is_too_large() {
    let due = told(request("a", &"x".repeat(100_000)));
    assert!(due[0].len() < 1024, "{} bytes", due[0].len());
}

#[test]
fn a_request_for_another_address_than_the_reserved_one_is_an_error() {
    let text = "AllocationFailed: PreAllocation and requested ip address are conflicting";
    assert_eq!(told(request("reserved", "10.0.0.2")), [format!("fail claim reserved: {text}")]);
}

#[test]
fn a_request_for_an_address_that_is_held_is_an_error() {
    let text = "AllocationFailed: Requested IP not available";
    assert_eq!(told(request("a", "10.0.0.3")), [format!("fail claim a: {text}")]);
}

#[test]
fn a_request_for_an_address_that_is_reserved_for_another_is_an_error() {
    let text = "AllocationFailed: Requested IP not available";
    assert_eq!(told(request("a", "10.0.0.1")), [format!("fail claim a: {text}")]);
}

#[test]
fn a_request_for_an_address_of_no_entry_is_an_error() {
    let text = "AllocationFailed: Requested IP out of bounds";
    assert_eq!(told(request("a", "10.0.0.9")), [format!("fail claim a: {text}")]);
    assert_eq!(told(request("a", "fd00::1")), [format!("fail claim a: {text}")]);
}

#[test]
fn a_reservation_of_no_entry_is_an_error() {
    let text = "AllocationFailed: Pre-allocated IP out of bounds";
    assert_eq!(told(claim("outside")), [format!("fail claim outside: {text}")]);
}

#[test]
fn a_full_pool_is_an_error() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.after(claim("a"));
    assert_eq!(scene.after(claim("b")), ["fail claim b: PoolExhausted: Exhausted IP Pools"]);
}

#[test]
fn that_there_is_no_such_pool_is_no_error() {
    let text = "PoolNotReady: There is no pool \"q\" in namespace \"ns\"";
    assert_eq!(told(Claim { pool: "q".into(), ..claim("a") }), [format!("tell claim a: {text}")]);
}

#[test]
fn that_the_pool_is_of_another_namespace_is_no_error() {
    let told_of = "PoolNotReady: The pool \"p\" is asked for in namespace \"other\"; a claim may only use a pool of its own \
                namespace, \"ns\"";
    let due = told(Claim { elsewhere: Some("other".into()), ..claim("a") });
    assert_eq!(due, [format!("tell claim a: {told_of}")]);
}

#[test]
fn that_the_pool_waits_for_its_cluster_is_no_error() {
    let mut scene = Scene::with(Pool { cluster: Some("k".into()), labelled: true, ..pool("10.0.0.1") });
    let told = "tell claim a: PoolNotReady: The pool \"p\" waits for its Cluster \"k\"";
    assert_eq!(scene.after(claim("a")), [told]);
}

#[test]
fn that_the_pool_is_paused_is_no_error() {
    let mut scene = Scene::with(Pool { paused: true, ..pool("10.0.0.1") });
    assert_eq!(scene.after(claim("a")), ["tell claim a: PoolNotReady: The pool \"p\" is paused"]);
}

#[test]
fn that_the_cluster_is_paused_is_no_error() {
    let mut scene = Scene::with(Pool { cluster: Some("k".into()), labelled: true, ..pool("10.0.0.1") });
    scene.add(Cluster { paused: true, ..cluster() });
    let told = "tell claim a: PoolNotReady: The pool \"p\" is paused, as its Cluster \"k\" is";
    assert_eq!(scene.after(claim("a")), [told]);
}

#[test]
fn that_the_claim_is_paused_is_no_error() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    let due = scene.after(Claim { paused: true, ..claim("a") });
    assert_eq!(due, ["tell claim a: PoolNotReady: The claim is paused"]);
}

#[test]
fn d11_that_the_pool_is_being_deleted_is_no_error_and_nothing_is_handed_out() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(by_hand("router", "10.0.0.9", "somebody"));
    scene.delete(&pool_id("p"));
    assert_eq!(scene.after(claim("a")), ["tell claim a: PoolNotReady: The pool \"p\" is being deleted"]);
}

#[test]
fn what_others_have_written_into_a_status_is_written_again_with_each_verdict() {
    for mut claim in [claim("a"), capi_claim("a")] {
        let id = claim.id.clone();
        let condition = serde_json::json!({"type": "Backup", "status": "True"});
        let members = serde_json::Map::from_iter([("deprecated".to_owned(), condition.clone())]);
        let others = Some(Arc::new(Others { conditions: vec![condition], members }));
        claim.shown.others.clone_from(&others);
        let mut scene = Scene::with(Pool { paused: true, ..pool("10.0.0.1") });
        assert_eq!(scene.after(claim).len(), 1);
        assert_eq!((scene.shown(&id).address.as_deref(), &scene.shown(&id).others), (None, &others));
        scene.change_pool("p", |pool| pool.paused = false);
        scene.run();
        assert_eq!(scene.shown(&id).address.as_deref(), Some("p-10-0-0-1"));
        assert_eq!(scene.shown(&id).others, others);
    }
}
