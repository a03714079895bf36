//! The little that is read of objects, of either family alike. Everything else, managedFields above all, is skipped as
//! it comes in.

use std::net::IpAddr;

use ipam::addr::parse_ip;
use ipam::api::{CLAIM_UID_ANNOTATION, Family, GROUP, Kind, PAUSED_ANNOTATION, REQUESTED_IP_ANNOTATION};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Deserialize;
use serde_json::Value;

use super::Word;
use super::pairs::Pairs;

/// An object as it comes from the API server or from a file.
#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default)]
pub struct Raw {
    pub metadata: Meta,
    pub spec: Value,
    pub status: Value,
}

/// The metadata of an object.
#[derive(Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    pub namespace: Word,
    pub name: Word,
    pub uid: Word,
    pub resource_version: Word,
    pub creation_timestamp: Option<Time>,
    pub deletion_timestamp: Option<Time>,
    pub finalizers: Box<[Word]>,
    pub annotations: Pairs,
    pub labels: Pairs,
    pub owner_references: Box<[Owner]>,
}

/// Who owns an object.
#[derive(Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Owner {
    pub api_version: Word,
    pub kind: Word,
    pub name: Word,
    pub uid: Word,
}

/// A claim of either family.
#[derive(Clone, Debug)]
pub struct Claim {
    pub family: Family,
    pub meta: Meta,
    pub pool: Word,
    /// The namespace of the pool where the claim names another than its own.
    pub elsewhere: Option<Word>,
    /// The address object that its status names.
    pub address: Option<Word>,
    pub error: Option<Word>,
    pub ready: Option<Ready>,
    /// How many members its status has: Cluster API allows none that is empty.
    pub told: usize,
}

/// The `Ready` condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    pub is: bool,
    pub reason: Word,
    pub message: Word,
}

/// An address of either family.
#[derive(Clone, Debug)]
pub struct Address {
    pub family: Family,
    pub meta: Meta,
    /// As it is written.
    pub text: Word,
    /// What it means; none where it is no address.
    pub ip: Option<IpAddr>,
    pub prefix: Option<i64>,
    pub gateway: Option<Word>,
    pub pool: Word,
    pub claim: Word,
}

impl Meta {
    /// Whether the annotation that pauses is there.
    pub fn paused(&self) -> bool {
        self.annotations.get(PAUSED_ANNOTATION).is_some()
    }

    /// Whether its deletion was asked for.
    pub fn deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// Seconds since its creation.
    pub fn age(&self, now: Timestamp) -> Option<i64> {
        since(self.creation_timestamp.as_ref(), now)
    }

    /// Seconds since its deletion was asked for.
    pub fn dying_for(&self, now: Timestamp) -> Option<i64> {
        since(self.deletion_timestamp.as_ref(), now)
    }

    /// The finalizers of others than `kind`'s controller.
    pub fn foreign_finalizers(&self, kind: Kind) -> Vec<&str> {
        let ours = kind.finalizer().unwrap_or_default();
        self.finalizers.iter().map(|finalizer| &**finalizer).filter(|finalizer| *finalizer != ours).collect()
    }

    /// All its finalizers, as a text.
    pub fn holders(&self) -> String {
        let finalizers: Vec<&str> = self.finalizers.iter().map(|finalizer| finalizer.as_str()).collect();
        finalizers.join(", ")
    }

    /// Whether `kind`'s controller holds it.
    pub fn held_by_us(&self, kind: Kind) -> bool {
        kind.finalizer().is_some_and(|ours| self.finalizers.iter().any(|finalizer| finalizer == ours))
    }
}

fn since(time: Option<&Time>, now: Timestamp) -> Option<i64> {
    time.map(|time| now.as_second() - time.0.as_second())
}

impl Claim {
    /// Whether it is of this pool. One that names a pool of another namespace is none of a pool here, whatever its name.
    pub fn is_of<T: ?Sized>(&self, namespace: &T, pool: &T) -> bool
    where
        Word: PartialEq<T>,
    {
        self.meta.namespace == *namespace && self.pool == *pool && self.elsewhere.is_none()
    }

    /// Reads a claim; none where its pool is of another provider.
    pub fn read(family: Family, raw: Raw) -> Option<Self> {
        let Raw { metadata: meta, spec, status } = raw;
        let (pool, address) = match family {
            Family::Metal3 => (&spec["pool"], &status["address"]["name"]),
            Family::Capi => (ours(&spec["poolRef"])?, &status["addressRef"]["name"]),
        };
        let elsewhere = text(&pool["namespace"]).filter(|namespace| *namespace != meta.namespace);
        Some(Self {
            pool: text(&pool["name"]).unwrap_or_default(),
            elsewhere: elsewhere.filter(|_| family == Family::Metal3),
            address: text(address),
            error: text(&status["errorMessage"]),
            ready: Ready::of(&status),
            told: status.as_object().map_or(0, serde_json::Map::len),
            family,
            meta,
        })
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        Kind::Claim(self.family)
    }

    /// The address that it asks for.
    pub fn requested(&self) -> Option<&str> {
        self.meta.annotations.get(REQUESTED_IP_ANNOTATION).filter(|text| !text.is_empty())
    }

    /// The name of its address object, once it was told so for good.
    pub fn bound(&self) -> Option<&str> {
        self.address.as_deref().filter(|_| self.ready.as_ref().is_none_or(|ready| ready.is))
    }

    /// Why it has no address, in the controller's words.
    pub fn why(&self) -> Option<&str> {
        let ready = self.ready.as_ref().filter(|ready| !ready.is).map(|ready| &*ready.message);
        ready.filter(|message| !message.is_empty()).or(self.error.as_deref())
    }

    /// Who it is for, as `Kind/name`. Pools and Clusters own claims too, but have none.
    pub fn owner(&self) -> Option<String> {
        let for_whom = |owner: &&Owner| !["IPPool", "Cluster"].contains(&&*owner.kind);
        self.meta.owner_references.iter().find(for_whom).map(|owner| format!("{}/{}", owner.kind, owner.name))
    }

    /// One word for tables.
    pub fn state(&self) -> String {
        match (&self.ready, &self.bound()) {
            _ if self.meta.deleting() => "Releasing".into(),
            (_, Some(_)) => "Bound".into(),
            (Some(ready), None) if !ready.is => ready.reason.owned(),
            _ if self.error.is_some() => "Failed".into(),
            _ => "Waiting".into(),
        }
    }
}

impl Address {
    /// Reads an address; none where its pool is of another provider.
    pub fn read(family: Family, raw: Raw) -> Option<Self> {
        let Raw { metadata: meta, spec, .. } = raw;
        let (pool, claim) = match family {
            Family::Metal3 => (&spec["pool"], &spec["claim"]),
            Family::Capi => (ours(&spec["poolRef"])?, &spec["claimRef"]),
        };
        let written = text(&spec["address"]).unwrap_or_default();
        Some(Self {
            ip: parse_ip(&written).ok(),
            prefix: spec["prefix"].as_i64(),
            gateway: text(&spec["gateway"]),
            pool: text(&pool["name"]).unwrap_or_default(),
            claim: text(&claim["name"]).unwrap_or_default(),
            text: written,
            family,
            meta,
        })
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        Kind::Address(self.family)
    }

    /// The UID of its claim: what the owner reference says, else the annotation.
    pub fn claim_uid(&self) -> Option<&str> {
        let claim = Kind::Claim(self.family);
        let is_claim = |owner: &&Owner| {
            owner.kind == claim.name()
                && owner.name == *self.claim
                && owner.api_version.split_once('/').map(|(group, _)| group) == Some(claim.group())
        };
        let owner = self.meta.owner_references.iter().find(is_claim).map(|owner| &*owner.uid);
        owner.or_else(|| self.meta.annotations.get(CLAIM_UID_ANNOTATION))
    }

    /// Whether a controller made it, and no hand.
    pub fn made(&self) -> bool {
        self.meta.held_by_us(self.kind()) || self.claim_uid().is_some()
    }

    /// The address in its canonical form, or what is written.
    pub fn shown(&self) -> String {
        self.ip.map_or_else(|| self.text.owned(), |ip| ip.to_string())
    }
}

/// The reference, if it is to a pool of ours.
fn ours(pool: &Value) -> Option<&Value> {
    let group = pool["apiGroup"].as_str().or_else(|| pool["apiVersion"].as_str()?.split('/').next());
    (pool["kind"] == "IPPool" && group == Some(GROUP)).then_some(pool)
}

impl Ready {
    /// The `Ready` condition of a status. Cluster API's v1beta1 keeps newer ones beside the older.
    pub fn of(status: &Value) -> Option<Self> {
        let lists = [&status["conditions"], &status["v1beta2"]["conditions"]];
        let mut conditions = lists.into_iter().filter_map(Value::as_array).flatten();
        let ready = conditions.find(|condition| condition["type"] == "Ready")?;
        Some(Self {
            is: ready["status"] == "True",
            reason: text(&ready["reason"]).unwrap_or_default(),
            message: text(&ready["message"]).unwrap_or_default(),
        })
    }
}

fn text(value: &Value) -> Option<Word> {
    value.as_str().filter(|text| !text.is_empty()).map(Word::from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn raw(value: Value) -> Raw {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_claim_of_another_provider_is_not_ours() {
        for (pool, is) in [
            (json!({"name": "p", "kind": "IPPool", "apiGroup": "ipam.metal3.io"}), true),
            (json!({"name": "p", "kind": "InClusterIPPool", "apiGroup": "ipam.cluster.x-k8s.io"}), false),
            (json!({"name": "p", "kind": "IPPool", "apiGroup": "example.org"}), false),
        ] {
            let claim = Claim::read(Family::Capi, raw(json!({"spec": {"poolRef": pool}})));
            assert_eq!(claim.is_some(), is, "{pool}");
        }
    }

    #[test]
    fn a_claim_is_bound_once_it_says_so() {
        let status = |ready: &str| json!({"status": {"address": {"name": "p-1"}, "conditions": [{"type": "Ready", "status": ready, "reason": "R"}]}});
        let read = |value| Claim::read(Family::Metal3, raw(value)).unwrap();
        assert_eq!(read(status("True")).bound(), Some("p-1"));
        assert_eq!(read(status("False")).bound(), None);
        // The replaced system sets no condition.
        assert_eq!(read(json!({"status": {"address": {"name": "p-1"}}})).state(), "Bound");
        assert_eq!(read(json!({"status": {"errorMessage": "Exhausted IP Pools"}})).state(), "Failed");
        assert_eq!(read(json!({})).state(), "Waiting");
    }

    #[test]
    fn the_claim_of_an_address_is_its_owner_and_else_the_annotation() {
        let owner =
            json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim", "name": "c", "uid": "u1"});
        let meta = json!({"annotations": {CLAIM_UID_ANNOTATION: "u2"}, "ownerReferences": [owner]});
        let of = |claim: &str, meta: Value| {
            let object = json!({"metadata": meta, "spec": {"claim": {"name": claim}}});
            Address::read(Family::Metal3, raw(object)).unwrap()
        };
        let read = |meta: Value| of("c", meta);
        assert_eq!(read(meta.clone()).claim_uid(), Some("u1"));
        // One to any other claim is somebody else's.
        assert_eq!(of("d", meta).claim_uid(), Some("u2"));
        assert_eq!(read(json!({"annotations": {CLAIM_UID_ANNOTATION: "u2"}})).claim_uid(), Some("u2"));
        assert!(!read(json!({})).made());
    }
}
