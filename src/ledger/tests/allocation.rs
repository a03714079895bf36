//! Which address a claim gets, and what stands in its object.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::scene::Scene;
use super::*;
use crate::ledger::{Act, NewAddress};

/// The address object that the claim would get.
fn new_address(scene: &mut Scene, claim: Claim) -> NewAddress {
    scene.add(claim);
    assert_eq!(scene.due().len(), 1);
    let Act::Take(new) = scene.sent[0].act.clone() else { panic!("{:?}", scene.sent) };
    scene.done();
    scene.run();
    *new
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_claim_gets_the_lowest_address_of_a_sequential_pool() {
    let mut scene = Scene::with(pool("10.0.0.7-10.0.0.9"));
    assert_eq!(scene.after(claim("a")), ["take 10.0.0.7 for claim a", "bind claim a to p-10-0-0-7"]);
}

#[test]
fn a_claim_of_cluster_api_is_served_alike() {
    let mut scene = Scene::with(pool("10.0.0.7-10.0.0.9"));
    let due = scene.after(capi_claim("a"));
    assert_eq!(due, ["take 10.0.0.7 for capi claim a", "bind capi claim a to p-10-0-0-7"]);
}

#[test]
fn d1_d2_claims_of_both_kinds_with_one_name_get_an_address_each() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(claim("x"));
    scene.add(capi_claim("x"));
    assert_eq!(scene.due(), ["take 10.0.0.1 for claim x", "take 10.0.0.2 for capi claim x"]);
    scene.done();
    assert_eq!(scene.run(), ["bind claim x to p-10-0-0-1", "bind capi claim x to p-10-0-0-2"]);
}

#[test]
fn entries_are_used_in_the_order_in_which_they_are_written() {
    let mut scene = Scene::with(pool_of(&spec(&["10.0.0.9", "10.0.0.1-10.0.0.2"])));
    for name in ["a", "b", "c"] {
        scene.add(claim(name));
    }
    let due = scene.due();
    assert_eq!(due, ["take 10.0.0.9 for claim a", "take 10.0.0.1 for claim b", "take 10.0.0.2 for claim c"]);
}

#[test]
fn a_random_pool_uses_its_entries_in_order_too() {
    let random =
        IPPoolSpec { allocation_strategy: None, ..spec(&["10.0.0.8-10.0.0.9", "10.0.0.1-10.0.0.2"]) };
    let mut scene = Scene::with(pool_of(&random));
    let mut taken = Vec::new();
    for name in ["a", "b", "c", "d"] {
        taken.push(new_address(&mut scene, claim(name)).ip);
    }
    let sorted = |ips: &[IpAddr]| ips.iter().copied().collect::<BTreeSet<_>>();
    assert_eq!(sorted(&taken[..2]), sorted(&[ip("10.0.0.8"), ip("10.0.0.9")]));
    assert_eq!(sorted(&taken[2..]), sorted(&[ip("10.0.0.1"), ip("10.0.0.2")]));
}

#[test]
fn a_random_pool_does_not_hand_out_its_addresses_in_order() {
    let random = IPPoolSpec { allocation_strategy: None, ..spec(&["10.0.0.0-10.0.255.255"]) };
    let mut scene = Scene::with(pool_of(&random));
    let taken: Vec<IpAddr> = (0..8).map(|n| new_address(&mut scene, claim(&format!("c{n}"))).ip).collect();
    assert!(!taken.is_sorted(), "{taken:?}");
}

#[test]
fn many_claims_of_one_pool_have_their_writes_under_way_at_once_each_for_an_address_of_its_own() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.200"));
    for n in 0..100 {
        scene.add(if n % 2 == 0 { claim(&format!("c{n}")) } else { capi_claim(&format!("c{n}")) });
    }
    assert_eq!(scene.due().len(), 100);
    let taken = scene.sent.iter().filter_map(|write| match &write.act {
        Act::Take(new) => Some(new.ip),
        _ => None,
    });
    assert_eq!(taken.collect::<BTreeSet<IpAddr>>().len(), 100);
}

#[test]
fn no_more_writes_are_due_than_there_is_room_for_and_none_is_lost() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    for name in ["a", "b", "c"] {
        scene.add(claim(name));
    }
    assert_eq!(scene.due_at_most(2), ["take 10.0.0.1 for claim a", "take 10.0.0.2 for claim b"]);
    assert_eq!(scene.due_at_most(0), [""; 0]);
    assert_eq!(scene.due_at_most(2), ["take 10.0.0.3 for claim c"]);
}

/// Pool-wide settings, and one entry that has its own.
fn overriding(entry: PoolEntry) -> Pool {
    pool_of(&IPPoolSpec {
        pools: vec![PoolEntry { start: Some("10.0.0.5".into()), end: Some("10.0.0.9".into()), ..entry }],
        prefix: Some(24),
        gateway: Some("10.0.0.1".into()),
        dns_servers: vec!["8.8.8.8".into()],
        ..spec(&[])
    })
}

type Settings = (Option<u8>, Option<IpAddr>, Vec<IpAddr>);

fn settings(entry: PoolEntry) -> Settings {
    let new = new_address(&mut Scene::with(overriding(entry)), claim("a"));
    (new.prefix, new.gateway, new.dns)
}

#[test]
fn an_address_gets_the_prefix_gateway_and_dns_of_its_pool() {
    let expected = (Some(24), Some(ip("10.0.0.1")), vec![ip("8.8.8.8")]);
    assert_eq!(settings(PoolEntry::default()), expected);
}

#[test]
fn an_entry_overrides_the_prefix_alone() {
    let expected = (Some(26), Some(ip("10.0.0.1")), vec![ip("8.8.8.8")]);
    assert_eq!(settings(PoolEntry { prefix: Some(26), ..PoolEntry::default() }), expected);
}

#[test]
fn an_entry_overrides_the_gateway_alone() {
    let expected = (Some(24), Some(ip("10.0.0.2")), vec![ip("8.8.8.8")]);
    assert_eq!(settings(PoolEntry { gateway: Some("10.0.0.2".into()), ..PoolEntry::default() }), expected);
}

#[test]
fn an_entry_overrides_the_dns_servers_alone() {
    let expected = (Some(24), Some(ip("10.0.0.1")), vec![ip("1.1.1.1"), ip("9.9.9.9")]);
    let dns_servers = vec!["1.1.1.1".into(), "9.9.9.9".into()];
    assert_eq!(settings(PoolEntry { dns_servers, ..PoolEntry::default() }), expected);
}

#[test]
fn an_address_object_carries_its_claim_its_pool_and_the_labels_of_its_claim() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    let labels = Arc::new([("rack".to_owned(), "7".to_owned())].into());
    let new = new_address(&mut scene, Claim { labels: Arc::clone(&labels), ..claim("a") });
    assert_eq!((new.id, new.claim, new.pool), (address_id("p-10-0-0-1"), claim_id("a"), pool_id("p")));
    assert_eq!(new.claim_uid, scene.server.objects[&claim_id("a")].meta().uid);
    assert_eq!(new.pool_uid, scene.server.objects[&pool_id("p")].meta().uid);
    assert_eq!(new.labels, labels);
}

#[test]
fn the_name_of_an_ipv6_address_has_no_hyphen_at_its_end() {
    let mut scene = Scene::with(pool("fd00::-fd00::5"));
    assert_eq!(scene.after(claim("a")), ["take fd00:: for claim a", "bind claim a to p-fd00"]);
    assert_eq!(scene.after(claim("b")), ["take fd00::1 for claim b", "bind claim b to p-fd00--1"]);
}

fn pre_allocated(ranges: &[&str], claims: &[(&str, &str)]) -> IPPoolSpec {
    let pre_allocations = claims.iter().map(|&(name, ip)| (name.to_owned(), ip.to_owned())).collect();
    IPPoolSpec { pre_allocations, ..spec(ranges) }
}

#[test]
fn a_claim_gets_the_address_that_its_name_has_reserved_whatever_its_kind() {
    let spec = pre_allocated(&["10.0.0.1-10.0.0.9"], &[("a", "10.0.0.5"), ("b", "10.0.0.6")]);
    let mut scene = Scene::with(pool_of(&spec));
    assert_eq!(scene.after(claim("a")), ["take 10.0.0.5 for claim a", "bind claim a to p-10-0-0-5"]);
    let due = scene.after(capi_claim("b"));
    assert_eq!(due, ["take 10.0.0.6 for capi claim b", "bind capi claim b to p-10-0-0-6"]);
}

#[test]
fn d5_a_reserved_address_is_given_to_nobody_else_however_it_is_written() {
    let spec = pre_allocated(&["2001:db8::5-2001:db8::6"], &[("other", "2001:0db8:0::0005")]);
    let mut scene = Scene::with(pool_of(&spec));
    assert_eq!(scene.after(claim("a"))[0], "take 2001:db8::6 for claim a");
    let due = scene.after(request("b", "2001:db8:0:0::5"));
    assert_eq!(due, ["fail claim b: AllocationFailed: Requested IP not available"]);
}

#[test]
fn a_claim_gets_the_address_that_it_asks_for() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    assert_eq!(scene.after(request("a", "10.0.0.7"))[0], "take 10.0.0.7 for claim a");
}

#[test]
fn a_claim_may_ask_for_what_is_reserved_for_it() {
    let mut scene = Scene::with(pool_of(&pre_allocated(&["10.0.0.1-10.0.0.9"], &[("a", "10.0.0.5")])));
    assert_eq!(scene.after(request("a", "10.0.0.5"))[0], "take 10.0.0.5 for claim a");
}

fn subnet(subnet: &str, gateway: &str) -> IPPoolSpec {
    let start = subnet.split_once('/').map(|(first, _)| first.to_owned());
    let entry = PoolEntry { start, subnet: Some(subnet.into()), ..PoolEntry::default() };
    IPPoolSpec { pools: vec![entry], gateway: Some(gateway.into()), ..spec(&[]) }
}

#[test]
fn network_broadcast_and_gateway_are_not_handed_out_by_choice() {
    let mut scene = Scene::with(pool_of(&subnet("10.0.0.0/30", "10.0.0.1")));
    assert_eq!(scene.after(claim("a"))[0], "take 10.0.0.2 for claim a");
    assert_eq!(scene.after(claim("b")), ["fail claim b: PoolExhausted: Exhausted IP Pools"]);
}

#[test]
fn network_broadcast_and_gateway_are_given_to_who_names_them() {
    let spec = IPPoolSpec {
        pre_allocations: [("c".to_owned(), "10.0.0.3".to_owned())].into(),
        ..subnet("10.0.0.0/30", "10.0.0.1")
    };
    let mut scene = Scene::with(pool_of(&spec));
    assert_eq!(scene.after(request("a", "10.0.0.0"))[0], "take 10.0.0.0 for claim a");
    assert_eq!(scene.after(request("b", "10.0.0.1"))[0], "take 10.0.0.1 for claim b");
    assert_eq!(scene.after(claim("c"))[0], "take 10.0.0.3 for claim c");
}

#[test]
fn nothing_may_name_an_excluded_address() {
    let excluded_addresses = vec!["10.0.0.0/31".into(), "10.0.0.3-10.0.0.4".into()];
    let spec = pre_allocated(&["10.0.0.1-10.0.0.9"], &[("reserved", "10.0.0.3")]);
    let mut scene = Scene::with(pool_of(&IPPoolSpec { excluded_addresses, ..spec }));
    assert_eq!(scene.after(claim("a"))[0], "take 10.0.0.2 for claim a");
    assert_eq!(scene.after(claim("b"))[0], "take 10.0.0.5 for claim b");
    let asks = scene.after(request("asks", "10.0.0.4"));
    assert_eq!(asks, ["fail claim asks: AllocationFailed: Requested IP out of bounds"]);
    let reserved = scene.after(claim("reserved"));
    assert_eq!(reserved, ["fail claim reserved: AllocationFailed: Pre-allocated IP out of bounds"]);
}

#[test]
fn an_address_made_by_hand_holds_its_ip_under_any_name() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(by_hand("router", "10.0.0.1", "somebody"));
    assert_eq!(scene.after(claim("a")), ["take 10.0.0.2 for claim a", "bind claim a to p-10-0-0-2"]);
}

#[test]
fn d1_an_address_of_the_other_kind_holds_its_ip() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    let other = id(Kind::Address(Family::Capi), "anything");
    scene.add(Address { id: other, ..by_hand("", "10.0.0.1", "somebody") });
    assert_eq!(scene.after(claim("a"))[0], "take 10.0.0.2 for claim a");
}

#[test]
fn a_claim_that_comes_later_is_bound_to_the_address_made_for_it_by_hand() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(by_hand("router", "10.0.0.4", "a"));
    let due = scene.after(claim("a"));
    let adopt = "adopt address router for claim a: finalizer, annotations, owner";
    assert_eq!(due, ["read claim a", adopt, "bind claim a to router"]);
}

#[test]
fn an_address_made_by_hand_for_a_claim_of_another_pool_is_not_its() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.add(Address { pool: "q".into(), ..by_hand("router", "10.0.0.4", "a") });
    assert_eq!(scene.after(claim("a")), ["take 10.0.0.1 for claim a", "bind claim a to p-10-0-0-1"]);
}

#[test]
fn d4_a_reserved_address_that_is_held_is_not_granted() {
    let mut scene = Scene::with(pool_of(&pre_allocated(&["10.0.0.1-10.0.0.9"], &[("a", "10.0.0.5")])));
    scene.add(by_hand("router", "10.0.0.5", "somebody"));
    let due = scene.after(claim("a"));
    assert_eq!(due, ["fail claim a: AllocationFailed: Pre-allocated IP not available"]);
}

#[test]
fn d4_one_reservation_serves_one_of_two_claims_with_its_name() {
    let mut scene = Scene::with(pool_of(&pre_allocated(&["10.0.0.1-10.0.0.9"], &[("a", "10.0.0.5")])));
    assert_eq!(scene.after(claim("a"))[0], "take 10.0.0.5 for claim a");
    let due = scene.after(capi_claim("a"));
    assert_eq!(due, ["tell capi claim a: AllocationFailed: Pre-allocated IP not available"]);
}

#[test]
fn overlapping_entries_hand_out_an_address_once_with_the_settings_of_the_first() {
    let mut spec = spec(&["10.0.0.1-10.0.0.2", "10.0.0.2-10.0.0.3"]);
    (spec.pools[0].prefix, spec.pools[1].prefix) = (Some(24), Some(26));
    let mut scene = Scene::with(pool_of(&spec));
    let taken = ["a", "b", "c"].map(|name| new_address(&mut scene, claim(name)));
    let taken = taken.map(|new| (new.ip.to_string(), new.prefix));
    let expected = [("10.0.0.1", 24), ("10.0.0.2", 24), ("10.0.0.3", 26)];
    assert_eq!(taken, expected.map(|(ip, prefix)| (ip.to_owned(), Some(prefix))));
}

#[test]
fn s7_an_address_in_the_middle_of_all_of_ipv6_is_found_at_once() {
    let mut scene = Scene::with(pool("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
    let due = scene.after(request("a", "8000::7"));
    assert_eq!(due, ["take 8000::7 for claim a", "bind claim a to p-8000--7"]);
    assert_eq!(scene.after(claim("b"))[0], "take :: for claim b");
}

#[test]
fn a_pool_without_addresses_is_exhausted_and_nothing_breaks() {
    let mut scene = Scene::with(pool_of(&spec(&[])));
    assert_eq!(scene.after(claim("a")), ["fail claim a: PoolExhausted: Exhausted IP Pools"]);
}

#[test]
fn an_address_made_by_hand_for_a_claim_counts_as_the_one_that_is_reserved_for_it() {
    let mut scene = Scene::with(pool_of(&pre_allocated(&["10.0.0.1-10.0.0.9"], &[("a", "10.0.0.5")])));
    scene.add(by_hand("router", "10.0.0.5", "a"));
    let due = scene.after(claim("a"));
    let adopt = "adopt address router for claim a: finalizer, annotations, owner";
    assert_eq!(due, ["read claim a", adopt, "bind claim a to router"]);
}
