//! What the ledger sees of the objects: the little that decides, in forms of its own.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use arcstr::ArcStr;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::Value;

use super::Uid;
use crate::api::{Family, Kind, PoolRules};

/// A name or other short text that many objects share; one word, as there are some twenty for each claim.
pub type Text = ArcStr;

/// One object: its kind and where it lives. Names are unique only within a kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: Text,
    /// Its name.
    pub name: Text,
}

impl Id {
    /// The object of this kind and name.
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }

    /// An object of another kind or name in the same namespace.
    #[must_use]
    pub fn beside(&self, kind: Kind, name: &Text) -> Self {
        Self { kind, namespace: self.namespace.clone(), name: name.clone() }
    }

    /// The address object of the other family that has the name of this one.
    #[must_use]
    pub fn twin(&self) -> Self {
        self.beside(Kind::Address(self.family().other()), &self.name)
    }

    /// The family of a claim or an address.
    pub fn family(&self) -> Family {
        match self.kind {
            Kind::Claim(family) | Kind::Address(family) => family,
            Kind::Pool | Kind::Cluster => Family::Metal3,
        }
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind.name(), self.namespace, self.name)
    }
}

/// What all objects have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Meta {
    /// Which object of that name it is.
    pub uid: Uid,
    /// The resource version: of two views of one object, the greater is the later.
    pub version: u64,
    /// Its deletion has been asked for.
    pub deleting: bool,
    /// Who holds it.
    pub finalizers: Finalizers,
}

/// The finalizers of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Finalizers {
    /// Index of ours in the list; of the first, where it is there twice, as two controllers may each have added it.
    pub ours: Option<u16>,
    /// Length of the list, ours counted once.
    pub total: u16,
}

impl Finalizers {
    /// Reads a list in which `ours` is this project's.
    ///
    /// ```
    /// # use ipam::ledger::Finalizers;
    /// let twice = Finalizers::of(["theirs", "ours", "ours"].into_iter(), Some("ours"));
    /// assert_eq!(twice, Finalizers { ours: Some(1), total: 2 });
    /// ```
    pub fn of<'a>(list: impl Iterator<Item = &'a str>, ours: Option<&str>) -> Self {
        let (mut at, mut total) = (None, 0_u16);
        for (index, finalizer) in list.enumerate() {
            let is_ours = Some(finalizer) == ours;
            if !is_ours || at.is_none() {
                total = total.saturating_add(1);
            }
            if is_ours && at.is_none() {
                at = Some(u16::try_from(index).unwrap_or(u16::MAX));
            }
        }
        Self { ours: at, total }
    }

    /// Whether somebody else holds the object too.
    pub fn foreign(self) -> bool {
        self.total > u16::from(self.ours.is_some())
    }
}

impl Meta {
    /// The object is gone as soon as this view of it is true: its deletion was asked for and nobody holds it.
    pub fn is_gone(&self) -> bool {
        self.deleting && self.finalizers.total == 0
    }
}

/// Labels, shared among the objects that carry the same ones.
pub type Labels = Arc<BTreeMap<String, String>>;

/// A claim of either family.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Which claim it is.
    pub id: Id,
    /// What all objects have.
    pub meta: Meta,
    /// When it was made, in seconds since the epoch; claims are served in this order.
    pub created: i64,
    /// Name of the pool it wants an address of.
    pub pool: Text,
    /// Namespace that it names for the pool, where that is not its own.
    pub elsewhere: Option<Text>,
    /// The address it asks for, as written.
    pub requested: Option<Text>,
    /// It is paused by annotation.
    pub paused: bool,
    /// It asks another provider for its address, and carries our finalizer nevertheless.
    pub foreign: bool,
    /// Its labels, which its address gets too.
    pub labels: Labels,
    /// Its status.
    pub shown: Shown,
}

impl Claim {
    /// A claim that asks its pool for any address, and has none.
    pub fn new(id: Id, meta: Meta, pool: &str) -> Self {
        Self {
            id,
            meta,
            created: 0,
            pool: pool.into(),
            elsewhere: None,
            requested: None,
            paused: false,
            foreign: false,
            labels: Labels::default(),
            shown: Shown::default(),
        }
    }

    /// The pool that it wants an address of.
    pub fn pool_id(&self) -> Id {
        self.id.beside(Kind::Pool, &self.pool)
    }

    /// An address object of its family.
    pub fn address_id(&self, name: &Text) -> Id {
        self.id.beside(Kind::Address(self.id.family()), name)
    }
}

/// The status of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Shown {
    /// Name of the address object that the claim publishes.
    pub address: Option<Text>,
    /// `errorMessage`.
    pub error: Option<Text>,
    /// The `Ready` condition.
    pub ready: Option<Ready>,
    /// What others have written there; none where they have not.
    pub others: Option<Arc<Others>>,
}

/// What others have written into a claim's status: it is written again as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Others {
    /// Their conditions.
    pub conditions: Vec<Value>,
    /// Members of the status that this project does not have.
    pub members: serde_json::Map<String, Value>,
}

/// A `Ready` condition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ready {
    /// Its status is `True`.
    pub is: bool,
    /// Its reason.
    pub reason: Text,
    /// Its message.
    pub message: Text,
    /// When its status last changed, in seconds since the epoch.
    pub since: i64,
}

/// An address of either family.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// Which address object it is.
    pub id: Id,
    /// What all objects have.
    pub meta: Meta,
    /// The address, unless what stands there is none.
    pub ip: Option<IpAddr>,
    /// Name of its pool; empty if it is another provider's, and nothing but its name matters.
    pub pool: Text,
    /// Name of its claim, of the same family.
    pub claim: Text,
    /// Its owner reference to a claim.
    pub owner: Option<ClaimOwner>,
    /// UID of its claim in the annotation.
    pub annotated: Option<Uid>,
    /// The annotation that says that it is adopted, so that its maker may not withdraw it any more: each adoption writes
    /// another one.
    pub mark: Option<Text>,
    /// Parts of the metadata that a patch has to know before it can add to them.
    pub has: Parts,
}

impl Address {
    /// It is another provider's: it occupies its name, and is never written.
    pub fn is_foreign(&self) -> bool {
        self.pool.is_empty()
    }

    /// UID of its claim: the owner reference's, which `clusterctl move` rewrites, else the annotation's, which the
    /// garbage collector leaves alone.
    pub fn claim_uid(&self) -> Option<&Uid> {
        self.owner.as_ref().map(|owner| &owner.uid).or(self.annotated.as_ref())
    }

    /// The claim that it names.
    pub fn claim_id(&self) -> Id {
        self.id.beside(Kind::Claim(self.id.family()), &self.claim)
    }

    /// The pool that it names.
    pub fn pool_id(&self) -> Id {
        self.id.beside(Kind::Pool, &self.pool)
    }
}

/// An address's owner reference to a claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimOwner {
    /// Index in the list of owner references.
    pub at: u16,
    /// UID that it names.
    pub uid: Uid,
}

/// Which optional parts of the metadata exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Parts {
    /// There are annotations.
    pub annotations: bool,
    /// There are owner references.
    pub owners: bool,
    /// There are labels.
    pub labels: bool,
}

/// A pool.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct Pool {
    /// Which pool it is.
    pub id: Id,
    /// What all objects have.
    pub meta: Meta,
    /// What its spec says, as far as it can be understood.
    pub rules: Arc<PoolRules>,
    /// Prefix of its addresses' names.
    pub name_prefix: Text,
    /// The Cluster that it belongs to.
    pub cluster: Option<Text>,
    /// It is paused by annotation.
    pub paused: bool,
    /// Its labels say which cluster and provider it is of, as they should.
    pub labelled: bool,
    /// Its owner reference to the Cluster.
    pub owner: Option<ClusterOwner>,
    /// Which optional parts of the metadata exist.
    pub has: Parts,
    /// Its status.
    pub status: PoolStatusSeen,
}

/// A pool's owner reference to its Cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClusterOwner {
    /// Index in the list of owner references.
    pub at: usize,
    /// UID that it names.
    pub uid: Uid,
    /// `apiVersion` that it names.
    pub api_version: Text,
}

/// The status of a pool, with a fingerprint in place of the map that can be a mebibyte.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PoolStatusSeen {
    /// Fingerprint of `indexes`; see [`super::fingerprint`].
    pub indexes: u64,
    /// `lastUpdated`, in seconds since the epoch.
    pub last_updated: Option<i64>,
    /// `capacity`.
    pub capacity: Option<i64>,
    /// `availableIPCount`.
    pub available: Option<i64>,
    /// All conditions, whoever set them.
    pub conditions: Vec<Condition>,
}

/// A Cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cluster {
    /// Which Cluster it is.
    pub id: Id,
    /// What all objects have.
    pub meta: Meta,
    /// The version in which it was read, for owner references.
    pub api_version: Text,
    /// It is paused, by its spec or by annotation.
    pub paused: bool,
}

/// A view of one object.
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum Seen {
    /// Of a pool.
    Pool(Box<Pool>),
    /// Of a claim.
    Claim(Box<Claim>),
    /// Of an address.
    Address(Box<Address>),
    /// Of a Cluster.
    Cluster(Box<Cluster>),
}

impl Seen {
    /// Which object it is of.
    pub fn id(&self) -> &Id {
        match self {
            Self::Pool(pool) => &pool.id,
            Self::Claim(claim) => &claim.id,
            Self::Address(address) => &address.id,
            Self::Cluster(cluster) => &cluster.id,
        }
    }

    /// What all objects have.
    pub fn meta(&self) -> &Meta {
        match self {
            Self::Pool(pool) => &pool.meta,
            Self::Claim(claim) => &claim.meta,
            Self::Address(address) => &address.meta,
            Self::Cluster(cluster) => &cluster.meta,
        }
    }
}
