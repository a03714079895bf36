//! The Secret in which the replicas share their certificates, and the webhook configurations that trust them: objects →
//! what is stored, and what is stored → changes.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::plan::Stored;
use crate::admission::Task;
use crate::admission::pki::{self, Pair};
use crate::api::{PROVIDER, PROVIDER_LABEL, Resource};
use crate::apply::{Change, PatchOp, Target};

/// The Secret of this name.
pub(super) fn secret(namespace: &str, name: &str) -> Target {
    let resource = Resource { group: "", version: "v1".into(), kind: "Secret", plural: "secrets" };
    Target { resource, namespace: namespace.into(), name: name.into() }
}

/// The webhook configuration of this name: that of the defaults or that of the rules.
pub(super) fn configuration(task: Task, name: &str) -> Target {
    let (kind, plural) = match task {
        Task::Mutate => ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
        Task::Validate => ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations"),
    };
    let resource = Resource { group: "admissionregistration.k8s.io", version: "v1".into(), kind, plural };
    Target { resource, namespace: String::new(), name: name.into() }
}

/// What a Secret holds; `None` where something is missing.
pub(super) fn read(secret: &Value) -> Option<Stored> {
    let text = |key: &str| {
        let ByteString(bytes) = serde_json::from_value(secret["data"][key].clone()).ok()?;
        String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
    };
    let mut authorities = pki::certificates(&text("ca.crt")?).into_iter();
    Some(Stored {
        authority: Pair { certificate: authorities.next()?, key: text("ca.key")? },
        earlier: authorities.collect(),
        serving: Pair { certificate: text("tls.crt")?, key: text("tls.key")? },
    })
}

fn data(stored: &Stored) -> BTreeMap<&'static str, ByteString> {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    BTreeMap::from([
        ("ca.crt", bytes(&stored.bundle())),
        ("ca.key", bytes(&stored.authority.key)),
        ("tls.crt", bytes(&stored.serving.certificate)),
        ("tls.key", bytes(&stored.serving.key)),
    ])
}

/// Stores for the first time. The name is the lock: of several replicas one succeeds.
pub(super) fn create(target: Target, stored: &Stored) -> Change {
    let metadata = json!({"labels": {PROVIDER_LABEL: PROVIDER}});
    let object = json!({"metadata": metadata, "type": "kubernetes.io/tls", "data": data(stored)});
    Change::Create { target, object }
}

/// Stores in place of what `old` holds, unless somebody has changed that meanwhile.
pub(super) fn replace(target: Target, old: &Value, stored: &Stored) -> Change {
    let version = old["metadata"]["resourceVersion"].clone();
    let ops =
        vec![PatchOp::test("/metadata/resourceVersion", version), PatchOp::add("/data", json!(data(stored)))];
    Change::Patch { target, subresource: None, ops }
}

/// Makes the webhooks of a configuration trust these authorities; `None` where all do.
///
/// An operation goes by a webhook's place in the list, so its name at that place is tested first.
pub(super) fn trust(target: Target, configuration: &Value, bundle: &str) -> Option<Change> {
    let bundle = json!(ByteString(bundle.as_bytes().to_vec()));
    let webhooks = configuration["webhooks"].as_array()?;
    let lacking =
        webhooks.iter().enumerate().filter(|(_, webhook)| webhook["clientConfig"]["caBundle"] != bundle);
    let ops: Vec<PatchOp> = lacking
        .flat_map(|(at, webhook)| {
            let path = format!("/webhooks/{at}");
            let name = PatchOp::test(format!("{path}/name"), webhook["name"].clone());
            [name, PatchOp::add(format!("{path}/clientConfig/caBundle"), bundle.clone())]
        })
        .collect();
    (!ops.is_empty()).then_some(Change::Patch { target, subresource: None, ops })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> Stored {
        let mut stored = Stored::new(&["s.ns.svc".to_owned()], 1_800_000_000).unwrap();
        stored.earlier = vec![pki::authority(1_700_000_000).unwrap().certificate];
        stored
    }

    #[test]
    fn what_was_stored_is_read_again() {
        let stored = stored();
        let Change::Create { object, .. } = create(secret("ns", "s"), &stored) else { panic!() };
        assert_eq!(object["type"], "kubernetes.io/tls");
        assert_eq!(read(&object), Some(stored));
        for key in ["ca.crt", "ca.key", "tls.crt", "tls.key"] {
            let mut lacking = object.clone();
            lacking["data"][key] = Value::Null;
            assert_eq!(read(&lacking), None, "{key}");
        }
    }

    #[test]
    fn a_secret_is_replaced_only_as_it_was_read() {
        let old = json!({"metadata": {"resourceVersion": "7"}});
        let Change::Patch { ops, .. } = replace(secret("ns", "s"), &old, &stored()) else { panic!() };
        assert_eq!(ops[0], PatchOp::test("/metadata/resourceVersion", "7"));
    }

    #[test]
    fn webhooks_that_lack_the_bundle_get_it_by_name_and_place() {
        let bundle = json!(ByteString(b"ca".to_vec()));
        let configuration = json!({"webhooks": [
            {"name": "a", "clientConfig": {"caBundle": bundle}},
            {"name": "b", "clientConfig": {}},
            {"name": "c", "clientConfig": {"caBundle": "b2xk"}},
        ]});
        let target = || super::configuration(Task::Mutate, "w");
        let Some(Change::Patch { ops, .. }) = trust(target(), &configuration, "ca") else { panic!() };
        assert_eq!(
            json!(ops),
            json!([
                {"op": "test", "path": "/webhooks/1/name", "value": "b"},
                {"op": "add", "path": "/webhooks/1/clientConfig/caBundle", "value": bundle},
                {"op": "test", "path": "/webhooks/2/name", "value": "c"},
                {"op": "add", "path": "/webhooks/2/clientConfig/caBundle", "value": bundle},
            ])
        );
        let all_trust = json!({"webhooks": [{"name": "a", "clientConfig": {"caBundle": bundle}}]});
        assert_eq!(trust(target(), &all_trust, "ca"), None);
        assert_eq!(trust(target(), &json!({}), "ca"), None);
    }
}
