//! `IPClaim`: a wish for one address of a pool.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A wish for one address of a pool.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "ipam.metal3.io",
    version = "v1alpha1",
    kind = "IPClaim",
    namespaced,
    status = "IPClaimStatus"
)]
#[kube(derive = "PartialEq", derive = "Default", category = "cluster-api")]
#[kube(
    shortname = "ipc",
    shortname = "ipclaim",
    shortname = "m3ipc",
    shortname = "m3ipclaim",
    shortname = "m3ipclaims"
)]
#[kube(shortname = "metal3ipc", shortname = "metal3ipclaim", shortname = "metal3ipclaims")]
#[kube(label("cluster.x-k8s.io/provider", "ipam-metal3"), label("clusterctl.cluster.x-k8s.io", ""))]
#[kube(label("cluster.x-k8s.io/v1beta1", "v1alpha1"), label("cluster.x-k8s.io/v1beta2", "v1alpha1"))]
#[kube(printcolumn(
    name = "Pool",
    type_ = "string",
    description = "Pool that the claim wants an address of",
    json_path = ".spec.pool.name"
))]
#[kube(printcolumn(
    name = "Address",
    type_ = "string",
    description = "IPAddress object that the claim got",
    json_path = ".status.address.name"
))]
#[kube(printcolumn(
    name = "Ready",
    type_ = "string",
    description = "Whether the claim has its address",
    json_path = ".status.conditions[?(@.type==\"Ready\")].status"
))]
#[kube(printcolumn(
    name = "Age",
    type_ = "date",
    description = "Time since the creation of the claim",
    json_path = ".metadata.creationTimestamp"
))]
#[serde(rename_all = "camelCase")]
pub struct IPClaimSpec {
    /// The pool, which must be in the claim's own namespace.
    pub pool: ObjectReference,
}

/// What became of the claim.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IPClaimStatus {
    /// The IPAddress object that holds the claim's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<ObjectReference>,
    /// Why the claim cannot be served, where that is not going to pass by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// Conditions; `Ready` says whether the claim has its address, and why not.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "super::times::conditions")]
    pub conditions: Vec<Condition>,
}
