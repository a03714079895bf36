//! What a write does to the objects, in the little that the sentences need.

use std::collections::BTreeMap;

use crate::api::{Family, IPPoolStatus, Kind};
use crate::ledger::{
    Act, Address, Adoption, ClaimOwner, ClusterOwner, Dress, Finalizers, Id, Meta, NewAddress, Outcome,
    Parts, Place, PoolStatusSeen, Seen, Uid, Write, fingerprint,
};

/// The objects.
#[derive(Default)]
pub struct Server {
    pub objects: BTreeMap<Id, Seen>,
    /// The last status that was written to each pool.
    pub statuses: BTreeMap<Id, IPPoolStatus>,
    /// What has ended, for the watches to tell.
    ended: Vec<(Id, Uid)>,
    version: u64,
    /// It knows of a status what Metal3's CRDs have.
    pub keeps_no_conditions: bool,
}

impl Server {
    /// Stores an object; where nothing else is said, it is younger than all others.
    pub fn create(&mut self, mut seen: Seen) -> Seen {
        self.version += 1;
        let (version, named) = (self.version, format!("{}#{}", seen.id(), self.version));
        let meta = meta_mut(&mut seen);
        meta.version = version;
        if meta.uid == Uid::new("") {
            meta.uid = Uid::new(&named);
        }
        if let Seen::Claim(claim) = &mut seen
            && claim.created == 0
        {
            claim.created = i64::try_from(version).unwrap();
        }
        self.objects.insert(seen.id().clone(), seen.clone());
        seen
    }

    /// Changes an object; it is gone if nobody holds it any more.
    pub fn change(&mut self, id: &Id, change: impl FnOnce(&mut Seen)) -> Seen {
        let mut seen = self.objects[id].clone();
        change(&mut seen);
        self.version += 1;
        meta_mut(&mut seen).version = self.version;
        if seen.meta().is_gone() {
            self.objects.remove(id);
            self.ended.push((id.clone(), seen.meta().uid.clone()));
        } else {
            self.objects.insert(id.clone(), seen.clone());
        }
        seen
    }

    /// What has ended since the last call.
    pub fn ended(&mut self) -> Vec<(Id, Uid)> {
        std::mem::take(&mut self.ended)
    }

    /// Carries out a write.
    pub fn carry_out(&mut self, write: &Write) -> Outcome {
        let (subject, uid) = (&write.subject, &write.uid);
        let keeps_no_conditions = self.keeps_no_conditions;
        match &write.act {
            Act::Take(new) if self.objects.contains_key(&new.id) => Outcome::Exists,
            Act::Take(new) => Outcome::Seen(self.create(address(new).into())),
            Act::Look { object, .. } => {
                self.objects.get(object).map_or(Outcome::Gone, |seen| Outcome::Seen(seen.clone()))
            }
            Act::Survey { kind } => {
                let names = self.objects.keys().filter(|id| id.kind == *kind).map(|id| id.name.clone());
                Outcome::Names { names: names.collect(), complete: true }
            }
            Act::Delete { address, version, .. } if self.is_past(address, *version) => past(),
            Act::Delete { address, uid, .. } => {
                self.guarded(address, uid, |seen| meta_mut(seen).deleting = true)
            }
            Act::Strip { object, uid, at } => self.guarded(object, uid, |seen| {
                let held = &mut meta_mut(seen).finalizers;
                assert_eq!(held.ours, Some(*at), "our finalizer does not stand there");
                *held = Finalizers { ours: None, total: held.total - 1 };
            }),
            Act::Protect { append } => self.guarded(subject, uid, |seen| hold(meta_mut(seen), *append)),
            Act::Publish { version, status } => {
                if self.is_past(subject, *version) {
                    return past();
                }
                self.guarded(subject, uid, |seen| {
                    let Seen::Claim(claim) = seen else { panic!("only claims publish") };
                    claim.shown = status.clone();
                    if keeps_no_conditions {
                        claim.shown.ready = None;
                    }
                    if claim.id.family() == Family::Capi {
                        // The kind has no such field.
                        claim.shown.error = None;
                    }
                })
            }
            Act::Adopt(adoption) if self.is_past(&adoption.address, adoption.version) => past(),
            Act::Adopt(adoption) => self.guarded(&adoption.address, &adoption.uid, |seen| {
                let Seen::Address(address) = seen else { panic!("only addresses are adopted") };
                adopt(address, adoption);
            }),
            Act::Dress(lacking) => self.guarded(subject, uid, |seen| dress(seen, lacking)),
            Act::PoolStatus { version, .. } if self.is_past(subject, *version) => past(),
            Act::PoolStatus { status, .. } => {
                self.statuses.insert(subject.clone(), (**status).clone());
                self.guarded(subject, uid, |seen| {
                    let Seen::Pool(pool) = seen else { panic!("only pools have that status") };
                    pool.status = read(status);
                    if keeps_no_conditions {
                        let PoolStatusSeen { indexes, last_updated, .. } = pool.status;
                        pool.status = PoolStatusSeen { indexes, last_updated, ..PoolStatusSeen::default() };
                    }
                })
            }
        }
    }

    fn is_past(&self, id: &Id, version: u64) -> bool {
        self.objects.get(id).is_some_and(|seen| seen.meta().version != version)
    }

    fn guarded(&mut self, id: &Id, uid: &Uid, change: impl FnOnce(&mut Seen)) -> Outcome {
        match self.objects.get(id) {
            None => Outcome::Gone,
            Some(seen) if seen.meta().uid != *uid => Outcome::GuardFailed("the UID is another".into()),
            Some(_) => Outcome::Seen(self.change(id, change)),
        }
    }
}

fn past() -> Outcome {
    Outcome::GuardFailed("the version is another".into())
}

/// An address object as it is made.
pub fn address(new: &NewAddress) -> Address {
    let uid = new.claim_uid.clone();
    Address {
        id: new.id.clone(),
        meta: Meta { finalizers: super::OURS, ..super::meta(super::OURS) },
        ip: Some(new.ip),
        pool: new.pool.name.clone(),
        claim: new.claim.name.clone(),
        owner: Some(ClaimOwner { at: 1, uid: uid.clone() }),
        annotated: Some(uid),
        mark: None,
        has: Parts { annotations: true, owners: true, labels: false },
    }
}

fn hold(meta: &mut Meta, append: bool) {
    assert_eq!(append, meta.finalizers.total > 0, "whether there is a list was known");
    meta.finalizers = Finalizers { ours: Some(meta.finalizers.total), total: meta.finalizers.total + 1 };
}

fn adopt(address: &mut Address, adoption: &Adoption) {
    if let Some(append) = adoption.finalizer {
        hold(&mut address.meta, append);
    }
    if adoption.annotations.is_some() {
        address.mark = Some(adoption.version.to_string().into());
        address.annotated = Some(adoption.claim_uid.clone());
    }
    if let Some(place) = adoption.owner {
        let at = match place {
            Place::At(at) => u16::try_from(at).unwrap(),
            Place::First | Place::End => 0,
        };
        address.owner = Some(ClaimOwner { at, uid: adoption.claim_uid.clone() });
    }
}

fn dress(seen: &mut Seen, lacking: &Dress) {
    let Seen::Pool(pool) = seen else { panic!("only pools are dressed") };
    if let Some(append) = lacking.finalizer {
        hold(&mut pool.meta, append);
    }
    pool.labelled |= !lacking.labels.is_empty();
    if let Some(owner) = &lacking.owner {
        let (uid, api_version) = (owner.uid.clone(), owner.api_version.clone());
        pool.owner = Some(ClusterOwner { at: 0, uid, api_version });
    }
}

fn read(status: &IPPoolStatus) -> PoolStatusSeen {
    let indexes = status.indexes.iter().map(|(claim, ip)| (claim.as_str(), ip.as_str()));
    PoolStatusSeen {
        indexes: fingerprint(indexes),
        last_updated: status.last_updated.as_ref().map(|time| time.0.as_second()),
        capacity: status.capacity,
        available: status.available_ip_count,
        conditions: status.conditions.clone(),
    }
}

pub fn meta_mut(seen: &mut Seen) -> &mut Meta {
    match seen {
        Seen::Pool(pool) => &mut pool.meta,
        Seen::Claim(claim) => &mut claim.meta,
        Seen::Address(address) => &mut address.meta,
        Seen::Cluster(cluster) => &mut cluster.meta,
    }
}

/// The kind's name in the sentences.
pub fn called(id: &Id) -> String {
    let kind = match id.kind {
        Kind::Pool => "pool",
        Kind::Claim(Family::Metal3) => "claim",
        Kind::Claim(Family::Capi) => "capi claim",
        Kind::Address(Family::Metal3) => "address",
        Kind::Address(Family::Capi) => "capi address",
        Kind::Cluster => "cluster",
    };
    format!("{kind} {}", id.name)
}
