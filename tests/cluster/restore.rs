//! Objects that come back from a backup: under new UIDs, and with only a part of what they were.

use std::collections::BTreeMap;

use ipam::api::{Family, Kind};
use kube::ResourceExt;
use kube::api::{DynamicObject, ListParams};
use serde_json::{Value, json};

use crate::scene::{Scene, for_both_families};

for_both_families!(
    a_claim_that_comes_back_keeps_its_address,
    claims_that_come_back_before_their_pool_keep_their_addresses,
    claims_without_addresses_are_completed_and_addresses_without_claims_are_released,
);

const NAMES: [&str; 3] = ["a", "b", "c"];

/// What comes back of each object, and when.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each part is kept or lost on its own")]
struct Backup {
    status: bool,
    /// With owner references, which name UIDs that do not exist any more: the garbage collector acts on them.
    owners: bool,
    finalizers: bool,
    /// Claims before addresses before the pool; else the other way round.
    claims_first: bool,
}

impl Backup {
    fn all() -> impl Iterator<Item = Self> {
        let bit = |n: u8, at: u8| n & (1 << at) != 0;
        (0..16).map(move |n| Self {
            status: bit(n, 0),
            owners: bit(n, 1),
            finalizers: bit(n, 2),
            claims_first: bit(n, 3),
        })
    }

    /// Whether the garbage collector may delete an address before anybody could know whose it was.
    fn is_hopeless(self) -> bool {
        self.owners && !self.finalizers && !self.status
    }

    /// An object as it is brought back.
    fn metadata(self, object: &DynamicObject) -> Value {
        let meta = &object.metadata;
        let mut metadata = json!({"name": meta.name, "labels": meta.labels, "annotations": meta.annotations});
        if self.finalizers {
            metadata["finalizers"] = json!(meta.finalizers);
        }
        if self.owners {
            metadata["ownerReferences"] = json!(meta.owner_references);
        }
        metadata
    }
}

/// A pool with a bound claim of each name.
async fn scene(family: Family, name: &str) -> Scene {
    let mut scene = Scene::of(family, name).await;
    scene.start_controller();
    // Large, so that nobody gets the address that it had by chance.
    let spec = json!({"pools": [{"subnet": "10.0.0.0/12"}], "allocationStrategy": "random"});
    scene.create_pool("p", &spec).await;
    for name in NAMES {
        scene.create_claim(name).await;
    }
    scene
}

/// The addresses of all claims.
async fn bound(scene: &Scene) -> BTreeMap<&'static str, String> {
    let mut bound = BTreeMap::new();
    for name in NAMES {
        bound.insert(name, scene.bound(name).await);
    }
    scene.comes_in_order().await;
    bound
}

/// The objects that are in a backup, claims first.
async fn saved(scene: &Scene) -> Vec<(Kind, DynamicObject)> {
    let mut saved = Vec::new();
    for kind in [Kind::Claim(scene.family), Kind::Address(scene.family), Kind::Pool] {
        let objects = scene.of_kind(kind).list(&ListParams::default()).await.unwrap().items;
        saved.extend(objects.into_iter().map(|object| (kind, object)));
    }
    saved
}

/// The controller is stopped, and all is lost.
async fn disaster(scene: &mut Scene) -> Vec<(Kind, DynamicObject)> {
    scene.kill_controller();
    let saved = saved(scene).await;
    for (kind, object) in saved.iter().rev() {
        scene.tear_away(*kind, &object.name_any()).await;
    }
    saved
}

async fn bring_back(scene: &Scene, backup: Backup, kind: Kind, object: &DynamicObject) {
    let status = if backup.status { &object.data["status"] } else { &Value::Null };
    scene.create(kind, &backup.metadata(object), &object.data["spec"], status).await;
}

async fn a_claim_that_comes_back_keeps_its_address(family: Family) {
    let mut scene = scene(family, "restore").await;
    let mut before = bound(&scene).await;
    for backup in Backup::all() {
        let mut saved = disaster(&mut scene).await;
        if !backup.claims_first {
            saved.reverse();
        }
        for (kind, object) in &saved {
            bring_back(&scene, backup, *kind, object).await;
        }
        scene.start_controller();
        let after = bound(&scene).await;
        assert!(backup.is_hopeless() || after == before, "{backup:?}: {after:?}, and it was {before:?}");
        before = after;
    }
    scene.in_order().await;
}

async fn claims_that_come_back_before_their_pool_keep_their_addresses(family: Family) {
    let mut scene = scene(family, "pool-last").await;
    let before = bound(&scene).await;
    let saved = disaster(&mut scene).await;
    scene.start_controller();
    let backup = Backup { status: false, owners: false, finalizers: true, claims_first: true };
    for (kind, object) in &saved {
        if *kind == Kind::Pool {
            for name in NAMES {
                scene.refused(name, "PoolNotReady").await;
            }
        }
        bring_back(&scene, backup, *kind, object).await;
    }
    assert_eq!(bound(&scene).await, before);
    scene.in_order().await;
}

async fn claims_without_addresses_are_completed_and_addresses_without_claims_are_released(family: Family) {
    let mut scene = scene(family, "part").await;
    let before = bound(&scene).await;
    let saved = disaster(&mut scene).await;
    let backup = Backup { status: true, owners: false, finalizers: true, claims_first: false };
    let (claim, address) = (Kind::Claim(family), Kind::Address(family));
    for (kind, object) in saved.iter().rev() {
        let name = object.name_any();
        let of_b = object.data["spec"]["address"] == json!(before["b"]);
        if *kind == Kind::Pool || (*kind == claim && name == "a") || (*kind == address && of_b) {
            bring_back(&scene, backup, *kind, object).await;
        }
    }
    scene.start_controller();
    assert_eq!(scene.bound("a").await, before["a"]);
    scene.address_gone(&format!("p-{}", before["b"].replace('.', "-"))).await;
    scene.in_order().await;
}
