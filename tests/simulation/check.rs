//! The invariants: what holds at every moment, and what holds once everything has settled.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipam::api::{Family, Kind, address_in_name, address_name};
use ipam::ledger::{Act, Address, Claim, Id, Outcome, Seen, Text, Uid, Write};

use crate::restore::will_inherit;
use crate::server::{Object, Server};
use crate::world::{Whose, publishes};

/// What the checks remember of the past.
#[derive(Default)]
pub struct Check {
    /// Objects that a person deleted or whose finalizer a person removed: what follows from that is theirs.
    meddled: BTreeSet<Uid>,
    /// Address objects beside which another one had the same address at some time.
    contested: BTreeSet<Uid>,
    /// Names of address objects that a person removed: a publication on its way at that time may name one.
    removed: BTreeSet<Id>,
    /// The address that each claim published last, in which pool, by which object.
    published: BTreeMap<Uid, Published>,
}

#[derive(Clone, PartialEq)]
struct Published {
    pool: Id,
    ip: IpAddr,
    object: Uid,
    /// When that object was made, among all.
    birth: usize,
    /// Whoever published it had read the other family before.
    fenced: bool,
}

type Verdict = Result<(), String>;

impl Check {
    /// A person has done something to this object by which promises about it end.
    pub fn meddled_with(&mut self, uid: Uid) {
        self.meddled.insert(uid);
    }

    /// A person has removed an address object.
    pub fn removed(&mut self, object: Id) {
        self.removed.insert(object);
    }

    /// What was published by way of this object cannot be known any more.
    pub fn forget(&mut self, object: &Uid) {
        self.published.retain(|_, published| published.object != *object);
    }

    /// A controller starts anew, perhaps after what it needed is lost: which address a claim publishes, it can only tell from the object, or from its name by
    /// the prefix that the pool has now.
    pub fn start_over(&mut self, server: &Server) {
        let names: BTreeMap<&Uid, Option<&Text>> =
            server.claims().map(|(_, claim)| (&claim.meta.uid, claim.shown.address.as_ref())).collect();
        let exists = |object: &Uid| server.addresses().any(|(_, address)| address.meta.uid == *object);
        self.published.retain(|claim, published| {
            let pool = server.pool(&published.pool);
            let said = pool.zip(names.get(claim).copied().flatten());
            let said = said.and_then(|(pool, name)| address_in_name(&pool.name_prefix, name));
            exists(&published.object) || said == Some(published.ip)
        });
    }

    /// A person has made this address.
    pub fn made_by_hand(&mut self, uid: Uid, _ip: IpAddr) {
        self.meddled.insert(uid);
    }

    /// Whether a claim publishes `ip`.
    pub fn is_published(&self, ip: IpAddr) -> bool {
        self.published.values().any(|published| published.ip == ip)
    }

    /// Judges a write by what the server holds at the moment it takes effect.
    pub fn before(&self, server: &Server, write: &Write, whose: Whose) -> Verdict {
        let late = !whose.alone;
        if let Some((id, uid)) = touched(write)
            && server.address(id).is_some_and(|address| address.is_foreign() && address.meta.uid == *uid)
        {
            return Err(format!("{id}, which is another provider's, is written"));
        }
        if let (Some(shown), Act::Publish { version, .. }) = (publishes(&write.act), &write.act) {
            let claim = server.claim(&write.subject);
            // Any other is refused by its guard.
            let Some(claim) =
                claim.filter(|claim| claim.meta.uid == write.uid && claim.meta.version == *version)
            else {
                return Ok(());
            };
            let name = shown.address.clone().unwrap_or_default();
            let object = claim.address_id(&name);
            let excused = late && self.removed.contains(&object);
            return if excused { Ok(()) } else { self.publication(server, write, claim, &object) };
        }
        match &write.act {
            Act::Take(new) if !late && server.is_served(new.id.kind) => {
                let claim = server.claim(&new.claim).filter(|claim| claim.meta.uid == new.claim_uid);
                let is_held = claim.is_some_and(|claim| claim.meta.finalizers.ours.is_some());
                if !is_held && !self.meddled.contains(&new.claim_uid) {
                    return Err(format!("{} is made for {}, which nothing holds", new.id, new.claim));
                }
                // What is published is made again, whatever was taken before that was known.
                let is_anew = claim.is_some_and(|claim| claim.shown.address.as_ref() == Some(&new.id.name));
                let other = self.own_address(server, &new.claim_uid);
                if let Some(other) = other.filter(|other| **other != new.id && !is_anew) {
                    return Err(format!("{} is made for {}, which has {other} already", new.id, new.claim));
                }
                if !server.was_in_pool(&new.pool_uid, new.ip) {
                    return Err(format!("{} was never in {}", new.ip, new.pool));
                }
                Ok(())
            }
            Act::Strip { object, uid, .. } if object.kind == write.subject.kind && !late => {
                let mut left = server.addresses().filter(|(_, address)| address.claim_uid() == Some(uid));
                match left.find(|(_, address)| !self.meddled.contains(&address.meta.uid)) {
                    Some((_, address))
                        if server.claim(object).is_some_and(|claim| claim.meta.uid == *uid) =>
                    {
                        Err(format!("{object} is let go while {} is left of it", address.id))
                    }
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// An address object that was made for the claim of this UID, and that no other object ever contested: whose is
    /// contested may have to take another one, and lets go of the first afterwards.
    fn own_address<'a>(&self, server: &'a Server, claim: &Uid) -> Option<&'a Id> {
        let mut own = server.addresses().filter(|(_, address)| address.claim_uid() == Some(claim));
        let counts = |uid: &Uid| !self.meddled.contains(uid) && !self.contested.contains(uid);
        own.find(|(_, address)| counts(&address.meta.uid)).map(|(_, address)| &address.id)
    }

    fn publication(&self, server: &Server, write: &Write, claim: &Claim, object: &Id) -> Verdict {
        let before = self.published.get(&write.uid);
        let ours = before.is_some_and(|published| !self.meddled.contains(&published.object));
        let Some(address) = server.address(object) else {
            // It may be gone by the time a late publication takes effect, but only because somebody removed it.
            return if ours || before.is_some() { Ok(()) } else { self.vanished(object) };
        };
        // A take of a former controller may come so late that it finds the name free again.
        let came_late = self.meddled.contains(&address.meta.uid);
        if address.claim_uid().is_some_and(|uid| *uid != write.uid)
            && !came_late
            && claim.shown.address.as_ref() != Some(&object.name)
        {
            return Err(format!("{} publishes {object}, which is of another claim", write.subject));
        }
        if let Some(published) = before
            && ours
            && Some(published.ip) != address.ip
        {
            return Err(format!("{} published {} and now {object}", write.subject, published.ip));
        }
        Ok(())
    }

    fn vanished(&self, object: &Id) -> Verdict {
        // Only a meddled address can vanish between its making and its publication.
        if self.meddled.is_empty() {
            Err(format!("{object} is published and does not exist"))
        } else {
            Ok(())
        }
    }

    /// Remembers what a write has brought about.
    pub fn after(&mut self, server: &Server, write: &Write, outcome: &Outcome, whose: Whose) {
        let late = !whose.alone;
        let is_new_to_it = match &write.act {
            Act::Take(_) => true,
            Act::Adopt(adoption) => server
                .claim(&adoption.claim)
                .is_none_or(|claim| claim.meta.uid == adoption.claim_uid && claim.meta.deleting),
            _ => false,
        };
        if let (Outcome::Seen(made), true) = (outcome, late && is_new_to_it) {
            // Nobody could know of it when the claim was let go: it is swept, like what a person left behind.
            self.meddled.insert(made.meta().uid.clone());
        }
        if let (Act::Take(_), Outcome::Seen(Seen::Address(made))) = (&write.act, outcome) {
            // Pools that share a prefix share the names, and with them the addresses.
            let contests = |other: &Address| {
                other.ip == made.ip && (other.pool == made.pool || other.id.name == made.id.name)
            };
            let at_place = server.addresses().filter(|(_, address)| contests(address));
            let at_place: Vec<&Uid> = at_place.map(|(_, address)| &address.meta.uid).collect();
            if at_place.len() > 1 {
                self.contested.extend(at_place.into_iter().cloned());
            }
        }
        let (Some(shown), Outcome::Seen(Seen::Claim(claim))) = (publishes(&write.act), outcome) else {
            return;
        };
        let object = claim.address_id(&shown.address.clone().unwrap_or_default());
        // The name of one that was made by hand does not say which address it was, once it is gone.
        if self.removed.contains(&object) && (late || object.name.starts_with("hand-")) {
            return;
        }
        let Some(address) = server.address(&object) else { return };
        let Some(ip) = address.ip else { return };
        let object = address.meta.uid.clone();
        let birth = server.births.get(&object).copied().unwrap_or_default();
        let published = Published { pool: claim.pool_id(), ip, object, birth, fenced: whose.fences };
        self.published.insert(claim.meta.uid.clone(), published);
    }

    /// What holds at every moment.
    pub fn always(&mut self, server: &Server) -> Verdict {
        let mut holders: BTreeMap<(&Id, IpAddr), (&Claim, &Published)> = BTreeMap::new();
        // Pools that share a prefix share the names, and with them the addresses.
        let mut named: BTreeMap<(&Text, IpAddr), (&Claim, &Published)> = BTreeMap::new();
        let mut alive = BTreeSet::new();
        for (_, claim) in server.claims() {
            let Some(published) = self.published.get(&claim.meta.uid) else { continue };
            alive.insert(claim.meta.uid.clone());
            let name = claim.shown.address.as_ref().filter(|name| !name.starts_with("hand-"));
            let by_name = name.and_then(|name| named.insert((name, published.ip), (claim, published)));
            let by_pool = holders.insert((&published.pool, published.ip), (claim, published));
            let mut others = by_pool.into_iter().chain(by_name);
            if let Some((other, before)) = others.find(|(_, before)| is_ours_to_prevent(before, published)) {
                return Err(format!("{} and {} both publish {}", other.id, claim.id, before.ip));
            }
        }
        self.published.retain(|uid, _| alive.contains(uid));
        Ok(())
    }

    /// What holds once nothing is left to do.
    pub fn at_the_end(server: &Server) -> Verdict {
        server.claims().try_for_each(|(object, claim)| claim_is_right(server, object, claim))?;
        let ours = |(_, address): &(&Object, &Address)| !address.is_foreign();
        server.addresses().filter(ours).try_for_each(|(object, address)| {
            let id = &address.id;
            let claim = server.claim(&address.claim_id());
            let paused = is_paused(server, &address.pool_id());
            let is_its = claim.is_some_and(|claim| {
                let unowned = address.meta.finalizers.ours.is_none() || claim.shown.address.is_none();
                address.claim_uid().map_or(unowned, |uid| *uid == claim.meta.uid)
                    || claim.shown.address.as_ref() == Some(&id.name)
                    || will_inherit(server, claim, address)
            });
            if !paused && !is_its && !object.finalizers.is_empty() {
                return Err(format!("{id} has no claim and stays"));
            }
            let stays_for_claim = claim.is_some_and(|claim| {
                claim.paused || object_is_held(server, &claim.id) || will_inherit(server, claim, address)
            });
            if address.meta.deleting && !paused && !stays_for_claim {
                return Err(format!("{id} is being deleted and stays"));
            }
            Ok(())
        })?;
        server.objects.keys().filter(|id| id.kind == Kind::Pool).try_for_each(|id| pool_is_right(server, id))
    }
}

/// Whether the one of two publications that came later could have been known to be one too many. A controller that does
/// not look for the other family's addresses cannot be kept from doubling one.
fn is_ours_to_prevent(one: &Published, other: &Published) -> bool {
    let later = if one.birth < other.birth { other } else { one };
    later.fenced
}

/// The address object that a write is meant for.
fn touched(write: &Write) -> Option<(&Id, &Uid)> {
    match &write.act {
        Act::Delete { address, uid, .. } => Some((address, uid)),
        Act::Adopt(adoption) => Some((&adoption.address, &adoption.uid)),
        Act::Strip { object, uid, .. } => Some((object, uid)),
        _ => None,
    }
}

fn object_is_held(server: &Server, claim: &Id) -> bool {
    server.objects.get(claim).is_some_and(|object| {
        object.seen.meta().deleting
            && object.finalizers.iter().any(|text| Some(text.as_str()) != claim.kind.finalizer())
    })
}

fn is_paused(server: &Server, pool: &Id) -> bool {
    let Some(pool) = server.pool(pool) else { return false };
    pool.paused || cluster(server, pool).is_some_and(|paused| paused)
}

/// Whether the pool's Cluster is paused; none where there is no such Cluster.
pub fn cluster(server: &Server, pool: &ipam::ledger::Pool) -> Option<bool> {
    let id = pool.id.beside(Kind::Cluster, pool.cluster.as_ref()?);
    match &server.objects.get(&id)?.seen {
        Seen::Cluster(cluster) => Some(cluster.paused),
        _ => None,
    }
}

fn claim_is_right(server: &Server, object: &Object, claim: &Claim) -> Verdict {
    let (id, paused) = (&claim.id, claim.paused || is_paused(server, &claim.pool_id()));
    if paused {
        return Ok(());
    }
    if claim.foreign {
        let held = claim.meta.finalizers.ours.is_some();
        return if held { Err(format!("{id} is another provider's and held by us")) } else { Ok(()) };
    }
    if claim.meta.deleting {
        let foreign = object.finalizers.iter().any(|text| Some(text.as_str()) != id.kind.finalizer());
        return if foreign { Ok(()) } else { Err(format!("{id} is being deleted and stays")) };
    }
    let Some(ready) = &claim.shown.ready else { return Err(format!("{id} shows nothing")) };
    if let Some(name) = claim.shown.address.as_ref().filter(|_| ready.is) {
        let address = server.address(&claim.address_id(name));
        let is_its = address.is_some_and(|address| address.claim_uid() == Some(&claim.meta.uid));
        let held = claim.meta.finalizers.ours.is_some();
        return if is_its && held {
            Ok(())
        } else {
            Err(format!("{id} publishes {name}, which is not its, or is not held"))
        };
    }
    let pool = server.pool(&claim.pool_id());
    let true_reason = match &*ready.reason {
        "PoolNotReady" => {
            claim.elsewhere.is_some()
                || pool.is_none_or(|pool| {
                    pool.meta.deleting || (pool.cluster.is_some() && cluster(server, pool).is_none())
                })
        }
        "PoolExhausted" => pool.is_some_and(|pool| free(server, pool).is_empty()),
        "AllocationFailed" => pool.is_some_and(|pool| failed_rightly(server, claim, pool)),
        _ => false,
    };
    if true_reason {
        Ok(())
    } else {
        Err(format!("{id} shows {}, which is not so: {}", ready.reason, ready.message))
    }
}

/// The addresses that any claim could get, found the slow way.
fn free(server: &Server, pool: &ipam::ledger::Pool) -> Vec<IpAddr> {
    let space = pool.rules.space();
    let all = (0..=255_u8).map(|n| IpAddr::from([10, 0, 0, n]));
    all.filter(|&ip| space.by_choice(ip) && !is_held(server, pool, ip)).collect()
}

/// Whether an address is not to be had: an address object of the pool holds it, or who publishes it does; or the name
/// that it would need is another's, in whichever family.
fn is_held(server: &Server, pool: &ipam::ledger::Pool, ip: IpAddr) -> bool {
    let name = address_name(&pool.name_prefix, ip);
    let published = |claim: &Claim| {
        claim.shown.address.as_ref().is_some_and(|shown| {
            // Once the object is gone, the name of one that was made by hand does not say which address it was, and one
            // with the prefix of an earlier pool says so only to who has seen the object.
            let is_lost = server.address(&claim.address_id(shown)).is_none();
            let may_be = shown.starts_with("hand-") || shown.ends_with(&address_name("", ip));
            **shown == *name || is_lost && may_be && claim.pool == pool.id.name
        })
    };
    server.addresses().any(|(_, address)| {
        (address.pool == pool.id.name && address.ip == Some(ip)) || *address.id.name == *name
    }) || server.claims().any(|(_, claim)| published(claim))
}

fn failed_rightly(server: &Server, claim: &Claim, pool: &ipam::ledger::Pool) -> bool {
    let reserved = pool.rules.pre_allocations.get(&claim.id.name).copied();
    let requested = claim.requested.as_deref().map(str::parse::<IpAddr>);
    let others =
        |ip| pool.rules.pre_allocations.iter().any(|(name, &other)| other == ip && **name != *claim.id.name);
    match (reserved, requested) {
        (_, Some(Err(_))) => true,
        (Some(reserved), Some(Ok(requested))) if reserved != requested => true,
        (Some(ip), _) | (None, Some(Ok(ip))) => {
            !pool.rules.space().may_name(ip) || is_held(server, pool, ip) || others(ip)
        }
        (None, None) => false,
    }
}

fn pool_is_right(server: &Server, id: &Id) -> Verdict {
    let Some(pool) = server.pool(id) else { return Ok(()) };
    let mut addresses = server.addresses().filter(|(_, address)| address.pool == id.name);
    if is_paused(server, id) {
        return Ok(());
    }
    if pool.meta.deleting {
        return if addresses.next().is_some() {
            Ok(())
        } else {
            Err(format!("{id} is being deleted and stays"))
        };
    }
    let mut expected: BTreeMap<String, BTreeSet<(Family, String)>> = BTreeMap::new();
    for (_, address) in addresses {
        if let Some(ip) = address.ip {
            expected
                .entry(address.claim.to_string())
                .or_default()
                .insert((address.id.family(), ip.to_string()));
        }
    }
    let shown = server.indexes.get(id).cloned().unwrap_or_default();
    // Where claims of both families share a name, the IPClaim's address is shown.
    let is_shown = |(claim, ips): (&String, &BTreeSet<(Family, String)>)| {
        let family = ips.first().map(|(family, _)| *family);
        ips.iter().any(|(of, ip)| Some(*of) == family && shown.get(claim) == Some(ip))
    };
    if shown.len() != expected.len() || !expected.iter().all(is_shown) {
        return Err(format!("{id} has indexes {shown:?}, and not {expected:?}"));
    }
    if pool.meta.finalizers.ours.is_none() {
        return Err(format!("nothing holds {id}"));
    }
    Ok(())
}
