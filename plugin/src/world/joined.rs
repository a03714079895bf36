//! Claims and addresses, found by what they say of each other.

use std::collections::HashMap;

use ipam::api::Family;

use super::{Address, Claim, Word, World};

type Place = (Family, Word, Word);

/// The world by names, so that a join costs one look.
pub struct Joined<'a> {
    claims: HashMap<Place, &'a Claim>,
    addresses: HashMap<Place, &'a Address>,
}

impl<'a> Joined<'a> {
    /// Indexes a world.
    pub fn new(world: &'a World) -> Self {
        let claims =
            world.claims.iter().map(|claim| ((claim.family, claim.meta.namespace, claim.meta.name), claim));
        let addresses = world.addresses.iter();
        let addresses =
            addresses.map(|address| ((address.family, address.meta.namespace, address.meta.name), address));
        Self { claims: claims.collect(), addresses: addresses.collect() }
    }

    /// The claim that an address names, if it is that one and not a later one of the same name.
    pub fn claim_of(&self, address: &Address) -> Option<&'a Claim> {
        let claim = *self.claims.get(&(address.family, address.meta.namespace, address.claim))?;
        address.claim_uid().is_none_or(|uid| uid == claim.meta.uid).then_some(claim)
    }

    /// The claim of this name that there is now.
    pub fn claim_called(&self, address: &Address) -> Option<&'a Claim> {
        self.claims.get(&(address.family, address.meta.namespace, address.claim)).copied()
    }

    /// The address object that a claim's status names.
    pub fn address_of(&self, claim: &Claim) -> Option<&'a Address> {
        self.addresses.get(&(claim.family, claim.meta.namespace, claim.address?)).copied()
    }
}
