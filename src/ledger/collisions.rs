//! Names of address objects that two pools need, as they share a `namePrefix` or spell one name in two ways.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::book::Book;
use super::{Address, Id, Ledger, Pool, Text};
use crate::api::{Family, Kind};

/// The addresses that a pool cannot hand out, as an object of another pool has the name that each needs.
///
/// Those that share a `namePrefix` follow from the objects alone, unlike what [blocks](Ledger::block) a pool, which is what
/// this controller has come upon: several controllers tell the same of them, and none corrects another for ever.
pub(super) struct Collisions<'a> {
    of: BTreeMap<IpAddr, &'a Address>,
    /// How many addresses of the pool are free, these aside.
    pub free: u128,
}

impl Collisions<'_> {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.of.len()
    }

    /// The lowest address, and the object that has its name.
    pub fn first(&self) -> Option<(IpAddr, &Address)> {
        self.of.first_key_value().map(|(ip, other)| (*ip, *other))
    }
}

impl Ledger {
    /// What a pool cannot hand out for want of a name.
    pub(super) fn collisions(&self, book: &Book, pool: &Pool) -> Collisions<'_> {
        let (mut of, mut blocks) = (BTreeMap::new(), BTreeMap::<IpAddr, u32>::new());
        for &(ref object, ip) in &book.blocked {
            match self.address(object) {
                // A name that is about to be used is nobody's yet.
                None => *blocks.entry(ip).or_default() += 1,
                Some(other) if Self::collides(book, pool, other) == Some(ip) => {
                    *blocks.entry(ip).or_default() += 1;
                }
                // This pool's own, with another address in it: no matter of the `namePrefix`.
                Some(own) if own.pool == pool.id.name => {}
                Some(other) => drop(of.insert(ip, other)),
            }
        }
        let else_free = |ip: &IpAddr| book.holders(*ip) <= blocks.get(ip).copied().unwrap_or(0);
        let counts = |ip: &&IpAddr| else_free(ip) && book.space.by_choice(**ip);
        let met = blocks.keys().filter(counts).count();
        let mut alike = BTreeMap::new();
        let stem = &pool.name_prefix;
        for (_, theirs) in self.books_beside(&pool.id).filter(|(id, _)| **id != pool.id) {
            for first in Family::ALL.map(|family| pool.id.beside(Kind::Address(family), stem)) {
                let begins = |id: &&Id| {
                    (id.kind, &id.namespace) == (first.kind, &first.namespace) && id.name.starts_with(&**stem)
                };
                for other in theirs.addresses.range(&first..).take_while(begins) {
                    let Some(other) = self.address(other) else { continue };
                    if let Some(ip) = Self::collides(book, pool, other).filter(else_free) {
                        alike.entry(ip).or_insert(other);
                    }
                }
            }
        }
        let lost = alike.keys().filter(counts).count();
        of.extend(alike);
        Collisions { of, free: book.space.free().saturating_add(met as u128).saturating_sub(lost as u128) }
    }

    /// The address of a pool that another pool's object keeps it from handing out: the one that is in it, or, of another
    /// provider's, the one in its name.
    fn collides(book: &Book, pool: &Pool, other: &Address) -> Option<IpAddr> {
        if other.pool == pool.id.name {
            return None;
        }
        let ip = if other.is_foreign() { book.ip_in_name(&other.id.name) } else { other.ip };
        let ip = ip.filter(|&ip| book.space.may_name(ip))?;
        (book.name_for(ip).as_ref() == Some(&other.id.name)).then_some(ip)
    }

    /// Has the pools that need an object's name tell whose it is.
    pub(super) fn tell_of_name(&mut self, address: &Address) {
        let needs = |book: &Book| {
            book.pool.as_ref().is_some_and(|pool| Self::collides(book, pool, address).is_some())
        };
        for pool in self.pools_of_name(&address.id) {
            let Some(book) = self.books.get_mut(&pool).filter(|book| needs(book)) else { continue };
            book.chore.stale = true;
            self.wake(&pool);
        }
    }

    /// The pools that may name an address so: a `-` is behind the prefix, unless all that came after it was trimmed.
    fn pools_of_name(&self, object: &Id) -> Vec<Id> {
        let name = &*object.name;
        let ends = name.match_indices('-').map(|(at, _)| at).chain([name.len()]);
        let stems = ends.filter_map(|end| name.get(..end));
        stems.flat_map(|stem| self.pools_with_stem(&object.namespace, stem)).cloned().collect()
    }

    fn pools_with_stem<'a>(&'a self, namespace: &Text, stem: &str) -> impl Iterator<Item = &'a Id> + 'a {
        let key: (Text, Text) = (namespace.clone(), stem.into());
        let first = (key.0.clone(), key.1.clone(), Id::new(Kind::Pool, "", ""));
        let pools = self.stems.range(first..);
        pools.take_while(move |(namespace, stem, _)| (namespace, stem) == (&key.0, &key.1)).map(|(.., id)| id)
    }

    /// Names no longer tell that they may be this pool's.
    pub(super) fn drop_stem(&mut self, pool: &Id) {
        let old = self.books.get(pool).and_then(|book| book.pool.as_ref());
        if let Some(old) = old {
            self.stems.remove(&(pool.namespace.clone(), old.name_prefix.clone(), pool.clone()));
        }
    }

    /// The books of a namespace.
    pub(super) fn books_beside(&self, object: &Id) -> impl Iterator<Item = (&Id, &Book)> {
        let first = object.beside(Kind::Pool, &"".into());
        let namespace = first.namespace.clone();
        self.books.range(first..).take_while(move |(id, _)| id.namespace == namespace)
    }

    /// Notes that the name `by`, which ours for `ip` would need, is another pool's.
    pub(super) fn block(&mut self, pool: &Id, ip: IpAddr, by: &Id) {
        let Some(book) = self.books.get_mut(pool) else { return };
        if book.blocked.insert((by.clone(), ip)) {
            book.hold(ip);
            self.blocks.entry(by.clone()).or_default().insert(pool.clone());
            self.wake(pool);
        }
    }

    /// Lets go of what a name blocks, unless there is an object or a claim that needs it. It may have contested the other
    /// family's object of that name.
    pub(super) fn unblock(&mut self, by: &Id) {
        if self.address(by).is_some() {
            return;
        }
        if let Some(claim) = self.address(&by.twin()).map(Address::claim_id) {
            self.wake(&claim);
        }
        for pool in self.blocks.get(by).cloned().unwrap_or_default() {
            let blocked = self.books.get(&pool).map(|book| book.blocked_by(by)).unwrap_or_default();
            let needed = |ip: &IpAddr| self.lockers(by).any(|claim| !self.holds_of(claim, &pool, *ip));
            let free: Vec<IpAddr> = blocked.iter().filter(|ip| !needed(ip)).copied().collect();
            if free.len() == blocked.len() {
                self.unblocks(by, &pool);
            }
            for ip in free {
                if let Some(book) = self.books.get_mut(&pool) {
                    book.blocked.remove(&(by.clone(), ip));
                }
                self.let_go(&pool, ip);
            }
        }
    }

    /// Whether a claim holds `ip` of this pool itself: nothing has to block it then, least of all for that claim.
    fn holds_of(&self, claim: &Id, pool: &Id, ip: IpAddr) -> bool {
        let entry = self.claims.get(claim);
        entry.is_some_and(|entry| entry.claim.pool_id() == *pool && entry.holds().contains(&Some(ip)))
    }

    /// An object blocks nothing of a pool any more.
    fn unblocks(&mut self, by: &Id, pool: &Id) {
        let Some(pools) = self.blocks.get_mut(by) else { return };
        pools.remove(pool);
        if pools.is_empty() {
            self.blocks.remove(by);
        }
    }

    /// Lets go of what names block in a pool whose addresses will have other names from now on.
    pub(super) fn unblock_all(&mut self, pool: &Id) {
        let blocked = self.books.get_mut(pool).map(|book| std::mem::take(&mut book.blocked));
        for (by, ip) in blocked.unwrap_or_default() {
            self.unblocks(&by, pool);
            self.let_go(pool, ip);
        }
    }
}
