//! A set of addresses of any size.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Range;
use super::range::{from_bits, to_bits};

/// A set of addresses of both families, kept as disjoint intervals that do not touch.
///
/// Operations on one address are O(log n) in the number of intervals; the number of addresses does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AddressSet {
    v4: Intervals,
    v6: Intervals,
}

/// Disjoint intervals that do not touch, by their first number, and how many numbers they hold together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Intervals {
    ends: BTreeMap<u128, u128>,
    /// Saturates: the whole of IPv6 has one address more than a `u128` can say.
    count: u128,
}

impl AddressSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds all addresses of `range`.
    pub fn insert(&mut self, range: Range) {
        self.of_mut(range.first()).insert(to_bits(range.first()), to_bits(range.last()));
    }

    /// Removes all addresses of `range`.
    pub fn remove(&mut self, range: Range) {
        self.of_mut(range.first()).remove(to_bits(range.first()), to_bits(range.last()));
    }

    /// Adds one address; true if it was absent.
    pub fn add(&mut self, ip: IpAddr) -> bool {
        let absent = !self.contains(ip);
        if absent {
            self.insert(Range::single(ip));
        }
        absent
    }

    /// Removes one address; true if it was present.
    pub fn take(&mut self, ip: IpAddr) -> bool {
        let present = self.contains(ip);
        if present {
            self.remove(Range::single(ip));
        }
        present
    }

    /// Whether `ip` is in the set.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.of(ip).first_at(to_bits(ip)) == Some(to_bits(ip))
    }

    /// Number of addresses, saturating at `u128::MAX`. O(1).
    pub fn len(&self) -> u128 {
        self.v4.count.saturating_add(self.v6.count)
    }

    /// Number of addresses in `range`, saturating. Linear in the number of intervals there.
    pub fn len_in(&self, range: &Range) -> u128 {
        let (first, last) = (to_bits(range.first()), to_bits(range.last()));
        let inside = self.of(range.first()).within(first, last);
        inside.fold(0, |sum: u128, (start, end)| sum.saturating_add((end - start).saturating_add(1)))
    }

    /// Whether no address is in the set.
    pub fn is_empty(&self) -> bool {
        self.v4.ends.is_empty() && self.v6.ends.is_empty()
    }

    /// The lowest address that is in the set and in `range`.
    pub fn first_in(&self, range: &Range) -> Option<IpAddr> {
        self.first_from(range.first(), range)
    }

    /// The first address of the set at or after the `offset`-th address of `range`; from the range's last address it
    /// goes on at its first.
    pub fn pick_in(&self, range: &Range, offset: u128) -> Option<IpAddr> {
        self.first_from(range.nth_wrapping(offset), range).or_else(|| self.first_in(range))
    }

    /// The intervals in order, IPv4 first.
    pub fn ranges(&self) -> impl Iterator<Item = Range> {
        self.v4.ranges(Ipv4Addr::UNSPECIFIED.into()).chain(self.v6.ranges(Ipv6Addr::UNSPECIFIED.into()))
    }

    /// Whether an address of `range` is in the set.
    pub fn overlaps(&self, range: &Range) -> bool {
        self.first_in(range).is_some()
    }

    fn first_from(&self, from: IpAddr, range: &Range) -> Option<IpAddr> {
        let found = self.of(from).first_at(to_bits(from))?;
        (found <= to_bits(range.last())).then(|| from_bits(found, from))
    }

    fn of(&self, ip: IpAddr) -> &Intervals {
        if ip.is_ipv4() { &self.v4 } else { &self.v6 }
    }

    fn of_mut(&mut self, ip: IpAddr) -> &mut Intervals {
        if ip.is_ipv4() { &mut self.v4 } else { &mut self.v6 }
    }
}

impl Extend<Range> for AddressSet {
    fn extend<T: IntoIterator<Item = Range>>(&mut self, ranges: T) {
        ranges.into_iter().for_each(|range| self.insert(range));
    }
}

impl FromIterator<Range> for AddressSet {
    fn from_iter<T: IntoIterator<Item = Range>>(ranges: T) -> Self {
        let mut set = Self::new();
        set.extend(ranges);
        set
    }
}

impl Intervals {
    /// The lowest number at or after `from`.
    fn first_at(&self, from: u128) -> Option<u128> {
        let before = self.ends.range(..=from).next_back();
        if before.is_some_and(|(_, &end)| from <= end) {
            return Some(from);
        }
        self.ends.range(from..).next().map(|(&start, _)| start)
    }

    fn ranges(&self, like: IpAddr) -> impl Iterator<Item = Range> + '_ {
        let ends = self.ends.iter();
        ends.filter_map(move |(&start, &end)| Range::new(from_bits(start, like), from_bits(end, like)).ok())
    }

    /// The parts of the intervals that lie between two numbers, both included.
    fn within(&self, first: u128, last: u128) -> impl Iterator<Item = (u128, u128)> + '_ {
        let before = self.ends.range(..first).next_back().filter(move |(_, end)| **end >= first);
        let after = self.ends.range(first..=last);
        before.into_iter().chain(after).map(move |(&start, &end)| (start.max(first), end.min(last)))
    }

    fn insert(&mut self, first: u128, last: u128) {
        let (mut start, mut end) = (first, last);
        // Whatever overlaps the new interval or touches it becomes part of it.
        let reach = last.saturating_add(1);
        while let Some((&other, &other_end)) = self.ends.range(..=reach).next_back() {
            if other_end.saturating_add(1) < start {
                break;
            }
            (start, end) = (start.min(other), end.max(other_end));
            self.drop_interval(other, other_end);
        }
        self.add_interval(start, end);
    }

    fn remove(&mut self, first: u128, last: u128) {
        while let Some((&start, &end)) = self.ends.range(..=last).next_back() {
            if end < first {
                break;
            }
            self.drop_interval(start, end);
            if start < first {
                self.add_interval(start, first - 1);
            }
            if end > last {
                self.add_interval(last + 1, end);
            }
        }
    }

    fn add_interval(&mut self, start: u128, end: u128) {
        self.ends.insert(start, end);
        self.count = self.count.saturating_add((end - start).saturating_add(1));
    }

    fn drop_interval(&mut self, start: u128, end: u128) {
        self.ends.remove(&start);
        // The whole of IPv6 is the one interval whose length the count cannot say; without it nothing is left.
        self.count = if self.ends.is_empty() { 0 } else { self.count - (end - start + 1) };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Eight addresses at each border of both families, so that everything happens near an edge.
    fn border(n: usize) -> IpAddr {
        let low = u32::try_from(n % 8).unwrap();
        match n / 8 {
            0 => Ipv4Addr::from_bits(low).into(),
            1 => Ipv4Addr::from_bits(u32::MAX - low).into(),
            2 => Ipv6Addr::from_bits(u128::from(low)).into(),
            _ => Ipv6Addr::from_bits(u128::MAX - u128::from(low)).into(),
        }
    }

    fn range_at(side: usize, a: usize, b: usize) -> Range {
        let (a, b) = (border(side * 8 + a), border(side * 8 + b));
        Range::new(a.min(b), a.max(b)).unwrap()
    }

    fn all() -> impl Iterator<Item = IpAddr> {
        (0..32).map(border)
    }

    proptest! {
        #[test]
        fn behaves_as_a_set_of_addresses(ops in prop::collection::vec((any::<bool>(), 0..4_usize, 0..8_usize, 0..8_usize), 0..40)) {
            let (mut set, mut model) = (AddressSet::new(), BTreeSet::new());
            for (add, side, a, b) in ops {
                let range = range_at(side, a, b);
                if add { set.insert(range) } else { set.remove(range) }
                for ip in all().filter(|&ip| range.contains(ip)) {
                    if add { model.insert(ip); } else { model.remove(&ip); }
                }
                prop_assert_eq!(set.len(), u128::try_from(model.len()).unwrap());
                for ip in all() {
                    prop_assert_eq!(set.contains(ip), model.contains(&ip));
                }
                prop_assert_eq!(set.first_in(&range), model.range(range.first()..=range.last()).next().copied());
                prop_assert_eq!(set.len_in(&range), u128::try_from(model.range(range.first()..=range.last()).count()).unwrap());
                for offset in 0..9 {
                    let from = range.nth_wrapping(offset);
                    let next = model.range(from..=range.last()).next().or_else(|| model.range(range.first()..=range.last()).next());
                    prop_assert_eq!(set.pick_in(&range, offset), next.copied());
                }
                let ranges: Vec<Range> = set.ranges().collect();
                prop_assert!(ranges.iter().zip(ranges.iter().skip(1)).all(|(a, b)| !Range::new(a.last(), b.first()).is_ok_and(|gap| gap.len() <= 2)));
            }
        }
    }

    #[test]
    fn the_whole_of_both_families_can_be_held_and_taken_apart() {
        for ip in ["10.0.0.1", "2001:db8::1"] {
            let ip: IpAddr = ip.parse().unwrap();
            let mut set = AddressSet::new();
            set.insert(Range::family_of(ip));
            let whole = set.clone();
            assert_eq!(set.len(), Range::family_of(ip).len());
            assert!(set.take(ip));
            assert!(!set.take(ip));
            assert!(set.add(ip));
            assert!(!set.add(ip));
            assert_eq!(set.ranges().collect::<Vec<_>>(), [Range::family_of(ip)]);
            assert_eq!(set.first_in(&Range::family_of(ip)), whole.first_in(&Range::family_of(ip)));
            set.remove(Range::family_of(ip));
            assert!(set.is_empty());
            assert_eq!(set.len(), 0);
        }
    }
}
