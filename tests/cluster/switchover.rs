//! Taking over from Metal3's own controller in a running cluster, and handing back to it.

use std::time::Duration;

use ipam::api::{Family, Kind};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use testbed::proxy::Match;
use testbed::{ControlPlane, Options};

use crate::metal3::{VANISHED, address_name};
use crate::scene::{CAPI_CRDS, Scene, for_both_families, install, no_finalizers, published, quiet, ready};

for_both_families!(
    bound_claims_keep_their_addresses_and_their_address_objects,
    s1_s2_claims_that_were_failed_for_good_are_served,
    releases_that_were_begun_are_finished,
    l4_d10_addresses_that_were_leaked_are_released_after_the_grace,
    what_is_handed_back_is_what_the_former_controller_reads,
);

async fn bound_claims_keep_their_addresses_and_their_address_objects(family: Family) {
    let mut scene = Scene::of(family, "adopt").await;
    // One claim is missing, one is gone, and one has another address.
    let pool = scene.metal3_pool(json!({"a": "10.0.0.1", "gone": "10.0.0.2", "b": "10.0.0.9"})).await;
    let mut before = Vec::new();
    for (name, ip) in [("a", "10.0.0.1"), ("b", "10.0.0.5"), ("c", "10.0.0.7")] {
        before.push((name, ip, scene.metal3_bound(&pool, name, ip).await));
    }
    let others = others(&scene).await;
    scene.start_controller();
    for (name, ip, [claim, address]) in &before {
        assert_eq!(scene.bound(name).await, *ip);
        let now = scene.addresses.get(&address_name(ip)).await.unwrap();
        assert_eq!((now.uid(), &now.data), (address.uid(), &address.data));
        assert_eq!(now.labels(), address.labels());
        assert_eq!(now.finalizers(), address.finalizers());
        assert_eq!(owners(&now), owners(address));
        let claim_now = scene.claims.get(name).await.unwrap();
        assert_eq!((claim_now.uid(), claim_now.finalizers()), (claim.uid(), claim.finalizers()));
        assert_eq!(published(&claim_now), published(claim));
        assert_eq!(claim_now.data["status"]["address"], claim.data["status"]["address"]);
        let look = || async {
            let ready = ready(&scene.claims.get(name).await.unwrap())?;
            (ready["status"] == "True" && ready["reason"] == "AddressAllocated").then_some(())
        };
        scene.until("the claim is Ready", look).await;
    }
    scene.in_order().await;
    scene.pool_is("p", "Available").await;
    let pool_now = scene.get(Kind::Pool, "p").await;
    assert_eq!(pool_now.finalizers(), pool.finalizers());
    assert_eq!((owners(&pool_now), pool_now.labels()), (owners(&pool), pool.labels()));
    for (kind, name, version) in others {
        assert_eq!(scene.get(kind, name).await.resource_version(), version, "{name} was written");
    }
    let writes = scene.proxy.count(&Match::writes());
    // That nothing happens cannot be waited for; only time can pass.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(scene.proxy.count(&Match::writes()), writes);
}

/// Another provider's claim and address, and their resource versions.
async fn others(scene: &Scene) -> [(Kind, &'static str, Option<String>); 2] {
    let pool = json!({"apiGroup": "ipam.cluster.x-k8s.io", "kind": "InClusterIPPool", "name": "p"});
    let (claim, address) = (Kind::Claim(Family::Capi), Kind::Address(Family::Capi));
    let spec = json!({ "poolRef": pool });
    let status = json!({"addressRef": {"name": "theirs"}});
    let made = scene.create(claim, &json!({"name": "theirs"}), &spec, &status).await;
    let spec = json!({"poolRef": pool, "claimRef": {"name": "theirs"}, "address": "10.0.0.1", "prefix": 24});
    let theirs = scene.create(address, &json!({"name": "theirs"}), &spec, &Value::Null).await;
    [(claim, "theirs", made.resource_version()), (address, "theirs", theirs.resource_version())]
}

fn owners(object: &DynamicObject) -> Vec<(String, String, String)> {
    let owners = object.owner_references().iter();
    owners.map(|owner| (owner.api_version.clone(), owner.name.clone(), owner.uid.clone())).collect()
}

async fn s1_s2_claims_that_were_failed_for_good_are_served(family: Family) {
    let mut scene = Scene::of(family, "failed").await;
    scene.metal3_pool(json!({})).await;
    let stamps = [
        ("exhausted", Value::Null, "Exhausted IP Pools", "PoolExhausted"),
        ("asked", json!({"ipAddress": "10.0.0.3"}), "Requested IP not available", "AllocationFailed"),
        ("unlucky", Value::Null, "Failed to create associated IPAddress object", "AllocationFailed"),
    ];
    for (name, annotations, error, reason) in stamps {
        scene.metal3_claim(name, annotations, scene.metal3_failed_status(error, reason)).await;
    }
    scene.start_controller();
    for name in ["exhausted", "unlucky", "asked"] {
        scene.bound(name).await;
        let status = scene.status(name).await;
        assert_eq!(status["errorMessage"], Value::Null);
        assert_eq!(status["conditions"][0]["status"], "True");
    }
    assert_eq!(scene.bound("asked").await, "10.0.0.3");
    scene.in_order().await;
}

async fn releases_that_were_begun_are_finished(family: Family) {
    let mut scene = Scene::of(family, "half").await;
    let pool = scene.metal3_pool(json!({})).await;
    scene.metal3_bound(&pool, "stays", "10.0.0.1").await;
    // The controller stopped before it did anything, after it took its finalizer off the address, and after the address
    // was gone.
    for (name, ip) in [("asked", "10.0.0.2"), ("stripped", "10.0.0.3"), ("deleted", "10.0.0.4")] {
        scene.metal3_bound(&pool, name, ip).await;
        scene.delete_claim(name).await;
    }
    let address = Kind::Address(family);
    let api = scene.of_kind(address);
    api.patch(&address_name("10.0.0.3"), &PatchParams::default(), &no_finalizers()).await.unwrap();
    scene.tear_away(address, &address_name("10.0.0.4")).await;
    scene.start_controller();
    for (name, ip) in [("asked", "10.0.0.2"), ("stripped", "10.0.0.3"), ("deleted", "10.0.0.4")] {
        scene.claim_gone(name).await;
        scene.address_gone(&address_name(ip)).await;
    }
    assert_eq!(scene.bound("stays").await, "10.0.0.1");
    scene.in_order().await;
    scene.claims.delete("stays", &DeleteParams::default()).await.unwrap();
    scene.pools.delete("p", &DeleteParams::default()).await.unwrap();
    let look = || async { scene.pools.get_opt("p").await.unwrap().is_none().then_some(()) };
    scene.until("the pool is gone", look).await;
}

async fn l4_d10_addresses_that_were_leaked_are_released_after_the_grace(family: Family) {
    let mut scene = Scene::of(family, "leaked").await;
    let pool = scene.metal3_pool(json!({"a": "10.0.0.1", "b": "10.0.0.2", "c": "10.0.0.3"})).await;
    scene.metal3_bound(&pool, "lives", "10.0.0.4").await;
    // The claim is gone; the garbage collector has taken its owner reference, or has not yet.
    scene.metal3_address(&pool, "a", "10.0.0.1", &[VANISHED.to_owned()]).await;
    scene.metal3_address(&pool, "b", "10.0.0.2", &[]).await;
    // The claim was deleted and came back under its name, and has another address since.
    scene.metal3_address(&pool, "lives", "10.0.0.5", &[VANISHED.to_owned()]).await;
    scene.metal3_address(&pool, "lives", "10.0.0.6", &[]).await;
    scene.start_controller();
    for ip in ["10.0.0.1", "10.0.0.2", "10.0.0.5", "10.0.0.6"] {
        scene.address_gone(&address_name(ip)).await;
    }
    assert_eq!(scene.bound("lives").await, "10.0.0.4");
    scene.in_order().await;
}

/// Metal3's controller finds the address object of a claim by its name, which it works out from `status.indexes` and
/// `namePrefix`, and rebuilds these from the claim and the pool that each address object names. It passes over claims
/// that publish an address, and over those that carry an error.
async fn what_is_handed_back_is_what_the_former_controller_reads(family: Family) {
    let scene = Scene::with_pool(family, "back", "10.0.0.1", "10.0.0.1").await;
    scene.create_claim("a").await;
    scene.bound("a").await;
    scene.in_order().await;
    let pool = scene.get(Kind::Pool, "p").await;
    assert_eq!(pool.finalizers(), ["ippool.ipam.metal3.io"]);
    assert_eq!(pool.data["status"]["indexes"], json!({"a": "10.0.0.1"}));
    assert!(pool.data["status"]["lastUpdated"].is_string());
    let address = scene.addresses.get("p-10-0-0-1").await.unwrap();
    let spec = &address.data["spec"];
    let (of_pool, of_claim) = match family {
        Family::Metal3 => (&spec["pool"], &spec["claim"]),
        Family::Capi => (&spec["poolRef"], &spec["claimRef"]),
    };
    assert_eq!((&of_pool["name"], &of_claim["name"]), (&json!("p"), &json!("a")));
    assert_eq!(spec["address"], "10.0.0.1");
    assert_eq!(address.finalizers(), [Kind::Address(family).finalizer().unwrap()]);
    let claim = scene.claims.get("a").await.unwrap();
    assert_eq!(claim.finalizers(), [Kind::Claim(family).finalizer().unwrap()]);
    assert_eq!(published(&claim).as_deref(), Some("p-10-0-0-1"));
    assert_eq!(claim.data["status"]["errorMessage"], Value::Null);
    assert_eq!(claim.data["status"]["conditions"][0]["reason"], "AddressAllocated");
}

/// Metal3's CRDs know of a claim's status the address and the error alone, and of a pool's neither conditions nor counts: what
/// the API server does not keep may not be written again and again.
#[tokio::test]
async fn where_the_former_crds_are_left_in_place_claims_are_served_and_nothing_is_written_without_end() {
    let plane = std::sync::Arc::new(ControlPlane::start(Options::default()).await.unwrap());
    install(&plane, &CAPI_CRDS).await;
    let crds: Api<CustomResourceDefinition> = Api::all(plane.client());
    for (kind, unknown) in
        [("ipclaims", &["conditions"][..]), ("ippools", &["conditions", "capacity", "availableIPCount"])]
    {
        let remove = |member: &&str| json!({"op": "remove", "path": format!("/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/{member}")});
        let patch: Value = unknown.iter().map(remove).collect();
        let name = format!("{kind}.ipam.metal3.io");
        let patch = Patch::Json::<()>(serde_json::from_value(patch).unwrap());
        crds.patch(&name, &PatchParams::default(), &patch).await.unwrap();
    }
    let mut scene = Scene::on(plane, Family::Metal3, "former-crds").await;
    scene.create_claim_with("probe", "nowhere", json!({})).await;
    let condition = json!({"status": {"conditions": [{
        "type": "T", "status": "True", "reason": "R", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]}});
    let pruned = || async {
        let patch = Patch::Merge(&condition);
        let probe = scene.claims.patch_status("probe", &PatchParams::default(), &patch).await.unwrap();
        probe.data["status"]["conditions"].is_null().then_some(())
    };
    scene.until("the CRDs are in effect", pruned).await;

    scene.start_controller();
    scene.create_pool("p", &json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.2"}]})).await;
    for name in ["a", "b", "c"] {
        scene.create_claim(name).await;
    }
    let served = || async {
        let full =
            scene.claims.get("c").await.unwrap().data["status"]["errorMessage"] == "Exhausted IP Pools";
        let bound = published(&scene.claims.get("b").await.unwrap()).is_some();
        (full && bound).then_some(())
    };
    scene.until("two claims are bound, and one is told why not", served).await;
    scene.claims.delete("a", &DeleteParams::default()).await.unwrap();
    let inherited = || async { published(&scene.claims.get("c").await.unwrap()).map(drop) };
    scene.until("the third has the address of the first", inherited).await;
    quiet(|| scene.proxy.count(&Match::writes()), Duration::from_secs(5), || scene.log()).await;
}
