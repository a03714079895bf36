//! The real API server's end of a sequence: the model's names for things in the server's words, and back.

use std::collections::BTreeMap;
use std::time::Duration;

use ipam::api::{CapiVersion, Family, Kind, PoolReference};
use ipam::apply::{Applier, Change, PatchOp, Reply, Target, change, outcome};
use ipam::ledger::{Act, Id, Outcome, Seen, Uid, Write};
use serde_json::{Value, json};

use super::ops::{Op, pool_spec};

/// One namespace of a real API server.
pub struct Real {
    applier: Applier,
    /// The server's UIDs, by the model's, and the other way round.
    pub uids: BTreeMap<Uid, Uid>,
    pub back: BTreeMap<Uid, Uid>,
    /// The server's versions of each object, by the model's.
    versions: BTreeMap<(Uid, u64), u64>,
}

impl Real {
    pub fn new(client: kube::Client) -> Self {
        Self {
            applier: Applier::new(client, "conformance", Duration::from_secs(30)),
            uids: BTreeMap::new(),
            back: BTreeMap::new(),
            versions: BTreeMap::new(),
        }
    }

    /// Carries out a step.
    pub async fn carry_out(&self, op: &Op) -> Outcome {
        let (write, change) = match op {
            Op::Create(seen, finalizers) => {
                let object = body(seen, finalizers);
                (look(seen.id()), Change::Create { target: target(seen.id()), object })
            }
            Op::Delete(id) => (look(id), Change::Delete { target: target(id), uid: None, version: None }),
            Op::Finalizers(id, finalizers) => {
                let ops = vec![PatchOp::add("/metadata/finalizers", json!(finalizers))];
                (look(id), Change::Patch { target: target(id), subresource: None, ops })
            }
            Op::Write(write) => {
                let write = self.translate(write);
                let change = change(&write, CapiVersion::V1Beta2);
                (write, change)
            }
        };
        outcome(&write, self.applier.carry_out(&change).await)
    }

    /// Remembers what the server calls an object that both have shown, and this state of it.
    pub fn learn(&mut self, model: &Seen, real: &Seen) {
        let (ours, theirs) = (model.meta(), real.meta());
        self.uids.insert(ours.uid.clone(), theirs.uid.clone());
        self.back.insert(theirs.uid.clone(), ours.uid.clone());
        self.versions.insert((ours.uid.clone(), ours.version), theirs.version);
    }

    fn uid(&self, of_model: &Uid) -> Uid {
        self.uids.get(of_model).unwrap_or(of_model).clone()
    }

    /// The server's version of an object that the model has in this one.
    fn version(&self, uid: &Uid, version: u64) -> u64 {
        self.versions.get(&(uid.clone(), version)).copied().unwrap_or(1)
    }

    /// The same write, in the server's words.
    fn translate(&self, write: &Write) -> Write {
        let mut write = write.clone();
        match &mut write.act {
            Act::Take(new) => {
                new.claim_uid = self.uid(&new.claim_uid);
                new.pool_uid = self.uid(&new.pool_uid);
            }
            Act::Adopt(adoption) => {
                adoption.version = self.version(&adoption.uid, adoption.version);
                adoption.uid = self.uid(&adoption.uid);
                adoption.claim_uid = self.uid(&adoption.claim_uid);
            }
            Act::Publish { version, .. } | Act::PoolStatus { version, .. } => {
                *version = self.version(&write.uid, *version);
            }
            Act::Delete { uid, version, .. } => {
                *version = self.version(uid, *version);
                *uid = self.uid(uid);
            }
            Act::Strip { uid, .. } => *uid = self.uid(uid),
            Act::Protect { .. } | Act::Dress(_) | Act::Survey { .. } | Act::Look { .. } => {}
        }
        write.uid = self.uid(&write.uid);
        write
    }
}

/// What an object of the server looks like to the ledger.
pub fn seen(id: &Id, object: Value) -> Option<Seen> {
    match outcome(&look(id), Reply::Object(Box::new(object))) {
        Outcome::Seen(seen) => Some(seen),
        _ => None,
    }
}

/// A read, by which any object is understood.
fn look(id: &Id) -> Write {
    let act = Act::Look { object: id.clone(), known: None };
    Write { number: 0, subject: id.clone(), uid: Uid::new(""), act }
}

fn target(id: &Id) -> Target {
    Target { resource: id.kind.resource(), namespace: id.namespace.to_string(), name: id.name.to_string() }
}

/// An object as a person writes it.
fn body(seen: &Seen, finalizers: &[&str]) -> Value {
    let spec = match seen {
        Seen::Pool(_) => json!(pool_spec()),
        Seen::Claim(claim) => match claim.id.family() {
            Family::Metal3 => json!({"pool": {"name": &*claim.pool}}),
            Family::Capi => json!({"poolRef": PoolReference::to(&claim.pool)}),
        },
        Seen::Address(address) => {
            let (ip, claim) = (address.ip.unwrap().to_string(), &*address.claim);
            match address.id.family() {
                Family::Metal3 => json!({"address": ip, "pool": {"name": "p"}, "claim": {"name": claim}}),
                Family::Capi => json!({
                    "address": ip, "prefix": 24,
                    "poolRef": PoolReference::to("p"), "claimRef": {"name": claim},
                }),
            }
        }
        Seen::Cluster(_) => Value::Null,
    };
    json!({"metadata": {"finalizers": finalizers}, "spec": spec})
}

/// A view without what no two servers have in common, and with UIDs as `name` says.
pub fn plain(mut seen: Seen, name: impl Fn(&Uid) -> Uid) -> Seen {
    let meta = crate::server::meta_mut(&mut seen);
    (meta.version, meta.uid) = (0, name(&meta.uid));
    match &mut seen {
        Seen::Claim(claim) => claim.created = 0,
        Seen::Address(address) => {
            if let Some(owner) = &mut address.owner {
                owner.uid = name(&owner.uid);
            }
            address.annotated = address.annotated.as_ref().map(&name);
            address.mark = address.mark.as_ref().map(|_| "a version".into());
        }
        Seen::Pool(_) | Seen::Cluster(_) => {}
    }
    seen
}

/// The kinds that take part.
pub const KINDS: [Kind; 5] = [
    Kind::Pool,
    Kind::Claim(Family::Metal3),
    Kind::Claim(Family::Capi),
    Kind::Address(Family::Metal3),
    Kind::Address(Family::Capi),
];
