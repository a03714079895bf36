//! A namespace with a pool and claims, and what is seen of them.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use ipam::api::{Family, IPPool, Kind};
use ipam::apply::{Applier, connect};
use ipam::ledger::{Id, Uid};
use kube::api::{ApiResource, DeleteParams, DynamicObject, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use testbed::ControlPlane;

use crate::AT_ONCE;

pub struct Scene<'a> {
    plane: &'a ControlPlane,
    client: Client,
    pub namespace: String,
    pub family: Family,
    pub applier: Applier,
    pub pool_uid: Uid,
}

impl<'a> Scene<'a> {
    /// A namespace with the pool `p`.
    pub async fn new(plane: &'a ControlPlane, family: Family) -> Self {
        let namespace = plane.create_namespace("bench").await.expect("a namespace");
        let client = connect(plane.config()).expect("the CA that was made at the start can be read");
        let applier = Applier::new(client.clone(), "bench", Duration::from_mins(1));
        let pools: Api<IPPool> = Api::namespaced(client.clone(), &namespace);
        let pool = json!({
            "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": "p"},
            "spec": {"namePrefix": "p", "pools": [{"subnet": "10.0.0.0/8"}], "prefix": 8, "gateway": "10.0.0.1",
                     "allocationStrategy": "sequential"},
        });
        let pool = serde_json::from_value(pool).expect("a pool");
        let pool = pools.create(&PostParams::default(), &pool).await.expect("the pool can be made");
        let pool_uid = Uid::new(&pool.uid().unwrap_or_default());
        Self { plane, client, namespace, family, applier, pool_uid }
    }

    pub fn claims(&self) -> Api<DynamicObject> {
        let resource = Kind::Claim(self.family).resource();
        let description = ApiResource {
            group: resource.group.to_owned(),
            version: resource.version.to_string(),
            api_version: resource.api_version(),
            kind: resource.kind.to_owned(),
            plural: resource.plural.to_owned(),
        };
        Api::namespaced_with(self.client.clone(), &self.namespace, &description)
    }

    pub fn claim_id(&self, claim: &DynamicObject) -> Id {
        Id::new(Kind::Claim(self.family), &self.namespace, &claim.name_any())
    }

    /// Claims that nobody serves yet, in the order in which they are made.
    pub async fn create_claims(&self, count: usize, bare: bool) -> Vec<DynamicObject> {
        let made = futures::stream::iter(0..count).map(|n| {
            let (claims, claim) = (self.claims(), self.claim(n, bare));
            async move { claims.create(&PostParams::default(), &claim).await.expect("a claim can be made") }
        });
        made.buffered(AT_ONCE).collect().await
    }

    fn claim(&self, n: usize, bare: bool) -> DynamicObject {
        let kind = Kind::Claim(self.family);
        let finalizers: Vec<&str> = kind.finalizer().into_iter().filter(|_| !bare).collect();
        let spec = match self.family {
            Family::Metal3 => json!({"pool": {"name": "p"}}),
            Family::Capi => {
                json!({"poolRef": {"apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": "p"}})
            }
        };
        let claim = json!({
            "apiVersion": kind.resource().api_version(), "kind": kind.name(),
            "metadata": {"name": format!("claim-{n:06}"), "finalizers": finalizers}, "spec": spec,
        });
        serde_json::from_value(claim).expect("a claim")
    }

    pub fn start(&self, command: &str) -> Child {
        Command::new("sh")
            .arg("-c")
            .arg(format!("exec {command}"))
            .env("KUBECONFIG", self.plane.kubeconfig())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the command starts")
    }

    pub async fn delete(&self, claims: &[DynamicObject]) {
        let api = self.claims();
        let work = futures::stream::iter(claims).map(|claim| {
            let api = api.clone();
            async move {
                drop(
                    api.delete(&claim.name_any(), &DeleteParams::default()).await.expect("it can be deleted"),
                );
            }
        });
        work.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    }
}

/// When each claim was seen to publish its address, in order.
pub async fn bound_times(claims: Api<DynamicObject>, count: usize, start: Instant) -> Vec<Duration> {
    let mut events = std::pin::pin!(watcher(claims, watcher::Config::default()).default_backoff());
    let mut times = BTreeMap::new();
    while times.len() < count {
        if let Some(watcher::Event::Apply(claim) | watcher::Event::InitApply(claim)) =
            events.try_next().await.expect("the watch goes on")
            && is_bound(&claim.data["status"])
        {
            times.entry(claim.name_any()).or_insert_with(|| start.elapsed());
        }
    }
    let mut times: Vec<Duration> = times.into_values().collect();
    times.sort_unstable();
    times
}

fn is_bound(status: &Value) -> bool {
    ["address", "addressRef"].iter().any(|field| status[*field]["name"].is_string())
}

/// When the last claim was seen to be gone.
pub async fn gone_time(claims: Api<DynamicObject>, start: Instant) -> Duration {
    let mut events = std::pin::pin!(watcher(claims, watcher::Config::default()).default_backoff());
    let mut left = BTreeSet::new();
    let mut listed = false;
    while !listed || !left.is_empty() {
        match events.try_next().await.expect("the watch goes on") {
            Some(watcher::Event::Apply(claim) | watcher::Event::InitApply(claim)) => {
                left.insert(claim.name_any());
            }
            Some(watcher::Event::Delete(claim)) => {
                left.remove(&claim.name_any());
            }
            Some(watcher::Event::InitDone) => listed = true,
            Some(watcher::Event::Init) | None => {}
        }
    }
    start.elapsed()
}
