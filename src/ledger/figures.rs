//! What the pools look like in numbers, for those who watch over them.

use std::collections::BTreeMap;

use super::book::Book;
use super::census::Fate;
use super::{Act, Id, Ledger, Write};
use crate::api::{Family, Kind};

/// The ledger in numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Each pool that exists.
    pub pools: Vec<PoolFigures>,
    /// How many claims of each family fare in each way; every pair is there.
    pub claims: BTreeMap<(Family, Fate), usize>,
    /// Objects that are to be looked at as soon as possible.
    pub to_do: usize,
    /// Objects that were to be looked at since the ledger began, these among them; an object counts again each time.
    pub added: u64,
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
    /// Its address objects, of both families.
    pub allocated: usize,
    /// Of these, such as seem to have lost their claim; those of a paused pool are not looked at.
    pub leaked: usize,
    /// Addresses that objects of both families have while a claim publishes them.
    pub doubled: usize,
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
        let leaks = self.leaks();
        let pools = self.books.iter().filter(|(_, book)| book.pool.is_some());
        let pools = pools.map(|(id, book)| self.figures_of(id, book, leaks.get(id).copied().unwrap_or(0)));
        let to_do = self.tasks.len();
        Figures { pools: pools.collect(), claims: self.census(), to_do, added: self.done + to_do as u64 }
    }

    fn figures_of(&self, id: &Id, book: &Book, leaked: usize) -> PoolFigures {
        PoolFigures {
            id: id.clone(),
            capacity: book.space.capacity(),
            free: book.space.free(),
            allocated: book.addresses.len(),
            leaked,
            doubled: self.doubled(id, book),
            waiting: book.queued(),
            oldest: book.oldest_queued(),
        }
    }

    /// Only an address with more holders than an object and its claim can be one, which are few at any time.
    fn doubled(&self, pool: &Id, book: &Book) -> usize {
        let crowded = book.holds().iter().filter(|(_, holders)| **holders > 2);
        let names = crowded.filter_map(|(ip, _)| Some((*ip, book.name_for(*ip)?)));
        let both = names.filter(|(ip, name)| {
            Family::ALL.into_iter().all(|family| {
                let object = self.address(&pool.beside(Kind::Address(family), name));
                object.is_some_and(|address| address.ip == Some(*ip) && address.pool == pool.name)
            })
        });
        both.count()
    }

    /// When a claim that publishes no address was made, in seconds since the epoch.
    pub fn waits_since(&self, claim: &Id) -> Option<i64> {
        let claim = &self.claims.get(claim)?.claim;
        claim.shown.address.is_none().then_some(claim.created)
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
            | Act::Survey { .. }
            | Act::Look { .. }
            | Act::Dress(_)
            | Act::PoolStatus { .. } => {}
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

fn address_of(claim: &Id, name: &super::Text) -> Id {
    claim.beside(Kind::Address(claim.family()), name)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;
    use serde_json::json;

    use super::*;
    use crate::ledger::{Claim, Config, Now, Pool, Seen};

    const CLAIM: Kind = Kind::Claim(Family::Metal3);
    const KINDS: [Kind; 2] = [CLAIM, Kind::Pool];

    fn metadata(name: &str) -> serde_json::Value {
        json!({"name": name, "namespace": "ns", "uid": format!("uid-{name}"), "resourceVersion": "1",
               "creationTimestamp": "1970-01-01T00:01:40Z",
               "finalizers": ["ippool.ipam.metal3.io", "ipclaim.ipam.metal3.io"]})
    }

    /// A pool of one address, and two claims on it.
    fn shown() -> Vec<Seen> {
        let spec = json!({"namePrefix": "p", "pools": [{"start": "10.0.0.1", "end": "10.0.0.1"}]});
        let pool = serde_json::from_value(json!({"metadata": metadata("p"), "spec": spec})).unwrap();
        let mut shown = vec![Seen::Pool(Box::new(Pool::of(&pool)))];
        for name in ["a", "b"] {
            let claim = json!({"metadata": metadata(name), "spec": {"pool": {"name": "p"}}});
            shown.push(Seen::Claim(Box::new(Claim::of_metal3(&serde_json::from_value(claim).unwrap()))));
        }
        shown
    }

    /// One to which all that was listed.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::new(Config::default(), KINDS);
        list(&mut ledger);
        ledger
    }

    fn list(ledger: &mut Ledger) {
        for kind in KINDS {
            ledger.list_begins(kind);
            let of_kind = shown().into_iter().filter(|seen| seen.id().kind == kind);
            of_kind.for_each(|seen| ledger.list_shows(seen));
            ledger.list_ends(kind);
        }
    }

    fn due(ledger: &mut Ledger) -> Vec<Write> {
        let now = Now { elapsed: std::time::Duration::ZERO, wall: 1000 };
        ledger.due(now, 10, &mut SmallRng::seed_from_u64(1))
    }

    #[test]
    fn a_pool_is_counted_with_who_waits_for_it_since_when() {
        let mut ledger = ledger();
        let before = ledger.figures();
        assert_eq!((before.pools[0].capacity, before.pools[0].free, before.to_do), (1, 1, 3));
        due(&mut ledger);
        let pool = &ledger.figures().pools[0];
        assert_eq!((pool.free, pool.waiting, pool.oldest), (0, 1, Some(100)));
    }

    #[test]
    fn a_write_is_told_with_its_claim_pool_and_address() {
        let mut ledger = ledger();
        let writes = due(&mut ledger);
        let take = writes.iter().find(|write| matches!(write.act, Act::Take(_))).unwrap();
        let Parties { claim, pool, address } = ledger.parties(take);
        assert_eq!(claim, Some(take.subject.clone()));
        assert_eq!(pool, Some(Id::new(Kind::Pool, "ns", "p")));
        assert_eq!(address, Some(Id::new(Kind::Address(Family::Metal3), "ns", "p-10-0-0-1")));
    }

    #[test]
    fn a_new_term_decides_nothing_before_each_kind_was_listed_anew() {
        let mut ledger = ledger();
        ledger.begin_term(KINDS);
        assert!(!ledger.is_ready());
        assert_eq!((due(&mut ledger), ledger.next_wake()), (Vec::new(), None));
        list(&mut ledger);
        assert!(!due(&mut ledger).is_empty());
    }
}
