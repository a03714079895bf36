//! A claim and the address object that is to be its own.

use std::net::IpAddr;

use super::super::addresses::release;
use super::super::{Act, Address, Adoption, Id, Ledger, Now, Place, Verdict};
use super::fence::Gate;
use super::inherit::Heirloom;
use super::{Entry, Reserve};

impl Ledger {
    /// The address object that is to be a claim's: the one that it publishes, else one that was made for it. If what it
    /// publishes is gone and that address is still to be had, there is none: the claim gets it again.
    pub(super) fn winner(&self, entry: &Entry, now: Now) -> Option<Address> {
        // What is changed by its adoption escapes a deletion that comes late.
        let escapes =
            |address: &Address| !address.meta.deleting && self.adoption(entry, address, now).is_some();
        let stays = |address: &&Address| !self.is_going(address) || escapes(address);
        let live = || self.held_by(entry).filter(stays).filter(|address| address.ip.is_some());
        if let Some(published) = live().find(|address| entry.publishes(address)) {
            return Some(published.clone());
        }
        if self.can_retake(entry).is_some() {
            return None;
        }
        let sole = || live().filter(|address| self.is_sole_holder(entry, address));
        // One that was chosen stays chosen, or two would be marked in turn for ever.
        let chosen = entry.reserve.as_ref().map(|reserve| &reserve.name);
        sole().find(|address| Some(&address.id.name) == chosen).or_else(|| sole().next()).cloned()
    }

    /// Whether nobody but this claim has the address of one of its address objects. A person may make one by hand for
    /// an address that is handed out at that moment; names do not keep the two apart. Nor do they keep the families of two
    /// pools apart that share addresses and a `namePrefix`.
    pub(super) fn is_sole_holder(&self, entry: &Entry, address: &Address) -> bool {
        let Some(ip) = address.ip else { return false };
        let pool = address.pool_id();
        if self.is_elsewhere(&address.id.twin(), &pool, ip) {
            return false;
        }
        let own = 1 + entry.holds().into_iter().filter(|&held| held == Some(ip)).count();
        let holders = self.books.get(&pool).map_or(0, |book| book.holders(ip));
        holders as usize <= own
    }

    /// The address that the claim publishes, if the pool still has it and nobody but the claim holds it; an object of
    /// its own that is on its way out is no hindrance.
    pub(super) fn can_retake(&self, entry: &Entry) -> Option<IpAddr> {
        let ip = entry.publishes?;
        let going = self.held_by(entry).filter(|address| self.is_going(address) && address.ip == Some(ip));
        let reserved = entry.reserve.as_ref().is_some_and(|reserve| reserve.ip == ip);
        let own = 1 + going.count() + usize::from(reserved);
        let book = self.books.get(&entry.claim.pool_id())?;
        let is_own = book.holders(ip) as usize == own && book.space.may_name(ip);
        (is_own && self.blocker(&entry.claim.id, &entry.claim.pool_id(), ip).is_none()).then_some(ip)
    }

    /// The next step of a claim that has its address: make both ours, publish, withdraw what is too much.
    pub(super) fn settle(&mut self, id: &Id, winner: &Address, now: Now) -> Option<Act> {
        self.leave_queue(id);
        let entry = self.claims.get(id)?;
        if entry.claim.meta.finalizers.ours.is_none() {
            return Some(Act::Protect { append: entry.claim.meta.finalizers.total > 0 });
        }
        // What it publishes may be there, though no watch has shown it: then it stays.
        if !entry.publishes(winner)
            && let Some(unknown) = self.published_but_unknown(entry)
        {
            return Some(self.look(&unknown));
        }
        if !entry.is_certain_of(winner) {
            return Some(self.make_certain(id, Heirloom::of(winner)));
        }
        let publishes = entry.publishes(winner);
        if !publishes {
            self.reserve(id, winner);
        }
        let entry = self.claims.get(id)?;
        let adoption = self.adoption(entry, winner, now);
        // A mark that has only grown old is made anew once nothing else is left to wait for: else there would be no end of marks
        // while the other family cannot be read.
        let comes_first = |lacks: &Adoption| !lacks.only_marks() || !entry.touched(winner);
        if !publishes && !adoption.as_ref().is_some_and(comes_first) {
            match self.gate(id, now) {
                Gate::Open => {}
                Gate::Step(act) => return Some(act),
                Gate::Wait => return None,
            }
        }
        if let Some(adoption) = adoption {
            return Some(Act::Adopt(Box::new(adoption)));
        }
        if let Some(act) = self.show(id, Verdict::Bound(winner.id.name.clone()), now) {
            self.reserve(id, winner);
            return Some(act);
        }
        if !publishes {
            // To say so would come to nothing; who publishes it in the end is to find it reserved.
            return None;
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
        entry.reserve = Some(Box::new(Reserve::new(ip, winner.id.name.clone())));
        self.relock(id);
    }

    /// What an address object lacks to be this claim's, if anything. One that is to be published has to be said to be so
    /// first, unless it was made here just now: else its maker might withdraw it, or somebody who takes it for lost sweep
    /// it up, at that very moment, as the two writes are of two objects. That was said long ago does not count: who saw
    /// it may be done with waiting. And one whose deletion was asked for here, before it was seen to be published, has to
    /// become another version, for which that does not count.
    fn adoption(&self, entry: &Entry, address: &Address, now: Now) -> Option<Adoption> {
        let claim = &entry.claim;
        let uid = &claim.meta.uid;
        let fresh = |reserve: &Reserve| reserve.is_fresh(address, now.elapsed, self.config.grace);
        let is_safe = if entry.publishes(address) {
            !self.is_going(address)
        } else {
            entry.reserve.as_deref().is_some_and(fresh)
        };
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
            version: address.meta.version,
            claim: claim.id.clone(),
            claim_uid: uid.clone(),
            finalizer: finalizers.ours.is_none().then_some(finalizers.total > 0),
            annotations: (!is_safe || address.annotated.as_ref() != Some(uid))
                .then_some(address.has.annotations),
            owner,
        };
        let lacks =
            adoption.finalizer.is_some() || adoption.annotations.is_some() || adoption.owner.is_some();
        lacks.then_some(adoption)
    }
}
