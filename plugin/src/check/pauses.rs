//! What is paused, and is left alone: nothing is to be allocated or released there, and in the middle of a move of a Cluster,
//! addresses without claims are no leak.

use std::collections::{BTreeMap, HashMap};

use ipam::api::{IPPool, Kind, PAUSED_ANNOTATION};
use kube::ResourceExt;

use super::{Finding, Object};
use crate::why::Why;
use crate::world::{ClusterSeen, Joined, Key, Word, World, key, pool_state};

/// The commands that end the pauses of a world.
pub(super) struct Pauses<'a> {
    pools: BTreeMap<Key, String>,
    /// Of claims that are paused by themselves and of their addresses, by UID.
    claims: HashMap<&'a str, String>,
    /// The pool of each claim and address of these pools, by UID.
    pool_of: HashMap<&'a str, Word>,
}

impl<'a> Pauses<'a> {
    pub fn of(world: &'a World, joined: &Joined<'a>) -> Self {
        let pools = world.pools.iter().filter_map(|pool| Some((key(pool), of_pool(world, pool)?)));
        let pools: BTreeMap<Key, String> = pools.collect();
        let claims = world.claims.iter().map(|claim| (&claim.meta, claim));
        let theirs = world.addresses.iter();
        let theirs = theirs.filter_map(|address| Some((&address.meta, joined.claim_called(address)?)));
        let paused = claims.chain(theirs).filter(|(_, claim)| claim.meta.paused());
        let claims = paused.map(|(meta, claim)| (meta.uid.as_str(), Why::ClaimPaused.command(claim)));
        let of_claims = world.claims.iter().map(|claim| (&claim.meta, claim.pool));
        let of_addresses = world.addresses.iter().map(|address| (&address.meta, address.pool));
        let of = of_claims.chain(of_addresses);
        let of = of.filter(|(meta, pool)| pools.contains_key(&(meta.namespace, *pool)));
        let pool_of = of.map(|(meta, pool)| (meta.uid.as_str(), pool)).collect();
        Self { claims: claims.collect(), pool_of, pools }
    }

    /// Takes the mends away from what is paused, and says how the pause ends.
    pub fn withhold(&self, findings: &mut [Finding]) {
        for finding in findings {
            let pause = finding.mends.iter().find_map(|mend| self.pause(&mend.object)).cloned();
            if let Some(command) = pause {
                finding.mends.clear();
                finding.command = command;
            }
        }
    }

    fn pause(&self, object: &Object) -> Option<&String> {
        let of_pool = || {
            let is_pool = object.kind == Kind::Pool;
            let pool = if is_pool { object.name.as_str().into() } else { *self.pool_of.get(&*object.uid)? };
            self.pools.get(&(object.namespace.as_str().into(), pool))
        };
        self.claims.get(&*object.uid).or_else(of_pool)
    }
}

/// What ends the pause of a pool, its own or its Cluster's; none where it is not paused.
fn of_pool(world: &World, pool: &IPPool) -> Option<String> {
    let (name, namespace) = (pool.name_any(), pool.namespace().unwrap_or_default());
    let resume = format!("kubectl ipam resume {name} -n {namespace}");
    if pool.annotations().contains_key(PAUSED_ANNOTATION) {
        return Some(resume);
    }
    let says_so = pool_state(pool).0 == "Paused";
    let Some(of) = pool.spec.cluster_name.as_deref().filter(|of| !of.is_empty()) else {
        return says_so.then_some(resume);
    };
    let Some(clusters) = &world.clusters else {
        // It may be paused, unless there are no Clusters at all.
        let permission = format!("kubectl auth can-i list clusters.cluster.x-k8s.io -n {namespace}");
        return (says_so || world.unseen.contains_key(&Kind::Cluster)).then_some(permission);
    };
    let cluster = clusters.iter().find(|cluster| cluster.name == of && cluster.namespace == namespace);
    cluster.and_then(ClusterSeen::resume).or_else(|| says_so.then_some(resume))
}
