//! What is applied: admitted as it is, and the same when it is applied again.

use std::collections::BTreeMap;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use testbed::{ControlPlane, Options};

use super::{RELEASE, installed, kubectl, objects, path, pod, scene, script, shipped};
use crate::scene::Scene;

#[tokio::test]
async fn pods_of_the_deployment_are_admitted_under_the_restricted_profile() {
    let plane = installed().await;
    let namespace = kubectl(&plane, &["get", "namespace", "metal3-ipam-system", "-o", "yaml"], "").await;
    assert!(namespace.text.contains("pod-security.kubernetes.io/enforce: restricted"), "{}", namespace.text);
    let create = ["create", "--dry-run=server", "--warnings-as-errors", "-f", "-"];
    let named = |mut pod: Value, name: &str| {
        pod["metadata"]["name"] = json!(name);
        pod.to_string()
    };
    let admitted = kubectl(&plane, &create, &named(pod(), "as-it-is")).await;
    assert_eq!(admitted.code, 0, "{}", admitted.text);
    // So that it is known that somebody looks.
    for (pointer, value) in [
        ("/spec/containers/0/securityContext/allowPrivilegeEscalation", json!(true)),
        ("/spec/containers/0/securityContext/capabilities", json!({})),
        ("/spec/securityContext/runAsNonRoot", json!(false)),
        ("/spec/securityContext/seccompProfile/type", json!("Unconfined")),
    ] {
        let mut pod = pod();
        *pod.pointer_mut(pointer).unwrap() = value;
        let refused = kubectl(&plane, &create, &named(pod, "spoilt")).await;
        assert!(refused.text.contains("violates PodSecurity \"restricted"), "{pointer}: {}", refused.text);
    }
}

#[test]
fn pods_have_no_more_than_they_need() {
    let pod = pod();
    let container = &pod["spec"]["containers"][0];
    assert_eq!(pod["spec"]["containers"].as_array().unwrap().len(), 1);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["capabilities"], json!({"drop": ["ALL"]}));
    assert_eq!(pod["spec"]["securityContext"]["runAsUser"], 65532);
    assert!(
        container["resources"]["limits"]["memory"].is_string()
            && container["resources"]["requests"]["cpu"].is_string()
    );
    // Every port that is probed or that a Service leads to has its name in the pod, and no other.
    let ports: BTreeMap<&str, i64> = container["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| (port["name"].as_str().unwrap(), port["containerPort"].as_i64().unwrap()))
        .collect();
    assert_eq!(ports, BTreeMap::from([("admission", 9443), ("healthz", 9440), ("metrics", 8443)]));
    assert_eq!(container["livenessProbe"]["httpGet"], json!({"path": "/healthz", "port": "healthz"}));
    assert_eq!(container["readinessProbe"]["httpGet"], json!({"path": "/readyz", "port": "healthz"}));
}

#[test]
fn services_the_budget_and_the_spread_select_the_pods() {
    let labels = pod()["metadata"]["labels"].clone();
    let selects = |selector: &Value| {
        let selector = selector.as_object().unwrap();
        !selector.is_empty() && selector.iter().all(|(label, value)| labels[label] == *value)
    };
    for name in ["ipam-webhook-service", "ipam-metrics-service"] {
        assert!(selects(&shipped("Service", name)["spec"]["selector"]), "{name}");
    }
    let budget = shipped("PodDisruptionBudget", "ipam-controller-manager");
    assert!(selects(&budget["spec"]["selector"]["matchLabels"]));
    let deployment = shipped("Deployment", "ipam-controller-manager");
    assert!(selects(&deployment["spec"]["selector"]["matchLabels"]));
    let spread = &deployment["spec"]["template"]["spec"]["topologySpreadConstraints"][0];
    assert!(selects(&spread["labelSelector"]["matchLabels"]));
}

/// A network policy and a scraper find the ports by their names, the API server by their numbers.
#[test]
fn services_lead_to_the_ports_that_pods_have() {
    for (name, ports) in [
        ("ipam-webhook-service", json!([{"name": "admission", "port": 443, "targetPort": 9443}])),
        ("ipam-metrics-service", json!([{"name": "metrics", "port": 8443, "targetPort": "metrics"}])),
    ] {
        assert_eq!(shipped("Service", name)["spec"]["ports"], ports, "{name}");
    }
    for kind in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
        let name =
            format!("ipam-{}-webhook-configuration", kind.split("Webhook").next().unwrap().to_lowercase());
        for webhook in shipped(kind, &name)["webhooks"].as_array().unwrap() {
            let service = &webhook["clientConfig"]["service"];
            assert_eq!(service["name"], "ipam-webhook-service", "{webhook}");
            assert!(service["port"].is_null() || service["port"] == 443, "{webhook}");
        }
    }
}

/// clusterctl finds the kinds, and which of their versions go with which contract of Cluster API, by labels; it moves
/// pools and all that they own.
#[test]
fn crds_carry_the_labels_by_which_clusterctl_finds_them() {
    for plural in ["ippools", "ipclaims", "ipaddresses"] {
        let crd = shipped("CustomResourceDefinition", &format!("{plural}.ipam.metal3.io"));
        let labels = &crd["metadata"]["labels"];
        for (label, value) in [
            ("cluster.x-k8s.io/provider", "ipam-metal3"),
            ("cluster.x-k8s.io/v1beta1", "v1alpha1"),
            ("cluster.x-k8s.io/v1beta2", "v1alpha1"),
            ("clusterctl.cluster.x-k8s.io", ""),
        ] {
            assert_eq!(labels[label], value, "{plural}: {label}");
        }
        let moved = labels.get("clusterctl.cluster.x-k8s.io/move-hierarchy");
        assert_eq!(moved, (plural == "ippools").then_some(&json!("")), "{plural}");
    }
}

#[tokio::test]
async fn applied_again_the_manifests_change_nothing() {
    let plane = installed().await;
    let release = path(RELEASE);
    let release = release.to_str().unwrap();
    // As whoever has applied them: `ControlPlane::apply_path` leaves kubectl its own name.
    for _ in 0..2 {
        let again = ["apply", "--server-side", "--dry-run=server", "--warnings-as-errors", "-f", release];
        let done = kubectl(&plane, &again, "").await;
        assert_eq!(done.code, 0, "{}", done.text);
        let difference = kubectl(&plane, &["diff", "--server-side", "-f", release], "").await;
        assert_eq!((difference.code, difference.text.as_str()), (0, ""));
    }
    let text = std::fs::read_to_string(release).unwrap();
    let changed = text.replace("replicas: 2", "replicas: 3");
    let difference = kubectl(&plane, &["diff", "--server-side", "-f", "-"], &changed).await;
    assert!(difference.code == 1 && difference.text.contains("replicas: 3"), "{}", difference.text);
}

/// Whether a user may do this in the namespace.
async fn may(scene: &Scene, user: &str, verb: &str, resource: &str) -> bool {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let asked = ResourceAttributes {
        group: Some("ipam.metal3.io".into()),
        namespace: Some(scene.namespace.clone()),
        resource: Some(resource.into()),
        subresource: Some(subresource.into()),
        verb: Some(verb.into()),
        ..ResourceAttributes::default()
    };
    let spec = SubjectAccessReviewSpec {
        user: Some(user.into()),
        resource_attributes: Some(asked),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let reviews: Api<SubjectAccessReview> = Api::all(scene.plane.client());
    reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
}

#[tokio::test]
async fn who_may_view_edit_or_administer_a_namespace_may_do_so_with_its_pools() {
    let scene = scene(installed().await, "roles").await;
    for role in ["view", "edit", "admin"] {
        let (role, user) = (format!("--clusterrole={role}"), format!("--user=who-may-{role}"));
        let bind = ["create", "rolebinding", &role[14..], "-n", &scene.namespace, &role, &user];
        let bound = kubectl(&scene.plane, &bind, "").await;
        assert_eq!(bound.code, 0, "{}", bound.text);
    }
    // The roles are put together by kube-controller-manager, in a moment.
    let look = || async { may(&scene, "who-may-admin", "delete", "ipaddresses").await.then_some(()) };
    scene.until("the roles are put together", look).await;
    for (resource, verb, who) in [
        ("ippools", "list", "view edit admin"),
        ("ipclaims", "watch", "view edit admin"),
        ("ipaddresses", "get", "view edit admin"),
        ("ippools", "patch", "edit admin"),
        ("ipclaims", "create", "edit admin"),
        ("ipclaims", "delete", "edit admin"),
        ("ipaddresses", "create", "admin"),
        ("ipaddresses", "patch", "admin"),
        ("ipclaims/status", "patch", "admin"),
    ] {
        for role in ["view", "edit", "admin"] {
            let allowed = may(&scene, &format!("who-may-{role}"), verb, resource).await;
            assert_eq!(allowed, who.split(' ').any(|may| may == role), "{role} {verb} {resource}");
        }
    }
}

#[tokio::test]
async fn each_component_is_rendered_for_whichever_namespace() {
    let plane = installed().await;
    for component in ["", "cert-manager", "monitoring", "network-policy", "openshift"] {
        for namespace in ["metal3-ipam-system", "elsewhere"] {
            let variables =
                [("COMPONENTS", component), ("NAMESPACE", namespace), ("IMG", "r.example:5000/a/ipam:v9")];
            let rendered = script(&plane, "render.sh", &variables).await;
            assert_eq!(rendered.code, 0, "{}", rendered.text);
            assert_eq!(rendered.text.contains("metal3-ipam-system"), namespace == "metal3-ipam-system");
            assert!(rendered.text.contains(&format!("system:serviceaccount:{namespace}:ipam-manager'")));
            assert!(rendered.text.contains("image: r.example:5000/a/ipam:v9\n"));
            for object in objects(&rendered.text) {
                let label = &object["metadata"]["labels"]["cluster.x-k8s.io/provider"];
                assert_eq!(label, "ipam-metal3", "{object}");
            }
        }
    }
    let variables = [("COMPONENTS", "network-policy")];
    let rendered = script(&plane, "render.sh", &variables).await;
    let apply = ["apply", "--server-side", "--dry-run=server", "--warnings-as-errors", "-f", "-"];
    let policy = kubectl(&plane, &apply, &rendered.text).await;
    assert!(policy.code == 0 && policy.text.contains("networkpolicy"), "{}", policy.text);
    let unknown = script(&plane, "render.sh", &[("COMPONENTS", "cert-manger")]).await;
    assert!(unknown.code == 2 && unknown.text.contains("there are: cert-manager"), "{}", unknown.text);
}

#[tokio::test]
async fn all_components_are_applied_where_their_kinds_are_served() {
    let options = Options { controller_manager: false, ..Options::default() };
    let plane = ControlPlane::start(options).await.unwrap();
    let (certificates, monitoring) =
        (testbed::cert_manager_crds().unwrap(), testbed::prometheus_operator_crds().unwrap());
    for (folder, kind) in [
        (&certificates, "cert-manager.io_certificates"),
        (&certificates, "cert-manager.io_issuers"),
        (&monitoring, "monitoring.coreos.com_servicemonitors"),
        (&monitoring, "monitoring.coreos.com_prometheusrules"),
    ] {
        plane.apply_path(&folder.join(format!("{kind}.yaml"))).await.unwrap();
    }
    let components = [("COMPONENTS", "cert-manager monitoring network-policy"), ("NAMESPACE", "elsewhere")];
    let rendered = script(&plane, "render.sh", &components).await.text;
    let apply = ["apply", "--server-side", "--validate=strict", "--warnings-as-errors", "-f", "-"];
    let applied = kubectl(&plane, &apply, &rendered).await;
    assert_eq!(applied.code, 0, "{}", applied.text);
    // Nothing was dropped or given a default that the next application would fight with.
    let difference = kubectl(&plane, &["diff", "--server-side", "-f", "-"], &rendered).await;
    assert_eq!((difference.code, difference.text.as_str()), (0, ""));
    let all = objects(&rendered);
    let the = |kind: &str, name: &str| {
        all.iter().find(|each| each["kind"] == kind && each["metadata"]["name"] == name).unwrap()
    };
    let certificate = &the("Certificate", "ipam-serving-cert")["spec"];
    assert_eq!(certificate["dnsNames"][0], "ipam-webhook-service.elsewhere.svc");
    // What is trusted stays when what is served is renewed.
    let issuer = &the("Issuer", certificate["issuerRef"]["name"].as_str().unwrap())["spec"];
    let authority = &the("Certificate", "ipam-serving-ca")["spec"];
    assert_eq!(issuer["ca"]["secretName"], authority["secretName"], "{issuer}");
    assert!(authority["isCA"] == true && authority["duration"] == "87600h", "{authority}");
    assert_eq!(authority["privateKey"]["rotationPolicy"], "Never");
    assert_eq!(
        the("Issuer", authority["issuerRef"]["name"].as_str().unwrap())["spec"],
        json!({"selfSigned": {}})
    );
    let pod = &the("Deployment", "ipam-controller-manager")["spec"]["template"]["spec"];
    assert_eq!(pod["volumes"][0]["secret"]["secretName"], certificate["secretName"]);
    let monitor = &the("ServiceMonitor", "ipam-controller-manager")["spec"];
    let service = the("Service", "ipam-metrics-service");
    let wanted = monitor["selector"]["matchLabels"].as_object().unwrap();
    assert!(wanted.iter().all(|(label, value)| service["metadata"]["labels"][label] == *value));
    assert_eq!(monitor["endpoints"][0]["port"], service["spec"]["ports"][0]["name"]);
    let credentials = &monitor["endpoints"][0]["authorization"]["credentials"];
    let secret = the("Secret", credentials["name"].as_str().unwrap());
    assert_eq!(
        secret["metadata"]["annotations"]["kubernetes.io/service-account.name"],
        "ipam-metrics-reader"
    );
}

#[test]
fn image_and_release_series_are_of_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(pod()["spec"]["containers"][0]["image"], format!("localhost/ipam-controller:v{version}"));
    let metadata: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(path("config/release/metadata.yaml")).unwrap())
            .unwrap();
    let mut parts = version.split('.').map(|part| part.parse::<i64>().unwrap());
    let (major, minor) = (parts.next().unwrap(), parts.next().unwrap());
    let series = metadata["releaseSeries"].as_array().unwrap();
    assert!(series.iter().any(|one| one["major"] == major && one["minor"] == minor), "{metadata}");
}
