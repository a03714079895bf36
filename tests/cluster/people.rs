//! People who delete, strip and edit by hand.

use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use testbed::proxy::{Action, Match, Reply, Rule, Verb};

use ipam::api::{Family, Kind};

use crate::metal3::owner;
use crate::process::ALONE;
use crate::replica::Replica;
use crate::scene::{Scene, for_both_families, no_finalizers, ready};

for_both_families!(
    d6_an_address_that_is_removed_by_force_is_given_back_to_its_claim,
    an_address_that_is_deleted_while_its_claim_lives_is_made_again,
    l4_d10_an_address_whose_claim_was_torn_away_is_released,
    d10_an_address_whose_claim_was_never_seen_is_not_released_as_the_api_server_has_that_claim,
    l2_a_claim_that_is_deleted_while_its_address_was_never_seen_leaves_nothing,
    l2_a_claim_that_is_deleted_while_the_watch_of_its_address_lags_leaves_nothing,
    d3_d7_claims_of_a_lagging_watch_get_one_address_each,
    what_others_write_into_the_status_of_a_claim_outlives_each_publication,
    s14_nothing_is_written_when_nothing_changes,
);

async fn d6_an_address_that_is_removed_by_force_is_given_back_to_its_claim(family: Family) {
    let scene = Scene::with_pool(family, "d6", "10.0.0.1", "10.0.0.1").await;
    // An older one, which was paused until there was nothing left, waits for whatever gets free.
    let paused = |value: Value| json!({"annotations": {"cluster.x-k8s.io/paused": value}});
    scene.create_claim_with("a-other", "p", paused(json!(""))).await;
    scene.refused("a-other", "PoolNotReady").await;
    scene.create_claim("c").await;
    assert_eq!(scene.bound("c").await, "10.0.0.1");
    scene.patch_claim("a-other", json!({"metadata": paused(Value::Null)})).await;
    scene.refused("a-other", "PoolExhausted").await;
    let before = scene.addresses.get("p-10-0-0-1").await.unwrap().uid();
    scene.tear_away(Kind::Address(family), "p-10-0-0-1").await;
    let look = || async {
        let now = scene.addresses.get_opt("p-10-0-0-1").await.unwrap()?;
        (now.uid() != before).then_some(())
    };
    scene.until("the address is made again", look).await;
    assert_eq!(scene.bound("c").await, "10.0.0.1");
    scene.refused("a-other", "PoolExhausted").await;
    scene.in_order().await;
}

async fn an_address_that_is_deleted_while_its_claim_lives_is_made_again(family: Family) {
    let scene = Scene::with_pool(family, "deleted", "10.0.0.1", "10.0.0.9").await;
    scene.create_claim("c").await;
    scene.bound("c").await;
    let before = scene.addresses.get("p-10-0-0-1").await.unwrap().uid();
    scene.addresses.delete("p-10-0-0-1", &DeleteParams::default()).await.unwrap();
    let look = || async {
        let now = scene.addresses.get_opt("p-10-0-0-1").await.unwrap()?;
        (now.uid() != before).then_some(())
    };
    scene.until("the address is made again", look).await;
    assert_eq!(scene.bound("c").await, "10.0.0.1");
}

async fn l4_d10_an_address_whose_claim_was_torn_away_is_released(family: Family) {
    let scene = Scene::with_pool(family, "l4", "10.0.0.1", "10.0.0.9").await;
    scene.create_claim("c").await;
    assert_eq!(scene.bound("c").await, "10.0.0.1");
    scene.create_claim("stays").await;
    scene.bound("stays").await;
    scene.claims.patch("c", &PatchParams::default(), &no_finalizers()).await.unwrap();
    scene.delete_claim("c").await;
    scene.address_gone("p-10-0-0-1").await;
    scene.bound("stays").await;
    scene.in_order().await;
}

async fn d10_an_address_whose_claim_was_never_seen_is_not_released_as_the_api_server_has_that_claim(
    family: Family,
) {
    let mut scene = Scene::with_pool(family, "d10-stale", "10.0.0.1", "10.0.0.9").await;
    let second = Replica::start(&scene, "second", &ALONE).await;
    second.leads().await;
    let claims = second.proxy.hold_watch(scene.claims_resource());
    scene.create_claim("c").await;
    assert_eq!(scene.bound("c").await, "10.0.0.1");
    let uid = scene.addresses.get("p-10-0-0-1").await.unwrap().uid();
    scene.kill_controller();
    // Longer than the grace: it has lost its claim, as far as the watches say. So that is read.
    let read = Match::verb(Verb::Get).resource(scene.claims_resource()).name("c");
    second.proxy.seen(&read, 1).await.unwrap();
    // A claim that is served afterwards shows that the answer was acted on.
    let other = family.other();
    scene.create_claim_of(other, "next", "p", json!({})).await;
    assert_eq!(scene.bound_of(other, "next").await, "10.0.0.2");
    assert_eq!(second.proxy.count(&Match::verb(Verb::Delete)), 0);
    assert_eq!(scene.addresses.get("p-10-0-0-1").await.unwrap().uid(), uid);
    claims.release();
    scene.in_order().await;
}

async fn l2_a_claim_that_is_deleted_while_its_address_was_never_seen_leaves_nothing(family: Family) {
    let mut scene = Scene::with_pool(family, "l2", "10.0.0.1", "10.0.0.9").await;
    let second = Replica::start(&scene, "second", &ALONE).await;
    second.leads().await;
    let addresses = second.proxy.hold_watch(&scene.addresses_resource());
    let claims = second.proxy.hold_watch(scene.claims_resource());
    scene.create_claim("c").await;
    assert_eq!(scene.bound("c").await, "10.0.0.1");
    scene.kill_controller();
    scene.delete_claim("c").await;
    // Made, protected, bound, and asked to go.
    claims.buffered(4).await.unwrap();
    claims.release();
    scene.claim_gone("c").await;
    assert!(scene.addresses.get_opt("p-10-0-0-1").await.unwrap().is_none());
    // It was looked for, and not swept up once the claim was gone.
    let log = second.proxy.log();
    let first = |of: Match| log.iter().position(|entry| of.includes(&entry.call));
    let deleted = first(Match::verb(Verb::Delete).resource(&scene.addresses_resource()));
    let let_go = first(Match::verb(Verb::Patch).resource(scene.claims_resource()).body("remove"));
    assert!(deleted.is_some() && deleted < let_go, "{deleted:?} {let_go:?}");
    addresses.release();
    scene.create_claim("next").await;
    assert_eq!(scene.bound("next").await, "10.0.0.1");
    scene.in_order().await;
}

async fn l2_a_claim_that_is_deleted_while_the_watch_of_its_address_lags_leaves_nothing(family: Family) {
    let scene = Scene::with_pool(family, "lags", "10.0.0.1", "10.0.0.9").await;
    scene.create_claim("first").await;
    scene.bound("first").await;
    let held = scene.proxy.hold_watch(&scene.addresses_resource());
    scene.create_claim("c").await;
    scene.bound("c").await;
    scene.delete_claim("c").await;
    scene.claim_gone("c").await;
    assert!(scene.addresses.get_opt("p-10-0-0-2").await.unwrap().is_none());
    held.release();
    scene.create_claim("next").await;
    assert_eq!(scene.bound("next").await, "10.0.0.2");
    scene.in_order().await;
}

async fn d3_d7_claims_of_a_lagging_watch_get_one_address_each(family: Family) {
    let scene = Scene::with_pool(family, "d3", "10.0.0.1", "10.0.0.99").await;
    scene.create_claim("first").await;
    scene.bound("first").await;
    let (addresses, claims) = (
        scene.proxy.hold_watch(&scene.addresses_resource()),
        scene.proxy.hold_watch(scene.claims_resource()),
    );
    for n in 0..20 {
        scene.create_claim(&format!("c{n}")).await;
    }
    claims.buffered(20).await.unwrap();
    claims.release();
    for n in 0..20 {
        scene.bound(&format!("c{n}")).await;
    }
    // What it has written itself counts though no watch shows it: each claim has taken once, and come upon no name of another.
    assert_eq!(scene.proxy.count(&Match::verb(Verb::Post).resource(&scene.addresses_resource())), 21);
    addresses.release();
    scene.in_order().await;
}

async fn what_others_write_into_the_status_of_a_claim_outlives_each_publication(family: Family) {
    let scene = Scene::with_pool(family, "others", "10.0.0.1", "10.0.0.9").await;
    let pause = |value: Value| json!({"metadata": {"annotations": {"cluster.x-k8s.io/paused": value}}});
    scene.patch_pool("p", pause(json!(""))).await;
    scene.pool_is("p", "Paused").await;
    scene.create_claim("c").await;
    scene.refused("c", "PoolNotReady").await;
    let backup = json!({
        "type": "Backup", "status": "Unknown", "reason": "Never", "message": "not yet",
        "lastTransitionTime": "2024-01-01T00:00:00Z", "observedGeneration": 3,
    });
    let mut ops = vec![json!({"op": "add", "path": "/status/conditions/-", "value": backup})];
    if family == Family::Capi {
        let older =
            json!({"type": "Backup", "status": "Unknown", "lastTransitionTime": "2024-01-01T00:00:00Z"});
        let members = json!({"v1beta1": {"conditions": [older]}});
        ops.push(json!({"op": "add", "path": "/status/deprecated", "value": members}));
    }
    let patch: Patch<Value> = Patch::Json(serde_json::from_value(json!(ops)).unwrap());
    scene.claims.patch_status("c", &PatchParams::default(), &patch).await.unwrap();
    let theirs = |status: &Value| {
        let conditions = status["conditions"].as_array().unwrap().iter();
        let conditions: Vec<Value> =
            conditions.filter(|condition| condition["type"] != "Ready").cloned().collect();
        (conditions, status["deprecated"].clone())
    };
    let written = theirs(&scene.status("c").await);
    assert_eq!(written.0, [backup]);
    assert_eq!(written.1.is_null(), family == Family::Metal3);
    scene.patch_pool("p", pause(Value::Null)).await;
    scene.bound("c").await;
    assert_eq!(ready(&scene.claims.get("c").await.unwrap()).unwrap()["status"], "True");
    assert_eq!(theirs(&scene.status("c").await), written);
}

async fn s14_nothing_is_written_when_nothing_changes(family: Family) {
    let scene = Scene::with_pool(family, "s14", "10.0.0.1", "10.0.0.2").await;
    for name in ["a", "b"] {
        scene.create_claim(name).await;
        scene.bound(name).await;
    }
    scene.create_claim("c").await;
    scene.refused("c", "PoolExhausted").await;
    scene.in_order().await;
    scene.pool_is("p", "Exhausted").await;
    let before = scene.proxy.count(&Match::writes());
    // That nothing happens cannot be waited for; only time can pass.
    tokio::time::sleep(std::time::Duration::from_secs(30)).await;
    assert_eq!(scene.proxy.count(&Match::writes()), before);
}

#[tokio::test]
async fn a_pool_keeps_the_owner_and_the_label_that_look_like_ours_and_are_not() {
    let mut scene = Scene::new("owners").await;
    let cluster = scene.create_cluster(false).await;
    let theirs = json!({"apiVersion": "other.example/v1", "kind": "Cluster", "name": "k", "uid": "x"});
    let metadata = json!({
        "name": "p", "ownerReferences": [theirs],
        "labels": {"cluster.x-k8s.io/watch-filter": "theirs", "cluster.x-k8s.io/cluster-name": "k"},
    });
    let spec = json!({
        "clusterName": "k", "namePrefix": "p", "pools": [{"start": "10.0.0.1", "end": "10.0.0.1"}],
    });
    scene.create(Kind::Pool, &metadata, &spec, &Value::Null).await;
    scene.start_controller();
    scene.create_claim("c").await;
    scene.bound("c").await;
    let dressed = || async {
        let meta = scene.pools.get("p").await.unwrap().metadata;
        let owners = meta.owner_references.unwrap_or_default();
        (owners.len() > 1).then(|| (json!(owners), json!(meta.labels)))
    };
    let (owners, labels) = scene.until("the pool has another owner", dressed).await;
    assert_eq!(owners, json!([theirs, owner(Kind::Cluster, &cluster, json!(false))]));
    let all = json!({
        "cluster.x-k8s.io/watch-filter": "theirs", "cluster.x-k8s.io/cluster-name": "k",
        "cluster.x-k8s.io/provider": "ipam-metal3",
    });
    assert_eq!(labels, all);
    scene.in_order().await;
}

/// The API server takes it for a time, and nobody can count it.
const NO_TIME: &str = "9999-12-31T23:59:59Z";

#[tokio::test]
async fn what_others_write_for_a_time_or_a_name_keeps_nobody_from_being_served() {
    let mut scene = Scene::with_pool(Family::Metal3, "nonsense", "10.0.0.1", "10.0.0.9").await;
    let (pools, claims) = (Kind::Pool, Kind::Claim(Family::Metal3));
    scene.create_claim("a").await;
    scene.bound("a").await;
    scene.in_order().await;
    scene.kill_controller();
    let others = json!([{
        "type": "Other", "status": "True", "reason": "r", "message": "", "lastTransitionTime": NO_TIME,
    }]);
    scene.set_status(pools, "p", &json!({"lastUpdated": NO_TIME, "conditions": others})).await;
    scene.set_status(claims, "a", &json!({ "conditions": others })).await;
    // What a name leads to that is none: to all objects there are.
    for name in ["b", "c"] {
        scene.create_claim_with(name, "p", json!({"finalizers": [claims.finalizer()]})).await;
        scene.set_status(claims, name, &json!({"address": {"name": "?"}})).await;
    }
    scene.delete_claim("c").await;

    // All is listed as a stream, and in pages.
    scene.start_controller();
    let bound = || async {
        let name = crate::scene::published(&scene.claims.get("b").await.unwrap());
        name.filter(|name| name != "?")
    };
    let name = scene.until("the claim has an address object", bound).await;
    assert_eq!(name, "p-10-0-0-2");
    scene.kill_controller();
    scene.set_status(pools, "p", &json!({"lastUpdated": NO_TIME, "conditions": others})).await;
    scene.proxy.add(Rule::new(Match::first_list(), Action::AnswerBefore(Reply::invalid())));
    scene.start_controller();
    scene.create_claim("d").await;
    assert_eq!(scene.bound("d").await, "10.0.0.3");
    assert_eq!(scene.bound("a").await, "10.0.0.1");
    assert!(scene.claims.get_opt("c").await.unwrap().is_none());
    scene.in_order().await;
}
