//! Claims: the next step of each towards its address, or out of the world.

use std::net::IpAddr;
use std::sync::Arc;

use rand::Rng;

use super::addresses::{Held, release};
use super::book::Turn;
use super::retry::Retry;
use super::{
    Act, Address, Adoption, Claim, Id, Ledger, NewAddress, Now, Outcome, Place, Ready, Shown, Step, Task,
    Text, Verdict, Write,
};
use crate::addr::parse_ip;
use crate::api::{AllocationStrategy, Family, Kind};

/// What is known of a claim.
pub(super) struct Entry {
    pub claim: Claim,
    /// What is known may be out of date.
    pub unsure: bool,
    /// Names of the address objects that name this claim.
    pub held: Held,
    /// The address that the claim publishes, which it therefore holds.
    publishes: Option<IpAddr>,
    /// The address object that it publishes was looked for, or seen to end: if it is not known, it does not exist.
    pub end_seen: bool,
    /// The address that is being taken or published.
    reserve: Option<Reserve>,
    /// Names of address objects that nobody else may make.
    locks: Vec<Text>,
    /// The queue that the claim is in.
    queued: Option<Queue>,
    in_flight: bool,
    pub retry: Retry,
}

/// An address that is being taken or published, from the moment that is due until it is known what became of it.
struct Reserve {
    ip: IpAddr,
    name: Text,
    /// The take went unanswered, or the name is taken: it has to be read who has it.
    unsure: bool,
}

/// A queue of claims that wait: for this address, or for any.
#[derive(Clone, Copy, PartialEq, Eq)]
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

impl Entry {
    /// Its place among all claims.
    pub fn turn(&self) -> Turn {
        (self.claim.created, self.claim.id.clone())
    }

    /// Whether an address object that names this claim is this claim's: by UID; where none is known, or another, by
    /// name and pool, if it was made by hand or the claim publishes it.
    pub fn has(&self, address: &Address) -> bool {
        match address.claim_uid() {
            Some(uid) if *uid == self.claim.meta.uid => true,
            Some(_) => self.publishes(address) && address.pool == self.claim.pool,
            None => address.pool == self.claim.pool,
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

    /// It waits in a queue.
    pub fn is_queued(&self) -> bool {
        self.queued.is_some()
    }

    fn publishes(&self, address: &Address) -> bool {
        self.claim.shown.address.as_ref() == Some(&address.id.name)
    }
}

impl Ledger {
    pub(super) fn observe_claim(&mut self, mut claim: Claim) {
        let id = claim.id.clone();
        self.names.share_claim(&mut claim);
        match self.claims.remove(&id) {
            Some(old) if old.claim.pool == claim.pool && old.claim.created == claim.created => {
                self.renew_claim(claim, old);
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

    fn add_claim(&mut self, claim: Claim, in_flight: bool) {
        let id = claim.id.clone();
        let mut held = Held::default();
        for name in self.strays.remove(&id).unwrap_or_default() {
            held.insert(name);
        }
        let entry = Entry {
            claim,
            unsure: false,
            held,
            publishes: None,
            end_seen: false,
            reserve: None,
            locks: Vec::new(),
            queued: None,
            in_flight,
            retry: Retry::default(),
        };
        self.wake_held(&entry);
        self.claims.insert(id.clone(), entry);
        self.relink_claim(&id);
    }

    fn renew_claim(&mut self, claim: Claim, mut old: Entry) {
        let (id, pool) = (claim.id.clone(), claim.pool_id());
        let same = old.claim.shown.address == claim.shown.address;
        let before = if same { None } else { old.publishes.take() };
        let end_seen = old.end_seen && same;
        self.claims.insert(id.clone(), Entry { claim, unsure: false, end_seen, ..old });
        self.relink_claim(&id);
        if let Some(ip) = before {
            self.let_go(&pool, ip);
        }
    }

    pub(super) fn forget_claim(&mut self, id: &Id) {
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
    pub(super) fn relink_claim(&mut self, id: &Id) {
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

    /// Works out again which names a claim needs: that of the object which it is having made or publishes, and, while
    /// that object does not exist, the one in its published status.
    fn relock(&mut self, id: &Id) {
        let Some(entry) = self.claims.get(id) else { return };
        let published = entry.claim.shown.address.as_ref();
        let dangling = published.filter(|name| self.address(&entry.claim.address_id(name)).is_none());
        let reserved = entry.reserve.as_ref().map(|reserve| &reserve.name);
        let locks: Vec<Text> = dangling.into_iter().chain(reserved).cloned().collect();
        let Some(entry) = self.claims.get_mut(id) else { return };
        if entry.locks == locks {
            return;
        }
        let before = std::mem::replace(&mut entry.locks, locks.clone());
        self.change_locks(id, &before, &locks);
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
    pub(super) fn lockers<'a>(&'a self, object: &'a Id) -> impl Iterator<Item = &'a Id> {
        let first = (object.clone(), object.beside(Kind::Pool, &"".into()));
        self.locks.range(first..).take_while(move |(locked, _)| locked == object).map(|(_, claim)| claim)
    }

    /// The address that a claim publishes by naming this address object: the object says it while it exists; after
    /// that what it said last, or what its name says.
    fn published_ip(&self, entry: &Entry, name: &Text) -> Option<IpAddr> {
        let object = self.address(&entry.claim.address_id(name)).and_then(|address| address.ip);
        object.or(entry.publishes).or_else(|| self.books.get(&entry.claim.pool_id())?.ip_in_name(name))
    }

    fn dequeue(&mut self, pool: &Id, turn: &Turn, queued: Option<Queue>) {
        let (Some(Queue(certain)), Some(book)) = (queued, self.books.get_mut(pool)) else { return };
        book.dequeue(turn, certain);
        self.drop_if_empty(pool);
    }

    /// Wakes who is next in line, as somebody left the line without taking anything.
    fn wake_queue(&mut self, pool: &Id) {
        let Some(book) = self.books.get(pool) else { return };
        let next = book.next_in_line().cloned().map(Task::Claim).collect::<Vec<_>>();
        self.tasks.extend(next);
    }

    /// Wakes the claim that has come within reach of the free addresses, as one before it has taken its own.
    fn wake_last_in_line(&mut self, pool: &Id) {
        let last = self.books.get(pool).and_then(|book| book.next_in_line().last());
        let last = last.cloned().map(Task::Claim);
        self.tasks.extend(last);
    }

    fn leave_queue(&mut self, id: &Id) {
        let Some(entry) = self.claims.get_mut(id) else { return };
        let Some(queued) = entry.queued.take() else { return };
        let (pool, turn) = (entry.claim.pool_id(), entry.turn());
        self.dequeue(&pool, &turn, Some(queued));
        self.wake_queue(&pool);
    }

    fn enter_queue(&mut self, id: &Id, certain: Option<IpAddr>) {
        let Some(entry) = self.claims.get_mut(id) else { return };
        if entry.queued == Some(Queue(certain)) {
            return;
        }
        if entry.queued.is_some() {
            self.leave_queue(id);
        }
        let Some(entry) = self.claims.get_mut(id) else { return };
        entry.queued = Some(Queue(certain));
        let (pool, turn) = (entry.claim.pool_id(), entry.turn());
        if let Some(book) = self.books.get_mut(&pool) {
            book.enqueue(turn, certain);
        }
    }

    /// Releases the reservation of a claim's take.
    fn drop_reserve(&mut self, id: &Id) {
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

    pub(super) fn due_for_claim(&mut self, id: &Id, now: Now, rng: &mut impl Rng) -> Option<Step> {
        let entry = self.claims.get(id)?;
        if entry.in_flight {
            return None;
        }
        if let Some(at) = entry.retry.due_after(now.elapsed) {
            self.timers.insert((at, Task::Claim(entry.turn())));
            // One that has to wait before its next try holds up nobody; its turn is kept by its age.
            self.leave_queue(id);
            return None;
        }
        let act = if entry.unsure {
            Some(self.look(id))
        } else if let Some(reserve) = entry.reserve.as_ref().filter(|reserve| reserve.unsure) {
            Some(self.look(&entry.claim.address_id(&reserve.name)))
        } else if entry.claim.meta.deleting {
            self.release_claim(id)
        } else {
            self.serve(id, now, rng)
        }?;
        let entry = self.claims.get_mut(id)?;
        entry.in_flight = true;
        Some(Step { subject: id.clone(), uid: entry.claim.meta.uid.clone(), act })
    }

    /// The next step of a claim whose deletion was asked for: wait for the others, release its addresses, let it go.
    fn release_claim(&mut self, id: &Id) -> Option<Act> {
        self.leave_queue(id);
        self.drop_reserve(id);
        let entry = self.claims.get(id)?;
        let meta = &entry.claim.meta;
        let at = meta.finalizers.ours?;
        if meta.finalizers.foreign() || entry.claim.paused || self.is_paused(&entry.claim.pool_id()) {
            return None;
        }
        let mut held = self.held_by(entry).peekable();
        if held.peek().is_some() {
            return held.find_map(release);
        }
        drop(held);
        if let Some(unknown) = self.published_but_unknown(entry) {
            return Some(self.look(&unknown));
        }
        Some(Act::Strip { object: id.clone(), uid: meta.uid.clone(), at })
    }

    /// An address object that the claim publishes and that was neither seen nor looked for: it may exist.
    fn published_but_unknown(&self, entry: &Entry) -> Option<Id> {
        let name = entry.claim.shown.address.as_ref()?;
        let id = entry.claim.address_id(name);
        (!entry.end_seen && self.address(&id).is_none()).then_some(id)
    }

    /// The next step of a claim that lives.
    fn serve(&mut self, id: &Id, now: Now, rng: &mut impl Rng) -> Option<Act> {
        let entry = self.claims.get(id)?;
        if let Some(namespace) = &entry.claim.elsewhere {
            let (pool, own) = (&entry.claim.pool, &id.namespace);
            let why = format!(
                "The pool \"{pool}\" is asked for in namespace \"{namespace}\"; a claim may only use a pool of its own \
                 namespace, \"{own}\""
            );
            self.leave_queue(id);
            self.drop_reserve(id);
            return self.show(id, Verdict::NotReady(why), now);
        }
        if let Some(why) = self.paused(entry) {
            self.leave_queue(id);
            self.drop_reserve(id);
            let published = self.claims.get(id)?.claim.shown.address.is_some();
            return if published { None } else { self.show(id, Verdict::NotReady(why), now) };
        }
        if let Some(winner) = self.winner(entry) {
            return self.settle(id, &winner, now);
        }
        if self.held_by(entry).any(|address| address.meta.deleting) {
            let act = self.clear_away(entry);
            self.leave_queue(id);
            return act;
        }
        if let Some(act) = self.withdraw(entry) {
            self.drop_reserve(id);
            return Some(act);
        }
        if let Some(why) = self.closed(&entry.claim.pool_id()) {
            self.leave_queue(id);
            self.drop_reserve(id);
            return self.show(id, Verdict::NotReady(why), now);
        }
        match self.choose(id, rng)? {
            Choice::Take(ip) => self.take(id, ip),
            Choice::Not(verdict) => {
                self.leave_queue(id);
                self.show(id, verdict, now)
            }
            Choice::Wait(verdict, certain) => {
                self.enter_queue(id, certain);
                self.show(id, verdict, now)
            }
        }
    }

    /// The address object that is to be a claim's: the one that it publishes, else one that was made for it. If what it
    /// publishes is gone and that address is still to be had, there is none: the claim gets it again.
    fn winner(&self, entry: &Entry) -> Option<Address> {
        let live = || self.held_by(entry).filter(|address| !address.meta.deleting && address.ip.is_some());
        if let Some(published) = live().find(|address| entry.publishes(address)) {
            return Some(published.clone());
        }
        if self.can_retake(entry).is_some() {
            return None;
        }
        let mut sole = live().filter(|address| self.is_sole_holder(entry, address));
        sole.next().cloned()
    }

    /// Whether nobody but this claim has the address of one of its address objects. A person may make one by hand for
    /// an address that is handed out at that moment; names do not keep the two apart.
    fn is_sole_holder(&self, entry: &Entry, address: &Address) -> bool {
        let Some(ip) = address.ip else { return false };
        let own = 1 + entry.holds().into_iter().filter(|&held| held == Some(ip)).count();
        let holders = self.books.get(&address.pool_id()).map_or(0, |book| book.holders(ip));
        holders as usize <= own
    }

    /// The release of an address object that was made for the claim and whose address somebody else has too.
    fn withdraw(&self, entry: &Entry) -> Option<Act> {
        let uid = &entry.claim.meta.uid;
        let mut made = self.held_by(entry).filter(|address| address.claim_uid() == Some(uid));
        release(made.find(|address| !entry.publishes(address) && !self.is_sole_holder(entry, address))?)
    }

    /// The address that the claim publishes, if the pool still has it and nobody but the claim holds it; an object of
    /// its own that is on its way out is no hindrance.
    fn can_retake(&self, entry: &Entry) -> Option<IpAddr> {
        let ip = entry.publishes?;
        let going = self.held_by(entry).filter(|address| address.meta.deleting && address.ip == Some(ip));
        let reserved = entry.reserve.as_ref().is_some_and(|reserve| reserve.ip == ip);
        let own = 1 + going.count() + usize::from(reserved);
        let book = self.books.get(&entry.claim.pool_id())?;
        let is_own = book.holders(ip) as usize == own && book.space.may_name(ip);
        (is_own && self.blocker(&entry.claim.id, &entry.claim.pool_id(), ip).is_none()).then_some(ip)
    }

    /// The next step of a claim that has its address: make both ours, publish, withdraw what is too much.
    fn settle(&mut self, id: &Id, winner: &Address, now: Now) -> Option<Act> {
        self.leave_queue(id);
        let entry = self.claims.get(id)?;
        if entry.claim.meta.finalizers.ours.is_none() {
            return Some(Act::Protect { append: entry.claim.meta.finalizers.total > 0 });
        }
        if let Some(adoption) = adoption(&entry.claim, winner) {
            return Some(Act::Adopt(Box::new(adoption)));
        }
        if let Some(act) = self.show(id, Verdict::Bound(winner.id.name.clone()), now) {
            self.reserve(id, winner);
            return Some(act);
        }
        self.drop_reserve(id);
        let entry = self.claims.get(id)?;
        let uid = &entry.claim.meta.uid;
        let mut extras =
            self.held_by(entry).filter(|held| held.id != winner.id && held.claim_uid() == Some(uid));
        extras.find_map(release)
    }

    /// Reserves the address that is about to be published: should its object vanish meanwhile, nobody else gets it.
    fn reserve(&mut self, id: &Id, winner: &Address) {
        let (Some(entry), Some(ip)) = (self.claims.get(id), winner.ip) else { return };
        if entry.reserve.as_ref().is_some_and(|reserve| reserve.ip == ip) {
            return;
        }
        self.drop_reserve(id);
        let Some(entry) = self.claims.get_mut(id) else { return };
        let book = self.books.entry(entry.claim.pool_id()).or_default();
        book.hold(ip);
        book.takes += 1;
        entry.reserve = Some(Reserve { ip, name: winner.id.name.clone(), unsure: false });
        self.relock(id);
    }

    /// An address object of a claim that is on its way out stands in the way of a new one: help it out.
    fn clear_away(&self, entry: &Entry) -> Option<Act> {
        self.held_by(entry).filter(|address| address.meta.deleting).find_map(release)
    }

    fn choose(&mut self, id: &Id, rng: &mut impl Rng) -> Option<Choice> {
        let entry = self.claims.get(id)?;
        let pool = entry.claim.pool_id();
        let book = self.books.get(&pool)?;
        // Nothing is handed out before the pool is held; that it is wakes the claims.
        book.pool.as_ref()?.meta.finalizers.ours?;
        // An address that a person made by hand may have been published although the pool does not have it.
        if let Some(ip) = entry.holds()[1].filter(|&ip| book.space.may_name(ip)) {
            return Some(Choice::Take(ip));
        }
        self.drop_reserve(id);
        let entry = self.claims.get(id)?;
        let (claim, book) = (&entry.claim, self.books.get(&pool)?);
        if let Some(ip) = self.can_retake(entry) {
            return Some(Choice::Take(ip));
        }
        let reserved = book.pre_allocation(&id.name);
        let requested = match &claim.requested {
            None => None,
            Some(text) => match parse_ip(text) {
                Ok(ip) => Some(ip),
                Err(_) => return Some(Choice::Not(Verdict::InvalidRequest(text.clone()))),
            },
        };
        match (reserved, requested) {
            (Some(reserved), Some(requested)) if reserved != requested => {
                Some(Choice::Not(Verdict::Conflicting))
            }
            (Some(ip), _) => {
                let verdicts = (Verdict::PreAllocationOutOfBounds, Verdict::PreAllocationTaken);
                Some(self.choose_certain(id, &pool, ip, verdicts))
            }
            (None, Some(ip)) => {
                let verdicts = (Verdict::RequestOutOfBounds, Verdict::RequestTaken);
                Some(self.choose_certain(id, &pool, ip, verdicts))
            }
            (None, None) => self.choose_any(id, &pool, rng),
        }
    }

    fn choose_certain(&mut self, id: &Id, pool: &Id, ip: IpAddr, verdicts: (Verdict, Verdict)) -> Choice {
        let (out_of_bounds, taken) = verdicts;
        let Some(book) = self.books.get(pool) else { return Choice::Not(out_of_bounds) };
        if !book.space.may_name(ip) {
            return Choice::Not(out_of_bounds);
        }
        let own = self.claims.get(id).is_some_and(|entry| entry.publishes == Some(ip));
        if book.reserved_for_other(ip, &id.name)
            || book.holders(ip) > u32::from(own)
            || self.is_blocked(id, pool, ip)
        {
            return Choice::Wait(taken, Some(ip));
        }
        Choice::Take(ip)
    }

    fn choose_any(&mut self, id: &Id, pool: &Id, rng: &mut impl Rng) -> Option<Choice> {
        let turn = self.claims.get(id)?.turn();
        if !self.books.get(pool)?.may_choose(&turn) {
            return Some(Choice::Wait(Verdict::Exhausted, None));
        }
        loop {
            let book = self.books.get(pool)?;
            let strategy = book.pool.as_ref()?.rules.strategy;
            let pick = match strategy {
                AllocationStrategy::Sequential => book.space.pick_lowest(),
                AllocationStrategy::Random => book.space.pick_random(rng),
            };
            match pick {
                None => return Some(Choice::Wait(Verdict::Exhausted, None)),
                Some(ip) if self.is_blocked(id, pool, ip) => {}
                Some(ip) => return Some(Choice::Take(ip)),
            }
        }
    }

    /// The address object that ours for `ip` would be, if that name is another's: of another pool, or of a claim that
    /// needs it.
    fn blocker(&self, claim: &Id, pool: &Id, ip: IpAddr) -> Option<Id> {
        let name = self.books.get(pool)?.name_for(ip)?;
        let object = claim.beside(Kind::Address(claim.family()), &name);
        let foreign = |other: &Address| other.ip != Some(ip) || other.pool != pool.name;
        let taken =
            self.address(&object).is_some_and(foreign) || self.lockers(&object).any(|other| other != claim);
        taken.then_some(object)
    }

    /// Whether something [blocks](Self::blocker) `ip`; if so, it counts as held for as long as that is so.
    fn is_blocked(&mut self, claim: &Id, pool: &Id, ip: IpAddr) -> bool {
        let blocker = self.blocker(claim, pool, ip);
        if let Some(object) = &blocker {
            self.block(pool, ip, object);
        }
        blocker.is_some()
    }

    /// The next step to take `ip`, which is the claim's from now on: protect the claim, then create the address object.
    fn take(&mut self, id: &Id, ip: IpAddr) -> Option<Act> {
        self.reserve_new(id, ip)?;
        let entry = self.claims.get(id)?;
        let finalizers = entry.claim.meta.finalizers;
        if finalizers.ours.is_none() {
            return Some(Act::Protect { append: finalizers.total > 0 });
        }
        let book = self.books.get(&entry.claim.pool_id())?;
        let settings = book.space.entry_of(ip).cloned().unwrap_or_default();
        Some(Act::Take(Box::new(NewAddress {
            id: entry.claim.address_id(&entry.reserve.as_ref()?.name),
            ip,
            prefix: settings.prefix,
            gateway: settings.gateway,
            dns: settings.dns,
            claim: id.clone(),
            claim_uid: entry.claim.meta.uid.clone(),
            pool: entry.claim.pool_id(),
            pool_uid: book.pool.as_ref()?.meta.uid.clone(),
            labels: entry.claim.labels.clone(),
        })))
    }

    /// Reserves `ip` for an address object that is to be made; the claim waits no longer.
    fn reserve_new(&mut self, id: &Id, ip: IpAddr) -> Option<()> {
        let entry = self.claims.get_mut(id)?;
        let (pool, turn, queued) = (entry.claim.pool_id(), entry.turn(), entry.queued.take());
        self.dequeue(&pool, &turn, queued);
        let entry = self.claims.get_mut(id)?;
        let book = self.books.get_mut(&pool)?;
        let name = book.name_for(ip)?;
        if let Some(reserve) = &mut entry.reserve {
            // The pool may be another by now, with another prefix.
            reserve.name = name;
        } else {
            book.hold(ip);
            book.takes += 1;
            entry.reserve = Some(Reserve { ip, name, unsure: false });
        }
        self.relock(id);
        if queued.is_some() {
            self.wake_last_in_line(&pool);
        }
        Some(())
    }

    /// The write that makes a claim show `verdict`, if it does not yet.
    fn show(&mut self, id: &Id, verdict: Verdict, now: Now) -> Option<Act> {
        let Claim { shown, meta, .. } = &self.claims.get(id)?.claim;
        let (is, reason, message) = (verdict.is_bound(), verdict.reason(), verdict.message());
        // Cluster API's kind has no such field.
        let error = verdict.error().filter(|_| id.family() == Family::Metal3);
        // A claim that publishes an address goes on doing so: whoever read it may be using it.
        let address = match verdict {
            Verdict::Bound(name) => Some(name),
            _ => shown.address.clone(),
        };
        let same_ready = shown
            .ready
            .as_ref()
            .is_some_and(|ready| ready.is == is && *ready.reason == *reason && *ready.message == *message);
        if same_ready && shown.address == address && shown.error.as_deref() == error.as_deref() {
            return None;
        }
        let since = shown.ready.as_ref().filter(|ready| ready.is == is).map_or(now.wall, |ready| ready.since);
        let ready = Ready { is, reason: reason.into(), message: message.into(), since };
        let status = Shown { address, error: error.map(Arc::from), ready: Some(ready) };
        Some(Act::Publish { version: meta.version, status })
    }

    pub(super) fn claim_landed(&mut self, write: &Write, outcome: &Outcome, now: Now, rng: &mut impl Rng) {
        let id = &write.subject;
        let Some(entry) = self.claims.get_mut(id) else { return };
        entry.in_flight = false;
        let (is_take, is_look) = (matches!(write.act, Act::Take(_)), matches!(write.act, Act::Look { .. }));
        match outcome {
            Outcome::Seen(_) | Outcome::Gone if is_look => self.looked(write, outcome),
            Outcome::Seen(_) => entry.retry.succeeded(),
            Outcome::NotNow(wish) => entry.retry.failed(now.elapsed, *wish, rng),
            Outcome::Exists | Outcome::Unknown(_) if is_take => {
                entry.retry.failed(now.elapsed, None, rng);
                if let Some(reserve) = &mut entry.reserve {
                    reserve.unsure = true;
                }
            }
            Outcome::Gone if !is_take => entry.retry.succeeded(),
            Outcome::Gone | Outcome::Exists | Outcome::Refused(_) | Outcome::GuardFailed(_) => {
                entry.retry.failed(now.elapsed, None, rng);
                entry.unsure = true;
                if is_take {
                    self.drop_reserve(id);
                }
                self.doubt_target(write);
            }
            Outcome::Unknown(_) => {
                entry.retry.failed(now.elapsed, None, rng);
                entry.unsure = true;
                self.doubt_target(write);
            }
        }
        // A claim that cannot be protected keeps no address from others.
        if matches!(write.act, Act::Protect { .. }) && !matches!(outcome, Outcome::Seen(_)) {
            self.drop_reserve(id);
        }
    }

    /// A write that concerned an address object and went wrong leaves that object in doubt, not only the claim.
    fn doubt_target(&mut self, write: &Write) {
        if let Some((target, _)) = write.missing().filter(|(target, _)| *target != write.subject) {
            self.doubt(&target);
        }
    }

    /// What a read showed: of the claim itself, or of the address object that a take needs.
    fn looked(&mut self, write: &Write, outcome: &Outcome) {
        let Some(entry) = self.claims.get_mut(&write.subject) else { return };
        let Act::Look { object, .. } = &write.act else { return };
        if *object == write.subject {
            entry.unsure = false;
            return;
        }
        entry.end_seen |= entry.claim.shown.address.as_ref() == Some(&object.name);
        match outcome {
            // Not there: a take that went unanswered is sent again under the same name, so that if the first takes
            // effect after all, the second finds it.
            Outcome::Gone => {
                if let Some(reserve) = &mut entry.reserve {
                    reserve.unsure = false;
                }
            }
            _ => self.drop_reserve(&write.subject),
        }
    }
}

/// What an address object lacks to be this claim's, if anything.
fn adoption(claim: &Claim, address: &Address) -> Option<Adoption> {
    let uid = &claim.meta.uid;
    let owner = match &address.owner {
        Some(owner) if owner.uid == *uid => None,
        Some(owner) => Some(Place::At(usize::from(owner.at))),
        None if address.has.owners => Some(Place::End),
        None => Some(Place::First),
    };
    let finalizers = address.meta.finalizers;
    let adoption = Adoption {
        address: address.id.clone(),
        uid: address.meta.uid.clone(),
        claim: claim.id.clone(),
        claim_uid: uid.clone(),
        finalizer: finalizers.ours.is_none().then_some(finalizers.total > 0),
        annotation: (address.annotated.as_ref() != Some(uid)).then_some(address.has.annotations),
        owner,
    };
    let lacks = adoption.finalizer.is_some() || adoption.annotation.is_some() || adoption.owner.is_some();
    lacks.then_some(adoption)
}
