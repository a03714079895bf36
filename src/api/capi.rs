//! Cluster API's claims and addresses, as far as they are read here. The kinds themselves are Cluster API's.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{GROUP, Kind};

/// Spec of an `IPAddressClaim`.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct IPAddressClaimSpec {
    /// The pool, of whatever provider.
    #[serde(default)]
    pub pool_ref: PoolReference,
}

/// Status of an `IPAddressClaim`.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct IPAddressClaimStatus {
    /// The address object that holds the claim's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address_ref: Option<NameReference>,
    /// Conditions, in the form of the version that was read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Value>,
    /// What else stands there, such as conditions in the form of another version.
    #[serde(flatten)]
    pub others: serde_json::Map<String, Value>,
}

/// Spec of Cluster API's `IPAddress`. It has no place for DNS servers.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CapiAddressSpec {
    /// The claim that holds the address.
    #[serde(default)]
    pub claim_ref: NameReference,
    /// The pool that the address is of.
    #[serde(default)]
    pub pool_ref: PoolReference,
    /// The address itself.
    #[serde(default)]
    pub address: String,
    /// Prefix length of its network. The kind requires one: 0 where none is known, as the replaced controller writes.
    #[serde(default)]
    pub prefix: i32,
    /// Gateway of its network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
}

/// A reference to an object of a known kind in the same namespace.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct NameReference {
    /// Its name.
    #[serde(default)]
    pub name: String,
}

/// A reference to a pool, of whatever provider, in the same namespace.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PoolReference {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its kind.
    #[serde(default)]
    pub kind: String,
    /// Its API group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_group: Option<String>,
}

impl PoolReference {
    /// A reference to an `IPPool` of this project.
    pub fn to(name: &str) -> Self {
        Self { name: name.to_owned(), kind: Kind::Pool.name().to_owned(), api_group: Some(GROUP.to_owned()) }
    }

    /// Name of the pool, if it is one of this project: group and kind decide, as providers share names.
    pub fn ours(&self) -> Option<&str> {
        let is_ours = self.api_group.as_deref() == Some(GROUP) && self.kind == Kind::Pool.name();
        is_ours.then_some(self.name.as_str())
    }
}
