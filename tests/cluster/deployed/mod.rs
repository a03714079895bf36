//! The shipped manifests on a real API server, and the controller as their Deployment would run it.
//!
//! There is no kubelet, so the tests do its part: the program runs with the Deployment's own arguments under its account,
//! and listens on loopback only. The API server reaches admission by the shipped Service, by its name and with the
//! certificate for that name.

mod clusterctl;
mod manifests;
mod operator;
mod running;
mod scripts;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use ipam::api::{Family, SYSTEM_NAMESPACE};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use serde_json::{Value, json};
use testbed::proxy::Proxy;
use testbed::{ControlPlane, Options};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::OnceCell;

use crate::replica::Replica;
use crate::scene::Scene;

/// The manifests as they are released.
const RELEASE: &str = "config/release/ipam-components.yaml";

fn path(within: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(within)
}

/// The objects of a text with manifests.
fn objects(yaml: &str) -> Vec<Value> {
    yaml.split("\n---\n").map(|object| serde_saphyr::from_str(object).unwrap()).collect()
}

/// An object of the released manifests.
fn shipped(kind: &str, name: &str) -> Value {
    let all = objects(&std::fs::read_to_string(path(RELEASE)).unwrap());
    let is_it = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
    all.iter().find(is_it).unwrap_or_else(|| panic!("there is no {kind} {name}")).clone()
}

/// What the Deployment would make as a pod.
fn pod() -> Value {
    let template = &shipped("Deployment", "ipam-controller-manager")["spec"]["template"];
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod"});
    pod["metadata"] = template["metadata"].clone();
    pod["metadata"]["namespace"] = json!(SYSTEM_NAMESPACE);
    pod["spec"] = template["spec"].clone();
    pod
}

/// A control plane on which the manifests were applied, and no controller runs. The tests here share it.
async fn installed() -> Arc<ControlPlane> {
    static INSTALLED: OnceCell<Arc<ControlPlane>> = OnceCell::const_new();
    let install = || async {
        let plane = ControlPlane::start(Options::default()).await.unwrap();
        plane.apply_path(&path(RELEASE)).await.unwrap();
        Arc::new(plane)
    };
    INSTALLED.get_or_init(install).await.clone()
}

/// How a program has ended, and what it said on both streams.
struct Ended {
    code: i32,
    text: String,
}

/// Runs `kubectl` as the administrator, with this as its standard input.
async fn kubectl(plane: &ControlPlane, arguments: &[&str], input: &str) -> Ended {
    let mut command = plane.kubectl();
    command.args(arguments);
    run(command.into(), input).await
}

/// Runs a script of config/ against the control plane.
async fn script(plane: &ControlPlane, name: &str, variables: &[(&str, &str)]) -> Ended {
    let kubectl = plane.kubectl();
    let mut command = tokio::process::Command::new(path("config").join(name));
    for variable in ["IMG", "NAMESPACE", "COMPONENTS", "FORCE", "TIMEOUT"] {
        command.env_remove(variable);
    }
    command.envs(kubectl.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("KUBECTL", kubectl.get_program()).envs(variables.iter().copied());
    run(command, "").await
}

async fn run(mut command: tokio::process::Command, input: &str) -> Ended {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It need not read what it is given.
    drop(stdin.write_all(input.as_bytes()).await);
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    Ended { code: output.status.code().unwrap(), text: String::from_utf8_lossy(&text).into_owned() }
}

/// The arguments of the Deployment as the API server has it.
async fn arguments(plane: &ControlPlane) -> Vec<String> {
    let deployments: Api<Deployment> = Api::namespaced(plane.client(), SYSTEM_NAMESPACE);
    let deployment = deployments.get("ipam-controller-manager").await.unwrap();
    let spec = deployment.spec.template.spec.unwrap();
    assert_eq!(spec.service_account_name.as_deref(), Some("ipam-manager"));
    assert_eq!(spec.containers[0].command.as_deref(), Some(&["/manager".to_owned()][..]));
    spec.containers[0].args.clone().unwrap()
}

/// The controller as a pod with these arguments runs it; admission is served on this port of loopback.
async fn replica(scene: &Scene, name: &str, arguments: &[String], admission: u16) -> Replica {
    let port = format!("--webhook-port={admission}");
    let loopback =
        ["--health-addr=127.0.0.1:0", "--diagnostics-address=127.0.0.1:0", "--webhook-host=127.0.0.1"];
    let arguments: Vec<&str> =
        arguments.iter().map(String::as_str).chain(loopback).chain([port.as_str()]).collect();
    Replica::shipped(Proxy::start(&scene.plane).await.unwrap(), scene, name, &arguments)
}

/// Lets the shipped Service lead to a port of loopback, as nothing here routes to the pods of a Service.
async fn lead_to(plane: &ControlPlane, port: u16) {
    let service = json!({"spec": {"type": "ExternalName", "externalName": "localhost"}}).to_string();
    patch(plane, &["-n", SYSTEM_NAMESPACE, "service/ipam-webhook-service", "--type=merge", "-p", &service])
        .await;
    for (kind, webhooks) in [("mutating", 4), ("validating", 3)] {
        let to_port = |n| json!({"op": "add", "path": format!("/webhooks/{n}/clientConfig/service/port"), "value": port});
        let change = json!((0..webhooks).map(to_port).collect::<Vec<_>>()).to_string();
        let object = format!("{kind}webhookconfiguration/ipam-{kind}-webhook-configuration");
        patch(plane, &[&object, "--type=json", "-p", &change]).await;
    }
}

async fn patch(plane: &ControlPlane, arguments: &[&str]) {
    let done = kubectl(plane, &[&["patch"], arguments].concat(), "").await;
    assert_eq!(done.code, 0, "{}", done.text);
}

/// Waits until the API server asks the controller about pools, and takes its certificate.
async fn admission_judges(scene: &Scene) {
    let outside = json!({
        "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool",
        "metadata": {"name": "trial", "namespace": scene.namespace},
        "spec": {"namePrefix": "trial", "preAllocations": {"c": "10.9.9.9"}},
    });
    let trial = ["create", "--dry-run=server", "-f", "-"];
    let look = || async {
        let refused = kubectl(&scene.plane, &trial, &outside.to_string()).await;
        refused.text.contains("out of bonds").then_some(())
    };
    scene.until("admission judges pools", look).await;
}

/// A namespace of its own on an installed control plane.
async fn scene(plane: Arc<ControlPlane>, name: &str) -> Scene {
    Scene::on(plane, Family::Metal3, name).await
}
