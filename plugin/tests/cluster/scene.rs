//! What the tests share: one control plane with all CRDs, and for each test a namespace and, where it wants one, a
//! controller for that namespace alone.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use testbed::{ControlPlane, Options};
use tokio::sync::OnceCell;

/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_mins(1);

pub struct Scene {
    pub plane: Arc<ControlPlane>,
    pub namespace: String,
    controller: Option<Child>,
}

pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Scene {
    /// A namespace of its own; no controller.
    pub async fn new(name: &str) -> Self {
        static PREPARED: OnceCell<()> = OnceCell::const_new();
        let plane = ControlPlane::shared().await.unwrap();
        let prepare = async {
            kinds(&plane).await;
            let folder = testbed::capi_crds().unwrap();
            let group = "ipam.cluster.x-k8s.io";
            for file in [
                "cluster.x-k8s.io_clusters",
                &format!("{group}_ipaddresses"),
                &format!("{group}_ipaddressclaims"),
            ] {
                plane.apply_path(&folder.join(format!("{file}.yaml"))).await.unwrap();
            }
        };
        PREPARED.get_or_init(|| prepare).await;
        let namespace = plane.create_namespace(name).await.unwrap();
        Self { plane, namespace, controller: None }
    }

    /// A control plane of its own, on which Cluster API is not installed.
    pub async fn without_cluster_api() -> Self {
        let plane = Arc::new(ControlPlane::start(Options::default()).await.unwrap());
        kinds(&plane).await;
        Self { plane, namespace: "default".into(), controller: None }
    }

    /// The same, served by a controller.
    pub fn with_controller(self) -> Self {
        self.with_controller_and(&[])
    }

    /// The same, served by a controller with further flags.
    pub fn with_controller_and(mut self, flags: &[&str]) -> Self {
        let log = std::fs::File::create(self.plane.dir().join(format!("{}.log", self.namespace))).unwrap();
        let mut command = Command::new(binary("ipam-controller"));
        command.arg("--kubeconfig").arg(self.plane.kubeconfig()).args(["--namespace", &self.namespace]);
        // Nothing is served but claims, and the leases of other tests are theirs.
        command.args([
            "--health-addr",
            "0",
            "--diagnostics-address",
            "0",
            "--webhook-port",
            "0",
            "--ignore-leader",
        ]);
        command.args(flags);
        self.controller = Some(self.plane.spawn(command.stdin(Stdio::null()).stderr(log)).unwrap());
        self
    }

    /// Ends the controller.
    pub fn without_controller(&mut self) {
        if let Some(mut controller) = self.controller.take() {
            controller.kill().unwrap();
            controller.wait().unwrap();
        }
    }

    /// `kubectl ipam …` in the namespace, with no terminal.
    pub fn ipam(&self, arguments: &[&str]) -> Said {
        self.ipam_in(&self.namespace, arguments)
    }

    /// The same in another namespace.
    pub fn ipam_in(&self, namespace: &str, arguments: &[&str]) -> Said {
        let mut command = self.plane.kubectl();
        command.env("PATH", path()).stdin(Stdio::null());
        said(command.arg("ipam").args(arguments).args(["-n", namespace]))
    }

    /// The same, which has to succeed: its stdout.
    pub fn done(&self, arguments: &[&str]) -> String {
        let said = self.ipam(arguments);
        assert_eq!(said.code, 0, "{arguments:?}: {}{}", said.stdout, said.stderr);
        said.stdout
    }

    /// `kubectl …` in the namespace, which has to succeed: its stdout.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let said = said(self.plane.kubectl().args(arguments).args(["-n", &self.namespace]));
        assert_eq!(said.code, 0, "{arguments:?}: {}", said.stderr);
        said.stdout
    }

    /// Creates objects as they are, their status included.
    pub fn create(&self, objects: &[Value]) {
        let file = self.plane.dir().join(format!("{}.json", self.namespace));
        for object in objects {
            std::fs::write(&file, object.to_string()).unwrap();
            let file = file.to_str().unwrap();
            let name = self.kubectl(&["create", "-f", file, "-o", "name"]);
            if let Some(status) = object.get("status") {
                let patch = serde_json::json!({ "status": status }).to_string();
                self.kubectl(&[
                    "patch",
                    name.trim(),
                    "--subresource",
                    "status",
                    "--type",
                    "merge",
                    "-p",
                    &patch,
                ]);
            }
        }
    }

    /// Asks until the answer is as it has to be.
    pub async fn until(&self, arguments: &[&str], is: impl Fn(&Said) -> bool) -> Said {
        let start = Instant::now();
        loop {
            let said = self.ipam(arguments);
            if is(&said) {
                return said;
            }
            assert!(start.elapsed() < PATIENCE, "{arguments:?}: {}{}", said.stdout, said.stderr);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The UID of an object.
    pub fn uid(&self, object: &str) -> String {
        self.kubectl(&["get", object, "-o", "jsonpath={.metadata.uid}"])
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(mut controller) = self.controller.take() {
            drop(controller.kill());
            drop(controller.wait());
        }
    }
}

/// The kinds of this project.
async fn kinds(plane: &ControlPlane) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for kind in ["ipaddresses", "ipclaims", "ippools"] {
        plane.apply_path(&root.join(format!("config/crd/ipam.metal3.io_{kind}.yaml"))).await.unwrap();
    }
}

pub fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// PATH with the plugin on it.
pub fn path() -> String {
    let plugin = binary("kubectl-ipam").parent().unwrap().display().to_string();
    format!("{plugin}:{}", std::env::var("PATH").unwrap())
}

/// A program of this workspace, which `make test` builds first.
pub fn binary(name: &str) -> PathBuf {
    let beside = PathBuf::from(env!("CARGO_BIN_EXE_kubectl-ipam")).with_file_name(name);
    assert!(beside.exists(), "{} is not built: run `cargo build --workspace --bins`", beside.display());
    beside
}

/// Columns of a table, by blanks.
pub fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// Objects as a controller would have left them, made by hand.
pub mod objects {
    use serde_json::{Value, json};

    pub fn pool(name: &str, first: &str, last: &str) -> Value {
        json!({
            "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool",
            "metadata": {"name": name, "finalizers": ["ippool.ipam.metal3.io"]},
            "spec": {"namePrefix": name, "prefix": 24, "pools": [{"start": first, "end": last}]},
        })
    }

    pub fn claim(name: &str, pool: &str, address: Option<&str>) -> Value {
        let mut claim = json!({
            "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim",
            "metadata": {"name": name, "finalizers": ["ipclaim.ipam.metal3.io"]}, "spec": {"pool": {"name": pool}},
        });
        if let Some(address) = address {
            claim["status"] = json!({"address": {"name": address}});
        }
        claim
    }

    pub fn address(name: &str, ip: &str, pool: &str, claim: &str, uid: &str) -> Value {
        json!({
            "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPAddress",
            "metadata": {"name": name, "finalizers": ["ipaddress.ipam.metal3.io"], "annotations": {"ipam.metal3.io/claim-uid": uid}},
            "spec": {"address": ip, "prefix": 24, "pool": {"name": pool}, "claim": {"name": claim}},
        })
    }

    pub fn capi_claim(name: &str, pool: &str, address: Option<&str>) -> Value {
        let mut claim = json!({
            "apiVersion": "ipam.cluster.x-k8s.io/v1beta2", "kind": "IPAddressClaim",
            "metadata": {"name": name, "finalizers": ["ipam.metal3.io/ipaddressclaim"]},
            "spec": {"poolRef": {"apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": pool}},
        });
        if let Some(address) = address {
            claim["status"] = json!({"addressRef": {"name": address}});
        }
        claim
    }

    pub fn capi_address(name: &str, ip: &str, pool: &str, claim: &str, uid: &str) -> Value {
        json!({
            "apiVersion": "ipam.cluster.x-k8s.io/v1beta2", "kind": "IPAddress",
            "metadata": {"name": name, "finalizers": ["ipam.metal3.io/ipaddress"], "annotations": {"ipam.metal3.io/claim-uid": uid}},
            "spec": {"address": ip, "prefix": 24, "claimRef": {"name": claim},
                     "poolRef": {"apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": pool}},
        })
    }

    pub fn cluster(name: &str, paused: bool) -> Value {
        json!({
            "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "metadata": {"name": name},
            "spec": {"paused": paused, "controlPlaneEndpoint": {"host": "10.9.9.9", "port": 6443}},
        })
    }
}
