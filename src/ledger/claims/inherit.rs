//! Address objects that were made for another claim of the same name.
//!
//! After a restore from a backup, claims and addresses have new UIDs, and what an address says of its claim is true of
//! none that exists. What its claim publishes may be lost, too. A claim that publishes such an object keeps it, and one
//! that publishes nothing inherits the address object that names it, unless it asks for another address.
//!
//! That a view of the claim shows another UID does not prove that the one which the address names is gone: the address
//! may be of a claim that is younger than that view. So the claim is read first, from the quorum, before such an object
//! is made its own, or released with it. Names are unique: if the name is this claim's after the address was seen,
//! whichever claim it was made for is gone for good. A sweep, or a release on behalf of the former claim, may be on its
//! way at the same time; a deletion and an adoption count only for the version of the address that they were decided
//! on, so that one of them comes first, and the other not at all.

use std::net::IpAddr;

use super::super::{Act, Address, Id, Ledger, Task, Uid};
use super::Entry;
use crate::addr::parse_ip;
use crate::api::Kind;

/// An address object that was made for another claim of the name.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Heirloom {
    /// Which object it is.
    object: Uid,
    /// The claim that it was made for, where it says so.
    of: Option<Uid>,
    /// That claim is known to be gone.
    proven: bool,
}

impl Heirloom {
    /// Nothing is proven yet.
    pub(super) fn of(address: &Address) -> Self {
        Self { object: address.meta.uid.clone(), of: address.claim_uid().cloned(), proven: false }
    }

    fn is(&self, address: &Address) -> bool {
        self.object == address.meta.uid && address.claim_uid() == self.of.as_ref()
    }
}

impl Entry {
    /// Whether an address object that was made for another claim is this one's nevertheless.
    pub(super) fn inherits(&self, address: &Address) -> bool {
        let is_heirloom = self.heirloom.as_ref().is_some_and(|left| left.proven && left.is(address));
        is_heirloom && self.wants_address() && !is_stuck(address)
    }

    fn wants_address(&self) -> bool {
        self.claim.shown.address.is_none() && !self.claim.meta.deleting && self.claim.elsewhere.is_none()
    }

    /// Whether an address object that names the claim is known not to be a later one's: made for this one, or the claim
    /// was read after what the object says of its claim was seen.
    pub(super) fn is_certain_of(&self, address: &Address) -> bool {
        address.claim_uid() == Some(&self.claim.meta.uid)
            || self.heirloom.as_ref().is_some_and(|left| left.proven && left.is(address))
    }

    /// The claim was read after its heirloom was seen.
    pub(super) fn prove_heirloom(&mut self) {
        if let Some(left) = &mut self.heirloom {
            left.proven = true;
        }
    }
}

/// One that is on its way out and that somebody else holds might hold up the claim for ever.
pub(super) fn is_stuck(address: &Address) -> bool {
    address.meta.deleting && address.meta.finalizers.foreign()
}

impl Ledger {
    /// The read after which the claim may have what a former one has left, if something is left.
    pub(super) fn inherit(&mut self, id: &Id) -> Option<Act> {
        let entry = self.claims.get_mut(id)?;
        if entry.reserve.is_some() {
            return None;
        }
        // A claim that could use what it has inherited does not come here.
        entry.heirloom.take_if(|left| left.proven);
        let entry = self.claims.get(id)?;
        let left = self.left_to(entry).find(|address| self.may_inherit(entry, address));
        let Some(left) = left else {
            // They are nobody's: it is seen to it that they go.
            let strangers: Vec<Id> = self.left_to(entry).map(|address| address.id.clone()).collect();
            self.tasks.extend(strangers.into_iter().map(Task::Address));
            return None;
        };
        let left = Heirloom::of(left);
        Some(self.make_certain(id, left))
    }

    /// The read that makes certain whose an address object is that names the claim and was made for another.
    pub(super) fn make_certain(&mut self, id: &Id, left: Heirloom) -> Act {
        if let Some(entry) = self.claims.get_mut(id) {
            entry.heirloom = Some(Box::new(left));
        }
        self.look(id)
    }

    /// Address objects that name the claim and were made for another.
    fn left_to<'a>(&'a self, entry: &'a Entry) -> impl Iterator<Item = &'a Address> {
        let kind = Kind::Address(entry.claim.id.family());
        let named =
            entry.held.iter().filter_map(move |name| self.address(&entry.claim.id.beside(kind, name)));
        named.filter(|address| !entry.has(address))
    }

    /// Whether a claim is to have an address object that was made for another, as far as is known.
    pub(in crate::ledger) fn may_inherit(&self, entry: &Entry, address: &Address) -> bool {
        let claim = &entry.claim;
        let is_left = address.claim_uid().is_some_and(|uid| *uid != claim.meta.uid);
        let suits = || address.ip.is_some_and(|ip| self.suits(entry, ip));
        entry.wants_address()
            && is_left
            && !is_stuck(address)
            // One that is on its way out would be taken anew, which no pool that is not there does.
            && (!address.meta.deleting || self.knows_pool(&address.pool_id()))
            && address.pool == claim.pool
            && self.is_sole_holder(entry, address)
            && suits()
    }

    /// Whether the claim's pool may hand out `ip` to it, and it asks for no other. Of a pool that does not exist (yet)
    /// it is not known.
    pub(super) fn suits(&self, entry: &Entry, ip: IpAddr) -> bool {
        let claim = &entry.claim;
        let Some(book) = self.books.get(&claim.pool_id()) else { return false };
        let requested = claim.requested.as_deref().map(parse_ip);
        let reserved = book.pre_allocation(&claim.id.name);
        requested.is_none_or(|requested| requested == Ok(ip))
            && reserved.is_none_or(|reserved| reserved == ip)
            && book.pool.as_ref().is_none_or(|pool| {
                !pool.meta.deleting && book.space.may_name(ip) && !book.reserved_for_other(ip, &claim.id.name)
            })
    }

    /// Reserves the address of an heirloom that is on its way out: the claim takes it anew.
    pub(super) fn keep_heirloom(&mut self, id: &Id) {
        let ip = self.claims.get(id).and_then(|entry| {
            let left = entry.heirloom.as_ref().filter(|left| left.proven)?;
            let address = self.held_by(entry).find(|address| address.meta.uid == left.object)?;
            let is_free_to = |ip| entry.reserve.as_ref().is_none_or(|reserve| reserve.ip == ip);
            address
                .ip
                .filter(|&ip| is_free_to(ip) && self.is_sole_holder(entry, address) && self.suits(entry, ip))
        });
        if let Some(ip) = ip {
            self.reserve_new(id, ip);
        }
    }
}
