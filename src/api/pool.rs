//! `IPPool`: the addresses to hand out, and how.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The addresses that claims of this namespace may get, and how they are chosen.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(group = "ipam.metal3.io", version = "v1alpha1", kind = "IPPool", namespaced, status = "IPPoolStatus")]
#[kube(derive = "PartialEq", derive = "Default", category = "cluster-api")]
#[kube(
    shortname = "ipp",
    shortname = "ippool",
    shortname = "m3ipp",
    shortname = "m3ippool",
    shortname = "m3ippools"
)]
#[kube(shortname = "metal3ipp", shortname = "metal3ippool", shortname = "metal3ippools")]
#[kube(label("clusterctl.cluster.x-k8s.io/move-hierarchy", ""))]
#[kube(label("cluster.x-k8s.io/provider", "ipam-metal3"), label("clusterctl.cluster.x-k8s.io", ""))]
#[kube(label("cluster.x-k8s.io/v1beta1", "v1alpha1"), label("cluster.x-k8s.io/v1beta2", "v1alpha1"))]
#[kube(printcolumn(
    name = "Cluster",
    type_ = "string",
    description = "Cluster to which the pool belongs",
    json_path = ".metadata.labels.cluster\\.x-k8s\\.io/cluster-name"
))]
#[kube(printcolumn(
    name = "Capacity",
    type_ = "integer",
    description = "Addresses that the pool can hand out",
    json_path = ".status.capacity"
))]
#[kube(printcolumn(
    name = "Available",
    type_ = "integer",
    description = "Addresses that any claim could still get",
    json_path = ".status.availableIPCount"
))]
#[kube(printcolumn(
    name = "Ready",
    type_ = "string",
    description = "Whether the pool hands out addresses",
    json_path = ".status.conditions[?(@.type==\"Ready\")].status"
))]
#[kube(printcolumn(
    name = "Age",
    type_ = "date",
    description = "Time since the creation of the pool",
    json_path = ".metadata.creationTimestamp"
))]
#[serde(rename_all = "camelCase")]
pub struct IPPoolSpec {
    /// Name of the Cluster of this namespace that the pool belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
    /// Entries, used strictly in the order written: an entry is full before the next is used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<PoolEntry>,
    /// How an address is chosen within an entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation_strategy: Option<AllocationStrategy>,
    /// Addresses reserved for the claim with that name, and for nobody else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pre_allocations: BTreeMap<String, String>,
    /// Prefix length of the addresses, where an entry has none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<i32>,
    /// Gateway of the addresses, where an entry has none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// DNS servers of the addresses, where an entry has none of its own.
    #[serde(default, rename = "dnsServers", skip_serializing_if = "Vec::is_empty")]
    pub dns_servers: Vec<String>,
    /// Prefix of the names of the IPAddress objects.
    pub name_prefix: String,
    /// Addresses, CIDRs and `first-last` ranges that are never handed out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded_addresses: Vec<String>,
}

/// One entry of a pool: a range, a subnet, or a part of a subnet.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PoolEntry {
    /// First address, inclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// Last address, inclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// Bounds the entry; without `start` the first address is the one after the address written here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
    /// Prefix length, in place of the pool's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<i32>,
    /// Gateway, in place of the pool's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// DNS servers, in place of the pool's; an empty list does not override.
    #[serde(default, rename = "dnsServers", skip_serializing_if = "Vec::is_empty")]
    pub dns_servers: Vec<String>,
}

/// How an address is chosen within an entry.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[serde(rename_all = "lowercase")]
pub enum AllocationStrategy {
    /// Any free address, so that a released one is not handed out again at once.
    #[default]
    Random,
    /// The lowest free address.
    Sequential,
}

/// What the controller last saw of the pool. A cache for readers: the IPAddress objects are the truth.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IPPoolStatus {
    /// Address of each claim, by the claim's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub indexes: BTreeMap<String, String>,
    /// When `indexes` last changed.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "super::times::time")]
    pub last_updated: Option<Time>,
    /// Number of addresses that the pool can hand out; absent where it exceeds 63 bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<i64>,
    /// Number of addresses that any claim could still get; absent where it exceeds 63 bits.
    #[serde(default, rename = "availableIPCount", skip_serializing_if = "Option::is_none")]
    pub available_ip_count: Option<i64>,
    /// Conditions; `Ready` says whether the pool hands out addresses, and why not.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "super::times::conditions")]
    pub conditions: Vec<Condition>,
}
