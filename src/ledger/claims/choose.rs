//! Which address a claim gets, and the step that takes it.

use std::net::IpAddr;

use rand::Rng;

use super::super::{Act, Address, Id, Ledger, NewAddress, Verdict};
use super::fence::Fence;
use super::{Choice, Reserve};
use crate::addr::parse_ip;
use crate::api::{AllocationStrategy, Kind};

impl Ledger {
    pub(super) fn choose(&mut self, id: &Id, rng: &mut impl Rng) -> Option<Choice> {
        let entry = self.claims.get(id)?;
        let pool = entry.claim.pool_id();
        let book = self.books.get(&pool)?;
        // Nothing is handed out before the pool is held; that it is wakes the claims.
        if book.pool.as_ref()?.meta.finalizers.ours.is_none() {
            let why = book.chore.refused()?;
            return Some(Choice::Not(Verdict::NotReady(format!(
                "The pool \"{}\" cannot be made ours: {why}",
                pool.name
            ))));
        }
        // An address that a person made by hand may have been published although the pool does not have it. And as long as
        // nothing is asked for, another one may be wished for, or this one be reserved.
        if let Some(reserve) = &entry.reserve
            && book.space.may_name(reserve.ip)
            && (!reserve.asked.is_zero() || self.suits(entry, reserve.ip))
        {
            return Some(Choice::Take(reserve.ip));
        }
        self.drop_reserve(id);
        let entry = self.claims.get(id)?;
        if let Some(ip) = self.can_retake(entry) {
            return Some(Choice::Take(ip));
        }
        if let Some(ip) = entry.publishes {
            // If its name is another's, the end of that is what the claim waits for.
            self.is_blocked(id, &pool, ip);
        }
        let (claim, book) = (&self.claims.get(id)?.claim, self.books.get(&pool)?);
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
    /// needs it. Or the other family's of that name, where it has the same address in another pool.
    pub(super) fn blocker(&self, claim: &Id, pool: &Id, ip: IpAddr) -> Option<Id> {
        let name = self.books.get(pool)?.name_for(ip)?;
        let object = claim.beside(Kind::Address(claim.family()), &name);
        let foreign = |other: &Address| other.ip != Some(ip) || other.pool != pool.name;
        if self.address(&object).is_some_and(foreign) || self.lockers(&object).any(|other| other != claim) {
            return Some(object);
        }
        let twin = object.twin();
        self.is_elsewhere(&twin, pool, ip).then_some(twin)
    }

    /// Whether an object has `ip` in another pool than this, or a claim of another pool is having it made so.
    pub(super) fn is_elsewhere(&self, object: &Id, pool: &Id, ip: IpAddr) -> bool {
        let by_claim = |claim: &Id| {
            let entry = self.claims.get(claim);
            entry.is_some_and(|entry| entry.claim.pool != pool.name && entry.holds().contains(&Some(ip)))
        };
        self.address(object).is_some_and(|other| other.ip == Some(ip) && other.pool != pool.name)
            || self.lockers(object).any(by_claim)
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
    pub(super) fn take(&mut self, id: &Id, ip: IpAddr) -> Option<Act> {
        self.reserve_new(id, ip)?;
        let entry = self.claims.get(id)?;
        let finalizers = entry.claim.meta.finalizers;
        if finalizers.ours.is_none() {
            return Some(Act::Protect { append: finalizers.total > 0 });
        }
        let book = self.books.get(&entry.claim.pool_id())?;
        let settings = book.space.entry_of(ip).cloned().unwrap_or_default();
        let new = NewAddress {
            id: entry.claim.address_id(&entry.reserve.as_ref()?.name),
            ip,
            prefix: settings.prefix,
            gateway: settings.gateway,
            dns: settings.dns.to_vec(),
            claim: id.clone(),
            claim_uid: entry.claim.meta.uid.clone(),
            pool: entry.claim.pool_id(),
            pool_uid: book.pool.as_ref()?.meta.uid.clone(),
            labels: entry.claim.labels.clone(),
        };
        // What was read of the other family before this take says nothing.
        self.surveys.forget(id);
        self.set_fence(id, Fence::Due);
        Some(Act::Take(Box::new(new)))
    }

    /// Reserves `ip` for an address object that is to be made; the claim waits no longer.
    pub(super) fn reserve_new(&mut self, id: &Id, ip: IpAddr) -> Option<()> {
        let left = self.step_out(id);
        let entry = self.claims.get_mut(id)?;
        let book = self.books.get_mut(&entry.claim.pool_id())?;
        let name = book.name_for(ip)?;
        if let Some(reserve) = &mut entry.reserve {
            // The pool may be another by now, with another prefix.
            reserve.name = name;
        } else {
            book.hold(ip);
            book.takes += 1;
            entry.reserve = Some(Box::new(Reserve::new(ip, name)));
        }
        self.relock(id);
        if let Some(pool) = left {
            self.wake_last_in_line(&pool);
        }
        Some(())
    }
}
