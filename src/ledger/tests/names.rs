//! Pools that share a `namePrefix` get in each other's way, and nobody is stuck.

use std::net::IpAddr;
use std::time::Duration;

use super::scene::Scene;
use super::*;

#[test]
fn s4_a_name_that_another_pool_needs_means_the_next_address() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(twin("q", "10.0.0.1-10.0.0.9"));
    scene.run();
    scene.add(claim("a"));
    scene.add(Claim { pool: "q".into(), ..claim("b") });
    let due: Vec<String> = scene.due().into_iter().filter(|act| act.starts_with("take")).collect();
    assert_eq!(due, ["take 10.0.0.1 for claim a", "take 10.0.0.2 for claim b"]);
}

#[test]
fn s4_two_prefixes_may_make_one_name_of_two_addresses() {
    let mut scene = Scene::with(pool("a:b::5-a:b::6"));
    let longer = Pool { name_prefix: "p-a".into(), ..twin("q", "b::5-b::6") };
    scene.add(longer);
    scene.run();
    assert_eq!(scene.after(claim("a"))[0], "take a:b::5 for claim a");
    let due = scene.after(Claim { pool: "q".into(), ..claim("b") });
    assert!(due.contains(&"take b::6 for claim b".to_owned()), "{due:?}");
}

#[test]
fn an_address_whose_name_is_another_pools_is_not_in_use() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(twin("q", "10.0.0.1-10.0.0.9"));
    scene.after(claim("a"));
    scene.after(Claim { pool: "q".into(), ..claim("b") });
    assert_eq!(scene.bound(), [("a", "p-10-0-0-1"), ("b", "p-10-0-0-2")]);
    let range = crate::addr::Range::new("10.0.0.1".parse().unwrap(), "10.0.0.9".parse().unwrap()).unwrap();
    let in_use = |pool: &str| scene.ledger.held(&pool_id(pool), &[range].into_iter().collect()).unwrap();
    // The next claim of `p` comes upon 10.0.0.2, and that of `q` has come upon 10.0.0.1.
    assert_eq!(in_use("q"), ["10.0.0.2".parse::<IpAddr>().unwrap()]);
    assert_eq!(in_use("p"), ["10.0.0.1".parse::<IpAddr>().unwrap()]);
}

#[test]
fn s4_what_a_name_blocked_is_free_when_the_name_is() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.add(twin("q", "10.0.0.1"));
    scene.after(claim("a"));
    let waits = scene.after(Claim { pool: "q".into(), ..claim("b") });
    assert_eq!(waits.last().unwrap(), "fail claim b: PoolExhausted: Exhausted IP Pools");
    scene.delete(&claim_id("a"));
    scene.run();
    assert_eq!(scene.bound(), [("b", "p-10-0-0-1")]);
}

#[test]
fn s4_a_pool_made_anew_under_another_prefix_is_blocked_no_more() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.add(twin("q", "10.0.0.1"));
    scene.after(claim("a"));
    scene.after(Claim { pool: "q".into(), ..claim("b") });
    scene.tear_away(&pool_id("q"));
    scene.add(Pool { name_prefix: "q".into(), ..twin("q", "10.0.0.1") });
    scene.run();
    assert_eq!(scene.bound(), [("a", "p-10-0-0-1"), ("b", "q-10-0-0-1")]);
}

#[test]
fn s4_a_pool_whose_names_change_is_blocked_by_other_names() {
    let mut scene = Scene::with(pool("a:b::5-a:b::6"));
    scene.add(Pool { name_prefix: "p-a".into(), ..twin("q", "b::5") });
    scene.after(claim("a"));
    scene.after(Claim { pool: "q".into(), ..claim("b") });
    let respelt = spec(&["a:b::5"]);
    scene.change_pool("q", |pool| {
        (pool.name_prefix, pool.rules) = ("p".into(), Arc::new(PoolRules::read(&respelt)));
    });
    assert_eq!(scene.run_for(Duration::from_secs(1)), ["status of pool p", "status of pool q"]);
    assert_eq!(scene.bound(), [("a", "p-a-b--5")]);
}

#[test]
fn s4_a_claim_gets_the_address_that_it_lost_again_when_the_name_is_free_whatever_its_object_was_called() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.add(twin("q", "10.0.0.1"));
    scene.add(by_hand("by-hand", "10.0.0.1", "a"));
    scene.after(claim("a"));
    assert_eq!(scene.bound(), [("a", "by-hand")]);
    // Another pool has the name that ours needs by the time the object is torn away.
    scene.add(Address { pool: "q".into(), ..made("p-10-0-0-1", "10.0.0.1", "b", "gone") });
    scene.tear_away(&address_id("by-hand"));
    let lost = ["read address by-hand", "fail claim a: PoolExhausted: Exhausted IP Pools (still by-hand)"];
    assert_eq!(scene.run()[..2], lost);
    scene.tear_away(&address_id("p-10-0-0-1"));
    assert_eq!(scene.run()[..1], ["take 10.0.0.1 for claim a"]);
    assert_eq!(scene.bound(), [("a", "p-10-0-0-1")]);
}

#[test]
fn d6_a_published_name_tells_its_address_also_where_there_is_a_dot_in_the_prefix() {
    let mut scene = Scene::with(Pool { name_prefix: "site.9".into(), ..pool("10.0.0.1-10.0.0.2") });
    // Its object is gone, and nobody else gets the address meanwhile.
    let shown = Shown { address: Some("site.9-10-0-0-1".into()), ..Shown::default() };
    scene.add(Claim { shown, ..claim("a") });
    scene.add(claim("b"));
    scene.run();
    assert_eq!(scene.bound(), [("a", "site.9-10-0-0-1"), ("b", "site.9-10-0-0-2")]);
}

#[test]
fn s4_one_name_may_block_two_addresses() {
    // A name may not end in `-`, so that an IPv6 address that ends in `::` needs the name of an IPv4 address.
    let mut scene = Scene::with(pool_of(&spec(&["10.0.0.1", "10:0:0:1::"])));
    scene.add(Address { pool: "q".into(), ..by_hand("p-10-0-0-1", "10.0.0.1", "x") });
    let due = scene.after(claim("a"));
    assert_eq!(due[0], "fail claim a: PoolExhausted: Exhausted IP Pools");
    scene.tear_away(&address_id("p-10-0-0-1"));
    assert_eq!(scene.run()[0], "take 10.0.0.1 for claim a");
}

#[test]
fn d1_pools_that_share_addresses_and_a_prefix_keep_the_families_apart_too() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.2"));
    scene.add(twin("q", "10.0.0.1-10.0.0.2"));
    scene.after(claim("a"));
    scene.after(Claim { pool: "q".into(), ..capi_claim("b") });
    assert_eq!(scene.bound(), [("a", "p-10-0-0-1"), ("b", "p-10-0-0-2")]);
    // Neither has room left; what one gives back, the other may have.
    let waits = scene.after(Claim { pool: "q".into(), ..capi_claim("c") });
    assert!(waits.contains(&"tell capi claim c: PoolExhausted: Exhausted IP Pools".to_owned()), "{waits:?}");
    scene.delete(&claim_id("a"));
    scene.run();
    assert_eq!(scene.bound(), [("b", "p-10-0-0-2"), ("c", "p-10-0-0-1")]);
}

#[test]
fn d1_of_two_pools_takes_at_once_in_both_families_one_is_moved() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.2"));
    scene.add(twin("q", "10.0.0.1-10.0.0.2"));
    scene.run();
    scene.add(claim("a"));
    scene.add(Claim { pool: "q".into(), ..capi_claim("b") });
    let due: Vec<String> = scene.due().into_iter().filter(|act| act.starts_with("take")).collect();
    assert_eq!(due, ["take 10.0.0.1 for claim a", "take 10.0.0.2 for capi claim b"]);
}

#[test]
fn d1_an_object_that_the_fence_finds_in_another_pool_counts() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.2"));
    scene.add(twin("q", "10.0.0.1-10.0.0.2"));
    scene.run();
    scene.add(Claim { pool: "q".into(), ..capi_claim("b") });
    assert_eq!(scene.due()[0], "take 10.0.0.1 for capi claim b");
    // Another controller has given it to a claim of the other family, in the other pool.
    let uid = scene.add_unseen(claim("a"));
    scene.add_unseen(made("p-10-0-0-1", "10.0.0.1", "a", &uid.to_string()));
    scene.done();
    scene.run();
    assert_eq!(scene.bound(), [("b", "p-10-0-0-2")]);
}
