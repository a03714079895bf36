//! The kinds as Rust types, and every name that other software relies on. The CRDs are generated from here.

mod address;
mod claim;
mod kind;
mod names;
mod pool;

pub use address::{IPAddress, IPAddressSpec};
pub use claim::{IPClaim, IPClaimSpec, IPClaimStatus};
pub use kind::{Family, Kind, Resource};
pub use names::*;
pub use pool::{AllocationStrategy, IPPool, IPPoolSpec, IPPoolStatus, PoolEntry};
