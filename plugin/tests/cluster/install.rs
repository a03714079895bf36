//! `install` and `uninstall`, each on a control plane of its own: they are about the whole cluster.

use crate::scene::{Scene, objects};

const PLACE: &str = "team-net";

/// A cluster with a pool, a claim that has its address, and the manifests of a controller.
async fn installed() -> Scene {
    let mut scene = Scene::without_cluster_api().await.with_controller();
    scene.done(&["create-pool", "p", "--range", "10.0.0.1-10.0.0.9"]);
    scene.done(&["claim", "c", "--pool", "p"]);
    apply(&scene, &["--image", "example.org/ipam:v1", "--set", "v=4"]).await;
    // Nobody but the Deployment, which has no nodes to run on, is to be there.
    scene.without_controller();
    scene
}

async fn apply(scene: &Scene, flags: &[&str]) {
    let said = scene.ipam_in(PLACE, &[&["install"], flags].concat());
    assert_eq!(said.code, 0, "{}", said.stderr);
    let file = scene.plane.dir().join("install.yaml");
    std::fs::write(&file, said.stdout).unwrap();
    scene.plane.apply_path(&file).await.unwrap();
}

fn finalizers(scene: &Scene) -> String {
    let kinds = "ippools.ipam.metal3.io,ipclaims.ipam.metal3.io,ipaddresses.ipam.metal3.io";
    scene.kubectl(&["get", kinds, "-o", "jsonpath={.items[*].metadata.finalizers}"])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_installed_goes_without_a_trace_and_leaves_the_addresses() {
    let scene = installed().await;
    let args = "jsonpath={.spec.template.spec.containers[0].args}";
    let deployment = ["get", "deployment", "ipam-controller-manager", "--namespace", PLACE, "-o", args];
    let args = crate::scene::said(scene.plane.kubectl().args(deployment)).stdout;
    assert!(args.ends_with(r#""--v=4"]"#), "{args}");

    let said = scene.ipam_in("elsewhere", &["install", "--image", "example.org/ipam:v2"]);
    let warned = said.stderr.contains("warning: a controller is installed in namespace team-net");
    assert!(said.code == 0 && warned, "{}", said.stderr);
    assert!(scene.done(&["version"]).contains("image        example.org/ipam:v1"));

    let said = scene.ipam_in(PLACE, &["uninstall", "--yes"]);
    assert_eq!((said.code, said.stdout.as_str()), (1, ""));
    let told = "error: addresses are held by 1 claim\n  because: ipclaim.ipam.metal3.io/c -n default\nhint: ";
    assert!(said.stderr.starts_with(told), "{}", said.stderr);

    let said = scene.ipam_in("elsewhere", &["uninstall", "--drain", "--yes"]);
    assert_eq!((said.code, said.stdout.as_str()), (2, ""));
    assert_eq!(
        said.stderr,
        "error: the controller is installed in namespace team-net, not in elsewhere\nhint: -n team-net\n"
    );

    let plan = scene.ipam_in(PLACE, &["uninstall", "--drain", "--dry-run"]);
    assert_eq!(plan.code, 0, "{}", plan.stderr);
    let address = scene.kubectl(&["get", "ipaddresses.ipam.metal3.io", "-o", "name"]);
    insta::with_settings!({filters => vec![(address.trim(), "ADDRESS")]}, {
        insta::assert_snapshot!(plan.stdout, @r"
        - mutatingwebhookconfiguration.admissionregistration.k8s.io/ipam-mutating-webhook-configuration
        - validatingwebhookconfiguration.admissionregistration.k8s.io/ipam-validating-webhook-configuration
        - deployment.apps/ipam-controller-manager   # image example.org/ipam:v1
        ~ ADDRESS   # let go: in namespace default
        ~ ipclaim.ipam.metal3.io/c   # let go: in namespace default
        ~ ippool.ipam.metal3.io/p   # let go: in namespace default
        - poddisruptionbudget.policy/ipam-controller-manager
        - service/ipam-webhook-service
        - service/ipam-metrics-service
        - clusterrolebinding.rbac.authorization.k8s.io/ipam-manager-rolebinding
        - rolebinding.rbac.authorization.k8s.io/ipam-leader-election-rolebinding
        - rolebinding.rbac.authorization.k8s.io/ipam-certificates-rolebinding
        - clusterrole.rbac.authorization.k8s.io/ipam-viewer-role
        - clusterrole.rbac.authorization.k8s.io/ipam-manager-role
        - clusterrole.rbac.authorization.k8s.io/ipam-editor-role
        - clusterrole.rbac.authorization.k8s.io/ipam-admin-role
        - role.rbac.authorization.k8s.io/ipam-leader-election-role
        - role.rbac.authorization.k8s.io/ipam-certificates-role
        - serviceaccount/ipam-manager
        - namespace/team-net
        ");
    });
    assert_eq!(scene.ipam_in(PLACE, &["uninstall", "--drain"]).code, 2, "nobody is there to agree");

    let gone = scene.ipam_in(PLACE, &["uninstall", "--drain", "--yes"]);
    assert_eq!(gone.code, 0, "{}{}", gone.stdout, gone.stderr);
    assert!(gone.stdout.ends_with("namespace/team-net deleted\n"), "{}", gone.stdout);
    assert_eq!(finalizers(&scene), "");
    assert_eq!(scene.done(&["whois", "c", "-o", "jsonpath={.items[*].claim}"]), "c\n");
    let all = ["get", "clusterroles,clusterrolebindings", "-l", "cluster.x-k8s.io/provider=ipam-metal3"];
    assert_eq!(scene.kubectl(&[&all[..], &["-o", "name"]].concat()), "");

    let again = scene.ipam_in(PLACE, &["uninstall", "--yes"]);
    assert_eq!((again.code, again.stdout.as_str()), (0, ""), "{}", again.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_stays_with_what_others_have_in_it_and_one_that_was_there_before_stays_empty() {
    let scene = Scene::without_cluster_api().await;
    let kubectl = |arguments: &[&str]| {
        let said = crate::scene::said(scene.plane.kubectl().args(arguments));
        assert_eq!(said.code, 0, "{arguments:?}: {}", said.stderr);
    };
    let namespace = "- namespace/team-net\n";
    apply(&scene, &[]).await;
    let plan = || scene.ipam_in(PLACE, &["uninstall", "--dry-run"]);
    let alone = plan();
    assert!(alone.stdout.ends_with(namespace), "{}{}", alone.stdout, alone.stderr);
    // Who may take the controller away, and may not look at everything beside it.
    let role = serde_json::json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "uninstaller"},
        "rules": [
            {"apiGroups": [""], "resources": ["namespaces", "serviceaccounts", "services", "pods"], "verbs": ["*"]},
            {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["ipam-webhook-certificate"], "verbs": ["*"]},
            {"apiGroups": ["apps", "policy", "coordination.k8s.io", "rbac.authorization.k8s.io", "apiextensions.k8s.io",
                           "admissionregistration.k8s.io", "ipam.metal3.io", "ipam.cluster.x-k8s.io"],
             "resources": ["*"], "verbs": ["*"]},
        ],
    });
    scene.create(&[role]);
    kubectl(&["create", "clusterrolebinding", "uninstaller", "--clusterrole=uninstaller", "--user=somebody"]);
    let blind = scene.ipam_in(PLACE, &["uninstall", "--dry-run", "--as", "somebody"]);
    assert!(blind.code == 0 && !blind.stdout.contains(namespace), "{}{}", blind.stdout, blind.stderr);
    let told = "namespace team-net stays: what is in it cannot be told: cannot list ";
    assert!(blind.stderr.contains(told), "{}", blind.stderr);
    kubectl(&["create", "secret", "generic", "bmc", "-n", PLACE]);
    let shared = plan();
    assert!(shared.code == 0 && !shared.stdout.contains(namespace), "{}", shared.stdout);
    assert!(shared.stderr.contains("namespace team-net stays: it has secrets/bmc\n"), "{}", shared.stderr);
    kubectl(&["delete", "secret", "bmc", "-n", PLACE]);
    kubectl(&["label", "namespace", PLACE, "cluster.x-k8s.io/provider-"]);
    let foreign = plan();
    assert!(foreign.code == 0 && !foreign.stdout.contains(namespace), "{}", foreign.stdout);
    assert!(foreign.stderr.contains("namespace team-net stays: it was there before\n"), "{}", foreign.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn finalizers_stay_on_while_anybody_leads_and_the_kinds_go_when_they_are_meant() {
    let scene = installed().await;
    let lease = serde_json::json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "controller-leader-election-ipam-capm3", "namespace": "default"},
        // Held for sixty years, so that it is held whenever this runs.
        "spec": {"holderIdentity": "somebody", "leaseDurationSeconds": 2_000_000_000, "renewTime": "2026-01-01T00:00:00.000000Z"},
    });
    scene.create(&[lease]);
    let said = scene.ipam_in(PLACE, &["uninstall", "--drain", "--crds", "--yes", "--timeout", "2s"]);
    assert_eq!(said.code, 124, "{}{}", said.stdout, said.stderr);
    let told =
        "error: not within 2s: the controller has ended\n  because: a controller runs (leader somebody, ";
    assert!(said.stderr.contains(told), "{}", said.stderr);
    assert!(finalizers(&scene).contains("ipclaim.ipam.metal3.io"));

    scene.kubectl(&["delete", "lease", "controller-leader-election-ipam-capm3"]);
    scene.create(&[objects::pool("late", "10.1.0.1", "10.1.0.9")]);
    let plan = scene.ipam_in(PLACE, &["uninstall", "--drain", "--crds", "--dry-run"]).stdout;
    let kind = "- customresourcedefinition.apiextensions.k8s.io/ippools.ipam.metal3.io   # and 2 objects of this kind\n";
    assert!(plan.contains(kind), "{plan}");
    let gone = scene.ipam_in(PLACE, &["uninstall", "--drain", "--crds", "--yes"]);
    assert_eq!(gone.code, 0, "{}{}", gone.stdout, gone.stderr);
    assert_eq!(scene.kubectl(&["get", "crds", "-o", "name"]), "");
    let said = scene.ipam_in(PLACE, &["uninstall", "--yes"]);
    assert_eq!((said.code, said.stdout.as_str()), (0, ""));
    assert_eq!(said.stderr, "nothing is installed in namespace team-net\n");
}
