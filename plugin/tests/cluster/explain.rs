//! `explain`: each reason provoked on the real API server; no controller, so that the reason is worked out.

use serde_json::json;

use crate::scene::{Scene, objects};

#[tokio::test(flavor = "multi_thread")]
async fn every_reason_is_told_with_the_next_command() {
    let scene = Scene::new("explain").await;
    let paused = |mut object: serde_json::Value| {
        object["metadata"]["annotations"] = json!({"cluster.x-k8s.io/paused": ""});
        object
    };
    let asks = |name: &str, ip: &str| {
        let mut claim = objects::claim(name, "p", None);
        claim["metadata"]["annotations"] = json!({"ipAddress": ip});
        claim
    };
    let of_cluster = |name: &str, cluster: &str| {
        let mut pool = objects::pool(name, "10.1.0.1", "10.1.0.9");
        pool["spec"]["clusterName"] = cluster.into();
        pool
    };
    let mut pool = objects::pool("p", "10.0.0.1", "10.0.0.3");
    pool["spec"]["preAllocations"] = json!({"vip": "10.0.0.2"});
    pool["spec"]["excludedAddresses"] = json!(["10.0.0.3"]);
    let mut elsewhere = objects::claim("elsewhere", "p", None);
    elsewhere["spec"]["pool"]["namespace"] = "other".into();
    let mut vip = objects::claim("vip", "p", None);
    vip["metadata"]["annotations"] = json!({"ipAddress": "10.0.0.1"});
    scene.create(&[
        pool,
        paused(objects::pool("still", "10.2.0.1", "10.2.0.9")),
        of_cluster("early", "missing"),
        objects::cluster("k", true),
        of_cluster("of-k", "k"),
        objects::claim("holder", "p", Some("p-10-0-0-1")),
        objects::claim("typo", "q", None),
        elsewhere,
        vip,
        objects::claim("waits-for-pool", "still", None),
        paused(objects::claim("itself", "p", None)),
        objects::claim("waits-for-cluster", "early", None),
        objects::claim("cluster-paused", "of-k", None),
        asks("garbled", "10.0.0"),
        asks("beyond", "10.9.9.9"),
        asks("excluded", "10.0.0.3"),
        asks("taken", "10.0.0.1"),
        asks("others", "10.0.0.2"),
        objects::claim("late", "p", None),
        objects::capi_claim("capi", "still", None),
    ]);
    let uid = scene.uid("ipclaims.ipam.metal3.io/holder");
    scene.create(&[objects::address("p-10-0-0-1", "10.0.0.1", "p", "holder", &uid)]);
    for (claim, reason, command) in [
        ("holder", "it has the address 10.0.0.1", "kubectl ipam whois p-10-0-0-1"),
        ("typo", "there is no pool q in its namespace\n  did you mean `p`?", "kubectl ipam status"),
        ("elsewhere", "its pool p is in namespace other", "kubectl ipam claim elsewhere --pool p -n other"),
        (
            "vip",
            "it asks for 10.0.0.1, but the pool reserves 10.0.0.2 for its name",
            "kubectl annotate ipclaims.ipam.metal3.io/vip",
        ),
        ("waits-for-pool", "the pool still is paused by its annotation", "kubectl ipam resume still"),
        ("itself", "the claim itself is paused", "kubectl ipam resume ipclaim/itself"),
        (
            "waits-for-cluster",
            "the pool early belongs to Cluster missing, which does not exist yet",
            "kubectl get clusters.cluster.x-k8s.io missing",
        ),
        (
            "cluster-paused",
            "the Cluster k of its pool is paused",
            "kubectl patch clusters.cluster.x-k8s.io k",
        ),
        (
            "garbled",
            "it asks for `10.0.0`, which is no IP address",
            "kubectl annotate ipclaims.ipam.metal3.io/garbled",
        ),
        ("beyond", "10.9.9.9 is in no entry of the pool p", "kubectl edit ippools p"),
        ("excluded", "the pool p excludes 10.0.0.3", "kubectl edit ippools p"),
        ("taken", "10.0.0.1 is held by the claim holder", "kubectl ipam whois 10.0.0.1"),
        ("others", "10.0.0.2 is reserved for the claim vip", "kubectl ipam preallocate p vip-"),
        (
            "late",
            "the pool p has no free address (1 more are reserved for names)",
            "kubectl ipam addresses --pool p",
        ),
        ("capi", "the pool still is paused by its annotation", "kubectl ipam resume still"),
    ] {
        let said = scene.ipam(&["explain", claim]);
        assert_eq!(said.code, 0, "{claim}: {}", said.stderr);
        assert!(said.stdout.contains(reason), "{claim}: {}", said.stdout);
        assert!(said.stdout.contains(&format!("  next: {command}")), "{claim}: {}", said.stdout);
    }
    // The command that is named helps: nothing stands in the way then but the controller that is not there.
    scene.done(&["resume", "still", "--wait=false"]);
    let said = scene.done(&["explain", "waits-for-pool"]);
    // Both were made in one second, perhaps, and then go by their names.
    assert!(said.contains(": nothing stands in its way (number "), "{said}");
    assert!(said.contains(" of 2 that wait): it is the controller's turn; no controller leads"), "{said}");
    let reason = scene.done(&["explain", "late", "-o", "jsonpath={.kind} {.reason} {.place}"]);
    assert!(reason.starts_with("Explanation Exhausted "), "{reason}");
}
