//! Reading a pool's spec, once for everyone: the ledger, admission and the plugin.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use arcstr::ArcStr;
use serde_json::{Value, json};

use super::{AllocationStrategy, IPPoolSpec, PoolEntry, is_subdomain};
use crate::addr::{AddressSet, Cidr, Entry, Range, Space, parse_cidr, parse_exclusion, parse_ip, successor};

/// What a pool's spec says, as far as it can be understood.
///
/// A part that is not valid is left out and reported: a spec that was stored before a rule existed still works in its
/// other parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PoolRules {
    /// The entries, in order; one that is not valid holds no address.
    pub entries: Vec<Entry>,
    /// What is never handed out.
    pub excluded: AddressSet,
    /// Addresses reserved for claims, by the claim's name.
    pub pre_allocations: BTreeMap<ArcStr, IpAddr>,
    /// How an address is chosen.
    pub strategy: AllocationStrategy,
    /// What is not valid.
    pub violations: Vec<Violation>,
}

/// A value that is not valid, in the API server's own form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Violation {
    /// Path of the field, such as `spec.pools[0].start`.
    pub field: String,
    /// What stands there.
    pub value: Value,
    /// What is wrong with it.
    pub detail: String,
}

impl Violation {
    /// A violation of `field`.
    pub fn new(field: impl Into<String>, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), value: value.into(), detail: detail.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: Invalid value: {}: {}", self.field, self.value, self.detail)
    }
}

/// What stands at a field that should hold an address and does not.
pub const NOT_AN_IP: &str = "is not a valid IP address";

impl PoolRules {
    /// Reads a spec.
    pub fn read(spec: &IPPoolSpec) -> Self {
        let mut reader = Reader { violations: Vec::new() };
        if !spec.name_prefix.is_empty() && !begins_names(&spec.name_prefix) {
            reader.refuse("spec.namePrefix", spec.name_prefix.as_str(), NO_PREFIX);
        }
        let gateway = reader.ip("spec.gateway", spec.gateway.as_deref());
        let dns = reader.ips("spec.dnsServers", &spec.dns_servers);
        let pool = Defaults { prefix: spec.prefix.filter(|prefix| *prefix != 0), gateway, dns: dns.into() };
        let entries: Vec<Entry> =
            spec.pools.iter().enumerate().map(|(i, entry)| reader.entry(i, entry, &pool)).collect();
        reader.default_prefix(spec, &entries);
        let excluded = reader.excluded(&spec.excluded_addresses);
        let pre_allocations = reader.pre_allocations(spec, &entries);
        let strategy = spec.allocation_strategy.unwrap_or_default();
        Self { entries, excluded, pre_allocations, strategy, violations: reader.violations }
    }

    /// The addresses that these rules allow, all of them free.
    pub fn space(&self) -> Space {
        let reserved = self.pre_allocations.values().copied();
        Space::new(self.entries.clone(), self.excluded.clone(), reserved)
    }
}

/// What an entry gets where it says nothing itself.
struct Defaults {
    prefix: Option<i32>,
    gateway: Option<IpAddr>,
    dns: Arc<[IpAddr]>,
}

/// What is wrong with a `namePrefix` that no object's name can begin with.
pub(super) const NO_PREFIX: &str =
    "must be the beginning of an object's name: lowercase letters, digits, '-' and '.'";

/// Whether a name that goes on with `-` and an address is one that the API server takes (RFC 1123).
fn begins_names(prefix: &str) -> bool {
    is_subdomain(&format!("{prefix}-0"))
}

/// The longest prefix in the family of an address; of any, where it is not known.
fn longest(of: Option<IpAddr>) -> u8 {
    if of.is_some_and(|ip| ip.is_ipv4()) { 32 } else { 128 }
}

fn fitting(prefix: i64, longest: u8) -> Option<u8> {
    u8::try_from(prefix).ok().filter(|prefix| *prefix <= longest)
}

/// What is wrong with a prefix length of an address, if anything.
pub fn too_long(field: &str, prefix: i64, of: IpAddr) -> Option<Violation> {
    beyond(field, prefix, longest(Some(of)))
}

fn beyond(field: &str, prefix: i64, longest: u8) -> Option<Violation> {
    let wrong = || Violation::new(field, prefix, format!("must be between 0 and {longest}"));
    fitting(prefix, longest).is_none().then(wrong)
}

/// Reads, and notes what is not valid.
struct Reader {
    violations: Vec<Violation>,
}

impl Reader {
    fn refuse(&mut self, field: impl Into<String>, value: impl Into<Value>, detail: impl Into<String>) {
        self.violations.push(Violation::new(field, value, detail));
    }

    fn ip(&mut self, field: &str, text: Option<&str>) -> Option<IpAddr> {
        let text = text?;
        let ip = parse_ip(text).ok();
        if ip.is_none() {
            self.refuse(field, text, NOT_AN_IP);
        }
        ip
    }

    fn ips(&mut self, field: &str, texts: &[String]) -> Vec<IpAddr> {
        let texts = texts.iter().enumerate();
        texts.filter_map(|(i, text)| self.ip(&format!("{field}[{i}]"), Some(text))).collect()
    }

    fn entry(&mut self, index: usize, entry: &PoolEntry, pool: &Defaults) -> Entry {
        let field = format!("spec.pools[{index}]");
        let gateway = self.ip(&format!("{field}.gateway"), entry.gateway.as_deref());
        let dns = self.ips(&format!("{field}.dnsServers"), &entry.dns_servers);
        let (range, subnet) = self.bounds(&field, entry);
        let family = range.map(|range| range.first());
        let longest = longest(family);
        // To the replaced system 0 is no prefix, and it is no network that anybody has.
        let prefix = match entry.prefix.filter(|prefix| *prefix != 0) {
            Some(prefix) => self.prefix(&format!("{field}.prefix"), prefix, longest),
            None => pool.prefix.and_then(|prefix| fitting(prefix.into(), longest)),
        };
        Entry {
            range,
            subnet,
            prefix: prefix.or_else(|| subnet.map(|subnet| subnet.prefix())),
            gateway: gateway.or(pool.gateway),
            dns: if dns.is_empty() { pool.dns.clone() } else { dns.into() },
        }
    }

    fn prefix(&mut self, field: &str, prefix: i32, longest: u8) -> Option<u8> {
        self.violations.extend(beyond(field, prefix.into(), longest));
        fitting(prefix.into(), longest)
    }

    /// Judges the pool's own prefix, once for all entries that have none.
    fn default_prefix(&mut self, spec: &IPPoolSpec, entries: &[Entry]) {
        let Some(prefix) = spec.prefix else { return };
        let families = entries.iter().zip(&spec.pools).filter(|(_, said)| said.prefix.is_none());
        let families = families.map(|(entry, _)| longest(entry.range.map(|range| range.first())));
        self.prefix("spec.prefix", prefix, families.min().unwrap_or(longest(None)));
    }

    /// The addresses of an entry, and the subnet that it lies in.
    fn bounds(&mut self, field: &str, entry: &PoolEntry) -> (Option<Range>, Option<Cidr>) {
        if entry.start.is_none() && entry.end.is_none() && entry.subnet.is_none() {
            self.refuse(field, json!(entry), "pool entry must specify at least one of start, end, or subnet");
            return (None, None);
        }
        let before = self.violations.len();
        let start = self.bound(field, "Start", entry.start.as_deref());
        let end = self.bound(field, "End", entry.end.as_deref());
        let subnet = entry.subnet.as_deref().and_then(|text| match parse_cidr(text) {
            Ok(subnet) => Some(subnet),
            Err(error) => {
                self.refuse(field, text, format!("invalid Subnet \"{text}\": {error}"));
                None
            }
        });
        let range =
            if self.violations.len() > before { None } else { self.range(field, entry, start, end, subnet) };
        (range, subnet)
    }

    fn bound(&mut self, field: &str, name: &str, text: Option<&str>) -> Option<IpAddr> {
        let text = text?;
        let ip = parse_ip(text).ok();
        if ip.is_none() {
            self.refuse(field, text, format!("invalid {name} IP \"{text}\""));
        }
        ip
    }

    fn range(
        &mut self,
        field: &str,
        entry: &PoolEntry,
        start: Option<IpAddr>,
        end: Option<IpAddr>,
        subnet: Option<Cidr>,
    ) -> Option<Range> {
        let written = [start, end, subnet.map(|subnet| subnet.written())];
        let mut families = written.into_iter().flatten().map(|ip| ip.is_ipv4());
        if families.next().is_some_and(|first| families.any(|other| other != first)) {
            self.refuse(field, json!(entry), "start, end and subnet must be of one IP family");
            return None;
        }
        if let (Some(start), Some(end)) = (start, end)
            && end < start
        {
            self.refuse(field, json!(entry), format!("end IP {end} is before start IP {start}"));
            return None;
        }
        // `end` alone says where the entry stops and not where it starts: it holds nothing.
        let first = start.or_else(|| successor(subnet?.written()))?;
        let last = end.unwrap_or_else(|| Range::family_of(first).last());
        let range = Range::new(first, last).ok()?;
        subnet.map_or(Some(range), |subnet| range.intersect(&subnet.range()))
    }

    fn excluded(&mut self, texts: &[String]) -> AddressSet {
        let mut excluded = AddressSet::new();
        for (i, text) in texts.iter().enumerate() {
            match parse_exclusion(text) {
                Ok(range) => excluded.insert(range),
                Err(error) => self.refuse(
                    format!("spec.excludedAddresses[{i}]"),
                    text.as_str(),
                    format!("must be an IP address, a CIDR or first-last: {error}"),
                ),
            }
        }
        excluded
    }

    fn pre_allocations(&mut self, spec: &IPPoolSpec, entries: &[Entry]) -> BTreeMap<ArcStr, IpAddr> {
        let mut by_ip: BTreeMap<IpAddr, &str> = BTreeMap::new();
        let mut pre_allocations = BTreeMap::new();
        let within: AddressSet = entries.iter().filter_map(|entry| entry.range).collect();
        for (name, text) in &spec.pre_allocations {
            let field = format!("spec.preAllocations.{name}");
            let Some(ip) = self.ip(&field, Some(text)) else { continue };
            if let Some(other) = by_ip.get(&ip) {
                let detail = format!("IP address is already pre-allocated to claim \"{other}\"");
                self.refuse(field, text.as_str(), detail);
                continue;
            }
            if !within.contains(ip) {
                self.refuse("spec.preAllocations", text.as_str(), OUT_OF_BOUNDS);
            }
            // One that lies outside is kept: its claim has to be told so, and gets nothing else in its place.
            by_ip.insert(ip, name);
            pre_allocations.insert(ArcStr::from(name), ip);
        }
        pre_allocations
    }
}

/// What is wrong with a preAllocation that no entry contains, in an update. On creation the replaced system, and so
/// admission, spells it otherwise.
pub const OUT_OF_BOUNDS: &str = "is out of bounds of the pools given";

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(start: &str, end: &str, subnet: &str) -> PoolEntry {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        PoolEntry { start: some(start), end: some(end), subnet: some(subnet), ..PoolEntry::default() }
    }

    fn read(entry: PoolEntry) -> PoolRules {
        PoolRules::read(&IPPoolSpec { pools: vec![entry], ..IPPoolSpec::default() })
    }

    #[test]
    fn bounds_are_what_start_end_and_subnet_leave() {
        for (start, end, subnet, range) in [
            ("10.0.0.5", "10.0.0.9", "", "10.0.0.5-10.0.0.9"),
            ("10.0.0.5", "", "10.0.0.0/29", "10.0.0.5-10.0.0.7"),
            ("", "", "192.168.1.1/26", "192.168.1.2-192.168.1.63"),
            ("", "", "192.168.1.0/26", "192.168.1.1-192.168.1.63"),
            ("", "192.168.1.9", "192.168.1.0/26", "192.168.1.1-192.168.1.9"),
            ("10.0.0.0", "10.9.0.0", "10.0.0.0/30", "10.0.0.0-10.0.0.3"),
            ("255.255.255.250", "", "", "255.255.255.250-255.255.255.255"),
            ("fd00::5", "", "fd00::/125", "fd00::5-fd00::7"),
            ("", "", "fd00::/127", "fd00::1"),
            ("", "", "::/0", "::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("", "", "0.0.0.0/0", "0.0.0.1-255.255.255.255"),
            ("", "", "10.0.0.0/31", "10.0.0.1"),
        ] {
            let rules = read(entry(start, end, subnet));
            assert_eq!(rules.violations, [], "{start} {end} {subnet}");
            assert_eq!(rules.entries[0].range.unwrap().to_string(), range, "{start} {end} {subnet}");
        }
    }

    #[test]
    fn what_leaves_no_address_is_an_empty_entry() {
        for (start, end, subnet) in [
            ("", "10.0.0.9", ""),
            ("", "", "10.0.0.5/32"),
            ("", "", "fd00::/128"),
            ("10.0.0.1", "10.0.0.2", "10.9.0.0/24"),
            ("", "", "255.255.255.255/32"),
        ] {
            let rules = read(entry(start, end, subnet));
            assert_eq!(rules.violations, []);
            assert_eq!(rules.entries[0].range, None, "{start} {end} {subnet}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_the_words_of_the_contract() {
        for (broken, value, detail) in [
            (entry("", "", ""), json!({}), "pool entry must specify at least one of start, end, or subnet"),
            (entry("x", "", ""), json!("x"), "invalid Start IP \"x\""),
            (entry("", "1.2.3", ""), json!("1.2.3"), "invalid End IP \"1.2.3\""),
            (
                entry("", "", "10.0.0.0"),
                json!("10.0.0.0"),
                "invalid Subnet \"10.0.0.0\": `10.0.0.0` is not a valid CIDR address",
            ),
            (
                entry("10.0.0.2", "10.0.0.1", ""),
                json!({"start": "10.0.0.2", "end": "10.0.0.1"}),
                "end IP 10.0.0.1 is before start IP 10.0.0.2",
            ),
            (
                entry("10.0.0.2", "fd00::1", ""),
                json!({"start": "10.0.0.2", "end": "fd00::1"}),
                "start, end and subnet must be of one IP family",
            ),
        ] {
            let rules = read(broken);
            assert_eq!(rules.violations, [Violation::new("spec.pools[0]", value, detail)]);
            assert_eq!(rules.entries[0].range, None);
        }
        let violation = Violation::new("spec.pools[0]", "x", "invalid Start IP \"x\"");
        assert_eq!(violation.to_string(), "spec.pools[0]: Invalid value: \"x\": invalid Start IP \"x\"");
    }

    #[test]
    fn a_prefix_of_the_pool_is_judged_once_by_all_entries_that_go_by_it() {
        let (v4, v6) = (|| entry("10.0.0.1", "10.0.0.9", ""), || entry("fd00::1", "fd00::9", ""));
        let own = |prefix| PoolEntry { prefix: Some(prefix), ..v4() };
        let said = |prefix, pools: Vec<PoolEntry>| {
            let rules = PoolRules::read(&IPPoolSpec { pools, prefix: Some(prefix), ..IPPoolSpec::default() });
            let details = rules.violations.iter().map(|violation| violation.detail.clone());
            (rules.entries.iter().map(|entry| entry.prefix).collect::<Vec<_>>(), details.collect::<Vec<_>>())
        };
        let (v4_only, any) = ("must be between 0 and 32".to_owned(), "must be between 0 and 128".to_owned());
        assert_eq!(said(64, vec![v4(), v6(), v4()]), (vec![None, Some(64), None], vec![v4_only]));
        assert_eq!(said(64, vec![own(24), v6()]), (vec![Some(24), Some(64)], vec![]));
        assert_eq!(said(200, vec![]), (vec![], vec![any]));
        // None is as 0 to the replaced system.
        assert_eq!(said(24, vec![own(0)]), (vec![Some(24)], vec![]));
        assert_eq!(said(0, vec![entry("", "", "10.0.2.0/26")]), (vec![Some(26)], vec![]));
    }

    #[test]
    fn a_name_prefix_is_one_that_names_can_begin_with() {
        for prefix in ["p", "rack.1", "a-", "0", "a-b.c-"] {
            assert!(begins_names(prefix), "{prefix}");
        }
        for prefix in ["", "X", "a_b", ".a", "a.", "-a", "a-.b", "a b", "ä"] {
            assert!(!begins_names(prefix), "{prefix}");
        }
        let spec = IPPoolSpec { name_prefix: "X_Y".into(), ..IPPoolSpec::default() };
        let said = Violation::new("spec.namePrefix", "X_Y", NO_PREFIX);
        assert_eq!(PoolRules::read(&spec).violations, [said]);
    }

    #[test]
    fn an_entry_overrides_each_value_on_its_own() {
        let own = PoolEntry {
            gateway: Some("10.0.0.254".into()),
            prefix: Some(25),
            dns_servers: vec!["9.9.9.9".into()],
            ..entry("10.0.0.1", "10.0.0.9", "")
        };
        let spec = IPPoolSpec {
            pools: vec![own, entry("10.0.1.1", "10.0.1.9", ""), entry("", "", "10.0.2.0/26")],
            gateway: Some("10.0.0.1".into()),
            dns_servers: vec!["1.1.1.1".into()],
            prefix: None,
            ..IPPoolSpec::default()
        };
        let rules = PoolRules::read(&spec);
        let shown: Vec<_> = rules
            .entries
            .iter()
            .map(|e| (e.prefix, e.gateway.unwrap().to_string(), e.dns[0].to_string()))
            .collect();
        assert_eq!(
            shown,
            [
                (Some(25), "10.0.0.254".to_owned(), "9.9.9.9".to_owned()),
                (None, "10.0.0.1".to_owned(), "1.1.1.1".to_owned()),
                (Some(26), "10.0.0.1".to_owned(), "1.1.1.1".to_owned()),
            ]
        );
    }

    #[test]
    fn an_invalid_part_does_not_spoil_the_rest() {
        let spec = IPPoolSpec {
            pools: vec![entry("x", "", ""), entry("10.0.0.1", "10.0.0.4", "")],
            pre_allocations: [("a", "10.0.0.1"), ("b", "10.0.0.01"), ("c", "10.0.0.1"), ("d", "10.9.9.9")]
                .map(|(name, ip)| (name.to_owned(), ip.to_owned()))
                .into(),
            excluded_addresses: vec!["10.0.0.4".into(), "nonsense".into()],
            prefix: Some(200),
            ..IPPoolSpec::default()
        };
        let rules = PoolRules::read(&spec);
        let fields: Vec<&str> = rules.violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "spec.pools[0]",
                "spec.prefix",
                "spec.excludedAddresses[1]",
                "spec.preAllocations.b",
                "spec.preAllocations.c",
                "spec.preAllocations",
            ]
        );
        assert_eq!(rules.space().free(), 2);
        assert_eq!(rules.pre_allocations.keys().map(|name| &**name).collect::<Vec<_>>(), ["a", "d"]);
    }

    #[test]
    fn preallocations_are_compared_as_addresses() {
        let spec = IPPoolSpec {
            pools: vec![entry("", "", "2001:db8::/64")],
            pre_allocations: [("a", "2001:db8::0005"), ("b", "2001:db8:0::5")]
                .map(|(name, ip)| (name.to_owned(), ip.to_owned()))
                .into(),
            ..IPPoolSpec::default()
        };
        let rules = PoolRules::read(&spec);
        assert_eq!(
            rules.violations[0].to_string(),
            "spec.preAllocations.b: Invalid value: \"2001:db8:0::5\": IP address is already pre-allocated to claim \"a\""
        );
    }
}
