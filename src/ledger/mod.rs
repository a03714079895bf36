//! Who holds which address, who waits, and the writes that are due.
//!
//! A plain, synchronous struct: views of objects go in ([`Ledger::observe`], [`Ledger::list_shows`], [`Ledger::deleted`]),
//! writes that are due come out ([`Ledger::due`]), and what became of each goes in again ([`Ledger::outcome`]). Time
//! and randomness are arguments, so that a seed replays a run exactly.
//!
//! # Guarantees
//!
//! - No write is due before all kinds were listed once ([`Ledger::is_ready`]): nothing is decided from half a picture.
//! - A reply of ours changes the ledger at once; a view that is older than what is known changes nothing.
//! - An object has at most one write under way. Many claims of one pool have theirs at the same time, as a write that
//!   is under way holds the address that it needs.
//! - An address is held as long as an address object has it, a claim publishes it, or a write is under way that may
//!   still take it; it is free once none of these is left.
//! - Every operation is O(log n) in what the pool has handed out, whatever the size of the pool; the exceptions are
//!   changes of a pool's or a Cluster's standing, which wake the claims concerned, and a pool's status, which lists
//!   all of its addresses.
//!
//! # Assumptions
//!
//! - Every write that [`Ledger::due`] hands out is answered by one [`Ledger::outcome`].
//! - Resource versions of one kind of object can be compared (Kubernetes guarantees it for etcd-backed kinds).

mod addresses;
mod book;
mod census;
mod claims;
mod collisions;
mod consistency;
mod digest;
mod figures;
mod graveyard;
mod held;
mod kept;
mod lists;
mod names;
mod pools;
mod read;
mod retry;
mod seen;
mod status;
mod uid;
mod verdict;
mod view;
mod write;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use book::{Book, Turn};
use graveyard::Graveyard;
use held::Held;
use lists::Lists;
use names::Names;
use rand::Rng;

use crate::api::{Family, Kind};
pub use census::Fate;
pub use figures::{Figures, Parties, PoolFigures};
pub use read::identity;
pub use seen::*;
pub use status::{fingerprint, time};
pub use uid::Uid;
pub use verdict::Verdict;
pub use write::*;

/// The instant of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Time since some fixed moment; never goes back. Delays are measured with it.
    pub elapsed: Duration,
    /// Seconds since the epoch, for time stamps.
    pub wall: i64,
}

/// What can be set.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How long an address must have been without its claim before it is released: longer than any watch is expected
    /// to lag.
    pub grace: Duration,
    /// `status.indexes` is cut off at this many bytes.
    pub indexes_limit: usize,
    /// A pool's status is written at most once in this time.
    pub status_interval: Duration,
    /// There are pools and claims that other controllers serve and this ledger does not see: an address of a pool that
    /// is not known is theirs.
    pub is_shard: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(30),
            indexes_limit: 1 << 20,
            status_interval: Duration::from_secs(1),
            is_shard: false,
        }
    }
}

/// Something that a person should see, and that no status says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The object that it is about.
    pub about: Id,
    /// Which object of that name.
    pub uid: Uid,
    /// One word in camel case.
    pub reason: &'static str,
    /// One sentence.
    pub message: String,
}

/// Who holds which address, who waits, and the writes that are due; see the module's documentation.
#[derive(Clone)]
pub struct Ledger {
    config: Config,
    books: BTreeMap<Id, Book>,
    /// In boxes, as the nodes of a map that is filled in order stay half empty.
    claims: BTreeMap<Id, Box<claims::Entry>>,
    addresses: BTreeMap<Id, Box<addresses::Entry>>,
    clusters: BTreeMap<Id, Cluster>,
    /// Addresses whose claims are not known, by claim.
    strays: BTreeMap<Id, Held>,
    /// Names that an address object is needed under, each by a claim: one is being made, published, or to be made again.
    locks: BTreeSet<(Id, Id)>,
    /// Books that an address object of another pool blocks an address of, by that object.
    blocks: BTreeMap<Id, BTreeSet<Id>>,
    /// The pools that there are, by namespace and `namePrefix`.
    stems: BTreeSet<(Text, Text, Id)>,
    /// Lists of names that are under way before publications.
    surveys: claims::Surveys,
    graveyard: Graveyard,
    lists: Lists,
    tasks: BTreeSet<Task>,
    under_way: UnderWay,
    /// Pools whose standing has changed: their claims are to be looked at, and where it says so, what they publish may be
    /// known only now.
    news: BTreeMap<Id, bool>,
    /// How many tasks were looked at or dropped so far.
    done: u64,
    timers: BTreeSet<(Duration, Task)>,
    notices: Vec<Notice>,
    /// Kinds of whose status the API server has dropped something.
    unkept: BTreeSet<Kind>,
    names: Names,
}

/// Something to look at, in the order in which it is looked at: pools first, as they are few and claims wait for them,
/// and claims by age. What is to be released [takes turns](Ledger::next_task) with what is to be served.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Task {
    Pool(Id),
    /// A claim that is to be served.
    Claim(Turn),
    Address(Id),
    /// A claim that is to be released.
    Leaving(Turn),
}

/// How many writes are under way for claims that are served, and for what is released.
#[derive(Clone, Copy, Default)]
struct UnderWay {
    serving: usize,
    releasing: usize,
}

impl UnderWay {
    /// The count that a write belongs to; a pool's own belongs to none.
    fn of(&mut self, write: &Write) -> Option<&mut usize> {
        match (write.subject.kind, &write.act) {
            (Kind::Claim(_), Act::Delete { .. } | Act::Strip { .. }) | (Kind::Address(_), _) => {
                Some(&mut self.releasing)
            }
            (Kind::Claim(_), _) => Some(&mut self.serving),
            (Kind::Pool | Kind::Cluster, _) => None,
        }
    }
}

/// A write that is due, before it has its number.
struct Step {
    subject: Id,
    uid: Uid,
    act: Act,
}

impl Ledger {
    /// An empty ledger, which decides nothing until each of `kinds` was listed.
    pub fn new(config: Config, kinds: impl IntoIterator<Item = Kind>) -> Self {
        Self {
            config,
            books: BTreeMap::new(),
            claims: BTreeMap::new(),
            addresses: BTreeMap::new(),
            clusters: BTreeMap::new(),
            strays: BTreeMap::new(),
            locks: BTreeSet::new(),
            blocks: BTreeMap::new(),
            stems: BTreeSet::new(),
            surveys: claims::Surveys::default(),
            graveyard: Graveyard::default(),
            lists: Lists::awaiting(kinds),
            tasks: BTreeSet::new(),
            under_way: UnderWay::default(),
            news: BTreeMap::new(),
            done: 0,
            timers: BTreeSet::new(),
            notices: Vec::new(),
            unkept: BTreeSet::new(),
            names: Names::default(),
        }
    }

    /// Takes in a view of an object that its watch shows. A view older than what is known changes nothing.
    pub fn observe(&mut self, seen: Seen) {
        self.graveyard.shown(seen.id().kind, &seen.meta().uid);
        self.take_in(seen);
    }

    /// Takes in a view of an object, of whatever origin.
    fn take_in(&mut self, seen: Seen) {
        let (id, meta) = (seen.id().clone(), seen.meta().clone());
        if self.graveyard.holds(id.kind, &meta.uid) {
            return;
        }
        if let Some(known) = self.meta(&id) {
            if meta.version < known.version {
                return;
            }
            if meta.uid != known.uid {
                let uid = known.uid.clone();
                self.gone(&id, &uid);
            }
        }
        if meta.is_gone() {
            self.gone(&id, &meta.uid);
            return;
        }
        match seen {
            Seen::Pool(pool) => self.observe_pool(*pool),
            Seen::Claim(claim) => self.observe_claim(*claim),
            Seen::Address(address) => self.observe_address(*address),
            Seen::Cluster(cluster) => self.observe_cluster(*cluster),
        }
    }

    /// Takes in that an object is gone for good. No later view of it counts.
    pub fn gone(&mut self, id: &Id, uid: &Uid) {
        self.graveyard.bury(id.kind, uid);
        if self.meta(id).is_none_or(|known| known.uid != *uid) {
            return;
        }
        match id.kind {
            Kind::Pool => self.forget_pool(id),
            Kind::Claim(_) => self.forget_claim(id),
            Kind::Address(_) => self.forget_address(id),
            Kind::Cluster => {
                self.clusters.remove(id);
                self.wake_pools_of(id);
            }
        }
    }

    /// The watch says that an object is deleted: the last word on it.
    pub fn deleted(&mut self, id: &Id, uid: &Uid) {
        self.gone(id, uid);
        self.graveyard.end_told(id.kind, uid);
    }

    /// Another decides: forgets what there would be to look at. A term begins with lists, and they show all of it again.
    pub fn stand_by(&mut self) {
        self.spread_news();
        self.done += self.tasks.len() as u64;
        self.tasks.clear();
    }

    /// At most `room` writes that are due. Each has to be carried out, and its [outcome](Self::outcome) taken in.
    pub fn due(&mut self, now: Now, room: usize, rng: &mut impl Rng) -> Vec<Write> {
        let mut due = Vec::new();
        if !self.is_ready() {
            return due;
        }
        while let Some((_, task)) = self.timers.first().filter(|(at, _)| *at <= now.elapsed).cloned() {
            self.timers.pop_first();
            self.tasks.insert(task);
        }
        self.spread_news();
        while due.len() < room {
            let Some(task) = self.next_task() else { break };
            self.done += 1;
            let step = match &task {
                Task::Pool(id) => self.due_for_pool(id, now),
                Task::Address(id) => self.due_for_address(id, now),
                Task::Claim((_, id)) | Task::Leaving((_, id)) => self.due_for_claim(id, now, rng),
            };
            due.extend(step.map(|Step { subject, uid, act }| {
                let number = self.graveyard.write_sent();
                let write = Write { number, subject, uid, act };
                if let Some(count) = self.under_way.of(&write) {
                    *count += 1;
                }
                write
            }));
        }
        due
    }

    /// What is looked at next. Where there is something to serve and something to release, it is what fewer writes are under
    /// way for: neither does a decommissioned rack keep a new machine waiting, nor a burst of claims what is to be freed.
    fn next_task(&mut self) -> Option<Task> {
        let is_served = matches!(self.tasks.first()?, Task::Claim(_));
        if is_served && self.under_way.releasing < self.under_way.serving {
            let least = Task::Address(Id::new(Kind::Pool, "", ""));
            if let Some(release) = self.tasks.range(least..).next().cloned() {
                return self.tasks.take(&release);
            }
        }
        self.tasks.pop_first()
    }

    /// When [`Ledger::due`] may have something more, if nothing else happens before: at once if there is something to
    /// look at, else when the next timer runs out.
    pub fn next_wake(&self) -> Option<Duration> {
        if !self.is_ready() {
            return None;
        }
        if self.tasks.is_empty() && self.news.is_empty() {
            self.timers.first().map(|(at, _)| *at)
        } else {
            Some(Duration::ZERO)
        }
    }

    /// Takes in what became of a write.
    pub fn outcome(&mut self, write: &Write, outcome: Outcome, now: Now, rng: &mut impl Rng) {
        let current = self.meta(&write.subject).is_some_and(|meta| meta.uid == write.uid);
        if current {
            self.landed(write, &outcome, now, rng);
        }
        self.surveyed(write, &outcome, now, rng);
        match outcome {
            Outcome::Seen(seen) => {
                let id = seen.id().clone();
                let is_look = matches!(write.act, Act::Look { .. });
                let overtaken = !is_look && self.graveyard.is_overtaken(write.number, id.kind);
                let is_new = self.meta(&id).is_none();
                self.lists.replied(&id, !is_new);
                self.take_in(seen);
                if is_new && overtaken {
                    self.doubt(&id);
                }
            }
            Outcome::Gone => {
                if let Some((id, uid)) = write.missing() {
                    self.gone(&id, &uid);
                }
            }
            Outcome::Names { .. }
            | Outcome::Exists
            | Outcome::GuardFailed(_)
            | Outcome::Refused(_)
            | Outcome::NotNow(_)
            | Outcome::Unknown(_) => {}
        }
        self.graveyard.write_landed(write.number);
        if let Some(count) = self.under_way.of(write) {
            *count -= 1;
        }
        self.wake(&write.subject);
    }

    /// What a person should see of what happened since the last call.
    pub fn notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    fn landed(&mut self, write: &Write, outcome: &Outcome, now: Now, rng: &mut impl Rng) {
        match write.subject.kind {
            Kind::Pool => self.pool_landed(write, outcome, now, rng),
            Kind::Claim(_) => self.claim_landed(write, outcome, now, rng),
            Kind::Address(_) => self.address_landed(write, outcome, now, rng),
            Kind::Cluster => {}
        }
        self.note_kept(write, outcome);
        let (reason, message) = match outcome {
            Outcome::Refused(why) => {
                ("WriteRefused", format!("the API server refused to {}: {why}", write.act))
            }
            // A creation has no guard: what it says is that the object is not valid. And a guard that goes on to fail, after
            // each look, is none either.
            Outcome::GuardFailed(why)
                if matches!(write.act, Act::Take(_)) || self.keeps_failing(&write.subject) =>
            {
                ("WriteRefused", format!("the API server refused to {}: {why}", write.act))
            }
            Outcome::Unknown(why) if self.keeps_failing(&write.subject) => (
                "WriteUnanswered",
                format!("it is not known whether the API server could {}: {why}", write.act),
            ),
            _ => return,
        };
        let (about, uid) = (write.subject.clone(), write.uid.clone());
        self.notices.push(Notice { about, uid, reason, message });
    }

    /// Whether an object's writes have failed so often that a person should know.
    fn keeps_failing(&self, id: &Id) -> bool {
        let retry = match id.kind {
            Kind::Pool => self.books.get(id).map(|book| book.chore.retry),
            Kind::Claim(_) => self.claims.get(id).map(|entry| entry.retry),
            Kind::Address(_) => self.addresses.get(id).map(|entry| entry.retry),
            Kind::Cluster => None,
        };
        retry.is_some_and(retry::Retry::keeps_failing)
    }

    /// What is known of an object, if anything.
    fn meta(&self, id: &Id) -> Option<&Meta> {
        match id.kind {
            Kind::Pool => self.books.get(id)?.pool.as_ref().map(|pool| &pool.meta),
            Kind::Claim(_) => self.claims.get(id).map(|entry| &entry.claim.meta),
            Kind::Address(_) => self.addresses.get(id).map(|entry| &entry.address.meta),
            Kind::Cluster => self.clusters.get(id).map(|cluster| &cluster.meta),
        }
    }

    fn known(&self, kind: Kind) -> Box<dyn Iterator<Item = &Id> + '_> {
        match kind {
            Kind::Pool => {
                Box::new(self.books.iter().filter(|(_, book)| book.pool.is_some()).map(|(id, _)| id))
            }
            Kind::Claim(_) => Box::new(self.claims.keys().filter(move |id| id.kind == kind)),
            Kind::Address(_) => Box::new(self.addresses.keys().filter(move |id| id.kind == kind)),
            Kind::Cluster => Box::new(self.clusters.keys()),
        }
    }

    /// What is known of the object may be out of date: it is read before anything is decided about it.
    fn doubt(&mut self, id: &Id) {
        match id.kind {
            Kind::Pool => {
                if let Some(book) = self.books.get_mut(id) {
                    book.chore.unsure = true;
                }
            }
            Kind::Claim(_) => {
                if let Some(entry) = self.claims.get_mut(id) {
                    entry.unsure = true;
                }
            }
            Kind::Address(_) => {
                if let Some(entry) = self.addresses.get_mut(id) {
                    entry.unsure = true;
                }
            }
            // A Cluster is only read; a wrong belief in one ends with the next list.
            Kind::Cluster => {}
        }
        self.wake(id);
    }

    /// Looks at an object soon.
    fn wake(&mut self, id: &Id) {
        let task = match id.kind {
            Kind::Pool => Task::Pool(id.clone()),
            Kind::Address(_) => Task::Address(id.clone()),
            Kind::Claim(_) => match self.claims.get(id) {
                Some(entry) => entry.task(),
                None => return,
            },
            Kind::Cluster => return,
        };
        self.tasks.insert(task);
    }

    /// The claims of both families in one namespace.
    fn claims_in<'a>(&'a self, namespace: &Text) -> impl Iterator<Item = (&'a Id, &'a claims::Entry)> + 'a {
        let namespace = namespace.clone();
        Family::ALL.into_iter().flat_map(move |family| {
            let first = Id { kind: Kind::Claim(family), namespace: namespace.clone(), name: "".into() };
            let (namespace, kind) = (namespace.clone(), first.kind);
            let here = move |id: &Id| id.kind == kind && id.namespace == namespace;
            let from = self.claims.range(first..).map(|(id, entry)| (id, &**entry));
            from.take_while(move |(id, _)| here(id))
        })
    }
}

impl Write {
    /// The object that is known to be gone if the API server has found none.
    fn missing(&self) -> Option<(Id, Uid)> {
        match &self.act {
            Act::Protect { .. } | Act::Publish { .. } | Act::Dress(_) | Act::PoolStatus { .. } => {
                Some((self.subject.clone(), self.uid.clone()))
            }
            Act::Delete { address, uid, .. } => Some((address.clone(), uid.clone())),
            Act::Adopt(adoption) => Some((adoption.address.clone(), adoption.uid.clone())),
            Act::Strip { object, uid, .. } => Some((object.clone(), uid.clone())),
            Act::Look { object, known } => Some((object.clone(), known.clone()?)),
            // No namespace, or no such kind: says nothing of any object.
            Act::Take(_) | Act::Survey { .. } => None,
        }
    }
}
