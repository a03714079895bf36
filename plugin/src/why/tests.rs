//! Each reason, provoked in a world of a few objects.

use serde_json::{Value, json};

use super::*;
use crate::world::World;

fn world(pool: &Value, claim: &Value, more: Vec<Value>) -> World {
    let mut objects = vec![json!({
        "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool",
        "metadata": {"name": "p", "namespace": "ns"},
        "spec": {"namePrefix": "p", "pools": [{"start": "10.0.0.1", "end": "10.0.0.2"}]},
    })];
    merge(&mut objects[0], pool);
    let mut ours = claim_object("c");
    merge(&mut ours, claim);
    objects.push(ours);
    objects.extend(more);
    World::of_objects(objects)
}

fn claim_object(name: &str) -> Value {
    json!({
        "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim",
        "metadata": {"name": name, "namespace": "ns", "uid": name}, "spec": {"pool": {"name": "p"}},
    })
}

fn held(ip: &str, claim: &str) -> Value {
    json!({
        "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPAddress",
        "metadata": {"name": format!("p-{ip}"), "namespace": "ns"},
        "spec": {"address": ip, "pool": {"name": "p"}, "claim": {"name": claim}},
    })
}

fn cluster(paused: bool) -> Value {
    json!({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster",
           "metadata": {"name": "k", "namespace": "ns"}, "spec": {"paused": paused}})
}

fn merge(into: &mut Value, with: &Value) {
    match (into, with) {
        (Value::Object(into), Value::Object(with)) => {
            with.iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        (into, with) => *into = with.clone(),
    }
}

fn told(pool: &Value, claim: &Value, more: Vec<Value>) -> (String, String) {
    let world = world(pool, claim, more);
    let claim = world.claims.iter().find(|claim| claim.meta.name == "c").unwrap();
    let why = Reasons::new(&world).why(claim);
    (why.sentence(), why.command(claim))
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_reason_is_one_true_sentence_and_one_command() {
    let none = json!({});
    let annotated = |key: &str, value: &str| json!({"metadata": {"annotations": {key: value}}});
    let paused = annotated("cluster.x-k8s.io/paused", "");
    let asks = |ip: &str| annotated("ipAddress", ip);
    let deleting = |finalizers: Value| json!({"metadata": {"deletionTimestamp": "2026-11-24T10:00:00Z", "finalizers": finalizers}});
    let of_cluster = json!({"spec": {"clusterName": "k"}});
    let keeps = |name: &str, ip: &str| json!({"spec": {"preAllocations": {name: ip}}});
    let full = || vec![held("10.0.0.1", "a"), held("10.0.0.2", "b")];
    for (pool, claim, more, sentence, command) in [
        (
            &none,
            json!({"status": {"address": {"name": "p-1"}}}),
            vec![],
            "it has its address, in the object p-1",
            "kubectl ipam whois p-1 -n ns",
        ),
        (
            &none,
            deleting(json!(["x/y", "ipclaim.ipam.metal3.io"])),
            vec![],
            "it is being deleted and waits for the finalizer x/y of another controller",
            "kubectl get ipclaims.ipam.metal3.io/c -n ns -o yaml",
        ),
        (
            &none,
            deleting(json!(["ipclaim.ipam.metal3.io"])),
            vec![],
            "it is being deleted, and the controller has not released its address yet",
            "kubectl ipam version",
        ),
        (
            &paused,
            deleting(json!(["ipclaim.ipam.metal3.io"])),
            vec![],
            "the pool p is paused by its annotation",
            "kubectl ipam resume p -n ns",
        ),
        (
            &json!({"spec": {"pools": [{"start": "10.0.0.9", "end": "10.0.0.1"}]}}),
            none.clone(),
            vec![],
            "the pool p is not valid: spec.pools[0]: Invalid value: {\"end\":\"10.0.0.1\",\"start\":\"10.0.0.9\"}: end IP 10.0.0.1 is before start IP 10.0.0.9",
            "kubectl edit ippools p -n ns",
        ),
        (
            &json!({"spec": {"namePrefix": "X_Y"}}),
            none.clone(),
            vec![],
            "the pool p is not valid: spec.namePrefix: Invalid value: \"X_Y\": must be the beginning of an object's name: lowercase letters, digits, '-' and '.'",
            "kubectl edit ippools p -n ns",
        ),
        (
            &none,
            json!({"spec": {"pool": {"namespace": "other"}}}),
            vec![],
            "its pool p is in namespace other, and a claim may only use a pool of its own namespace",
            "kubectl ipam claim c --pool p -n other",
        ),
        (
            &none,
            json!({"spec": {"pool": {"name": "storage"}}}),
            vec![],
            "there is no pool storage in its namespace",
            "kubectl ipam create-pool storage -n ns",
        ),
        (
            &deleting(json!([])),
            none.clone(),
            vec![],
            "the pool p is being deleted and gives nothing any more",
            "kubectl ipam status -n ns",
        ),
        (
            &of_cluster,
            none.clone(),
            vec![],
            "the pool p belongs to Cluster k, which does not exist yet",
            "kubectl get clusters.cluster.x-k8s.io k -n ns",
        ),
        (
            &of_cluster,
            none.clone(),
            vec![cluster(true)],
            "the Cluster k of its pool is paused",
            "kubectl patch clusters.cluster.x-k8s.io k -n ns --type merge -p '{\"spec\":{\"paused\":false}}'",
        ),
        (
            &paused,
            none.clone(),
            vec![],
            "the pool p is paused by its annotation",
            "kubectl ipam resume p -n ns",
        ),
        (&none, paused.clone(), vec![], "the claim itself is paused", "kubectl ipam resume ipclaim/c -n ns"),
        (
            &none,
            asks("10.0.0"),
            vec![],
            "it asks for `10.0.0`, which is no IP address",
            "kubectl annotate ipclaims.ipam.metal3.io/c -n ns ipAddress-",
        ),
        (
            &keeps("c", "10.0.0.1"),
            asks("10.0.0.2"),
            vec![],
            "it asks for 10.0.0.2, but the pool reserves 10.0.0.1 for its name",
            "kubectl annotate ipclaims.ipam.metal3.io/c -n ns ipAddress-",
        ),
        (
            &none,
            asks("10.9.9.9"),
            vec![],
            "10.9.9.9 is in no entry of the pool p",
            "kubectl edit ippools p -n ns",
        ),
        (
            &json!({"spec": {"excludedAddresses": ["10.0.0.2"]}}),
            asks("10.0.0.2"),
            vec![],
            "the pool p excludes 10.0.0.2",
            "kubectl edit ippools p -n ns",
        ),
        (
            &none,
            asks("10.0.0.2"),
            full(),
            "10.0.0.2 is held by the claim b",
            "kubectl ipam whois 10.0.0.2 -n ns",
        ),
        (
            &none,
            asks("10.0.0.2"),
            vec![held("10.0.0.2", "")],
            "10.0.0.2 is held by an IPAddress made by hand",
            "kubectl ipam whois 10.0.0.2 -n ns",
        ),
        (
            &keeps("c", "10.0.0.1"),
            none.clone(),
            full(),
            "10.0.0.1 is held by the claim a",
            "kubectl ipam whois 10.0.0.1 -n ns",
        ),
        (
            &keeps("vip", "10.0.0.1"),
            asks("10.0.0.1"),
            vec![],
            "10.0.0.1 is reserved for the claim vip",
            "kubectl ipam preallocate p vip- -n ns",
        ),
        (
            &none,
            none.clone(),
            full(),
            "the pool p has no free address; it is number 1 of 1 that wait",
            "kubectl ipam addresses --pool p -n ns",
        ),
        (
            &json!({"status": {"conditions": [{"type": "NameConflict", "status": "True", "reason": "R", "message": "m",
                                               "lastTransitionTime": "2026-11-24T10:00:00Z"}]}}),
            json!({"status": {"errorMessage": "Exhausted IP Pools"}}),
            vec![],
            "pool p cannot make its IPAddress objects: another pool with the same namePrefix uses those names",
            "kubectl ipam check -n ns",
        ),
        (
            &of_cluster,
            none.clone(),
            vec![cluster(false)],
            "nothing stands in its way (number 1 of 1 that wait): it is the controller's turn",
            "kubectl ipam version",
        ),
    ] {
        assert_eq!(told(pool, &claim, more), (sentence.to_owned(), command.to_owned()));
        // What a claim has, and what its deletion waits for, is told elsewhere on the page.
        if !sentence.starts_with("it has") && !sentence.starts_with("it is being deleted") {
            assert!(
                rows().any(|row| says(row, sentence)),
                "docs/troubleshooting.md has no row for: {sentence}"
            );
        }
    }
}

/// What `explain` says, by the page on claims that wait.
fn rows() -> impl Iterator<Item = &'static str> {
    let page = include_str!("../../../docs/troubleshooting.md");
    let table = page.split("| it says | do |\n|---|---|\n").nth(1).unwrap().split("\n\n").next().unwrap();
    table.lines().map(|row| row.split(" | ").next().unwrap().trim_start_matches("| "))
}

/// Whether a row, which may have several sentences, has this one; `…` stands for anything.
fn says(row: &str, sentence: &str) -> bool {
    let mut alternatives = row.split(", the ").flat_map(|part| part.split(", …"));
    alternatives.any(|alternative| {
        let mut rest = sentence;
        alternative.split('…').all(|part| match rest.split_once(part) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
    })
}

#[test]
fn a_mistyped_pool_is_recognized_and_the_queue_is_by_age() {
    let typo = json!({"spec": {"pool": {"name": "q"}}});
    let world = world(&json!({}), &typo, vec![]);
    assert_eq!(
        Reasons::new(&world).why(&world.claims[0]),
        Why::NoPool { pool: "q".into(), similar: Some("did you mean `p`?".into()) }
    );
    let mut older = claim_object("older");
    merge(&mut older, &json!({"metadata": {"creationTimestamp": "2026-11-24T10:00:00Z"}}));
    let ours = json!({"metadata": {"creationTimestamp": "2026-11-24T11:00:00Z"}});
    let full = vec![held("10.0.0.1", "a"), held("10.0.0.2", "b"), older];
    assert_eq!(
        told(&json!({}), &ours, full).0,
        "the pool p has no free address; it is number 2 of 2 that wait"
    );
}
