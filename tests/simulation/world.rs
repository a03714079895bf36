//! One run: a seed decides what happens next.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipam::api::{AllocationStrategy, Family, IPPoolSpec, Kind, PoolEntry, PoolRules};
use ipam::ledger::{
    Act, Address, Claim, Cluster, Config, Id, Ledger, Now, Outcome, Parts, Pool, PoolStatusSeen, Seen, Shown,
    Uid, Write,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::check::Check;
use crate::server::{Event, FOREIGN, KINDS, Object, Server};

/// A write on its way.
struct Sent {
    write: Write,
    /// What the controller is going to be told, once the server has decided.
    outcome: Option<Outcome>,
}

/// The controller's end of a watch.
#[derive(Default)]
struct Watch {
    position: usize,
    listed: bool,
}

/// One run.
pub struct World {
    pub server: Server,
    pub ledger: Ledger,
    watches: BTreeMap<Kind, Watch>,
    sent: Vec<Sent>,
    /// Writes whose reply the controller was told to be lost, and which may still take effect.
    late: Vec<Write>,
    now: Duration,
    rng: SmallRng,
    pub check: Check,
    /// Faults and people's doings still happen.
    stormy: bool,
    pub steps: u64,
    trace: bool,
}

const NAMESPACE: &str = "ns";

fn id(kind: Kind, name: &str) -> Id {
    Id::new(kind, NAMESPACE, name)
}

const CLAIM: Kind = Kind::Claim(Family::Metal3);
const ADDRESS: Kind = Kind::Address(Family::Metal3);

impl World {
    /// A world of its own for each seed.
    pub fn new(seed: u64, trace: bool) -> Self {
        let mut world = Self {
            server: Server::default(),
            ledger: Ledger::new(config(), KINDS),
            watches: BTreeMap::new(),
            sent: Vec::new(),
            late: Vec::new(),
            now: Duration::from_secs(1),
            rng: SmallRng::seed_from_u64(seed),
            check: Check::default(),
            stormy: true,
            steps: 0,
            trace,
        };
        world.watches = KINDS.map(|kind| (kind, Watch::default())).into();
        for name in ["p", "q"] {
            if world.chance(0.8) {
                world.create_pool(name);
            }
        }
        if world.chance(0.7) {
            world.create_cluster();
        }
        world
    }

    /// Storm, then calm; afterwards everything has to be in order.
    ///
    /// # Errors
    ///
    /// What is not, in words.
    pub fn run(&mut self) -> Result<(), String> {
        for _ in 0..self.rng.random_range(50..400) {
            self.storm()?;
        }
        self.stormy = false;
        self.say("--- the storm is over");
        self.settle()?;
        Check::at_the_end(&self.server)?;
        let before = self.server.writes;
        for _ in 0..20 {
            self.now += Duration::from_mins(1);
            self.settle()?;
        }
        if self.server.writes == before {
            Ok(())
        } else {
            Err("writes go on although nothing changes".into())
        }
    }

    fn say(&self, what: impl std::fmt::Display) {
        if self.trace {
            println!("{:>8.3}  {what}", self.now.as_secs_f64());
        }
    }

    fn chance(&mut self, p: f64) -> bool {
        self.rng.random_bool(p)
    }

    fn now(&self) -> Now {
        Now { elapsed: self.now, wall: i64::try_from(self.now.as_secs()).unwrap() }
    }

    fn storm(&mut self) -> Result<(), String> {
        self.steps += 1;
        self.now += Duration::from_millis(self.rng.random_range(0..40));
        match self.rng.random_range(0..100) {
            0..25 => self.hear(),
            25..50 => self.decide()?,
            50..70 => self.execute()?,
            70..85 => self.reply(),
            85..97 => self.meddle(),
            97 => self.crash(),
            98 => self.relist(),
            _ => self.now += Duration::from_millis(self.rng.random_range(0..20_000)),
        }
        self.check.always(&self.server)
    }

    /// No faults any more: whatever is under way ends, and time passes, until nothing is left to do.
    fn settle(&mut self) -> Result<(), String> {
        while let Some(write) = self.late.pop() {
            self.land_late(&write)?;
        }
        for _ in 0..20_000 {
            self.steps += 1;
            let heard = self.hear_all();
            self.decide()?;
            let busy = !self.sent.is_empty();
            while !self.sent.is_empty() {
                self.execute()?;
                self.reply();
            }
            self.check.always(&self.server)?;
            if heard || busy {
                continue;
            }
            match self.ledger.next_wake() {
                None => return Ok(()),
                Some(at) => self.now = self.now.max(at) + Duration::from_millis(1),
            }
        }
        Err(format!("does not settle: {} writes so far", self.server.writes))
    }

    /// The controller takes in what one of its watches has for it.
    fn hear(&mut self) {
        let kind = KINDS[self.rng.random_range(0..KINDS.len())];
        let ready = KINDS.iter().take_while(|&&other| other != kind).all(|other| self.watches[other].listed);
        let watch = self.watches.get_mut(&kind).unwrap();
        if watch.listed {
            let event = self.server.log.get(&kind).and_then(|log| log.get(watch.position)).cloned();
            watch.position += usize::from(event.is_some());
            match event {
                Some(Event::Seen(seen)) => self.ledger.observe(seen),
                Some(Event::Deleted(seen)) => self.ledger.deleted(seen.id(), &seen.meta().uid.clone()),
                None => {}
            }
        } else if ready {
            self.list(kind);
        }
    }

    fn list(&mut self, kind: Kind) {
        self.ledger.listing(kind);
        let all: Vec<Seen> = self.server.objects.values().map(|object| object.seen.clone()).collect();
        let of_kind: Vec<Seen> = all.into_iter().filter(|seen| seen.id().kind == kind).collect();
        // Between the list and its end, replies come in and other things happen.
        let position = self.server.log.get(&kind).map_or(0, Vec::len);
        for _ in 0..self.rng.random_range(0..3) {
            if self.stormy {
                self.reply();
            }
        }
        let listed: BTreeSet<Id> = of_kind.iter().map(|seen| seen.id().clone()).collect();
        for seen in of_kind {
            self.ledger.observe(seen);
        }
        self.ledger.relisted(kind, &listed);
        *self.watches.get_mut(&kind).unwrap() = Watch { position, listed: true };
    }

    fn relist(&mut self) {
        let kind = KINDS[self.rng.random_range(0..KINDS.len())];
        if self.watches[&kind].listed {
            self.say(format_args!("relist {kind:?}"));
            self.list(kind);
        }
    }

    fn hear_all(&mut self) -> bool {
        let mut heard = false;
        for kind in KINDS {
            if !self.watches[&kind].listed {
                self.list(kind);
                heard = true;
            }
            let log = self.server.log.get(&kind).map(Vec::as_slice).unwrap_or_default();
            let watch = self.watches.get_mut(&kind).unwrap();
            for event in &log[watch.position..] {
                heard = true;
                match event {
                    Event::Seen(seen) => self.ledger.observe(seen.clone()),
                    Event::Deleted(seen) => self.ledger.deleted(seen.id(), &seen.meta().uid),
                }
            }
            watch.position = log.len();
        }
        heard
    }

    fn decide(&mut self) -> Result<(), String> {
        let (now, room) = (self.now(), self.rng.random_range(1..8));
        let due = self.ledger.due(now, room, &mut self.rng);
        for write in due {
            self.say(format_args!("due      {} for {}", write.act, write.subject));
            if self.sent.iter().any(|sent| {
                sent.outcome.is_none() && sent.write.subject == write.subject && sent.write.uid == write.uid
            }) {
                return Err(format!("two writes are under way for {}", write.subject));
            }
            self.sent.push(Sent { write, outcome: None });
        }
        self.ledger.check()
    }

    /// The server gets one of the writes that were sent.
    fn execute(&mut self) -> Result<(), String> {
        let waiting: Vec<usize> = (0..self.sent.len()).filter(|&i| self.sent[i].outcome.is_none()).collect();
        if waiting.is_empty() {
            return Ok(());
        }
        let at = waiting[self.rng.random_range(0..waiting.len())];
        let write = self.sent[at].write.clone();
        let fault = if self.stormy { self.rng.random_range(0..100) } else { 99 };
        let outcome = match fault {
            0..4 => {
                self.effect(&write, false)?;
                Outcome::Unknown("the reply is lost".into())
            }
            4..7 => Outcome::Unknown("the request is lost".into()),
            7..10 => {
                self.late.push(write.clone());
                Outcome::Unknown("the request is late".into())
            }
            10..12 => Outcome::NotNow(Some(Duration::from_millis(300))),
            12..14 => Outcome::Refused("no".into()),
            14..16 => Outcome::GuardFailed("no".into()),
            16..30 if !self.late.is_empty() => {
                let late = self.late.remove(0);
                return self.land_late(&late);
            }
            _ => self.effect(&write, false)?,
        };
        self.say(format_args!("  {} for {}: {}", write.act, write.subject, brief(&outcome)));
        self.sent[at].outcome = Some(outcome);
        Ok(())
    }

    fn land_late(&mut self, write: &Write) -> Result<(), String> {
        self.say(format_args!("  late: {} for {}", write.act, write.subject));
        self.effect(write, true).map(drop)
    }

    fn effect(&mut self, write: &Write, late: bool) -> Result<Outcome, String> {
        self.check.before(&self.server, write, late)?;
        let outcome = self.server.carry_out(write);
        self.check.after(&self.server, write, &outcome, late);
        Ok(outcome)
    }

    /// The controller learns what became of a write.
    fn reply(&mut self) {
        let decided: Vec<usize> = (0..self.sent.len()).filter(|&i| self.sent[i].outcome.is_some()).collect();
        if decided.is_empty() {
            return;
        }
        let sent = self.sent.remove(decided[self.rng.random_range(0..decided.len())]);
        let now = self.now();
        if let Some(outcome) = sent.outcome {
            self.ledger.outcome(&sent.write, outcome, now, &mut self.rng);
        }
    }

    /// The controller dies and starts again, knowing nothing. What it had sent may be lost, or late, or done.
    fn crash(&mut self) {
        self.say("crash");
        self.ledger = Ledger::new(config(), KINDS);
        self.watches = KINDS.map(|kind| (kind, Watch::default())).into();
        for sent in std::mem::take(&mut self.sent) {
            if sent.outcome.is_none() && self.chance(0.5) {
                self.late.push(sent.write);
            }
        }
    }

    /// People do something.
    fn meddle(&mut self) {
        let name = ["a", "b", "c", "d", "e", "f"][self.rng.random_range(0..6)];
        let claim = id(CLAIM, name);
        match self.rng.random_range(0..40) {
            0..14 => self.create_claim(name),
            14..21 => self.delete(&claim),
            21 => {
                self.delete(&claim);
                self.create_claim(name);
            }
            22 => self.change(&claim, "add a foreign finalizer to", |object| {
                if !object.seen.meta().deleting && object.finalizers.is_empty() {
                    object.finalizers.push(FOREIGN.into());
                }
            }),
            23..26 => self.change(&claim, "remove the foreign finalizer of", |object| {
                object.finalizers.retain(|text| text != FOREIGN);
            }),
            26 => self.strip(&claim),
            27 => self.pause_claim(&claim),
            28 => self.remove_address(false),
            29 => self.remove_address(true),
            30 => self.create_address(name),
            31 | 32 => self.edit_pool(),
            33 => self.pause_pool(),
            34 => {
                let pool = id(Kind::Pool, ["p", "q"][self.rng.random_range(0..2)]);
                self.delete(&pool);
            }
            35 | 36 => {
                let pool = ["p", "q"][self.rng.random_range(0..2)];
                self.create_pool(pool);
            }
            37 => self.create_cluster(),
            38 => self.delete(&id(Kind::Cluster, "k")),
            _ => self.change(&id(Kind::Cluster, "k"), "pause or resume", |object| {
                if let Seen::Cluster(cluster) = &mut object.seen {
                    cluster.paused = !cluster.paused;
                }
            }),
        }
    }

    fn change(&mut self, id: &Id, what: &str, change: impl FnOnce(&mut Object)) {
        if self.server.objects.contains_key(id) {
            self.say(format_args!("person: {what} {id}"));
            self.server.change(id, change);
        }
    }

    fn delete(&mut self, id: &Id) {
        if self.server.objects.contains_key(id) {
            self.say(format_args!("person: delete {id}"));
            self.server.delete(id);
        }
    }

    fn strip(&mut self, id: &Id) {
        if let Some(object) = self.server.objects.get(id) {
            self.check.meddled_with(object.seen.meta().uid.clone());
        }
        let ours = id.kind.finalizer();
        self.change(id, "strip our finalizer of", |object| {
            object.finalizers.retain(|text| Some(text.as_str()) != ours);
        });
    }

    fn create_claim(&mut self, name: &str) {
        let requested = match self.rng.random_range(0..8) {
            0 => Some(format!("10.0.0.{}", self.rng.random_range(0..9))),
            1 => Some("nonsense".to_owned()),
            _ => None,
        };
        let claim = Claim {
            id: id(CLAIM, name),
            meta: self.server.new_meta(),
            created: i64::try_from(self.now.as_secs()).unwrap(),
            pool: if self.chance(0.8) { "p" } else { "q" }.into(),
            elsewhere: self.chance(0.02).then(|| "other".into()),
            requested: requested.map(Arc::from),
            paused: false,
            labels: Arc::default(),
            shown: Shown::default(),
        };
        let admitted = self.chance(0.5);
        let finalizers: &[&str] = if admitted { &[CLAIM.finalizer().unwrap()] } else { &[] };
        self.say(format_args!("person: create {} in {}", claim.id, claim.pool));
        self.server.create(Seen::Claim(Box::new(claim)), finalizers);
    }

    fn pause_claim(&mut self, id: &Id) {
        self.change(id, "pause or resume", |object| {
            if let Seen::Claim(claim) = &mut object.seen {
                claim.paused = !claim.paused;
            }
        });
    }

    /// An address is deleted, by the book or with its finalizer torn off.
    fn remove_address(&mut self, by_force: bool) {
        let ids: Vec<Id> = self.server.addresses().map(|(_, address)| address.id.clone()).collect();
        if ids.is_empty() {
            return;
        }
        let id = ids[self.rng.random_range(0..ids.len())].clone();
        let uid = self.server.objects[&id].seen.meta().uid.clone();
        if id.name.starts_with("hand-") {
            // Once the object is gone and the controller has started anew, its name does not say which address it was.
            self.check.forget(&uid);
        }
        self.check.meddled_with(uid);
        self.check.removed(id.clone());
        self.delete(&id);
        if by_force {
            self.strip(&id);
        }
    }

    /// An address that a person makes by hand, perhaps for a claim.
    fn create_address(&mut self, name: &str) {
        let ip: IpAddr = format!("10.0.0.{}", self.rng.random_range(1..9)).parse().unwrap();
        let address = Address {
            id: id(ADDRESS, &format!("hand-{name}")),
            meta: self.server.new_meta(),
            ip: Some(ip),
            pool: "p".into(),
            claim: name.into(),
            owner: None,
            annotated: None,
            has: Parts::default(),
        };
        // A person who takes an address that is in use makes the duplicate; that is not ours to prevent.
        if self.server.addresses().any(|(_, other)| other.ip == Some(ip)) || self.check.is_published(ip) {
            return;
        }
        self.say(format_args!("person: create {} with {ip} for {name}", address.id));
        self.check.made_by_hand(address.meta.uid.clone(), ip);
        self.server.create(Seen::Address(Box::new(address)), &[]);
    }

    fn spec(&mut self, name: &str) -> IPPoolSpec {
        let first = self.rng.random_range(1..4);
        let last = first + self.rng.random_range(0..5);
        let reserved =
            self.chance(0.3).then(|| ("b".to_owned(), format!("10.0.0.{}", self.rng.random_range(1..9))));
        IPPoolSpec {
            pools: vec![PoolEntry {
                start: Some(format!("10.0.0.{first}")),
                end: Some(format!("10.0.0.{last}")),
                ..PoolEntry::default()
            }],
            // Two pools with one prefix and overlapping ranges get in each other's way.
            name_prefix: if self.chance(0.5) { "same".into() } else { name.into() },
            allocation_strategy: self.chance(0.5).then_some(AllocationStrategy::Sequential),
            pre_allocations: reserved.into_iter().collect(),
            excluded_addresses: if self.chance(0.2) { vec!["10.0.0.3".into()] } else { Vec::new() },
            ..IPPoolSpec::default()
        }
    }

    fn create_pool(&mut self, name: &str) {
        let spec = self.spec(name);
        let meta = self.server.new_meta();
        self.server.specs.insert(meta.uid.clone(), vec![spec.clone()]);
        let pool = Pool {
            id: id(Kind::Pool, name),
            meta,
            rules: Arc::new(PoolRules::read(&spec)),
            name_prefix: spec.name_prefix.as_str().into(),
            cluster: self.chance(0.3).then(|| "k".into()),
            paused: false,
            labelled: false,
            owner: None,
            has: Parts::default(),
            status: PoolStatusSeen::default(),
        };
        self.say(format_args!("person: create {} {:?}", pool.id, spec.pools));
        self.server.create(Seen::Pool(Box::new(pool)), &[]);
    }

    /// A pool grows or shrinks, but not under an address that is held: admission refuses that.
    fn edit_pool(&mut self) {
        let name = ["p", "q"][self.rng.random_range(0..2)];
        let pool = id(Kind::Pool, name);
        let mut spec = self.spec(name);
        let Some(old) = self.server.pool(&pool) else { return };
        spec.name_prefix = old.name_prefix.to_string();
        spec.allocation_strategy = Some(old.rules.strategy);
        let uid: Uid = old.meta.uid.clone();
        let rules = PoolRules::read(&spec);
        let space = rules.space();
        let held = self.server.addresses().filter(|(_, address)| *address.pool == *name);
        if held.filter_map(|(_, address)| address.ip).any(|ip| space.entry_of(ip).is_none()) {
            return;
        }
        self.server.specs.entry(uid).or_default().push(spec.clone());
        self.say(format_args!("person: edit {pool} {:?}", spec.pools));
        self.server.change(&pool, |object| {
            if let Seen::Pool(pool) = &mut object.seen {
                pool.rules = Arc::new(rules);
            }
        });
    }

    fn pause_pool(&mut self) {
        let pool = id(Kind::Pool, ["p", "q"][self.rng.random_range(0..2)]);
        self.change(&pool, "pause or resume", |object| {
            if let Seen::Pool(pool) = &mut object.seen {
                pool.paused = !pool.paused;
            }
        });
    }

    fn create_cluster(&mut self) {
        let meta = self.server.new_meta();
        let cluster = Cluster {
            id: id(Kind::Cluster, "k"),
            meta,
            api_version: "cluster.x-k8s.io/v1beta2".into(),
            paused: false,
        };
        self.say("person: create the Cluster");
        self.server.create(Seen::Cluster(Box::new(cluster)), &[]);
    }
}

fn config() -> Config {
    Config::default()
}

fn brief(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Seen(seen) => format!("seen at {}", seen.meta().version),
        other => format!("{other:?}"),
    }
}

/// The status that a write publishes an address with, if it does.
pub fn publishes(act: &Act) -> Option<&Shown> {
    match act {
        Act::Publish { status, .. } if status.ready.as_ref().is_some_and(|ready| ready.is) => Some(status),
        _ => None,
    }
}
