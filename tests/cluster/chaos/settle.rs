//! What holds once the faults have ended: everything is bound or says truly why not, and nothing is left over.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use ipam::api::{Family, Kind};
use kube::ResourceExt;
use kube::api::{DynamicObject, ListParams};
use serde_json::Value;

use super::crew::Crew;
use super::tally::Tally;
use crate::scene::{Scene, ip_of, pool_of, published, quiet, ready};

/// How long a settled crew is watched for writes that nothing calls for.
const QUIET: Duration = Duration::from_secs(1);

/// What there is.
struct World {
    pools: BTreeMap<String, DynamicObject>,
    /// By family and name.
    claims: BTreeMap<(Family, String), DynamicObject>,
    addresses: BTreeMap<(Family, String), DynamicObject>,
}

impl World {
    async fn read(scene: &Scene) -> kube::Result<Self> {
        let mut world = Self { pools: BTreeMap::new(), claims: BTreeMap::new(), addresses: BTreeMap::new() };
        let all = ListParams::default();
        for family in Family::ALL {
            let claims = scene.of_kind(Kind::Claim(family)).list(&all).await?.items;
            let ours = claims.into_iter().filter(|claim| claim.name_any() != "theirs");
            world.claims.extend(ours.map(|claim| ((family, claim.name_any()), claim)));
            let addresses = scene.of_kind(Kind::Address(family)).list(&all).await?.items;
            let ours = addresses.into_iter().filter(|address| !pool_of(address).is_empty());
            world.addresses.extend(ours.map(|address| ((family, address.name_any()), address)));
        }
        let pools = scene.of_kind(Kind::Pool).list(&all).await?.items;
        world.pools.extend(pools.into_iter().map(|pool| (pool.name_any(), pool)));
        Ok(world)
    }

    /// What is not as it has to be, if something is not.
    fn disorder(&self) -> Option<String> {
        let mut places = BTreeMap::new();
        for ((family, name), address) in &self.addresses {
            let place = (pool_of(address), ip_of(address));
            if let Some(other) = places.insert(place, name) {
                return Some(format!("{name} and {other} are one address"));
            }
            let uid = address.annotations().get("ipam.metal3.io/claim-uid");
            let mut claims =
                self.claims.iter().filter(|((of, _), claim)| of == family && claim.uid().as_ref() == uid);
            let publishes = claims.any(|(_, claim)| published(claim).as_ref() == Some(name));
            if !publishes || address.metadata.deletion_timestamp.is_some() {
                return Some(format!("{name} is left over: {:?}", address.metadata));
            }
        }
        let mut claims = self.claims.iter();
        claims.find_map(|((family, name), claim)| self.claim_disorder(*family, name, claim))
    }

    fn claim_disorder(&self, family: Family, name: &str, claim: &DynamicObject) -> Option<String> {
        if claim.metadata.deletion_timestamp.is_some() {
            return Some(format!("{name} is being deleted: {:?}", claim.metadata));
        }
        if let Some(object) = published(claim) {
            if !self.addresses.contains_key(&(family, object.clone())) {
                return Some(format!("{name} publishes {object}, which is not there"));
            }
            let status = &claim.data["status"];
            let is_ready = ready(claim).is_some_and(|ready| ready["status"] == "True");
            let is_well = is_ready && status["errorMessage"].as_str().unwrap_or_default().is_empty();
            return (!is_well).then(|| format!("{name} publishes {object}, and shows {status}"));
        }
        let reason = ready(claim).map(|ready| ready["reason"].clone()).unwrap_or_default();
        let is_true = match reason.as_str() {
            Some("PoolExhausted") => self.free(&pool_of_claim(claim)).is_empty(),
            Some("AllocationFailed") => self.asks_in_vain(name, claim),
            _ => false,
        };
        (!is_true).then(|| format!("{name} waits, by {reason}: {:?}", claim.data["status"]))
    }

    /// The addresses of a pool that any claim could have.
    fn free(&self, pool: &str) -> Vec<IpAddr> {
        let spec = &self.pools[pool].data["spec"];
        let text = |value: &Value| value.as_str().and_then(|text| text.parse::<IpAddr>().ok());
        let excluded = spec["excludedAddresses"].as_array().into_iter().flatten().filter_map(text);
        let reserved =
            spec["preAllocations"].as_object().into_iter().flat_map(|map| map.values()).filter_map(text);
        // The name that this one would need is another provider's.
        let theirs: IpAddr = [10, 0, 0, 1].into();
        let taken: BTreeSet<IpAddr> =
            excluded.chain(reserved).chain(self.held(pool)).chain([theirs]).collect();
        let entries = spec["pools"].as_array().into_iter().flatten();
        entries
            .flat_map(|entry| addresses(text(&entry["start"]).unwrap(), text(&entry["end"]).unwrap()))
            .filter(|ip| !taken.contains(ip))
            .collect()
    }

    fn held(&self, pool: &str) -> impl Iterator<Item = IpAddr> {
        let of_pool = self.addresses.values().filter(move |address| pool_of(address) == pool);
        of_pool.map(|address| ip_of(address).parse().unwrap())
    }

    /// What it asks for, or what is reserved for it, is not in the pool, is reserved for another, or has a holder.
    fn asks_in_vain(&self, name: &str, claim: &DynamicObject) -> bool {
        let pool = pool_of_claim(claim);
        let reserved = &self.pools[&pool].data["spec"]["preAllocations"];
        let asked = claim.annotations().get("ipAddress").map(String::as_str);
        let wanted = match (reserved[name].as_str(), asked) {
            (Some(reserved), Some(asked)) if reserved != asked => return true,
            (Some(reserved), _) => reserved,
            (None, Some(asked)) => asked,
            (None, None) => return false,
        };
        let ip: IpAddr = wanted.parse().unwrap();
        let of_another = reserved.as_object().is_some_and(|map| {
            map.iter().any(|(other, reserved)| other != name && reserved.as_str() == Some(wanted))
        });
        let entries = self.pools[&pool].data["spec"]["pools"].as_array().unwrap();
        let bound = |entry: &Value, field: &str| entry[field].as_str().unwrap().parse::<IpAddr>().unwrap();
        let mut entries = entries.iter();
        let is_inside = entries.any(|entry| (bound(entry, "start")..=bound(entry, "end")).contains(&ip));
        !is_inside || of_another || self.held(&pool).any(|held| held == ip)
    }
}

fn pool_of_claim(claim: &DynamicObject) -> String {
    let spec = &claim.data["spec"];
    spec["pool"]["name"].as_str().or(spec["poolRef"]["name"].as_str()).unwrap().to_owned()
}

fn addresses(first: IpAddr, last: IpAddr) -> Vec<IpAddr> {
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => (first.to_bits()..=last.to_bits())
            .map(|bits| std::net::Ipv4Addr::from_bits(bits).into())
            .collect(),
        (IpAddr::V6(first), IpAddr::V6(last)) => (first.to_bits()..=last.to_bits())
            .map(|bits| std::net::Ipv6Addr::from_bits(bits).into())
            .collect(),
        _ => Vec::new(),
    }
}

/// Waits until all is in order, and then for a second in which nothing is written.
pub async fn settled(scene: &Scene, crew: &mut Crew, tally: &Tally) {
    let start = std::time::Instant::now();
    loop {
        crew.tend(scene).await;
        let disorder = match World::read(scene).await {
            Ok(world) => world.disorder(),
            Err(error) => Some(format!("the API server cannot be read: {error}")),
        };
        let Some(disorder) = disorder else { break };
        assert!(start.elapsed() < Duration::from_mins(1), "{disorder}\n{}", crew.logs());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    scene.in_order().await;
    quiet(|| crew.writes(), QUIET, || crew.logs()).await;
    let world = World::read(scene).await.unwrap();
    assert_eq!(world.disorder(), None);
    let bound = world.addresses.len();
    tally.add("what came of it", "claims bound at the end", bound);
    tally.add("what came of it", "claims waiting at the end, for a true reason", world.claims.len() - bound);
}
