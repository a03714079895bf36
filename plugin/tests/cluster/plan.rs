//! `plan`: what it says of an edit is what happens when the edit is applied.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::scene::{Scene, objects};

fn file(scene: &Scene, pool: &Value) -> PathBuf {
    let file = scene.plane.dir().join(format!("plan-{}.yaml", scene.namespace));
    std::fs::write(&file, pool.to_string()).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_planned_is_what_happens() {
    let scene = Scene::new("plan").await.with_controller();
    let mut pool = objects::pool("p", "10.0.0.1", "10.0.0.2");
    pool["metadata"] = json!({"name": "p"});
    let path = file(&scene, &pool);
    let path = path.to_str().unwrap();
    assert!(scene.done(&["plan", "-f", path]).starts_with(&format!(
        "pool p in namespace {}: would be created\n  capacity   2\n",
        scene.namespace
    )));
    scene.kubectl(&["apply", "-f", path]);
    scene.done(&["claim", "c", "--count", "2", "--pool", "p"]);
    scene.done(&["claim", "d", "--count", "3", "--pool", "p", "--wait=false"]);
    scene
        .until(&["status", "p", "-o", "jsonpath={.items[0].waiting} {.items[0].state}"], |said| {
            said.stdout == "3 Exhausted\n"
        })
        .await;

    pool["spec"]["pools"][0]["end"] = "10.0.0.4".into();
    file(&scene, &pool);
    let shown = scene.done(&["plan", "-f", path, "--diff"]);
    insta::with_settings!({filters => vec![(scene.namespace.as_str(), "NAMESPACE")]}, {
        insta::assert_snapshot!(shown, @r#"
        pool p in namespace NAMESPACE: would be changed
          capacity   2 -> 4
          free       0 -> 2
          serves     2 of 3 waiting claims
                     d-1
                     d-2
          admission  accepts it
            pools:
            - start: "10.0.0.1"
          -   end: "10.0.0.2"
          +   end: "10.0.0.4"
            prefix: 24
            namePrefix: p
        "#);
    });
    let planned = scene.done(&["plan", "-f", path, "-o", "jsonpath={.items[0].serves[*]}"]);
    scene.kubectl(&["apply", "-f", path]);
    let bound = ["claims", "-o", "jsonpath={.items[?(@.state==\"Bound\")].name}"];
    let said = scene.until(&bound, |said| said.stdout.split_whitespace().count() == 4).await;
    for claim in planned.split_whitespace() {
        assert!(said.stdout.split_whitespace().any(|name| name == claim), "{planned}{}", said.stdout);
    }

    // What would take an address from its claim, or change what may not change, would be refused.
    pool["spec"]["pools"][0]["start"] = "10.0.0.2".into();
    pool["spec"]["namePrefix"] = "other".into();
    file(&scene, &pool);
    let said = scene.ipam(&["plan", "-f", path]);
    assert_eq!(said.code, 1);
    assert!(said.stdout.contains("  falls out  10.0.0.1, held by the claim "), "{}", said.stdout);
    assert!(
        said.stdout.contains("  refused    spec.namePrefix: Invalid value: \"other\": cannot be modified\n"),
        "{}",
        said.stdout
    );
    assert_eq!(said.stderr, "1 pool would be refused\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verdict_is_that_of_the_api_server() {
    let scene = Scene::new("verdict").await;
    let mut pool = objects::pool("p", "10.0.0.1", "10.0.0.9");
    pool["metadata"] = json!({"name": "p"});
    pool["spec"]["allocationStrategy"] = "random".into();
    scene.create(&[pool.clone()]);
    let mut differing = Vec::new();
    // What the schema and CEL hold; that an end is not before its start is known to admission alone.
    for (field, value, accepted) in [
        ("/spec/pools/0/end", json!("10.0.0.200"), true),
        ("/spec/dnsServers", json!(["9.9.9.9"]), true),
        ("/spec/excludedAddresses", json!(["10.0.0.8/31", "10.0.0.1-10.0.0.2"]), true),
        ("/spec/preAllocations", json!({"vip": "10.0.0.5"}), true),
        ("/spec/namePrefix", json!("q"), false),
        ("/spec/allocationStrategy", json!("sequential"), false),
        ("/spec/gateway", json!("10.0.0"), false),
        ("/spec/dnsServers", json!(["9.9.9.9", "x"]), false),
        ("/spec/prefix", json!(129), false),
        ("/spec/pools/0/start", json!("10.0.0.x"), false),
        ("/spec/pools/0/end", json!("fd00::1"), false),
        ("/spec/excludedAddresses", json!(["nonsense"]), false),
    ] {
        let mut edited = pool.clone();
        let (parent, name) = field.rsplit_once('/').unwrap();
        edited.pointer_mut(parent).unwrap()[name] = value;
        let path = file(&scene, &edited);
        let path = path.to_str().unwrap();
        let said = scene.ipam(&["plan", "-f", path]);
        assert_eq!(said.code == 0, accepted, "{field}: {}{}", said.stdout, said.stderr);
        let applied = scene
            .plane
            .kubectl()
            .args(["replace", "--dry-run=server", "-f", path, "-n", &scene.namespace])
            .output();
        let applied = applied.unwrap();
        if applied.status.success() != accepted {
            differing.push((field, edited["spec"].clone()));
        }
    }
    assert!(differing.is_empty(), "the API server says something else of {differing:?}");
}
