//! The book of one pool: which addresses are held, who waits, and what is due for the pool itself.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::time::Duration;

use super::kept::UnkeptPool;
use super::retry::Retry;
use super::seen::{Id, Pool, Text};
use crate::addr::Space;
use crate::api::Kind;

/// A claim's turn: the oldest first.
pub(super) type Turn = (i64, Id);

/// The book of one pool. It outlives the pool's object while addresses or claims hold something of it.
#[derive(Clone, Default)]
pub(super) struct Book {
    /// The pool as last seen, while it exists.
    pub pool: Option<Pool>,
    /// The addresses that it can hand out.
    pub space: Space,
    /// How many objects and writes under way hold an address; one that nobody holds is absent.
    holds: BTreeMap<IpAddr, u32>,
    /// Its address objects, of both families.
    pub addresses: BTreeSet<Id>,
    /// Claims that any free address would help.
    waiting: BTreeSet<Turn>,
    /// Claims that wait for one certain address.
    wanted: BTreeSet<(IpAddr, Turn)>,
    /// Claims that publish an address whose object is not known, or names another claim: they get it again once nobody else
    /// has it.
    pub lost: BTreeSet<(IpAddr, Id)>,
    /// Address objects of other names than the pool would give them, as people do, by their address. None of them are known
    /// while the pool is not.
    pub others: BTreeSet<(IpAddr, Id)>,
    /// Takes that are under way or went unanswered.
    pub takes: u32,
    /// Address objects of others that have a name which ours would need, and the addresses that each blocks: an IPv4 and an
    /// IPv6 address may need one name.
    pub blocked: BTreeSet<(Id, IpAddr)>,
    /// The pool's own writes.
    pub chore: Chore,
}

/// A pool's own writes.
#[derive(Clone, Default)]
pub(super) struct Chore {
    /// One is under way.
    pub in_flight: bool,
    /// The pool has to be read before the next.
    pub unsure: bool,
    /// When the next may be tried.
    pub retry: Retry,
    /// What the status shows may have changed.
    pub stale: bool,
    /// No status is written before.
    pub next_status: Duration,
    /// The status that was last written, if the API server has not kept all of it.
    pub unkept: Option<UnkeptPool>,
    /// Why the API server refused to let the pool be made ours, when that was last tried.
    pub refusal: Option<Box<str>>,
}

impl Chore {
    /// Why the pool cannot be made ours, where that is more than a short failure.
    pub fn refused(&self) -> Option<&str> {
        self.refusal.as_deref().filter(|_| self.retry.keeps_failing())
    }
}

impl Book {
    /// Notes one more holder of `ip`.
    pub fn hold(&mut self, ip: IpAddr) {
        let holders = self.holds.entry(ip).or_insert(0);
        *holders += 1;
        if *holders == 1 {
            self.space.take(ip);
            self.chore.stale = true;
        }
    }

    /// Notes one holder of `ip` less; true if that was the last.
    pub fn let_go(&mut self, ip: IpAddr) -> bool {
        let Some(holders) = self.holds.get_mut(&ip) else { return false };
        *holders -= 1;
        if *holders > 0 {
            return false;
        }
        self.holds.remove(&ip);
        self.space.give_back(ip);
        self.chore.stale = true;
        true
    }

    /// How many hold `ip`.
    pub fn holders(&self, ip: IpAddr) -> u32 {
        self.holds.get(&ip).copied().unwrap_or(0)
    }

    /// The addresses that names of other pools hold, and how many hold each.
    pub fn blocks(&self) -> BTreeMap<IpAddr, u32> {
        let mut blocks = BTreeMap::new();
        self.blocked.iter().for_each(|(_, ip)| *blocks.entry(*ip).or_default() += 1);
        blocks
    }

    /// All held addresses, and how many hold each.
    pub fn holds(&self) -> &BTreeMap<IpAddr, u32> {
        &self.holds
    }

    /// Feeds what the pool will do from `now` on into a hasher, as far as it does not follow from its addresses and claims.
    pub fn digest(&self, now: Duration, into: &mut impl Hasher) {
        let Chore { in_flight, unsure, retry, stale, next_status, unkept, refusal } = &self.chore;
        (&self.pool, &self.blocked, in_flight, unsure, stale, unkept, refusal).hash(into);
        (retry.left(now), *next_status > now).hash(into);
    }

    /// Takes over a view of the pool. True if claims may fare otherwise from now on.
    pub fn set_pool(&mut self, pool: Pool) -> bool {
        let old = self.pool.replace(pool);
        let (Some(old), Some(new)) = (old, &self.pool) else {
            self.draw_up();
            return true;
        };
        let same_rules = old.rules == new.rules;
        let same = same_rules && standing(&old) == standing(new);
        if !same_rules {
            self.draw_up();
        }
        self.chore.stale = true;
        !same
    }

    /// Draws the space up anew from the rules and what is held.
    fn draw_up(&mut self) {
        self.chore.stale = true;
        self.space = self.pool.as_ref().map(|pool| pool.rules.space()).unwrap_or_default();
        for &ip in self.holds.keys() {
            self.space.take(ip);
        }
    }

    /// The pool's object is gone.
    pub fn drop_pool(&mut self) {
        self.pool = None;
        // What was under way for it concerns no other pool that gets its name.
        self.chore = Chore::default();
        self.draw_up();
    }

    /// Nothing is known of the pool, and nothing is held of it.
    pub fn is_empty(&self) -> bool {
        self.pool.is_none() && self.addresses.is_empty() && self.holds.is_empty() && self.queued() == 0
    }

    /// Somebody holds an address of the pool, or is about to: it must not vanish.
    pub fn in_use(&self) -> bool {
        !self.addresses.is_empty() || self.takes > 0
    }

    /// Puts a claim into a queue: that for `certain` address, or the general one. True if it was not there.
    pub fn enqueue(&mut self, turn: Turn, certain: Option<IpAddr>) -> bool {
        match certain {
            Some(ip) => self.wanted.insert((ip, turn)),
            None => self.waiting.insert(turn),
        }
    }

    /// Takes a claim out of the queue that it is in.
    pub fn dequeue(&mut self, turn: &Turn, certain: Option<IpAddr>) {
        match certain {
            Some(ip) => self.wanted.remove(&(ip, turn.clone())),
            None => self.waiting.remove(turn),
        };
    }

    /// Number of claims in the queues.
    pub fn queued(&self) -> usize {
        self.waiting.len() + self.wanted.len()
    }

    /// When the oldest claim in the queues was made.
    pub fn oldest_queued(&self) -> Option<i64> {
        let wanted = self.wanted.iter().map(|(_, (created, _))| *created);
        self.waiting.first().map(|(created, _)| *created).into_iter().chain(wanted).min()
    }

    /// Claims that may fare better now that `ip` is free, oldest first.
    pub fn heirs(&self, ip: IpAddr) -> Vec<Turn> {
        let first: Turn = (i64::MIN, Id::new(Kind::Pool, "", ""));
        let certain = self.wanted.range((ip, first)..);
        let certain = certain.take_while(|(wanted, _)| *wanted == ip).map(|(_, turn)| turn);
        certain.chain(self.next_in_line()).cloned().collect()
    }

    /// The addresses that an object's name blocks.
    pub fn blocked_by(&self, object: &Id) -> Vec<IpAddr> {
        let first = (object.clone(), IpAddr::from([0, 0, 0, 0]));
        self.blocked.range(first..).take_while(|(by, _)| by == object).map(|(_, ip)| *ip).collect()
    }

    /// Claims that publish `ip` and have lost its object.
    pub fn losers(&self, ip: IpAddr) -> impl Iterator<Item = &Id> {
        let first = (ip, Id::new(Kind::Pool, "", ""));
        self.lost.range(first..).take_while(move |(lost, _)| *lost == ip).map(|(_, claim)| claim)
    }

    /// Notes an address object's name, if the pool would not have given it that.
    pub fn name(&mut self, ip: IpAddr, object: &Id) {
        if self.name_for(ip).is_some_and(|name| name != object.name) {
            self.others.insert((ip, object.clone()));
        }
    }

    /// Address objects with `ip` of other names than the pool would give them.
    pub fn others_of(&self, ip: IpAddr) -> impl Iterator<Item = &Id> {
        let first = (ip, Id::new(Kind::Pool, "", ""));
        self.others.range(first..).take_while(move |(other, _)| *other == ip).map(|(_, object)| object)
    }

    /// Claims that the free addresses would help, oldest first.
    pub fn next_in_line(&self) -> impl Iterator<Item = &Turn> {
        self.waiting.iter().take(self.servable())
    }

    /// Whether a claim may choose now without taking what an older one waits for.
    pub fn may_choose(&self, turn: &Turn) -> bool {
        let is_enough = u128::try_from(self.waiting.len()).is_ok_and(|waiting| self.space.free() > waiting);
        is_enough || self.waiting.iter().take(self.servable()).any(|older| turn <= older)
    }

    /// The most claims that are worth waking at once; more would only find the addresses taken.
    fn servable(&self) -> usize {
        const AT_ONCE: usize = 64;
        usize::try_from(self.space.free()).map_or(AT_ONCE, |free| free.min(AT_ONCE))
    }

    /// The address reserved for claims of this name.
    pub fn pre_allocation(&self, claim: &str) -> Option<IpAddr> {
        self.pool.as_ref()?.rules.pre_allocations.get(claim).copied()
    }

    /// Whether `ip` is reserved for claims of another name.
    pub fn reserved_for_other(&self, ip: IpAddr, claim: &str) -> bool {
        self.space.is_reserved(ip) && self.pre_allocation(claim) != Some(ip)
    }

    /// Name of the address object for `ip`.
    pub fn name_for(&self, ip: IpAddr) -> Option<Text> {
        Some(crate::api::address_name(&self.pool.as_ref()?.name_prefix, ip).into())
    }

    /// The address that an address object of this name would be for.
    pub fn ip_in_name(&self, name: &str) -> Option<IpAddr> {
        crate::api::address_in_name(&self.pool.as_ref()?.name_prefix, name)
    }
}

/// What of a pool's object, apart from its rules, decides how its claims fare.
fn standing(pool: &Pool) -> (bool, bool, bool, &Option<Text>) {
    (pool.paused, pool.meta.deleting, pool.meta.finalizers.ours.is_some(), &pool.cluster)
}
