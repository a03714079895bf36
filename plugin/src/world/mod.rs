//! The world as it is: pools, and claims and addresses of both families as one. Read from a cluster or from files;
//! everything that is told of it is a function of these values.

mod dump;
mod joined;
mod machines;
mod object;
mod others;
mod pairs;
mod read;
mod usage;
mod word;

use std::collections::BTreeMap;

use ipam::api::{IPPool, Kind, PAUSED_ANNOTATION};
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;

pub use dump::{Thing, documents, written};
pub use joined::Joined;
pub use machines::Machines;
pub use object::{Address, Claim, Meta, Owner, Raw, Ready};
pub use others::foreign_pools;
pub use read::Scope;
pub use usage::{Key, Tallies, Tally, Usage, key, pool_state};
pub use word::Word;

use crate::error::{Error, Kind as Failure};
use crate::suggest::did_you_mean;

/// All objects that say how pools are used.
#[derive(Default)]
pub struct World {
    pub pools: Vec<IPPool>,
    pub claims: Vec<Claim>,
    pub addresses: Vec<Address>,
    /// None where nobody looked, or could.
    pub clusters: Option<Vec<ClusterSeen>>,
    /// The kinds that could not be seen, and why.
    pub unseen: BTreeMap<Kind, Error>,
}

/// What matters of a Cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSeen {
    pub namespace: String,
    pub name: String,
    pause: Option<ClusterPause>,
}

/// What pauses a Cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClusterPause {
    Spec,
    Annotation,
}

impl ClusterSeen {
    fn read(raw: &Raw) -> Self {
        Self {
            namespace: raw.metadata.namespace.owned(),
            name: raw.metadata.name.owned(),
            pause: if raw.spec["paused"] == true {
                Some(ClusterPause::Spec)
            } else {
                raw.metadata.paused().then_some(ClusterPause::Annotation)
            },
        }
    }

    /// The command that ends its pause; none where it is not paused.
    pub fn resume(&self) -> Option<String> {
        let Self { namespace, name, .. } = self;
        let cluster = format!("clusters.cluster.x-k8s.io {name} -n {namespace}");
        Some(match self.pause? {
            ClusterPause::Spec => {
                format!("kubectl patch {cluster} --type merge -p '{{\"spec\":{{\"paused\":false}}}}'")
            }
            ClusterPause::Annotation => format!("kubectl annotate {cluster} {PAUSED_ANNOTATION}-"),
        })
    }
}

impl World {
    /// Adds a pool as it comes. One that cannot be understood is noted as not seen.
    fn add_pool(&mut self, pool: Value) {
        let name = pool["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        match serde_json::from_value(pool) {
            Ok(pool) => self.pools.push(pool),
            Err(error) => {
                let error =
                    Error::new(Failure::Failed, format!("pool {name} cannot be read")).caused_by(error);
                self.unseen.insert(Kind::Pool, error);
            }
        }
    }

    /// Fails where one of these kinds could not be seen.
    pub fn require(&mut self, kinds: &[Kind]) -> Result<(), Error> {
        kinds.iter().find_map(|kind| self.unseen.remove(kind)).map_or(Ok(()), Err)
    }

    /// Fails where any kind could not be seen.
    pub fn require_all(&mut self) -> Result<(), Error> {
        self.unseen.pop_first().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Fails where a kind could not be seen that may be seen a little later.
    pub fn require_what_may_pass(&mut self) -> Result<(), Error> {
        let passes = |(kind, error): (&Kind, &Error)| error.may_pass().then_some(*kind);
        match self.unseen.iter().find_map(passes) {
            Some(kind) => self.require(&[kind]),
            None => Ok(()),
        }
    }

    /// What could not be seen, a line each.
    pub fn blind_spots(&self) -> Vec<String> {
        self.unseen.values().map(|error| format!("warning: {}; it is left out", error.line())).collect()
    }

    /// The pool of this name in a namespace.
    pub fn pool(&self, namespace: &str, name: &str) -> Option<&IPPool> {
        self.pools
            .iter()
            .find(|pool| pool.namespace().as_deref() == Some(namespace) && pool.name_any() == name)
    }

    /// The same, which has to be there.
    pub fn pool_named(&self, namespace: &str, name: &str) -> Result<&IPPool, Error> {
        self.pool(namespace, name).ok_or_else(|| {
            let here = self.pools.iter().filter(|pool| pool.namespace().as_deref() == Some(namespace));
            let names: Vec<&str> = here.filter_map(|pool| pool.metadata.name.as_deref()).collect();
            no_such("pool", name, namespace, &names, "`kubectl ipam status -A` shows all pools")
        })
    }

    /// The address objects of a pool.
    pub fn addresses_of<'a>(&'a self, pool: &'a IPPool) -> impl Iterator<Item = &'a Address> {
        let (namespace, name) = key(pool);
        self.addresses
            .iter()
            .filter(move |address| address.meta.namespace == namespace && address.pool == name)
    }

    /// The claims of a pool.
    pub fn claims_of<'a>(&'a self, pool: &'a IPPool) -> impl Iterator<Item = &'a Claim> {
        let (namespace, name) = key(pool);
        self.claims.iter().filter(move |claim| claim.is_of(&namespace, &name))
    }

    /// When the last of these objects was made, or its deletion asked for.
    pub fn newest(&self) -> Option<Timestamp> {
        let claims = self.claims.iter().map(|claim| &claim.meta);
        let metas = claims.chain(self.addresses.iter().map(|address| &address.meta));
        let times = metas.flat_map(|meta| [&meta.creation_timestamp, &meta.deletion_timestamp]);
        let pools = self.pools.iter().map(|pool| &pool.metadata);
        let of_pools = pools.flat_map(|meta| [&meta.creation_timestamp, &meta.deletion_timestamp]);
        times.chain(of_pools).flatten().map(|time| time.0).max()
    }

    /// The use of all pools.
    pub fn tallies(&self) -> Tallies {
        let mut tallies = Tallies::default();
        self.addresses.iter().for_each(|address| tallies.add_address(address));
        self.claims.iter().for_each(|claim| tallies.add_claim(claim));
        tallies
    }
}

/// There is no object of that name; the nearest name is suggested.
pub fn no_such(what: &str, name: &str, namespace: &str, known: &[&str], otherwise: &str) -> Error {
    let error = Error::new(Failure::Failed, format!("there is no {what} {name} in namespace {namespace}"));
    error.hint(did_you_mean(name, known.iter().copied()).unwrap_or_else(|| otherwise.to_owned()))
}
