//! Where the used, reserved, excluded and free addresses of a pool lie, for pools of any size.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use console::{Style, measure_text_width};
use ipam::addr::{AddressSet, Range};
use ipam::api::PoolRules;
use serde::{Serialize, Serializer};

use crate::output::count;
use crate::world::Tally;

/// What an address is to its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    Used,
    Reserved,
    Excluded,
    /// Gateway, network or broadcast address: handed out only to who names it.
    Withheld,
    Free,
}

/// Addresses in a row that are alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Segment {
    #[serde(serialize_with = "text")]
    pub first: IpAddr,
    #[serde(serialize_with = "text")]
    pub last: IpAddr,
    /// Decimal, as it may exceed what JSON numbers hold.
    #[serde(serialize_with = "text")]
    pub count: u128,
    pub state: State,
}

fn text<S: Serializer>(value: &impl ToString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.to_string())
}

/// One entry of a pool, taken apart; the segments lie side by side and fill it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    #[serde(serialize_with = "text")]
    pub first: IpAddr,
    #[serde(serialize_with = "text")]
    pub last: IpAddr,
    pub segments: Vec<Segment>,
}

/// The entries of a pool, taken apart.
pub fn entries(rules: &PoolRules, tally: &Tally) -> Vec<Entry> {
    let space = rules.space();
    let free: AddressSet = space.free_ranges().collect();
    let reserved: AddressSet = rules.pre_allocations.values().map(|&ip| Range::single(ip)).collect();
    let used: AddressSet = tally.held.iter().map(|&ip| Range::single(ip)).collect();
    let entries = rules.entries.iter().filter_map(|entry| entry.range);
    entries
        .map(|range| {
            let mut rest = AddressSet::from_iter([range]);
            let mut segments = Vec::new();
            let sets = [
                (State::Used, &used),
                (State::Excluded, &rules.excluded),
                (State::Reserved, &reserved),
                (State::Free, &free),
            ];
            for (state, set) in sets {
                let parts: Vec<Range> = within(&rest, set);
                for part in parts {
                    rest.remove(part);
                    segments.push(Segment::new(part, state));
                }
            }
            segments.extend(rest.ranges().map(|part| Segment::new(part, State::Withheld)));
            segments.sort_by_key(|segment| segment.first);
            Entry { first: range.first(), last: range.last(), segments }
        })
        .collect()
}

/// The ranges that are in both sets.
fn within(a: &AddressSet, b: &AddressSet) -> Vec<Range> {
    let mut found = Vec::new();
    let (mut left, mut right) = (a.ranges().peekable(), b.ranges().peekable());
    while let (Some(x), Some(y)) = (left.peek().copied(), right.peek().copied()) {
        found.extend(x.intersect(&y));
        // Ranges come in order, IPv4 first, which is the order of addresses.
        if x.last() < y.last() {
            left.next()
        } else {
            right.next()
        };
    }
    found
}

impl Segment {
    fn new(range: Range, state: State) -> Self {
        Self { first: range.first(), last: range.last(), count: range.len(), state }
    }

    fn range(&self) -> Option<Range> {
        Range::new(self.first, self.last).ok()
    }
}

const SYMBOLS: [(State, char, &str); 5] = [
    (State::Used, '#', "used"),
    (State::Reserved, 'r', "reserved"),
    (State::Excluded, 'x', "excluded"),
    (State::Withheld, '-', "gateway, network, broadcast"),
    (State::Free, '.', "free"),
];

/// Rows that a picture has at most.
const ROWS: u128 = 16;

/// The entries as a picture that fits into `width` columns.
pub fn picture(entries: &[Entry], width: usize) -> String {
    let scales = entries.iter().map(|entry| Scale::of(entry, width));
    let drawn: Vec<(String, bool)> =
        entries.iter().zip(scales).map(|(entry, scale)| (draw(entry, &scale), scale.a_cell > 1)).collect();
    let mut legend: Vec<String> =
        SYMBOLS.iter().map(|(state, symbol, name)| format!("{} {name}", colour(*symbol, *state))).collect();
    if drawn.iter().any(|(_, scaled)| *scaled) {
        legend.push("1-9 tenths used".into());
    }
    let pictures: Vec<String> = drawn.into_iter().map(|(picture, _)| picture).collect();
    format!("{}\n{}\n", pictures.join("\n"), in_lines(&legend, width))
}

/// The parts side by side, in as many lines as it takes.
fn in_lines(parts: &[String], width: usize) -> String {
    const GAP: &str = "   ";
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        match lines.last_mut() {
            Some(line) if measure_text_width(line) + GAP.len() + measure_text_width(part) <= width => {
                line.push_str(GAP);
                line.push_str(part);
            }
            _ => lines.push(part.clone()),
        }
    }
    lines.join("\n")
}

/// How an entry fits into a picture.
#[derive(Clone, Copy)]
struct Scale {
    label: usize,
    columns: usize,
    /// Addresses that one sign stands for.
    a_cell: u128,
}

impl Scale {
    /// As many columns as there is room for, beside the longest of the addresses that begin a row.
    fn of(entry: &Entry, width: usize) -> Self {
        let scales = [64, 32, 16, 8].map(|columns| Self::in_columns(entry, columns));
        let [.., narrow] = scales;
        scales.into_iter().find(|scale| scale.width() <= width).unwrap_or(narrow)
    }

    fn in_columns(entry: &Entry, columns: usize) -> Self {
        let addresses = entry.range().map_or(1, |range| range.len());
        let a_cell = addresses.div_ceil(columns as u128 * ROWS).next_power_of_two().max(1);
        let mut scale = Self { label: 0, columns, a_cell };
        let rows = addresses.div_ceil(scale.a_row());
        let labels = (0..rows).map(|row| scale.begin(entry.first, row).to_string().len());
        let widest = if entry.first.is_ipv4() { 15 } else { 0 };
        scale.label = labels.max().unwrap_or_default().max(widest);
        scale
    }

    fn width(&self) -> usize {
        2 + self.label + 1 + self.columns
    }

    fn a_row(&self) -> u128 {
        (self.columns as u128).saturating_mul(self.a_cell)
    }

    /// The first address of a row.
    fn begin(&self, first: IpAddr, row: u128) -> IpAddr {
        nth(first, self.a_row().saturating_mul(row))
    }
}

fn draw(entry: &Entry, scale: &Scale) -> String {
    let Some(range) = entry.range() else { return String::new() };
    let &Scale { label, columns, a_cell } = scale;
    let scaled =
        if a_cell > 1 { format!("  (one sign is {} addresses)", count(a_cell)) } else { String::new() };
    let mut lines = vec![format!("{}{scaled}\n", summary(entry, range))];
    for (at, row) in (0..).zip(cells(entry, range, a_cell).chunks(columns)) {
        let first = scale.begin(range.first(), at).to_string();
        lines.push(format!("  {first:<label$} {}\n", row.concat()));
    }
    lines.concat()
}

impl Entry {
    fn range(&self) -> Option<Range> {
        Range::new(self.first, self.last).ok()
    }
}

fn summary(entry: &Entry, range: Range) -> String {
    let of = |state: State| -> u128 {
        entry
            .segments
            .iter()
            .filter(|part| part.state == state)
            .fold(0, |sum, part| sum.saturating_add(part.count))
    };
    let parts = [
        (State::Used, "used"),
        (State::Reserved, "reserved"),
        (State::Excluded, "excluded"),
        (State::Free, "free"),
    ];
    let parts =
        parts.into_iter().filter(|(state, _)| of(*state) > 0 || matches!(state, State::Used | State::Free));
    let parts: Vec<String> = parts.map(|(state, name)| format!("{} {name}", count(of(state)))).collect();
    format!("{range}  {}", parts.join(", "))
}

/// One sign for each `a_cell` addresses.
fn cells(entry: &Entry, range: Range, a_cell: u128) -> Vec<String> {
    let mut shared: BTreeMap<u128, BTreeMap<State, u128>> = BTreeMap::new();
    for part in entry.segments.iter().filter_map(|segment| Some((segment.range()?, segment.state))) {
        // Only the ends of a segment share their cells with others; what lies between is all its own.
        let ends = [part.0.first(), part.0.last()].map(|end| distance(range, end) / a_cell);
        for cell in if ends[0] == ends[1] { &ends[..1] } else { &ends[..] } {
            let inside = cell_range(range, *cell, a_cell).and_then(|cell| part.0.intersect(&cell));
            *shared.entry(*cell).or_default().entry(part.1).or_default() +=
                inside.map_or(0, |part| part.len());
        }
    }
    let sign = |cell: u128| match shared.get(&cell) {
        Some(states) => mixed(states),
        None => whole(entry, cell_range(range, cell, a_cell)),
    };
    (0..range.len().div_ceil(a_cell)).map(sign).collect()
}

/// A cell that one segment covers.
fn whole(entry: &Entry, bounds: Option<Range>) -> String {
    let covering = bounds.and_then(|bounds| {
        let after = entry.segments.partition_point(|segment| segment.first <= bounds.first());
        entry.segments.get(after.checked_sub(1)?)
    });
    covering.map_or_else(|| " ".into(), |segment| sign(segment.state))
}

/// A cell with several states in it: what there is most of, or the tenths that are used.
fn mixed(states: &BTreeMap<State, u128>) -> String {
    let total = states.values().fold(0_u128, |sum, n| sum.saturating_add(*n)).max(1);
    let used = states.get(&State::Used).copied().unwrap_or(0);
    if states.len() > 1 && used > 0 {
        let tenths = u32::try_from((used / (total / 10).max(1)).clamp(1, 9)).unwrap_or(9);
        return colour(char::from_digit(tenths, 10).unwrap_or('9'), State::Used);
    }
    states.iter().max_by_key(|(_, n)| **n).map_or_else(|| " ".into(), |(state, _)| sign(*state))
}

fn sign(state: State) -> String {
    let symbol = SYMBOLS.iter().find(|(of, ..)| *of == state).map_or(' ', |(_, symbol, _)| *symbol);
    colour(symbol, state)
}

fn colour(symbol: char, state: State) -> String {
    let style = match state {
        State::Used => Style::new().cyan().bold(),
        State::Reserved => Style::new().magenta(),
        State::Excluded => Style::new().red(),
        State::Free => Style::new().green(),
        State::Withheld => Style::new().dim(),
    };
    style.apply_to(symbol).to_string()
}

fn distance(range: Range, ip: IpAddr) -> u128 {
    bits(ip) - bits(range.first())
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// The address that lies `offset` after another, or the last of its family.
fn nth(ip: IpAddr, offset: u128) -> IpAddr {
    let bits = bits(ip).saturating_add(offset);
    match ip {
        IpAddr::V4(_) => Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX)).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
    }
}

fn cell_range(range: Range, cell: u128, a_cell: u128) -> Option<Range> {
    let first = nth(range.first(), cell.saturating_mul(a_cell));
    let last = nth(first, a_cell - 1).min(range.last());
    Range::new(first, last).ok()
}

#[cfg(test)]
mod tests {
    use ipam::api::{IPPoolSpec, PoolEntry};

    use super::*;

    fn rules(subnet: &str) -> PoolRules {
        let entry = PoolEntry { subnet: Some(subnet.into()), ..PoolEntry::default() };
        PoolRules::read(&IPPoolSpec {
            pools: vec![entry],
            gateway: Some(if subnet.contains(':') { "fd00::1" } else { "10.0.0.1" }.into()),
            excluded_addresses: if subnet.contains(':') { vec![] } else { vec!["10.0.0.8/30".into()] },
            pre_allocations: [("a".into(), if subnet.contains(':') { "fd00::3" } else { "10.0.0.3" }.into())]
                .into(),
            ..IPPoolSpec::default()
        })
    }

    fn held(ips: &[&str]) -> Tally {
        Tally { held: ips.iter().map(|ip| ip.parse().unwrap()).collect(), waiting: vec![] }
    }

    #[test]
    fn the_segments_of_an_entry_fill_it() {
        let entry = &entries(&rules("10.0.0.0/28"), &held(&["10.0.0.2", "10.0.0.5"]))[0];
        let shown: Vec<String> =
            entry.segments.iter().map(|s| format!("{} {} {:?}", s.first, s.count, s.state)).collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
        10.0.0.1 1 Withheld
        10.0.0.2 1 Used
        10.0.0.3 1 Reserved
        10.0.0.4 1 Free
        10.0.0.5 1 Used
        10.0.0.6 2 Free
        10.0.0.8 4 Excluded
        10.0.0.12 3 Free
        10.0.0.15 1 Withheld
        ");
    }

    #[test]
    fn a_small_pool_has_a_sign_for_each_address() {
        console::set_colors_enabled(false);
        let drawn = picture(&entries(&rules("10.0.0.0/26"), &held(&["10.0.0.2", "10.0.0.5"])), 80);
        insta::assert_snapshot!(drawn, @r"
        10.0.0.1-10.0.0.63  2 used, 1 reserved, 4 excluded, 54 free
          10.0.0.1        -#r.#..xxxx.....................
          10.0.0.33       ..............................-

        # used   r reserved   x excluded   - gateway, network, broadcast   . free
        ");
    }

    #[test]
    fn the_largest_pool_is_drawn_too() {
        console::set_colors_enabled(false);
        let drawn = picture(&entries(&rules("fd00::/64"), &held(&["fd00::2"])), 80);
        assert!(
            drawn.starts_with("fd00::1-fd00::ffff:ffff:ffff:ffff  1 used, 1 reserved, 2^64.0 free"),
            "{drawn}"
        );
        // What it is, its rows, and two lines of signs.
        assert_eq!(drawn.lines().count(), 1 + 16 + 1 + 2);
        assert!(drawn.contains("1..............................."), "{drawn}");
    }

    #[test]
    fn a_picture_fits_into_a_narrow_terminal() {
        console::set_colors_enabled(false);
        for (subnet, ip, width, signs) in [
            ("10.0.0.0/16", "10.0.0.2", 80, 32),
            ("10.0.0.0/16", "10.0.0.2", 82, 64),
            ("fd00::/64", "fd00::2", 60, 32),
            ("fd00::/64", "fd00::2", 40, 16),
        ] {
            let drawn = picture(&entries(&rules(subnet), &held(&[ip])), width);
            let too_wide: Vec<&str> = drawn.lines().skip(1).filter(|line| line.len() > width).collect();
            assert!(too_wide.is_empty(), "{subnet} in {width}: {too_wide:#?}");
            let row = drawn.lines().nth(2).unwrap();
            assert_eq!(row.split_whitespace().last().unwrap().len(), signs, "{subnet} in {width}");
        }
    }
}
