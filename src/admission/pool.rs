//! Pools: what is wrong with a new one, and with a change of one.

use std::collections::HashMap;
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::addr::AddressSet;
use crate::api::{IPPoolSpec, OUT_OF_BOUNDS, PoolRules, Violation};

/// Of addresses that are in use and about to be lost, as many are named; the others are counted.
const NAMED: usize = 10;

/// What is wrong with a new pool.
pub(super) fn created(new: &Value) -> Vec<Violation> {
    let spec = match read(new) {
        Ok(spec) => spec,
        Err(violation) => return vec![violation],
    };
    let mut violations = PoolRules::read(&spec).violations;
    for violation in violations.iter_mut().filter(|violation| violation.detail == OUT_OF_BOUNDS) {
        // The replaced system spells it so, and consumers may look for it.
        "is out of bonds of the pools given".clone_into(&mut violation.detail);
    }
    violations
}

/// What is wrong with a change of a pool, of which `in_use` are [lost](lost) while somebody holds them.
pub(super) fn updated(old: &Value, new: &Value, in_use: &[IpAddr]) -> Vec<Violation> {
    if old["spec"] == new["spec"] {
        return Vec::new();
    }
    let new = match read(new) {
        Ok(spec) => spec,
        Err(violation) => return vec![violation],
    };
    let mut violations = PoolRules::read(&new).violations;
    // A spec that cannot be read fixes nothing, and what replaces it is judged as a whole.
    if let Ok(old) = read(old) {
        forgive(&mut violations, PoolRules::read(&old).violations);
        violations.extend(fixed(&old, &new));
    }
    violations.extend(still_used(in_use));
    violations
}

/// The addresses that a pool has and is about to have no more.
pub(super) fn lost(old: &Value, new: &Value) -> AddressSet {
    let (Ok(old), Ok(new)) = (read(old), read(new)) else { return AddressSet::new() };
    let ranges = |spec: &IPPoolSpec| {
        let entries = PoolRules::read(spec).entries;
        entries.into_iter().filter_map(|entry| entry.range)
    };
    let mut lost: AddressSet = ranges(&old).collect();
    ranges(&new).for_each(|range| lost.remove(range));
    lost
}

fn read(pool: &Value) -> Result<IPPoolSpec, Violation> {
    // A field of the spec that is wrong in form is told by the schema first; this is for where there is none.
    IPPoolSpec::deserialize(&pool["spec"])
        .map_err(|error| Violation::new("spec", pool["spec"].clone(), format!("cannot be read: {error}")))
}

/// Lets through what was wrong before, wherever in its list it stands now. In a list, each old one lets one through.
fn forgive(violations: &mut Vec<Violation>, old: Vec<Violation>) {
    let key = |violation: &Violation| {
        (without_indexes(&violation.field), violation.value.to_string(), violation.detail.clone())
    };
    let mut known: HashMap<_, usize> = HashMap::new();
    for old in old {
        *known.entry(key(&old)).or_default() += 1;
    }
    violations.retain(|new| {
        let key = key(new);
        let in_a_list = key.0 != new.field;
        let Some(left) = known.get_mut(&key).filter(|left| **left > 0) else { return true };
        if in_a_list {
            *left -= 1;
        }
        false
    });
}

/// `spec.pools[3].gateway` → `spec.pools[].gateway`: what was not touched may have moved.
fn without_indexes(field: &str) -> String {
    let mut within = false;
    let kept = field.chars().filter(|&c| {
        within = if within { c != ']' } else { c == '[' };
        !within || c == '['
    });
    kept.collect()
}

fn fixed(old: &IPPoolSpec, new: &IPPoolSpec) -> Vec<Violation> {
    let mut violations = Vec::new();
    if old.name_prefix != new.name_prefix {
        violations.push(Violation::new("spec.namePrefix", new.name_prefix.as_str(), "cannot be modified"));
    }
    // A pool that was stored without one may still be given one.
    let strategy = new.allocation_strategy.unwrap_or_default();
    if old.allocation_strategy.is_some_and(|old| old != strategy) {
        let (field, value) = ("spec.allocationStrategy", json!(strategy));
        violations.push(Violation::new(field, value, "cannot be modified after creation"));
    }
    violations
}

fn still_used(in_use: &[IpAddr]) -> impl Iterator<Item = Violation> {
    let refuse =
        |value: String| Violation::new("spec.pools", value, "is in use but out of bounds of the pools given");
    let more = in_use.len().saturating_sub(NAMED);
    let more = (more > 0).then(|| refuse(format!("and {more} more")));
    in_use.iter().take(NAMED).map(move |ip| refuse(ip.to_string())).chain(more)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(mut spec: Value) -> Value {
        if spec["namePrefix"].is_null() {
            spec["namePrefix"] = json!("p");
        }
        json!({"metadata": {"name": "p"}, "spec": spec})
    }

    fn said(violations: &[Violation]) -> Vec<String> {
        violations.iter().map(ToString::to_string).collect()
    }

    const NOTHING: [&str; 0] = [];

    #[test]
    fn a_new_pool_is_refused_for_what_its_reader_cannot_use() {
        let entries = json!([{"subnet": "10.0.0.0/24"}]);
        assert_eq!(said(&created(&pool(json!({"pools": entries})))), NOTHING);
        let outside = json!({"pools": entries, "preAllocations": {"c": "10.9.9.9"}, "gateway": "gw"});
        assert_eq!(
            said(&created(&pool(outside))),
            [
                "spec.gateway: Invalid value: \"gw\": is not a valid IP address",
                "spec.preAllocations: Invalid value: \"10.9.9.9\": is out of bonds of the pools given",
            ]
        );
        let unreadable = created(&json!({"spec": {"namePrefix": 7}}));
        assert_eq!(unreadable[0].field, "spec");
        assert!(unreadable[0].detail.starts_with("cannot be read: "));
    }

    #[test]
    fn what_identifies_and_orders_addresses_is_fixed() {
        let old = pool(json!({"allocationStrategy": "random", "pools": [{"subnet": "10.0.0.0/24"}]}));
        let new = pool(
            json!({"namePrefix": "q", "allocationStrategy": "sequential", "pools": [{"subnet": "10.0.0.0/24"}]}),
        );
        assert_eq!(
            said(&updated(&old, &new, &[])),
            [
                "spec.namePrefix: Invalid value: \"q\": cannot be modified",
                "spec.allocationStrategy: Invalid value: \"sequential\": cannot be modified after creation",
            ]
        );
        let silent = pool(json!({"pools": [{"subnet": "10.0.0.0/24"}]}));
        assert_eq!(said(&updated(&old, &silent, &[])), NOTHING);
        // One that was stored before there were strategies gets one now.
        let sequential =
            pool(json!({"allocationStrategy": "sequential", "pools": [{"subnet": "10.0.0.0/24"}]}));
        assert_eq!(said(&updated(&silent, &sequential, &[])), NOTHING);
        assert_eq!(said(&updated(&sequential, &silent, &[])).len(), 1);
    }

    #[test]
    fn s10_only_what_an_update_changes_is_judged() {
        let bad = json!({"pools": [{"start": "x"}], "gateway": "gw", "preAllocations": {"c": "10.9.9.9"}});
        let old = pool(bad.clone());
        let with = |field: &str, value: Value| {
            let mut spec = bad.clone();
            spec[field] = value;
            said(&updated(&old, &pool(spec), &[]))
        };
        assert_eq!(with("excludedAddresses", json!(["10.0.0.1"])), NOTHING);
        assert_eq!(with("gateway", json!("10.0.0.1")), NOTHING);
        assert_eq!(with("gateway", json!("other")).len(), 1);
        // Moved, and not touched.
        assert_eq!(with("pools", json!([{"subnet": "10.0.0.0/24"}, {"start": "x"}])), NOTHING);
        assert_eq!(with("prefix", json!(200)).len(), 1);
        // A second one of the same is new.
        assert_eq!(with("pools", json!([{"start": "x"}, {"start": "x"}])).len(), 1);
        let preallocations = json!({"c": "10.9.9.9", "d": "10.9.9.8"});
        assert_eq!(
            with("preAllocations", preallocations),
            ["spec.preAllocations: Invalid value: \"10.9.9.8\": is out of bounds of the pools given"]
        );
    }

    #[test]
    fn s10_a_default_that_was_wrong_before_does_not_stop_an_entry_from_being_added() {
        let old = pool(json!({"prefix": 200, "pools": [{"subnet": "10.0.0.0/24"}]}));
        let new = pool(
            json!({"prefix": 200, "pools": [{"subnet": "10.0.0.0/24"}, {"subnet": "10.0.1.0/24", "prefix": 24}, {"subnet": "10.0.2.0/24"}]}),
        );
        assert_eq!(said(&updated(&old, &new, &[])), NOTHING);
    }

    #[test]
    fn indexes_are_no_part_of_a_place_and_digits_of_names_are() {
        assert_eq!(without_indexes("spec.pools[12].dnsServers[0]"), "spec.pools[].dnsServers[]");
        assert_eq!(without_indexes("spec.preAllocations.web-1"), "spec.preAllocations.web-1");
    }

    #[test]
    fn a_reserved_address_that_falls_out_is_a_change() {
        let reserved = json!({"c": "10.0.0.9"});
        let old =
            pool(json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}], "preAllocations": reserved}));
        let new =
            pool(json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.8"}], "preAllocations": reserved}));
        assert_eq!(
            said(&updated(&old, &new, &[])),
            ["spec.preAllocations: Invalid value: \"10.0.0.9\": is out of bounds of the pools given"]
        );
    }

    #[test]
    fn d11_what_is_lost_is_what_no_entry_has_any_more() {
        let lost = |old: Value, new: Value| {
            let lost = lost(&pool(json!({ "pools": old })), &pool(json!({ "pools": new })));
            lost.ranges().map(|range| range.to_string()).collect::<Vec<_>>()
        };
        let whole = json!([{"start": "10.0.0.1", "end": "10.0.0.9"}]);
        let halves =
            json!([{"start": "10.0.0.5", "end": "10.0.0.9"}, {"start": "10.0.0.1", "end": "10.0.0.4"}]);
        assert_eq!(lost(whole.clone(), halves), NOTHING);
        assert_eq!(
            lost(whole.clone(), json!([{"start": "10.0.0.3", "end": "10.0.0.4"}])),
            ["10.0.0.1-10.0.0.2", "10.0.0.5-10.0.0.9"]
        );
        assert_eq!(lost(whole, json!([])), ["10.0.0.1-10.0.0.9"]);
        assert_eq!(
            lost(json!([{"subnet": "fd00::/64"}]), json!([{"subnet": "fd00::/120"}])),
            ["fd00::100-fd00::ffff:ffff:ffff:ffff"]
        );
    }

    #[test]
    fn addresses_in_use_are_named_up_to_a_number() {
        let old = pool(json!({"pools": [{"subnet": "10.0.0.0/24"}]}));
        let new = pool(json!({"pools": [{"subnet": "10.0.1.0/24"}]}));
        let used: Vec<IpAddr> = (1..=12).map(|n| IpAddr::from([10, 0, 0, n])).collect();
        let said = said(&updated(&old, &new, &used));
        assert_eq!(said.len(), 11);
        assert_eq!(
            said[0],
            "spec.pools: Invalid value: \"10.0.0.1\": is in use but out of bounds of the pools given"
        );
        assert_eq!(
            said[10],
            "spec.pools: Invalid value: \"and 2 more\": is in use but out of bounds of the pools given"
        );
    }
}
