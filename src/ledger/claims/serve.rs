//! The next step of a claim towards its address, or out of the world.

use rand::Rng;

use super::super::addresses::release;
use super::super::{Act, Address, Claim, Id, Ledger, Now, Ready, Shown, Step, Task, Text, Verdict};
use super::inherit::{Heirloom, is_stuck};
use super::{Choice, End, Entry};
use crate::api::{Family, Kind, is_object_name};

impl Ledger {
    pub(in crate::ledger) fn due_for_claim(&mut self, id: &Id, now: Now, rng: &mut impl Rng) -> Option<Step> {
        let entry = self.claims.get(id)?;
        if entry.in_flight {
            return None;
        }
        if let Some(at) = entry.retry.due_after(now.elapsed) {
            self.timers.insert((at, entry.task()));
            // One that has to wait before its next try holds up nobody; its turn is kept by its age.
            self.leave_queue(id);
            return None;
        }
        let act = if entry.unsure {
            Some(self.look(id))
        } else if let Some(reserve) = entry.reserve.as_ref().filter(|reserve| reserve.unsure) {
            Some(self.look(&entry.claim.address_id(&reserve.name)))
        } else if entry.claim.meta.deleting || entry.claim.foreign {
            self.release_claim(id)
        } else {
            self.serve(id, now, rng)
        }?;
        self.doom(&act);
        let entry = self.claims.get_mut(id)?;
        if let (Act::Take(_) | Act::Adopt(_), Some(reserve)) = (&act, &mut entry.reserve) {
            reserve.asked = now.elapsed;
        }
        let address = Kind::Address(id.family());
        let seeks = |object: &Id| object.kind == address && entry.publishes_object(object);
        entry.end = match (entry.end, &act) {
            (End::Seen, _) => End::Seen,
            (_, Act::Look { object, .. }) if seeks(object) => End::Sought,
            _ => End::Unknown,
        };
        entry.in_flight = true;
        Some(Step { subject: id.clone(), uid: entry.claim.meta.uid.clone(), act })
    }

    /// The next step of a claim whose deletion was asked for, or that asks another provider now: wait for the others, release its addresses, let it go.
    fn release_claim(&mut self, id: &Id) -> Option<Act> {
        self.leave_queue(id);
        self.drop_reserve(id);
        let entry = self.claims.get(id)?;
        let meta = &entry.claim.meta;
        let at = meta.finalizers.ours?;
        let held_by_others = meta.finalizers.foreign() && !entry.claim.foreign;
        if held_by_others || entry.claim.paused || self.is_paused(&entry.claim.pool_id()) {
            return None;
        }
        let mut held = self.held_by(entry).peekable();
        if held.peek().is_some() {
            let (address, act) = held.find_map(|address| Some((address, release(address)?)))?;
            if address.meta.deleting || entry.is_certain_of(address) {
                return Some(act);
            }
            let left = Heirloom::of(address);
            drop(held);
            return Some(self.make_certain(id, left));
        }
        drop(held);
        if let Some(unknown) = self.published_but_unknown(entry) {
            return Some(self.look(&unknown));
        }
        Some(Act::Strip { object: id.clone(), uid: meta.uid.clone(), at })
    }

    /// An address object that the claim publishes and that was neither seen nor looked for: it may exist. What is on its
    /// way out may have made room, unseen, for another of its name. Of a name that none can have there is none: whoever may
    /// write a status can write anything there.
    pub(super) fn published_but_unknown(&self, entry: &Entry) -> Option<Id> {
        let name = entry.claim.shown.address.as_ref().filter(|name| is_object_name(name))?;
        let id = entry.claim.address_id(name);
        let stays = self.address(&id).is_some_and(|address| !address.meta.deleting);
        (entry.end != End::Seen && !stays).then_some(id)
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
        if let Some(winner) = self.winner(entry, now) {
            return self.settle(id, &winner, now);
        }
        if self.held_by(entry).any(|address| self.is_going(address)) {
            let (act, stuck) = (self.clear_away(entry), self.stuck(entry));
            self.leave_queue(id);
            self.keep_heirloom(id);
            return act.or_else(|| self.show(id, Verdict::NotReady(stuck?), now));
        }
        if let Some(act) = self.withdraw(entry) {
            self.drop_reserve(id);
            return Some(act);
        }
        self.have_surplus_looked_at(id);
        let entry = self.claims.get(id)?;
        if let Some(why) = self.closed(&entry.claim.pool_id()) {
            self.leave_queue(id);
            self.drop_reserve(id);
            return self.show_for_want(id, Verdict::NotReady(why), now);
        }
        if let Some(act) = self.inherit(id) {
            return Some(act);
        }
        match self.choose(id, rng)? {
            Choice::Take(ip) => self.show_refusal(id, now).or_else(|| self.take(id, ip)),
            Choice::Not(verdict) => {
                self.leave_queue(id);
                self.show_for_want(id, verdict, now)
            }
            Choice::Wait(verdict, certain) => {
                self.enter_queue(id, certain);
                self.show_for_want(id, verdict, now)
            }
        }
    }

    /// Shows why the API server makes no address object for a claim, if it goes on to refuse, before that is tried again.
    fn show_refusal(&mut self, id: &Id, now: Now) -> Option<Act> {
        const REFUSAL: &str = "The API server refuses to create the IPAddress";
        let entry = self.claims.get(id).filter(|entry| entry.retry.keeps_failing())?;
        let why = format!("{REFUSAL}: {}", entry.refusal.as_ref()?);
        // What is said of the next one may differ in its name alone.
        let is_shown =
            entry.claim.shown.ready.as_ref().is_some_and(|ready| ready.message.starts_with(REFUSAL));
        if is_shown { None } else { self.show_for_want(id, Verdict::NotReady(why), now) }
    }

    /// Shows why a claim gets nothing. But one that publishes an address which was never seen may well have it.
    fn show_for_want(&mut self, id: &Id, verdict: Verdict, now: Now) -> Option<Act> {
        match self.published_but_unknown(self.claims.get(id)?) {
            Some(unknown) => Some(self.look(&unknown)),
            None => self.show(id, verdict, now),
        }
    }

    /// An address object of a claim that is on its way out stands in the way of a new one: help it out.
    fn clear_away(&self, entry: &Entry) -> Option<Act> {
        let going = self.held_by(entry).filter(|address| self.is_going(address));
        going.filter(|address| !self.is_under_way(&address.id)).find_map(release)
    }

    /// That an address object of a claim which publishes none is on its way out and held by others, where it is.
    fn stuck(&self, entry: &Entry) -> Option<String> {
        let stuck = self.held_by(entry).find(|address| is_stuck(address));
        let stuck = stuck.filter(|_| entry.claim.shown.address.is_none())?;
        let name = &stuck.id.name;
        Some(format!(
            "The IPAddress \"{name}\" of this claim is being deleted, and somebody else's finalizer holds it"
        ))
    }

    /// The release of an address object that was made here for the claim and whose address somebody else has too.
    fn withdraw(&self, entry: &Entry) -> Option<Act> {
        let mut surplus = self.held_by(entry).filter(|address| self.is_surplus(entry, address));
        release(surplus.find(|address| entry.made(address) && address.mark.is_none())?)
    }

    /// Whether an address object was made for the claim, who does not publish it, and somebody else has its address.
    pub(in crate::ledger) fn is_surplus(&self, entry: &Entry, address: &Address) -> bool {
        address.claim_uid() == Some(&entry.claim.meta.uid)
            && !entry.publishes(address)
            && !self.is_sole_holder(entry, address)
    }

    /// Has address objects of the claim looked at that were not made here and that somebody else has too. Whoever made
    /// one may be about to publish it, and the watch says nothing of that yet: it is released only by the rules for one
    /// that has lost its claim.
    fn have_surplus_looked_at(&mut self, id: &Id) {
        let Some(entry) = self.claims.get(id) else { return };
        let surplus = self.held_by(entry).filter(|address| self.is_surplus(entry, address));
        let surplus: Vec<Id> = surplus.map(|address| address.id.clone()).collect();
        let reserved = entry.reserve.as_ref().map(|reserve| &reserve.name);
        if surplus.iter().any(|object| Some(&object.name) == reserved) {
            self.drop_reserve(id);
        }
        self.tasks.extend(surplus.into_iter().map(Task::Address));
    }

    /// The write that makes a claim show `verdict`, if it does not yet.
    pub(super) fn show(&mut self, id: &Id, verdict: Verdict, now: Now) -> Option<Act> {
        let Entry { claim: Claim { shown, meta, .. }, unkept, .. } = &**self.claims.get(id)?;
        let is = verdict.is_bound();
        let since = shown.ready.as_ref().filter(|ready| ready.is == is).map_or(now.wall, |ready| ready.since);
        let ready = Ready { is, reason: verdict.reason().into(), message: verdict.message().into(), since };
        // The other family has no such field.
        let error = verdict.error().filter(|_| id.family() == Family::Metal3).map(Text::from);
        // A claim that publishes an address goes on doing so: whoever read it may be using it.
        let address = match verdict {
            Verdict::Bound(name) => Some(name),
            _ => shown.address.clone(),
        };
        let status = Shown { address, error, ready: Some(ready), others: shown.others.clone() };
        if shown.says(&status) || unkept.as_ref().is_some_and(|unkept| unkept.is_in_vain(&status, shown)) {
            return None;
        }
        Some(Act::Publish { version: meta.version, status })
    }
}
