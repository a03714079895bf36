//! What mends a finding: one write, guarded by the UID of its object.

use std::collections::BTreeMap;

use ipam::api::CLAIM_UID_ANNOTATION;
use ipam::apply::{PatchOp, pointer_token};
use serde_json::{Value, json};

use super::Object;
use crate::world::{Address, Claim, Meta};

/// One write that mends something.
#[derive(Clone, Debug, PartialEq)]
pub struct Mend {
    pub rank: Rank,
    pub object: Object,
    pub action: Action,
    /// A participle: what was done.
    pub done: &'static str,
    pub why: String,
}

/// What comes before what: nothing is taken away before what stays is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    Protect,
    Correct,
    Delete,
    LetGo,
    Report,
}

/// What is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// It counts only for this resource version: an address may have been given to a claim meanwhile.
    Delete {
        version: String,
    },
    Patch {
        subresource: Option<&'static str>,
        ops: Vec<PatchOp>,
    },
}

impl Mend {
    fn patch(rank: Rank, object: Object, ops: Vec<PatchOp>, done: &'static str, why: &str) -> Self {
        Self::patch_of(None, rank, object, ops, done, why)
    }

    fn patch_of(
        subresource: Option<&'static str>,
        rank: Rank,
        object: Object,
        ops: Vec<PatchOp>,
        done: &'static str,
        why: &str,
    ) -> Self {
        let guard = PatchOp::test_uid(&object.uid);
        let ops = std::iter::once(guard).chain(ops).collect();
        Self { rank, object, action: Action::Patch { subresource, ops }, done, why: why.to_owned() }
    }

    /// Deletes an object.
    pub fn delete(object: Object, meta: &Meta, why: &str) -> Self {
        let action = Action::Delete { version: meta.resource_version.owned() };
        Self { rank: Rank::Delete, object, action, done: "deleted", why: why.to_owned() }
    }

    /// Takes our finalizer off; none where it is not on.
    pub fn let_go(object: Object, meta: &Meta, why: &str) -> Option<Self> {
        let ours = object.kind.finalizer()?;
        let at = meta.finalizers.iter().position(|finalizer| finalizer == ours)?;
        let path = format!("/metadata/finalizers/{at}");
        let ops = vec![PatchOp::test(&path, ours), PatchOp::remove(path)];
        Some(Self::patch(Rank::LetGo, object, ops, "let go", why))
    }

    /// Puts our finalizer on; none where it is on, or nothing has one.
    pub fn protect(object: Object, meta: &Meta, why: &str) -> Option<Self> {
        let ours = object.kind.finalizer()?;
        if meta.held_by_us(object.kind) || meta.deleting() {
            return None;
        }
        let ops = if meta.finalizers.is_empty() {
            vec![
                PatchOp::test("/metadata/finalizers", Value::Null),
                PatchOp::add("/metadata/finalizers", json!([ours])),
            ]
        } else {
            vec![PatchOp::add("/metadata/finalizers/-", ours)]
        };
        Some(Self::patch(Rank::Protect, object, ops, "protected", why))
    }

    /// Takes a wrong reference out of a claim's status, so that the claim is served anew.
    pub fn clear_reference(claim: &Claim, why: &str) -> Option<Self> {
        let field = match claim.family {
            ipam::api::Family::Metal3 => "/status/address",
            ipam::api::Family::Capi => "/status/addressRef",
        };
        let name = claim.address.as_deref()?;
        let whole = if claim.told > 1 { field } else { "/status" };
        let ops = vec![PatchOp::test(format!("{field}/name"), name), PatchOp::remove(whole)];
        let object = Object::of(claim.kind(), &claim.meta);
        Some(Self::patch_of(Some("status"), Rank::Correct, object, ops, "served anew", why))
    }

    /// Takes an error out of a claim's status that is not true any more. The replaced system looks at a claim again
    /// only then.
    pub fn clear_error(claim: &Claim, why: &str) -> Option<Self> {
        const FIELD: &str = "/status/errorMessage";
        let ops = vec![PatchOp::test(FIELD, claim.error.as_deref()?), PatchOp::remove(FIELD)];
        let object = Object::of(claim.kind(), &claim.meta);
        Some(Self::patch_of(Some("status"), Rank::Correct, object, ops, "served anew", why))
    }

    /// Makes an address name the claim that has it now.
    pub fn new_owner(address: &Address, claim: &Claim, why: &str) -> Self {
        let meta = &address.meta;
        let owner = meta.owner_references.iter().position(|owner| {
            owner.kind == claim.kind().name() && owner.name == claim.meta.name && owner.uid != claim.meta.uid
        });
        let mut ops = Vec::new();
        if let Some(at) = owner {
            let path = format!("/metadata/ownerReferences/{at}/uid");
            ops.push(PatchOp::test(&path, meta.owner_references[at].uid.as_str()));
            ops.push(PatchOp::add(path, claim.meta.uid.as_str()));
        }
        if let Some(uid) = meta.annotations.get(CLAIM_UID_ANNOTATION).filter(|uid| *uid != claim.meta.uid) {
            let path = format!("/metadata/annotations/{}", pointer_token(CLAIM_UID_ANNOTATION));
            ops.push(PatchOp::test(&path, uid));
            ops.push(PatchOp::add(path, claim.meta.uid.as_str()));
        }
        Self::patch(Rank::Correct, Object::of(address.kind(), meta), ops, "handed to its claim", why)
    }

    /// Writes the indexes of a pool as they should be.
    pub fn indexes(pool: Object, indexes: &BTreeMap<String, String>, why: &str) -> Self {
        let ops = vec![PatchOp::add("/status/indexes", json!(indexes))];
        Self::patch_of(Some("status"), Rank::Report, pool, ops, "indexed", why)
    }
}
