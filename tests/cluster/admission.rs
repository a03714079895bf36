//! Admission on a real API server: the shipped webhook configurations, which reach a server of this process.

use std::path::Path;
use std::time::Duration;

use ipam::apply::connect;
use ipam::controller::certificates::{self, CertificateOptions};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::gate::{Gate, made};

fn claim(pool: &str) -> Value {
    json!({"spec": {"pool": {"name": pool}}})
}

fn asking(ip: &str) -> Value {
    json!({"metadata": {"annotations": {"ipAddress": ip}}, "spec": {"pool": {"name": "p"}}})
}

fn pool(mut spec: Value) -> Value {
    if spec["namePrefix"].is_null() {
        spec["namePrefix"] = json!("p");
    }
    json!({ "spec": spec })
}

fn range(start: &str, end: &str) -> Value {
    json!([{"start": start, "end": end}])
}

/// A pool that only admission refuses.
fn outside() -> Value {
    pool(json!({"pools": range("10.0.0.1", "10.0.0.9"), "preAllocations": {"c": "10.9.9.9"}}))
}

/// Asserts that this and nothing else was said, with HTTP 422.
#[track_caller]
fn assert_refused<T>(result: kube::Result<T>, kind: &str, name: &str, said: &str) {
    let Err(kube::Error::Api(status)) = result else { panic!("{kind} {name} was not refused") };
    let webhook = format!("validation.{}.ipam.metal3.io", kind.to_lowercase());
    let message = format!(
        "admission webhook \"{webhook}\" denied the request: {kind}.ipam.metal3.io \"{name}\" is invalid: {said}"
    );
    assert_eq!(status.message, message);
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"), "{message}");
}

const NOT_AN_IP: &str = "is not a valid IP address";
const IN_USE: &str = "is in use but out of bounds of the pools given";

#[tokio::test]
async fn new_objects_are_refused_in_the_words_of_the_contract() {
    let gate = Gate::open("adm-new").await;
    let ten = range("10.0.0.1", "10.0.0.9");
    for (name, kind, content, said) in [
        (
            "outside",
            "IPPool",
            outside(),
            "spec.preAllocations: Invalid value: \"10.9.9.9\": is out of bonds of the pools given".to_owned(),
        ),
        (
            "twice",
            "IPPool",
            pool(json!({"pools": ten, "preAllocations": {"a": "10.0.0.5", "b": "10.0.0.5"}})),
            "spec.preAllocations.b: Invalid value: \"10.0.0.5\": IP address is already pre-allocated to claim \"a\"".to_owned(),
        ),
        (
            "backwards",
            "IPPool",
            pool(json!({"pools": range("10.0.0.9", "10.0.0.1")})),
            "spec.pools[0]: Invalid value: {\"end\":\"10.0.0.1\",\"start\":\"10.0.0.9\"}: end IP 10.0.0.1 is before start IP 10.0.0.9".to_owned(),
        ),
        (
            "several",
            "IPPool",
            pool(json!({"pools": ten, "preAllocations": {"a": "10.0.0.10", "b": "10.0.0.11"}})),
            "[spec.preAllocations: Invalid value: \"10.0.0.10\": is out of bonds of the pools given, \
             spec.preAllocations: Invalid value: \"10.0.0.11\": is out of bonds of the pools given]".to_owned(),
        ),
        (
            "garbled",
            "IPClaim",
            asking("10.0.0.01"),
            format!("metadata.annotations.ipAddress: Invalid value: \"10.0.0.01\": {NOT_AN_IP}"),
        ),
    ] {
        assert_refused(gate.create(kind, name, content).await, kind, name, &said);
    }
    let reserved =
        json!({"pools": ten, "preAllocations": {"a": "10.0.0.5"}, "excludedAddresses": ["10.0.0.6"]});
    gate.create("IPPool", "good", pool(reserved)).await.unwrap();
    gate.create("IPClaim", "good", asking("FD00::0001")).await.unwrap();
    let by_hand =
        json!({"spec": {"address": "10.0.0.7", "pool": {"name": "good"}, "claim": {"name": "none"}}});
    gate.create("IPAddress", "good", by_hand).await.unwrap();
    gate.done().await;
}

#[tokio::test]
async fn changes_are_refused_in_the_words_of_the_contract() {
    let gate = Gate::open("adm-change").await;
    let reserved = json!({"pools": range("10.0.0.1", "10.0.0.9"), "preAllocations": {"a": "10.0.0.8"}});
    gate.create("IPPool", "p", pool(reserved)).await.unwrap();
    gate.create("IPClaim", "c", claim("p")).await.unwrap();
    let spec = |spec: Value| json!({ "spec": spec });
    for (kind, name, patch, said) in [
        (
            "IPPool",
            "p",
            spec(json!({"preAllocations": {"b": "10.0.1.1"}})),
            "spec.preAllocations: Invalid value: \"10.0.1.1\": is out of bounds of the pools given".to_owned(),
        ),
        (
            "IPPool",
            "p",
            spec(json!({"preAllocations": {"b": "10.0.0.8"}})),
            "spec.preAllocations.b: Invalid value: \"10.0.0.8\": IP address is already pre-allocated to claim \"a\""
                .to_owned(),
        ),
        (
            "IPClaim",
            "c",
            json!({"metadata": {"annotations": {"ipAddress": "x"}}}),
            format!("metadata.annotations.ipAddress: Invalid value: \"x\": {NOT_AN_IP}"),
        ),
    ] {
        assert_refused(gate.patch(kind, name, patch).await, kind, name, &said);
    }
    gate.patch("IPPool", "p", spec(json!({"preAllocations": {"a": "10.0.0.9", "b": "10.0.0.8"}})))
        .await
        .unwrap();
    gate.patch("IPPool", "p", spec(json!({"pools": range("10.0.0.1", "10.0.0.99")}))).await.unwrap();
    gate.patch("IPClaim", "c", json!({"metadata": {"annotations": {"ipAddress": "10.0.0.7"}}}))
        .await
        .unwrap();
    gate.done().await;
}

#[tokio::test]
async fn new_objects_are_completed() {
    let gate = Gate::open("adm-fill").await;
    // With no controller in the way: nothing is in the scene that would add to the claims.
    let trial = PostParams { dry_run: true, ..PostParams::default() };
    let held = json!({"metadata": {"finalizers": ["example.org/other"]}, "spec": {"pool": {"name": "p"}}});
    let made = gate.try_create("IPClaim", "held", held, &trial).await.unwrap();
    assert_eq!(made.finalizers(), ["example.org/other", "ipclaim.ipam.metal3.io"]);
    let subnet = json!({"pools": [{"subnet": "10.0.0.0/24"}]});
    let made = gate.try_create("IPPool", "p", pool(subnet.clone()), &trial).await.unwrap();
    assert_eq!(made.data["spec"]["allocationStrategy"], "random");
    let mut ordered = subnet;
    ordered["allocationStrategy"] = json!("sequential");
    let made = gate.try_create("IPPool", "p", pool(ordered), &trial).await.unwrap();
    assert_eq!(made.data["spec"]["allocationStrategy"], "sequential");
    let by_hand = json!({"spec": {"address": "10.0.0.7", "pool": {"name": "p"}, "claim": {"name": "c"}}});
    let made = gate.try_create("IPAddress", "a", by_hand, &trial).await.unwrap();
    let namespace = gate.scene.namespace.as_str();
    assert_eq!(made.data["spec"]["claim"], json!({"name": "c", "namespace": namespace}));
    gate.done().await;
}

#[tokio::test]
async fn d12_claims_of_cluster_api_are_held_where_their_pool_is_ours_and_left_alone_where_not() {
    let gate = Gate::open("adm-capi").await;
    let folder = testbed::capi_crds().unwrap();
    gate.scene.plane.apply_path(&folder.join("ipam.cluster.x-k8s.io_ipaddressclaims.yaml")).await.unwrap();
    let trial = PostParams { dry_run: true, ..PostParams::default() };
    let capi = |group: &str, kind: &str| json!({"spec": {"poolRef": {"apiGroup": group, "kind": kind, "name": "p"}}});
    let look = || async {
        let ours = capi("ipam.metal3.io", "IPPool");
        let made = gate.try_create("IPAddressClaim", "c", ours, &trial).await.ok()?;
        (made.finalizers() == ["ipam.metal3.io/ipaddressclaim"]).then_some(())
    };
    gate.scene.until("claims of Cluster API are held", look).await;
    for (group, kind) in [("ipam.metal3.io", "GlobalPool"), ("ipam.example.org", "IPPool")] {
        let made = gate.try_create("IPAddressClaim", "c", capi(group, kind), &trial).await.unwrap();
        assert_eq!(made.finalizers(), [""; 0]);
    }
    gate.done().await;
}

#[tokio::test]
async fn d11_a_pool_does_not_shrink_under_an_address_in_use_whatever_its_status_says() {
    let gate = Gate::open("adm-d11").await;
    gate.scene.create_pool("p", &json!({"pools": range("10.0.0.1", "10.0.0.9")})).await;
    gate.scene.create_claim("c").await;
    assert_eq!(gate.scene.bound("c").await, "10.0.0.1");
    let by_hand =
        json!({"spec": {"address": "10.0.0.8", "pool": {"name": "p"}, "claim": {"name": "nobody"}}});
    gate.create("IPAddress", "by-hand", by_hand).await.unwrap();
    let of = |start: &str, end: &str| json!({"spec": {"pools": range(start, end)}});
    // The controller sees what was made by hand a moment later.
    let look = || async {
        let trial = PatchParams { dry_run: true, ..PatchParams::default() };
        let patch = Patch::Merge(of("10.0.0.1", "10.0.0.7"));
        gate.api("IPPool").0.patch("p", &trial, &patch).await.err().map(|_| ())
    };
    gate.scene.until("the address made by hand counts", look).await;
    let emptied = json!({"status": {"indexes": null}});
    let pools = &gate.scene.pools;
    pools.patch_status("p", &PatchParams::default(), &Patch::Merge(emptied)).await.unwrap();
    let one = |ip: &str| format!("spec.pools: Invalid value: \"{ip}\": {IN_USE}");
    let refused = gate.patch("IPPool", "p", of("10.0.0.2", "10.0.0.9")).await;
    assert_refused(refused, "IPPool", "p", &one("10.0.0.1"));
    let refused = gate.patch("IPPool", "p", of("10.0.0.2", "10.0.0.7")).await;
    assert_refused(refused, "IPPool", "p", &format!("[{}, {}]", one("10.0.0.1"), one("10.0.0.8")));
    gate.patch("IPPool", "p", of("10.0.0.1", "10.0.0.8")).await.unwrap();
    gate.scene.delete_claim("c").await;
    gate.scene.claim_gone("c").await;
    gate.patch("IPPool", "p", of("10.0.0.2", "10.0.0.8")).await.unwrap();
    gate.done().await;
}

#[tokio::test]
async fn s10_what_was_stored_before_a_rule_existed_can_be_labelled_paused_mended_and_deleted() {
    let (certificates, bundle) = made();
    let gate = Gate::new("adm-s10", |_| certificates).await;
    gate.create("IPPool", "old", outside()).await.unwrap();
    gate.create("IPClaim", "old", asking("nonsense")).await.unwrap();
    gate.install(&bundle).await;
    let marks = json!({"metadata": {"labels": {"a": "b"}, "annotations": {"cluster.x-k8s.io/paused": ""}}});
    gate.patch("IPPool", "old", marks.clone()).await.unwrap();
    gate.patch("IPClaim", "old", marks).await.unwrap();
    let other = json!({"spec": {"excludedAddresses": ["10.0.0.3"]}});
    gate.patch("IPPool", "old", other).await.unwrap();
    let worse = json!({"spec": {"preAllocations": {"c": "10.9.9.8"}}});
    let said = "spec.preAllocations: Invalid value: \"10.9.9.8\": is out of bounds of the pools given";
    assert_refused(gate.patch("IPPool", "old", worse).await, "IPPool", "old", said);
    gate.patch("IPPool", "old", json!({"spec": {"preAllocations": {"c": "10.0.0.4"}}})).await.unwrap();
    gate.api("IPClaim").0.delete("old", &DeleteParams::default()).await.unwrap();
    gate.api("IPPool").0.delete("old", &DeleteParams::default()).await.unwrap();
    gate.done().await;
}

#[tokio::test]
async fn s9_while_admission_is_down_nothing_but_the_spec_of_a_pool_has_to_wait() {
    let mut gate = Gate::open("adm-s9").await;
    gate.create("IPPool", "p", pool(json!({"pools": range("10.0.0.1", "10.0.0.9")}))).await.unwrap();
    gate.create("IPClaim", "c", claim("p")).await.unwrap();
    gate.scene.bound("c").await;
    gate.close().await;

    let marks = json!({"metadata": {
        "labels": {"a": "b"}, "annotations": {"cluster.x-k8s.io/paused": ""},
    }});
    for (kind, name) in [("IPPool", "p"), ("IPClaim", "c")] {
        gate.patch(kind, name, marks.clone()).await.unwrap();
        let unpaused = json!({"metadata": {"annotations": {"cluster.x-k8s.io/paused": null}}});
        gate.patch(kind, name, unpaused).await.unwrap();
    }
    let finalizers = |list: &[&str]| json!({"metadata": {"finalizers": list}});
    gate.patch("IPPool", "p", finalizers(&["ippool.ipam.metal3.io", "example.org/mine"])).await.unwrap();
    gate.patch("IPPool", "p", finalizers(&["ippool.ipam.metal3.io"])).await.unwrap();
    let status = Patch::Merge(json!({"status": {"indexes": null}}));
    gate.scene.pools.patch_status("p", &PatchParams::default(), &status).await.unwrap();
    gate.create("IPClaim", "meanwhile", claim("p")).await.unwrap();
    gate.scene.bound("meanwhile").await;

    let edited = gate.patch("IPPool", "p", json!({"spec": {"gateway": "10.0.0.1"}})).await;
    let Err(kube::Error::Api(status)) = edited else { panic!("the spec of a pool was changed") };
    assert!(
        status.message.contains("failed calling webhook \"validation.ippool.ipam.metal3.io\""),
        "{status:?}"
    );
    assert!(gate.create("IPPool", "q", pool(json!({"pools": range("10.0.1.1", "10.0.1.9")}))).await.is_err());

    for name in ["c", "meanwhile"] {
        gate.scene.delete_claim(name).await;
        gate.scene.claim_gone(name).await;
    }
    gate.api("IPPool").0.delete("p", &DeleteParams::default()).await.unwrap();
    let gone = || async { gate.scene.pools.get_opt("p").await.unwrap().is_none().then_some(()) };
    gate.scene.until("the pool is gone", gone).await;
    gate.done().await;
}

#[tokio::test]
async fn two_replicas_share_a_certificate_that_the_api_server_trusts_under_the_shipped_role() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let plane = crate::scene::plane().await;
    for file in ["certificates_role", "certificates_role_binding"] {
        plane.apply_path(&root.join(format!("config/rbac/{file}.yaml"))).await.unwrap();
    }
    let token = plane.token_for("metal3-ipam-system", "ipam-manager").await.unwrap();
    let client = || connect(plane.config_for(&token)).unwrap();
    let mut options =
        CertificateOptions { every: Duration::from_millis(100), ..CertificateOptions::default() };
    options.names.push("127.0.0.1".to_owned());
    let mut other = None;
    let gate = Gate::new("adm-shared", |_| {
        other = Some(certificates::keep(client(), options.clone()));
        certificates::keep(client(), options.clone())
    })
    .await;
    let mut other = other.unwrap();
    let shown = other.wait_for(Option::is_some).await.unwrap().clone().unwrap();

    let secrets: Api<Secret> = Api::namespaced(plane.client(), "metal3-ipam-system");
    let secret = secrets.get("ipam-webhook-certificate").await.unwrap();
    assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/tls"));
    assert_eq!(secret.data.unwrap()["tls.crt"].0, shown.certificate.as_bytes());

    // Neither has a bundle; both get it, and the API server takes the certificate of the other replica for good.
    gate.apply(options.configurations.clone(), None).await;
    gate.in_force().await;
    let [mutating, _] = &options.configurations;
    let webhooks: Api<MutatingWebhookConfiguration> = Api::all(plane.client());
    let remove = json!([{"op": "remove", "path": "/webhooks/1/clientConfig/caBundle"}]);
    let remove: Patch<()> = Patch::Json(serde_json::from_value(remove).unwrap());
    webhooks.patch(mutating, &PatchParams::default(), &remove).await.unwrap();
    let put_back = || async {
        let configuration = webhooks.get(mutating).await.unwrap();
        configuration.webhooks.unwrap()[1].client_config.ca_bundle.is_some().then_some(())
    };
    gate.scene.until("the bundle is put back", put_back).await;

    // When nothing is due, nothing is written.
    let versions = || async {
        let listed = webhooks.list(&ListParams::default()).await.unwrap();
        let ours = listed.items.into_iter().find(|item| item.name_any() == *mutating);
        (
            ours.unwrap().resource_version(),
            secrets.get("ipam-webhook-certificate").await.unwrap().resource_version(),
        )
    };
    let before = versions().await;
    for _ in 0..20 {
        gate.in_force().await;
    }
    assert_eq!(versions().await, before);

    // A Secret that was spoilt by hand is made anew, and both replicas serve it.
    let spoilt = json!({"data": {"ca.key": "bm9uc2Vuc2U="}});
    secrets.patch("ipam-webhook-certificate", &PatchParams::default(), &Patch::Merge(spoilt)).await.unwrap();
    let renewed = other.wait_for(|pair| pair.as_ref() != Some(&shown)).await.unwrap().clone();
    assert!(renewed.is_some());
    gate.in_force().await;
    let [mutating, validating] = &options.configurations;
    gate.end([mutating, validating]).await;
}
