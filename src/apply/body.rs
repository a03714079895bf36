//! What is written of claims and addresses. Here, and in how objects are read, is all that one family has over the other.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::ObjectReference;
use serde_json::{Value, json};

use super::write::owner;
use crate::api::{
    CLAIM_UID_ANNOTATION, CapiAddressSpec, CapiVersion, Family, IPAddressSpec, NameReference, PoolReference,
};
use crate::ledger::{Id, NewAddress, Ready, Shown, Verdict, time};

/// Status of a claim.
pub(super) fn status(claim: &Id, shown: &Shown, capi: CapiVersion) -> Value {
    match claim.family() {
        Family::Metal3 => status_of_metal3(claim, shown),
        Family::Capi => status_of_capi(shown, capi),
    }
}

fn status_of_metal3(claim: &Id, shown: &Shown) -> Value {
    let mut status = json!({});
    if let Some(name) = &shown.address {
        status["address"] = json!({ "name": name, "namespace": claim.namespace });
    }
    if let Some(error) = &shown.error {
        status["errorMessage"] = json!(error);
    }
    status["conditions"] = conditions(shown, |_| None);
    status
}

fn status_of_capi(shown: &Shown, version: CapiVersion) -> Value {
    let mut status = json!(shown.others.as_ref().map(|others| others.members.clone()).unwrap_or_default());
    if let Some(name) = &shown.address {
        status["addressRef"] = json!({ "name": name });
    }
    status["conditions"] = conditions(shown, |ready| match version {
        CapiVersion::V1Beta2 => None,
        CapiVersion::V1Beta1 => severity(ready),
    });
    status
}

/// The severity that Cluster API's older conditions have where they are not true.
fn severity(ready: &Ready) -> Option<&'static str> {
    let passes = &*ready.reason == Verdict::NOT_READY;
    (!ready.is).then_some(if passes { "Info" } else { "Error" })
}

/// Ours, and everybody else's as they stand.
fn conditions(shown: &Shown, severity: impl Fn(&Ready) -> Option<&'static str>) -> Value {
    let ours = shown.ready.iter().map(|ready| {
        let mut condition = json!({
            "type": "Ready",
            "status": if ready.is { "True" } else { "False" },
            "reason": ready.reason,
            "message": ready.message,
            "lastTransitionTime": time(ready.since),
        });
        if let Some(severity) = severity(ready) {
            condition["severity"] = json!(severity);
        }
        condition
    });
    let others = shown.others.iter().flat_map(|others| others.conditions.iter().cloned());
    ours.chain(others).collect()
}

/// An address object.
pub(super) fn address(new: &NewAddress, capi: CapiVersion) -> Value {
    let annotations = BTreeMap::from([(CLAIM_UID_ANNOTATION, new.claim_uid.to_string())]);
    let owners = [owner(&new.pool, &new.pool_uid, capi), owner(&new.claim, &new.claim_uid, capi)];
    let mut metadata = json!({
        "annotations": annotations,
        "finalizers": [new.id.kind.finalizer()],
        "ownerReferences": owners,
    });
    if !new.labels.is_empty() {
        metadata["labels"] = json!(*new.labels);
    }
    let spec = match new.id.family() {
        Family::Metal3 => json!(spec_of_metal3(new)),
        Family::Capi => json!(spec_of_capi(new)),
    };
    json!({"metadata": metadata, "spec": spec})
}

fn spec_of_metal3(new: &NewAddress) -> IPAddressSpec {
    IPAddressSpec {
        pool: reference(&new.pool),
        claim: reference(&new.claim),
        address: new.ip.to_string(),
        prefix: new.prefix.map(i32::from),
        gateway: new.gateway.map(|ip| ip.to_string()),
        dns_servers: new.dns.iter().map(IpAddr::to_string).collect(),
    }
}

fn spec_of_capi(new: &NewAddress) -> CapiAddressSpec {
    CapiAddressSpec {
        claim_ref: NameReference { name: new.claim.name.to_string() },
        pool_ref: PoolReference::to(&new.pool.name),
        address: new.ip.to_string(),
        prefix: new.prefix.map_or(0, i32::from),
        gateway: new.gateway.map(|ip| ip.to_string()),
    }
}

fn reference(id: &Id) -> ObjectReference {
    ObjectReference {
        name: Some(id.name.to_string()),
        namespace: Some(id.namespace.to_string()),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests {
    use kube::api::ObjectMeta;

    use super::*;
    use crate::api::{IPAddressClaimSpec, IPClaim};
    use crate::ledger::Claim;

    fn bound(claim: Claim) -> (Id, Shown) {
        let ready = Ready { is: true, reason: "AddressAllocated".into(), message: "".into(), since: 0 };
        (claim.id, Shown { address: Some("p-10-0-0-1".into()), ready: Some(ready), ..claim.shown })
    }

    /// A condition of somebody else, in the form of either version.
    fn backup() -> Value {
        json!({
            "type": "Backup", "status": "Unknown", "reason": "Never", "message": "not yet",
            "lastTransitionTime": "2024-01-01T00:00:00Z", "observedGeneration": 3,
        })
    }

    #[test]
    fn a_status_keeps_the_conditions_and_the_members_of_others_as_they_stand() {
        let stale = json!({"type": "Ready", "status": "False", "reason": "PoolNotReady", "message": "",
            "lastTransitionTime": "2024-01-01T00:00:00Z"});
        let conditions = json!([backup(), stale]);
        let claim = json!({
            "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim",
            "metadata": {"name": "c", "namespace": "ns"}, "spec": {"pool": {"name": "p"}},
            "status": {"conditions": conditions},
        });
        let claim: IPClaim = serde_json::from_value(claim).unwrap();
        let (id, shown) = bound(Claim::of_metal3(&claim));
        let written = status(&id, &shown, CapiVersion::V1Beta2);
        assert_eq!(written["conditions"].as_array().unwrap()[1..], [backup()], "{written}");

        let members = json!({"v1beta2": {"conditions": [backup()]}, "deprecated": {"v1beta1": {"conditions": [backup()]}}});
        let mut seen = members.clone();
        seen["conditions"] = conditions;
        let ours: IPAddressClaimSpec =
            serde_json::from_value(json!({ "poolRef": PoolReference::to("p") })).unwrap();
        let meta = ObjectMeta { name: Some("c".into()), ..ObjectMeta::default() };
        let seen = serde_json::from_value(seen).unwrap();
        let (id, shown) = bound(Claim::of_capi(&meta, &ours, Some(&seen)).unwrap());
        for version in [CapiVersion::V1Beta1, CapiVersion::V1Beta2] {
            let written = status(&id, &shown, version);
            assert_eq!(written["conditions"].as_array().unwrap()[1..], [backup()], "{written}");
            for member in ["v1beta2", "deprecated"] {
                assert_eq!(written[member], members[member], "{written}");
            }
        }
    }
}
