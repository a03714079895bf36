//! Two controllers side by side that share the work: by namespace, or by the watch-filter label in one namespace.

use ipam::api::{Family, Kind};
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use testbed::proxy::Match;

use crate::history::{History, Writers};
use crate::replica::{Replica, grant_lease, holder};
use crate::scene::Scene;

const COLOURS: [&str; 2] = ["red", "blue"];

fn labelled(colour: &str) -> Value {
    json!({"labels": {"cluster.x-k8s.io/watch-filter": colour}})
}

/// A pool whose name, and whose addresses' names, are its colour's. All have the same addresses.
async fn create_pool(scene: &Scene, colour: &str) {
    let spec = json!({"namePrefix": colour, "pools": [{"start": "10.0.0.1", "end": "10.0.0.4"}]});
    let mut metadata = labelled(colour);
    metadata["name"] = json!(colour);
    scene.create(Kind::Pool, &metadata, &spec, &Value::Null).await;
}

/// Two claims of each kind in each pool; each shard serves its own.
async fn claims_come_and_some_go(scenes: [&Scene; 2]) {
    for (scene, colour) in scenes.into_iter().zip(COLOURS) {
        for (family, n) in Family::ALL.into_iter().flat_map(|family| [(family, 0), (family, 1)]) {
            scene.create_claim_of(family, &format!("{colour}-{n}"), colour, labelled(colour)).await;
        }
    }
    for (scene, colour) in scenes.into_iter().zip(COLOURS) {
        for family in Family::ALL {
            for n in 0..2 {
                scene.bound_of(family, &format!("{colour}-{n}")).await;
            }
            let claims = scene.of_kind(Kind::Claim(family));
            claims.delete(&format!("{colour}-0"), &DeleteParams::default()).await.unwrap();
            let look =
                || async { claims.get_opt(&format!("{colour}-0")).await.unwrap().is_none().then_some(()) };
            scene.until("the claim is gone", look).await;
        }
        scene.pool_is(colour, "Available").await;
        scene.in_order().await;
    }
}

/// Neither has asked for any change of what is the other's.
fn kept_apart(shards: &[Replica; 2]) {
    for (shard, (own, other)) in shards.iter().zip([("red", "blue"), ("blue", "red")]) {
        assert!(shard.proxy.count(&Match::writes().name(own)) >= 10, "{}", shard.log());
        assert_eq!(shard.proxy.count(&Match::writes().name(other)), 0, "{}", shard.log());
    }
}

#[tokio::test]
async fn two_shards_by_namespace_serve_their_own_and_touch_nothing_of_each_other() {
    let scenes = [Scene::new("shard-red").await, Scene::new("shard-blue").await];
    for (scene, colour) in scenes.iter().zip(COLOURS) {
        grant_lease(scene).await;
        create_pool(scene, colour).await;
    }
    let shards = [Replica::candidate(&scenes[0], "red").await, Replica::candidate(&scenes[1], "blue").await];
    claims_come_and_some_go([&scenes[0], &scenes[1]]).await;
    kept_apart(&shards);
    for (shard, scene) in shards.iter().zip(&scenes) {
        let elsewhere = shard
            .proxy
            .log()
            .into_iter()
            .find(|entry| !entry.call.namespace.is_empty() && entry.call.namespace != scene.namespace);
        assert!(elsewhere.is_none(), "{elsewhere:?}");
    }
}

#[tokio::test]
async fn two_shards_by_label_serve_their_own_in_one_namespace_and_touch_nothing_of_each_other() {
    let scene = Scene::new("shards").await;
    let history = History::begin(&scene).await;
    // Each has its lease where it lives.
    let homes = [Scene::new("home-red").await, Scene::new("home-blue").await];
    for (home, colour) in homes.iter().zip(COLOURS) {
        grant_lease(home).await;
        create_pool(&scene, colour).await;
    }
    let start = async |at: usize| {
        let flags = ["--leader-elect", "--watch-filter", COLOURS[at]];
        Replica::at_home(&homes[at], &scene, COLOURS[at], &flags).await
    };
    let shards = [start(0).await, start(1).await];
    // A claim of one on a pool of the other is served by nobody, and nobody else's claim by either.
    scene.create_claim_of(Family::Metal3, "red-stray", "blue", labelled("red")).await;
    scene.create_claim_of(Family::Metal3, "nobodys", "red", json!({})).await;
    claims_come_and_some_go([&scene, &scene]).await;
    let why = scene.refused("red-stray", "PoolNotReady").await;
    assert_eq!(why, format!("There is no pool \"blue\" in namespace \"{}\"", scene.namespace));
    assert_eq!(scene.status("nobodys").await, Value::Null);
    kept_apart(&shards);
    history.judge(&scene, Writers::One).await;
}

#[tokio::test]
async fn s4_two_shards_with_one_prefix_and_the_same_addresses_share_them() {
    let scene = Scene::new("shards-same").await;
    for colour in COLOURS {
        let pool = json!({
            "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool",
            "metadata": {"name": colour, "labels": labelled(colour)["labels"]},
            "spec": {"namePrefix": "same", "pools": [{"start": "10.0.0.1", "end": "10.0.0.8"}], "allocationStrategy": "sequential"},
        });
        scene.pools.create(&PostParams::default(), &serde_json::from_value(pool).unwrap()).await.unwrap();
    }
    let flags = |colour| ["--ignore-leader", "--watch-filter", colour];
    let _red = Replica::start(&scene, "red", &flags("red")).await;
    let _blue = Replica::start(&scene, "blue", &flags("blue")).await;
    for n in 0..4 {
        for colour in COLOURS {
            scene.create_claim_with(&format!("{colour}-{n}"), colour, labelled(colour)).await;
        }
    }
    let mut addresses = std::collections::BTreeSet::new();
    for n in 0..4 {
        for colour in COLOURS {
            addresses.insert(scene.bound(&format!("{colour}-{n}")).await);
        }
    }
    assert_eq!(addresses.len(), 8);
}

#[tokio::test]
async fn two_shards_that_live_in_one_namespace_have_one_lease_and_one_of_them_stands_by() {
    let scene = Scene::new("shards-one").await;
    grant_lease(&scene).await;
    create_pool(&scene, "red").await;
    let flags = |colour| ["--leader-elect", "--watch-filter", colour];
    let red = Replica::start(&scene, "red", &flags("red")).await;
    red.leads().await;
    let first = holder(&scene).await;
    let blue = Replica::start(&scene, "blue", &flags("blue")).await;
    blue.stands_by().await;
    assert_eq!(holder(&scene).await, first);
    assert_eq!(blue.writes(), 0);
}
