//! Objects that are lost, and come back from a backup.

use std::collections::BTreeMap;

use ipam::api::Kind;
use ipam::ledger::{Act, Address, Claim, Id, PoolStatusSeen, Seen, Shown, Write};
use rand::RngExt;

use crate::check::cluster;
use crate::server::{FOREIGN, Object, Server, meta_mut};
use crate::world::World;

/// An object that was lost.
pub struct Lost {
    object: Object,
    /// `status.indexes`, if it is a pool.
    indexes: Option<BTreeMap<String, String>>,
}

impl World {
    /// An object is gone, finalizers and all; there is a copy of it in a backup.
    pub fn lose(&mut self) {
        let ids: Vec<Id> =
            self.server.objects.keys().filter(|id| id.kind != Kind::Cluster).cloned().collect();
        if ids.is_empty() {
            return;
        }
        let id = ids[self.rng.random_range(0..ids.len())].clone();
        let object = self.server.objects[&id].clone();
        self.say(format_args!("person: lose {id}"));
        self.meddled_with(&object);
        let indexes = self.server.indexes.get(&id).cloned();
        self.server.change(&id, |object| object.finalizers.clear());
        self.server.delete(&id);
        self.lost.push(Lost { object, indexes });
        self.check.start_over(&self.server);
    }

    /// An object that was lost comes back under another UID, with or without its status, its finalizers and what it
    /// says of its owners.
    pub fn restore(&mut self) {
        if self.lost.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..self.lost.len());
        let Lost { mut object, indexes } = self.lost.remove(at);
        let id = object.seen.id().clone();
        let old = object.seen.meta().uid.clone();
        *meta_mut(&mut object.seen) = self.server.new_meta(&id);
        let with_annotation = self.chance(0.7);
        let (with_status, with_owners, with_finalizers) =
            (self.chance(0.5), self.chance(0.5), self.chance(0.7));
        if !self.server.is_served(id.kind) || self.is_double(&object.seen) {
            return;
        }
        let mut restored = None;
        match &mut object.seen {
            Seen::Claim(claim) if !with_status => claim.shown = Shown::default(),
            Seen::Address(address) if !with_owners => {
                address.owner = None;
                // As Metal3's controller and the garbage collector leave it.
                address.annotated = address.annotated.take().filter(|_| with_annotation);
            }
            Seen::Pool(pool) => {
                let uid = pool.meta.uid.clone();
                let specs = self.server.specs.get(&old).cloned().unwrap_or_default();
                self.server.specs.insert(uid, specs);
                if with_status {
                    restored = indexes;
                } else {
                    pool.status = PoolStatusSeen::default();
                }
            }
            _ => {}
        }
        self.say(format_args!("person: restore {id}"));
        self.meddled_with(&object);
        let mut finalizers: Vec<&str> = object.finalizers.iter().map(String::as_str).collect();
        finalizers.retain(|text| with_finalizers && *text != FOREIGN);
        if self.server.create(object.seen, &finalizers) {
            self.server.indexes.extend(restored.map(|indexes| (id, indexes)));
        }
    }

    fn meddled_with(&mut self, object: &Object) {
        self.check.meddled_with(object.seen.meta().uid.clone());
        if let Seen::Address(address) = &object.seen {
            self.check.removed(address.id.clone());
        }
    }

    /// Whether a person who brings this back makes an address double; that is not ours to prevent.
    fn is_double(&self, seen: &Seen) -> bool {
        let Seen::Address(address) = seen else { return false };
        let is_other = |other: &Address| other.ip == address.ip && other.id != address.id;
        address.ip.is_some_and(|ip| self.check.is_published(ip))
            || self.server.addresses().any(|(_, other)| is_other(other))
    }
}

/// Whether a claim that cannot have the address of a former one of its name now may have it later.
pub fn will_inherit(server: &Server, claim: &Claim, address: &Address) -> bool {
    let waits = server
        .pool(&claim.pool_id())
        .is_none_or(|pool| !pool.meta.deleting && pool.cluster.is_some() && cluster(server, pool).is_none());
    address.pool == claim.pool && claim.shown.address.is_none() && (claim.paused || waits)
}

/// Whether a write sweeps up an address that is of a claim which lives and publishes it.
pub fn sweeps_one_in_use(server: &Server, write: &Write) -> bool {
    let Act::Delete { address: id, uid, .. } = &write.act else { return false };
    let Some(address) = server.address(id) else { return false };
    let is_sweep = write.subject == *id && address.meta.uid == *uid && !address.meta.deleting;
    is_sweep
        && server.claim(&address.claim_id()).is_some_and(|claim| {
            address.claim_uid() == Some(&claim.meta.uid)
                && claim.shown.address.as_ref() == Some(&id.name)
                && !claim.meta.deleting
                && !claim.foreign
        })
}
