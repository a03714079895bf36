//! The ledger's writes as changes.

use serde_json::{Map, Value, json};

use super::{Change, PatchOp, Target, body, pointer_token};
use crate::api::{ADOPTED_ANNOTATION, CLAIM_UID_ANNOTATION, CapiVersion, Kind};
use crate::ledger::{Act, Adoption, Dress, Id, NewOwner, Place, Uid, Write};

/// The change that a write is; `capi` is the version in which Cluster API's kinds are served.
pub fn change(write: &Write, capi: CapiVersion) -> Change {
    let target = |id: &Id| target(id, capi);
    let patch = |id: &Id, ops| Change::Patch { target: target(id), subresource: None, ops };
    let patch_status =
        |ops| Change::Patch { target: target(&write.subject), subresource: Some("status"), ops };
    match &write.act {
        Act::Protect { append } => patch(&write.subject, protect(write, *append)),
        Act::Take(new) => Change::Create { target: target(&new.id), object: body::address(new, capi) },
        Act::Adopt(adoption) => patch(&adoption.address, adopt(adoption, capi)),
        Act::Publish { version, status } => {
            patch_status(status_of(write, *version, body::status(&write.subject, status, capi)))
        }
        Act::Delete { address, uid, version } => Change::Delete {
            target: target(address),
            uid: Some(uid.to_string()),
            version: Some(version.to_string()),
        },
        Act::Strip { object, uid, at } => patch(object, strip(object, uid, *at)),
        Act::Dress(lacking) => patch(&write.subject, dress(write, lacking)),
        Act::PoolStatus { version, status } => patch_status(status_of(write, *version, json!(status))),
        Act::Survey { kind } => {
            Change::Survey { target: target(&write.subject.beside(*kind, &"".into())), limit: SURVEYED }
        }
        Act::Look { object, .. } => Change::Read { target: target(object) },
    }
}

/// The most names that are asked for at once.
const SURVEYED: usize = 500;

fn target(id: &Id, capi: CapiVersion) -> Target {
    Target {
        resource: id.kind.resource_in(capi),
        namespace: id.namespace.to_string(),
        name: id.name.to_string(),
    }
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

/// Sets the whole status, which counts only for the version that it was decided on.
fn status_of(write: &Write, version: u64, status: Value) -> Vec<PatchOp> {
    vec![
        PatchOp::test_uid(&write.uid),
        PatchOp::test("/metadata/resourceVersion", version.to_string()),
        PatchOp::add("/status", status),
    ]
}

/// An owner reference to one of the objects that take part.
pub(super) fn owner(id: &Id, uid: &Uid, capi: CapiVersion) -> Value {
    owner_of(&id.kind.resource_in(capi).api_version(), id.kind.name(), &id.name, uid)
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

fn adopt(adoption: &Adoption, capi: CapiVersion) -> Vec<PatchOp> {
    let version = adoption.version.to_string();
    let mut ops =
        vec![PatchOp::test_uid(&adoption.uid), PatchOp::test("/metadata/resourceVersion", version.clone())];
    if let Some(exists) = adoption.finalizer {
        ops.extend(finalizer(adoption.address.kind, exists));
    }
    if let Some(exists) = adoption.annotations {
        let members = [(CLAIM_UID_ANNOTATION, adoption.claim_uid.to_string()), (ADOPTED_ANNOTATION, version)];
        ops.extend(set_members("/metadata/annotations", exists, members.into_iter()));
    }
    if let Some(place) = adoption.owner {
        ops.extend(put_owner(place, owner(&adoption.claim, &adoption.claim_uid, capi)));
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
