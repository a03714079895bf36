//! What is filled in before an object is stored.

use serde_json::{Value, json};

use super::review::{Operation, Request};
use crate::api::{AllocationStrategy, Family, GROUP, Kind, WATCH_FILTER_LABEL};

/// Which objects are served here; nothing is done to the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The one namespace that is served; all where it is empty.
    pub namespace: String,
    /// Value of the watch-filter label of the claims that are served; all where it is empty.
    pub watch_filter: String,
}

/// The operations of a JSON patch that make a new object complete; none where nothing is missing.
///
/// Only a creation is completed. Whoever takes our finalizer off a claim later has decided to do so, and the controller
/// puts it back before it gives the claim an address.
pub(super) fn defaults(kind: Kind, request: &Request, scope: &Scope) -> Vec<Value> {
    if request.operation != Operation::Create {
        return Vec::new();
    }
    match kind {
        Kind::Pool => strategy(&request.new),
        Kind::Claim(family) if is_served(family, request, scope) => finalizer(kind, &request.new),
        Kind::Address(Family::Metal3) => namespaces(request),
        Kind::Claim(_) | Kind::Address(Family::Capi) | Kind::Cluster => Vec::new(),
    }
}

/// A pool says how it chooses, so that it goes on to do so wherever it is moved: the default is not the same everywhere.
fn strategy(pool: &Value) -> Vec<Value> {
    if pool["spec"].is_object() && pool["spec"]["allocationStrategy"].is_null() {
        let path = "/spec/allocationStrategy";
        return vec![json!({"op": "add", "path": path, "value": AllocationStrategy::default()})];
    }
    Vec::new()
}

/// An address made by hand names its pool and claim in full, as those that the controller makes do.
fn namespaces(request: &Request) -> Vec<Value> {
    let parts = ["pool", "claim"].into_iter().filter(|part| {
        let reference = &request.new["spec"][part];
        reference.is_object() && reference["namespace"].is_null()
    });
    let path = |part| format!("/spec/{part}/namespace");
    parts.map(|part| json!({"op": "add", "path": path(part), "value": request.namespace})).collect()
}

/// The claim is one that the controller sees: a finalizer on any other would never be taken off.
fn is_served(family: Family, request: &Request, scope: &Scope) -> bool {
    let label = &request.new["metadata"]["labels"][WATCH_FILTER_LABEL];
    let reference = &request.new["spec"]["poolRef"];
    let of_ours = match family {
        Family::Metal3 => true,
        Family::Capi => reference["apiGroup"] == GROUP && reference["kind"] == Kind::Pool.name(),
    };
    of_ours
        && (scope.namespace.is_empty() || scope.namespace == request.namespace)
        && (scope.watch_filter.is_empty() || *label == scope.watch_filter)
}

/// Our finalizer is there from the first moment on, so that no claim can vanish between its address and its finalizer.
fn finalizer(kind: Kind, claim: &Value) -> Vec<Value> {
    let metadata = &claim["metadata"];
    let ours = json!(kind.finalizer());
    if !metadata.is_object() || !metadata["deletionTimestamp"].is_null() {
        return Vec::new();
    }
    let (path, value) = match &metadata["finalizers"] {
        Value::Null => ("/metadata/finalizers", json!([ours])),
        Value::Array(list) if !list.contains(&ours) => ("/metadata/finalizers/-", ours),
        _ => return Vec::new(),
    };
    vec![json!({"op": "add", "path": path, "value": value})]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(kind: Kind, operation: Operation, new: Value, scope: &Scope) -> Value {
        let (uid, name, namespace) = ("u".into(), "x".into(), "ns".into());
        json!(defaults(kind, &Request { uid, operation, name, namespace, old: Value::Null, new }, scope))
    }

    const CLAIM: Kind = Kind::Claim(Family::Metal3);
    const CAPI_CLAIM: Kind = Kind::Claim(Family::Capi);

    #[test]
    fn a_new_claim_gets_our_finalizer_beside_those_that_it_has() {
        let made = |metadata: Value| {
            completed(CLAIM, Operation::Create, json!({"metadata": metadata}), &Scope::default())
        };
        let list =
            json!([{"op": "add", "path": "/metadata/finalizers", "value": ["ipclaim.ipam.metal3.io"]}]);
        assert_eq!(made(json!({"name": "c"})), list);
        assert_eq!(made(json!({"finalizers": null})), list);
        let element =
            json!([{"op": "add", "path": "/metadata/finalizers/-", "value": "ipclaim.ipam.metal3.io"}]);
        assert_eq!(made(json!({"finalizers": ["a/b"]})), element);
        assert_eq!(made(json!({"finalizers": []})), element);
        assert_eq!(made(json!({"finalizers": ["a/b", "ipclaim.ipam.metal3.io"]})), json!([]));
    }

    #[test]
    fn nothing_is_added_to_a_claim_on_its_way_out_or_to_one_that_was_made_before() {
        let leaving = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
        assert_eq!(completed(CLAIM, Operation::Create, leaving, &Scope::default()), json!([]));
        let stripped = json!({"metadata": {"name": "c"}});
        assert_eq!(completed(CLAIM, Operation::Update, stripped, &Scope::default()), json!([]));
    }

    #[test]
    fn d12_a_claim_of_cluster_api_is_ours_by_group_and_kind_of_its_pool() {
        let made = |group: &str, kind: &str| {
            let reference = json!({"apiGroup": group, "kind": kind, "name": "p"});
            let claim = json!({"metadata": {"name": "c"}, "spec": {"poolRef": reference}});
            completed(CAPI_CLAIM, Operation::Create, claim, &Scope::default())
        };
        assert_eq!(made("ipam.metal3.io", "IPPool")[0]["value"], json!(["ipam.metal3.io/ipaddressclaim"]));
        assert_eq!(made("ipam.metal3.io", "GlobalPool"), json!([]));
        assert_eq!(made("ipam.cluster.x-k8s.io", "IPPool"), json!([]));
    }

    #[test]
    fn a_claim_that_this_controller_does_not_see_gets_no_finalizer_that_nobody_would_take_off() {
        let claim = json!({"metadata": {"labels": {"cluster.x-k8s.io/watch-filter": "a"}}});
        let gets = |namespace: &str, filter: &str| {
            let scope = Scope { namespace: namespace.into(), watch_filter: filter.into() };
            completed(CLAIM, Operation::Create, claim.clone(), &scope) != json!([])
        };
        assert!(gets("", "") && gets("ns", "a"));
        assert!(!gets("other", "") && !gets("", "b"));
    }

    #[test]
    fn an_address_made_by_hand_names_its_pool_and_claim_in_full() {
        let spec =
            json!({"address": "10.0.0.1", "pool": {"name": "p"}, "claim": {"name": "c", "namespace": "ns"}});
        let ops = completed(
            Kind::Address(Family::Metal3),
            Operation::Create,
            json!({ "spec": spec }),
            &Scope::default(),
        );
        assert_eq!(ops, json!([{"op": "add", "path": "/spec/pool/namespace", "value": "ns"}]));
    }

    #[test]
    fn a_new_pool_says_how_it_chooses() {
        let made =
            |spec: Value| completed(Kind::Pool, Operation::Create, json!({"spec": spec}), &Scope::default());
        let ops = json!([{"op": "add", "path": "/spec/allocationStrategy", "value": "random"}]);
        assert_eq!(made(json!({"namePrefix": "p"})), ops);
        assert_eq!(made(json!({"allocationStrategy": "sequential"})), json!([]));
        assert_eq!(made(json!("nonsense")), json!([]));
    }
}
