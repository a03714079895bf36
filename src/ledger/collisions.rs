//! Names of address objects that two pools need, as they share a `namePrefix` or spell one name in two ways.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::book::Book;
use super::{Address, Id, Ledger, Pool, Text};
use crate::addr::Entry;
use crate::api::{Family, Kind, spelled};

/// The addresses that a pool cannot hand out, as an object of another pool has the name that each needs.
///
/// They follow from the objects alone, unlike what [blocks](Ledger::block) a pool, which is what this controller has come
/// upon: several controllers tell the same of them, and none corrects another for ever.
pub(super) struct Collisions<'a> {
    of: BTreeMap<IpAddr, &'a Address>,
    /// Addresses that nothing holds but names which this controller came upon.
    only_blocked: BTreeSet<IpAddr>,
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

    /// How many addresses of the pool are free, these aside.
    pub fn free(&self, book: &Book) -> u128 {
        let counts = |ip: &&IpAddr| book.space.may_name(**ip) && !book.space.is_reserved(**ip);
        let met = self.only_blocked.iter().filter(counts).count();
        let lost = self.of.keys().filter(counts).count();
        (book.space.free() + met as u128).saturating_sub(lost as u128)
    }
}

impl Ledger {
    /// What a pool cannot hand out for want of a name.
    pub(super) fn collisions(&self, book: &Book, pool: &Pool) -> Collisions<'_> {
        let mut blocks: BTreeMap<IpAddr, u32> = BTreeMap::new();
        // A name that an object of this pool has, with another address in it, is used up as long as that is there.
        let is_own = |object: &Id| self.address(object).is_some_and(|other| other.pool == pool.id.name);
        for (_, &ip) in book.blocked.iter().filter(|(object, _)| !is_own(object)) {
            *blocks.entry(ip).or_default() += 1;
        }
        let else_free = |ip: IpAddr| book.holders(ip) <= blocks.get(&ip).copied().unwrap_or(0);
        // "rack" begins all names of "rack-2" as well; what can be no IPv4 address is told without reading it.
        let is_v6 = |entry: &Entry| entry.range.is_some_and(|range| range.first().is_ipv6());
        let has_v6 = pool.rules.entries.iter().any(is_v6);
        let may_be_read = |rest: &str| has_v6 || rest.matches('-').count() == 4;
        let stem: Text = spelled(&pool.name_prefix).into();
        let mut of = BTreeMap::new();
        for (_, theirs) in self.books_beside(&pool.id).filter(|(id, _)| **id != pool.id) {
            for family in Family::ALL {
                let first = pool.id.beside(Kind::Address(family), &stem);
                let could_be = |id: &&Id| {
                    (id.kind, &id.namespace) == (first.kind, &first.namespace) && id.name.starts_with(&*stem)
                };
                let alike = theirs.addresses.range(&first..).take_while(could_be);
                for id in alike.filter(|id| may_be_read(&id.name[stem.len()..])) {
                    let lost = book.ip_in_name(&id.name).filter(|&ip| book.space.may_name(ip));
                    let lost = lost.filter(|&ip| else_free(ip));
                    if let Some((ip, address)) = lost.zip(self.address(id)) {
                        of.entry(ip).or_insert(address);
                    }
                }
            }
        }
        let only_blocked = blocks.keys().copied().filter(|&ip| else_free(ip)).collect();
        Collisions { of, only_blocked }
    }

    /// Has the pools that could need an object's name, that of the object itself aside, tell whose it is.
    pub(super) fn tell_of_name(&mut self, object: &Id, own: &Id) {
        let is_spelled =
            |prefix: &str| prefix.contains(['.', ':']) && object.name.starts_with(&spelled(prefix));
        let begins = |prefix: &str| object.name.starts_with(prefix) || is_spelled(prefix);
        let needs = |book: &Book| book.pool.as_ref().is_some_and(|pool| begins(&pool.name_prefix));
        let others = self.books_beside(object).filter(|(id, book)| *id != own && needs(book));
        let others: Vec<Id> = others.map(|(id, _)| id.clone()).collect();
        for pool in others {
            if let Some(book) = self.books.get_mut(&pool) {
                book.chore.stale = true;
            }
            self.wake(&pool);
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
        if book.blocked.insert(by.clone(), ip).is_none() {
            book.hold(ip);
            self.blocks.entry(by.clone()).or_default().insert(pool.clone());
            self.wake(pool);
        }
    }

    /// Lets go of what a name blocks, unless there is an object or a claim that needs it.
    pub(super) fn unblock(&mut self, by: &Id) {
        if self.address(by).is_some() || self.lockers(by).next().is_some() {
            return;
        }
        for pool in self.blocks.remove(by).unwrap_or_default() {
            let blocked = self.books.get_mut(&pool).and_then(|book| book.blocked.remove(by));
            if let Some(ip) = blocked {
                self.let_go(&pool, ip);
            }
        }
    }

    /// Lets go of what names block in a pool whose addresses will have other names from now on.
    pub(super) fn unblock_all(&mut self, pool: &Id) {
        let blocked = self.books.get_mut(pool).map(|book| std::mem::take(&mut book.blocked));
        for (by, ip) in blocked.unwrap_or_default() {
            if let Some(pools) = self.blocks.get_mut(&by) {
                pools.remove(pool);
                if pools.is_empty() {
                    self.blocks.remove(&by);
                }
            }
            self.let_go(pool, ip);
        }
    }
}
