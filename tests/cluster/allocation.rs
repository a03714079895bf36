//! Claims and what they get.

use ipam::api::{Family, Kind};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DynamicObject, ObjectMeta, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::scene::{Scene, resource};

#[tokio::test]
async fn a_claim_gets_an_address_with_all_that_belongs_to_it() {
    let mut scene = Scene::new("main").await;
    scene.start_controller();
    let spec = json!({
        "pools": [{"start": "192.168.0.10", "end": "192.168.0.20", "prefix": 25, "dnsServers": ["9.9.9.9"]}],
        "prefix": 24, "gateway": "192.168.0.1", "dnsServers": ["1.1.1.1"],
    });
    scene.create_pool("p", &spec).await;
    scene.create_claim_with("c", "p", json!({"labels": {"a": "b"}})).await;
    assert_eq!(scene.bound("c").await, "192.168.0.10");
    let address = scene.addresses.get("p-192-168-0-10").await.unwrap();
    let claim = scene.claims.get("c").await.unwrap();
    let pool = scene.pools.get("p").await.unwrap();
    assert_eq!(
        address.data["spec"],
        json!({
            "address": "192.168.0.10", "prefix": 25, "gateway": "192.168.0.1", "dnsServers": ["9.9.9.9"],
            "pool": {"name": "p", "namespace": scene.namespace}, "claim": {"name": "c", "namespace": scene.namespace},
        })
    );
    assert_eq!(address.labels()["a"], "b");
    assert_eq!(address.finalizers(), ["ipaddress.ipam.metal3.io"]);
    let owners: Vec<_> =
        address.owner_references().iter().map(|o| (o.kind.as_str(), o.uid.clone())).collect();
    assert_eq!(owners, [("IPPool", pool.uid().unwrap()), ("IPClaim", claim.uid().unwrap())]);
    assert_eq!(claim.finalizers(), ["ipclaim.ipam.metal3.io"]);
    assert!(claim.data["status"]["errorMessage"].is_null());
    scene.in_order().await;
    let status = scene.pools.get("p").await.unwrap().status.unwrap();
    assert_eq!((status.capacity, status.available_ip_count), (Some(11), Some(10)));
}

#[tokio::test]
async fn s6_a_pool_waits_for_its_cluster_and_starts_when_it_appears() {
    let mut scene = Scene::new("waits").await;
    scene.start_controller();
    scene.create_pool("p", &json!({"pools": [{"subnet": "10.0.0.0/24"}], "clusterName": "k"})).await;
    scene.create_claim("c").await;
    scene.pool_is("p", "WaitingForCluster").await;
    let why = scene.refused("c", "PoolNotReady").await;
    assert_eq!(why, "The pool \"p\" waits for its Cluster \"k\"");
    let spec = json!({"controlPlaneEndpoint": {"host": "10.9.9.9", "port": 6443}});
    let object = DynamicObject::new("k", &resource(Kind::Cluster)).data(json!({ "spec": spec }));
    let made = scene.of_kind(Kind::Cluster).create(&PostParams::default(), &object).await.unwrap();
    assert_eq!(scene.bound("c").await, "10.0.0.1");
    scene.pool_is("p", "Available").await;
    let pool = scene.pools.get("p").await.unwrap();
    assert_eq!(pool.labels()["cluster.x-k8s.io/cluster-name"], "k");
    assert_eq!(pool.labels()["cluster.x-k8s.io/provider"], "ipam-metal3");
    let owner = &pool.owner_references()[0];
    assert_eq!(
        (owner.name.as_str(), Some(owner.uid.clone()), owner.controller),
        ("k", made.uid(), Some(false))
    );
}

#[tokio::test]
async fn s3_a_claim_gets_what_is_reserved_or_asked_for_and_one_that_cannot_holds_up_no_other() {
    let mut scene = Scene::new("certain").await;
    scene.start_controller();
    let spec = json!({
        "pools": [{"subnet": "10.0.0.0/24"}], "gateway": "10.0.0.1",
        "preAllocations": {"reserved": "10.0.0.7", "outside": "10.0.0.8"},
        "excludedAddresses": ["10.0.0.3"],
    });
    scene.create_pool("p", &spec).await;
    let asks = |ip: &str| json!({"annotations": {"ipAddress": ip}});
    scene.create_claim_with("asks", "p", asks("10.0.0.9")).await;
    scene.create_claim("reserved").await;
    scene.create_claim_with("gateway", "p", asks("10.0.0.1")).await;
    assert_eq!(scene.bound("asks").await, "10.0.0.9");
    assert_eq!(scene.bound("reserved").await, "10.0.0.7");
    assert_eq!(scene.bound("gateway").await, "10.0.0.1");
    for (name, ip, message) in [
        ("taken", "10.0.0.9", "Requested IP not available"),
        ("others", "10.0.0.8", "Requested IP not available"),
        ("beyond", "10.9.9.9", "Requested IP out of bounds"),
        ("excluded", "10.0.0.3", "Requested IP out of bounds"),
        ("garbled", "10.0.0", "Invalid ipAddress annotation \"10.0.0\": not a valid IP address"),
    ] {
        scene.create_claim_with(name, "p", asks(ip)).await;
        assert_eq!(scene.refused(name, "AllocationFailed").await, message);
        assert_eq!(scene.status(name).await["errorMessage"], message);
    }
    scene.create_claim_with("outside", "p", asks("10.0.0.4")).await;
    let why = scene.refused("outside", "AllocationFailed").await;
    assert_eq!(why, "PreAllocation and requested ip address are conflicting");
    // None of these holds up another claim, and what is mended is served.
    scene.create_claim("plain").await;
    assert_eq!(scene.bound("plain").await, "10.0.0.2");
    scene
        .patch_claim("garbled", asks("10.0.0.20").as_object().map(|a| json!({ "metadata": a })).unwrap())
        .await;
    assert_eq!(scene.bound("garbled").await, "10.0.0.20");
}

#[tokio::test]
async fn d4_a_pre_allocation_is_not_granted_while_another_claim_holds_the_address() {
    let scene = Scene::with_pool(Family::Metal3, "d4", "10.0.0.1", "10.0.0.2").await;
    scene.create_claim("first").await;
    assert_eq!(scene.bound("first").await, "10.0.0.1");
    scene.patch_pool("p", json!({"spec": {"preAllocations": {"late": "10.0.0.1"}}})).await;
    scene.create_claim("late").await;
    assert_eq!(scene.refused("late", "AllocationFailed").await, "Pre-allocated IP not available");
    scene.delete_claim("first").await;
    assert_eq!(scene.bound("late").await, "10.0.0.1");
}

#[tokio::test]
async fn d5_an_address_made_by_hand_counts_however_it_is_written() {
    let mut scene = Scene::new("d5").await;
    let rack = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "rack"}});
    let racks: Api<ConfigMap> = Api::namespaced(scene.plane.client(), &scene.namespace);
    let rack = racks.create(&PostParams::default(), &serde_json::from_value(rack).unwrap()).await.unwrap();
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "rack", "uid": rack.metadata.uid});
    let by_hand = json!({
        "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPAddress",
        "metadata": {
            "name": "by-hand", "ownerReferences": [owner], "labels": {"their": "label"},
            "annotations": {"their": "note"}, "finalizers": ["their/finalizer"],
        },
        "spec": {"address": "2001:DB8:0::0001", "pool": {"name": "p"}, "claim": {"name": "later"}},
    });
    let theirs = by_hand["metadata"].clone();
    scene.addresses.create(&PostParams::default(), &serde_json::from_value(by_hand).unwrap()).await.unwrap();
    scene.start_controller();
    scene.create_pool("p", &json!({"pools": [{"subnet": "2001:db8::/64"}]})).await;
    scene.create_claim("c").await;
    assert_eq!(scene.bound("c").await, "2001:db8::2");
    // The claim that it names is bound to it when it comes.
    scene.create_claim("later").await;
    assert_eq!(scene.bound("later").await, "2001:DB8:0::0001");
    // What others have put on it stays, and comes first.
    let now = serde_json::to_value(scene.addresses.get("by-hand").await.unwrap().metadata).unwrap();
    assert_eq!(now["ownerReferences"][0]["uid"], theirs["ownerReferences"][0]["uid"]);
    assert_eq!(now["finalizers"], json!(["their/finalizer", "ipaddress.ipam.metal3.io"]));
    assert_eq!((&now["labels"]["their"], &now["annotations"]["their"]), (&json!("label"), &json!("note")));
    assert_eq!(now["ownerReferences"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn s1_a_claim_that_met_a_full_pool_is_served_when_there_is_room_the_oldest_first() {
    let scene = Scene::with_pool(Family::Metal3, "s1", "10.0.0.1", "10.0.0.1").await;
    scene.create_claim("holder").await;
    scene.bound("holder").await;
    scene.pool_is("p", "Exhausted").await;
    // By name it would be the other way round, and so would it where both were made in one second.
    scene.create_claim("b-older").await;
    assert_eq!(scene.refused("b-older", "PoolExhausted").await, "Exhausted IP Pools");
    let older = scene.claims.get("b-older").await.unwrap();
    let trial = PostParams { dry_run: true, ..PostParams::default() };
    let mut next = older.clone();
    next.metadata = ObjectMeta { name: Some("a-younger".into()), ..ObjectMeta::default() };
    let is_later = || async {
        let next = scene.claims.create(&trial, &next).await.unwrap();
        (next.metadata.creation_timestamp > older.metadata.creation_timestamp).then_some(())
    };
    scene.until("the next second begins", is_later).await;
    scene.create_claim("a-younger").await;
    scene.refused("a-younger", "PoolExhausted").await;
    scene.delete_claim("holder").await;
    assert_eq!(scene.bound("b-older").await, "10.0.0.1");
    scene.patch_pool("p", json!({"spec": {"pools": [{"start": "10.0.0.1", "end": "10.0.0.2"}]}})).await;
    assert_eq!(scene.bound("a-younger").await, "10.0.0.2");
    assert!(scene.status("a-younger").await["errorMessage"].is_null());
}

#[tokio::test]
async fn s4_pools_that_share_a_prefix_do_not_block_each_other() {
    let mut scene = Scene::new("s4").await;
    scene.start_controller();
    let spec = json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.3"}], "namePrefix": "same"});
    scene.create_pool("p", &spec).await;
    scene.create_pool("q", &spec).await;
    scene.create_claim_with("a", "p", json!({})).await;
    assert_eq!(scene.bound("a").await, "10.0.0.1");
    scene.create_claim_with("b", "q", json!({})).await;
    assert_eq!(scene.bound("b").await, "10.0.0.2");
    let look = || async {
        let status = scene.pools.get("q").await.unwrap().status?;
        status.conditions.into_iter().find(|condition| condition.type_ == "NameConflict")
    };
    let conflict = scene.until("the conflict is shown", look).await;
    assert!(conflict.message.contains("pool \"p\""), "{}", conflict.message);
}

#[tokio::test]
async fn s7_a_requested_address_far_into_a_large_pool_is_found_at_once() {
    let mut scene = Scene::new("s7").await;
    scene.start_controller();
    scene
        .create_pool("p", &json!({"pools": [{"subnet": "fd00::/64"}], "allocationStrategy": "random"}))
        .await;
    let asks = json!({"annotations": {"ipAddress": "fd00::ffff:ffff:ffff:fff0"}});
    scene.create_claim_with("far", "p", asks).await;
    assert_eq!(scene.bound("far").await, "fd00::ffff:ffff:ffff:fff0");
    scene.create_claim("any").await;
    assert!(scene.bound("any").await.starts_with("fd00::"));
    // The count exceeds what the API can show, and is absent.
    let status = scene.pools.get("p").await.unwrap().status.unwrap();
    assert_eq!((status.capacity, status.available_ip_count), (None, None));
}

#[tokio::test]
async fn a_claim_for_no_pool_or_for_one_elsewhere_says_so() {
    let mut scene = Scene::new("nopool").await;
    scene.start_controller();
    scene.create_claim_with("lost", "nowhere", json!({})).await;
    let why = scene.refused("lost", "PoolNotReady").await;
    assert_eq!(why, format!("There is no pool \"nowhere\" in namespace \"{}\"", scene.namespace));
    let abroad = json!({
        "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim", "metadata": {"name": "abroad"},
        "spec": {"pool": {"name": "p", "namespace": "elsewhere"}},
    });
    scene.claims.create(&PostParams::default(), &serde_json::from_value(abroad).unwrap()).await.unwrap();
    let why = scene.refused("abroad", "PoolNotReady").await;
    assert!(why.contains("namespace \"elsewhere\""), "{why}");
    // Consumers take any text there for final, and this may pass.
    for name in ["lost", "abroad"] {
        assert!(scene.status(name).await["errorMessage"].is_null());
    }
}

#[tokio::test]
async fn s8_indexes_that_would_outgrow_etcd_are_cut_off_and_say_so() {
    let scene = Scene::with_pool(Family::Metal3, "s8", "10.0.0.1", "10.0.255.255").await;
    // Names of claims have no limit here, and so a hundred of them fill what takes twenty thousand otherwise.
    let make = |n: u32| {
        let address = json!({
            "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPAddress", "metadata": {"name": format!("hand-{n}")},
            "spec": {
                "address": format!("10.0.1.{n}"), "pool": {"name": "p"},
                "claim": {"name": format!("{n}{}", "x".repeat(12_000))},
            },
        });
        let addresses = scene.addresses.clone();
        async move {
            addresses
                .create(&PostParams::default(), &serde_json::from_value(address).unwrap())
                .await
                .unwrap();
        }
    };
    futures::future::join_all((0..100).map(make)).await;
    scene.create_claim("c").await;
    assert_eq!(scene.bound("c").await, "10.0.0.1");
    let look = || async {
        let status = scene.pools.get("p").await.unwrap().status?;
        let truncated = status.conditions.iter().any(|condition| condition.type_ == "IndexesTruncated");
        // The counts come from the address objects, and are complete.
        let held = status.capacity? - status.available_ip_count?;
        (truncated && held == 101).then_some(status)
    };
    let status = scene.until("the indexes are cut off", look).await;
    let size: usize = status.indexes.iter().map(|(claim, ip)| claim.len() + ip.len()).sum();
    assert!((900_000..=1 << 20).contains(&size), "{size}");
}
