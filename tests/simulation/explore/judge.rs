//! What has to hold in every state of a small world. Nobody meddles there, so nothing is excused.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipam::ledger::{Claim, Uid};

use crate::check::Check;
use crate::server::Server;

/// What is remembered of the past: the address that each claim publishes, or that it has given it back. What comes late
/// for a claim that has, and only has to go itself, is released again.
#[derive(Clone, Hash)]
pub struct Judge {
    /// There are several controllers.
    crowded: bool,
    published: BTreeMap<Uid, Option<IpAddr>>,
}

impl Judge {
    pub fn of(controllers: usize) -> Self {
        Self { crowded: controllers > 1, published: BTreeMap::new() }
    }

    /// Judges what the server holds now.
    pub fn look(&mut self, server: &Server) -> Result<(), String> {
        let mut holders: BTreeMap<IpAddr, &Claim> = BTreeMap::new();
        for (_, claim) in server.claims() {
            self.publication(server, claim)?;
            let Some(Some(ip)) = self.published.get(&claim.meta.uid) else { continue };
            if let Some(other) = holders.insert(*ip, claim) {
                return Err(format!("{} and {} both publish {ip}", other.id, claim.id));
            }
        }
        self.published.retain(|uid, _| server.claims().any(|(_, claim)| claim.meta.uid == *uid));
        Ok(())
    }

    fn publication(&mut self, server: &Server, claim: &Claim) -> Result<(), String> {
        let before = match self.published.get(&claim.meta.uid) {
            Some(None) => return Ok(()),
            before => before.copied().flatten(),
        };
        let name = claim.shown.address.as_ref().filter(|_| claim.shown.ready.as_ref().is_some_and(|r| r.is));
        let Some(name) = name else {
            return before.map_or(Ok(()), |ip| Err(format!("{} published {ip} and does not now", claim.id)));
        };
        let address = server.address(&claim.address_id(name));
        if address.is_none() && claim.meta.deleting {
            // One controller waits until the claim itself is gone before somebody else gets the address; two cannot, nor
            // need they.
            if self.crowded {
                self.published.insert(claim.meta.uid.clone(), None);
            }
            return Ok(());
        }
        let its = address.filter(|address| address.claim_uid() == Some(&claim.meta.uid));
        let Some(ip) = its.and_then(|address| address.ip) else {
            return Err(format!("{} publishes {name}, which is not its", claim.id));
        };
        self.published.insert(claim.meta.uid.clone(), Some(ip));
        match before.filter(|before| *before != ip) {
            Some(before) => Err(format!("{} published {before} and now {ip}", claim.id)),
            None => Ok(()),
        }
    }
}

/// Judges a state in which nothing is left to do; so many claims should have an address.
pub fn at_rest(server: &Server, expected: Option<usize>) -> Result<(), String> {
    Check::at_the_end(server)?;
    let bound = server.claims().filter(|(_, claim)| claim.shown.address.is_some()).count();
    match expected.filter(|expected| *expected != bound) {
        Some(expected) => Err(format!("{bound} claims have an address, and not {expected}")),
        None => Ok(()),
    }
}
