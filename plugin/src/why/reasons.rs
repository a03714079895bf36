//! Working the reason out.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ipam::addr::{Space, parse_ip};
use ipam::api::{Family, IPPool, PoolRules};
use kube::ResourceExt;

use super::Why;
use crate::suggest::did_you_mean;
use crate::world::{Claim, ClusterSeen, Key, Tally, Word, World, key, pool_state};

/// Reasons for the claims of a world, by books that are kept once for all of them.
pub struct Reasons<'a> {
    world: &'a World,
    books: BTreeMap<Key, Book<'a>>,
}

/// What is known of one pool.
struct Book<'a> {
    pool: &'a IPPool,
    rules: PoolRules,
    space: Space,
    holders: HashMap<IpAddr, Holder>,
    /// The places of the claims that wait, from one.
    places: HashMap<(Family, Word), usize>,
}

/// Who has an address.
struct Holder {
    family: Family,
    claim: Word,
    uid: Option<Word>,
}

impl<'a> Reasons<'a> {
    /// Reads a world.
    pub fn new(world: &'a World) -> Self {
        let tallies = world.tallies();
        let mut books: BTreeMap<Key, Book> =
            world.pools.iter().map(|pool| (key(pool), Book::new(pool, &tallies.of(pool)))).collect();
        for address in &world.addresses {
            let at = (address.meta.namespace, address.pool);
            if let (Some(book), Some(ip)) = (books.get_mut(&at), address.ip) {
                let uid = address.claim_uid().map(Word::from);
                book.holders.insert(ip, Holder { family: address.family, claim: address.claim, uid });
            }
        }
        Self { world, books }
    }

    /// The reason for one claim.
    pub fn why(&self, claim: &Claim) -> Why {
        if let Some(reason) = own(claim) {
            // What is paused is not released either.
            let pause = || self.paused(claim);
            return if reason == Why::Releasing { pause().unwrap_or(reason) } else { reason };
        }
        if let Some(pause) = self.paused(claim) {
            return pause;
        }
        let Some(book) = self.books.get(&at(claim)) else {
            let here = self.books.keys().filter(|(namespace, _)| *namespace == claim.meta.namespace);
            let similar = did_you_mean(&claim.pool, here.map(|(_, name)| &**name));
            return Why::NoPool { pool: claim.pool.owned(), similar };
        };
        closed(self.world, claim, book.pool).unwrap_or_else(|| book.address(claim))
    }

    /// What keeps the controller's hands off a claim, in the order in which the controller tells it.
    fn paused(&self, claim: &Claim) -> Option<Why> {
        if claim.meta.paused() {
            return Some(Why::ClaimPaused);
        }
        let pool = self.books.get(&at(claim))?.pool;
        if pool.annotations().contains_key(ipam::api::PAUSED_ANNOTATION) {
            return Some(Why::PoolPaused { pool: pool.name_any() });
        }
        let cluster = pool.spec.cluster_name.as_ref()?;
        let seen = self.world.clusters.as_ref().and_then(|all| cluster_of(all, claim, cluster))?;
        seen.resume().map(|resume| Why::ClusterPaused { cluster: cluster.clone(), resume })
    }

    /// Whether the pool of a claim is there.
    pub fn knows_pool_of(&self, claim: &Claim) -> bool {
        self.books.contains_key(&at(claim))
    }

    /// Gives a claim that nothing stands in the way of the address that it would get.
    pub fn serve(&mut self, claim: &Claim) {
        let Some(book) = self.books.get_mut(&at(claim)) else { return };
        let named = book.rules.pre_allocations.get(&*claim.meta.name).copied();
        let asked = claim.requested().and_then(|text| parse_ip(text).ok());
        if let Some(ip) = named.or(asked).or_else(|| book.space.pick_lowest()) {
            let (family, claim, uid) = (claim.family, claim.meta.name, Some(claim.meta.uid));
            book.space.take(ip);
            book.holders.insert(ip, Holder { family, claim, uid });
        }
    }
}

fn at(claim: &Claim) -> Key {
    (claim.meta.namespace, claim.pool)
}

/// What the claim itself says.
fn own(claim: &Claim) -> Option<Why> {
    if claim.meta.deleting() {
        let others = claim.meta.foreign_finalizers(claim.kind());
        let finalizers: Vec<String> = others.into_iter().map(str::to_owned).collect();
        return Some(if finalizers.is_empty() { Why::Releasing } else { Why::HeldByOthers { finalizers } });
    }
    if let Some(address) = claim.bound() {
        return Some(Why::Bound { address: address.to_owned() });
    }
    let elsewhere = claim.elsewhere.as_ref()?;
    Some(Why::PoolElsewhere { namespace: elsewhere.owned(), pool: claim.pool.owned() })
}

/// The Cluster of this name beside a claim.
fn cluster_of<'a>(clusters: &'a [ClusterSeen], claim: &Claim, name: &str) -> Option<&'a ClusterSeen> {
    clusters.iter().find(|seen| seen.name == *name && seen.namespace == claim.meta.namespace)
}

/// Why the pool gives nothing to anybody.
fn closed(world: &World, claim: &Claim, pool: &IPPool) -> Option<Why> {
    let name = pool.name_any();
    if pool.metadata.deletion_timestamp.is_some() {
        return Some(Why::PoolDeleting { pool: name });
    }
    let cluster = pool.spec.cluster_name.as_ref().filter(|cluster| !cluster.is_empty())?;
    let waits = match &world.clusters {
        Some(clusters) => cluster_of(clusters, claim, cluster).is_none(),
        None => pool_state(pool).0 == "WaitingForCluster",
    };
    waits.then(|| Why::WaitsForCluster { pool: name, cluster: cluster.clone() })
}

impl<'a> Book<'a> {
    fn new(pool: &'a IPPool, tally: &Tally) -> Self {
        let rules = PoolRules::read(&pool.spec);
        let space = tally.space(&rules);
        let waiting = tally.waiting.iter().enumerate();
        let places = waiting.map(|(at, waiting)| ((waiting.family, waiting.name), at + 1)).collect();
        Self { pool, rules, space, holders: HashMap::new(), places }
    }

    /// What is in the way of the address that a claim should get.
    fn address(&self, claim: &Claim) -> Why {
        let reserved = self.rules.pre_allocations.get(&*claim.meta.name).copied();
        let requested = match claim.requested().map(|text| (text, parse_ip(text))) {
            Some((text, Err(_))) => return Why::NotAnAddress { requested: text.to_owned() },
            Some((_, Ok(ip))) => Some(ip),
            None => None,
        };
        let waiting = self.places.len();
        let place = self.places.get(&(claim.family, claim.meta.name)).copied().unwrap_or(waiting);
        let servable = Why::Servable { place, waiting };
        if let Some(at) = self.rules.violations.iter().position(|wrong| wrong.field == "spec.namePrefix") {
            return self.invalid(at);
        }
        match (reserved, requested) {
            (Some(reserved), Some(requested)) if reserved != requested => {
                Why::Conflicting { reserved, requested }
            }
            (Some(ip), _) => self.certain(claim, ip).unwrap_or(servable),
            (None, Some(ip)) => self.certain(claim, ip).or_else(|| self.reserved(ip)).unwrap_or(servable),
            (None, None) if self.space.free() > 0 && self.names_taken(claim) => {
                Why::NamesTaken { pool: self.pool.name_any() }
            }
            (None, None) if self.space.free() > 0 => servable,
            (None, None) if !self.rules.violations.is_empty() => self.invalid(0),
            (None, None) => {
                let kept = self.rules.pre_allocations.values().filter(|ip| !self.holders.contains_key(ip));
                Why::Exhausted { pool: self.pool.name_any(), place, waiting, reserved: kept.count() }
            }
        }
    }

    /// The pool is not valid, for this among its reasons.
    fn invalid(&self, at: usize) -> Why {
        let what = self.rules.violations.get(at).map(ToString::to_string).unwrap_or_default();
        Why::PoolInvalid { pool: self.pool.name_any(), what }
    }

    /// Whether the controller found the room that there is blocked by the names of another pool's objects.
    fn names_taken(&self, claim: &Claim) -> bool {
        let conditions = self.pool.status.iter().flat_map(|status| &status.conditions);
        let mut conflict = conditions.filter(|seen| seen.type_ == "NameConflict" && seen.status == "True");
        claim.why() == Some("Exhausted IP Pools") && conflict.next().is_some()
    }

    /// For whom an address is reserved, if for anybody.
    fn reserved(&self, ip: IpAddr) -> Option<Why> {
        let (claim, _) = self.rules.pre_allocations.iter().find(|(_, reserved)| **reserved == ip)?;
        Some(Why::ReservedForOther { address: ip, claim: claim.to_string(), pool: self.pool.name_any() })
    }

    /// What is in the way of one address in particular.
    fn certain(&self, claim: &Claim, ip: IpAddr) -> Option<Why> {
        if self.space.entry_of(ip).is_none() {
            return Some(Why::OutOfBounds { address: ip, pool: self.pool.name_any() });
        }
        if !self.space.may_name(ip) {
            return Some(Why::Excluded { address: ip, pool: self.pool.name_any() });
        }
        let Holder { family, claim: holder, uid } = self.holders.get(&ip)?;
        let its_own = *family == claim.family
            && *holder == claim.meta.name
            && uid.as_ref().is_none_or(|uid| *uid == claim.meta.uid);
        (!its_own).then(|| Why::Held { address: ip, by: holder.owned() })
    }
}
