//! Each defect is planted in a clean world, and found; the clean world gives no finding.

mod build;

use build::{address, bound, capi_address, capi_claim, claim, pool};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::world::World;

const DELETED: &str = "2026-11-24T10:30:00Z";

fn now() -> Timestamp {
    "2026-11-24T11:00:00Z".parse().unwrap()
}

/// A pool with a claim of each family, everything as it should be.
fn clean() -> Vec<Value> {
    let mut pool = pool("p", "10.0.0.1", "10.0.0.9");
    pool["status"] = json!({"indexes": {"a": "10.0.0.1", "b": "10.0.0.2"}});
    vec![
        pool,
        bound("a", "p", "p-10-0-0-1"),
        address("p-10-0-0-1", "10.0.0.1", "p", "a"),
        capi_claim("b", "p-10-0-0-2"),
        capi_address("p-10-0-0-2", "10.0.0.2", "b"),
    ]
}

/// Findings as lines, and the mends after them.
fn shown(objects: Vec<Value>) -> String {
    let findings = check(&World::of_objects(objects), now());
    let mut lines: Vec<String> = findings
        .iter()
        .map(|finding| format!("{} {}: {}", finding.id, finding.object.shown(), finding.message))
        .collect();
    for mend in mends(&findings) {
        let action = match &mend.action {
            Action::Delete { .. } => "delete".to_owned(),
            Action::Patch { subresource, .. } => format!("patch {}", subresource.unwrap_or_default()),
        };
        lines.push(format!("-> {} {} ({})", action.trim_end(), mend.object.shown(), mend.done));
    }
    lines.join("\n")
}

/// The clean world without the pool's indexes, changed.
fn planted(change: impl FnOnce(&mut Vec<Value>)) -> String {
    let mut objects = clean();
    objects[0]["status"] = Value::Null;
    change(&mut objects);
    shown(objects)
}

#[test]
fn a_clean_world_gives_no_finding() {
    assert_eq!(shown(clean()), "");
}

#[test]
fn an_address_made_by_hand_is_no_leak() {
    let by_hand = json!({
        "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPAddress", "metadata": {"name": "by-hand", "namespace": "ns"},
        "spec": {"address": "10.0.0.7", "pool": {"name": "p"}, "claim": {"name": "later"}},
    });
    assert_eq!(planted(|world| world.push(by_hand)), "");
}

#[test]
fn d1_one_address_in_both_kinds() {
    insta::assert_snapshot!(planted(|world| {
        world.push(capi_claim("c", "p-10-0-0-1"));
        world.push(capi_address("p-10-0-0-1", "10.0.0.1", "c"));
    }), @r"
    duplicate-address ipaddress.ipam.cluster.x-k8s.io/p-10-0-0-1: 10.0.0.1 is held by claim a (IPClaim) and by claim c (IPAddressClaim)
    -> patch status ipaddressclaim.ipam.cluster.x-k8s.io/c (served anew)
    -> delete ipaddress.ipam.cluster.x-k8s.io/p-10-0-0-1 (deleted)
    -> patch ipaddress.ipam.cluster.x-k8s.io/p-10-0-0-1 (let go)
    ");
}

#[test]
fn d5_one_address_written_in_two_ways() {
    insta::assert_snapshot!(planted(|world| {
        for (name, ip) in [("c", "2001:db8::5"), ("d", "2001:db8:0::0005")] {
            let mut address = address(&format!("p-{name}"), ip, "p", name);
            address["spec"]["gateway"] = Value::Null;
            world.push(bound(name, "p", &format!("p-{name}")));
            world.push(address);
        }
        world[0]["spec"]["pools"] = json!([
            {"start": "10.0.0.1", "end": "10.0.0.9", "gateway": "10.0.0.254"}, {"start": "2001:db8::1", "end": "2001:db8::9"},
        ]);
        world[0]["spec"]["gateway"] = Value::Null;
    }), @r"
    duplicate-address ipaddress.ipam.metal3.io/p-d: 2001:db8::5 is held by claim c (IPClaim) and by claim d (IPClaim)
    -> patch status ipclaim.ipam.metal3.io/d (served anew)
    -> delete ipaddress.ipam.metal3.io/p-d (deleted)
    -> patch ipaddress.ipam.metal3.io/p-d (let go)
    ");
}

#[test]
fn d6_a_claim_publishes_an_address_that_went_to_another() {
    insta::assert_snapshot!(planted(|world| world.push(bound("c", "p", "p-10-0-0-1"))), @r"
    foreign-reference ipclaim.ipam.metal3.io/c: it publishes 10.0.0.1, which the claim a holds
    -> patch status ipclaim.ipam.metal3.io/c (served anew)
    ");
}

#[test]
fn d6_a_claim_publishes_an_address_that_is_gone() {
    insta::assert_snapshot!(planted(|world| world.push(bound("c", "p", "p-10-0-0-8"))), @r"
    dangling-reference ipclaim.ipam.metal3.io/c: it publishes the IPAddress p-10-0-0-8, which is gone
    -> patch status ipclaim.ipam.metal3.io/c (served anew)
    ");
}

#[test]
fn d7_a_claim_has_two_addresses() {
    insta::assert_snapshot!(planted(|world| world.push(address("p-10-0-0-5", "10.0.0.5", "p", "a"))), @r"
    extra-address ipaddress.ipam.metal3.io/p-10-0-0-5: the claim a has this address besides 10.0.0.1
    -> delete ipaddress.ipam.metal3.io/p-10-0-0-5 (deleted)
    -> patch ipaddress.ipam.metal3.io/p-10-0-0-5 (let go)
    ");
}

#[test]
fn d8_an_address_of_an_earlier_claim_of_the_name_leaks_unless_it_is_published() {
    insta::assert_snapshot!(planted(|world| {
        let mut old = address("p-10-0-0-5", "10.0.0.5", "p", "a");
        old["metadata"]["annotations"]["ipam.metal3.io/claim-uid"] = "before".into();
        world.push(old);
    }), @r"
    leaked-address ipaddress.ipam.metal3.io/p-10-0-0-5: it holds 10.0.0.5 for the claim a, which is gone (another claim has its name now)
    -> delete ipaddress.ipam.metal3.io/p-10-0-0-5 (deleted)
    -> patch ipaddress.ipam.metal3.io/p-10-0-0-5 (let go)
    ");
    insta::assert_snapshot!(planted(|world| {
        world[2]["metadata"]["annotations"]["ipam.metal3.io/claim-uid"] = "before".into();
    }), @r"
    stale-owner ipaddress.ipam.metal3.io/p-10-0-0-1: it names an earlier claim a, and the claim of that name publishes it
    -> patch ipaddress.ipam.metal3.io/p-10-0-0-1 (handed to its claim)
    ");
}

#[test]
fn an_address_that_a_restored_claim_is_to_inherit_is_not_leaked() {
    let restored = |change: fn(&mut Value)| {
        planted(|world| {
            world[2]["metadata"]["annotations"]["ipam.metal3.io/claim-uid"] = "before".into();
            let claim = world.iter_mut().find(|object| object["metadata"]["name"] == "a").unwrap();
            claim["status"] = json!({});
            change(claim);
        })
    };
    let stays = restored(|_| {});
    assert!(stays.contains("stale-owner ipaddress.ipam.metal3.io/p-10-0-0-1: it names an earlier claim a, and the claim of that name is to have it"), "{stays}");
    assert!(!stays.contains("delete"), "{stays}");
    let asks_another = restored(|claim| claim["metadata"]["annotations"] = json!({"ipAddress": "10.0.0.9"}));
    assert!(asks_another.contains("leaked-address ipaddress.ipam.metal3.io/p-10-0-0-1"), "{asks_another}");
}

#[test]
fn d11_an_address_lies_outside_of_its_pool_or_is_excluded() {
    insta::assert_snapshot!(planted(|world| world[0]["spec"]["pools"] = json!([{"start": "10.0.0.2", "end": "10.0.0.9"}])), @"out-of-range ipaddress.ipam.metal3.io/p-10-0-0-1: 10.0.0.1 is in no entry of the pool p");
    insta::assert_snapshot!(planted(|world| world[0]["spec"]["excludedAddresses"] = json!(["10.0.0.2"])), @"excluded-address ipaddress.ipam.cluster.x-k8s.io/p-10-0-0-2: 10.0.0.2 is held by the claim b, and the pool p excludes it");
}

#[test]
fn d4_a_reserved_address_is_held_by_another() {
    insta::assert_snapshot!(planted(|world| world[0]["spec"]["preAllocations"] = json!({"vip": "10.0.0.1"})), @"held-reservation ippool.ipam.metal3.io/p: 10.0.0.1 is reserved for the claim vip and held by the claim a");
}

#[test]
fn l1_l4_an_address_outlives_its_claim() {
    insta::assert_snapshot!(planted(|world| world.push(address("p-10-0-0-5", "10.0.0.5", "p", "gone"))), @r"
    leaked-address ipaddress.ipam.metal3.io/p-10-0-0-5: it holds 10.0.0.5 for the claim gone, which is gone
    -> delete ipaddress.ipam.metal3.io/p-10-0-0-5 (deleted)
    -> patch ipaddress.ipam.metal3.io/p-10-0-0-5 (let go)
    ");
}

#[test]
fn l4_finalizers_were_stripped() {
    insta::assert_snapshot!(planted(|world| {
        for object in &mut world[..3] {
            object["metadata"]["finalizers"] = json!([]);
        }
    }), @r"
    unprotected-claim ipclaim.ipam.metal3.io/a: it has an address and lacks the finalizer: its deletion would leak the address
    unprotected-address ipaddress.ipam.metal3.io/p-10-0-0-1: it lacks its finalizer: whoever deletes it frees an address that is in use
    unprotected-pool ippool.ipam.metal3.io/p: it has 2 addresses and lacks its finalizer: it could be deleted under them
    -> patch ipclaim.ipam.metal3.io/a (protected)
    -> patch ipaddress.ipam.metal3.io/p-10-0-0-1 (protected)
    -> patch ippool.ipam.metal3.io/p (protected)
    ");
}

#[test]
fn l7_a_claim_with_foreign_finalizers_only_is_unprotected() {
    insta::assert_snapshot!(planted(|world| world[1]["metadata"]["finalizers"] = json!(["x/y"])), @r"
    unprotected-claim ipclaim.ipam.metal3.io/a: it has an address and lacks the finalizer: its deletion would leak the address
    -> patch ipclaim.ipam.metal3.io/a (protected)
    ");
}

#[test]
fn s1_a_claim_stays_exhausted_although_there_is_room() {
    insta::assert_snapshot!(planted(|world| {
        let mut claim = claim("c", "p");
        claim["status"] = json!({"errorMessage": "Exhausted IP Pools"});
        world.push(claim);
    }), @r"
    unserved-claim ipclaim.ipam.metal3.io/c: it waits for 60m although nothing stands in its way; it says `Exhausted IP Pools`, which is not true now
    -> patch status ipclaim.ipam.metal3.io/c (served anew)
    ");
    insta::assert_snapshot!(planted(|world| world.push(claim("c", "p"))), @"unserved-claim ipclaim.ipam.metal3.io/c: it waits for 60m although nothing stands in its way");
}

#[test]
fn s4_two_pools_are_in_each_others_way() {
    insta::assert_snapshot!(planted(|world| {
        let mut other = pool("q", "10.0.0.5", "10.0.0.20");
        other["spec"]["namePrefix"] = "p".into();
        world.push(other);
    }), @r"
    name-collision ippool.ipam.metal3.io/p: it has the namePrefix `p` of the pool q and the same addresses: an IPAddress of one has the name that the other needs
    overlapping-pools ippool.ipam.metal3.io/p: it holds 10.0.0.5-10.0.0.9, which the pool q holds too
    ");
}

#[test]
fn s8_indexes_are_not_what_is_held() {
    insta::assert_snapshot!(planted(|world| world[0]["status"] = json!({"indexes": {"a": "10.0.0.3", "z": "10.0.0.4"}})), @r"
    drifted-indexes ippool.ipam.metal3.io/p: its status.indexes is not what is held: 2 wrong, 1 missing
    -> patch status ippool.ipam.metal3.io/p (indexed)
    ");
}

#[test]
fn s10_a_stored_spec_is_not_valid() {
    insta::assert_snapshot!(planted(|world| world[0]["spec"]["dnsServers"] = json!(["x", "y"])), @r#"invalid-pool ippool.ipam.metal3.io/p: spec.dnsServers[0]: Invalid value: "x": is not a valid IP address, and 1 more"#);
}

#[test]
fn s11_a_claim_is_stuck_in_its_deletion() {
    let deleted = |claim: &mut Value| claim["metadata"]["deletionTimestamp"] = DELETED.into();
    insta::assert_snapshot!(planted(|world| deleted(&mut world[1])), @r"
    stuck-deletion ipclaim.ipam.metal3.io/a: it is being deleted, and the controller has not released its address yet (for 30m)
    -> delete ipaddress.ipam.metal3.io/p-10-0-0-1 (deleted)
    -> patch ipaddress.ipam.metal3.io/p-10-0-0-1 (let go)
    -> patch ipclaim.ipam.metal3.io/a (let go)
    ");
    insta::assert_snapshot!(planted(|world| {
        world[1]["metadata"]["finalizers"] = json!(["x/y", "ipclaim.ipam.metal3.io"]);
        deleted(&mut world[1]);
    }), @"stuck-deletion ipclaim.ipam.metal3.io/a: it is being deleted and waits for the finalizer x/y of another controller (for 30m)");
    insta::assert_snapshot!(planted(|world| {
        world[0]["metadata"]["annotations"] = json!({"cluster.x-k8s.io/paused": ""});
        deleted(&mut world[1]);
    }), @"stuck-deletion ipclaim.ipam.metal3.io/a: the pool p is paused by its annotation (for 30m)");
}

#[test]
fn s11_an_address_or_a_pool_is_stuck_in_its_deletion() {
    insta::assert_snapshot!(planted(|world| {
        let mut left = address("p-10-0-0-5", "10.0.0.5", "p", "gone");
        left["metadata"]["deletionTimestamp"] = DELETED.into();
        world.push(left);
    }), @r"
    stuck-deletion ipaddress.ipam.metal3.io/p-10-0-0-5: its deletion was asked for 30m ago; finalizers: ipaddress.ipam.metal3.io
    -> patch ipaddress.ipam.metal3.io/p-10-0-0-5 (let go)
    ");
    insta::assert_snapshot!(planted(|world| {
        let mut empty = pool("q", "10.1.0.1", "10.1.0.9");
        empty["metadata"]["deletionTimestamp"] = DELETED.into();
        world.push(empty);
        world[0]["metadata"]["deletionTimestamp"] = DELETED.into();
    }), @r"
    stuck-deletion ippool.ipam.metal3.io/q: its deletion was asked for 30m ago; finalizers: ippool.ipam.metal3.io
    stuck-deletion ippool.ipam.metal3.io/p: its deletion was asked for 30m ago and waits for 2 addresses
    -> patch ippool.ipam.metal3.io/q (let go)
    ");
}

#[test]
fn a_pool_is_gone_or_was_never_there() {
    insta::assert_snapshot!(planted(|world| drop(world.remove(0))), @r"
    orphaned-address ipaddress.ipam.metal3.io/p-10-0-0-1: its pool p is gone, while its claim a lives
    orphaned-address ipaddress.ipam.cluster.x-k8s.io/p-10-0-0-2: its pool p is gone, while its claim b lives
    ");
    insta::assert_snapshot!(planted(|world| world.push(claim("c", "q"))), @"missing-pool ipclaim.ipam.metal3.io/c: there is no pool q in its namespace");
}

#[test]
fn values_are_not_what_the_pool_says() {
    insta::assert_snapshot!(planted(|world| world[2]["spec"]["gateway"] = "10.0.0.253".into()), @"drifted-values ipaddress.ipam.metal3.io/p-10-0-0-1: it says /24 via 10.0.0.253, and the pool p says /24 via 10.0.0.254 for 10.0.0.1");
    insta::assert_snapshot!(planted(|world| world[2]["spec"]["address"] = "10.0.0".into()), @"invalid-address ipaddress.ipam.metal3.io/p-10-0-0-1: `10.0.0` is no IP address");
}

#[test]
fn every_check_is_known_by_an_id_of_its_own() {
    let mut ids: Vec<&str> = CHECKS.iter().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), CHECKS.len());
}

#[test]
fn what_only_one_of_two_looks_shows_was_under_way() {
    let leaked = |name: &str| {
        let mut objects = clean();
        objects[0]["status"] = Value::Null;
        objects.push(address(name, "10.0.0.5", "p", "gone"));
        check(&World::of_objects(objects), now())
    };
    assert_eq!(confirmed(&leaked("x"), leaked("y")), []);
    assert_eq!(confirmed(&leaked("x"), leaked("x")).len(), 1);
}

#[test]
fn a_mend_counts_only_for_the_object_that_was_looked_at() {
    let mut objects = clean();
    objects.push(address("p-10-0-0-5", "10.0.0.5", "p", "gone"));
    objects.push(bound("c", "p", "p-10-0-0-8"));
    for mend in mends(&check(&World::of_objects(objects), now())) {
        if let Action::Patch { ops, .. } = mend.action {
            assert_eq!(ops[0], ipam::apply::PatchOp::test_uid(&mend.object.uid));
        }
        assert!(!mend.object.uid.is_empty());
    }
}

#[test]
fn ci_systems_get_one_case_for_each_check() {
    let mut objects = clean();
    objects.push(address("p-10-0-0-5", "10.0.0.5", "p", "gone"));
    let xml = junit(&check(&World::of_objects(objects), now()));
    assert!(xml.contains(&format!("tests=\"{}\" failures=\"2\"", CHECKS.len())), "{xml}");
    assert!(xml.contains("<testcase classname=\"ipam\" name=\"duplicate-address\"/>"), "{xml}");
    assert!(
        xml.contains(
            "ipaddress.ipam.metal3.io/p-10-0-0-5 -n ns: it holds 10.0.0.5 for the claim gone, which is gone"
        ),
        "{xml}"
    );
}

/// The command of each finding, and how many mends it has.
fn commands(world: &World) -> Vec<(String, usize)> {
    let findings = check(world, now()).into_iter();
    findings.map(|finding| (finding.command, finding.mends.len())).collect()
}

/// A leak in the pool `p` of Cluster `c`, and what of that Cluster can be seen.
fn leak_of_a_cluster(cluster: Value) -> Vec<Value> {
    let mut objects =
        vec![pool("p", "10.0.0.1", "10.0.0.9"), address("p-10-0-0-1", "10.0.0.1", "p", "gone"), cluster];
    objects[0]["spec"]["clusterName"] = "c".into();
    objects
}

#[test]
fn what_a_cluster_pauses_is_left_alone_and_the_command_ends_that_pause() {
    let cluster = |spec: Value, annotations: Value| {
        json!({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster",
               "metadata": {"name": "c", "namespace": "ns", "annotations": annotations}, "spec": spec})
    };
    for (cluster, command, mends) in [
        (cluster(json!({}), json!({})), "kubectl ipam repair -n ns", 2),
        (
            cluster(json!({"paused": true}), json!({})),
            "kubectl patch clusters.cluster.x-k8s.io c -n ns --type merge -p '{\"spec\":{\"paused\":false}}'",
            0,
        ),
        (
            cluster(json!({}), json!({"cluster.x-k8s.io/paused": ""})),
            "kubectl annotate clusters.cluster.x-k8s.io c -n ns cluster.x-k8s.io/paused-",
            0,
        ),
    ] {
        let world = World::of_objects(leak_of_a_cluster(cluster));
        assert_eq!(commands(&world), [(command.to_owned(), mends)]);
    }
}

#[test]
fn what_says_itself_that_it_is_paused_is_left_alone_whatever_its_cluster_says() {
    let mut objects = leak_of_a_cluster(Value::Null);
    let paused = json!({"type": "Ready", "status": "False", "reason": "Paused", "message": "", "lastTransitionTime": DELETED});
    objects[0]["status"] = json!({"conditions": [paused], "indexes": {"gone": "10.0.0.1"}});
    let resume = ("kubectl ipam resume p -n ns".to_owned(), 0);
    assert_eq!(commands(&World::of_objects(objects)), [resume]);
}

#[test]
fn what_a_cluster_that_cannot_be_seen_may_have_paused_is_left_alone() {
    let mut world = World::of_objects(leak_of_a_cluster(Value::Null));
    world.clusters = None;
    assert_eq!(commands(&world), [("kubectl ipam repair -n ns".to_owned(), 2)]);
    world.unseen.insert(Kind::Cluster, crate::error::Error::new(crate::error::Kind::Failed, "no"));
    let command = "kubectl auth can-i list clusters.cluster.x-k8s.io -n ns".to_owned();
    assert_eq!(commands(&world), [(command, 0)]);
}

#[test]
fn a_claim_that_is_paused_by_itself_keeps_all_that_it_has() {
    let mut objects = clean();
    objects.push(address("p-10-0-0-3", "10.0.0.3", "p", "a"));
    objects[0]["status"]["indexes"] = json!({"a": "10.0.0.3", "b": "10.0.0.2"});
    let extra = ("kubectl ipam repair -n ns".to_owned(), 2);
    assert_eq!(commands(&World::of_objects(objects.clone())), [extra]);
    objects[1]["metadata"]["annotations"] = json!({"cluster.x-k8s.io/paused": ""});
    let paused = ("kubectl ipam resume ipclaim/a -n ns".to_owned(), 0);
    assert_eq!(commands(&World::of_objects(objects)), [paused]);
}

#[test]
fn who_has_to_decide_is_shown_the_object_and_not_told_to_take_it_from_a_machine() {
    let mut objects = clean();
    objects[0]["spec"]["gateway"] = "10.0.0.253".into();
    let whois = |ip: &str| (format!("kubectl ipam whois {ip} -n ns"), 0);
    assert_eq!(commands(&World::of_objects(objects)), [whois("10.0.0.1"), whois("10.0.0.2")]);

    let mut objects = clean();
    objects[0]["spec"]["preAllocations"] = json!({"c": "10.0.0.2"});
    assert_eq!(commands(&World::of_objects(objects)), [whois("10.0.0.2")]);

    let mut objects = clean();
    objects[2]["metadata"]["deletionTimestamp"] = DELETED.into();
    let shown = "kubectl get ipaddress.ipam.metal3.io/p-10-0-0-1 -n ns -o yaml".to_owned();
    assert_eq!(commands(&World::of_objects(objects)), [(shown, 0)]);
}
