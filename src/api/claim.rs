//! `IPClaim`: a wish for one address of a pool.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A wish for one address of a pool.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(group = "ipam.metal3.io", version = "v1alpha1", kind = "IPClaim", namespaced, status = "IPClaimStatus")]
#[kube(derive = "PartialEq", derive = "Default")]
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
