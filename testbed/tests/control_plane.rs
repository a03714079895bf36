//! A control plane starts, serves, can be broken and mended, and ends with nothing left.

#![expect(clippy::unwrap_used, reason = "that is how a test fails")]

use std::{
    io::Read as _,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, ObjectMeta, PostParams},
};
use testbed::{Component, ControlPlane, Error, Options};

/// Whether a process is there that does more than wait to be reaped.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

/// Asks until the answer is yes; a minute at most.
async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !condition().await {
        assert!(Instant::now() < deadline, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

async fn create_config_map(client: Client, name: &str) -> kube::Result<ConfigMap> {
    let object = ConfigMap { metadata: named(name), ..ConfigMap::default() };
    Api::namespaced(client, "default").create(&PostParams::default(), &object).await
}

#[tokio::test]
async fn a_dropped_control_plane_leaves_neither_processes_nor_files() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    let pids = Component::ALL.map(|component| plane.pid(component).unwrap());
    let dir = plane.dir().to_owned();
    assert!(pids.iter().all(|pid| is_alive(*pid)) && dir.exists());
    drop(plane);
    assert!(!pids.iter().any(|pid| is_alive(*pid)));
    assert!(!dir.exists());
}

#[tokio::test]
#[expect(clippy::zombie_processes, reason = "what ends the client is what is tested")]
async fn a_shared_control_plane_ends_with_its_process() {
    const ROLE: &str = "TESTBED_TEST_ROLE";
    if let Ok(role) = std::env::var(ROLE) {
        let plane = ControlPlane::shared().await.unwrap();
        assert_eq!(ControlPlane::shared().await.unwrap().url(), plane.url());
        let client = plane.spawn(Command::new("sleep").arg("1000").stdout(Stdio::null())).unwrap();
        let pids = Component::ALL.iter().map(|component| plane.pid(*component).unwrap()).chain([client.id()]);
        let pids: Vec<String> = pids.map(|pid| pid.to_string()).collect();
        println!("\nPLANE {} {}", plane.dir().display(), pids.join(" "));
        if role == "abort" {
            std::process::abort();
        }
        return;
    }
    for role in ["return", "abort"] {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_shared_control_plane_ends_with_its_process", "--nocapture"])
            .env(ROLE, role)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It is not waited for with its output: that would also wait for whoever has inherited the pipe.
        let (dir, pids) = report_of(child);
        until("the end of everything", async || !pids.iter().any(|pid| is_alive(*pid)) && !dir.exists())
            .await;
    }
}

/// Waits for the end of a child; returns the folder and the processes that it named.
fn report_of(mut child: std::process::Child) -> (PathBuf, Vec<u32>) {
    let mut output = String::new();
    child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    child.wait().unwrap();
    let line = output.lines().find_map(|line| line.strip_prefix("PLANE ")).unwrap();
    let mut words = line.split(' ');
    let dir = words.next().unwrap().into();
    (dir, words.map(|pid| pid.parse().unwrap()).collect())
}

#[tokio::test]
async fn two_control_planes_know_nothing_of_each_other() {
    let options = Options { controller_manager: false, ..Options::default() };
    let one = tokio::spawn(ControlPlane::start(options.clone()));
    let two = ControlPlane::start(options).await.unwrap();
    let one = one.await.unwrap().unwrap();
    assert_ne!(one.url(), two.url());
    assert_eq!(one.pid(Component::ControllerManager), None);
    create_config_map(one.client(), "c").await.unwrap();
    let seen = Api::<ConfigMap>::namespaced(two.client(), "default").get_opt("c").await.unwrap();
    assert!(seen.is_none());
}

#[tokio::test]
async fn killed_components_come_back_with_their_port_and_data() {
    let plane =
        ControlPlane::start(Options { controller_manager: false, ..Options::default() }).await.unwrap();
    let (url, etcd) = (plane.url(), plane.etcd_endpoint());
    create_config_map(plane.client(), "c").await.unwrap();
    for component in [Component::ApiServer, Component::Etcd] {
        let before = plane.pid(component).unwrap();
        plane.kill(component);
        assert!(!is_alive(before) && plane.pid(component).is_none());
        plane.restart(component).await.unwrap();
        assert_ne!(plane.pid(component), Some(before));
        assert_eq!((plane.url(), plane.etcd_endpoint()), (url.clone(), etcd.clone()));
        let config_maps = Api::<ConfigMap>::namespaced(plane.client(), "default");
        until("an answer", async || config_maps.get("c").await.is_ok()).await;
    }
}

#[tokio::test]
async fn the_history_goes_on_over_the_death_of_an_api_server() {
    let plane =
        ControlPlane::start(Options { controller_manager: false, ..Options::default() }).await.unwrap();
    plane.apply_yaml(include_str!("crd.yaml")).await.unwrap();
    let things = |client| {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("example.com", "v1", "Thing"));
        (Api::<DynamicObject>::namespaced_with(client, "default", &kind), DynamicObject::new("t", &kind))
    };
    let since = plane.revision().await.unwrap();
    let (api, thing) = things(plane.client());
    api.create(&PostParams::default(), &thing).await.unwrap();
    plane.restart(Component::ApiServer).await.unwrap();
    let (api, _) = things(plane.client());
    until("the kind being served again", async || api.get("t").await.is_ok()).await;
    api.delete("t", &DeleteParams::default()).await.unwrap();
    let history = plane.history("/registry/example.com/things/", since).await.unwrap();
    let [made, gone] = &history[..] else { unreachable!("{history:?}") };
    assert_eq!(made.key, "/registry/example.com/things/default/t");
    assert_eq!(made.object.as_ref().unwrap()["metadata"]["name"], "t");
    assert!(gone.key == made.key && gone.revision > made.revision && gone.object.is_none());
}

#[tokio::test]
async fn an_api_server_that_is_down_or_paused_answers_nothing() {
    let plane =
        ControlPlane::start(Options { controller_manager: false, ..Options::default() }).await.unwrap();
    let client = plane.client();
    plane.pause(Component::ApiServer);
    let mut request = std::pin::pin!(create_config_map(client.clone(), "c"));
    let timeout = tokio::time::timeout(Duration::from_millis(300), &mut request).await;
    assert!(timeout.is_err());
    plane.resume(Component::ApiServer);
    request.await.unwrap();
    plane.kill(Component::ApiServer);
    assert!(create_config_map(client, "d").await.is_err());
}

#[tokio::test]
async fn a_port_that_somebody_has_taken_is_named() {
    let plane =
        ControlPlane::start(Options { controller_manager: false, ..Options::default() }).await.unwrap();
    let port = plane.url().rsplit_once(':').unwrap().1.parse().unwrap();
    plane.kill(Component::ApiServer);
    let thief = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let refusal = plane.restart(Component::ApiServer).await.unwrap_err();
    assert!(matches!(refusal, Error::PortTaken { port: named, .. } if named == port), "{refusal}");
    drop(thief);
    plane.restart(Component::ApiServer).await.unwrap();
}

#[tokio::test]
async fn a_component_that_dies_is_reported_with_the_end_of_its_log() {
    let apiserver_arguments = vec!["--no-such-flag".to_owned()];
    let refusal =
        ControlPlane::start(Options { apiserver_arguments, ..Options::default() }).await.unwrap_err();
    assert!(refusal.to_string().contains("no-such-flag"), "{refusal}");
    let Error::Ended { component: "kube-apiserver", log, .. } = refusal else { unreachable!("{refusal}") };
    assert!(log.exists());
    std::fs::remove_dir_all(log.parent().unwrap()).unwrap();
}

#[tokio::test]
async fn a_service_account_may_do_what_rbac_lets_it() {
    let plane = ControlPlane::shared().await.unwrap();
    let namespace = plane.create_namespace("rbac").await.unwrap();
    let account = ServiceAccount { metadata: named("reader"), ..ServiceAccount::default() };
    Api::namespaced(plane.client(), &namespace).create(&PostParams::default(), &account).await.unwrap();

    let token = plane.token_for(&namespace, "reader").await.unwrap();
    let reader = Client::try_from(plane.config_for(&token)).unwrap();
    let config_maps = Api::<ConfigMap>::namespaced(reader, &namespace);
    let refused = config_maps.list(&ListParams::default()).await;
    assert!(matches!(&refused, Err(kube::Error::Api(status)) if status.is_forbidden()), "{refused:?}");

    let binding = format!(
        "{{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {{name: b, namespace: {namespace}}}, \
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}}, \
         subjects: [{{kind: ServiceAccount, name: reader, namespace: {namespace}}}]}}"
    );
    plane.apply_yaml(&binding).await.unwrap();
    until("leave to read", async || config_maps.list(&ListParams::default()).await.is_ok()).await;
    let refused = config_maps.delete("c", &DeleteParams::default()).await;
    assert!(matches!(&refused, Err(kube::Error::Api(status)) if status.is_forbidden()), "{refused:?}");
}

#[tokio::test]
async fn the_kubeconfig_of_a_service_account_makes_kubectl_that_account() {
    let plane = ControlPlane::shared().await.unwrap();
    let namespace = plane.create_namespace("kubeconfig").await.unwrap();
    let account = ServiceAccount { metadata: named("a"), ..ServiceAccount::default() };
    Api::namespaced(plane.client(), &namespace).create(&PostParams::default(), &account).await.unwrap();
    let kubeconfig = plane.kubeconfig_for_service_account(&namespace, "a").await.unwrap();
    let who = |kubectl: &mut Command| {
        let output =
            kubectl.args(["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let expected = format!("system:serviceaccount:{namespace}:a");
    assert_eq!(who(plane.kubectl().env("KUBECONFIG", kubeconfig)), expected);
    assert_eq!(who(&mut plane.kubectl()), "testbed-admin");
}

#[tokio::test]
async fn a_missing_service_account_has_no_token() {
    let plane = ControlPlane::shared().await.unwrap();
    let refusal = plane.token_for("default", "nobody").await.unwrap_err();
    assert!(refusal.to_string().contains("`default/nobody`"), "{refusal}");
}

#[tokio::test]
async fn kinds_are_served_once_their_definition_is_applied() {
    let plane = ControlPlane::shared().await.unwrap();
    plane.apply_yaml(include_str!("crd.yaml")).await.unwrap();
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("example.com", "v1", "Thing"));
    let object = DynamicObject::new("t", &kind);
    let created = Api::<DynamicObject>::namespaced_with(plane.client(), "default", &kind)
        .create(&PostParams::default(), &object)
        .await
        .unwrap();
    assert_eq!(created.name_any(), "t");
    plane
        .apply_yaml("{apiVersion: example.com/v1, kind: Thing, metadata: {name: u, namespace: default}}")
        .await
        .unwrap();
}

#[tokio::test]
async fn the_definitions_of_cluster_api_can_be_applied() {
    let plane = ControlPlane::shared().await.unwrap();
    let crds = testbed::capi_crds().unwrap();
    for file in ["cluster.x-k8s.io_clusters.yaml", "ipam.cluster.x-k8s.io_ipaddressclaims.yaml"] {
        plane.apply_path(&crds.join(file)).await.unwrap();
    }
    let listed = plane.kubectl().args(["get", "clusters,ipaddressclaims", "-A"]).output().unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
}

#[tokio::test]
async fn what_kubectl_refuses_is_an_error_with_its_words() {
    let plane = ControlPlane::shared().await.unwrap();
    let refusal = plane.apply_yaml("{apiVersion: v1, kind: Nothing, metadata: {name: x}}").await.unwrap_err();
    assert!(refusal.to_string().contains("Nothing"), "{refusal}");
    assert!(plane.apply_path(Path::new("/nonexistent")).await.is_err());
}

#[tokio::test]
async fn a_deleted_namespace_goes_away() {
    let plane = ControlPlane::shared().await.unwrap();
    let name = plane.create_namespace("gone").await.unwrap();
    assert!(name.starts_with("gone-"));
    let namespaces = Api::<Namespace>::all(plane.client());
    namespaces.delete(&name, &DeleteParams::default()).await.unwrap();
    until("the end of the namespace", async || namespaces.get_opt(&name).await.unwrap().is_none()).await;
}

#[tokio::test]
async fn what_an_object_owned_is_collected_after_it() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    plane.apply_yaml(include_str!("crd.yaml")).await.unwrap();
    plane.restart(Component::ControllerManager).await.unwrap();
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("example.com", "v1", "Thing"));
    let things = Api::<DynamicObject>::namespaced_with(plane.client(), "default", &kind);
    let owner = things.create(&PostParams::default(), &DynamicObject::new("t", &kind)).await.unwrap();
    let reference = owner.owner_ref(&kind).unwrap();
    let metadata = ObjectMeta { owner_references: Some(vec![reference]), ..named("owned") };
    let config_maps = Api::<ConfigMap>::namespaced(plane.client(), "default");
    config_maps
        .create(&PostParams::default(), &ConfigMap { metadata, ..ConfigMap::default() })
        .await
        .unwrap();
    things.delete("t", &DeleteParams::default()).await.unwrap();
    until("garbage collection", async || config_maps.get_opt("owned").await.unwrap().is_none()).await;
}

#[tokio::test]
async fn metrics_are_those_of_the_api_server() {
    let plane = ControlPlane::shared().await.unwrap();
    let metrics = plane.metrics().await.unwrap();
    assert!(metrics.contains("\napiserver_request_total{"));
    assert!(plane.ca_pem().unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
}
