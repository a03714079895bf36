//! What is checked of a pool before it is made: the same as admission checks, and what its neighbours are.

use ipam::addr::{AddressSet, Range, Space};
use ipam::api::{IPPool, IPPoolSpec, Kind as ObjectKind, PoolEntry, PoolRules};
use kube::ResourceExt;
use serde_json::Value;

use super::target::creatable;
use crate::cluster::Cluster;
use crate::error::{Error, Kind};
use crate::output::count;
use crate::world::Scope;

/// The other pools of the namespace; none where they cannot be seen.
pub struct Others(Option<Vec<IPPool>>);

impl Others {
    /// Reads them. That they cannot be listed costs the warnings only.
    pub async fn read(cluster: &Cluster) -> Self {
        let mut pools = Vec::new();
        let add = |pool: Value| pools.extend(serde_json::from_value::<IPPool>(pool));
        let listed = cluster.each(ObjectKind::Pool, &Scope::of(&cluster.namespace), add).await;
        Self(listed.is_ok().then_some(pools))
    }

    /// Whether a pool of this name could be made.
    pub fn is_new(&self, name: &str) -> Result<(), String> {
        creatable("pool", name).map_err(|error| error.line())?;
        let known = self.0.iter().flatten().any(|pool| pool.name_any() == name);
        if known { Err("there is a pool of this name".into()) } else { Ok(()) }
    }

    /// A warning for each pool that holds some of the same addresses.
    pub fn overlaps(&self, name: &str, rules: &PoolRules) -> Vec<String> {
        let Some(pools) = &self.0 else {
            return vec!["warning: other pools cannot be listed: an overlap would go unnoticed".into()];
        };
        let ours: AddressSet = rules.entries.iter().filter_map(|entry| entry.range).collect();
        let mut warnings = Vec::new();
        for pool in pools.iter().filter(|pool| pool.name_any() != name) {
            let theirs = PoolRules::read(&pool.spec);
            let mut ranges = theirs.entries.iter().filter_map(|entry| entry.range);
            if let Some(range) = ranges.find(|range| ours.overlaps(range)) {
                let other = pool.name_any();
                warnings.push(format!(
                    "warning: it overlaps with {range} of pool {other}: an address could be given twice"
                ));
            }
        }
        warnings
    }
}

/// The rules of a spec in which nothing is wrong and which holds something.
pub fn valid(spec: &IPPoolSpec) -> Result<(PoolRules, Space), Error> {
    let rules = PoolRules::read(spec);
    if !rules.violations.is_empty() {
        let wrong: Vec<String> = rules.violations.iter().map(ToString::to_string).collect();
        return Err(
            Error::new(Kind::Usage, "the pool would not be valid").caused_by(wrong.join("\n           "))
        );
    }
    let space = rules.space();
    if space.capacity() == 0 {
        return Err(Error::new(Kind::Usage, "the pool would hold no address").hint(
            "a subnet holds the addresses after the one that is written: --range IP-IP holds just one",
        ));
    }
    Ok((rules, space))
}

/// An address, or nothing at all.
pub fn ip_or_nothing(text: &str) -> Result<(), String> {
    if text.is_empty() {
        Ok(())
    } else {
        ipam::addr::parse_ip(text).map(drop).map_err(|error| error.to_string())
    }
}

/// The same check that the whole spec gets, on one text.
pub fn addresses(text: &str) -> Result<(), String> {
    let mut entry = PoolEntry::default();
    match text.split_once('-') {
        Some((start, end)) => (entry.start, entry.end) = (Some(start.trim().into()), Some(end.trim().into())),
        None => entry.subnet = Some(text.to_owned()),
    }
    let spec = IPPoolSpec { pools: vec![entry], ..IPPoolSpec::default() };
    let rules = PoolRules::read(&spec);
    match rules.violations.first() {
        Some(violation) => Err(violation.detail.clone()),
        None if rules.space().capacity() == 0 => Err("holds no address".into()),
        None => Ok(()),
    }
}

/// How much a pool holds, and from where to where: of each entry, the first and the last address that it hands out.
pub fn extent(space: &Space) -> String {
    let ends = |range: Range| {
        let free = || space.free_ranges().filter_map(|free| free.intersect(&range));
        let (first, last) = (free().map(|part| part.first()).min()?, free().map(|part| part.last()).max()?);
        Range::new(first, last).ok()
    };
    let ranges = space.entries().iter().filter_map(|entry| ends(entry.range?));
    let shown: Vec<String> = ranges.map(|range| range.to_string()).collect();
    let plural = if space.capacity() == 1 { "address" } else { "addresses" };
    format!("{} {plural}: {}", count(space.capacity()), shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extent_is_what_is_handed_out() {
        let spec = IPPoolSpec {
            pools: vec![PoolEntry { subnet: Some("10.0.0.0/24".into()), ..PoolEntry::default() }],
            gateway: Some("10.0.0.1".into()),
            excluded_addresses: vec!["10.0.0.2-10.0.0.9".into(), "10.0.0.100".into()],
            ..IPPoolSpec::default()
        };
        let (_, space) = valid(&spec).unwrap();
        assert_eq!(extent(&space), "244 addresses: 10.0.0.10-10.0.0.254");
    }

    #[test]
    fn a_text_is_checked_as_it_is_typed() {
        assert_eq!(addresses("10.0.0.0/24"), Ok(()));
        assert_eq!(addresses("fd00::1 - fd00::9"), Ok(()));
        assert!(addresses("10.0.0.0").unwrap_err().starts_with("invalid Subnet"));
        assert_eq!(
            addresses("10.0.0.9-10.0.0.1").unwrap_err(),
            "end IP 10.0.0.1 is before start IP 10.0.0.9"
        );
        assert_eq!(addresses("10.0.0.1/32").unwrap_err(), "holds no address");
    }
}
