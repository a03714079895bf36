//! Objects as Metal3's own controller leaves them, to take over from; and a Cluster for them to belong to.

use ipam::api::{Family, Kind, PoolReference};
use kube::ResourceExt;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::scene::{Scene, no_finalizers, resource};

/// A UID that no object has.
pub const VANISHED: &str = "00000000-0000-4000-8000-000000000000";

impl Scene {
    /// Creates an object of a kind, and sets its status.
    pub async fn create(&self, kind: Kind, metadata: &Value, spec: &Value, status: &Value) -> DynamicObject {
        let object = json!({
            "apiVersion": kind.resource().api_version(), "kind": kind.name(), "metadata": metadata, "spec": spec,
        });
        let object = serde_json::from_value(object).unwrap();
        let objects = self.of_kind(kind);
        let made = objects.create(&PostParams::default(), &object).await.unwrap();
        if status.is_null() {
            return made;
        }
        self.set_status(kind, &made.name_any(), status).await
    }

    /// Sets these members of an object's status.
    pub async fn set_status(&self, kind: Kind, name: &str, status: &Value) -> DynamicObject {
        let patch = Patch::Merge(json!({ "status": status }));
        self.of_kind(kind).patch_status(name, &PatchParams::default(), &patch).await.unwrap()
    }

    /// Cluster `k`.
    pub async fn create_cluster(&self, paused: bool) -> DynamicObject {
        let spec = json!({"controlPlaneEndpoint": {"host": "10.9.9.9", "port": 6443}, "paused": paused});
        self.create(Kind::Cluster, &json!({"name": "k"}), &spec, &Value::Null).await
    }

    pub async fn pause_cluster(&self, paused: bool) {
        let patch = Patch::Merge(json!({"spec": {"paused": paused}}));
        self.of_kind(Kind::Cluster).patch("k", &PatchParams::default(), &patch).await.unwrap();
    }

    /// Pool `p` of Cluster `k`, 10.0.0.1 to 10.0.0.20, with these indexes in its status.
    pub async fn metal3_pool(&self, indexes: Value) -> DynamicObject {
        let cluster = self.create_cluster(false).await;
        let metadata = json!({
            "name": "p",
            "labels": {"cluster.x-k8s.io/cluster-name": "k", "cluster.x-k8s.io/provider": "ipam-metal3"},
            "finalizers": ["ippool.ipam.metal3.io"],
            "ownerReferences": [owner(Kind::Cluster, &cluster, json!(false))],
        });
        let spec = json!({
            "clusterName": "k", "namePrefix": "p", "prefix": 24, "gateway": "10.0.0.254",
            "pools": [{"start": "10.0.0.1", "end": "10.0.0.20"}],
        });
        let status = json!({"indexes": indexes, "lastUpdated": "2024-05-06T07:08:09Z"});
        self.create(Kind::Pool, &metadata, &spec, &status).await
    }

    /// A claim that holds its finalizer and shows this status.
    pub async fn metal3_claim(&self, name: &str, annotations: Value, status: Value) -> DynamicObject {
        let kind = Kind::Claim(self.family);
        let metadata = json!({"name": name, "finalizers": [kind.finalizer()], "annotations": annotations, "labels": {"of": name}});
        self.create(kind, &metadata, &claim_spec(self.family), &status).await
    }

    /// A claim that publishes this address, and the address object.
    pub async fn metal3_bound(&self, pool: &DynamicObject, name: &str, ip: &str) -> [DynamicObject; 2] {
        let claim = self.metal3_claim(name, Value::Null, self.metal3_bound_status(ip)).await;
        let address = self.metal3_address(pool, name, ip, &[claim.uid().unwrap()]).await;
        [claim, address]
    }

    /// What a bound claim shows. `Ready` would have had no reason, which the schema of Cluster API's kind refuses, so
    /// no condition was ever stored.
    pub fn metal3_bound_status(&self, ip: &str) -> Value {
        let name = address_name(ip);
        match self.family {
            Family::Metal3 => json!({"address": {"name": name, "namespace": self.namespace}}),
            Family::Capi => json!({"addressRef": {"name": name}}),
        }
    }

    /// What a claim shows that could not be served.
    pub fn metal3_failed_status(&self, error: &str, reason: &str) -> Value {
        match self.family {
            Family::Metal3 => json!({ "errorMessage": error }),
            Family::Capi => json!({"conditions": [{
                "type": "Ready", "status": "False", "reason": reason, "message": error,
                "lastTransitionTime": "2024-05-06T07:08:09Z",
            }]}),
        }
    }

    /// An address object for a claim, with an owner reference to each claim of these UIDs.
    pub async fn metal3_address(
        &self,
        pool: &DynamicObject,
        claim: &str,
        ip: &str,
        claim_uids: &[String],
    ) -> DynamicObject {
        let (kind, claims) = (Kind::Address(self.family), Kind::Claim(self.family));
        let mut owners = vec![owner(Kind::Pool, pool, Value::Null)];
        owners.extend(claim_uids.iter().map(|uid| {
            json!({"apiVersion": claims.resource().api_version(), "kind": claims.name(), "name": claim, "uid": uid})
        }));
        let metadata = json!({
            "name": address_name(ip), "finalizers": [kind.finalizer()], "labels": {"of": claim},
            "ownerReferences": owners,
        });
        // Not what the pool says now: it was changed since.
        let mut spec = json!({"address": ip, "prefix": 22, "gateway": "10.0.3.1"});
        match self.family {
            Family::Metal3 => {
                spec["pool"] = json!({"name": "p", "namespace": self.namespace});
                spec["claim"] = json!({"name": claim, "namespace": self.namespace});
            }
            Family::Capi => {
                spec["poolRef"] = json!(PoolReference::to("p"));
                spec["claimRef"] = json!({ "name": claim });
            }
        }
        self.create(kind, &metadata, &spec, &Value::Null).await
    }

    /// The API server forgets an object, whoever holds it.
    pub async fn tear_away(&self, kind: Kind, name: &str) {
        let objects = self.of_kind(kind);
        objects.patch(name, &PatchParams::default(), &no_finalizers()).await.unwrap();
        objects.delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// An object as it is now.
    pub async fn get(&self, kind: Kind, name: &str) -> DynamicObject {
        self.of_kind(kind).get(name).await.unwrap()
    }
}

/// Spec of a claim on pool `p`.
pub fn claim_spec(family: Family) -> Value {
    match family {
        Family::Metal3 => json!({"pool": {"name": "p"}}),
        Family::Capi => json!({"poolRef": PoolReference::to("p")}),
    }
}

/// Name of the address object of pool `p` for an address.
pub fn address_name(ip: &str) -> String {
    format!("p-{}", ip.replace('.', "-"))
}

/// An owner reference to an object; `controller` is left out where it is null.
pub fn owner(kind: Kind, object: &DynamicObject, controller: Value) -> Value {
    let mut owner = json!({
        "apiVersion": resource(kind).api_version, "kind": kind.name(), "name": object.name_any(), "uid": object.uid(),
    });
    if !controller.is_null() {
        owner["controller"] = controller;
    }
    owner
}
