//! What others may read of the ledger.

use std::net::IpAddr;

use super::{Id, Ledger};
use crate::addr::AddressSet;

impl Ledger {
    /// The addresses of a pool among `within` that somebody holds, in order: an address object of either family, a claim
    /// that publishes the address, or a write under way that may still take it. One that cannot be handed out only because
    /// its name is another pool's is nobody's. `None` until all kinds were listed, and while what has just
    /// changed of the pool was not looked at.
    pub fn held(&self, pool: &Id, within: &AddressSet) -> Option<Vec<IpAddr>> {
        if !self.is_ready() || self.news.contains_key(pool) {
            return None;
        }
        let Some(book) = self.books.get(pool) else { return Some(Vec::new()) };
        let (ranges, blocks) = (within.ranges(), book.blocks());
        Some(
            ranges
                .flat_map(|range| book.holds().range(range.first()..=range.last()))
                .filter(|(ip, holders)| **holders > blocks.get(ip).copied().unwrap_or(0))
                .map(|(ip, _)| *ip)
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Address, Config, Seen};
    use super::*;
    use crate::addr::Range;
    use crate::api::{Family, Kind};

    #[test]
    fn what_is_held_is_known_once_all_is_listed_and_only_of_the_pool_asked_for() {
        let kind = Kind::Address(Family::Metal3);
        let mut ledger = Ledger::new(Config::default(), [kind]);
        let (first, last) = ("10.0.0.2".parse().unwrap(), "10.0.0.9".parse().unwrap());
        let within: AddressSet = [Range::new(first, last).unwrap()].into_iter().collect();
        let pool = |name| Id::new(Kind::Pool, "ns", name);
        assert_eq!(ledger.held(&pool("p"), &within), None);

        ledger.list_begins(kind);
        for (n, of) in [(1, "p"), (2, "p"), (9, "p"), (10, "p"), (5, "q")] {
            let object = json!({
                "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPAddress",
                "metadata": {"name": format!("a{n}"), "namespace": "ns", "uid": format!("u{n}"), "resourceVersion": "1"},
                "spec": {"address": format!("10.0.0.{n}"), "pool": {"name": of}, "claim": {"name": "c"}},
            });
            let address = Address::of_metal3(&serde_json::from_value(object).unwrap());
            ledger.list_shows(Seen::Address(Box::new(address)));
        }
        ledger.list_ends(kind);
        assert_eq!(ledger.held(&pool("p"), &within), Some(vec![first, last]));
        assert_eq!(ledger.held(&pool("nobody's"), &within), Some(vec![]));
    }
}
