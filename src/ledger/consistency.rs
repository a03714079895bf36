//! The ledger against itself: what it keeps beside the objects must follow from the objects.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Id, Ledger};

impl Ledger {
    /// Counts again who holds which address, from the objects and the writes under way.
    ///
    /// # Errors
    ///
    /// What differs, in words. That is a defect of the ledger, whatever its callers do.
    pub fn check(&self) -> Result<(), String> {
        let mut holds: BTreeMap<(Id, IpAddr), u32> = BTreeMap::new();
        let mut add = |pool: Id, ip: Option<IpAddr>| {
            if let Some(ip) = ip {
                *holds.entry((pool, ip)).or_default() += 1;
            }
        };
        for entry in self.addresses.values() {
            add(entry.address.pool_id(), entry.address.ip);
        }
        for entry in self.claims.values() {
            entry.holds().into_iter().for_each(|ip| add(entry.claim.pool_id(), ip));
        }
        for (id, book) in &self.books {
            book.blocked.iter().for_each(|&(_, ip)| add(id.clone(), Some(ip)));
        }
        let kept: BTreeMap<(Id, IpAddr), u32> = self
            .books
            .iter()
            .flat_map(|(id, book)| book.holds().iter().map(move |(&ip, &n)| ((id.clone(), ip), n)))
            .collect();
        if holds != kept {
            return Err(format!("the ledger counts holders {kept:?}, and the objects say {holds:?}"));
        }
        let locks = self.claims.values().flat_map(|entry| {
            entry.locks().iter().map(|name| (entry.claim.address_id(name), entry.claim.id.clone()))
        });
        if locks.collect::<BTreeSet<_>>() != self.locks {
            return Err("the names that claims need are not the names that are locked".to_owned());
        }
        let needless =
            self.blocks.keys().find(|by| self.address(by).is_none() && self.lockers(by).next().is_none());
        if let Some(name) = needless {
            return Err(format!("{name} blocks an address, and nobody needs it"));
        }
        let stems = self.books.iter().filter_map(|(id, book)| {
            Some((id.namespace.clone(), book.pool.as_ref()?.name_prefix.clone(), id.clone()))
        });
        if stems.collect::<BTreeSet<_>>() != self.stems {
            return Err("the prefixes of the pools are not those that are known".to_owned());
        }
        let lost = self
            .claims
            .values()
            .filter_map(|entry| Some((entry.claim.pool_id(), (entry.lost()?, entry.claim.id.clone()))));
        let kept =
            self.books.iter().flat_map(|(id, book)| book.lost.iter().map(|lost| (id.clone(), lost.clone())));
        if lost.collect::<BTreeSet<_>>() != kept.collect::<BTreeSet<_>>() {
            return Err("the addresses that were lost are not those that the books have".to_owned());
        }
        for (id, book) in self.books.iter().filter(|(_, book)| book.pool.is_some()) {
            let others = book.addresses.iter().filter_map(|object| {
                let ip = self.address(object)?.ip?;
                (book.name_for(ip).as_ref() != Some(&object.name)).then(|| (ip, object.clone()))
            });
            if others.collect::<BTreeSet<_>>() != book.others {
                return Err(format!("{id}: the objects of other names are not those that the book has"));
            }
        }
        for (id, book) in &self.books {
            let queued =
                self.claims.values().filter(|entry| entry.claim.pool_id() == *id && entry.is_queued());
            let takes = self
                .claims
                .values()
                .filter(|entry| entry.claim.pool_id() == *id && entry.holds()[1].is_some());
            let (queued, takes) = (queued.count(), takes.count());
            if queued != book.queued() || takes != book.takes as usize {
                return Err(format!(
                    "{id}: {queued} claims are queued and {takes} take; the book says otherwise"
                ));
            }
        }
        Ok(())
    }
}
