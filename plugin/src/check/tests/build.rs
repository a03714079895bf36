//! Objects as a controller leaves them.

use serde_json::{Value, json};

const CREATED: &str = "2026-11-24T10:00:00Z";

fn metal3(kind: &str, name: &str) -> Value {
    json!({
        "apiVersion": "ipam.metal3.io/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": "ns", "uid": format!("{kind}-{name}"), "creationTimestamp": CREATED,
                     "finalizers": [format!("{}.ipam.metal3.io", kind.to_lowercase())]},
    })
}

pub fn pool(name: &str, first: &str, last: &str) -> Value {
    let mut pool = metal3("IPPool", name);
    pool["spec"] = json!({"namePrefix": name, "prefix": 24, "gateway": "10.0.0.254", "pools": [{"start": first, "end": last}]});
    pool
}

pub fn claim(name: &str, pool: &str) -> Value {
    let mut claim = metal3("IPClaim", name);
    claim["spec"] = json!({"pool": {"name": pool}});
    claim
}

pub fn bound(name: &str, pool: &str, object: &str) -> Value {
    let mut claim = claim(name, pool);
    claim["status"] =
        json!({"address": {"name": object}, "conditions": [{"type": "Ready", "status": "True"}]});
    claim
}

pub fn address(object: &str, ip: &str, pool: &str, claim: &str) -> Value {
    let mut address = metal3("IPAddress", object);
    address["metadata"]["annotations"] = json!({"ipam.metal3.io/claim-uid": format!("IPClaim-{claim}")});
    address["spec"] = json!({"address": ip, "prefix": 24, "gateway": "10.0.0.254", "pool": {"name": pool}, "claim": {"name": claim}});
    address
}

pub fn capi_claim(name: &str, object: &str) -> Value {
    json!({
        "apiVersion": "ipam.cluster.x-k8s.io/v1beta2", "kind": "IPAddressClaim",
        "metadata": {"name": name, "namespace": "ns", "uid": format!("capi-{name}"), "creationTimestamp": CREATED,
                     "finalizers": ["ipam.metal3.io/ipaddressclaim"]},
        "spec": {"poolRef": {"apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": "p"}},
        "status": {"addressRef": {"name": object}},
    })
}

pub fn capi_address(object: &str, ip: &str, claim: &str) -> Value {
    json!({
        "apiVersion": "ipam.cluster.x-k8s.io/v1beta2", "kind": "IPAddress",
        "metadata": {"name": object, "namespace": "ns", "uid": format!("capi-{object}"), "creationTimestamp": CREATED,
                     "annotations": {"ipam.metal3.io/claim-uid": format!("capi-{claim}")}, "finalizers": ["ipam.metal3.io/ipaddress"]},
        "spec": {"address": ip, "prefix": 24, "gateway": "10.0.0.254", "claimRef": {"name": claim},
                 "poolRef": {"apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": "p"}},
    })
}
