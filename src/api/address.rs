//! `IPAddress`: one address that a claim holds.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One address, held by one claim.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(group = "ipam.metal3.io", version = "v1alpha1", kind = "IPAddress", namespaced)]
#[kube(derive = "PartialEq", derive = "Default", category = "metal3", plural = "ipaddresses")]
#[kube(shortname = "ipa", shortname = "ipaddress", shortname = "m3ipa", shortname = "m3ipaddress")]
#[kube(shortname = "m3ipaddresses", shortname = "metal3ipa", shortname = "metal3ipaddress")]
#[kube(shortname = "metal3ipaddresses")]
#[kube(label("cluster.x-k8s.io/provider", "ipam-metal3"), label("clusterctl.cluster.x-k8s.io", ""))]
#[kube(label("cluster.x-k8s.io/v1beta1", "v1alpha1"), label("cluster.x-k8s.io/v1beta2", "v1alpha1"))]
#[kube(printcolumn(
    name = "Address",
    type_ = "string",
    description = "The address",
    json_path = ".spec.address"
))]
#[kube(printcolumn(
    name = "Pool",
    type_ = "string",
    description = "Pool that the address is of",
    json_path = ".spec.pool.name"
))]
#[kube(printcolumn(
    name = "Claim",
    type_ = "string",
    description = "Claim that holds the address",
    json_path = ".spec.claim.name"
))]
#[kube(printcolumn(
    name = "Age",
    type_ = "date",
    description = "Time since the creation of the address",
    json_path = ".metadata.creationTimestamp"
))]
#[serde(rename_all = "camelCase")]
pub struct IPAddressSpec {
    /// The pool that the address is of.
    pub pool: ObjectReference,
    /// The claim that holds it.
    pub claim: ObjectReference,
    /// The address itself.
    pub address: String,
    /// Prefix length of its network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<i32>,
    /// Gateway of its network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// DNS servers of its network.
    #[serde(default, rename = "dnsServers", skip_serializing_if = "Vec::is_empty")]
    pub dns_servers: Vec<String>,
}
