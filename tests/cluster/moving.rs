//! `clusterctl move`: the objects of a paused Cluster are made anew elsewhere, owners before what they own and without
//! a status, and torn away where they were.

use ipam::api::{Family, Kind};
use kube::ResourceExt;
use kube::api::{DynamicObject, ListParams};
use serde_json::{Value, json};
use testbed::proxy::Match;

use crate::metal3::owner;
use crate::scene::{Scene, for_both_families};

for_both_families!(
    what_is_moved_keeps_its_address_and_nothing_is_allocated_on_the_way,
    nothing_is_released_where_objects_are_moved_away,
    a_pool_without_a_cluster_is_moved_under_a_pause_of_its_own,
);

const NAMES: [&str; 3] = ["a", "b", "c"];

/// A namespace with a pool and a bound claim of each name.
async fn source(family: Family, name: &str, cluster: Option<&str>) -> Scene {
    let mut scene = Scene::of(family, name).await;
    scene.start_controller();
    if cluster.is_some() {
        scene.create_cluster(false).await;
    }
    // Large, so that nobody gets the address that it had by chance.
    let spec =
        json!({"pools": [{"subnet": "10.0.0.0/12"}], "allocationStrategy": "random", "clusterName": cluster});
    scene.create_pool("p", &spec).await;
    for name in NAMES {
        scene.create_claim(name).await;
        scene.bound(name).await;
    }
    scene.in_order().await;
    scene
}

fn paused() -> Value {
    json!({"metadata": {"annotations": {"cluster.x-k8s.io/paused": "true"}}})
}

/// What moves of an object's metadata.
fn metadata(object: &DynamicObject, owners: &[Value]) -> Value {
    let meta = &object.metadata;
    json!({
        "name": meta.name, "labels": meta.labels, "annotations": meta.annotations,
        "finalizers": meta.finalizers, "ownerReferences": owners,
    })
}

/// Makes the pool and its claims in another place.
async fn move_claims(from: &Scene, to: &Scene, owners: &[Value]) -> DynamicObject {
    let pool = from.get(Kind::Pool, "p").await;
    let made = to.create(Kind::Pool, &metadata(&pool, owners), &pool.data["spec"], &Value::Null).await;
    let kind = Kind::Claim(from.family);
    for name in NAMES {
        let claim = from.get(kind, name).await;
        to.create(kind, &metadata(&claim, &[]), &claim.data["spec"], &Value::Null).await;
    }
    made
}

/// Makes the addresses there, which belong to the new pool and to the new claims.
async fn move_addresses(from: &Scene, to: &Scene, pool: &DynamicObject) -> Vec<(String, DynamicObject)> {
    let (kind, claims, mut moved) = (Kind::Address(from.family), Kind::Claim(from.family), Vec::new());
    for name in NAMES {
        let claim = from.get(claims, name).await;
        let address = from.get(kind, &crate::scene::published(&claim).unwrap()).await;
        let claim = to.get(claims, name).await;
        let owners = [owner(Kind::Pool, pool, Value::Null), owner(claims, &claim, Value::Null)];
        let spec =
            serde_json::from_str(&address.data["spec"].to_string().replace(&from.namespace, &to.namespace));
        let made = to.create(kind, &metadata(&address, &owners), &spec.unwrap(), &Value::Null).await;
        moved.push((name.to_owned(), made));
    }
    moved
}

/// Every claim waits, as its pool is paused, and there is no address.
async fn all_wait(scene: &Scene) {
    for name in NAMES {
        let why = scene.refused(name, "PoolNotReady").await;
        assert!(why.contains("paused"), "{why}");
    }
    assert!(scene.addresses.list(&ListParams::default()).await.unwrap().items.is_empty());
}

/// Every claim has the address object that was moved.
async fn all_have(scene: &Scene, moved: &[(String, DynamicObject)]) {
    for (name, address) in moved {
        assert_eq!(scene.bound(name).await, address.data["spec"]["address"]);
        let now = scene.addresses.get(&address.name_any()).await.unwrap();
        assert_eq!(now.uid(), address.uid());
    }
    scene.in_order().await;
}

async fn what_is_moved_keeps_its_address_and_nothing_is_allocated_on_the_way(family: Family) {
    let from = source(family, "from", Some("k")).await;
    from.pause_cluster(true).await;
    from.pool_is("p", "Paused").await;
    let mut to = Scene::of(family, "to").await;
    to.start_controller();
    let cluster = to.create_cluster(true).await;
    let pool = move_claims(&from, &to, &[owner(Kind::Cluster, &cluster, json!(false))]).await;
    all_wait(&to).await;
    let moved = move_addresses(&from, &to, &pool).await;
    to.pause_cluster(false).await;
    all_have(&to, &moved).await;
}

async fn nothing_is_released_where_objects_are_moved_away(family: Family) {
    let scene = source(family, "away", Some("k")).await;
    scene.pause_cluster(true).await;
    scene.pool_is("p", "Paused").await;
    let of_addresses = Match::writes().resource(&scene.addresses_resource());
    let before = scene.proxy.count(&of_addresses);
    for (kind, name) in objects(&scene).await {
        scene.tear_away(kind, &name).await;
    }
    // A claim that is made and served afterwards shows that all this was seen and left alone: its address is the only
    // one that was written.
    scene.create_pool("q", &json!({"pools": [{"subnet": "10.16.0.0/24"}]})).await;
    scene.create_claim_with("last", "q", json!({})).await;
    scene.bound("last").await;
    assert_eq!(scene.proxy.count(&of_addresses), before + 1);
    scene.in_order().await;
}

/// All objects, in the order in which they are torn away: what is owned before its owners.
async fn objects(scene: &Scene) -> Vec<(Kind, String)> {
    let mut all = Vec::new();
    for kind in [Kind::Address(scene.family), Kind::Claim(scene.family), Kind::Pool, Kind::Cluster] {
        let objects = scene.of_kind(kind).list(&ListParams::default()).await.unwrap().items;
        all.extend(objects.iter().map(|object| (kind, object.name_any())));
    }
    all
}

async fn a_pool_without_a_cluster_is_moved_under_a_pause_of_its_own(family: Family) {
    let from = source(family, "alone", None).await;
    from.patch_pool("p", paused()).await;
    from.pool_is("p", "Paused").await;
    let mut to = Scene::of(family, "there").await;
    to.start_controller();
    let pool = move_claims(&from, &to, &[]).await;
    all_wait(&to).await;
    let moved = move_addresses(&from, &to, &pool).await;
    to.patch_pool("p", json!({"metadata": {"annotations": {"cluster.x-k8s.io/paused": null}}})).await;
    all_have(&to, &moved).await;
}
