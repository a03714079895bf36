//! Which pools there are, and which address of them the floor takes n-th.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};

/// First IPv4 address that is handed out.
const FIRST: u32 = 0x0a00_0002;

/// The pools of a scenario.
#[derive(Clone, Copy)]
pub enum Layout {
    /// So many pools, each of an IPv4 network that has room for all claims.
    Wide(usize),
    /// One pool of so many addresses, which are handed out at random, or the lowest first.
    Narrow(usize, Strategy),
    /// One pool of an IPv6 /64, handed out at random.
    Sixtyfour,
}

/// Which address is chosen.
#[derive(Clone, Copy)]
pub enum Strategy {
    Random,
    Sequential,
}

impl Layout {
    /// Number of pools.
    pub fn pools(self) -> usize {
        match self {
            Self::Wide(pools) => pools,
            Self::Narrow(..) | Self::Sixtyfour => 1,
        }
    }

    /// Name of the pool that the n-th claim is of.
    pub fn pool_of(self, n: usize) -> String {
        format!("p{}", n % self.pools())
    }

    /// The spec of the n-th pool.
    pub fn spec(self, pool: usize) -> Value {
        let (entry, prefix, strategy) = match self {
            Self::Wide(1) => (json!({"subnet": "10.0.0.0/8"}), 8, Strategy::Sequential),
            Self::Wide(_) => (json!({"subnet": format!("10.{pool}.0.0/16")}), 16, Strategy::Sequential),
            Self::Narrow(count, strategy) => {
                let last = ipv4(u32::try_from(count - 1).expect("a pool for one bench"));
                (json!({"start": ipv4(0), "end": last}), 8, strategy)
            }
            Self::Sixtyfour => (json!({"subnet": "fd00::/64"}), 64, Strategy::Random),
        };
        let strategy = match strategy {
            Strategy::Random => "random",
            Strategy::Sequential => "sequential",
        };
        json!({"namePrefix": format!("p{pool}"), "pools": [entry], "prefix": prefix, "allocationStrategy": strategy})
    }

    /// Prefix length of the addresses.
    pub fn prefix(self) -> u8 {
        match self {
            Self::Wide(1) | Self::Narrow(..) => 8,
            Self::Wide(_) => 16,
            Self::Sixtyfour => 64,
        }
    }

    /// The address that the floor gives to the n-th claim.
    pub fn address(self, n: usize) -> IpAddr {
        let small = |n: usize| u32::try_from(n).expect("fewer claims");
        match self {
            Self::Wide(1) | Self::Narrow(..) => IpAddr::V4(ipv4(small(n))),
            Self::Wide(pools) => {
                let network = small(n % pools) << 16;
                IpAddr::V4(Ipv4Addr::from_bits(ipv4(small(n / pools)).to_bits() + network))
            }
            Self::Sixtyfour => IpAddr::V6(Ipv6Addr::from_bits((0xfd00 << 112) + n as u128 + 2)),
        }
    }
}

fn ipv4(n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(FIRST + n)
}
