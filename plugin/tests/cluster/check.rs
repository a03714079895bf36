//! `check` and `repair`: defects planted on the real API server, with no controller that would mend them first.

use serde_json::{Value, json};

use crate::scene::{Scene, objects};

/// One of each defect that does not need time to show.
async fn broken(name: &str) -> Scene {
    let scene = Scene::new(name).await;
    let mut unprotected = objects::claim("unprotected", "p", Some("p-10-0-0-2"));
    unprotected["metadata"]["finalizers"] = json!(["example.org/mine"]);
    let mut pool = objects::pool("p", "10.0.0.1", "10.0.0.20");
    pool["metadata"]["finalizers"] = json!([]);
    pool["status"] = json!({"indexes": {"nobody": "10.0.0.9"}});
    scene.create(&[
        pool,
        objects::claim("good", "p", Some("p-10-0-0-1")),
        unprotected,
        objects::claim("dangling", "p", Some("p-10-0-0-19")),
        objects::claim("foreign", "p", Some("p-10-0-0-1")),
        objects::claim("restored", "p", Some("p-10-0-0-5")),
        objects::capi_claim("twin", "p", Some("p-10-0-0-1")),
    ]);
    let uid = |claim: &str| scene.uid(&format!("ipclaims.ipam.metal3.io/{claim}"));
    let mut stripped = objects::address("p-10-0-0-2", "10.0.0.2", "p", "unprotected", &uid("unprotected"));
    stripped["metadata"]["finalizers"] = json!([]);
    scene.create(&[
        objects::address("p-10-0-0-1", "10.0.0.1", "p", "good", &uid("good")),
        stripped,
        objects::address("p-10-0-0-3", "10.0.0.3", "p", "good", &uid("good")),
        objects::address("p-10-0-0-4", "10.0.0.4", "p", "gone", "gone"),
        objects::address("p-10-0-0-5", "10.0.0.5", "p", "restored", "before"),
        objects::capi_address("p-10-0-0-1", "10.0.0.1", "p", "twin", &scene.uid("ipaddressclaims/twin")),
    ]);
    scene
}

const FOUND: &str = "dangling-reference drifted-indexes duplicate-address extra-address foreign-reference leaked-address \
                     stale-owner unprotected-address unprotected-claim unprotected-pool";

fn ids(report: &str) -> String {
    let report: Value = serde_json::from_str(report).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let mut ids: Vec<&str> = findings.iter().map(|finding| finding["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn defects_are_found_live_and_in_a_dump_and_mended() {
    let scene = broken("broken").await;
    let live = scene.ipam(&["check", "-o", "json"]);
    assert_eq!(live.code, 1, "{}", live.stderr);
    assert_eq!(ids(&live.stdout), FOUND);
    assert!(
        live.stderr.ends_with("6 errors, 4 warnings; `kubectl ipam repair` can mend 10\n"),
        "{}",
        live.stderr
    );

    let kinds = "ippools.ipam.metal3.io,ipclaims.ipam.metal3.io,ipaddresses.ipam.metal3.io,ipaddressclaims.ipam.cluster.x-k8s.io,ipaddresses.ipam.cluster.x-k8s.io";
    let dump = scene.plane.dir().join("dump");
    std::fs::create_dir_all(&dump).unwrap();
    std::fs::write(dump.join("all.yaml"), scene.kubectl(&["get", kinds, "-o", "yaml"])).unwrap();
    let offline = scene.ipam(&["check", "-f", dump.to_str().unwrap(), "-o", "json"]);
    assert_eq!((offline.code, ids(&offline.stdout)), (1, FOUND.to_owned()));
    let text = scene.ipam(&["check", "-f", dump.to_str().unwrap()]);
    insta::with_settings!({filters => vec![(scene.namespace.as_str(), "NAMESPACE")]}, {
        insta::assert_snapshot!(text.stdout, @r"
        error  duplicate-address  ipaddress.ipam.cluster.x-k8s.io/p-10-0-0-1  -n NAMESPACE
          10.0.0.1 is held by claim good (IPClaim) and by claim twin (IPAddressClaim)
          try: kubectl ipam repair -n NAMESPACE
        error  extra-address  ipaddress.ipam.metal3.io/p-10-0-0-3  -n NAMESPACE
          the claim good has this address besides 10.0.0.1
          try: kubectl ipam repair -n NAMESPACE
        error  leaked-address  ipaddress.ipam.metal3.io/p-10-0-0-4  -n NAMESPACE
          it holds 10.0.0.4 for the claim gone, which is gone
          try: kubectl ipam repair -n NAMESPACE
        error  dangling-reference  ipclaim.ipam.metal3.io/dangling  -n NAMESPACE
          it publishes the IPAddress p-10-0-0-19, which is gone
          try: kubectl ipam repair -n NAMESPACE
        error  foreign-reference  ipclaim.ipam.metal3.io/foreign  -n NAMESPACE
          it publishes 10.0.0.1, which the claim good holds
          try: kubectl ipam repair -n NAMESPACE
        error  unprotected-claim  ipclaim.ipam.metal3.io/unprotected  -n NAMESPACE
          it has an address and lacks the finalizer: its deletion would leak the address
          try: kubectl ipam repair -n NAMESPACE
        warning  stale-owner  ipaddress.ipam.metal3.io/p-10-0-0-5  -n NAMESPACE
          it names an earlier claim restored, and the claim of that name publishes it
          try: kubectl ipam repair -n NAMESPACE
        warning  unprotected-address  ipaddress.ipam.metal3.io/p-10-0-0-2  -n NAMESPACE
          it lacks its finalizer: whoever deletes it frees an address that is in use
          try: kubectl ipam repair -n NAMESPACE
        warning  drifted-indexes  ippool.ipam.metal3.io/p  -n NAMESPACE
          its status.indexes is not what is held: 1 wrong, 5 missing
          try: kubectl ipam repair -n NAMESPACE
        warning  unprotected-pool  ippool.ipam.metal3.io/p  -n NAMESPACE
          it has 6 addresses and lacks its finalizer: it could be deleted under them
          try: kubectl ipam repair -n NAMESPACE
        ");
    });

    let planned = scene.ipam(&["repair", "--dry-run"]);
    assert_eq!(planned.code, 0, "{}", planned.stderr);
    insta::assert_snapshot!(planned.stdout, @r"
    ~ ipclaim.ipam.metal3.io/unprotected   # protected: it lacks its finalizer
    ~ ipaddress.ipam.metal3.io/p-10-0-0-2   # protected: it lacks its finalizer
    ~ ippool.ipam.metal3.io/p   # protected: it lacks its finalizer
    ~ ipaddressclaim.ipam.cluster.x-k8s.io/twin   # served anew: another claim has the address; this one gets a new one, which its machine has to take up
    ~ ipclaim.ipam.metal3.io/dangling   # served anew: its IPAddress is gone
    ~ ipclaim.ipam.metal3.io/foreign   # served anew: the address is another claim's
    ~ ipaddress.ipam.metal3.io/p-10-0-0-5   # handed to its claim: its claim was made anew, by a restore or a move
    - ipaddress.ipam.cluster.x-k8s.io/p-10-0-0-1   # deleted: another object has the address
    - ipaddress.ipam.metal3.io/p-10-0-0-3   # deleted: its claim has another address
    - ipaddress.ipam.metal3.io/p-10-0-0-4   # deleted: its claim is gone
    ~ ipaddress.ipam.cluster.x-k8s.io/p-10-0-0-1   # let go: another object has the address
    ~ ipaddress.ipam.metal3.io/p-10-0-0-3   # let go: its claim has another address
    ~ ipaddress.ipam.metal3.io/p-10-0-0-4   # let go: its claim is gone
    ~ ippool.ipam.metal3.io/p   # indexed: the IPAddress objects are the truth
    ");
    let said = scene.ipam(&["repair"]);
    assert_eq!((said.code, said.stdout.as_str()), (2, ""));
    let mended = scene.ipam(&["repair", "--yes"]);
    assert_eq!(mended.code, 0, "{}{}", mended.stdout, mended.stderr);
    let after = scene.ipam(&["check"]);
    assert_eq!((after.code, after.stdout.as_str()), (0, ""), "{}", after.stderr);
    // What is good was left alone, and nobody else's finalizer was lost.
    assert_eq!(scene.done(&["whois", "10.0.0.1", "-o", "jsonpath={.items[*].claim}"]), "good\n");
    let finalizers = scene.kubectl(&[
        "get",
        "ipclaims.ipam.metal3.io",
        "unprotected",
        "-o",
        "jsonpath={.metadata.finalizers}",
    ]);
    assert_eq!(finalizers, r#"["example.org/mine","ipclaim.ipam.metal3.io"]"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paused_is_not_repaired() {
    let scene = Scene::new("paused-leak").await;
    let mut pool = objects::pool("p", "10.0.0.1", "10.0.0.20");
    pool["metadata"]["annotations"] = json!({"cluster.x-k8s.io/paused": ""});
    scene.create(&[pool, objects::address("p-10-0-0-4", "10.0.0.4", "p", "gone", "gone")]);
    let said = scene.ipam(&["check"]);
    assert_eq!(said.code, 1);
    assert!(said.stdout.contains("try: kubectl ipam resume p"), "{}", said.stdout);
    let said = scene.ipam(&["repair", "--yes"]);
    assert_eq!((said.code, said.stdout.as_str()), (0, ""));
    assert!(said.stderr.ends_with("1 finding left to you\nthere is nothing to mend\n"), "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_controller_made_is_clean() {
    let scene = Scene::new("clean").await.with_controller();
    scene.done(&["create-pool", "p", "--subnet", "10.0.0.0/28", "--gateway", "10.0.0.1"]);
    scene.done(&["claim", "c", "--count", "5", "--pool", "p"]);
    scene.done(&["release", "c-2", "--yes"]);
    let said = scene.until(&["check"], |said| said.code == 0).await;
    assert_eq!((said.stdout.as_str(), said.stderr.lines().last()), ("", Some("nothing is wrong")));
    let xml = scene.done(&["check", "-o", "junit"]);
    assert!(xml.contains("failures=\"0\""), "{xml}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_cannot_be_read_is_no_clean_one() {
    let scene = Scene::new("no-dump").await;
    let said = scene.ipam(&["check", "-f", "/nowhere/dump.yaml"]);
    assert_eq!((said.code, said.stdout.as_str()), (2, ""));
    assert!(said.stderr.starts_with("error: cannot read /nowhere/dump.yaml\n"), "{}", said.stderr);
}
