//! A namespace with pools and claims.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures::StreamExt;
use ipam::api::{Family, IPAddress, IPPool, Kind, address_name};
use ipam::apply::{Applier, connect};
use ipam::ledger::{Id, Uid};
use kube::api::{DeleteParams, DynamicObject, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use testbed::ControlPlane;

use crate::AT_ONCE;
use crate::layout::Layout;

pub struct Scene<'a> {
    pub plane: &'a ControlPlane,
    pub client: Client,
    namespace: String,
    pub family: Family,
    pub layout: Layout,
    pub applier: Applier,
    pools: Vec<(String, Uid)>,
}

impl<'a> Scene<'a> {
    /// A namespace with its pools.
    pub async fn new(plane: &'a ControlPlane, family: Family, layout: Layout) -> Self {
        let namespace = plane.create_namespace("bench").await.expect("a namespace");
        let client = connect(plane.config()).expect("the CA that was made at the start can be read");
        let applier = Applier::new(client.clone(), "bench", Duration::from_mins(1));
        let api: Api<IPPool> = Api::namespaced(client.clone(), &namespace);
        let mut pools = Vec::new();
        for n in 0..layout.pools() {
            let name = layout.pool_of(n);
            let pool = json!({
                "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": name}, "spec": layout.spec(n),
            });
            let pool = serde_json::from_value(pool).expect("a pool");
            let pool = api.create(&PostParams::default(), &pool).await.expect("the pool can be made");
            pools.push((name, Uid::new(&pool.uid().unwrap_or_default())));
        }
        Self { plane, client, namespace, family, layout, applier, pools }
    }

    /// The pool of the n-th claim: its name and its UID.
    pub fn pool_of(&self, n: usize) -> &(String, Uid) {
        &self.pools[n % self.pools.len()]
    }

    pub fn claims(&self) -> Api<DynamicObject> {
        self.of_kind(Kind::Claim(self.family))
    }

    pub fn of_kind(&self, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &kind.resource().described())
    }

    pub fn claim_id(&self, claim: &DynamicObject) -> Id {
        Id::new(Kind::Claim(self.family), &self.namespace, &claim.name_any())
    }

    /// Claims that nobody serves yet, in the order in which they are made.
    pub async fn create_claims(&self, prefix: &str, count: usize, bare: bool) -> Vec<DynamicObject> {
        let made = futures::stream::iter(0..count).map(|n| {
            let (claims, claim) = (self.claims(), self.claim(prefix, n, bare));
            async move { claims.create(&PostParams::default(), &claim).await.expect("a claim can be made") }
        });
        made.buffered(AT_ONCE).collect().await
    }

    fn claim(&self, prefix: &str, n: usize, bare: bool) -> DynamicObject {
        let kind = Kind::Claim(self.family);
        let finalizers: Vec<&str> = kind.finalizer().into_iter().filter(|_| !bare).collect();
        let pool = self.layout.pool_of(n);
        let spec = match self.family {
            Family::Metal3 => json!({"pool": {"name": pool}}),
            Family::Capi => {
                json!({"poolRef": {"apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": pool}})
            }
        };
        let claim = json!({
            "apiVersion": kind.resource().api_version(), "kind": kind.name(),
            "metadata": {"name": format!("{prefix}-{n:06}"), "finalizers": finalizers}, "spec": spec,
        });
        serde_json::from_value(claim).expect("a claim")
    }

    /// Address objects as a person makes them, for the first `count` addresses: nobody else can have these.
    pub async fn occupy(&self, count: usize) {
        let api: Api<IPAddress> = Api::namespaced(self.client.clone(), &self.namespace);
        let made = futures::stream::iter(0..count).map(|n| {
            let (ip, (pool, _)) = (self.layout.address(n), self.pool_of(n));
            let address = json!({
                "metadata": {"name": address_name(pool, ip)},
                "spec": {"address": ip, "prefix": self.layout.prefix(), "pool": {"name": pool, "namespace": self.namespace},
                         "claim": {"name": format!("host-{n}"), "namespace": self.namespace}},
            });
            let (api, address) = (api.clone(), serde_json::from_value(address).expect("an address"));
            async move { api.create(&PostParams::default(), &address).await.map(drop).expect("it can be made") }
        });
        made.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    }

    /// Starts whoever serves the claims; it ends when the guard is dropped.
    pub fn start(&self, command: &str) -> Served {
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(format!("exec {command}"))
            .env("KUBECONFIG", self.plane.kubeconfig())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Served(self.plane.spawn(&mut shell).expect("the command starts"))
    }

    pub async fn delete(&self, claims: &[DynamicObject]) {
        let work = futures::stream::iter(claims).map(|claim| self.delete_one(claim));
        work.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    }

    pub async fn delete_one(&self, claim: &DynamicObject) {
        let deleted = self.claims().delete(&claim.name_any(), &DeleteParams::default()).await;
        drop(deleted.expect("a claim can be deleted"));
    }
}

/// A process that serves claims. Dropping it is a SIGKILL: nothing is tidied up.
pub struct Served(Child);

impl Served {
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
