//! Claims by how they fare, for those who watch over them.

use std::collections::BTreeMap;

use super::{Claim, Ledger, Verdict};
use crate::api::Family;

/// How a claim fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// It has its address.
    Bound,
    /// It is in the line for an address to become free.
    Waiting,
    /// It cannot be served as it is, or as its pool reserves for it.
    Refused,
    /// It waits for something other than an address, such as its pool, or for somebody else to let go of one.
    HeldUp,
    /// Nothing was decided on it yet.
    New,
    /// Its deletion was asked for.
    Releasing,
}

impl Fate {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Bound, Self::Waiting, Self::Refused, Self::HeldUp, Self::New, Self::Releasing];

    /// By what it shows, which is what the API server has.
    fn of(claim: &Claim, is_queued: bool) -> Self {
        let reason = claim.shown.ready.as_ref().map(|ready| &*ready.reason);
        match reason {
            _ if claim.meta.deleting => Self::Releasing,
            _ if claim.shown.address.is_some() => Self::Bound,
            Some(Verdict::FAILED) => Self::Refused,
            Some(Verdict::NOT_READY) => Self::HeldUp,
            _ if is_queued => Self::Waiting,
            Some(Verdict::EXHAUSTED) => Self::Waiting,
            _ => Self::New,
        }
    }
}

impl Ledger {
    /// How many claims of each family fare in each way.
    pub(super) fn census(&self) -> BTreeMap<(Family, Fate), usize> {
        let none = Family::ALL.into_iter().flat_map(|family| Fate::ALL.map(|fate| ((family, fate), 0)));
        let mut census: BTreeMap<_, _> = none.collect();
        for entry in self.claims.values() {
            let key = (entry.claim.id.family(), Fate::of(&entry.claim, entry.is_queued()));
            *census.entry(key).or_default() += 1;
        }
        census
    }
}
