//! What the pools look like in numbers, for those who watch over them.

use super::book::Book;
use super::{Act, Id, Ledger, Write};
use crate::api::Kind;

/// The ledger in numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Each pool that exists.
    pub pools: Vec<PoolFigures>,
    /// Objects that are to be looked at as soon as possible.
    pub to_do: usize,
}

/// A pool in numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolFigures {
    /// The pool.
    pub id: Id,
    /// Addresses that it can hand out.
    pub capacity: u128,
    /// Addresses that are free.
    pub free: u128,
    /// Claims that wait for an address of it to become free.
    pub waiting: usize,
    /// When the oldest of them was made, in seconds since the epoch.
    pub oldest: Option<i64>,
}

/// The objects that a write concerns, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parties {
    /// The claim.
    pub claim: Option<Id>,
    /// The pool.
    pub pool: Option<Id>,
    /// The address object.
    pub address: Option<Id>,
}

impl Ledger {
    /// The ledger in numbers, of this moment.
    pub fn figures(&self) -> Figures {
        let pools = self.books.iter().filter(|(_, book)| book.pool.is_some());
        Figures { pools: pools.map(|(id, book)| figures(id, book)).collect(), to_do: self.tasks.len() }
    }

    /// The objects that a write concerns.
    pub fn parties(&self, write: &Write) -> Parties {
        let mut parties = self.parties_of(&write.subject);
        match &write.act {
            Act::Take(new) => parties.address = Some(new.id.clone()),
            Act::Adopt(adoption) => parties.address = Some(adoption.address.clone()),
            Act::Delete { address, .. } => parties.address = Some(address.clone()),
            Act::Publish { status, .. } => {
                parties.address = status.address.as_ref().map(|name| address_of(&write.subject, name));
            }
            Act::Strip { object, .. } | Act::Look { object, .. }
                if matches!(object.kind, Kind::Address(_)) =>
            {
                parties.address = Some(object.clone());
            }
            Act::Protect { .. }
            | Act::Strip { .. }
            | Act::Look { .. }
            | Act::Dress(_)
            | Act::PoolStatus(_) => {}
        }
        parties
    }

    /// An object, and those that it belongs to.
    pub fn parties_of(&self, id: &Id) -> Parties {
        match id.kind {
            Kind::Pool => Parties { pool: Some(id.clone()), ..Parties::default() },
            Kind::Claim(_) => {
                let pool = self.claims.get(id).map(|entry| entry.claim.pool_id());
                Parties { claim: Some(id.clone()), pool, address: None }
            }
            Kind::Address(_) => {
                let address = self.address(id);
                let claim = address.map(super::Address::claim_id);
                Parties { claim, pool: address.map(super::Address::pool_id), address: Some(id.clone()) }
            }
            Kind::Cluster => Parties::default(),
        }
    }
}

fn figures(id: &Id, book: &Book) -> PoolFigures {
    PoolFigures {
        id: id.clone(),
        capacity: book.space.capacity(),
        free: book.space.free(),
        waiting: book.queued(),
        oldest: book.oldest_queued(),
    }
}

fn address_of(claim: &Id, name: &super::Text) -> Id {
    claim.beside(Kind::Address(claim.family()), name)
}
