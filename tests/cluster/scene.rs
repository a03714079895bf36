//! What the tests share: one control plane, and for each test a namespace, a proxy and a controller of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipam::api::{IPAddress, IPClaim, IPPool};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use testbed::ControlPlane;
use testbed::proxy::Proxy;
use tokio::sync::OnceCell;

/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_mins(1);

pub struct Scene {
    pub plane: Arc<ControlPlane>,
    pub proxy: Proxy,
    pub namespace: String,
    pub pools: Api<IPPool>,
    pub claims: Api<IPClaim>,
    pub addresses: Api<IPAddress>,
    /// Of the shipped account.
    pub token: String,
    controller: Option<Child>,
}

/// The control plane with the CRDs, Cluster API's Cluster among them, and the controller's account and role.
pub async fn plane() -> Arc<ControlPlane> {
    static PREPARED: OnceCell<()> = OnceCell::const_new();
    let plane = ControlPlane::shared().await.unwrap();
    let prepare = async {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: metal3-ipam-system}}";
        plane.apply_yaml(namespace).await.unwrap();
        for file in ["ipaddresses", "ipclaims", "ippools"] {
            plane.apply_path(&root.join(format!("config/crd/ipam.metal3.io_{file}.yaml"))).await.unwrap();
        }
        let clusters = testbed::capi_crds().unwrap().join("cluster.x-k8s.io_clusters.yaml");
        plane.apply_path(&clusters).await.unwrap();
        for file in [
            "service_account",
            "role",
            "role_binding",
            "leader_election_role",
            "leader_election_role_binding",
        ] {
            plane.apply_path(&root.join(format!("config/rbac/{file}.yaml"))).await.unwrap();
        }
    };
    PREPARED.get_or_init(|| prepare).await;
    plane
}

impl Scene {
    /// A namespace and a proxy; no controller yet.
    pub async fn new(name: &str) -> Self {
        let plane = plane().await;
        let namespace = plane.create_namespace(name).await.unwrap();
        let (client, proxy) = (plane.client(), Proxy::start(&plane).await.unwrap());
        Self {
            proxy,
            pools: Api::namespaced(client.clone(), &namespace),
            claims: Api::namespaced(client.clone(), &namespace),
            addresses: Api::namespaced(client, &namespace),
            token: plane.token_for("metal3-ipam-system", "ipam-manager").await.unwrap(),
            namespace,
            plane,
            controller: None,
        }
    }

    /// As [`Scene::new`], with a controller and a pool `p` of these addresses.
    pub async fn with_pool(name: &str, start: &str, end: &str) -> Self {
        let mut scene = Self::new(name).await;
        scene.start_controller();
        scene.create_pool("p", &json!({"pools": [{"start": start, "end": end}]})).await;
        scene
    }

    pub fn start_controller(&mut self) {
        let kubeconfig = self.proxy.kubeconfig(&self.token).unwrap();
        let log = std::fs::File::create(self.plane.dir().join(format!("{}.log", self.namespace))).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_ipam-controller"))
            .args(["--kubeconfig".as_ref(), kubeconfig.as_os_str()])
            .args(["--namespace", &self.namespace, "--orphan-grace", "1", "-v", "4", "--ignore-leader"])
            .args(["--health-addr", "0", "--diagnostics-address", "0"])
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.controller = Some(child);
    }

    /// SIGKILL: nothing is tidied up.
    pub fn kill_controller(&mut self) {
        if let Some(mut child) = self.controller.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// What the controller has logged, for the report of a failed test.
    fn log(&self) -> String {
        let path = self.plane.dir().join(format!("{}.log", self.namespace));
        let log = std::fs::read_to_string(path).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(40).collect();
        tail.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    pub async fn create_pool(&self, name: &str, spec: &Value) {
        let mut spec = spec.clone();
        if spec["namePrefix"].is_null() {
            spec["namePrefix"] = json!(name);
        }
        if spec["allocationStrategy"].is_null() {
            spec["allocationStrategy"] = json!("sequential");
        }
        let pool = json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": name}, "spec": spec});
        self.pools.create(&PostParams::default(), &serde_json::from_value(pool).unwrap()).await.unwrap();
    }

    pub async fn create_claim(&self, name: &str) {
        self.create_claim_with(name, "p", json!({})).await;
    }

    /// A claim with more metadata: annotations, labels, finalizers.
    pub async fn create_claim_with(&self, name: &str, pool: &str, mut metadata: Value) {
        metadata["name"] = json!(name);
        let claim = json!({
            "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim", "metadata": metadata,
            "spec": {"pool": {"name": pool}},
        });
        self.claims.create(&PostParams::default(), &serde_json::from_value(claim).unwrap()).await.unwrap();
    }

    pub async fn delete_claim(&self, name: &str) {
        self.claims.delete(name, &DeleteParams::default()).await.unwrap();
    }

    pub async fn patch_claim(&self, name: &str, patch: Value) {
        self.claims.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    pub async fn patch_pool(&self, name: &str, patch: Value) {
        self.pools.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Waits until `look` finds something.
    pub async fn until<T, F: Future<Output = Option<T>>>(&self, what: &str, look: impl Fn() -> F) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "not within {PATIENCE:?}: {what}\nthe controller's log ends:\n{}",
                self.log()
            );
            // Between two looks; what is waited for is the condition.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The address that a claim gets, once it is published, checked against the address object.
    pub async fn bound(&self, name: &str) -> String {
        self.until(&format!("claim {name} is bound"), || self.address_of(name)).await
    }

    async fn address_of(&self, name: &str) -> Option<String> {
        let claim = self.claims.get_opt(name).await.unwrap()?;
        let object = claim.status.as_ref()?.address.as_ref()?.name.clone()?;
        let address = self.addresses.get_opt(&object).await.unwrap()?;
        assert_eq!(address.spec.claim.name.as_deref(), Some(name));
        (address.annotations().get("ipam.metal3.io/claim-uid") == claim.metadata.uid.as_ref())
            .then(|| address.spec.address.clone())
    }

    /// Message of a claim's `Ready` condition, once it is `False` for this reason.
    pub async fn refused(&self, name: &str, reason: &str) -> String {
        let look = || async {
            let status = self.claims.get_opt(name).await.unwrap()?.status?;
            let ready = status.conditions.into_iter().find(|condition| condition.type_ == "Ready")?;
            (ready.status == "False" && ready.reason == reason).then_some(ready.message)
        };
        self.until(&format!("claim {name} is refused: {reason}"), look).await
    }

    pub async fn claim_gone(&self, name: &str) {
        let look = || async { self.claims.get_opt(name).await.unwrap().is_none().then_some(()) };
        self.until(&format!("claim {name} is gone"), look).await;
    }

    pub async fn address_gone(&self, name: &str) {
        let look = || async { self.addresses.get_opt(name).await.unwrap().is_none().then_some(()) };
        self.until(&format!("address {name} is gone"), look).await;
    }

    /// The reason of a pool's `Ready` condition, once it is this one.
    pub async fn pool_is(&self, name: &str, reason: &str) {
        let look = || async {
            let status = self.pools.get_opt(name).await.unwrap()?.status?;
            let ready = status.conditions.into_iter().find(|condition| condition.type_ == "Ready")?;
            (ready.reason == reason).then_some(())
        };
        self.until(&format!("pool {name} is {reason}"), look).await;
    }

    /// Waits until everything is in order: no address without its claim, none twice, nothing on its way out, and the
    /// pool's indexes say what the address objects say.
    pub async fn in_order(&self) {
        let start = Instant::now();
        while let Some(disorder) = self.disorder().await {
            let in_time = start.elapsed() < PATIENCE;
            assert!(in_time, "{disorder}\nthe controller's log ends:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn disorder(&self) -> Option<String> {
        let addresses = self.addresses.list(&ListParams::default()).await.unwrap().items;
        let claims = self.claims.list(&ListParams::default()).await.unwrap().items;
        let uids: BTreeMap<String, String> =
            claims.iter().map(|claim| (claim.name_any(), claim.uid().unwrap_or_default())).collect();
        let mut seen = BTreeMap::new();
        for address in &addresses {
            let (name, claim) = (address.name_any(), address.spec.claim.name.clone().unwrap_or_default());
            if let Some(other) = seen.insert(address.spec.address.clone(), name.clone()) {
                panic!("{} is held by {other} and by {name}", address.spec.address);
            }
            if uids.get(&claim) != address.annotations().get("ipam.metal3.io/claim-uid") {
                return Some(format!("{name} is of a claim that is gone: {claim}"));
            }
        }
        if let Some(claim) = claims.iter().find(|claim| claim.metadata.deletion_timestamp.is_some()) {
            return Some(format!("{} is being deleted", claim.name_any()));
        }
        for pool in self.pools.list(&ListParams::default()).await.unwrap().items {
            let name = pool.name_any();
            let of_pool = addresses.iter().filter(|address| address.spec.pool.name.as_deref() == Some(&name));
            let expected: BTreeMap<String, String> = of_pool
                .map(|address| {
                    (address.spec.claim.name.clone().unwrap_or_default(), address.spec.address.clone())
                })
                .collect();
            let indexes = pool.status.unwrap_or_default().indexes;
            if indexes != expected {
                return Some(format!("pool {name} has indexes {indexes:?}, and not {expected:?}"));
            }
        }
        None
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.kill_controller();
    }
}
