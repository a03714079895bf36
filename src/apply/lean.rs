//! Objects as they come from the API server, without `managedFields`: these are more than half of an object, and nobody
//! here reads them. And how it says that a watch has shown all objects that there were.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::core::watch::Bookmark;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::api::json;

const MANAGED_FIELDS: &str = "managedFields";

/// Whether a bookmark comes after all that there was when the watch began, where that was asked for
/// (`sendInitialEvents`). What follows are changes.
pub fn ends_first_list(mark: &Bookmark) -> bool {
    mark.metadata.annotations.contains_key("k8s.io/initial-events-end")
}

/// The metadata of an object, for `#[serde(deserialize_with)]`: all that a controller decides by.
///
/// # Errors
///
/// Where a field is of another type than in Kubernetes.
pub fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    #[derive(serde::Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Lean {
        name: Option<String>,
        namespace: Option<String>,
        uid: Option<String>,
        resource_version: Option<String>,
        generation: Option<i64>,
        creation_timestamp: Option<Time>,
        deletion_timestamp: Option<Time>,
        finalizers: Option<Vec<String>>,
        labels: Option<std::collections::BTreeMap<String, String>>,
        annotations: Option<std::collections::BTreeMap<String, String>>,
        owner_references: Option<Vec<OwnerReference>>,
    }
    let lean = Lean::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name: lean.name,
        namespace: lean.namespace,
        uid: lean.uid,
        resource_version: lean.resource_version,
        generation: lean.generation,
        creation_timestamp: lean.creation_timestamp,
        deletion_timestamp: lean.deletion_timestamp,
        finalizers: lean.finalizers,
        labels: lean.labels,
        annotations: lean.annotations,
        owner_references: lean.owner_references,
        ..ObjectMeta::default()
    })
}

/// A JSON text as a value, without the `managedFields` of any `metadata`.
///
/// # Errors
///
/// Where it is no JSON.
pub(super) fn value(text: &[u8]) -> serde_json::Result<Value> {
    json::read(text, Lean { in_metadata: false })
}

#[derive(Clone, Copy)]
struct Lean {
    in_metadata: bool,
}

impl json::Wanted for Lean {
    fn item(self) -> Option<Self> {
        Some(Self { in_metadata: false })
    }

    fn member(self, name: &str) -> Option<Self> {
        let is_wanted = !self.in_metadata || name != MANAGED_FIELDS;
        is_wanted.then(|| Self { in_metadata: name == "metadata" })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Value {
        super::value(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn managed_fields_are_left_out_of_objects_and_of_the_items_of_lists() {
        let fields = json!([{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}]);
        let object = |fields: Option<&Value>| {
            let mut object = json!({
                "kind": "IPClaim",
                "metadata": {"name": "a", "labels": {"managedFields": "a label"}, "generation": -1},
                "spec": {"managedFields": [1, 2.5, null, true]},
            });
            if let Some(fields) = fields {
                object["metadata"]["managedFields"] = fields.clone();
            }
            object
        };
        assert_eq!(read(&object(Some(&fields))), object(None));
        let list = |fields| json!({"kind": "List", "metadata": {"continue": ""}, "items": [object(fields)]});
        assert_eq!(read(&list(Some(&fields))), list(None));
    }

    #[test]
    fn what_is_no_json_is_none() {
        for text in ["", "<html>", "{\"a\": 1", "{} {}", "{\"metadata\": {\"managedFields\": [}}"] {
            assert!(value(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn metadata_have_everything_else() {
        #[derive(serde::Deserialize)]
        struct Object {
            #[serde(deserialize_with = "super::metadata")]
            metadata: ObjectMeta,
        }
        let meta = json!({
            "name": "a", "namespace": "ns", "uid": "u", "resourceVersion": "7", "generation": 2,
            "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-02T00:00:00Z",
            "finalizers": ["f"], "labels": {"l": "1"}, "annotations": {"n": "2"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "o", "uid": "v"}],
        });
        let mut whole = meta.clone();
        whole["managedFields"] = json!([{"manager": "m"}]);
        let read: Object = serde_json::from_value(json!({"metadata": whole})).unwrap();
        assert_eq!(serde_json::to_value(&read.metadata).unwrap(), meta);
    }

    /// Any JSON value, with the keys that mean something.
    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            "\\PC{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            let key = prop_oneof![Just("metadata".to_owned()), Just("items".to_owned()), "[a-z]{1,3}"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn without_managed_fields_a_value_is_what_it_is(value in any_value()) {
            prop_assert_eq!(read(&value), value);
        }
    }
}
