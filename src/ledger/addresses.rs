//! Address objects: what each holds, and the release of those that no claim has any more.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::time::Duration;

use rand::Rng;

use super::retry::Retry;
use super::{Act, Address, Id, Ledger, Now, Outcome, Step, Task, Uid, Write};
use crate::api::{Family, Kind};

/// What is known of an address object.
#[derive(Clone)]
pub(super) struct Entry {
    pub address: Address,
    /// What is known may be out of date.
    pub unsure: bool,
    in_flight: bool,
    pub retry: Retry,
    orphan: Orphan,
    /// The version for which its deletion was asked for, whatever became of that: it may come late, and counts for no
    /// other.
    doomed: Option<u64>,
}

/// How sure it is that the address has lost its claim.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Orphan {
    /// It has not, as far as is known.
    No,
    /// It seemed so at this time.
    Since(Duration),
    /// It has seemed so for a whole grace: whether its claim is there is read now.
    Due,
    /// The API server itself said so, at this time. That holds for a [moment](FRESH).
    Confirmed(Duration),
}

/// For so long after the API server has said that a claim is gone its address may be released: a claim of the name may be
/// made again, or brought back, at any time.
const FRESH: Duration = Duration::from_secs(1);

/// Whose business an address object is.
enum Owner {
    /// A claim's, which sees to it.
    Claim,
    /// Nobody's any more, but a claim is there that is to have it, which sees to that.
    Heir,
    /// A person's, who made it by hand, or another provider's: it holds its address and is left alone.
    Person,
    /// Nobody's any more.
    Nobody,
}

impl Entry {
    /// It will be on its way out as soon as a request arrives, unless it changes before.
    fn is_doomed(&self) -> bool {
        self.doomed == Some(self.address.meta.version)
    }

    /// Its release did not come about: until the next try its claim may be back.
    fn read_again(&mut self) {
        if let Orphan::Confirmed(_) = self.orphan {
            self.orphan = Orphan::Due;
        }
    }

    /// What its being an orphan comes to once it looks like this.
    fn orphan_after(&self, now: &Address) -> Orphan {
        let before = &self.address;
        // Where somebody is about to publish it, or another claim is to have it, its grace begins anew.
        let is_new_hope = now.mark.is_some() && now.mark != before.mark;
        if is_new_hope || now.claim_uid() != before.claim_uid() {
            return Orphan::No;
        }
        match self.orphan {
            // Its deletion is our own; any other change may be somebody's who has plans with it.
            Orphan::Confirmed(_) if now.meta.version != before.meta.version && !now.meta.deleting => {
                Orphan::Due
            }
            orphan => orphan,
        }
    }

    /// Feeds what it will do from `now` on into a hasher.
    pub fn digest(&self, now: Duration, into: &mut impl Hasher) {
        let orphan = match self.orphan {
            Orphan::No => (0, Duration::ZERO),
            Orphan::Since(since) => (1, now.saturating_sub(since)),
            Orphan::Due => (2, Duration::ZERO),
            Orphan::Confirmed(read) => (3, now.saturating_sub(read)),
        };
        (&self.address, self.unsure, self.in_flight, self.retry.left(now), orphan, self.is_doomed())
            .hash(into);
    }
}

impl Ledger {
    pub(super) fn observe_address(&mut self, mut address: Address) {
        self.names.share(&mut address.id.namespace);
        self.names.share(&mut address.pool);
        self.share_names_of_address(&mut address);
        let id = address.id.clone();
        let old = self.addresses.remove(&id);
        if let Some(old) = &old {
            self.unlink_address(&old.address);
        }
        self.link_address(&address);
        let former = old.as_ref().map(|old| old.address.claim_id());
        let entry = match old {
            Some(old) => {
                let orphan = old.orphan_after(&address);
                Entry { address, unsure: false, orphan, ..*old }
            }
            None => Entry {
                address,
                unsure: false,
                in_flight: false,
                retry: Retry::default(),
                orphan: Orphan::No,
                doomed: None,
            },
        };
        let (claim, pool, ip) = (entry.address.claim_id(), entry.address.pool_id(), entry.address.ip);
        if let Some(holder) = self.claims.get_mut(&claim).filter(|_| !entry.address.meta.deleting) {
            holder.may_exist(&id);
        }
        self.tell_of_name(&entry.address);
        self.addresses.insert(id.clone(), Box::new(entry));
        self.relink_publishers(&id, &claim, &pool, ip);
        if let Some(former) = former.filter(|former| *former != claim) {
            self.relink_claim(&former);
        }
        self.wake(&id);
        self.wake(&claim);
        self.wake(&pool);
    }

    /// Puts the copies in place of an address's own names that are kept of it and of its claim anyway.
    fn share_names_of_address(&self, address: &mut Address) {
        if let Some((id, _)) = self.addresses.get_key_value(&address.id) {
            address.id = id.clone();
        }
        if let Some((claim, _)) = self.claims.get_key_value(&address.claim_id()) {
            address.claim = claim.name.clone();
        }
    }

    pub(super) fn forget_address(&mut self, id: &Id) {
        let Some(entry) = self.addresses.remove(id) else { return };
        self.unlink_address(&entry.address);
        let claim = entry.address.claim_id();
        if let Some(holder) = self.claims.get_mut(&claim) {
            holder.saw_end(id);
        }
        let pool = entry.address.pool_id();
        self.relink_publishers(id, &claim, &pool, entry.address.ip);
        self.unblock(id);
        self.tell_of_name(&entry.address);
        self.wake(&claim);
        self.wake(&pool);
    }

    fn link_address(&mut self, address: &Address) {
        let book = self.books.entry(address.pool_id()).or_default();
        book.addresses.insert(address.id.clone());
        book.chore.stale = true;
        if let Some(ip) = address.ip {
            book.hold(ip);
            book.name(ip, &address.id);
        }
        if address.is_foreign() {
            // Nothing but its name matters, and there may be many.
            return;
        }
        let claim = address.claim_id();
        match self.claims.get_mut(&claim) {
            Some(entry) => entry.held.insert(address.id.name.clone()),
            None => self.strays.entry(claim).or_default().insert(address.id.name.clone()),
        };
    }

    fn unlink_address(&mut self, address: &Address) {
        let claim = address.claim_id();
        if let Some(entry) = self.claims.get_mut(&claim) {
            entry.held.remove(&address.id.name);
        }
        if let Some(strays) = self.strays.get_mut(&claim) {
            strays.remove(&address.id.name);
            if strays.is_empty() {
                self.strays.remove(&claim);
            }
        }
        let pool = address.pool_id();
        if let Some(book) = self.books.get_mut(&pool) {
            book.addresses.remove(&address.id);
            book.chore.stale = true;
            if let Some(ip) = address.ip {
                book.others.remove(&(ip, address.id.clone()));
            }
        }
        if let Some(ip) = address.ip {
            self.let_go(&pool, ip);
        }
    }

    /// One holder of `ip` less; if it was the last, whoever waits for it is woken, and if one is left, that one.
    pub(super) fn let_go(&mut self, pool: &Id, ip: IpAddr) {
        let Some(book) = self.books.get_mut(pool) else { return };
        if book.let_go(ip) {
            let heirs = book.heirs(ip);
            self.tasks.extend(heirs.into_iter().map(Task::Claim));
            self.tasks.insert(Task::Pool(pool.clone()));
        } else {
            self.wake_holders(pool, ip);
        }
        self.drop_if_empty(pool);
    }

    /// Wakes the claims that still hold `ip`, as one may hold it alone now: it publishes it, and may have its object made
    /// again, or it has an object that was in nobody's interest as long as somebody else had one too.
    fn wake_holders(&mut self, pool: &Id, ip: IpAddr) {
        let Some(book) = self.books.get(pool) else { return };
        let objects = Family::ALL.into_iter().filter_map(|family| {
            let object = pool.beside(Kind::Address(family), &book.name_for(ip)?);
            self.address(&object).map(Address::claim_id)
        });
        let others = book.others_of(ip).filter_map(|object| self.address(object)).map(Address::claim_id);
        let claims: Vec<Id> = book.losers(ip).cloned().chain(objects).chain(others).collect();
        for claim in &claims {
            self.wake(claim);
        }
    }

    pub(super) fn drop_if_empty(&mut self, pool: &Id) {
        if self.books.get(pool).is_some_and(super::Book::is_empty) {
            self.books.remove(pool);
        }
    }

    pub(super) fn due_for_address(&mut self, id: &Id, now: Now) -> Option<Step> {
        let entry = self.addresses.get(id)?;
        if entry.in_flight {
            return None;
        }
        if let Some(at) = entry.retry.due_after(now.elapsed) {
            self.timers.insert((at, Task::Address(id.clone())));
            return None;
        }
        let act = if entry.unsure { Some(self.look(id)) } else { self.sweep(id, now) }?;
        self.doom(&act);
        let entry = self.addresses.get_mut(id)?;
        entry.in_flight = true;
        Some(Step { subject: id.clone(), uid: entry.address.meta.uid.clone(), act })
    }

    /// A read of an object, which is known as it is now.
    pub(super) fn look(&self, id: &Id) -> Act {
        Act::Look { object: id.clone(), known: self.meta(id).map(|meta| meta.uid.clone()) }
    }

    /// The next step in the release of an address that has lost its claim.
    fn sweep(&mut self, id: &Id, now: Now) -> Option<Act> {
        let entry = self.addresses.get(id)?;
        let (owner, claim) = (self.owner(&entry.address), entry.address.claim_id());
        if let Owner::Heir = owner {
            self.wake(&claim);
        }
        let entry = self.addresses.get(id)?;
        let paused = self.is_paused(&entry.address.pool_id());
        let entry = self.addresses.get_mut(id)?;
        if let Owner::Claim | Owner::Heir | Owner::Person = owner {
            entry.orphan = Orphan::No;
            entry.retry.succeeded();
            return None;
        }
        if paused {
            // Whoever paused it may be about to bring claims back.
            entry.orphan = Orphan::No;
            return None;
        }
        let since = match entry.orphan {
            Orphan::No => Some(now.elapsed),
            Orphan::Since(since) => Some(since),
            Orphan::Confirmed(read) if now.elapsed <= read.saturating_add(FRESH) => {
                return release(&entry.address);
            }
            Orphan::Due | Orphan::Confirmed(_) => None,
        };
        let grace = since.map(|since| (since, since.saturating_add(self.config.grace)));
        if let Some((since, over)) = grace.filter(|(_, over)| now.elapsed < *over) {
            entry.orphan = Orphan::Since(since);
            self.timers.insert((over, Task::Address(id.clone())));
            return None;
        }
        if !crate::api::is_object_name(&claim.name) {
            // No claim can have such a name: there is none to be read.
            return release(&entry.address);
        }
        entry.orphan = Orphan::Due;
        Some(self.look(&claim))
    }

    pub(super) fn address_landed(&mut self, write: &Write, outcome: &Outcome, now: Now, rng: &mut impl Rng) {
        let Some(entry) = self.addresses.get(&write.subject) else { return };
        let of_claim = matches!(&write.act, Act::Look { object, .. } if *object != write.subject);
        // The very claim that it names was seen, and nothing was known of that.
        let appeared = matches!(outcome, Outcome::Seen(seen) if of_claim
            && entry.address.claim_uid() == Some(&seen.meta().uid)
            && self.meta(seen.id()).is_none_or(|known| known.uid != seen.meta().uid));
        let Some(entry) = self.addresses.get_mut(&write.subject) else { return };
        entry.in_flight = false;
        match outcome {
            Outcome::Seen(_) if appeared => {
                entry.retry.succeeded();
                // What becomes of the address follows from the claim once that is known.
                entry.orphan = Orphan::No;
            }
            // That reads go through says nothing of the write that they are for.
            Outcome::Seen(_) | Outcome::Gone if of_claim => {
                if entry.orphan == Orphan::Due {
                    // If the claim that was seen is to have it, the next look finds so and starts over.
                    entry.orphan = Orphan::Confirmed(now.elapsed);
                }
            }
            Outcome::Seen(_) | Outcome::Gone if write.act.is_read() => {}
            Outcome::Seen(_) | Outcome::Names { .. } | Outcome::Gone | Outcome::Exists => {
                entry.retry.succeeded();
            }
            Outcome::NotNow(wish) => {
                entry.read_again();
                entry.retry.failed(now.elapsed, *wish, rng);
            }
            Outcome::GuardFailed(_) | Outcome::Refused(_) | Outcome::Unknown(_) => {
                entry.read_again();
                entry.unsure = true;
                entry.retry.failed(now.elapsed, None, rng);
            }
        }
        // Its claim has waited for this, whatever came of it.
        let claim = entry.address.claim_id();
        self.wake(&claim);
    }

    /// Whose business an address is: a claim's only if it is that very claim, by UID where one is known.
    fn owner(&self, address: &Address) -> Owner {
        if address.is_foreign() || (self.config.is_shard && !self.knows_pool(&address.pool_id())) {
            return Owner::Person;
        }
        let claim = address.claim_id();
        match self.claims.get(&claim) {
            Some(entry) if entry.has(address) => {
                // What is paused by itself keeps what it has.
                let is_left = !entry.claim.paused && self.is_surplus(entry, address);
                return if is_left { Owner::Nobody } else { Owner::Claim };
            }
            Some(entry) if self.may_inherit(entry, address) => return Owner::Heir,
            _ => {}
        }
        let by_hand = address.meta.finalizers.ours.is_none() && address.claim_uid().is_none();
        if by_hand { Owner::Person } else { Owner::Nobody }
    }

    /// The address objects that are a claim's.
    pub(super) fn held_by<'a>(
        &'a self,
        entry: &'a super::claims::Entry,
    ) -> impl Iterator<Item = &'a Address> {
        let kind = Kind::Address(entry.claim.id.family());
        let held =
            entry.held.iter().filter_map(move |name| self.addresses.get(&entry.claim.id.beside(kind, name)));
        held.map(|held| &held.address).filter(|address| entry.has(address))
    }

    /// Notes that an address object's deletion is asked for.
    pub(super) fn doom(&mut self, act: &Act) {
        if let Act::Delete { address, version, .. } = act
            && let Some(entry) = self.addresses.get_mut(address)
        {
            entry.doomed = Some(*version);
        }
    }

    /// Whether an address object is on its way out, or will be as soon as a request arrives.
    pub(super) fn is_going(&self, address: &Address) -> bool {
        address.meta.deleting || self.addresses.get(&address.id).is_some_and(|entry| entry.is_doomed())
    }

    /// Whether an address object has a write of its own under way.
    pub(super) fn is_under_way(&self, id: &Id) -> bool {
        self.addresses.get(id).is_some_and(|entry| entry.in_flight)
    }

    /// How many addresses of each pool seem to have lost their claim.
    pub(super) fn leaks(&self) -> BTreeMap<Id, usize> {
        let mut leaks = BTreeMap::new();
        for entry in self.addresses.values().filter(|entry| entry.orphan != Orphan::No) {
            *leaks.entry(entry.address.pool_id()).or_default() += 1;
        }
        leaks
    }

    /// An address object, if it is known.
    pub(super) fn address(&self, id: &Id) -> Option<&Address> {
        self.addresses.get(id).map(|entry| &entry.address)
    }
}

/// The next step in the release of an address object, or none where others hold it.
pub(super) fn release(address: &Address) -> Option<Act> {
    let (id, uid): (Id, Uid) = (address.id.clone(), address.meta.uid.clone());
    if !address.meta.deleting {
        return Some(Act::Delete { address: id, uid, version: address.meta.version });
    }
    address.meta.finalizers.ours.map(|at| Act::Strip { object: id, uid, at })
}
