//! The path of somebody who installs it, uses it, upgrades it and takes it away again, by the scripts of the Makefile.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipam::api::{Family, SYSTEM_NAMESPACE};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::DeleteParams;
use rustix::process::Signal;
use serde_json::{Value, json};
use testbed::{ControlPlane, Options};

use super::{Ended, RELEASE, arguments, kubectl, lead_to, patch, path, replica, run, script};
use crate::process::free_port;
use crate::replica::Replica;
use crate::scene::Scene;

const DEPLOYMENT: &str = "deployment/ipam-controller-manager";

/// A cluster to install it on.
struct Site {
    plane: Arc<ControlPlane>,
    /// From the first installation on, which brings the account.
    scene: Option<Scene>,
}

impl Site {
    fn scene(&self) -> &Scene {
        self.scene.as_ref().unwrap()
    }

    /// `make deploy` with this image, while the kubelet's part is played: the pod that now runs, and what was said.
    async fn deploy(&mut self, image: &str) -> (Replica, Ended) {
        let plane = self.plane.clone();
        let variables = [("IMG", image)];
        let deploying = script(&plane, "deploy.sh", &variables);
        let playing = async {
            until_wanted(&plane, image).await;
            let scene = match self.scene.take() {
                // The account may be another one of the same name.
                Some(mut scene) => {
                    scene.token = plane.token_for(SYSTEM_NAMESPACE, "ipam-manager").await.unwrap();
                    scene
                }
                None => Scene::on(plane.clone(), Family::Metal3, "operator").await,
            };
            let scene = self.scene.insert(scene);
            let port = free_port();
            let pod = replica(scene, image.rsplit(':').next().unwrap(), &arguments(&plane).await, port).await;
            let ready = || async { (pod.health("/readyz").await.0 == 200).then_some(()) };
            scene.until("the pod is ready", ready).await;
            // They are applied after the Deployment.
            let webhooks = [
                "wait",
                "--for=create",
                "--timeout=60s",
                "mutatingwebhookconfiguration/ipam-mutating-webhook-configuration",
                "validatingwebhookconfiguration/ipam-validating-webhook-configuration",
            ];
            let there = kubectl(&plane, &webhooks, "").await;
            assert_eq!(there.code, 0, "{}", there.text);
            lead_to(&plane, port).await;
            pods_are_ready(&plane).await;
            pod
        };
        let (ended, pod) = tokio::join!(deploying, playing);
        assert_eq!(ended.code, 0, "{}", ended.text);
        (pod, ended)
    }

    /// `make undeploy`.
    async fn undeploy(&self, force: &str) -> Ended {
        script(&self.plane, "undeploy.sh", &[("FORCE", force)]).await
    }

    /// What is there of all that the manifests bring to a cluster.
    async fn brought(&self) -> String {
        let kinds = "crd,namespace,clusterrole,clusterrolebinding,mutatingwebhookconfiguration,validatingwebhookconfiguration";
        let ours =
            ["get", kinds, "-l", "cluster.x-k8s.io/provider=ipam-metal3", "-o", "name", "--ignore-not-found"];
        kubectl(&self.plane, &ours, "").await.text
    }
}

/// Waits until the Deployment is there, with this image.
pub async fn until_wanted(plane: &ControlPlane, image: &str) {
    let wanted = format!("--for=jsonpath={{.spec.template.spec.containers[0].image}}={image}");
    let arguments = ["wait", "--timeout=5s", &wanted, DEPLOYMENT, "-n", SYSTEM_NAMESPACE];
    let start = Instant::now();
    // What is not there at all cannot be waited for.
    while kubectl(plane, &arguments, "").await.code != 0 {
        assert!(start.elapsed() < Duration::from_mins(1), "there is no {DEPLOYMENT} with image {image}");
    }
}

/// Says what the Deployment's controller would say once the pods are ready.
pub async fn pods_are_ready(plane: &ControlPlane) {
    let generation = ["get", DEPLOYMENT, "-n", SYSTEM_NAMESPACE, "-o", "jsonpath={.metadata.generation}"];
    let generation: i64 = kubectl(plane, &generation, "").await.text.parse().unwrap();
    let status = json!({"status": {
        "observedGeneration": generation, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2,
    }});
    let status = status.to_string();
    let arguments =
        ["-n", SYSTEM_NAMESPACE, DEPLOYMENT, "--subresource=status", "--type=merge", "-p", &status];
    patch(plane, &arguments).await;
}

/// The kinds as Metal3's manifests leave them: with a webhook that converts.
async fn kinds_of_metal3(plane: &ControlPlane) {
    let webhook = json!({
        "conversionReviewVersions": ["v1", "v1beta1"],
        "clientConfig": {"service": {"namespace": SYSTEM_NAMESPACE, "name": "ipam-webhook-service", "path": "/convert"}},
    });
    for (_, yaml) in ipam::api::crd_files() {
        let mut crd: Value = serde_saphyr::from_str(&yaml).unwrap();
        crd["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": webhook});
        let applied = kubectl(plane, &["apply", "-f", "-"], &crd.to_string()).await;
        assert_eq!(applied.code, 0, "{}", applied.text);
    }
}

async fn end(mut pod: Replica) {
    pod.signal(Signal::TERM);
    assert!(pod.ended().await.success(), "{}", pod.log());
}

#[tokio::test]
async fn it_is_deployed_used_upgraded_and_taken_away_and_nothing_is_lost_or_left() {
    let plane = Arc::new(ControlPlane::start(Options::default()).await.unwrap());
    let mut site = Site { plane, scene: None };
    kinds_of_metal3(&site.plane).await;
    let nameless = script(&site.plane, "deploy.sh", &[]).await;
    assert!(nameless.code == 2 && nameless.text.contains("IMG=registry/name:tag"), "{}", nameless.text);

    let (first, said) = site.deploy("r.example/ipam:v1").await;
    assert!(said.text.contains("the controller is ready"), "{}", said.text);
    let scene = site.scene();
    scene.create_pool("p", &json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}]})).await;
    scene.create_claim("before").await;
    assert_eq!(scene.bound("before").await, "10.0.0.1");

    // The new pod is ready before the old one goes.
    let (second, _) = site.deploy("r.example/ipam:v2").await;
    let scene = site.scene();
    scene.create_claim("meanwhile").await;
    scene.bound("meanwhile").await;
    end(first).await;
    second.leads().await;
    scene.create_claim("after").await;
    scene.bound("after").await;
    assert_eq!(scene.bound("before").await, "10.0.0.1");

    for (name, variables) in [
        ("deploy.sh", vec![("IMG", "i"), ("NAMESPACE", "other")]),
        ("undeploy.sh", vec![("NAMESPACE", "other")]),
    ] {
        let refused = script(&site.plane, name, &variables).await;
        let says = refused.text.contains("installed in namespace metal3-ipam-system")
            && refused.text.contains("NAMESPACE=metal3-ipam-system");
        assert!(refused.code == 1 && says, "{}", refused.text);
    }

    let refused = site.undeploy("").await;
    assert_eq!(refused.code, 1, "{}", refused.text);
    let row = format!("3 ipclaims.ipam.metal3.io in namespace {}: after before meanwhile", scene.namespace);
    assert!(refused.text.contains(&row) && refused.text.contains("FORCE=1"), "{}", refused.text);
    assert!(site.brought().await.contains("validatingwebhookconfiguration"));

    // By force the controller goes, and what it has given stays, until there is a controller again.
    let forced = site.undeploy("1").await;
    assert_eq!(forced.code, 0, "{}", forced.text);
    drop(second);
    let left = site.brought().await;
    assert!(left.lines().count() == 3 && left.lines().all(|crd| crd.ends_with("ipam.metal3.io")), "{left}");
    assert_eq!(scene.bound("before").await, "10.0.0.1");
    scene.delete_claim("before").await;

    let (third, _) = site.deploy("r.example/ipam:v3").await;
    let scene = site.scene();
    scene.claim_gone("before").await;
    for claim in ["meanwhile", "after"] {
        scene.delete_claim(claim).await;
        scene.claim_gone(claim).await;
    }
    scene.pools.delete("p", &DeleteParams::default()).await.unwrap();
    let gone = || async { scene.pools.get_opt("p").await.unwrap().is_none().then_some(()) };
    scene.until("the pool is gone", gone).await;
    let undeployed = site.undeploy("").await;
    assert_eq!(undeployed.code, 0, "{}", undeployed.text);
    drop(third);
    assert_eq!(site.brought().await, "");
    let again = site.undeploy("").await;
    assert_eq!(again.code, 0, "{}", again.text);
}

#[tokio::test]
async fn the_parts_of_a_second_shard_are_made_as_the_page_says() {
    let plane =
        ControlPlane::start(Options { controller_manager: false, ..Options::default() }).await.unwrap();
    plane.apply_path(&path(RELEASE)).await.unwrap();
    let page = std::fs::read_to_string(path("docs/scaling.md")).unwrap();
    let recipe = page.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let kubectl = plane.kubectl();
    let program = Path::new(kubectl.get_program()).parent().unwrap().display().to_string();
    let mut shell = tokio::process::Command::new("bash");
    shell.envs(kubectl.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.env("PATH", format!("{program}:{}", std::env::var("PATH").unwrap()));
    let ended = run(
        {
            shell.args(["-euo", "pipefail", "-c", recipe]);
            shell
        },
        "",
    )
    .await;
    assert_eq!(ended.code, 0, "{}", ended.text);

    let deployments = |namespace| Api::<Deployment>::namespaced(plane.client(), namespace);
    let args =
        |deployment: Deployment| deployment.spec.template.spec.unwrap().containers[0].args.clone().unwrap();
    let [first, second] = [SYSTEM_NAMESPACE, "rack-b"].map(deployments);
    let second = second.get("ipam-controller-manager").await.unwrap();
    assert_eq!(
        second.spec.template.spec.as_ref().unwrap().service_account_name.as_deref(),
        Some("ipam-manager")
    );
    let args_of_second = args(second);
    for flag in ["--leader-elect", "--watch-filter=rack-b", "--webhook-port=0"] {
        assert!(args_of_second.iter().any(|have| have == flag), "{args_of_second:?}");
    }
    let first = args(first.get("ipam-controller-manager").await.unwrap());
    assert!(first.contains(&"--watch-filter=rack-a".to_owned()), "{first:?}");
    // What one may do, the other may.
    let may = |verb, what, namespace| {
        ["auth", "can-i", verb, what, "-n", namespace, "--as", "system:serviceaccount:rack-b:ipam-manager"]
    };
    for (verb, what, namespace, answer) in [
        ("create", "ipaddresses.ipam.metal3.io", "anywhere", "yes"),
        ("patch", "leases.coordination.k8s.io", "rack-b", "yes"),
        ("patch", "leases.coordination.k8s.io", "anywhere", "no"),
    ] {
        let said = super::kubectl(&plane, &may(verb, what, namespace), "").await.text;
        assert!(said.trim_end().ends_with(answer), "{verb} {what} in {namespace}: {said}");
    }
}
