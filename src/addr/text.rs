//! Addresses, subnets and exclusions as people write them.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use super::{Range, RangeError};

/// Why a text is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// No IP address.
    #[error("`{text}` is not a valid IP address")]
    Address {
        /// What stands there.
        text: String,
    },
    /// No address with a prefix length.
    #[error("`{text}` is not a valid CIDR address")]
    Cidr {
        /// What stands there.
        text: String,
    },
    /// The two ends of a range do not fit.
    #[error("`{text}` is not a valid range")]
    Range {
        /// What stands there.
        text: String,
        /// What does not fit.
        #[source]
        source: RangeError,
    },
}

/// Reads an address of either family, in any of its usual text forms.
///
/// IPv6 zones are refused, as is IPv4 with leading zeros, which some readers take for octal, and IPv4 that is mapped into IPv6:
/// two texts of one address that others take for two.
///
/// # Errors
///
/// [`TextError::Address`] for any other text.
///
/// ```
/// # use ipam::addr::parse_ip;
/// assert_eq!(parse_ip("2001:db8::0005"), parse_ip("2001:db8::5"));
/// assert_eq!(parse_ip("2001:db8::10.0.0.5"), parse_ip("2001:db8::a00:5"));
/// for refused in ["", "10.0.0", "10.0.0.01", "fe80::1%eth0", "::ffff:10.0.0.1", "::ffff:a00:1", " 10.0.0.1"] {
///     assert!(parse_ip(refused).is_err(), "{refused}");
/// }
/// ```
pub fn parse_ip(text: &str) -> Result<IpAddr, TextError> {
    let error = || TextError::Address { text: text.to_owned() };
    let ip: IpAddr = text.parse().map_err(|_| error())?;
    let is_mapped = matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    if is_mapped { Err(error()) } else { Ok(ip) }
}

/// A subnet as written: an address, which need not be the network's first, and a prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    written: IpAddr,
    net: IpNet,
}

impl Cidr {
    /// The address as written, host bits included.
    pub fn written(&self) -> IpAddr {
        self.written
    }

    /// The network's first address.
    pub fn first(&self) -> IpAddr {
        self.net.network()
    }

    /// The network's last address.
    pub fn last(&self) -> IpAddr {
        self.net.broadcast()
    }

    /// Prefix length in bits.
    pub fn prefix(&self) -> u8 {
        self.net.prefix_len()
    }

    /// Whether `ip` lies in the network.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.net.contains(&ip)
    }

    /// All addresses of the network.
    pub fn range(&self) -> Range {
        // The first address of a network is never behind its last.
        Range::new(self.first(), self.last()).unwrap_or(Range::single(self.written))
    }
}

/// Reads `address/prefix`, where the address is any that [`parse_ip`] reads.
///
/// # Errors
///
/// [`TextError::Cidr`] for any other text, and for a prefix length that the family does not have.
pub fn parse_cidr(text: &str) -> Result<Cidr, TextError> {
    let error = || TextError::Cidr { text: text.to_owned() };
    let (ip, prefix) = text.split_once('/').ok_or_else(error)?;
    let written = parse_ip(ip).map_err(|_| error())?;
    if !is_number(prefix) {
        return Err(error());
    }
    let prefix = prefix.parse().map_err(|_| error())?;
    let net = IpNet::new(written, prefix).map_err(|_| error())?;
    Ok(Cidr { written, net })
}

/// Digits without a sign or a leading zero.
fn is_number(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'))
}

/// Reads what is to be left out: an address, a CIDR (all of its network), or `first-last`.
///
/// # Errors
///
/// [`TextError`] for any other text, and for a range whose ends do not fit.
pub fn parse_exclusion(text: &str) -> Result<Range, TextError> {
    if let Some((first, last)) = text.split_once('-') {
        let (first, last) = (parse_ip(first.trim())?, parse_ip(last.trim())?);
        return Range::new(first, last).map_err(|source| TextError::Range { text: text.to_owned(), source });
    }
    if text.contains('/') {
        return Ok(parse_cidr(text)?.range());
    }
    Ok(Range::single(parse_ip(text)?))
}

/// The address after this one, unless it is its family's last.
pub(crate) fn successor(ip: IpAddr) -> Option<IpAddr> {
    match ip {
        IpAddr::V4(ip) => Some(std::net::Ipv4Addr::from_bits(ip.to_bits().checked_add(1)?).into()),
        IpAddr::V6(ip) => Some(Ipv6Addr::from_bits(ip.to_bits().checked_add(1)?).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cidr_keeps_the_address_that_was_written() {
        let cidr = parse_cidr("192.168.1.65/26").unwrap();
        assert_eq!(cidr.written(), parse_ip("192.168.1.65").unwrap());
        assert_eq!(cidr.range().to_string(), "192.168.1.64-192.168.1.127");
    }

    #[test]
    fn a_cidr_of_the_wrong_form_is_refused() {
        for text in [
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "x/8",
            "::ffff:1.2.3.4/8",
        ] {
            assert_eq!(parse_cidr(text), Err(TextError::Cidr { text: text.into() }));
        }
    }

    #[test]
    fn exclusions_come_in_three_forms() {
        let shown = |text| parse_exclusion(text).unwrap().to_string();
        assert_eq!(shown("10.0.0.7"), "10.0.0.7");
        assert_eq!(shown("10.0.0.7/30"), "10.0.0.4-10.0.0.7");
        assert_eq!(shown("fd00::1 - fd00::f"), "fd00::1-fd00::f");
        assert!(matches!(parse_exclusion("10.0.0.2-10.0.0.1"), Err(TextError::Range { .. })));
        assert!(matches!(parse_exclusion("10.0.0.2-::1"), Err(TextError::Range { .. })));
        assert!(parse_exclusion("").is_err());
    }
}
