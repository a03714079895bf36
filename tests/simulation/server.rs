//! A model of the API server: objects, versions, finalizers, deletion, guards, and the log that watches are fed from.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use ipam::api::{Family, IPPoolSpec, Kind, PoolRules};
use ipam::ledger::{
    Act, Address, Adoption, Claim, ClaimOwner, Dress, Finalizers, Id, Meta, NewAddress, Outcome, Place, Pool,
    PoolStatusSeen, Seen, Uid, Write, fingerprint,
};

/// An object, and the whole list of its finalizers.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct Object {
    pub seen: Seen,
    pub finalizers: Vec<String>,
}

/// What a watch tells.
#[derive(Clone, Debug, Hash)]
pub enum Event {
    Seen(Arc<Seen>),
    Deleted(Arc<Seen>),
}

/// The API server and its etcd.
#[derive(Clone, Default)]
pub struct Server {
    pub objects: BTreeMap<Id, Object>,
    /// All that ever happened, by kind; the position in it is where a watch stands.
    pub log: BTreeMap<Kind, Vec<Event>>,
    /// How often each object was changed, whichever had the name: versions are compared within one object only. So
    /// they say nothing of what happened to others.
    versions: BTreeMap<Id, u64>,
    /// How many objects of a name there were.
    made: BTreeMap<Id, u32>,
    /// The order in which all were made.
    pub births: BTreeMap<Uid, usize>,
    /// Every spec that a pool ever had, to judge late writes by.
    pub specs: BTreeMap<Uid, Vec<IPPoolSpec>>,
    /// Contents of the pools' `status.indexes`.
    pub indexes: BTreeMap<Id, BTreeMap<String, String>>,
    /// Writes that changed something.
    pub writes: u64,
    /// Cluster API's kinds are not installed.
    pub without_capi: bool,
}

/// A finalizer of somebody else.
pub const FOREIGN: &str = "somebody/else";

impl Server {
    pub fn claims(&self) -> impl Iterator<Item = (&Object, &Claim)> {
        self.objects.values().filter_map(|object| match &object.seen {
            Seen::Claim(claim) => Some((object, &**claim)),
            _ => None,
        })
    }

    pub fn addresses(&self) -> impl Iterator<Item = (&Object, &Address)> {
        self.objects.values().filter_map(|object| match &object.seen {
            Seen::Address(address) => Some((object, &**address)),
            _ => None,
        })
    }

    pub fn pool(&self, id: &Id) -> Option<&Pool> {
        match &self.objects.get(id)?.seen {
            Seen::Pool(pool) => Some(pool),
            _ => None,
        }
    }

    pub fn address(&self, id: &Id) -> Option<&Address> {
        match &self.objects.get(id)?.seen {
            Seen::Address(address) => Some(address),
            _ => None,
        }
    }

    pub fn claim(&self, id: &Id) -> Option<&Claim> {
        match &self.objects.get(id)?.seen {
            Seen::Claim(claim) => Some(claim),
            _ => None,
        }
    }

    /// The metadata of an object that is about to be made. Its UID says nothing of what happened to others.
    pub fn new_meta(&mut self, id: &Id) -> Meta {
        let made = self.made.entry(id.clone()).or_default();
        *made += 1;
        let uid = uid(id, *made);
        self.births.insert(uid.clone(), self.births.len());
        Meta { uid, version: 0, deleting: false, finalizers: Finalizers::default() }
    }

    /// Creates an object, unless the name is taken.
    pub fn create(&mut self, seen: Seen, finalizers: &[&str]) -> bool {
        let id = seen.id().clone();
        if self.objects.contains_key(&id) {
            return false;
        }
        let finalizers = finalizers.iter().map(|&text| text.to_owned()).collect();
        self.objects.insert(id.clone(), Object { seen, finalizers });
        self.changed(&id);
        true
    }

    /// Changes an object; what it looks like afterwards is seen by all watches. What changes nothing is not seen.
    pub fn change(&mut self, id: &Id, change: impl FnOnce(&mut Object)) {
        let Some(object) = self.objects.get_mut(id) else { return };
        let before = object.clone();
        change(object);
        if *object != before {
            self.changed(id);
        }
    }

    /// Asks for an object's deletion.
    pub fn delete(&mut self, id: &Id) {
        self.change(id, |object| meta_mut(&mut object.seen).deleting = true);
    }

    fn changed(&mut self, id: &Id) {
        self.writes += 1;
        let Some(object) = self.objects.get_mut(id) else { return };
        let version = self.versions.entry(id.clone()).or_insert_with(|| version(id, 0));
        *version += 1;
        let finalizers = object.finalizers.iter().map(String::as_str);
        let meta = meta_mut(&mut object.seen);
        meta.version = *version;
        meta.finalizers = Finalizers::of(finalizers, id.kind.finalizer());
        let log = self.log.entry(id.kind).or_default();
        if object.seen.meta().is_gone() {
            let object = self.objects.remove(id).unwrap();
            self.indexes.remove(id);
            log.push(Event::Deleted(Arc::new(object.seen)));
        } else {
            log.push(Event::Seen(Arc::new(object.seen.clone())));
        }
    }

    /// Carries out a write, all or nothing.
    pub fn carry_out(&mut self, write: &Write) -> Outcome {
        if !write.act.is_read() && !self.is_served(write.kind()) {
            return Outcome::Unknown("its kind is not served".into());
        }
        match &write.act {
            Act::Take(new) => self.take(new),
            Act::Look { object, .. } => self.show(object),
            Act::Survey { kind } => self.names(*kind, write),
            Act::Delete { address, uid, version } => {
                let outcome = self.guarded(address, uid, |object| {
                    let meta = meta_mut(&mut object.seen);
                    let holds = meta.version == *version;
                    meta.deleting |= holds;
                    holds
                });
                let is_gone = matches!(&outcome, Outcome::Seen(seen) if seen.meta().is_gone());
                if is_gone { Outcome::Gone } else { outcome }
            }
            Act::Strip { object, uid, at } => {
                let ours = object.kind.finalizer().unwrap();
                self.guarded(object, uid, |object| {
                    let found = object.finalizers.get(usize::from(*at)).is_some_and(|text| text == ours);
                    if found {
                        object.finalizers.remove(usize::from(*at));
                    }
                    found
                })
            }
            Act::Protect { append } => {
                let ours = write.subject.kind.finalizer().unwrap();
                self.guarded(&write.subject, &write.uid, |object| add_finalizer(object, ours, *append))
            }
            Act::Publish { version, status } => self.guarded(&write.subject, &write.uid, |object| {
                let Seen::Claim(claim) = &mut object.seen else { return false };
                let holds = claim.meta.version == *version;
                if holds {
                    claim.shown = status.clone();
                }
                holds
            }),
            Act::Adopt(adoption) => self.adopt(adoption),
            Act::Dress(dress) => self.dress(write, dress),
            Act::PoolStatus { version, status } => {
                let outcome = self.guarded(&write.subject, &write.uid, |object| {
                    let Seen::Pool(pool) = &mut object.seen else { return false };
                    if pool.meta.version != *version {
                        return false;
                    }
                    let indexes = status.indexes.iter().map(|(claim, ip)| (claim.as_str(), ip.as_str()));
                    pool.status = PoolStatusSeen {
                        indexes: fingerprint(indexes),
                        last_updated: status.last_updated.as_ref().map(|time| time.0.as_second()),
                        capacity: status.capacity,
                        available: status.available_ip_count,
                        conditions: status.conditions.clone(),
                    };
                    true
                });
                if matches!(outcome, Outcome::Seen(_)) {
                    self.indexes.insert(write.subject.clone(), status.indexes.clone());
                }
                outcome
            }
        }
    }

    fn adopt(&mut self, adoption: &Adoption) -> Outcome {
        self.guarded(&adoption.address, &adoption.uid, |object| {
            let ours = adoption.address.kind.finalizer().unwrap();
            if adoption.finalizer.is_some_and(|append| !add_finalizer(object, ours, append)) {
                return false;
            }
            let Seen::Address(address) = &mut object.seen else { return false };
            if address.meta.version != adoption.version {
                return false;
            }
            if adoption.annotations.is_some_and(|exists| exists != address.has.annotations) {
                return false;
            }
            if adoption.annotations.is_some() {
                address.mark = Some(adoption.version.to_string().into());
                address.annotated = Some(adoption.claim_uid.clone());
                address.has.annotations = true;
            }
            if let Some(place) = adoption.owner {
                let fits = match place {
                    Place::First => !address.has.owners,
                    Place::End => address.has.owners,
                    Place::At(at) => address.owner.as_ref().is_some_and(|owner| usize::from(owner.at) == at),
                };
                if !fits {
                    return false;
                }
                let at = match place {
                    Place::First => 0,
                    Place::End => 1,
                    Place::At(at) => u16::try_from(at).unwrap(),
                };
                address.owner = Some(ClaimOwner { at, uid: adoption.claim_uid.clone() });
                address.has.owners = true;
            }
            true
        })
    }

    fn dress(&mut self, write: &Write, dress: &Dress) -> Outcome {
        self.guarded(&write.subject, &write.uid, |object| {
            let ours = Kind::Pool.finalizer().unwrap();
            if dress.finalizer.is_some_and(|append| !add_finalizer(object, ours, append)) {
                return false;
            }
            let Seen::Pool(pool) = &mut object.seen else { return false };
            if !dress.labels.is_empty() {
                if dress.has_labels != pool.has.labels {
                    return false;
                }
                (pool.labelled, pool.has.labels) = (true, true);
            }
            if let Some(owner) = &dress.owner {
                let fits = match owner.place {
                    Place::First => !pool.has.owners,
                    Place::End => pool.has.owners,
                    Place::At(at) => pool.owner.as_ref().is_some_and(|owner| owner.at == at),
                };
                if !fits {
                    return false;
                }
                pool.owner = Some(ipam::ledger::ClusterOwner {
                    at: 0,
                    uid: owner.uid.clone(),
                    api_version: owner.api_version.clone(),
                });
                pool.has.owners = true;
            }
            true
        })
    }

    pub fn is_served(&self, kind: Kind) -> bool {
        let is_capi = matches!(kind, Kind::Claim(Family::Capi) | Kind::Address(Family::Capi));
        !(is_capi && self.without_capi)
    }

    /// Cluster API's kinds are taken out of the server, and all their objects, which are returned, with them.
    pub fn remove_capi(&mut self) -> Vec<Seen> {
        self.without_capi = true;
        let objects = self.objects.values().map(|object| object.seen.clone());
        let objects: Vec<Seen> = objects.filter(|seen| !self.is_served(seen.id().kind)).collect();
        for seen in &objects {
            self.change(seen.id(), |object| {
                meta_mut(&mut object.seen).deleting = true;
                object.finalizers.clear();
            });
        }
        objects
    }

    /// The names of a kind; long lists are cut off.
    fn names(&self, kind: Kind, write: &Write) -> Outcome {
        if !self.is_served(kind) {
            return Outcome::Gone;
        }
        let in_namespace = |id: &&Id| id.kind == kind && id.namespace == write.subject.namespace;
        let all = self.objects.keys().filter(in_namespace).map(|id| id.name.clone());
        let names: BTreeSet<_> = all.clone().take(AT_ONCE).collect();
        Outcome::Names { names, complete: all.count() <= AT_ONCE }
    }

    fn show(&self, id: &Id) -> Outcome {
        self.objects.get(id).map_or(Outcome::Gone, |object| Outcome::Seen(object.seen.clone()))
    }

    /// Whether a write may still do something, now or later: no version that an object had comes back, and no UID.
    pub fn may_heed(&self, write: &Write) -> bool {
        let is_at = |id: &Id, uid: &Uid, version: Option<u64>| {
            let meta = self.objects.get(id).map(|object| object.seen.meta());
            meta.is_some_and(|meta| meta.uid == *uid && version.is_none_or(|version| meta.version == version))
        };
        match &write.act {
            Act::Publish { version, .. } | Act::PoolStatus { version, .. } => {
                is_at(&write.subject, &write.uid, Some(*version))
            }
            Act::Protect { .. } | Act::Dress(_) => is_at(&write.subject, &write.uid, None),
            Act::Adopt(adoption) => is_at(&adoption.address, &adoption.uid, Some(adoption.version)),
            Act::Delete { address, uid, version } => is_at(address, uid, Some(*version)),
            Act::Strip { object, uid, .. } => is_at(object, uid, None),
            Act::Take(_) => true,
            Act::Look { .. } | Act::Survey { .. } => false,
        }
    }

    /// A change that counts only for the object with this UID, and only if `change` finds what it expects.
    pub fn guarded(&mut self, id: &Id, uid: &Uid, change: impl FnOnce(&mut Object) -> bool) -> Outcome {
        let Some(object) = self.objects.get(id) else { return Outcome::Gone };
        let mut after = object.clone();
        if object.seen.meta().uid != *uid || !change(&mut after) {
            return Outcome::GuardFailed("the guard did not hold".into());
        }
        if after == *object {
            return self.show(id);
        }
        let mut last = after.clone();
        self.objects.insert(id.clone(), after);
        self.changed(id);
        match self.show(id) {
            Outcome::Gone => {
                // The reply to the write that ended the object shows it as it was then.
                let meta = meta_mut(&mut last.seen);
                meta.version = self.versions.get(id).copied().unwrap_or_default();
                meta.finalizers = Finalizers::default();
                Outcome::Seen(last.seen)
            }
            outcome => outcome,
        }
    }

    fn take(&mut self, new: &NewAddress) -> Outcome {
        let uid = new.claim_uid.clone();
        let address = Address {
            id: new.id.clone(),
            meta: self.new_meta(&new.id),
            ip: Some(new.ip),
            pool: new.pool.name.clone(),
            claim: new.claim.name.clone(),
            owner: Some(ClaimOwner { at: 1, uid: uid.clone() }),
            annotated: Some(uid),
            mark: None,
            has: ipam::ledger::Parts { annotations: true, owners: true, labels: false },
        };
        let finalizer = new.id.kind.finalizer().unwrap();
        if self.create(Seen::Address(Box::new(address)), &[finalizer]) {
            self.show(&new.id)
        } else {
            Outcome::Exists
        }
    }

    /// Whether `ip` was ever an address that the pool could hand out by name.
    pub fn was_in_pool(&self, pool: &Uid, ip: IpAddr) -> bool {
        self.specs
            .get(pool)
            .is_some_and(|specs| specs.iter().any(|spec| PoolRules::read(spec).space().may_name(ip)))
    }
}

/// What versions and UIDs of the model carry, so that they are known for what they are wherever they turn up.
pub const STAMP: u64 = 0x57ed;

/// The nth version of an object.
fn version(id: &Id, nth: u32) -> u64 {
    (STAMP << 48) | (u64::from(short(id)) << 24) | u64::from(nth)
}

/// The UID of the nth object of a name.
fn uid(id: &Id, nth: u32) -> Uid {
    Uid::new(&format!("{:08x}-{STAMP:04x}-4000-8000-{nth:012x}", short(id)))
}

/// A number of 24 bits for an object.
fn short(id: &Id) -> u32 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    u32::try_from(hasher.finish() >> 40).unwrap()
}

/// Which version of its object this is, for people.
pub fn nth(version: u64) -> u64 {
    version & ((1 << 24) - 1)
}

fn add_finalizer(object: &mut Object, finalizer: &str, append: bool) -> bool {
    // The API server refuses new finalizers on an object that is being deleted; one that is there may be there twice.
    let is_new = !object.finalizers.iter().any(|text| text == finalizer);
    if (object.seen.meta().deleting && is_new) || object.finalizers.is_empty() == append {
        return false;
    }
    object.finalizers.push(finalizer.to_owned());
    true
}

pub fn meta_mut(seen: &mut Seen) -> &mut Meta {
    match seen {
        Seen::Pool(pool) => &mut pool.meta,
        Seen::Claim(claim) => &mut claim.meta,
        Seen::Address(address) => &mut address.meta,
        Seen::Cluster(cluster) => &mut cluster.meta,
    }
}

/// The kinds of the model, in the order in which they are listed first.
pub const KINDS: [Kind; 6] = [
    Kind::Address(Family::Metal3),
    Kind::Address(Family::Capi),
    Kind::Claim(Family::Metal3),
    Kind::Claim(Family::Capi),
    Kind::Pool,
    Kind::Cluster,
];

/// The most names that the server lists at once: few, so that lists are cut off.
const AT_ONCE: usize = 4;
