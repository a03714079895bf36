//! The addresses of one pool: what may be handed out, and what is free.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use rand::{Rng, RngExt};

use super::{AddressSet, Cidr, Range};

/// One entry of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Its addresses; none where what was written leaves none.
    pub range: Option<Range>,
    /// The subnet that it lies in.
    pub subnet: Option<Cidr>,
    /// Prefix length that its addresses get.
    pub prefix: Option<u8>,
    /// Gateway that its addresses get.
    pub gateway: Option<IpAddr>,
    /// DNS servers that its addresses get.
    pub dns: Arc<[IpAddr]>,
}

/// The addresses of one pool.
///
/// Entries are used in order and may overlap; an address is handed out once. Picking, taking and giving back are
/// O(log n) in the number of free intervals, times the number of entries.
#[derive(Clone, Debug, Default)]
pub struct Space {
    entries: Vec<Entry>,
    /// Never handed out.
    excluded: AddressSet,
    /// Handed out only to who names them: gateways, network and broadcast addresses.
    withheld: AddressSet,
    /// Handed out only to whom they are reserved for.
    reserved: BTreeSet<IpAddr>,
    free: AddressSet,
    capacity: u128,
}

/// How many uniform draws are made before a random pick settles for what lies next to one.
const DRAWS: u32 = 16;

impl Space {
    /// The space of these entries, all of it free.
    pub fn new(
        entries: Vec<Entry>,
        excluded: AddressSet,
        reserved: impl IntoIterator<Item = IpAddr>,
    ) -> Self {
        let withheld = entries.iter().flat_map(withheld).map(Range::single).collect();
        let mut space = Self { entries, excluded, withheld, reserved: BTreeSet::new(), ..Self::default() };
        space.reserved = reserved.into_iter().filter(|&ip| space.may_name(ip)).collect();
        let mut free: AddressSet = space.entries.iter().filter_map(|entry| entry.range).collect();
        space.excluded.ranges().chain(space.withheld.ranges()).for_each(|range| free.remove(range));
        for &ip in &space.reserved {
            free.take(ip);
        }
        space.capacity = free.len().saturating_add(space.reserved.len() as u128);
        space.free = free;
        space
    }

    /// The first entry that contains `ip`.
    pub fn entry_of(&self, ip: IpAddr) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.range.is_some_and(|range| range.contains(ip)))
    }

    /// Whether a claim may get `ip` by naming it, in a preAllocation or a request: it lies in an entry and is not
    /// excluded.
    pub fn may_name(&self, ip: IpAddr) -> bool {
        self.entry_of(ip).is_some() && !self.excluded.contains(ip)
    }

    /// Whether `ip` is handed out to any claim while it is free: it may be named, is reserved for nobody, and is no
    /// gateway, network or broadcast address.
    pub fn by_choice(&self, ip: IpAddr) -> bool {
        self.may_name(ip) && !self.withheld.contains(ip) && !self.reserved.contains(&ip)
    }

    /// Whether `ip` is reserved, and may be named.
    pub fn is_reserved(&self, ip: IpAddr) -> bool {
        self.reserved.contains(&ip)
    }

    /// Number of addresses that some claim can get, saturating at `u128::MAX`.
    pub fn capacity(&self) -> u128 {
        self.capacity
    }

    /// Number of addresses that any claim can get now, saturating at `u128::MAX`.
    pub fn free(&self) -> u128 {
        self.free.len()
    }

    /// The ranges that any claim can get addresses of now, in order.
    pub fn free_ranges(&self) -> impl Iterator<Item = Range> {
        self.free.ranges()
    }

    /// The entries, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The lowest free address of the first entry that has one.
    pub fn pick_lowest(&self) -> Option<IpAddr> {
        self.ranges().find_map(|range| self.free.first_in(&range))
    }

    /// A free address of the first entry that has one.
    ///
    /// Each of up to 16 draws is uniform over the entry, and one that hits a free address is taken: so far all free
    /// addresses are alike. In an entry so full that none hits, it is the free address next above the last draw (from
    /// the end, the first), which favours those above long runs of held ones.
    pub fn pick_random(&self, rng: &mut impl Rng) -> Option<IpAddr> {
        let range = self.ranges().find(|range| self.free.overlaps(range))?;
        let mut offset = 0;
        for _ in 0..DRAWS {
            offset = rng.random_range(0..range.len());
            let ip = range.nth_wrapping(offset);
            if self.free.contains(ip) {
                return Some(ip);
            }
        }
        self.free.pick_in(&range, offset)
    }

    /// Notes that `ip` is held; true if any claim could have got it before.
    pub fn take(&mut self, ip: IpAddr) -> bool {
        self.free.take(ip)
    }

    /// Notes that `ip` is held no longer; true if any claim can get it now and could not before.
    pub fn give_back(&mut self, ip: IpAddr) -> bool {
        self.by_choice(ip) && self.free.add(ip)
    }

    fn ranges(&self) -> impl Iterator<Item = Range> + '_ {
        self.entries.iter().filter_map(|entry| entry.range)
    }
}

/// Addresses of an entry that nobody gets by chance: its gateway, and in IPv4 subnets that have them, the network and
/// the broadcast address.
fn withheld(entry: &Entry) -> impl Iterator<Item = IpAddr> {
    let subnet = entry.subnet.filter(|subnet| subnet.first().is_ipv4() && subnet.prefix() <= 30);
    let ends = subnet.into_iter().flat_map(|subnet| [subnet.first(), subnet.last()]);
    entry.gateway.into_iter().chain(ends)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::super::{parse_cidr, parse_exclusion, parse_ip};
    use super::*;

    fn range(text: &str) -> Range {
        parse_exclusion(text).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        parse_ip(text).unwrap()
    }

    #[test]
    fn entries_are_used_in_order_and_an_overlap_is_handed_out_once() {
        let entries = ["10.0.0.5-10.0.0.6", "10.0.0.1-10.0.0.5"];
        let entries = entries.map(|text| Entry { range: Some(range(text)), ..Entry::default() });
        let mut space = Space::new(entries.to_vec(), AddressSet::new(), []);
        assert_eq!(space.capacity(), 6);
        let picks: Vec<String> = std::iter::from_fn(|| {
            let pick = space.pick_lowest()?;
            assert!(space.take(pick));
            Some(pick.to_string())
        })
        .collect();
        assert_eq!(picks, ["10.0.0.5", "10.0.0.6", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]);
        assert_eq!(space.pick_random(&mut SmallRng::seed_from_u64(1)), None);
    }

    #[test]
    fn gateway_network_and_broadcast_are_given_only_by_name() {
        let subnet = parse_cidr("10.0.0.0/29").unwrap();
        let entry = Entry {
            range: Some(subnet.range()),
            subnet: Some(subnet),
            gateway: Some(ip("10.0.0.1")),
            ..Entry::default()
        };
        let space = Space::new(vec![entry], AddressSet::new(), [ip("10.0.0.1"), ip("10.0.0.3")]);
        for (text, by_choice) in
            [("10.0.0.0", false), ("10.0.0.1", false), ("10.0.0.2", true), ("10.0.0.7", false)]
        {
            assert!(space.may_name(ip(text)));
            assert_eq!(space.by_choice(ip(text)), by_choice, "{text}");
        }
        // .2 to .6 less the reserved .3, and the two that are reserved.
        assert_eq!((space.free(), space.capacity()), (4, 6));
    }

    #[test]
    fn point_to_point_and_host_subnets_have_no_network_address() {
        for (text, count) in [("10.0.0.0/31", 2), ("10.0.0.0/32", 1), ("fd00::/127", 2), ("fd00::/128", 1)] {
            let subnet = parse_cidr(text).unwrap();
            let entry = Entry { range: Some(subnet.range()), subnet: Some(subnet), ..Entry::default() };
            assert_eq!(Space::new(vec![entry], AddressSet::new(), []).free(), count, "{text}");
        }
    }

    #[test]
    fn an_excluded_address_cannot_be_named() {
        let entry = Entry { range: Some(range("fd00::1-fd00::3")), ..Entry::default() };
        let excluded = [range("fd00::2")].into_iter().collect();
        let mut space = Space::new(vec![entry], excluded, [ip("fd00::2")]);
        assert!(!space.may_name(ip("fd00::2")));
        assert!(!space.give_back(ip("fd00::2")));
        assert_eq!((space.free(), space.capacity()), (2, 2));
    }

    #[test]
    fn the_whole_of_a_family_can_be_a_pool() {
        let mut rng = SmallRng::seed_from_u64(7);
        for text in ["0.0.0.0/0", "::/0"] {
            let entry = Entry { range: Some(parse_cidr(text).unwrap().range()), ..Entry::default() };
            let mut space = Space::new(vec![entry], AddressSet::new(), []);
            let pick = space.pick_random(&mut rng).unwrap();
            assert!(space.take(pick));
            assert!(space.give_back(pick));
        }
    }

    #[test]
    fn a_random_pick_reaches_every_free_address() {
        let entry = Entry { range: Some(range("10.0.0.0-10.0.0.9")), ..Entry::default() };
        let mut space = Space::new(vec![entry], AddressSet::new(), []);
        assert!(space.take(ip("10.0.0.4")));
        let mut rng = SmallRng::seed_from_u64(3);
        let picks: BTreeSet<IpAddr> = (0..500).filter_map(|_| space.pick_random(&mut rng)).collect();
        assert_eq!(picks.len(), 9);
        assert!(!picks.contains(&ip("10.0.0.4")));
    }

    #[test]
    fn random_picks_do_not_favour_the_address_above_a_long_run_of_held_ones() {
        let entry = Entry { range: Some(range("10.0.0.0-10.0.3.231")), ..Entry::default() };
        let mut space = Space::new(vec![entry], AddressSet::new(), []);
        assert_eq!(space.capacity(), 1000);
        for _ in 0..500 {
            let lowest = space.pick_lowest().unwrap();
            assert!(space.take(lowest));
        }
        let (lowest, mut rng) = (space.pick_lowest().unwrap(), SmallRng::seed_from_u64(5));
        let picks = std::iter::repeat_with(|| space.pick_random(&mut rng).unwrap()).take(5000);
        // Ten are its share.
        let often = picks.filter(|pick| *pick == lowest).count();
        assert!((1..50).contains(&often), "{often}");
    }

    fn low(n: u8, v6: bool) -> IpAddr {
        if v6 {
            std::net::Ipv6Addr::from_bits(u128::from(n)).into()
        } else {
            std::net::Ipv4Addr::from(u32::from(n)).into()
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_list_of_addresses(
            v6: bool,
            entries in prop::collection::vec((0..24_u8, 0..24_u8, prop::option::of(0..24_u8)), 0..4),
            excluded in prop::collection::vec((0..24_u8, 0..24_u8), 0..3),
            reserved in prop::collection::vec(0..24_u8, 0..4),
            ops in prop::collection::vec((any::<bool>(), 0..24_u8), 0..40),
            seed: u64,
        ) {
            let span = |a: u8, b: u8| Range::new(low(a.min(b), v6), low(a.max(b), v6)).unwrap();
            let entries: Vec<Entry> = entries.into_iter().map(|(a, b, gateway)| Entry {
                range: Some(span(a, b)), gateway: gateway.map(|n| low(n, v6)), ..Entry::default()
            }).collect();
            let excluded: Vec<Range> = excluded.into_iter().map(|(a, b)| span(a, b)).collect();
            let reserved: BTreeSet<IpAddr> = reserved.into_iter().map(|n| low(n, v6)).collect();

            let within = |ip| entries.iter().any(|e| e.range.unwrap().contains(ip));
            let named = |ip| within(ip) && !excluded.iter().any(|r| r.contains(ip));
            let chosen = |ip| named(ip) && !reserved.contains(&ip) && !entries.iter().any(|e| e.gateway == Some(ip));
            let mut model: BTreeSet<IpAddr> = (0..24).map(|n| low(n, v6)).filter(|&ip| chosen(ip)).collect();

            let mut space = Space::new(entries.clone(), excluded.iter().copied().collect(), reserved.clone());
            let some_claim = (0..24).map(|n| low(n, v6)).filter(|&ip| chosen(ip) || (named(ip) && reserved.contains(&ip)));
            prop_assert_eq!(space.capacity(), some_claim.count() as u128);
            let mut rng = SmallRng::seed_from_u64(seed);
            for (take, n) in ops {
                let ip = low(n, v6);
                if take {
                    prop_assert_eq!(space.take(ip), model.remove(&ip));
                } else {
                    prop_assert_eq!(space.give_back(ip), chosen(ip) && model.insert(ip));
                }
                prop_assert_eq!(space.free(), model.len() as u128);
                let first = entries.iter().find_map(|e| model.range(e.range.unwrap().first()..=e.range.unwrap().last()).next());
                prop_assert_eq!(space.pick_lowest(), first.copied());
                let random = space.pick_random(&mut rng);
                prop_assert_eq!(random.is_some(), first.is_some());
                if let Some(random) = random {
                    let room = entries.iter().find(|e| model.iter().any(|&ip| e.range.unwrap().contains(ip))).unwrap();
                    prop_assert!(model.contains(&random) && room.range.unwrap().contains(random));
                }
            }
        }
    }
}
