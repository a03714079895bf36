//! Cluster API's claims: their forms, and kinds that are missing, come late, or go.

use ipam::api::{Family, Kind};
use kube::ResourceExt;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use testbed::proxy::{Entry, Match, Verb};
use testbed::{ControlPlane, Options};

use crate::scene::{CAPI_CRDS, Scene, published, ready};

const CAPI: Family = Family::Capi;

#[tokio::test]
async fn s5_a_claim_gets_an_address_with_all_that_belongs_to_it() {
    let mut scene = Scene::of(CAPI, "capi").await;
    scene.start_controller();
    let spec = json!({
        "pools": [{"start": "192.168.0.10", "end": "192.168.0.20", "prefix": 25}],
        "gateway": "192.168.0.1", "dnsServers": ["1.1.1.1"],
    });
    scene.create_pool("p", &spec).await;
    scene.create_claim_with("c", "p", json!({"labels": {"cluster.x-k8s.io/cluster-name": "k"}})).await;
    assert_eq!(scene.bound("c").await, "192.168.0.10");
    let address = scene.addresses.get("p-192-168-0-10").await.unwrap();
    let (claim, pool) = (scene.claims.get("c").await.unwrap(), scene.pools.get("p").await.unwrap());
    assert_eq!(
        address.data["spec"],
        json!({
            "address": "192.168.0.10", "prefix": 25, "gateway": "192.168.0.1",
            "poolRef": {"name": "p", "kind": "IPPool", "apiGroup": "ipam.metal3.io"}, "claimRef": {"name": "c"},
        })
    );
    assert_eq!(address.labels()["cluster.x-k8s.io/cluster-name"], "k");
    assert_eq!(address.finalizers(), ["ipam.metal3.io/ipaddress"]);
    let owners: Vec<_> = address
        .owner_references()
        .iter()
        .map(|owner| (owner.api_version.as_str(), owner.kind.as_str(), owner.uid.clone()))
        .collect();
    assert_eq!(
        owners,
        [
            ("ipam.metal3.io/v1alpha1", "IPPool", pool.uid().unwrap()),
            ("ipam.cluster.x-k8s.io/v1beta2", "IPAddressClaim", claim.uid().unwrap()),
        ]
    );
    assert_eq!(claim.finalizers(), ["ipam.metal3.io/ipaddressclaim"]);
    let ready = ready(&claim).unwrap();
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("True"), &json!("AddressAllocated")));
    scene.in_order().await;
}

#[tokio::test]
async fn a_claim_that_cannot_be_served_says_why_in_its_condition() {
    let mut scene = Scene::of(CAPI, "capi-no").await;
    scene.start_controller();
    let spec = json!({
        "pools": [{"start": "10.0.0.1", "end": "10.0.0.2"}],
        "preAllocations": {"reserved": "10.0.0.2", "outside": "10.9.9.9"},
    });
    scene.create_pool("p", &spec).await;
    let asks = |ip: &str| json!({"annotations": {"ipAddress": ip}});
    scene.create_claim("first").await;
    assert_eq!(scene.bound("first").await, "10.0.0.1");
    for (name, pool, metadata, reason, message) in [
        ("taken", "p", asks("10.0.0.1"), "AllocationFailed", "Requested IP not available"),
        ("beyond", "p", asks("10.8.8.8"), "AllocationFailed", "Requested IP out of bounds"),
        (
            "garbled",
            "p",
            asks("ten"),
            "AllocationFailed",
            "Invalid ipAddress annotation \"ten\": not a valid IP address",
        ),
        ("outside", "p", json!({}), "AllocationFailed", "Pre-allocated IP out of bounds"),
        ("full", "p", json!({}), "PoolExhausted", "Exhausted IP Pools"),
    ] {
        scene.create_claim_with(name, pool, metadata).await;
        assert_eq!(scene.refused(name, reason).await, message);
    }
    scene.create_claim_with("reserved", "p", asks("10.0.0.1")).await;
    let why = scene.refused("reserved", "AllocationFailed").await;
    assert_eq!(why, "PreAllocation and requested ip address are conflicting");
    scene.create_claim_with("lost", "nowhere", json!({})).await;
    let why = scene.refused("lost", "PoolNotReady").await;
    assert_eq!(why, format!("There is no pool \"nowhere\" in namespace \"{}\"", scene.namespace));
}

#[tokio::test]
async fn d2_claims_of_both_kinds_with_one_name_are_two_claims() {
    let scene = Scene::with_pool(CAPI, "d2", "10.0.0.1", "10.0.0.2").await;
    scene.create_claim_of(Family::Metal3, "x", "p", json!({})).await;
    assert_eq!(scene.bound_of(Family::Metal3, "x").await, "10.0.0.1");
    scene.create_claim_of(CAPI, "x", "p", json!({})).await;
    assert_eq!(scene.bound_of(CAPI, "x").await, "10.0.0.2");
    // The map has room for one of a name: the IPClaim's.
    scene.in_order().await;
    scene.of_kind(Kind::Claim(Family::Metal3)).delete("x", &DeleteParams::default()).await.unwrap();
    let gone = || async {
        scene.of_kind(Kind::Claim(Family::Metal3)).get_opt("x").await.unwrap().is_none().then_some(())
    };
    scene.until("the IPClaim is gone", gone).await;
    assert_eq!(scene.bound_of(CAPI, "x").await, "10.0.0.2");
    scene.in_order().await;
}

#[tokio::test]
async fn d12_another_providers_claims_and_addresses_are_never_written() {
    let scene = Scene::with_pool(CAPI, "d12", "10.0.0.1", "10.0.0.9").await;
    let theirs = json!({"apiGroup": "ipam.example.com", "kind": "IPPool", "name": "p"});
    let claim = json!({
        "apiVersion": "ipam.cluster.x-k8s.io/v1beta2", "kind": "IPAddressClaim", "metadata": {"name": "theirs"},
        "spec": {"poolRef": theirs},
    });
    scene.claims.create(&PostParams::default(), &serde_json::from_value(claim).unwrap()).await.unwrap();
    // It has the name that ours would need.
    let address = json!({
        "apiVersion": "ipam.cluster.x-k8s.io/v1beta2", "kind": "IPAddress", "metadata": {"name": "p-10-0-0-1"},
        "spec": {"address": "10.0.0.1", "prefix": 24, "claimRef": {"name": "theirs"}, "poolRef": theirs},
    });
    scene.addresses.create(&PostParams::default(), &serde_json::from_value(address).unwrap()).await.unwrap();
    scene.create_claim("ours").await;
    assert_eq!(scene.bound("ours").await, "10.0.0.2");
    let (claim, address) =
        (scene.claims.get("theirs").await.unwrap(), scene.addresses.get("p-10-0-0-1").await.unwrap());
    for object in [claim, address] {
        assert!(object.finalizers().is_empty(), "{:?}", object.metadata);
        assert!(object.data["status"].is_null());
        assert_eq!(scene.proxy.count(&Match::writes().name(&object.name_any())), 0);
    }
}

#[tokio::test]
async fn d12_a_claim_that_turns_to_another_provider_while_it_waits_is_left_alone_and_served_once_it_turns_back()
 {
    let mut scene = Scene::of(CAPI, "d12-turns").await;
    scene.start_controller();
    scene.create_claim("c").await;
    scene.refused("c", "PoolNotReady").await;
    let turn = async |group: &str| {
        let theirs = json!({"spec": {"poolRef": {"apiGroup": group, "kind": "IPPool", "name": "p"}}});
        scene.claims.patch("c", &PatchParams::default(), &Patch::Merge(theirs)).await.unwrap();
    };
    turn("ipam.example.com").await;
    let before = scene.proxy.count(&Match::writes().name("c"));
    scene.create_pool("p", &json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}]})).await;
    scene.create_claim("ours").await;
    scene.bound("ours").await;
    scene.in_order().await;
    assert!(scene.claims.get("c").await.unwrap().finalizers().is_empty());
    assert_eq!(scene.proxy.count(&Match::writes().name("c")), before);
    turn("ipam.metal3.io").await;
    scene.bound("c").await;
    scene.in_order().await;
}

/// Claims and addresses of Cluster API as a cluster has them that serves only this version, and stores them in it.
fn only(version: &str) -> impl Iterator<Item = Value> {
    CAPI_CRDS[1..].iter().map(move |crd| {
        let path = testbed::capi_crds().unwrap().join(crd);
        let mut crd: Value = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let versions = crd["spec"]["versions"].as_array_mut().unwrap();
        versions.retain(|each| each["name"] != "v1alpha1");
        for each in versions {
            let is_it = each["name"] == version;
            (each["served"], each["storage"]) = (json!(is_it), json!(is_it));
        }
        crd
    })
}

/// Where only v1beta1 is served: claim `c` has the one address of pool `p`.
async fn bound_in_v1beta1(name: &str) -> Scene {
    let mut scene = Scene::on(own_plane(only("v1beta1")).await, CAPI, name).await;
    scene.version_of_capi("v1beta1");
    scene.start_controller();
    scene.create_pool("p", &json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.1"}]})).await;
    scene.create_claim("c").await;
    assert_eq!(scene.bound("c").await, "10.0.0.1");
    scene
}

/// A control plane of its own, as the kinds of a cluster are everybody's.
async fn own_plane(capi_crds: impl IntoIterator<Item = Value>) -> std::sync::Arc<ControlPlane> {
    let plane =
        ControlPlane::start(Options { controller_manager: false, ..Options::default() }).await.unwrap();
    crate::scene::install(&plane, &[]).await;
    for crd in capi_crds {
        plane.apply_yaml(&crd.to_string()).await.unwrap();
    }
    std::sync::Arc::new(plane)
}

/// A control plane of its own with all CRDs. Who may not delete an object may not change its owner references there, as in
/// some distributions of Kubernetes.
pub async fn own_plane_with_all() -> std::sync::Arc<ControlPlane> {
    let strict = "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".to_owned();
    let options =
        Options { controller_manager: false, apiserver_arguments: vec![strict], ..Options::default() };
    let plane = ControlPlane::start(options).await.unwrap();
    crate::scene::install(&plane, &CAPI_CRDS).await;
    std::sync::Arc::new(plane)
}

#[tokio::test]
async fn where_only_v1beta1_is_served_claims_get_conditions_of_its_form() {
    let scene = bound_in_v1beta1("v1beta1").await;
    let good = ready(&scene.claims.get("c").await.unwrap()).unwrap();
    assert_eq!((&good["status"], &good["severity"]), (&json!("True"), &Value::Null));
    scene.create_claim("d").await;
    assert_eq!(scene.refused("d", "PoolExhausted").await, "Exhausted IP Pools");
    assert_eq!(ready(&scene.claims.get("d").await.unwrap()).unwrap()["severity"], "Error");
    // What others write in that form stays, and so does what they write in the next version's.
    let since = "2024-01-01T00:00:00Z";
    let older = json!({"type": "Backup", "status": "False", "severity": "Info", "lastTransitionTime": since});
    let newer = json!({"type": "Backup", "status": "False", "reason": "Never", "message": "", "lastTransitionTime": since});
    let ops = json!([
        {"op": "add", "path": "/status/conditions/-", "value": older},
        {"op": "add", "path": "/status/v1beta2", "value": {"conditions": [newer]}},
    ]);
    let patch: Patch<Value> = Patch::Json(serde_json::from_value(ops).unwrap());
    scene.claims.patch_status("d", &PatchParams::default(), &patch).await.unwrap();
    scene.delete_claim("c").await;
    assert_eq!(scene.bound("d").await, "10.0.0.1");
    let status = scene.status("d").await;
    assert_eq!((&status["conditions"][1], &status["v1beta2"]["conditions"]), (&older, &json!([newer])));
    let owner = &scene.addresses.get("p-10-0-0-1").await.unwrap().owner_references()[1].clone();
    assert_eq!(owner.api_version, "ipam.cluster.x-k8s.io/v1beta1");
    scene.delete_claim("d").await;
    scene.claim_gone("d").await;
}

#[tokio::test]
async fn what_is_served_in_another_version_from_now_on_keeps_its_addresses() {
    let mut scene = bound_in_v1beta1("upgrade").await;
    scene.create_claim_of(Family::Metal3, "waits", "p", json!({})).await;
    scene.refused_of(Family::Metal3, "waits", "PoolExhausted").await;

    // As `kubectl apply` of the new release does it, one definition after the other.
    for crd in only("v1beta2") {
        scene.plane.apply_yaml(&crd.to_string()).await.unwrap();
    }
    scene.version_of_capi("v1beta2");
    let is_watched = |log: &[Entry]| {
        ["ipaddressclaims", "ipaddresses"].iter().all(|plural| {
            let served = |entry: &Entry| {
                entry.server_status == Some(200) && entry.call.uri.path().contains("/v1beta2/")
            };
            log.iter().any(|entry| {
                served(entry) && entry.call.verb == Verb::Watch && entry.call.resource == *plural
            })
        })
    };
    scene.proxy.until("the new version is watched", is_watched).await.unwrap();
    // Whatever is done for the pool now comes after that.
    scene.create_claim_of(Family::Metal3, "waits-too", "p", json!({})).await;
    scene.refused_of(Family::Metal3, "waits-too", "PoolExhausted").await;
    let waits = scene.of_kind(Kind::Claim(Family::Metal3)).get("waits").await.unwrap();
    assert_eq!(published(&waits), None);
    assert_eq!(scene.bound("c").await, "10.0.0.1");
    scene.delete_claim("c").await;
    assert_eq!(scene.bound_of(Family::Metal3, "waits").await, "10.0.0.1");
}

#[tokio::test]
async fn kinds_of_cluster_api_may_be_missing_come_later_and_go_again() {
    let plane = own_plane([]).await;
    let mut scene = Scene::on(plane, CAPI, "late").await;
    scene.start_controller();
    scene.create_pool("p", &json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}]})).await;
    scene.create_claim_of(Family::Metal3, "a", "p", json!({})).await;
    assert_eq!(scene.bound_of(Family::Metal3, "a").await, "10.0.0.1");

    let capi = testbed::capi_crds().unwrap();
    for crd in CAPI_CRDS {
        scene.plane.apply_path(&capi.join(crd)).await.unwrap();
    }
    scene.create_claim("b").await;
    assert_eq!(scene.bound("b").await, "10.0.0.2");

    // The definition goes, and its objects go first: what we hold of them has to be let go.
    let crds = kube::Api::<DynamicObject>::all_with(scene.plane.client(), &crd_resource());
    for name in ["ipaddressclaims.ipam.cluster.x-k8s.io", "ipaddresses.ipam.cluster.x-k8s.io"] {
        crds.delete(name, &DeleteParams::default()).await.unwrap();
        let gone = || async { crds.get_opt(name).await.unwrap().is_none().then_some(()) };
        scene.until(&format!("{name} is gone"), gone).await;
    }
    scene.create_claim_of(Family::Metal3, "c", "p", json!({})).await;
    assert_eq!(scene.bound_of(Family::Metal3, "c").await, "10.0.0.2");
    assert_eq!(scene.bound_of(Family::Metal3, "a").await, "10.0.0.1");
}

fn crd_resource() -> kube::api::ApiResource {
    kube::api::ApiResource {
        group: "apiextensions.k8s.io".into(),
        version: "v1".into(),
        api_version: "apiextensions.k8s.io/v1".into(),
        kind: "CustomResourceDefinition".into(),
        plural: "customresourcedefinitions".into(),
    }
}

#[tokio::test]
async fn l5_a_pool_stays_until_the_last_address_of_either_kind_is_gone() {
    let scene = Scene::with_pool(CAPI, "l5-both", "10.0.0.1", "10.0.0.9").await;
    scene.create_claim("c").await;
    scene.bound("c").await;
    scene.create_claim_of(Family::Metal3, "m", "p", json!({})).await;
    scene.bound_of(Family::Metal3, "m").await;
    scene.pools.delete("p", &DeleteParams::default()).await.unwrap();
    scene.pool_is("p", "Deleting").await;
    let ours = scene.of_kind(Kind::Claim(Family::Metal3));
    ours.delete("m", &DeleteParams::default()).await.unwrap();
    let gone = || async { ours.get_opt("m").await.unwrap().is_none().then_some(()) };
    scene.until("the IPClaim is gone", gone).await;
    assert!(scene.pools.get_opt("p").await.unwrap().is_some());
    scene.delete_claim("c").await;
    let gone = || async { scene.pools.get_opt("p").await.unwrap().is_none().then_some(()) };
    scene.until("the pool is gone", gone).await;
    assert_eq!(scene.addresses.list(&ListParams::default()).await.unwrap().items.len(), 0);
    // It was let go after the last address, and not when there just happened to be none of one kind.
    let log = scene.proxy.log();
    let last = |of: Match| log.iter().rposition(|entry| of.includes(&entry.call)).unwrap();
    let let_go = |resource: &str| Match::verb(Verb::Patch).resource(resource).body("remove");
    assert!(last(let_go(&scene.addresses_resource())) < last(let_go("ippools")));
}
