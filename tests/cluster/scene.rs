//! What the tests share: one control plane, and for each test a namespace, a proxy and a controller of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ipam::api::{Family, IPPool, Kind, PoolReference};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use testbed::ControlPlane;
use testbed::proxy::{Match, Proxy, Record};
use tokio::sync::OnceCell;

/// Longer than a pool waits before it writes the next status.
const QUIET: Duration = Duration::from_secs(3);
/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_mins(1);

pub struct Scene {
    pub plane: Arc<ControlPlane>,
    pub proxy: Proxy,
    pub namespace: String,
    pub pools: Api<IPPool>,
    /// The family of the claims and addresses that the test is about.
    pub family: Family,
    pub claims: Api<DynamicObject>,
    pub addresses: Api<DynamicObject>,
    capi_version: String,
    /// Of the shipped account.
    pub token: String,
    controller: Option<Controller>,
    /// What the controllers send that have a proxy of their own.
    replicas: Mutex<Vec<Record>>,
    /// Seconds that an address has to be without its claim before it is swept up.
    grace: &'static str,
}

/// A controller's process, which is killed at the end.
pub struct Controller(Child);

impl Drop for Controller {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Runs tests that take a family once for each.
macro_rules! for_both_families {
    ($($(#[$meta:meta])* $name:ident),+ $(,)?) => {
        mod metal3 {
            $($(#[$meta])* #[tokio::test] async fn $name() { super::$name(ipam::api::Family::Metal3).await; })+
        }
        mod capi {
            $($(#[$meta])* #[tokio::test] async fn $name() { super::$name(ipam::api::Family::Capi).await; })+
        }
    };
}
pub(crate) use for_both_families;

/// The control plane that tests share, with all that [`install`] brings and Cluster API's CRDs.
pub async fn plane() -> Arc<ControlPlane> {
    static PREPARED: OnceCell<()> = OnceCell::const_new();
    let plane = ControlPlane::shared().await.unwrap();
    PREPARED.get_or_init(|| install(&plane, &CAPI_CRDS)).await;
    plane
}

/// The CRDs, these of Cluster API among them, and the controller's account and role.
pub async fn install(plane: &ControlPlane, capi_crds: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: metal3-ipam-system}}";
    plane.apply_yaml(namespace).await.unwrap();
    for file in ["ipaddresses", "ipclaims", "ippools"] {
        plane.apply_path(&root.join(format!("config/crd/ipam.metal3.io_{file}.yaml"))).await.unwrap();
    }
    let capi = testbed::capi_crds().unwrap();
    for file in capi_crds {
        plane.apply_path(&capi.join(file)).await.unwrap();
    }
    for file in RBAC {
        plane.apply_path(&root.join(format!("config/rbac/{file}.yaml"))).await.unwrap();
    }
}

/// The account of the controller, and what it may do.
const RBAC: [&str; 7] = [
    "service_account",
    "role",
    "role_binding",
    "certificates_role",
    "certificates_role_binding",
    "leader_election_role",
    "leader_election_role_binding",
];

/// The CRDs of Cluster API that concern this project.
pub const CAPI_CRDS: [&str; 3] = [
    "cluster.x-k8s.io_clusters.yaml",
    "ipam.cluster.x-k8s.io_ipaddressclaims.yaml",
    "ipam.cluster.x-k8s.io_ipaddresses.yaml",
];

/// Objects of a kind in a namespace, whatever their form.
pub fn objects(client: kube::Client, namespace: &str, kind: Kind) -> Api<DynamicObject> {
    Api::namespaced_with(client, namespace, &resource(kind))
}

pub fn resource(kind: Kind) -> ApiResource {
    kind.resource().described()
}

impl Scene {
    /// A namespace and a proxy; no controller yet. Claims are IPClaims.
    pub async fn new(name: &str) -> Self {
        Self::of(Family::Metal3, name).await
    }

    /// As [`Scene::new`], with claims of this family.
    pub async fn of(family: Family, name: &str) -> Self {
        Self::on(plane().await, family, name).await
    }

    /// As [`Scene::of`], on a control plane of its own.
    pub async fn on(plane: Arc<ControlPlane>, family: Family, name: &str) -> Self {
        let namespace = plane.create_namespace(name).await.unwrap();
        Self::within(plane, family, namespace).await
    }

    /// As [`Scene::on`], in a namespace that is made by somebody else.
    pub async fn within(plane: Arc<ControlPlane>, family: Family, namespace: String) -> Self {
        let (client, proxy) = (plane.client(), Proxy::start(&plane).await.unwrap());
        Self {
            proxy,
            pools: Api::namespaced(client.clone(), &namespace),
            family,
            claims: objects(client.clone(), &namespace, Kind::Claim(family)),
            addresses: objects(client, &namespace, Kind::Address(family)),
            token: plane.token_for("metal3-ipam-system", "ipam-manager").await.unwrap(),
            capi_version: "v1beta2".into(),
            namespace,
            plane,
            controller: None,
            replicas: Mutex::default(),
            grace: "1",
        }
    }

    /// The test sees Cluster API's claims and addresses in this version.
    pub fn version_of_capi(&mut self, version: &str) {
        version.clone_into(&mut self.capi_version);
        self.claims = self.of_kind(Kind::Claim(Family::Capi));
        self.addresses = self.of_kind(Kind::Address(Family::Capi));
    }

    /// As [`Scene::of`], with a controller and a pool `p` of these addresses.
    pub async fn with_pool(family: Family, name: &str, start: &str, end: &str) -> Self {
        Self::of(family, name).await.started_with_pool(start, end).await
    }

    /// The same, where what is left over stays to be seen: nothing is swept up in the time of a test.
    pub async fn that_keeps_leaks(family: Family, name: &str, start: &str, end: &str) -> Self {
        let scene = Self { grace: "3600", ..Self::of(family, name).await };
        scene.started_with_pool(start, end).await
    }

    async fn started_with_pool(mut self, start: &str, end: &str) -> Self {
        self.start_controller();
        self.create_pool("p", &json!({"pools": [{"start": start, "end": end}]})).await;
        self
    }

    pub fn start_controller(&mut self) {
        self.controller = Some(self.start_beside(&self.proxy));
    }

    /// One more controller, behind a proxy of its own.
    pub fn start_beside(&self, proxy: &Proxy) -> Controller {
        let kubeconfig = proxy.kubeconfig(&self.token).unwrap();
        let log = std::fs::File::options().create(true).append(true).open(self.log_path()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ipam-controller"));
        command
            .args(["--kubeconfig".as_ref(), kubeconfig.as_os_str()])
            .args([
                "--namespace",
                &self.namespace,
                "--orphan-grace",
                self.grace,
                "-v",
                "4",
                "--ignore-leader",
            ])
            .args(["--health-addr", "0", "--diagnostics-address", "0", "--webhook-port", "0"])
            .stdin(Stdio::null())
            .stderr(log);
        Controller(self.plane.spawn(&mut command).unwrap())
    }

    fn log_path(&self) -> std::path::PathBuf {
        self.plane.dir().join(format!("{}.log", self.namespace))
    }

    /// SIGKILL: nothing is tidied up.
    pub fn kill_controller(&mut self) {
        drop(self.controller.take());
    }

    /// What the controller has logged, for the report of a failed test.
    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(self.log_path()).unwrap_or_default();
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
    pub async fn create_claim_with(&self, name: &str, pool: &str, metadata: Value) {
        self.create_claim_of(self.family, name, pool, metadata).await;
    }

    /// A claim of whichever family.
    pub async fn create_claim_of(&self, family: Family, name: &str, pool: &str, metadata: Value) {
        self.try_create_claim(family, name, pool, metadata).await.unwrap();
    }

    /// As [`Scene::create_claim_of`], where the API server may be away.
    pub async fn try_create_claim(
        &self,
        family: Family,
        name: &str,
        pool: &str,
        mut metadata: Value,
    ) -> kube::Result<DynamicObject> {
        metadata["name"] = json!(name);
        let kind = Kind::Claim(family);
        let spec = match family {
            Family::Metal3 => json!({"pool": {"name": pool}}),
            Family::Capi => json!({"poolRef": PoolReference::to(pool)}),
        };
        let version = match family {
            Family::Metal3 => "v1alpha1",
            Family::Capi => &self.capi_version,
        };
        let claim = json!({
            "apiVersion": format!("{}/{version}", kind.group()), "kind": kind.name(), "metadata": metadata, "spec": spec,
        });
        let claim = serde_json::from_value(claim).unwrap();
        self.of_kind(kind).create(&PostParams::default(), &claim).await
    }

    /// The objects of a kind.
    pub fn of_kind(&self, kind: Kind) -> Api<DynamicObject> {
        let mut resource = resource(kind);
        if kind.versions().len() > 1 {
            resource.version.clone_from(&self.capi_version);
            resource.api_version = format!("{}/{}", resource.group, resource.version);
        }
        Api::namespaced_with(self.plane.client(), &self.namespace, &resource)
    }

    /// The plural of the kind of address that the test is about, as the proxy knows it.
    pub fn addresses_resource(&self) -> String {
        let resource = Kind::Address(self.family).resource();
        format!("{}.{}", resource.plural, resource.group)
    }

    /// The plural of the kind of claim that the test is about.
    pub fn claims_resource(&self) -> &'static str {
        Kind::Claim(self.family).resource().plural
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
        self.bound_of(self.family, name).await
    }

    /// The same for a claim of whichever family.
    pub async fn bound_of(&self, family: Family, name: &str) -> String {
        let what = format!("{} {name} is bound", Kind::Claim(family).name());
        self.until(&what, || self.address_of(family, name)).await
    }

    async fn address_of(&self, family: Family, name: &str) -> Option<String> {
        let claim = self.of_kind(Kind::Claim(family)).get_opt(name).await.unwrap()?;
        let object = published(&claim)?;
        let address = self.of_kind(Kind::Address(family)).get_opt(&object).await.unwrap()?;
        assert_eq!(claim_of(&address), name);
        (address.annotations().get("ipam.metal3.io/claim-uid") == claim.metadata.uid.as_ref())
            .then(|| ip_of(&address))
    }

    /// The status of a claim.
    pub async fn status(&self, name: &str) -> Value {
        self.claims.get(name).await.unwrap().data["status"].clone()
    }

    /// Message of a claim's `Ready` condition, once it is `False` for this reason.
    pub async fn refused(&self, name: &str, reason: &str) -> String {
        self.refused_of(self.family, name, reason).await
    }

    /// The same of a claim of whichever family.
    pub async fn refused_of(&self, family: Family, name: &str, reason: &str) -> String {
        let claims = self.of_kind(Kind::Claim(family));
        let look = || async {
            let ready = ready(&claims.get_opt(name).await.unwrap()?)?;
            let is_so = ready["status"] == "False" && ready["reason"] == reason;
            is_so.then(|| ready["message"].as_str().unwrap_or_default().to_owned())
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

    /// What a test ends with: everything is in order, and stays so without a write for as long as `IDLE` says.
    pub async fn in_order(&self) {
        self.comes_in_order().await;
        if let Ok(seconds) = std::env::var("IDLE") {
            self.idle(Duration::from_secs(seconds.parse().expect("IDLE is a number of seconds"))).await;
        }
    }

    /// Waits until everything is in order: no address without its claim, none twice, nothing on its way out, and the
    /// pool's indexes say what the address objects say.
    pub async fn comes_in_order(&self) {
        let start = Instant::now();
        while let Some(disorder) = self.disorder().await {
            let in_time = start.elapsed() < PATIENCE;
            assert!(in_time, "{disorder}\nthe controller's log ends:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A controller behind this proxy may not write either while nothing happens.
    pub fn is_served_behind(&self, proxy: &Proxy) {
        self.replicas.lock().unwrap().push(proxy.record());
    }

    /// Lets this time pass once the last statuses are written, and nothing may be written in it, leases and Events aside.
    async fn idle(&self, time: Duration) {
        let records: Vec<Record> =
            self.replicas.lock().unwrap().iter().cloned().chain([self.proxy.record()]).collect();
        let count = |of: Match| records.iter().map(|record| record.count(&of)).sum::<usize>();
        let of = |resource| count(Match::writes().resource(resource));
        let writes = || count(Match::writes()) - of("leases") - of("events");
        quiet(writes, QUIET, || self.log()).await;
        let before = writes();
        tokio::time::sleep(time).await;
        assert_eq!(writes(), before, "something was written while nothing happened\n{}", self.log());
    }

    async fn disorder(&self) -> Option<String> {
        let mut addresses = Vec::new();
        let mut seen = BTreeMap::new();
        for family in Family::ALL {
            let claims = self.of_kind(Kind::Claim(family)).list(&ListParams::default()).await.unwrap().items;
            let of_family =
                self.of_kind(Kind::Address(family)).list(&ListParams::default()).await.unwrap().items;
            let (mut ours, mut holds) = (Vec::new(), BTreeMap::new());
            let uids: BTreeMap<String, String> =
                claims.iter().map(|claim| (claim.name_any(), claim.uid().unwrap_or_default())).collect();
            for address in of_family.into_iter().filter(|address| !pool_of(address).is_empty()) {
                let key = (pool_of(&address), ip_of(&address).parse::<std::net::IpAddr>().unwrap());
                if let Some(other) = seen.insert(key.clone(), address.name_any()) {
                    panic!("{} is held by {other} and by {}", key.1, address.name_any());
                }
                let (name, claim) = (address.name_any(), claim_of(&address));
                if let Some(uid) = address.annotations().get("ipam.metal3.io/claim-uid")
                    && let Some(other) = holds.insert(uid.clone(), name.clone())
                {
                    return Some(format!("{name} and {other} are of one claim"));
                }
                if uids.get(&claim) != address.annotations().get("ipam.metal3.io/claim-uid") {
                    return Some(format!("{name} is of a claim that is gone: {claim}"));
                }
                // One that a person made for a claim to come bears nothing of ours.
                if !uids.contains_key(&claim) && is_held(Kind::Address(family), &address) {
                    return Some(format!("{name} is held for a claim that never was: {claim}"));
                }
                ours.push(address);
            }
            let mut objects = claims.iter().chain(&ours);
            if let Some(going) = objects.find(|object| object.metadata.deletion_timestamp.is_some()) {
                return Some(format!("{} is being deleted", going.name_any()));
            }
            let served = claims.iter().filter(|claim| !pool_of(claim).is_empty());
            for (claim, object) in served.filter_map(|claim| Some((claim, published(claim)?))) {
                let is_there = ours.iter().any(|address| {
                    address.name_any() == object
                        && address.annotations().get("ipam.metal3.io/claim-uid")
                            == claim.metadata.uid.as_ref()
                });
                if !is_there {
                    return Some(format!("{} publishes {object}, which is not its own", claim.name_any()));
                }
            }
            addresses.extend(ours);
        }
        for pool in self.pools.list(&ListParams::default()).await.unwrap().items {
            let name = pool.name_any();
            // Where claims of both families share a name, the IPClaim's address is shown.
            let of_pool = addresses.iter().rev().filter(|address| pool_of(address) == name);
            let expected: BTreeMap<String, String> =
                of_pool.map(|address| (claim_of(address), ip_of(address))).collect();
            let indexes = pool.status.unwrap_or_default().indexes;
            if indexes != expected {
                return Some(format!("pool {name} has indexes {indexes:?}, and not {expected:?}"));
            }
        }
        None
    }
}

/// Waits for a time in which the count of writes stays the same.
pub async fn quiet(writes: impl Fn() -> usize, time: Duration, log: impl Fn() -> String) {
    let (start, mut before) = (Instant::now(), writes());
    loop {
        // That nothing happens cannot be waited for; only time can pass.
        tokio::time::sleep(time).await;
        let now = writes();
        if now == before {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "it never stops writing\n{}", log());
        before = now;
    }
}

/// Name of the address object that a claim of either family publishes.
pub fn published(claim: &DynamicObject) -> Option<String> {
    let status = &claim.data["status"];
    let name = status["address"]["name"].as_str().or(status["addressRef"]["name"].as_str())?;
    Some(name.to_owned())
}

/// The change that takes all finalizers off an object.
pub fn no_finalizers() -> Patch<Value> {
    Patch::Merge(json!({"metadata": {"finalizers": null}}))
}

/// A claim's `Ready` condition.
pub fn ready(claim: &DynamicObject) -> Option<Value> {
    let conditions = claim.data["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == "Ready").cloned()
}

/// The address in an address object of either family.
pub fn ip_of(address: &DynamicObject) -> String {
    address.data["spec"]["address"].as_str().unwrap_or_default().to_owned()
}

fn claim_of(address: &DynamicObject) -> String {
    let spec = &address.data["spec"];
    spec["claim"]["name"].as_str().or(spec["claimRef"]["name"].as_str()).unwrap_or_default().to_owned()
}

/// The pool that an address is of, or a claim; empty if it is another provider's.
pub fn pool_of(object: &DynamicObject) -> String {
    let spec = &object.data["spec"];
    let theirs = &spec["poolRef"];
    let is_ours = theirs["apiGroup"] == Kind::Pool.group() && theirs["kind"] == Kind::Pool.name();
    let name = spec["pool"]["name"].as_str().or(theirs["name"].as_str().filter(|_| is_ours));
    name.unwrap_or_default().to_owned()
}

/// Whether our finalizer is on it.
fn is_held(kind: Kind, object: &DynamicObject) -> bool {
    object.finalizers().iter().any(|text| Some(text.as_str()) == kind.finalizer())
}
