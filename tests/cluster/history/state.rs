//! What there is at one revision, and what of it is to be remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipam::api::{Family, Kind};
use serde_json::Value;

use super::{BY_HAND, Revision};

/// A pool and an address in it.
pub type Place = (String, IpAddr);

/// An address object that was made.
#[derive(Clone, Debug)]
pub struct Made {
    pub place: Place,
    /// The claim that it names.
    pub claim: String,
    /// It is there now.
    pub is_there: bool,
    /// A person has had it in hand.
    pub by_hand: bool,
}

/// What a claim has published, from the first time until its end.
#[derive(Clone, Debug)]
pub struct Publication {
    pub claim: String,
    pub object: String,
    pub place: Place,
}

#[derive(Default)]
pub struct State {
    /// The objects that are there, by kind and name.
    pub objects: BTreeMap<(Kind, String), Value>,
    /// The address object that last had a name.
    pub addresses: BTreeMap<(Family, String), Made>,
    /// By the claim's UID; those of claims that are gone are gone.
    pub published: BTreeMap<String, Publication>,
    /// All specs that each pool ever had.
    pub specs: BTreeMap<String, Vec<Value>>,
    /// Claims that were held by our finalizer at some time, by UID.
    pub held: BTreeSet<String>,
}

impl State {
    /// The object that was under this name before.
    pub fn before(&self, revision: &Revision) -> Option<&Value> {
        self.objects.get(&(revision.kind, revision.name.clone()))
    }

    /// An address object that was made for the claim of this UID, and is there.
    pub fn address_of(&self, claim: &str) -> Option<&str> {
        let mut there = self.addresses.iter().filter(|(_, made)| made.is_there && !made.by_hand);
        there.find(|(_, made)| made.claim == claim).map(|((_, name), _)| name.as_str())
    }

    /// Takes in a revision that was judged.
    pub fn take(&mut self, revision: &Revision) {
        let key = (revision.kind, revision.name.clone());
        let Some(object) = &revision.object else {
            self.end(revision);
            self.objects.remove(&key);
            return;
        };
        match revision.kind {
            Kind::Address(family) => {
                if let Some(made) = made(object) {
                    self.addresses.insert((family, revision.name.clone()), made);
                }
            }
            Kind::Pool => self.specs.entry(revision.name.clone()).or_default().push(object["spec"].clone()),
            Kind::Claim(_) if holds(revision.kind, object) => {
                self.held.insert(uid(object));
            }
            _ => {}
        }
        self.objects.insert(key, object.clone());
    }

    fn end(&mut self, revision: &Revision) {
        match revision.kind {
            Kind::Address(family) => {
                if let Some(made) = self.addresses.get_mut(&(family, revision.name.clone())) {
                    made.is_there = false;
                }
            }
            Kind::Claim(_) => {
                if let Some(claim) = self.before(revision).map(uid) {
                    self.published.remove(&claim);
                }
            }
            Kind::Pool => drop(self.specs.remove(&revision.name)),
            Kind::Cluster => {}
        }
    }
}

/// What an address object of ours says; `None` for another provider's.
pub fn made(object: &Value) -> Option<Made> {
    let spec = &object["spec"];
    if is_foreign(object) {
        return None;
    }
    let pool = spec["pool"]["name"].as_str().or(spec["poolRef"]["name"].as_str())?;
    Some(Made {
        place: (pool.to_owned(), spec["address"].as_str()?.parse().ok()?),
        claim: object["metadata"]["annotations"]["ipam.metal3.io/claim-uid"].as_str()?.to_owned(),
        is_there: true,
        by_hand: by_hand(object).is_some(),
    })
}

/// Whether it is another provider's.
pub fn is_foreign(object: &Value) -> bool {
    object["spec"]["poolRef"]["apiGroup"].as_str().is_some_and(|group| group != "ipam.metal3.io")
}

/// The address object that a claim publishes.
pub fn published(claim: &Value) -> Option<&str> {
    let status = &claim["status"];
    status["address"]["name"].as_str().or(status["addressRef"]["name"].as_str())
}

/// What the last person has left.
pub fn by_hand(object: &Value) -> Option<&str> {
    object["metadata"]["annotations"][BY_HAND].as_str()
}

pub fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

/// Whether our finalizer is on it.
pub fn holds(kind: Kind, object: &Value) -> bool {
    let ours = kind.finalizer().unwrap_or_default();
    object["metadata"]["finalizers"].as_array().is_some_and(|list| list.iter().any(|text| text == ours))
}
