//! What people do meanwhile. Each change of theirs leaves a mark, by which it is told from a controller's.

use futures::future::join_all;
use ipam::api::{Family, Kind};
use kube::ResourceExt;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions};
use rand::RngExt;
use rand::rngs::SmallRng;
use serde_json::{Value, json};

use super::tally::Tally;
use crate::history::{BY_HAND, Writers};
use crate::scene::Scene;

/// Claims of each family; more than there are addresses.
const NAMES: usize = 14;
/// Somebody else's.
const THEIRS: &str = "theirs.example.com/holds";

/// The pools, smaller than the claims are many.
pub async fn make_pools(scene: &Scene, rng: &mut SmallRng) {
    let strategy = if rng.random_bool(0.5) { "random" } else { "sequential" };
    let spec = json!({
        "pools": [{"start": "10.0.0.1", "end": "10.0.0.5"}, {"start": "10.0.1.1", "end": "10.0.1.5", "prefix": 25}],
        "prefix": 24, "gateway": "10.0.0.254", "dnsServers": ["1.1.1.1"], "preAllocations": {"c3": "10.0.1.2"},
        "excludedAddresses": ["10.0.0.3"], "allocationStrategy": strategy,
    });
    scene.create_pool("p", &spec).await;
    let spec = json!({"pools": [{"start": "fd00::1", "end": "fd00::6", "prefix": 64}], "allocationStrategy": strategy});
    scene.create_pool("q", &spec).await;
    let theirs = json!({"apiGroup": "ipam.cluster.x-k8s.io", "kind": "InClusterIPPool", "name": "p"});
    let spec =
        json!({"address": "10.0.0.1", "prefix": 24, "claimRef": {"name": "theirs"}, "poolRef": theirs});
    let address = Kind::Address(Family::Capi);
    scene.create(address, &json!({"name": "p-10-0-0-1"}), &spec, &Value::Null).await;
    let spec = json!({ "poolRef": theirs });
    scene.create(Kind::Claim(Family::Capi), &json!({"name": "theirs"}), &spec, &Value::Null).await;
}

pub struct People {
    marks: u64,
    tally: Tally,
    /// Whether addresses are torn away: where several controllers write at once, nobody can know then whose an address is.
    tears: bool,
}

impl People {
    pub fn new(tally: Tally, writers: Writers) -> Self {
        Self { marks: 0, tally, tears: writers == Writers::One }
    }

    /// Somebody does something. That the API server may be away is known to them.
    pub async fn meddle(&mut self, scene: &Scene, rng: &mut SmallRng) {
        let family = Family::ALL[rng.random_range(0..2)];
        let (kind, name) = (Kind::Claim(family), format!("c{}", rng.random_range(0..NAMES)));
        let what = match rng.random_range(0..20) {
            0..8 => self.create(scene, rng).await,
            8..12 => self.delete(scene, kind, &name).await,
            12 => {
                self.delete(scene, kind, &name).await;
                self.create_one(scene, family, &name, rng).await
            }
            13 | 14 => self.let_go(scene).await,
            15 => self.strip(scene, kind, &name, rng).await,
            16 => {
                self.edit(
                    scene,
                    kind,
                    &name,
                    json!({"metadata": {"labels": {"edited": "yes"}}}),
                    "labels edited",
                )
                .await
            }
            17 => self.remove_address(scene, rng).await,
            18 => self.grow(scene, rng).await,
            _ => self.pause(scene, rng.random_bool(0.4)).await,
        };
        self.tally.add("people", what, 1);
    }

    async fn create(&mut self, scene: &Scene, rng: &mut SmallRng) -> &'static str {
        let few = rng.random_range(1..7);
        let some: Vec<_> = (0..few)
            .map(|_| {
                let (family, name) =
                    (Family::ALL[rng.random_range(0..2)], format!("c{}", rng.random_range(0..NAMES)));
                let (pool, metadata) = claim(&name, rng);
                async move { scene.try_create_claim(family, &name, pool, metadata).await.is_ok() }
            })
            .collect();
        let made = join_all(some).await.into_iter().filter(|made| *made).count();
        self.tally.add("what came of it", "claims made", made);
        "claims created, a few at once"
    }

    async fn create_one(
        &mut self,
        scene: &Scene,
        family: Family,
        name: &str,
        rng: &mut SmallRng,
    ) -> &'static str {
        let (pool, metadata) = claim(name, rng);
        let made = scene.try_create_claim(family, name, pool, metadata).await.is_ok();
        self.tally.add("what came of it", "claims made", made.into());
        "claim deleted and made anew"
    }

    async fn delete(&mut self, scene: &Scene, kind: Kind, name: &str) -> &'static str {
        drop(scene.of_kind(kind).delete(name, &DeleteParams::default()).await);
        "claim deleted"
    }

    /// A change by hand, with its mark.
    async fn edit(
        &mut self,
        scene: &Scene,
        kind: Kind,
        name: &str,
        mut patch: Value,
        what: &'static str,
    ) -> &'static str {
        patch["metadata"]["annotations"][BY_HAND] = self.mark();
        drop(scene.of_kind(kind).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await);
        what
    }

    fn mark(&mut self) -> Value {
        self.marks += 1;
        json!(self.marks.to_string())
    }

    /// Whoever else holds claims lets them go.
    async fn let_go(&mut self, scene: &Scene) -> &'static str {
        for family in Family::ALL {
            let kind = Kind::Claim(family);
            for claim in list(scene, kind).await {
                let mut finalizers = claim.finalizers().to_vec();
                finalizers.retain(|text| text != THEIRS);
                if finalizers.len() < claim.finalizers().len() {
                    let version = claim.resource_version();
                    let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": version}});
                    self.edit(scene, kind, &claim.name_any(), patch, "").await;
                }
            }
        }
        "others' finalizers removed"
    }

    async fn strip(&mut self, scene: &Scene, kind: Kind, name: &str, rng: &mut SmallRng) -> &'static str {
        self.edit(scene, kind, name, json!({"metadata": {"finalizers": null}}), "").await;
        if rng.random_bool(0.7) {
            self.delete(scene, kind, name).await;
            return "claim stripped and deleted";
        }
        "claim stripped"
    }

    /// By the book, or by force.
    async fn remove_address(&mut self, scene: &Scene, rng: &mut SmallRng) -> &'static str {
        let kind = Kind::Address(Family::ALL[rng.random_range(0..2)]);
        let mut ours = list(scene, kind).await;
        ours.retain(|address| !crate::scene::pool_of(address).is_empty());
        if ours.is_empty() || !self.tears {
            return "nothing found to do";
        }
        let name = ours[rng.random_range(0..ours.len())].name_any();
        let by_force = rng.random_bool(0.5);
        let mut patch = json!({"metadata": {"annotations": {BY_HAND: self.mark()}}});
        if by_force {
            patch["metadata"]["finalizers"] = Value::Null;
        }
        let objects = scene.of_kind(kind);
        let marked = objects.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await;
        // What bears no mark would count as a controller's deed, and another of its name bears none.
        let Ok(Some(uid)) = marked.map(|address| address.uid()) else { return "nothing found to do" };
        let deletion =
            DeleteParams::default().preconditions(Preconditions { uid: Some(uid), resource_version: None });
        drop(objects.delete(&name, &deletion).await);
        if by_force { "address torn away" } else { "address deleted" }
    }

    async fn grow(&mut self, scene: &Scene, rng: &mut SmallRng) -> &'static str {
        let end = format!("fd00::{}", rng.random_range(6..9));
        let Ok(Some(pool)) = scene.of_kind(Kind::Pool).get_opt("q").await else {
            return "nothing found to do";
        };
        if pool.data["spec"]["pools"][0]["end"].as_str() > Some(&end) {
            return "nothing found to do";
        }
        let entries = json!([{"start": "fd00::1", "end": end, "prefix": 64}]);
        self.edit(scene, Kind::Pool, "q", json!({"spec": {"pools": entries}}), "pool grown").await
    }

    async fn pause(&mut self, scene: &Scene, paused: bool) -> &'static str {
        let value = if paused { json!("") } else { Value::Null };
        let patch = json!({"metadata": {"annotations": {"cluster.x-k8s.io/paused": value}}});
        self.edit(scene, Kind::Pool, "p", patch, if paused { "pool paused" } else { "pool resumed" }).await
    }

    /// They leave: nothing is paused, and nothing is held. A change of theirs may meet one of a controller, or of the last
    /// of the storm, and fail; so they look whether it is so.
    pub async fn leave(&mut self, scene: &Scene) {
        let leave = async {
            while !has_left(scene).await.unwrap_or(false) {
                self.pause(scene, false).await;
                self.let_go(scene).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_mins(1), leave).await.expect("people can leave");
    }
}

/// Whether nothing is paused, and nothing held.
async fn has_left(scene: &Scene) -> kube::Result<bool> {
    let mut held = Vec::new();
    for family in Family::ALL {
        held.extend(scene.of_kind(Kind::Claim(family)).list(&ListParams::default()).await?.items);
    }
    held.retain(|claim| claim.finalizers().iter().any(|text| text == THEIRS));
    let pool = scene.of_kind(Kind::Pool).get("p").await?;
    Ok(held.is_empty() && !pool.annotations().contains_key("cluster.x-k8s.io/paused"))
}

/// What a claim asks for: a pool, and its metadata.
fn claim(name: &str, rng: &mut SmallRng) -> (&'static str, Value) {
    let mut metadata = json!({"labels": {"of": name}, "annotations": {"example.com/theirs": name}});
    if rng.random_bool(0.15) {
        metadata["finalizers"] = json!([THEIRS]);
    }
    if rng.random_bool(0.1) {
        metadata["annotations"]["ipAddress"] = json!(format!("10.0.1.{}", rng.random_range(1..7)));
    }
    (if rng.random_bool(0.6) { "p" } else { "q" }, metadata)
}

async fn list(scene: &Scene, kind: Kind) -> Vec<DynamicObject> {
    scene.of_kind(kind).list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default()
}
