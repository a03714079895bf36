//! The writes that are due, as values, and what can become of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::seen::{ClusterOwner, Id, Labels, Seen, Text};
use super::{Shown, Uid};
use crate::api::{CLUSTER_NAME_LABEL, IPPoolStatus, Kind};

/// A write that is due, and on whose behalf.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// Which write it is; no two of a ledger have the same number.
    pub number: u64,
    /// The object whose business it is; it has no other write under way.
    pub subject: Id,
    /// Which object of that name.
    pub uid: Uid,
    /// What is to be done.
    pub act: Act,
}

/// One guarded step of the write protocol.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Put our finalizer on the subject, a claim.
    Protect {
        /// The list exists.
        append: bool,
    },
    /// Create an address object; its name is the lock.
    Take(Box<NewAddress>),
    /// Make an address object ours that somebody else made for the subject, a claim.
    Adopt(Box<Adoption>),
    /// Set the subject's status, a claim's.
    Publish {
        /// Resource version of the claim that was decided on; the write counts only for that. A publication that
        /// comes late, after the claim was changed or its deletion was asked for, does nothing.
        version: u64,
        /// What it becomes.
        status: Shown,
    },
    /// Ask for an address object's deletion.
    Delete {
        /// The address object.
        address: Id,
        /// The one of that name that is meant.
        uid: Uid,
        /// Its resource version that was decided on; the deletion counts only for that. One that comes late, after the
        /// address has become another claim's, does nothing.
        version: u64,
    },
    /// Take our finalizer off an object.
    Strip {
        /// The object.
        object: Id,
        /// The one of that name that is meant.
        uid: Uid,
        /// Where our finalizer stands in the list.
        at: u16,
    },
    /// Put our finalizer, labels and owner reference on the subject, a pool.
    Dress(Box<Dress>),
    /// Set the subject's status, a pool's.
    PoolStatus {
        /// The pool's resource version that was decided on; the status counts only for that, as it carries the conditions
        /// that others have set.
        version: u64,
        /// What it becomes.
        status: Box<IPPoolStatus>,
    },
    /// Read from the quorum which address objects of the other family there are in the subject's namespace: the fence
    /// between a take and its publication, for every take that came before it.
    Survey {
        /// Their kind.
        kind: Kind,
    },
    /// Read an object from the quorum, since we cannot be sure of it.
    Look {
        /// The object.
        object: Id,
        /// The one of that name that we knew when we asked; only that one is known to be gone if none is found.
        known: Option<Uid>,
    },
}

impl Write {
    /// The kind of what it reads or changes.
    pub fn kind(&self) -> Kind {
        match &self.act {
            Act::Survey { kind } => *kind,
            _ => self.object().kind,
        }
    }

    /// What it reads or changes; the subject, where that is a list.
    pub fn object(&self) -> &Id {
        match &self.act {
            Act::Take(new) => &new.id,
            Act::Adopt(adoption) => &adoption.address,
            Act::Delete { address, .. } => address,
            Act::Strip { object, .. } | Act::Look { object, .. } => object,
            Act::Protect { .. }
            | Act::Publish { .. }
            | Act::Dress(_)
            | Act::PoolStatus { .. }
            | Act::Survey { .. } => &self.subject,
        }
    }

    /// Whether the object that was answered has what was written of its metadata. A webhook may take that off again; the API
    /// server calls it a success all the same. (Of a status, the ledger sees to it elsewhere; and a finalizer may have been there
    /// twice.)
    pub fn is_kept_in(&self, now: &Seen) -> bool {
        let is_ours = now.meta().finalizers.ours.is_some();
        match (&self.act, now) {
            (Act::Protect { .. }, _) => is_ours,
            (Act::Adopt(adoption), Seen::Address(address)) => {
                let is_of = |uid: Option<&Uid>| uid == Some(&adoption.claim_uid);
                (adoption.finalizer.is_none() || is_ours)
                    && (adoption.annotations.is_none()
                        || (is_of(address.annotated.as_ref()) && address.mark.is_some()))
                    && (adoption.owner.is_none() || is_of(address.owner.as_ref().map(|owner| &owner.uid)))
            }
            (Act::Dress(dress), Seen::Pool(pool)) => {
                // The labels, and the owner reference that is ours, go by the Cluster that the pool names now.
                let is_of = |cluster: &str| pool.cluster.as_deref() == Some(cluster);
                let is_labelled = |cluster: &String| pool.labelled || !is_of(cluster);
                let is_owned = |owner: &NewOwner| {
                    let is_it =
                        |now: &ClusterOwner| now.uid == owner.uid && now.api_version == owner.api_version;
                    pool.owner.as_ref().is_some_and(is_it) || !is_of(&owner.name)
                };
                (dress.finalizer.is_none() || is_ours)
                    && dress.labels.get(CLUSTER_NAME_LABEL).is_none_or(is_labelled)
                    && dress.owner.as_ref().is_none_or(is_owned)
            }
            _ => true,
        }
    }
}

impl Act {
    /// It changes nothing.
    pub fn is_read(&self) -> bool {
        matches!(self, Self::Look { .. } | Self::Survey { .. })
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protect { .. } => f.write_str("set the claim's finalizer"),
            Self::Take(new) => write!(f, "create {}", new.id),
            Self::Adopt(adoption) => write!(f, "adopt {}", adoption.address),
            Self::Publish { .. } => f.write_str("set the claim's status"),
            Self::Delete { address, .. } => write!(f, "delete {address}"),
            Self::Strip { object, .. } => write!(f, "remove the finalizer of {object}"),
            Self::Dress(_) => f.write_str("set the pool's finalizer, labels and owner"),
            Self::PoolStatus { .. } => f.write_str("set the pool's status"),
            Self::Survey { kind } => write!(f, "list the names of every {} of {}", kind.name(), kind.group()),
            Self::Look { object, .. } => write!(f, "read {object}"),
        }
    }
}

/// An address object to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct NewAddress {
    /// Its kind, namespace and name.
    pub id: Id,
    /// The address.
    pub ip: IpAddr,
    /// Prefix length of its network.
    pub prefix: Option<u8>,
    /// Gateway of its network.
    pub gateway: Option<IpAddr>,
    /// DNS servers of its network.
    pub dns: Vec<IpAddr>,
    /// The claim that gets it.
    pub claim: Id,
    /// That claim's UID.
    pub claim_uid: Uid,
    /// The pool that it is of.
    pub pool: Id,
    /// That pool's UID.
    pub pool_uid: Uid,
    /// The claim's labels.
    pub labels: Labels,
}

/// What an address object lacks to be ours.
#[derive(Clone, Debug, PartialEq)]
pub struct Adoption {
    /// The address object.
    pub address: Id,
    /// The one of that name that is meant.
    pub uid: Uid,
    /// It counts only for this version, which the mark names: so no two adoptions write the same one.
    pub version: u64,
    /// The claim that it is for.
    pub claim: Id,
    /// That claim's UID.
    pub claim_uid: Uid,
    /// Our finalizer is to be added: to the end of the list, if there is one.
    pub finalizer: Option<bool>,
    /// The annotations are to be set, that with its claim's UID and that which says that it is adopted: into the map, if
    /// there is one.
    pub annotations: Option<bool>,
    /// Where the owner reference to the claim is to go, if it is to be set.
    pub owner: Option<Place>,
}

impl Adoption {
    /// Nothing is lacking but the annotations.
    pub(super) fn only_marks(&self) -> bool {
        self.finalizer.is_none() && self.owner.is_none()
    }
}

/// What a pool lacks to be ours.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Dress {
    /// Our finalizer is to be added: to the end of the list, if there is one.
    pub finalizer: Option<bool>,
    /// Labels to be set.
    pub labels: BTreeMap<&'static str, String>,
    /// There are labels already.
    pub has_labels: bool,
    /// The owner reference that is to be there.
    pub owner: Option<NewOwner>,
}

/// An owner reference to a Cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct NewOwner {
    /// `apiVersion` of the Cluster.
    pub api_version: Text,
    /// Its name.
    pub name: Text,
    /// Its UID.
    pub uid: Uid,
    /// Where it goes.
    pub place: Place,
}

/// Where an owner reference goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is the first; there is no list yet.
    First,
    /// To the end of the list.
    End,
    /// In place of the one at this index, which names the same Cluster.
    At(usize),
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It took effect, or the object was read; this is the object now.
    Seen(Seen),
    /// The objects that were asked for have these names; `complete` if there are no others.
    Names {
        /// Their names.
        names: BTreeSet<Text>,
        /// The list ended with them.
        complete: bool,
    },
    /// The object does not exist, or no longer.
    Gone,
    /// The name is taken.
    Exists,
    /// The guard did not hold; nothing was done.
    GuardFailed(String),
    /// The API server will not do it; nothing was done.
    Refused(String),
    /// The API server asks to come back later, perhaps after some time; nothing was done.
    NotNow(Option<Duration>),
    /// It may have taken effect, or may still.
    Unknown(String),
}
