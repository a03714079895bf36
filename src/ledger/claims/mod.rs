//! Claims: what is known of each, and what it holds.

mod choose;
mod fence;
mod inherit;
mod landed;
mod queue;
mod serve;
mod settle;

use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::time::Duration;

use super::book::Turn;
use super::held::Held;
use super::kept::Unkept;
use super::retry::Retry;
use super::{Address, Claim, Id, Ledger, Task, Text, Uid, Verdict};
use crate::api::Kind;
use fence::Fence;
pub(super) use fence::Surveys;
use inherit::Heirloom;

/// What is known of a claim. What few claims have at a time is in boxes: there are many claims.
#[derive(Clone)]
pub(super) struct Entry {
    pub claim: Claim,
    /// What is known may be out of date.
    pub unsure: bool,
    /// Names of the address objects that name this claim.
    pub held: Held,
    /// The address that the claim publishes, which it therefore holds.
    publishes: Option<IpAddr>,
    /// Whether the address object that it publishes is known to have ended.
    end: End,
    /// The address that is being taken or published.
    reserve: Option<Box<Reserve>>,
    /// Names of address objects that nobody else may make.
    locks: Vec<Text>,
    /// The address that it publishes though the object is not known or names another claim, as the book has it.
    lost: Option<IpAddr>,
    /// An address object that names it and was made for another.
    heirloom: Option<Box<Heirloom>>,
    /// The queue that the claim is in.
    queued: Option<Queue>,
    in_flight: bool,
    pub retry: Retry,
    /// Why the API server refused to make an address object for it, when that was last tried.
    refusal: Option<Box<str>>,
    /// The status that was last written, if the API server has not kept all of it.
    pub unkept: Option<Box<Unkept>>,
}

/// An address that is being taken or published, from the moment that is due until it is known what became of it.
#[derive(Clone)]
struct Reserve {
    ip: IpAddr,
    name: Text,
    /// The take went unanswered, or the name is taken: it has to be read who has it.
    unsure: bool,
    /// The object that was made here, while nobody has tried to publish it.
    made: Option<Uid>,
    /// When the last creation or mark of an object was asked for; zero where none was, or none was carried out.
    asked: Duration,
    /// The object that was made or marked here, and when that was asked for.
    touched: Option<(Uid, Duration)>,
    /// Whether the other family is known not to have the address too.
    fence: Fence,
}

/// What is known of the end of the address object that a claim publishes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum End {
    /// Nothing: there may be one of its name.
    Unknown,
    /// It is being read, and was published before that was sent.
    Sought,
    /// It was looked for and not found, or only on its way out; or it was seen to end while the claim was on its way out.
    /// Nothing was seen of another of its name since.
    Seen,
}

/// A queue of claims that wait: for this address, or for any.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Queue(Option<IpAddr>);

/// What a claim can get now.
enum Choice {
    /// This address.
    Take(IpAddr),
    /// None, and why.
    Not(Verdict),
    /// None before one of these is free: the one named, or any.
    Wait(Verdict, Option<IpAddr>),
}

impl Reserve {
    fn new(ip: IpAddr, name: Text) -> Self {
        Self { ip, name, unsure: false, made: None, asked: Duration::ZERO, touched: None, fence: Fence::Due }
    }

    /// Whether an object was made or marked here so lately that it may be published: whoever means to sweep it up begins
    /// anew with each mark, and waits for a whole grace.
    fn is_fresh(&self, address: &Address, now: Duration, grace: Duration) -> bool {
        self.touched.as_ref().is_some_and(|(object, asked)| {
            *object == address.meta.uid && now < asked.saturating_add(grace / 2)
        })
    }

    /// Feeds what it means from `now` on into a hasher. When something was asked for counts while that is under way.
    fn digest(&self, now: Duration, in_flight: bool, into: &mut impl Hasher) {
        let Self { ip, name, unsure, made, asked, touched, fence } = self;
        let touched = touched.as_ref().map(|(object, asked)| (object, now.saturating_sub(*asked)));
        let asked = in_flight.then(|| now.saturating_sub(*asked));
        (ip, name, unsure, made, asked, touched, fence).hash(into);
    }
}

impl Entry {
    /// Its place among all claims.
    pub fn turn(&self) -> Turn {
        (self.claim.created, self.claim.id.clone())
    }

    /// That it is to be looked at.
    pub fn task(&self) -> Task {
        let is_leaving = self.claim.meta.deleting || self.claim.foreign;
        if is_leaving { Task::Leaving(self.turn()) } else { Task::Claim(self.turn()) }
    }

    /// Whether an address object that names this claim is this claim's: by UID; where none is known, or another, by
    /// name and pool, if it was made by hand, or the claim publishes it or [inherits](inherit) it.
    pub fn has(&self, address: &Address) -> bool {
        match address.claim_uid() {
            Some(uid) if *uid == self.claim.meta.uid => true,
            Some(_) => (self.publishes(address) || self.inherits(address)) && address.pool == self.claim.pool,
            None => {
                // One with our finalizer and no UID is one of Metal3's whose owner the garbage collector took away.
                let by_hand = address.meta.finalizers.ours.is_none();
                let is_free = by_hand || self.publishes(address) || self.claim.shown.address.is_none();
                is_free && address.pool == self.claim.pool
            }
        }
    }

    /// The addresses that the claim holds by itself: the one it publishes, and the one it is taking.
    pub fn holds(&self) -> [Option<IpAddr>; 2] {
        [self.publishes, self.reserve.as_ref().map(|reserve| reserve.ip)]
    }

    /// Names of address objects that nobody else may make.
    pub fn locks(&self) -> &[Text] {
        &self.locks
    }

    /// The address that it publishes though the object is not known, or names another claim.
    pub fn lost(&self) -> Option<IpAddr> {
        self.lost
    }

    /// It waits in a queue.
    pub fn is_queued(&self) -> bool {
        self.queued.is_some()
    }

    /// Feeds what it will do from `now` on into a hasher.
    pub fn digest(&self, now: Duration, into: &mut impl Hasher) {
        // What it has lost follows from the rest.
        let Self {
            claim,
            unsure,
            held,
            publishes,
            end,
            reserve,
            locks,
            lost: _,
            heirloom,
            queued,
            in_flight,
            retry,
            refusal,
            unkept,
        } = self;
        (claim, unsure, held, publishes, end, heirloom).hash(into);
        (locks, queued, in_flight, retry.left(now), refusal, unkept, reserve.is_some()).hash(into);
        if let Some(reserve) = reserve {
            reserve.digest(now, *in_flight, into);
        }
    }

    /// Whether an address object was made here for the claim, and nobody has tried to publish it since.
    fn made(&self, address: &Address) -> bool {
        self.reserve.as_ref().is_some_and(|reserve| reserve.made.as_ref() == Some(&address.meta.uid))
    }

    /// Whether an address object was made or marked here, however long ago, since it was reserved.
    fn touched(&self, address: &Address) -> bool {
        let touched = self.reserve.as_ref().and_then(|reserve| reserve.touched.as_ref());
        touched.is_some_and(|(object, _)| *object == address.meta.uid)
    }

    fn publishes(&self, address: &Address) -> bool {
        self.publishes_object(&address.id)
    }

    fn publishes_object(&self, object: &Id) -> bool {
        self.claim.shown.address.as_ref() == Some(&object.name)
    }

    /// An address object that names the claim was seen and stays, or another may have taken its place.
    pub fn may_exist(&mut self, object: &Id) {
        if self.publishes_object(object) && self.end == End::Seen {
            self.end = End::Unknown;
        }
    }

    /// An address object that names the claim was seen to end. That which the claim publishes may be a later one of that
    /// name, which no watch has shown yet; nobody makes one for a claim that is on its way out.
    pub fn saw_end(&mut self, object: &Id) {
        if self.claim.meta.deleting && self.publishes_object(object) {
            self.end = End::Seen;
        } else {
            self.may_exist(object);
        }
    }
}

impl Ledger {
    pub(in crate::ledger) fn observe_claim(&mut self, mut claim: Claim) {
        self.names.share_claim(&mut claim);
        self.share_names_of_claim(&mut claim);
        let id = claim.id.clone();
        match self.claims.remove(&id) {
            Some(old) if old.claim.pool == claim.pool && old.claim.created == claim.created => {
                self.renew_claim(claim, *old);
            }
            Some(old) => {
                // Not the claim that it was, though its UID says so: what was held for it in the other pool is let go.
                let in_flight = old.in_flight;
                self.claims.insert(id.clone(), old);
                self.forget_claim(&id);
                self.add_claim(claim, in_flight);
            }
            None => self.add_claim(claim, false),
        }
        self.wake(&id);
    }

    /// Puts the copies in place of a claim's own names that are kept of it and of its address object anyway.
    fn share_names_of_claim(&self, claim: &mut Claim) {
        let known = self.claims.get_key_value(&claim.id).map(|(id, _)| id);
        if let Some(id) = known.or_else(|| self.strays.get_key_value(&claim.id).map(|(id, _)| id)) {
            claim.id = id.clone();
        }
        let Some(name) = &claim.shown.address else { return };
        if let Some((object, _)) = self.addresses.get_key_value(&claim.address_id(name)) {
            claim.shown.address = Some(object.name.clone());
        }
    }

    fn add_claim(&mut self, claim: Claim, in_flight: bool) {
        let id = claim.id.clone();
        let held = self.strays.remove(&id).unwrap_or_default();
        let entry = Entry {
            claim,
            unsure: false,
            held,
            publishes: None,
            end: End::Unknown,
            reserve: None,
            locks: Vec::new(),
            lost: None,
            heirloom: None,
            queued: None,
            in_flight,
            retry: Retry::default(),
            refusal: None,
            unkept: None,
        };
        self.wake_held(&entry);
        self.claims.insert(id.clone(), Box::new(entry));
        self.relink_claim(&id);
    }

    fn renew_claim(&mut self, claim: Claim, mut old: Entry) {
        let (id, pool) = (claim.id.clone(), claim.pool_id());
        let same = old.claim.shown.address == claim.shown.address;
        let before = if same { None } else { old.publishes.take() };
        let end = if same { old.end } else { End::Unknown };
        let heirloom = old.heirloom.take().filter(|_| same);
        if !same || old.claim.requested != claim.requested || old.claim.meta.deleting != claim.meta.deleting {
            // What it inherits, it may not any more.
            self.wake_held(&old);
        }
        self.claims.insert(id.clone(), Box::new(Entry { claim, unsure: false, end, heirloom, ..old }));
        self.relink_claim(&id);
        if let Some(ip) = before {
            self.let_go(&pool, ip);
        }
    }

    pub(in crate::ledger) fn forget_claim(&mut self, id: &Id) {
        self.surveys.forget(id);
        self.set_lost(id, None);
        let Some(entry) = self.claims.remove(id) else { return };
        let pool = entry.claim.pool_id();
        self.dequeue(&pool, &entry.turn(), entry.queued);
        self.wake_queue(&pool);
        self.wake_held(&entry);
        for name in entry.held.iter() {
            self.strays.entry(id.clone()).or_default().insert(name.clone());
        }
        for ip in entry.publishes.into_iter().chain(entry.reserve.as_ref().map(|reserve| reserve.ip)) {
            self.let_go(&pool, ip);
        }
        self.change_locks(id, &entry.locks, &[]);
        if entry.reserve.is_some() {
            self.take_ended(&pool);
        }
    }

    /// The addresses that name a claim are looked at again, as that claim has come or gone.
    fn wake_held(&mut self, entry: &Entry) {
        let kind = Kind::Address(entry.claim.id.family());
        for name in entry.held.iter() {
            self.tasks.insert(Task::Address(entry.claim.id.beside(kind, name)));
        }
    }

    fn hold(&mut self, pool: &Id, ip: IpAddr) {
        self.books.entry(pool.clone()).or_default().hold(ip);
    }

    /// Works out again which address a claim publishes, as its status, its address or its pool has changed.
    pub(in crate::ledger) fn relink_claim(&mut self, id: &Id) {
        let Some(entry) = self.claims.get(id) else { return };
        let pool = entry.claim.pool_id();
        let publishes = entry.claim.shown.address.as_ref().and_then(|name| self.published_ip(entry, name));
        let before = entry.publishes;
        if publishes != before {
            if let Some(ip) = publishes {
                self.hold(&pool, ip);
            }
            if let Some(entry) = self.claims.get_mut(id) {
                entry.publishes = publishes;
            }
            if let Some(ip) = before {
                self.let_go(&pool, ip);
            }
        }
        self.relock(id);
    }

    /// Works out again what the claims publish that an address object concerns: the one that it names, and those that publish
    /// it all the same.
    pub(in crate::ledger) fn relink_publishers(
        &mut self,
        object: &Id,
        named: &Id,
        pool: &Id,
        ip: Option<IpAddr>,
    ) {
        let losers = ip.and_then(|ip| Some(self.books.get(pool)?.losers(ip)));
        let others = self.lockers(object).chain(losers.into_iter().flatten());
        let publishes = |claim: &&Id| {
            let entry = self.claims.get(*claim);
            claim.family() == object.family() && entry.is_some_and(|entry| entry.publishes_object(object))
        };
        let others: Vec<Id> = others.filter(|claim| *claim != named).filter(publishes).cloned().collect();
        self.relink_claim(named);
        for claim in &others {
            self.relink_claim(claim);
            self.wake(claim);
        }
    }

    /// Works out again which names a claim needs: that of the object which it is having made or publishes, and, while
    /// that object does not exist, the one in its published status.
    fn relock(&mut self, id: &Id) {
        let Some(entry) = self.claims.get(id) else { return };
        let published = entry.claim.shown.address.as_ref();
        let object = published.and_then(|name| self.address(&entry.claim.address_id(name)));
        let dangling = published.filter(|_| object.is_none());
        let lost = entry.publishes.filter(|_| object.is_none_or(|object| object.claim_id() != *id));
        let reserved = entry.reserve.as_ref().map(|reserve| &reserve.name);
        let locks: Vec<Text> = dangling.into_iter().chain(reserved).cloned().collect();
        self.set_lost(id, lost);
        let Some(entry) = self.claims.get_mut(id) else { return };
        if entry.locks == locks {
            return;
        }
        let before = std::mem::replace(&mut entry.locks, locks.clone());
        self.change_locks(id, &before, &locks);
    }

    /// Notes in the book that a claim publishes an address whose object is not known, or no longer.
    fn set_lost(&mut self, id: &Id, lost: Option<IpAddr>) {
        let Some(entry) = self.claims.get_mut(id) else { return };
        let before = std::mem::replace(&mut entry.lost, lost);
        let Some(book) = self.books.get_mut(&entry.claim.pool_id()).filter(|_| before != lost) else {
            return;
        };
        if let Some(ip) = before {
            book.lost.remove(&(ip, id.clone()));
        }
        if let Some(ip) = lost {
            book.lost.insert((ip, id.clone()));
        }
    }

    fn change_locks(&mut self, claim: &Id, before: &[Text], after: &[Text]) {
        let object = |name: &Text| claim.beside(Kind::Address(claim.family()), name);
        for name in before {
            self.locks.remove(&(object(name), claim.clone()));
        }
        for name in after {
            self.locks.insert((object(name), claim.clone()));
        }
        for name in before.iter().filter(|name| !after.contains(name)) {
            self.unblock(&object(name));
        }
    }

    /// The claims that need this name.
    pub(in crate::ledger) fn lockers<'a>(&'a self, object: &'a Id) -> impl Iterator<Item = &'a Id> {
        let first = (object.clone(), object.beside(Kind::Pool, &"".into()));
        self.locks.range(first..).take_while(move |(locked, _)| locked == object).map(|(_, claim)| claim)
    }

    /// The address that a claim publishes by naming this address object: the object says it while it exists; after
    /// that what it said last, or what its name says.
    fn published_ip(&self, entry: &Entry, name: &Text) -> Option<IpAddr> {
        let object = self.address(&entry.claim.address_id(name)).and_then(|address| address.ip);
        object.or(entry.publishes).or_else(|| self.books.get(&entry.claim.pool_id())?.ip_in_name(name))
    }

    /// Releases the reservation of a claim's take.
    fn drop_reserve(&mut self, id: &Id) {
        self.surveys.forget(id);
        let Some(entry) = self.claims.get_mut(id) else { return };
        let Some(reserve) = entry.reserve.take() else { return };
        let pool = entry.claim.pool_id();
        self.let_go(&pool, reserve.ip);
        self.take_ended(&pool);
        self.relock(id);
    }

    fn take_ended(&mut self, pool: &Id) {
        if let Some(book) = self.books.get_mut(pool) {
            book.takes -= 1;
        }
        self.wake(pool);
    }
}
