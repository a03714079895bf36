//! What the scripts of the Makefile leave alone, and when they do nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipam::api::Family;
use serde_json::json;
use testbed::{ControlPlane, Options};

use super::operator::pods_are_ready;
use super::{Ended, RELEASE, installed, kubectl, patch, path, run, script};
use crate::scene::{CAPI_CRDS, Scene, install};

/// `kubectl` as it is, and what it has to say.
async fn said(plane: &ControlPlane, arguments: &[&str]) -> String {
    let done = kubectl(plane, arguments, "").await;
    assert_eq!(done.code, 0, "{arguments:?}: {}", done.text);
    done.text
}

/// A kubectl that fails where its arguments begin so, and else deletes nothing and writes down that it should have.
struct Unwell {
    program: PathBuf,
    log: PathBuf,
}

impl Unwell {
    fn of(plane: &ControlPlane, name: &str, fails_at: &str) -> Self {
        let (program, log) = (plane.dir().join(name), plane.dir().join(format!("{name}.log")));
        let text = format!(
            "#!/usr/bin/env bash\ncase \"$*\" in\n\
             '{fails_at}'*) echo 'Error from server: etcdserver: request timed out' >&2; exit 1 ;;\n\
             *delete*) echo \"$*\" >>'{log}'; exit 0 ;;\n\
             esac\nexec '{kubectl}' \"$@\"\n",
            log = log.display(),
            kubectl = plane.kubectl().get_program().display(),
        );
        testbed::write_program(&program, &text).unwrap();
        Self { program, log }
    }

    /// What it was asked to delete.
    fn deletions(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

#[tokio::test]
async fn a_cluster_that_cannot_be_read_loses_nothing() {
    let plane = installed().await;
    for (name, fails_at) in [
        ("kinds", "get crd"),
        ("pools", "get ippools.ipam.metal3.io"),
        ("claims", "get ipclaims.ipam.metal3.io"),
        ("addresses", "get ipaddresses.ipam.metal3.io"),
        ("deployments", "get deployments"),
    ] {
        for force in ["", "1"] {
            let unwell = Unwell::of(&plane, name, fails_at);
            let variables = [("KUBECTL", unwell.program.to_str().unwrap()), ("FORCE", force)];
            let ended = script(&plane, "undeploy.sh", &variables).await;
            assert_ne!(ended.code, 0, "{name}: {}", ended.text);
            assert!(ended.text.contains("request timed out"), "{name}: {}", ended.text);
            assert_eq!(unwell.deletions(), "", "{name}: {}", ended.text);
        }
    }
    // So that it is known that deletions are seen.
    let well = Unwell::of(&plane, "well", "nothing");
    let variables = [("KUBECTL", well.program.to_str().unwrap()), ("FORCE", "1")];
    let ended = script(&plane, "undeploy.sh", &variables).await;
    assert!(well.deletions().contains("delete deployments"), "{}", ended.text);
}

/// `make deploy` as far as it comes where no pod ever runs.
async fn begun(plane: &ControlPlane, namespace: &str) -> Ended {
    let ended =
        script(plane, "deploy.sh", &[("IMG", "r.example/i:v1"), ("NAMESPACE", namespace), ("TIMEOUT", "1")])
            .await;
    assert!(ended.code == 1 && ended.text.contains("not ready within 1 s"), "{}", ended.text);
    ended
}

#[tokio::test]
async fn a_namespace_of_others_keeps_its_labels_and_all_that_is_in_it() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    let label = |label: &str| format!("jsonpath={{.metadata.labels.{}}}", label.replace('.', "\\."));
    let (enforce, provider) =
        (label("pod-security.kubernetes.io/enforce"), label("cluster.x-k8s.io/provider"));
    said(&plane, &["create", "namespace", "metal3"]).await;
    said(&plane, &["label", "namespace", "metal3", "pod-security.kubernetes.io/enforce=privileged"]).await;
    said(&plane, &["-n", "metal3", "create", "secret", "generic", "bmc", "--from-literal=password=x"]).await;
    let deployed = begun(&plane, "metal3").await;
    assert!(deployed.text.contains("namespace metal3 is there already"), "{}", deployed.text);
    assert_eq!(said(&plane, &["get", "namespace", "metal3", "-o", &enforce]).await, "privileged");
    assert_eq!(said(&plane, &["get", "namespace", "metal3", "-o", &provider]).await, "");
    let deployment = ["-n", "metal3", "get", "deployment/ipam-controller-manager", "-o", "name"];
    said(&plane, &deployment).await;

    let undeploy = async || {
        let ended = script(&plane, "undeploy.sh", &[("NAMESPACE", "metal3")]).await;
        assert_eq!(ended.code, 0, "{}", ended.text);
        assert_ne!(kubectl(&plane, &deployment, "").await.code, 0);
        let namespace = ["get", "namespace", "metal3", "-o", "jsonpath={.status.phase}"];
        assert_eq!(said(&plane, &namespace).await, "Active", "{}", ended.text);
        ended.text
    };
    let with_secret = undeploy().await;
    let rest = "namespace metal3 stays, as there is more in it:\nsecret/bmc\n";
    assert!(with_secret.contains(rest), "{with_secret}");
    let secret = ["-n", "metal3", "get", "secret", "bmc", "-o", "jsonpath={.data.password}"];
    assert_eq!(said(&plane, &secret).await, "eA==");
    // Who has our label may have had it put on.
    said(&plane, &["label", "namespace", "metal3", "cluster.x-k8s.io/provider=ipam-metal3"]).await;
    assert!(undeploy().await.contains(rest));
    assert_eq!(said(&plane, &secret).await, "eA==");
    // What cannot be told is not nothing.
    said(&plane, &["-n", "metal3", "delete", "secret", "bmc"]).await;
    let unwell = Unwell::of(&plane, "unwell", "api-resources");
    let variables = [("KUBECTL", unwell.program.to_str().unwrap()), ("NAMESPACE", "metal3")];
    let blind = script(&plane, "undeploy.sh", &variables).await;
    assert!(blind.code == 1 && !unwell.deletions().contains("namespace"), "{}", blind.text);
    // One that is empty and not ours.
    said(&plane, &["label", "namespace", "metal3", "cluster.x-k8s.io/provider-"]).await;
    assert!(undeploy().await.contains("`make deploy` has not made it"));
}

#[tokio::test]
async fn nobody_is_told_that_pools_can_be_made_before_admission_judges_them() {
    let plane =
        ControlPlane::start(Options { controller_manager: false, ..Options::default() }).await.unwrap();
    plane.apply_path(&path(RELEASE)).await.unwrap();
    // What is left of an installation before: nothing is behind it.
    let stale = json!({"webhooks": [{
        "name": "validation.ippool.ipam.metal3.io",
        "clientConfig": {"caBundle": "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg=="},
    }]});
    let webhooks = "validatingwebhookconfiguration/ipam-validating-webhook-configuration";
    patch(&plane, &[webhooks, "-p", &stale.to_string()]).await;
    let image = [("IMG", "r.example/ipam:v1"), ("TIMEOUT", "10")];
    let deploying = script(&plane, "deploy.sh", &image);
    let playing = async {
        super::operator::until_wanted(&plane, "r.example/ipam:v1").await;
        pods_are_ready(&plane).await;
    };
    let (ended, ()) = tokio::join!(deploying, playing);
    assert_eq!(ended.code, 1, "{}", ended.text);
    let told = ended.text.contains("admission does not judge them")
        && ended.text.contains("failed calling webhook")
        && !ended.text.contains("is ready; next");
    assert!(told, "{}", ended.text);

    let annotate = ["annotate", webhooks, "cert-manager.io/inject-ca-from=capm3-system/ipam-serving-cert"];
    said(&plane, &annotate).await;
    let ended = script(&plane, "deploy.sh", &image).await;
    assert!(!ended.text.contains("serverside-applied"), "{}", ended.text);
    let hint = "hint: `kubectl annotate validatingwebhookconfiguration/ipam-validating-webhook-configuration \
                mutatingwebhookconfiguration/ipam-mutating-webhook-configuration cert-manager.io/inject-ca-from-`";
    assert!(ended.code == 1 && ended.text.contains(hint), "{}", ended.text);
}

#[tokio::test]
async fn what_cannot_go_well_is_said_before_anything_is_applied() {
    let plane =
        ControlPlane::start(Options { controller_manager: false, ..Options::default() }).await.unwrap();
    let refused = async |variables: &[(&str, &str)], why: &str| {
        let ended = script(&plane, "deploy.sh", variables).await;
        assert!(ended.code != 0 && ended.text.contains(why), "{variables:?}: {}", ended.text);
        let kinds =
            said(&plane, &["get", "crd,namespace", "-l", "cluster.x-k8s.io/provider", "-o", "name"]).await;
        assert_eq!(kinds, "", "{variables:?}: {}", ended.text);
    };
    refused(&[("IMG", "r.example:5000/ipam"), ("TIMEOUT", "1")], "has neither a tag nor a digest").await;
    let old = plane.dir().join("old-kubectl");
    let text = format!(
        "#!/usr/bin/env bash\n[ \"$*\" != 'get --raw /version' ] || {{ echo '{{ \"major\": \"1\", \"minor\": \"30+\" }}'; exit; }}\n\
         exec '{}' \"$@\"\n",
        plane.kubectl().get_program().display()
    );
    testbed::write_program(&old, &text).unwrap();
    let image = ("IMG", "r.example/ipam:v1");
    refused(&[image, ("KUBECTL", old.to_str().unwrap())], "this is Kubernetes 1.30, and the kinds need 1.31")
        .await;

    // Metal3's, from when it was a part of the infrastructure provider.
    said(&plane, &["create", "namespace", "capm3-system"]).await;
    for name in ["capm3-controller-manager", "capm3-ipam-controller-manager"] {
        let deployment = format!("deployment/{name}");
        said(&plane, &["-n", "capm3-system", "create", "deployment", name, "--image=r.example/metal3:v1"])
            .await;
        let label = "cluster.x-k8s.io/provider=infrastructure-metal3";
        said(&plane, &["-n", "capm3-system", "label", &deployment, label]).await;
    }
    let old = "an old release of Metal3's controller is installed in namespace capm3-system";
    for namespace in ["metal3-ipam-system", "capm3-system"] {
        refused(&[image, ("NAMESPACE", namespace)], old).await;
        let undeployed = script(&plane, "undeploy.sh", &[("NAMESPACE", namespace)]).await;
        assert!(undeployed.code == 1 && undeployed.text.contains(old), "{}", undeployed.text);
    }
    said(&plane, &["-n", "capm3-system", "delete", "deployment/capm3-ipam-controller-manager"]).await;
    let alone = script(&plane, "deploy.sh", &[image, ("TIMEOUT", "1")]).await;
    assert!(alone.text.contains("not ready within 1 s"), "{}", alone.text);
}

/// `make TARGET` with the kubectl of the test bed, in the scene's namespace.
async fn make(scene: &Scene, target: &str) -> Ended {
    let mut context = vec!["config", "set-context", "--current", "--namespace", &scene.namespace];
    let kubectl = scene.plane.kubectl();
    let kubeconfig = scene.plane.dir().join(format!("{}.kubeconfig", scene.namespace));
    let own = kubectl.get_envs().find(|(name, _)| *name == "KUBECONFIG").unwrap().1.unwrap();
    std::fs::copy(own, &kubeconfig).unwrap();
    let file = format!("--kubeconfig={}", kubeconfig.display());
    context.push(&file);
    said(&scene.plane, &context).await;
    let folder = Path::new(kubectl.get_program()).parent().unwrap().display().to_string();
    let mut command = tokio::process::Command::new("make");
    command.args(["--no-print-directory", "-C", env!("CARGO_MANIFEST_DIR"), target]);
    command
        .env("KUBECONFIG", &kubeconfig)
        .env("PATH", format!("{folder}:{}", std::env::var("PATH").unwrap()));
    run(command, "").await
}

#[tokio::test]
async fn the_examples_are_served_with_cluster_api_and_without_and_go_again() {
    for (name, kinds) in [("bare", &[][..]), ("capi", &CAPI_CRDS[..])] {
        let options = Options { controller_manager: false, ..Options::default() };
        let plane = Arc::new(ControlPlane::start(options).await.unwrap());
        install(&plane, kinds).await;
        let mut scene = Scene::on(plane, Family::Metal3, name).await;
        scene.start_controller();
        let deployed = make(&scene, "deploy-examples").await;
        assert_eq!(deployed.code, 0, "{}", deployed.text);
        let left_out = deployed.text.contains("examples/capi-claim.yaml is left out");
        assert_eq!(left_out, kinds.is_empty(), "{}", deployed.text);
        if !left_out {
            let address = ["-n", &scene.namespace, "get", "ipaddressclaims.ipam.cluster.x-k8s.io", "capi-1"];
            let address = [&address[..], &["-o", "jsonpath={.status.addressRef.name}"]].concat();
            assert!(said(&scene.plane, &address).await.starts_with("rack-1-192-168-20-"));
        }
        let deleted = make(&scene, "delete-examples").await;
        assert_eq!(deleted.code, 0, "{}", deleted.text);
        let objects =
            ["-n", &scene.namespace, "get", "ippools,ipclaims,ipaddresses.ipam.metal3.io", "-o", "name"];
        assert_eq!(said(&scene.plane, &objects).await, "");
    }
}
