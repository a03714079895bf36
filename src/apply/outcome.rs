//! The API server's replies as outcomes of the ledger's writes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;

use super::Reply;
use crate::api::{Family, IPAddress, IPClaim, IPPool, Kind};
use crate::ledger::{Act, Address, Claim, Outcome, Pool, Seen, Text, Write};

/// Why a write was in vain that the API server calls a success.
const UNDONE: &str = "a webhook or a policy undoes what was written";

/// What became of a write, by the reply to its change.
pub fn outcome(write: &Write, reply: Reply) -> Outcome {
    match reply {
        Reply::Object(list) if matches!(write.act, Act::Survey { .. }) => names(&list),
        Reply::Object(object) => match seen(write.kind(), *object) {
            Ok(Some(seen)) if seen.id() == write.object() => {
                if write.is_kept_in(&seen) {
                    Outcome::Seen(seen)
                } else {
                    Outcome::Refused(UNDONE.into())
                }
            }
            Ok(Some(seen)) => Outcome::Unknown(format!(
                "the answer is about {} and not about {}",
                seen.id(),
                write.object()
            )),
            // There is one, and it is none of ours.
            Ok(None) => Outcome::Gone,
            Err(error) => Outcome::Unknown(format!("the object in the answer cannot be read: {error}")),
        },
        Reply::Deleted | Reply::NotFound => Outcome::Gone,
        Reply::NotServed => Outcome::Unknown("its kind is not served".into()),
        Reply::AlreadyExists => Outcome::Exists,
        Reply::GuardFailed { message } => Outcome::GuardFailed(message),
        Reply::Refused { message, .. } => Outcome::Refused(message),
        Reply::NotNow { after, .. } => Outcome::NotNow(after),
        Reply::Unknown { message } => Outcome::Unknown(message),
    }
}

/// The names in a list. An empty one may have no items at all; only its kind tells it from something else.
fn names(list: &Value) -> Outcome {
    if !list["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) {
        return Outcome::Unknown("the answer is no list".into());
    }
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names = items.iter().filter_map(|item| item["metadata"]["name"].as_str().map(Text::from)).collect();
    let complete = list["metadata"]["continue"].as_str().is_none_or(str::is_empty);
    Outcome::Names { names, complete }
}

/// An object as the ledger sees it; none if it is another provider's claim.
fn seen(kind: Kind, object: Value) -> serde_json::Result<Option<Seen>> {
    Ok(match kind {
        Kind::Pool => {
            let Parts { metadata, spec, status } = serde_json::from_value(object)?;
            Some(Seen::Pool(Box::new(Pool::of(&IPPool { metadata, spec, status }))))
        }
        Kind::Claim(Family::Metal3) => {
            let Parts { metadata, spec, status } = serde_json::from_value(object)?;
            Some(Seen::Claim(Box::new(Claim::of_metal3(&IPClaim { metadata, spec, status }))))
        }
        Kind::Claim(Family::Capi) => {
            let Parts { metadata, spec, status } = serde_json::from_value(object)?;
            Claim::of_capi(&metadata, &spec, status.as_ref()).map(|claim| Seen::Claim(Box::new(claim)))
        }
        Kind::Address(Family::Metal3) => {
            let Parts::<_, Value> { metadata, spec, .. } = serde_json::from_value(object)?;
            Some(Seen::Address(Box::new(Address::of_metal3(&IPAddress { metadata, spec }))))
        }
        Kind::Address(Family::Capi) => {
            let Parts::<_, Value> { metadata, spec, .. } = serde_json::from_value(object)?;
            Some(Seen::Address(Box::new(Address::of_capi(&metadata, &spec))))
        }
        Kind::Cluster => return Err(serde::de::Error::custom("nothing is written to that kind")),
    })
}

/// An object as far as it is read. One that is stored without a spec is read as one with an empty one.
#[derive(Deserialize)]
struct Parts<S: Default, T> {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: S,
    #[serde(default = "Option::default")]
    status: Option<T>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use std::collections::BTreeMap;

    use super::*;
    use crate::api::{
        ADOPTED_ANNOTATION, CLAIM_UID_ANNOTATION, CLUSTER_NAME_LABEL, PROVIDER, PROVIDER_LABEL,
    };
    use crate::ledger::{Adoption, Dress, Id, NewOwner, Place, Uid};

    #[test]
    fn an_answer_about_another_object_says_nothing_of_the_one_that_was_asked_for() {
        let kind = Kind::Address(Family::Metal3);
        let (claim, object) = (Id::new(Kind::Claim(Family::Metal3), "ns", "c"), Id::new(kind, "ns", "a"));
        let write =
            Write { number: 1, subject: claim, uid: Uid::new("u"), act: Act::Look { object, known: None } };
        let answer = |name: &str| {
            let spec = json!({"pool": {"name": "p"}, "claim": {"name": "c"}, "address": "10.0.0.1"});
            let object =
                json!({"kind": "IPAddress", "metadata": {"name": name, "namespace": "ns"}, "spec": spec});
            outcome(&write, Reply::Object(Box::new(object)))
        };
        assert!(matches!(answer("a"), Outcome::Seen(_)));
        assert!(matches!(answer("b"), Outcome::Unknown(_)));
        // A list has no name, and no spec either.
        let list = json!({"kind": "IPAddressList", "metadata": {"resourceVersion": "7"}, "items": []});
        assert!(matches!(outcome(&write, Reply::Object(Box::new(list))), Outcome::Unknown(_)));
    }

    /// What becomes of a write, to which the API server answers with this object.
    fn answered(subject: &Id, act: Act, object: Value) -> Outcome {
        let write = Write { number: 1, subject: subject.clone(), uid: Uid::new("u"), act };
        outcome(&write, Reply::Object(Box::new(object)))
    }

    #[test]
    fn a_success_whose_object_has_not_what_was_written_is_none() {
        let claim = Id::new(Kind::Claim(Family::Metal3), "ns", "c");
        let object = |finalizers: Value| {
            let metadata = json!({"name": "c", "namespace": "ns", "uid": "u", "finalizers": finalizers});
            json!({"metadata": metadata, "spec": {"pool": {"name": "p"}}})
        };
        let (with, without) = (object(json!([claim.kind.finalizer()])), object(json!(["other"])));
        let protect = || Act::Protect { append: true };
        assert!(matches!(answered(&claim, protect(), with.clone()), Outcome::Seen(_)));
        assert!(matches!(answered(&claim, protect(), without.clone()), Outcome::Refused(_)));
        // Of two that were there, one may be left.
        let strip = Act::Strip { object: claim.clone(), uid: Uid::new("u"), at: 0 };
        assert!(matches!(answered(&claim, strip, with), Outcome::Seen(_)));
    }

    /// The same object, without a part of its metadata.
    fn without(object: &Value, part: &str) -> Value {
        let mut object = object.clone();
        assert!(object["metadata"].as_object_mut().unwrap().remove(part).is_some(), "{part}");
        object
    }

    #[test]
    fn an_adoption_that_is_undone_in_any_part_is_refused() {
        let (claim, kind) = (Id::new(Kind::Claim(Family::Metal3), "ns", "c"), Kind::Address(Family::Metal3));
        let adoption = || {
            Act::Adopt(Box::new(Adoption {
                address: Id::new(kind, "ns", "a"),
                uid: Uid::new("a"),
                version: 1,
                claim: claim.clone(),
                claim_uid: Uid::new("u"),
                finalizer: Some(false),
                annotations: Some(false),
                owner: Some(Place::First),
            }))
        };
        let owner =
            json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim", "name": "c", "uid": "u"});
        let whole = json!({
            "metadata": {
                "name": "a", "namespace": "ns", "uid": "a", "finalizers": [kind.finalizer()],
                "ownerReferences": [owner],
                "annotations": {CLAIM_UID_ANNOTATION: "u", ADOPTED_ANNOTATION: "1"},
            },
            "spec": {"pool": {"name": "p"}, "claim": {"name": "c"}, "address": "10.0.0.1"},
        });
        assert!(matches!(answered(&claim, adoption(), whole.clone()), Outcome::Seen(_)));
        for part in ["finalizers", "ownerReferences", "annotations"] {
            assert!(
                matches!(answered(&claim, adoption(), without(&whole, part)), Outcome::Refused(_)),
                "{part}"
            );
        }
    }

    #[test]
    fn a_dress_that_is_undone_in_any_part_is_refused() {
        let pool = Id::new(Kind::Pool, "ns", "p");
        let version = "cluster.x-k8s.io/v1beta2";
        let labels = [(CLUSTER_NAME_LABEL, "k"), (PROVIDER_LABEL, PROVIDER)];
        let dress = || {
            let owner = NewOwner {
                api_version: version.into(),
                name: "k".into(),
                uid: Uid::new("k"),
                place: Place::First,
            };
            Act::Dress(Box::new(Dress {
                finalizer: Some(false),
                labels: labels.map(|(key, value)| (key, value.to_owned())).into(),
                has_labels: false,
                owner: Some(owner),
            }))
        };
        let owner = json!({"apiVersion": version, "kind": "Cluster", "name": "k", "uid": "k"});
        let whole = json!({
            "metadata": {
                "name": "p", "namespace": "ns", "uid": "u", "finalizers": [Kind::Pool.finalizer()],
                "ownerReferences": [owner], "labels": BTreeMap::from(labels),
            },
            "spec": {"namePrefix": "p", "clusterName": "k"},
        });
        assert!(matches!(answered(&pool, dress(), whole.clone()), Outcome::Seen(_)));
        for part in ["finalizers", "ownerReferences", "labels"] {
            assert!(matches!(answered(&pool, dress(), without(&whole, part)), Outcome::Refused(_)), "{part}");
        }
        let mut older = whole.clone();
        older["metadata"]["ownerReferences"][0]["apiVersion"] = json!("cluster.x-k8s.io/v1beta1");
        assert!(matches!(answered(&pool, dress(), older), Outcome::Refused(_)));
        // Somebody gave it to another Cluster meanwhile.
        let mut moved = whole;
        moved["spec"]["clusterName"] = json!("other");
        assert!(matches!(answered(&pool, dress(), moved), Outcome::Seen(_)));
    }

    #[test]
    fn an_empty_list_has_no_names_and_what_is_no_list_says_nothing() {
        let list = |items: Value, more: &str| {
            names(
                &json!({"kind": "PartialObjectMetadataList", "metadata": {"continue": more}, "items": items}),
            )
        };
        let some = |of: &[&str], complete| {
            let names = of.iter().map(|&name| Text::from(name)).collect();
            Outcome::Names { names, complete }
        };
        assert_eq!(list(Value::Null, ""), some(&[], true));
        assert_eq!(list(json!([{"metadata": {"name": "a"}}]), ""), some(&["a"], true));
        assert_eq!(list(json!([{"metadata": {"name": "a"}}]), "more"), some(&["a"], false));
        assert!(matches!(names(&json!({"kind": "IPAddress"})), Outcome::Unknown(_)));
    }
}
