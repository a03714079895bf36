//! What happens in a sequence: people's doings and our writes, with guards that hold and guards that do not.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipam::api::{
    CLUSTER_NAME_LABEL, Family, IPPoolSpec, IPPoolStatus, Kind, PROVIDER, PROVIDER_LABEL, PoolEntry,
    PoolRules, address_name,
};
use ipam::ledger::{
    Act, Address, Adoption, Claim, Dress, Id, NewAddress, NewOwner, Parts, Place, Pool, PoolStatusSeen,
    Ready, Seen, Shown, Uid, Write,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::server::{FOREIGN, Server};

/// One step of a sequence, as the model understands it.
#[derive(Debug)]
pub enum Op {
    /// A person makes an object.
    Create(Box<Seen>, Vec<&'static str>),
    /// A person asks for an object's deletion.
    Delete(Id),
    /// A person sets an object's finalizers.
    Finalizers(Id, Vec<String>),
    /// We write.
    Write(Box<Write>),
}

/// Makes up a sequence, step by step, from what the model holds.
pub struct Author {
    rng: SmallRng,
    namespace: String,
    /// Every object that there ever was.
    known: Vec<(Id, Uid)>,
    number: u64,
}

const NAMES: [&str; 2] = ["a", "b"];

impl Author {
    pub fn new(seed: u64, namespace: &str) -> Self {
        Self { rng: SmallRng::seed_from_u64(seed), namespace: namespace.into(), known: Vec::new(), number: 0 }
    }

    fn chance(&mut self, p: f64) -> bool {
        self.rng.random_bool(p)
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.rng.random_range(0..of.len())].clone()
    }

    fn id(&self, kind: Kind, name: &str) -> Id {
        Id::new(kind, &self.namespace, name)
    }

    fn family(&mut self) -> Family {
        self.one(&Family::ALL)
    }

    fn ip(&mut self) -> IpAddr {
        [10, 0, 0, self.rng.random_range(1..4)].into()
    }

    /// The next step.
    pub fn next(&mut self, server: &mut Server) -> Op {
        for object in server.objects.values() {
            let object = (object.seen.id().clone(), object.seen.meta().uid.clone());
            if !self.known.contains(&object) {
                self.known.push(object);
            }
        }
        match self.rng.random_range(0..100) {
            0..18 => self.create(server),
            18..26 => Op::Delete(self.object(None).0),
            26..34 => self.finalizers(server),
            _ => self.write(server),
        }
    }

    /// An object that there is or was, perhaps of a certain kind; else one that never was.
    fn object(&mut self, is_kind: Option<fn(Kind) -> bool>) -> (Id, Uid) {
        let known = self.known.iter().filter(|(id, _)| is_kind.is_none_or(|is| is(id.kind)));
        let known: Vec<(Id, Uid)> = known.cloned().collect();
        if known.is_empty() || self.chance(0.03) {
            let kinds = [Kind::Pool, Kind::Claim(Family::Metal3), Kind::Address(Family::Capi)];
            let kind = kinds.into_iter().find(|kind| is_kind.is_none_or(|is| is(*kind)));
            return (self.id(kind.unwrap_or(Kind::Pool), "never"), no_uid());
        }
        self.one(&known)
    }

    /// The UID that an object has now, but for a few that are wrong.
    fn uid(&mut self, server: &Server, (id, uid): &(Id, Uid)) -> Uid {
        match self.rng.random_range(0..20) {
            0 => no_uid(),
            1 => uid.clone(),
            _ => server.objects.get(id).map_or(uid.clone(), |object| object.seen.meta().uid.clone()),
        }
    }

    fn create(&mut self, server: &mut Server) -> Op {
        let (family, name) = (self.family(), self.one(&NAMES));
        let kind = match self.rng.random_range(0..6) {
            0 => Kind::Pool,
            1 | 2 => Kind::Address(family),
            _ => Kind::Claim(family),
        };
        let seen = self.an_object(server, kind, name);
        let ours = kind.finalizer().unwrap();
        let finalizers: [Vec<&str>; 5] =
            [vec![], vec![ours], vec![FOREIGN], vec![ours, FOREIGN], vec![FOREIGN, ours]];
        Op::Create(Box::new(seen), self.one(&finalizers))
    }

    /// An object as a person makes it: a claim of this name, or an address for it.
    pub fn an_object(&mut self, server: &mut Server, kind: Kind, name: &str) -> Seen {
        match kind {
            Kind::Claim(family) => self.claim(server, family, name),
            Kind::Address(family) => self.address(server, family, name),
            _ => self.pool(server),
        }
    }

    fn claim(&self, server: &mut Server, family: Family, name: &str) -> Seen {
        let id = self.id(Kind::Claim(family), name);
        Seen::Claim(Box::new(Claim::new(id.clone(), server.new_meta(&id), "p")))
    }

    fn address(&mut self, server: &mut Server, family: Family, claim: &str) -> Seen {
        let ip = self.ip();
        let id = self.id(Kind::Address(family), &address_name("p", ip));
        Seen::Address(Box::new(Address {
            meta: server.new_meta(&id),
            id,
            ip: Some(ip),
            pool: "p".into(),
            claim: claim.into(),
            owner: None,
            annotated: None,
            mark: None,
            has: Parts::default(),
        }))
    }

    fn pool(&self, server: &mut Server) -> Seen {
        let (id, spec) = (self.id(Kind::Pool, "p"), pool_spec());
        Seen::Pool(Box::new(Pool {
            meta: server.new_meta(&id),
            id,
            rules: Arc::new(PoolRules::read(&spec)),
            name_prefix: spec.name_prefix.as_str().into(),
            cluster: spec.cluster_name.as_deref().map(Into::into),
            paused: false,
            labelled: false,
            owner: None,
            has: Parts::default(),
            status: PoolStatusSeen::default(),
        }))
    }

    /// Finalizers are taken away or added; the latter the API server refuses on an object that is on its way out.
    fn finalizers(&mut self, server: &Server) -> Op {
        let (id, _) = self.object(None);
        let Some(object) = server.objects.get(&id) else { return Op::Delete(id) };
        let mut finalizers = object.finalizers.clone();
        if finalizers.is_empty() || self.chance(0.3) {
            finalizers.push(format!("somebody/{}", self.rng.random_range(0..3)));
        } else {
            finalizers.remove(self.rng.random_range(0..finalizers.len()));
        }
        Op::Finalizers(id, finalizers)
    }

    fn write(&mut self, server: &Server) -> Op {
        self.number += 1;
        let is_claim = |kind| matches!(kind, Kind::Claim(_));
        let (subject, act) = match self.rng.random_range(0..24) {
            0..3 => (self.object(Some(is_claim)), Act::Protect { append: self.chance(0.5) }),
            3..7 => self.take(server),
            7..11 => self.adopt(server),
            11..15 => self.publish(server),
            15..17 => {
                let (subject, address) = (self.object(Some(is_claim)), self.object(Some(is_address)));
                let uid = self.uid(server, &address);
                let version = self.version_of(server, &address.0);
                (subject, Act::Delete { address: address.0, uid, version })
            }
            17..20 => {
                let (subject, object) = (self.object(Some(is_claim)), self.object(None));
                let uid = self.uid(server, &object);
                (subject, Act::Strip { object: object.0, uid, at: self.rng.random_range(0..3) })
            }
            20 => (self.object(Some(|kind| kind == Kind::Pool)), self.dress()),
            21 => self.pool_status(server),
            22 => {
                let kind = Kind::Address(self.family());
                (self.object(Some(is_claim)), Act::Survey { kind })
            }
            _ => {
                let object = self.object(None);
                (self.object(Some(is_claim)), Act::Look { object: object.0, known: None })
            }
        };
        let uid = self.uid(server, &subject);
        Op::Write(Box::new(Write { number: self.number, subject: subject.0, uid, act }))
    }

    fn take(&mut self, server: &Server) -> ((Id, Uid), Act) {
        let claim = self.object(Some(|kind| matches!(kind, Kind::Claim(_))));
        let (ip, pool) = (self.ip(), self.id(Kind::Pool, "p"));
        let pool_uid = server.pool(&pool).map_or_else(no_uid, |pool| pool.meta.uid.clone());
        let new = NewAddress {
            id: claim.0.beside(Kind::Address(claim.0.family()), &address_name("p", ip).into()),
            ip,
            prefix: Some(24),
            gateway: None,
            dns: Vec::new(),
            claim: claim.0.clone(),
            claim_uid: claim.1.clone(),
            pool,
            pool_uid,
            labels: Arc::default(),
        };
        (claim, Act::Take(Box::new(new)))
    }

    fn adopt(&mut self, server: &Server) -> ((Id, Uid), Act) {
        let address = self.object(Some(is_address));
        let family = address.0.family();
        let names = server.address(&address.0).map(|address| address.claim.clone());
        let claim = self.id(Kind::Claim(family), &names.unwrap_or("a".into()));
        let claim_uid = server.claim(&claim).map_or_else(no_uid, |claim| claim.meta.uid.clone());
        let adoption = Adoption {
            uid: self.uid(server, &address),
            version: self.version_of(server, &address.0),
            address: address.0,
            claim: claim.clone(),
            claim_uid: claim_uid.clone(),
            finalizer: self.one(&[None, Some(false), Some(true)]),
            annotations: self.one(&[None, Some(false), Some(true)]),
            owner: self.one(&[None, Some(Place::First), Some(Place::At(0)), Some(Place::At(1))]),
        };
        ((claim, claim_uid), Act::Adopt(Box::new(adoption)))
    }

    /// The version of an object, or sometimes one that it had.
    fn version_of(&mut self, server: &Server, id: &Id) -> u64 {
        let current = server.objects.get(id).map_or(1, |object| object.seen.meta().version);
        if self.chance(0.8) { current } else { self.rng.random_range(0..=current) }
    }

    fn publish(&mut self, server: &Server) -> ((Id, Uid), Act) {
        let claim = self.object(Some(|kind| matches!(kind, Kind::Claim(_))));
        let version = self.version_of(server, &claim.0);
        let is = self.chance(0.5);
        let ready = Ready {
            is,
            reason: if is { "AddressAllocated" } else { "PoolExhausted" }.into(),
            message: self.one(&["one", "two"]).into(),
            since: self.one(&[1_000_000_000, 1_000_000_001]),
        };
        let error = (!is && claim.0.family() == Family::Metal3).then(|| "no".into());
        let address = is.then(|| address_name("p", self.ip()).into());
        let status = Shown { address, error, ready: Some(ready), others: None };
        (claim, Act::Publish { version, status })
    }

    fn dress(&mut self) -> Act {
        let labels = BTreeMap::from([(CLUSTER_NAME_LABEL, "k".into()), (PROVIDER_LABEL, PROVIDER.into())]);
        let owner = NewOwner {
            api_version: "cluster.x-k8s.io/v1beta2".into(),
            name: "k".into(),
            uid: self.one(&[no_uid(), Uid::new("11111111-0000-4000-8000-000000000000")]),
            place: self.one(&[Place::First, Place::End, Place::At(0)]),
        };
        Act::Dress(Box::new(Dress {
            finalizer: self.one(&[None, Some(false), Some(true)]),
            labels: if self.chance(0.5) { labels } else { BTreeMap::new() },
            has_labels: self.chance(0.5),
            owner: self.chance(0.5).then_some(owner),
        }))
    }

    fn pool_status(&mut self, server: &Server) -> ((Id, Uid), Act) {
        let pool = self.object(Some(|kind| kind == Kind::Pool));
        let version = self.version_of(server, &pool.0);
        let status = Box::new(IPPoolStatus {
            indexes: BTreeMap::from([("a".to_owned(), self.ip().to_string())]),
            last_updated: Some(ipam::ledger::time(1_000_000_000)),
            capacity: Some(3),
            available_ip_count: self.one(&[None, Some(1)]),
            conditions: Vec::new(),
        });
        (pool, Act::PoolStatus { version, status })
    }
}

fn is_address(kind: Kind) -> bool {
    matches!(kind, Kind::Address(_))
}

/// The UID of no object.
fn no_uid() -> Uid {
    Uid::new("00000000-0000-4000-8000-000000000000")
}

pub fn pool_spec() -> IPPoolSpec {
    let entry =
        PoolEntry { start: Some("10.0.0.1".into()), end: Some("10.0.0.9".into()), ..PoolEntry::default() };
    IPPoolSpec {
        pools: vec![entry],
        name_prefix: "p".into(),
        cluster_name: Some("k".into()),
        ..IPPoolSpec::default()
    }
}
