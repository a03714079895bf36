//! Addresses as values: ranges, sets of any size, and the space that a pool hands out.
//!
//! IPv4 and IPv6 are alike here, and nothing costs more in a `/8` or a `/64` than in a `/29`: a set is a sorted map of
//! disjoint intervals, never a list of addresses.

mod range;
mod set;
mod space;
mod text;

pub use range::{Range, RangeError};
pub use set::AddressSet;
pub use space::{Entry, Space};
pub(crate) use text::successor;
pub use text::{Cidr, TextError, parse_cidr, parse_exclusion, parse_ip};
