//! The lease's object ↔ what is said in it.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde_json::{Value, json};

use crate::api::{LEASE, Resource};
use crate::apply::{Change, PatchOp, Target};

/// What is said in the lease.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Record {
    /// Resource version of the object.
    pub version: String,
    /// Who holds it; empty if nobody does.
    pub holder: String,
    /// For how long after each sign of life.
    pub lease: Duration,
    /// The last sign of life, in its holder's words.
    pub renewed: String,
    /// When it was taken, in its holder's words.
    pub acquired: String,
    /// How often it has changed hands.
    pub transitions: i32,
    /// The object has no spec yet.
    pub bare: bool,
}

impl Record {
    /// Reads an object.
    pub fn of(object: Value) -> serde_json::Result<Self> {
        let Lease { metadata, spec } = serde_json::from_value(object)?;
        let bare = spec.is_none();
        let spec = spec.unwrap_or_default();
        let text = |time: Option<MicroTime>| time.map(|time| time.0.to_string()).unwrap_or_default();
        let seconds = spec.lease_duration_seconds.unwrap_or(0);
        Ok(Self {
            version: metadata.resource_version.unwrap_or_default(),
            holder: spec.holder_identity.unwrap_or_default(),
            lease: Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
            renewed: text(spec.renew_time),
            acquired: text(spec.acquire_time),
            transitions: spec.lease_transitions.unwrap_or(0),
            bare,
        })
    }

    /// Whether both say the same of holder and time: no sign of life lies between them.
    pub fn is_same(&self, other: &Self) -> bool {
        let said = |record: &Self| {
            (
                record.holder.clone(),
                record.renewed.clone(),
                record.acquired.clone(),
                record.transitions,
                record.lease,
            )
        };
        said(self) == said(other)
    }
}

fn target(namespace: &str) -> Target {
    let resource =
        Resource { group: "coordination.k8s.io", version: "v1".into(), kind: "Lease", plural: "leases" };
    Target { resource, namespace: namespace.to_owned(), name: LEASE.to_owned() }
}

/// Reads the lease.
pub(super) fn read(namespace: &str) -> Change {
    Change::Read { target: target(namespace) }
}

/// Makes the lease, held by `identity`; that it does not exist is the guard.
pub(super) fn create(namespace: &str, identity: &str, lease: Duration, now: Timestamp) -> Change {
    let spec = json!({
        "holderIdentity": identity, "leaseDurationSeconds": lease.as_secs(), "leaseTransitions": 0,
        "acquireTime": MicroTime(now), "renewTime": MicroTime(now),
    });
    Change::Create { target: target(namespace), object: json!({ "spec": spec }) }
}

/// Takes the lease over.
pub(super) fn take(
    namespace: &str,
    seen: &Record,
    identity: &str,
    lease: Duration,
    now: Timestamp,
) -> Change {
    let mut ops = vec![
        member("holderIdentity", json!(identity)),
        member("leaseDurationSeconds", json!(lease.as_secs())),
        member("acquireTime", json!(MicroTime(now))),
        member("leaseTransitions", json!(seen.transitions.saturating_add(1))),
        member("renewTime", json!(MicroTime(now))),
    ];
    if seen.bare {
        ops.insert(0, PatchOp::add("/spec", json!({})));
    }
    patch(namespace, seen, ops)
}

/// Gives a sign of life.
pub(super) fn renew(namespace: &str, seen: &Record, lease: Duration, now: Timestamp) -> Change {
    let ops = vec![
        member("leaseDurationSeconds", json!(lease.as_secs())),
        member("renewTime", json!(MicroTime(now))),
    ];
    patch(namespace, seen, ops)
}

/// Gives the lease back, so that the next need not wait.
pub(super) fn release(namespace: &str, seen: &Record, now: Timestamp) -> Change {
    let ops = vec![
        member("holderIdentity", json!("")),
        member("leaseDurationSeconds", json!(1)),
        member("renewTime", json!(MicroTime(now))),
    ];
    patch(namespace, seen, ops)
}

fn member(name: &str, value: Value) -> PatchOp {
    PatchOp::add(format!("/spec/{name}"), value)
}

/// The change counts only for the record that was decided on.
fn patch(namespace: &str, seen: &Record, mut ops: Vec<PatchOp>) -> Change {
    ops.insert(0, PatchOp::test("/metadata/resourceVersion", seen.version.clone()));
    Change::Patch { target: target(namespace), subresource: None, ops }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_from_what_others_write() {
        let object = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": LEASE, "resourceVersion": "7"},
            "spec": {"holderIdentity": "a_1", "leaseDurationSeconds": 15, "leaseTransitions": 3,
                     "acquireTime": "2026-01-01T00:00:00.000000Z", "renewTime": "2026-01-01T00:00:09.500000Z"},
        });
        let record = Record::of(object).unwrap();
        assert_eq!((record.version.as_str(), record.holder.as_str()), ("7", "a_1"));
        assert_eq!((record.lease, record.transitions), (Duration::from_secs(15), 3));
        let bare = Record::of(json!({"metadata": {"resourceVersion": "1"}})).unwrap();
        assert!(bare.bare && bare.holder.is_empty());
    }

    #[test]
    fn each_change_of_an_existing_lease_counts_only_for_the_version_that_was_seen() {
        let seen = Record { version: "7".into(), ..Record::default() };
        let (lease, now) = (Duration::from_secs(15), Timestamp::UNIX_EPOCH);
        for change in
            [take("ns", &seen, "me", lease, now), renew("ns", &seen, lease, now), release("ns", &seen, now)]
        {
            let Change::Patch { ops, .. } = change else { panic!("a patch") };
            assert_eq!(ops[0], PatchOp::test("/metadata/resourceVersion", "7"));
        }
    }
}
