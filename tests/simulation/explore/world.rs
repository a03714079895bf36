//! A small world, and how it begins.

use std::sync::Arc;

use ipam::api::{AllocationStrategy, Family, IPPoolSpec, Kind, PoolEntry, PoolRules};
use ipam::ledger::{Claim, Id, Parts, Pool, PoolStatusSeen, Seen};

use crate::server::Server;

/// A small world: few objects, few faults, and all that can come of it.
#[derive(Clone, Copy)]
pub struct World {
    /// The controllers, all at once, and whether each reads the other family before it publishes.
    pub controllers: &'static [bool],
    /// What happens by itself; the less, the more states there are.
    pub pace: Pace,
    /// So many addresses are in the pool.
    pub addresses: u8,
    /// Claims that have their address before it begins.
    pub bound: &'static [Name],
    /// Claims that nobody has seen yet when it begins.
    pub fresh: &'static [Name],
    /// What people do, in this order, at whatever moments.
    pub people: &'static [Deed],
    /// What may go wrong.
    pub faults: Faults,
    /// So often a controller may go on while the one that went on last is in the middle of something; without a number,
    /// as often as it comes. A world that is too large to be seen whole can be seen whole up to some number.
    pub switches: Option<u8>,
    /// So many requests a controller may have under way. What it has given up, and still arrives, does not count.
    pub room: usize,
    /// So many claims have an address in the end.
    pub served: usize,
}

/// What happens by itself, and so in no other order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Nothing: a controller may learn whatever there is before it decides.
    Leisurely,
    /// A controller decides as soon as it learns something, and what it knows already is no news.
    Prompt,
    /// Also, replies arrive and watches tell of all that happens at once, but for the one reply and the one watch that
    /// are late. Requests still take any time to arrive.
    Swift,
}

/// A claim.
pub type Name = (Family, &'static str);

/// What a person does.
#[derive(Clone, Copy, Debug)]
pub enum Deed {
    Create(Name),
    Delete(Name),
    /// The pool has these addresses from now on, from the first to the last.
    Change(u8, u8),
    /// The pool is taken away by force.
    Tear,
    /// The pool is there again, as it was at first.
    Renew,
}

/// By how many events a watch may be late in a [swift](Pace::Swift) world: without a bound there would be no end to such
/// worlds, as controllers may withdraw from each other for as long as one of them hears nothing.
pub const LATE_BY: usize = 2;

/// How often each fault may still happen.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// A controller dies and starts again, knowing nothing; what it had sent arrives later, or never.
    pub crashes: u8,
    /// The same once there is no crash left, but what it had sent never arrives. That it arrived before is another order, and
    /// that it arrives later is a delay, which is counted: so there are far fewer states.
    pub losses: u8,
    /// A write goes unanswered, and arrives at any later time, or never. In a [swift](Pace::Swift) world, that or a reply
    /// which arrives at any later time.
    pub delays: u8,
    /// A watch has something to tell and does not, while time passes; in a swift world, while anything happens.
    pub lags: u8,
}

fn id(kind: Kind, name: &str) -> Id {
    Id::new(kind, "ns", name)
}

pub fn claim_id((family, name): Name) -> Id {
    id(Kind::Claim(family), name)
}

/// The rules of a pool of these addresses, lowest first.
fn rules(first: u8, last: u8) -> Arc<PoolRules> {
    let entry = PoolEntry {
        start: Some(format!("10.0.0.{first}")),
        end: Some(format!("10.0.0.{last}")),
        ..PoolEntry::default()
    };
    let spec = IPPoolSpec {
        pools: vec![entry],
        name_prefix: "p".into(),
        allocation_strategy: Some(AllocationStrategy::Sequential),
        ..IPPoolSpec::default()
    };
    Arc::new(PoolRules::read(&spec))
}

/// The pool has other addresses from now on, whoever has those that it had.
pub fn change_pool(server: &mut Server, first: u8, last: u8) {
    server.change(&id(Kind::Pool, "p"), |object| {
        if let Seen::Pool(pool) = &mut object.seen {
            pool.rules = rules(first, last);
        }
    });
}

/// The pool is gone, whoever held it.
pub fn tear_pool(server: &mut Server) {
    let id = id(Kind::Pool, "p");
    server.change(&id, |object| object.finalizers.clear());
    server.delete(&id);
}

/// A pool of so many addresses.
pub fn create_pool(server: &mut Server, addresses: u8) {
    let id = id(Kind::Pool, "p");
    let pool = Pool {
        meta: server.new_meta(&id),
        id,
        rules: rules(1, addresses),
        name_prefix: "p".into(),
        cluster: None,
        paused: false,
        labelled: false,
        owner: None,
        has: Parts::default(),
        status: PoolStatusSeen::default(),
    };
    server.create(Seen::Pool(Box::new(pool)), &[]);
}

/// A claim that admission has put our finalizer on.
pub fn create_claim(server: &mut Server, name: Name) {
    let id = claim_id(name);
    let finalizer = id.kind.finalizer().unwrap();
    let claim = Claim::new(id.clone(), server.new_meta(&id), "p");
    server.create(Seen::Claim(Box::new(claim)), &[finalizer]);
}
