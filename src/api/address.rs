//! `IPAddress`: one address that a claim holds.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// One address, held by one claim.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(group = "ipam.metal3.io", version = "v1alpha1", kind = "IPAddress", namespaced)]
#[kube(derive = "PartialEq", derive = "Default")]
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
