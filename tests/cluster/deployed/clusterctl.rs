//! Cluster API's own command line with the files of a release: it installs, moves, upgrades and removes.
//!
//! What it needs besides is as little as it takes: Cluster API's kinds stand for its core provider, and cert-manager's kinds
//! for a cert-manager that somebody else runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipam::api::{Family, Kind, SYSTEM_NAMESPACE};
use kube::ResourceExt as _;
use kube::api::{DynamicObject, ListParams};
use rustix::process::Signal;
use serde_json::{Value, json};
use testbed::{ControlPlane, Options, pins};

use super::{Ended, RELEASE, admission_judges, arguments, kubectl, lead_to, objects, path, replica, run};
use crate::metal3::owner;
use crate::process::free_port;
use crate::replica::Replica;
use crate::scene::Scene;

/// This version, and one that comes after it.
const VERSIONS: [&str; 2] = [concat!("v", env!("CARGO_PKG_VERSION")), "v0.1.99"];
const NAMES: [&str; 3] = ["a", "b", "c"];

/// Where clusterctl finds the providers: a folder for each version, with the files of its release.
struct Repository {
    folder: tempfile::TempDir,
    clusterctl: PathBuf,
}

impl Repository {
    async fn new() -> Self {
        let clusterctl = tokio::task::spawn_blocking(testbed::clusterctl).await.unwrap().unwrap();
        let repository = Self { folder: tempfile::tempdir().unwrap(), clusterctl };
        let release = std::fs::read_to_string(path(RELEASE)).unwrap();
        let metadata = std::fs::read_to_string(path("config/release/metadata.yaml")).unwrap();
        for version in VERSIONS {
            let components = release.replace(VERSIONS[0], version);
            repository.add("ipam-metal3", version, "ipam-components.yaml", &components, &metadata);
        }
        let mut numbers = pins().clusterctl[1..].split('.').map(|number| number.parse::<u64>().unwrap());
        let series = json!({"major": numbers.next(), "minor": numbers.next(), "contract": "v1beta2"});
        let metadata = json!({
            "apiVersion": "clusterctl.cluster.x-k8s.io/v1alpha3", "kind": "Metadata", "releaseSeries": [series],
        });
        let file = "core-components.yaml";
        repository.add("cluster-api", &pins().clusterctl, file, &core_components(), &metadata.to_string());
        let provider = |name: &str, of: &str, label: &str, version: &str, file: &str| {
            let url = repository.folder.path().join(label).join(version).join(file);
            json!({"name": name, "type": of, "url": url})
        };
        let config = json!({"providers": [
            provider("cluster-api", "CoreProvider", "cluster-api", &pins().clusterctl, file),
            provider("metal3", "IPAMProvider", "ipam-metal3", VERSIONS[0], "ipam-components.yaml"),
        ]});
        std::fs::write(repository.config(), config.to_string()).unwrap();
        repository
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("clusterctl.yaml")
    }

    fn add(&self, label: &str, version: &str, file: &str, components: &str, metadata: &str) {
        let folder = self.folder.path().join(label).join(version);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(file), components).unwrap();
        std::fs::write(folder.join("metadata.yaml"), metadata).unwrap();
    }

    /// Runs clusterctl against a control plane.
    async fn clusterctl(&self, plane: &ControlPlane, arguments: &[&str]) -> Ended {
        let mut command = tokio::process::Command::new(&self.clusterctl);
        command
            .args(arguments)
            .arg("--config")
            .arg(self.config())
            .arg("--kubeconfig")
            .arg(plane.kubeconfig());
        // It would ask GitHub for a later version of itself.
        command.env("CLUSTERCTL_DISABLE_VERSIONCHECK", "true").env("XDG_CONFIG_HOME", self.folder.path());
        run(command, "").await
    }

    /// As [`Repository::clusterctl`], where it has to succeed.
    async fn done(&self, plane: &ControlPlane, arguments: &[&str]) -> String {
        let ended = self.clusterctl(plane, arguments).await;
        assert_eq!(ended.code, 0, "{arguments:?}: {}", ended.text);
        ended.text
    }

    /// A control plane on which it has installed the controller.
    async fn site(&self) -> Arc<ControlPlane> {
        let plane = Arc::new(ControlPlane::start(Options::default()).await.unwrap());
        let certificates = testbed::cert_manager_crds().unwrap();
        for kind in ["certificates", "issuers"] {
            plane.apply_path(&certificates.join(format!("cert-manager.io_{kind}.yaml"))).await.unwrap();
        }
        self.done(&plane, &["init", "--bootstrap", "-", "--control-plane", "-", "--ipam", "metal3"]).await;
        plane
    }
}

/// Cluster API's kinds, as its core provider would bring them.
fn core_components() -> String {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "capi-system"}});
    let capi = testbed::capi_crds().unwrap();
    let read = |file: &Path| std::fs::read_to_string(file).unwrap();
    let kinds = crate::scene::CAPI_CRDS.iter().map(|file| read(&capi.join(file)));
    let kinds = kinds.map(|yaml| {
        let mut kind = objects(yaml.trim_start_matches("---\n")).remove(0);
        // It says which version of the kind keeps which contract, and clusterctl looks for that.
        kind["metadata"]["labels"]["cluster.x-k8s.io/v1beta2"] = json!("v1beta2");
        kind
    });
    let all: Vec<String> = std::iter::once(namespace).chain(kinds).map(|object| object.to_string()).collect();
    all.join("\n---\n")
}

/// Which image the Deployment has; none where there is no Deployment.
async fn image(plane: &ControlPlane) -> Option<String> {
    let jsonpath = "jsonpath={.spec.template.spec.containers[0].image}";
    let deployment = "deployment/ipam-controller-manager";
    let get = ["-n", SYSTEM_NAMESPACE, "get", deployment, "--ignore-not-found", "-o", jsonpath];
    let found = kubectl(plane, &get, "").await;
    assert_eq!(found.code, 0, "{}", found.text);
    Some(found.text).filter(|image| !image.is_empty())
}

/// The controller, which serves claims and admission.
async fn pod(scene: &Scene, name: &str) -> Replica {
    let port = free_port();
    lead_to(&scene.plane, port).await;
    let pod = replica(scene, name, &arguments(&scene.plane).await, port).await;
    pod.leads().await;
    admission_judges(scene).await;
    pod
}

async fn end(mut pod: Replica) {
    pod.signal(Signal::TERM);
    assert!(pod.ended().await.success(), "{}", pod.log());
}

#[tokio::test]
async fn clusterctl_installs_upgrades_and_removes_it() {
    let repository = Repository::new().await;
    let plane = repository.site().await;
    let first = image(&plane).await.unwrap();
    assert!(first.ends_with(&format!(":{}", VERSIONS[0])), "{first}");
    let mut scene = Scene::on(plane.clone(), Family::Metal3, "installed").await;
    let before = pod(&scene, "first").await;
    scene.create_pool("p", &json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}]})).await;
    scene.create_claim("a").await;
    assert_eq!(scene.bound("a").await, "10.0.0.1");
    end(before).await;

    let next = format!("{SYSTEM_NAMESPACE}/metal3:{}", VERSIONS[1]);
    repository.done(&plane, &["upgrade", "apply", "--ipam", &next]).await;
    assert_eq!(image(&plane).await.unwrap(), first.replace(VERSIONS[0], VERSIONS[1]));
    // The account is another one of the same name.
    scene.token = plane.token_for(SYSTEM_NAMESPACE, "ipam-manager").await.unwrap();
    let after = pod(&scene, "second").await;
    scene.create_claim("b").await;
    assert_eq!(scene.bound("b").await, "10.0.0.2");
    assert_eq!(scene.bound("a").await, "10.0.0.1");
    scene.in_order().await;
    end(after).await;

    repository.done(&plane, &["delete", "--ipam", "metal3"]).await;
    assert_eq!(image(&plane).await, None);
    // The kinds, and with them the addresses, are removed on request only.
    assert_eq!(scene.addresses.list(&ListParams::default()).await.unwrap().items.len(), 2);
}

/// What the Cluster's other controllers would say of it once its machines are there.
async fn provision(scene: &Scene) -> DynamicObject {
    let cluster = scene.create_cluster(false).await;
    let condition = json!({
        "type": "ControlPlaneInitialized", "status": "True", "reason": "Initialized", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let status = json!({"initialization": {"infrastructureProvisioned": true}, "conditions": [condition]});
    scene.set_status(Kind::Cluster, &cluster.name_any(), &status).await
}

/// All addresses of a namespace, by claim.
async fn addresses(scene: &Scene) -> Vec<(Family, String, String)> {
    let mut all = Vec::new();
    for family in Family::ALL {
        for name in NAMES {
            all.push((family, name.to_owned(), scene.bound_of(family, name).await));
        }
    }
    all
}

async fn count(scene: &Scene) -> usize {
    let mut count = 0;
    for kind in
        Family::ALL.map(Kind::Address).into_iter().chain(Family::ALL.map(Kind::Claim)).chain([Kind::Pool])
    {
        count += scene.of_kind(kind).list(&ListParams::default()).await.unwrap().items.len();
    }
    count
}

#[tokio::test]
async fn what_clusterctl_moves_keeps_its_addresses() {
    let repository = Repository::new().await;
    let (from, to) = tokio::join!(repository.site(), repository.site());
    let source = Scene::on(from.clone(), Family::Metal3, "moved").await;
    let _here = pod(&source, "here").await;
    let cluster = provision(&source).await;
    // Large, so that nobody gets the address that it had by chance.
    let spec =
        json!({"pools": [{"subnet": "10.0.0.0/12"}], "allocationStrategy": "random", "clusterName": "k"});
    source.create_pool("p", &spec).await;
    for family in Family::ALL {
        for name in NAMES {
            // In the place of the machines, which own the claims.
            let owners = [owner(Kind::Cluster, &cluster, Value::Null)];
            source.create_claim_of(family, name, "p", json!({"ownerReferences": owners})).await;
        }
    }
    let before = addresses(&source).await;
    source.in_order().await;

    // It is judged by admission there, and served as soon as it is.
    let elsewhere = Scene::on(to.clone(), Family::Metal3, "elsewhere").await;
    let there = pod(&elsewhere, "there").await;
    let target = Scene::within(to.clone(), Family::Metal3, source.namespace.clone()).await;
    let kubeconfig = to.kubeconfig();
    let destination = ["--to-kubeconfig", kubeconfig.to_str().unwrap()];
    let said = repository.done(&from, &[&["move", "-n", &source.namespace][..], &destination].concat()).await;
    assert!(said.contains("Deleting objects from the source"), "{said}");
    assert_eq!(addresses(&target).await, before);
    assert_eq!(count(&target).await, 2 * before.len() + 1);
    assert_eq!(count(&source).await, 0);
    target.in_order().await;
    source.in_order().await;

    // Both go on.
    for scene in [&source, &target] {
        scene.create_pool("q", &json!({"pools": [{"start": "10.99.0.1", "end": "10.99.0.9"}]})).await;
        scene.create_claim_with("last", "q", json!({})).await;
        assert_eq!(scene.bound("last").await, "10.99.0.1");
    }
    let log = there.log();
    let wrong = log.lines().find(|line| line.contains("forbidden: User") || line.contains("ERROR"));
    assert_eq!(wrong, None);
}
