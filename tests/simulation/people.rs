//! What people do, for good reasons and for bad ones.

use std::net::IpAddr;
use std::sync::Arc;

use ipam::api::{AllocationStrategy, Family, IPPoolSpec, Kind, PoolEntry, PoolRules, address_name};
use ipam::ledger::{Address, Claim, Cluster, Id, Parts, Pool, PoolStatusSeen, Seen, Shown, Text, Uid};
use rand::RngExt;

use crate::server::{FOREIGN, Object};
use crate::world::World;

const NAMESPACE: &str = "ns";

fn id(kind: Kind, name: &str) -> Id {
    Id::new(kind, NAMESPACE, name)
}

impl World {
    /// People do something.
    pub fn meddle(&mut self) {
        let name = ["a", "b", "c", "d", "e", "f"][self.rng.random_range(0..6)];
        let family = self.family();
        let claim = id(Kind::Claim(family), name);
        let some = if self.polite { 22 } else { 46 };
        match self.rng.random_range(0..some) {
            0..14 => self.create_claim(&claim),
            14..21 => self.delete(&claim),
            21 => {
                self.delete(&claim);
                self.create_claim(&claim);
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
            30 => self.create_address(family, name),
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
            39 => self.install_capi(),
            40 => self.create_foreign_address(),
            41 | 42 => self.lose(),
            43..45 => self.restore(),
            _ => self.change(&id(Kind::Cluster, "k"), "pause or resume", |object| {
                if let Seen::Cluster(cluster) = &mut object.seen {
                    cluster.paused = !cluster.paused;
                }
            }),
        }
    }

    /// A family whose kinds are there.
    fn family(&mut self) -> Family {
        let capi = !self.server.without_capi && self.chance(0.5);
        if capi { Family::Capi } else { Family::Metal3 }
    }

    /// Cluster API's kinds are installed; very rarely they are taken away.
    fn install_capi(&mut self) {
        if self.server.without_capi {
            self.say("person: install Cluster API's kinds");
            self.server.without_capi = false;
        } else if self.chance(0.1) {
            self.say("person: remove Cluster API's kinds");
            for object in self.server.remove_capi() {
                self.check.meddled_with(object.meta().uid.clone());
                self.check.removed(object.id().clone());
            }
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

    fn create_claim(&mut self, id: &Id) {
        let requested = match self.rng.random_range(0..8) {
            0 => Some(format!("10.0.0.{}", self.rng.random_range(0..9))),
            1 => Some("nonsense".to_owned()),
            _ => None,
        };
        let is_capi = id.family() == Family::Capi;
        // Another provider's claim that somebody gave our finalizer.
        let foreign = is_capi && self.chance(0.02);
        let pool = if self.chance(0.8) { "p" } else { "q" };
        let claim = Claim {
            id: id.clone(),
            meta: self.server.new_meta(id),
            created: i64::try_from(self.now().elapsed.as_secs()).unwrap(),
            pool: if foreign { "" } else { pool }.into(),
            elsewhere: (!is_capi && self.chance(0.02)).then(|| "other".into()),
            requested: requested.map(Text::from),
            paused: false,
            foreign,
            labels: Arc::default(),
            shown: Shown::default(),
        };
        let admitted = foreign || self.chance(0.5);
        let finalizers: &[&str] = if admitted { &[id.kind.finalizer().unwrap()] } else { &[] };
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
        let addresses = self.server.addresses().filter(|(_, address)| !address.is_foreign());
        let ids: Vec<Id> = addresses.map(|(_, address)| address.id.clone()).collect();
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
            self.check.start_over(&self.server);
        }
    }

    /// An address that a person makes by hand, perhaps for a claim.
    fn create_address(&mut self, family: Family, name: &str) {
        let ip: IpAddr = format!("10.0.0.{}", self.rng.random_range(1..9)).parse().unwrap();
        let object = id(Kind::Address(family), &format!("hand-{name}"));
        let address = Address {
            meta: self.server.new_meta(&object),
            id: object,
            ip: Some(ip),
            pool: "p".into(),
            claim: name.into(),
            owner: None,
            annotated: None,
            mark: None,
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

    /// Another provider's address, under a name that ours might need.
    fn create_foreign_address(&mut self) {
        if self.server.without_capi {
            return;
        }
        let prefix = ["p", "q", "same"][self.rng.random_range(0..3)];
        let name = address_name(prefix, [10, 0, 0, self.rng.random_range(1..9)].into());
        let object = id(Kind::Address(Family::Capi), &name);
        let address = Address {
            meta: self.server.new_meta(&object),
            id: object,
            ip: None,
            pool: "".into(),
            claim: "".into(),
            owner: None,
            annotated: None,
            mark: None,
            has: Parts::default(),
        };
        self.say(format_args!("person: create another provider's {}", address.id));
        self.server.create(Seen::Address(Box::new(address)), &[FOREIGN]);
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

    pub fn create_pool(&mut self, name: &str) {
        let spec = self.spec(name);
        let meta = self.server.new_meta(&id(Kind::Pool, name));
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
        // One that was lost may come back with another prefix; what was published under the old one cannot be read then.
        self.check.start_over(&self.server);
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

    pub fn create_cluster(&mut self) {
        let meta = self.server.new_meta(&id(Kind::Cluster, "k"));
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
