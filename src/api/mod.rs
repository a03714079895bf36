//! The kinds as Rust types, and every name that other software relies on. The CRDs are generated from here.

mod address;
mod capi;
mod claim;
mod cluster;
mod crd;
pub mod json;
mod kind;
mod names;
mod pool;
mod rules;
mod times;

pub use address::{IPAddress, IPAddressSpec};
pub use capi::{CapiAddressSpec, IPAddressClaimSpec, IPAddressClaimStatus, NameReference, PoolReference};
pub use claim::{IPClaim, IPClaimSpec, IPClaimStatus};
pub use cluster::ClusterSpec;
pub use crd::crd_files;
pub use kind::{CapiVersion, Family, Kind, Resource};
pub use names::*;
pub use pool::{AllocationStrategy, IPPool, IPPoolSpec, IPPoolStatus, PoolEntry};
pub use rules::{NOT_AN_IP, OUT_OF_BOUNDS, PoolRules, Violation, too_long};
