//! The ledger's writes as changes, and the API server's replies as outcomes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Map, Value, json};

use super::{Change, PatchOp, Reply, Target, pointer_token};
use crate::api::{
    CLAIM_UID_ANNOTATION, Family, IPAddress, IPAddressSpec, IPClaim, IPClaimStatus, IPPool, Kind,
};
use crate::ledger::{
    Act, Address, Adoption, Claim, Dress, Id, NewAddress, NewOwner, Outcome, Place, Pool, Seen, Shown, Uid,
    Write, time,
};

/// The change that a write is.
pub fn change(write: &Write) -> Change {
    let subject = target(&write.subject);
    let patch = |subresource, ops| Change::Patch { target: subject.clone(), subresource, ops };
    match &write.act {
        Act::Protect { append } => patch(None, protect(write, *append)),
        Act::Take(new) => Change::Create { target: target(&new.id), object: object(new) },
        Act::Adopt(adoption) => {
            Change::Patch { target: target(&adoption.address), subresource: None, ops: adopt(adoption) }
        }
        Act::Publish { version, status } => patch(Some("status"), publish(&write.uid, *version, status)),
        Act::Delete { address, uid } => {
            Change::Delete { target: target(address), uid: Some(uid.to_string()) }
        }
        Act::Strip { object, uid, at } => {
            Change::Patch { target: target(object), subresource: None, ops: strip(object, uid, *at) }
        }
        Act::Dress(lacking) => patch(None, dress(write, lacking)),
        Act::PoolStatus(status) => {
            patch(Some("status"), vec![PatchOp::test_uid(&write.uid), PatchOp::add("/status", json!(status))])
        }
        Act::Look { object, .. } => Change::Read { target: target(object) },
    }
}

/// What became of a write, by the reply to its change.
pub fn outcome(write: &Write, reply: Reply) -> Outcome {
    match reply {
        Reply::Object(object) => match seen(object_kind(write), *object) {
            Ok(seen) => Outcome::Seen(seen),
            Err(error) => Outcome::Unknown(format!("the object in the answer cannot be read: {error}")),
        },
        Reply::Deleted | Reply::NotFound => Outcome::Gone,
        Reply::AlreadyExists => Outcome::Exists,
        Reply::GuardFailed { message } => Outcome::GuardFailed(message),
        Reply::Refused { message, .. } => Outcome::Refused(message),
        Reply::NotNow { after, .. } => Outcome::NotNow(after),
        Reply::Unknown { message } => Outcome::Unknown(message),
    }
}

fn target(id: &Id) -> Target {
    Target { resource: id.kind.resource(), namespace: id.namespace.to_string(), name: id.name.to_string() }
}

/// The kind of the object that answers a write.
fn object_kind(write: &Write) -> Kind {
    match &write.act {
        Act::Take(new) => new.id.kind,
        Act::Adopt(adoption) => adoption.address.kind,
        Act::Delete { address, .. } => address.kind,
        Act::Strip { object, .. } | Act::Look { object, .. } => object.kind,
        Act::Protect { .. } | Act::Publish { .. } | Act::Dress(_) | Act::PoolStatus(_) => write.subject.kind,
    }
}

fn seen(kind: Kind, object: Value) -> serde_json::Result<Seen> {
    Ok(match kind {
        Kind::Pool => Seen::Pool(Box::new(Pool::of(&serde_json::from_value::<IPPool>(object)?))),
        Kind::Claim(Family::Metal3) => {
            Seen::Claim(Box::new(Claim::of_metal3(&serde_json::from_value::<IPClaim>(object)?)))
        }
        Kind::Address(Family::Metal3) => {
            Seen::Address(Box::new(Address::of_metal3(&serde_json::from_value::<IPAddress>(object)?)))
        }
        Kind::Claim(Family::Capi) | Kind::Address(Family::Capi) | Kind::Cluster => {
            return Err(serde::de::Error::custom("nothing is written to that kind"));
        }
    })
}

/// Adds an element to a list of the metadata, which has to be made first if there is none.
fn append(path: &str, exists: bool, element: Value) -> Vec<PatchOp> {
    if exists {
        vec![PatchOp::add(format!("{path}/-"), element)]
    } else {
        // `null` stands for absence: if somebody made the list meanwhile, it must not be replaced.
        vec![PatchOp::test(path, Value::Null), PatchOp::add(path, json!([element]))]
    }
}

/// Sets members of a map of the metadata, which has to be made first if there is none.
fn set_members<'a>(
    path: &str,
    exists: bool,
    members: impl Iterator<Item = (&'a str, String)>,
) -> Vec<PatchOp> {
    if exists {
        return members
            .map(|(key, value)| PatchOp::add(format!("{path}/{}", pointer_token(key)), value))
            .collect();
    }
    let map: Map<String, Value> = members.map(|(key, value)| (key.to_owned(), json!(value))).collect();
    vec![PatchOp::test(path, Value::Null), PatchOp::add(path, map)]
}

fn finalizer(kind: Kind, append_to_list: bool) -> Vec<PatchOp> {
    append("/metadata/finalizers", append_to_list, json!(kind.finalizer()))
}

fn protect(write: &Write, append_to_list: bool) -> Vec<PatchOp> {
    let mut ops = vec![PatchOp::test_uid(&write.uid)];
    ops.extend(finalizer(write.subject.kind, append_to_list));
    ops
}

fn strip(object: &Id, uid: &Uid, at: u16) -> Vec<PatchOp> {
    let element = format!("/metadata/finalizers/{at}");
    vec![
        PatchOp::test_uid(uid),
        PatchOp::test(&element, json!(object.kind.finalizer())),
        PatchOp::remove(element),
    ]
}

fn publish(uid: &Uid, version: u64, status: &Shown) -> Vec<PatchOp> {
    vec![
        PatchOp::test_uid(uid),
        PatchOp::test("/metadata/resourceVersion", version.to_string()),
        PatchOp::add("/status", json!(claim_status(status))),
    ]
}

fn claim_status(shown: &Shown) -> IPClaimStatus {
    let reference =
        |name: &str| ObjectReference { name: Some(name.to_owned()), ..ObjectReference::default() };
    IPClaimStatus {
        address: shown.address.as_deref().map(reference),
        error_message: shown.error.as_deref().map(str::to_owned),
        conditions: shown.ready.iter().map(ready).collect(),
    }
}

fn ready(ready: &crate::ledger::Ready) -> Condition {
    Condition {
        type_: "Ready".into(),
        status: if ready.is { "True" } else { "False" }.into(),
        reason: ready.reason.to_string(),
        message: ready.message.to_string(),
        last_transition_time: time(ready.since),
        observed_generation: None,
    }
}

fn object(new: &NewAddress) -> Value {
    let spec = IPAddressSpec {
        pool: reference(&new.pool),
        claim: reference(&new.claim),
        address: new.ip.to_string(),
        prefix: new.prefix.map(i32::from),
        gateway: new.gateway.map(|ip| ip.to_string()),
        dns_servers: new.dns.iter().map(IpAddr::to_string).collect(),
    };
    let annotations = BTreeMap::from([(CLAIM_UID_ANNOTATION, new.claim_uid.to_string())]);
    let mut metadata = json!({
        "annotations": annotations,
        "finalizers": [new.id.kind.finalizer()],
        "ownerReferences": [owner(&new.pool, &new.pool_uid), owner(&new.claim, &new.claim_uid)],
    });
    if !new.labels.is_empty() {
        metadata["labels"] = json!(*new.labels);
    }
    json!({"metadata": metadata, "spec": spec})
}

fn reference(id: &Id) -> ObjectReference {
    ObjectReference {
        name: Some(id.name.to_string()),
        namespace: Some(id.namespace.to_string()),
        ..ObjectReference::default()
    }
}

fn owner(id: &Id, uid: &Uid) -> Value {
    owner_of(&id.kind.resource().api_version(), id.kind.name(), &id.name, uid)
}

/// An owner reference that neither blocks the owner's deletion nor claims to control.
fn owner_of(api_version: &str, kind: &str, name: &str, uid: &Uid) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "name": name, "uid": uid.to_string(), "controller": false})
}

/// Puts an owner reference in its place; one that is replaced must still name the same owner.
fn put_owner(place: Place, owner: Value) -> Vec<PatchOp> {
    const PATH: &str = "/metadata/ownerReferences";
    match place {
        Place::First => append(PATH, false, owner),
        Place::End => append(PATH, true, owner),
        Place::At(index) => vec![
            PatchOp::test(format!("{PATH}/{index}/kind"), owner["kind"].clone()),
            PatchOp::test(format!("{PATH}/{index}/name"), owner["name"].clone()),
            PatchOp::add(format!("{PATH}/{index}/apiVersion"), owner["apiVersion"].clone()),
            PatchOp::add(format!("{PATH}/{index}/uid"), owner["uid"].clone()),
        ],
    }
}

fn adopt(adoption: &Adoption) -> Vec<PatchOp> {
    let mut ops = vec![PatchOp::test_uid(&adoption.uid)];
    if let Some(exists) = adoption.finalizer {
        ops.extend(finalizer(adoption.address.kind, exists));
    }
    if let Some(exists) = adoption.annotation {
        let member = (CLAIM_UID_ANNOTATION, adoption.claim_uid.to_string());
        ops.extend(set_members("/metadata/annotations", exists, std::iter::once(member)));
    }
    if let Some(place) = adoption.owner {
        ops.extend(put_owner(place, owner(&adoption.claim, &adoption.claim_uid)));
    }
    ops
}

fn dress(write: &Write, lacking: &Dress) -> Vec<PatchOp> {
    let mut ops = vec![PatchOp::test_uid(&write.uid)];
    if let Some(exists) = lacking.finalizer {
        ops.extend(finalizer(write.subject.kind, exists));
    }
    if !lacking.labels.is_empty() {
        let labels = lacking.labels.iter().map(|(key, value)| (*key, value.clone()));
        ops.extend(set_members("/metadata/labels", lacking.has_labels, labels));
    }
    if let Some(NewOwner { api_version, name, uid, place }) = &lacking.owner {
        ops.extend(put_owner(*place, owner_of(api_version, Kind::Cluster.name(), name, uid)));
    }
    ops
}
