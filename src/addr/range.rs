//! A range of addresses of one family.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses from a first to a last one, both included, of one family. It is never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    first: IpAddr,
    last: IpAddr,
}

/// Why two addresses bound no range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// One is IPv4 and the other IPv6.
    #[error("`{first}` and `{last}` are of different families")]
    Families {
        /// The first address given.
        first: IpAddr,
        /// The last address given.
        last: IpAddr,
    },
    /// The last comes before the first.
    #[error("`{last}` is before `{first}`")]
    Order {
        /// The first address given.
        first: IpAddr,
        /// The last address given.
        last: IpAddr,
    },
}

impl Range {
    /// The addresses from `first` to `last`, both included.
    ///
    /// # Errors
    ///
    /// [`RangeError`] where they are of two families, or in the wrong order.
    pub fn new(first: IpAddr, last: IpAddr) -> Result<Self, RangeError> {
        if first.is_ipv4() != last.is_ipv4() {
            return Err(RangeError::Families { first, last });
        }
        if last < first {
            return Err(RangeError::Order { first, last });
        }
        Ok(Self { first, last })
    }

    /// One address.
    pub fn single(ip: IpAddr) -> Self {
        Self { first: ip, last: ip }
    }

    /// All addresses of the family of `ip`.
    pub fn family_of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self { first: Ipv4Addr::UNSPECIFIED.into(), last: Ipv4Addr::BROADCAST.into() },
            IpAddr::V6(_) => {
                Self { first: Ipv6Addr::UNSPECIFIED.into(), last: Ipv6Addr::from_bits(u128::MAX).into() }
            }
        }
    }

    /// The first address.
    pub fn first(&self) -> IpAddr {
        self.first
    }

    /// The last address.
    pub fn last(&self) -> IpAddr {
        self.last
    }

    /// Whether `ip` lies in the range; one of the other family never does.
    pub fn contains(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.first.is_ipv4() && self.first <= ip && ip <= self.last
    }

    /// Number of addresses. The whole of IPv6 has one more than `u128::MAX`, and says `u128::MAX`.
    #[expect(clippy::len_without_is_empty, reason = "a range is never empty")]
    pub fn len(&self) -> u128 {
        self.span().saturating_add(1)
    }

    /// The addresses that both ranges have, if any.
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        if self.first.is_ipv4() != other.first.is_ipv4() {
            return None;
        }
        let (first, last) = (self.first.max(other.first), self.last.min(other.last));
        (first <= last).then_some(Self { first, last })
    }

    /// Whether both ranges have an address in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.intersect(other).is_some()
    }

    /// The `offset`-th address; past the last, it starts over from the first.
    pub(super) fn nth_wrapping(&self, offset: u128) -> IpAddr {
        // A span of u128::MAX is the whole of IPv6: every offset is in it.
        let offset = self.span().checked_add(1).map_or(offset, |len| offset % len);
        from_bits(to_bits(self.first) + offset, self.first)
    }

    /// Distance from the first to the last address.
    fn span(&self) -> u128 {
        to_bits(self.last) - to_bits(self.first)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// The address as a number.
pub(super) fn to_bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// The address with this number, of the family of `like`. A number past the family's last address is that address.
pub(super) fn from_bits(bits: u128, like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX)).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: &str, last: &str) -> Range {
        Range::new(first.parse().unwrap(), last.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_range_has_one_family_and_an_order() {
        let (four, six): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "::1".parse().unwrap());
        assert_eq!(Range::new(four, six), Err(RangeError::Families { first: four, last: six }));
        let low: IpAddr = "10.0.0.0".parse().unwrap();
        assert_eq!(Range::new(four, low), Err(RangeError::Order { first: four, last: low }));
    }

    #[test]
    fn the_length_of_every_range_can_be_told() {
        assert_eq!(range("10.0.0.1", "10.0.0.1").len(), 1);
        assert_eq!(range("0.0.0.0", "255.255.255.255").len(), 1 << 32);
        assert_eq!(range("::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff").len(), u128::MAX);
        assert_eq!(range("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff").len(), u128::MAX);
    }

    #[test]
    fn the_families_do_not_meet() {
        let four = range("0.0.0.0", "255.255.255.255");
        let six = range("::", "::ffff:ffff");
        assert!(!four.overlaps(&six));
        assert!(!four.contains("::5".parse().unwrap()));
    }

    #[test]
    fn offsets_wrap_at_the_end() {
        let six = range("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
        assert_eq!(six.nth_wrapping(u128::MAX), six.last());
        let four = range("255.255.255.254", "255.255.255.255");
        assert_eq!(four.nth_wrapping(3), four.last());
        assert_eq!(four.nth_wrapping(4), four.first());
    }
}
