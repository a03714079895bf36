//! Defects that pools show.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipam::addr::{AddressSet, Range, parse_ip};
use ipam::api::{Family, IPPool, Kind, POOL_FINALIZER, PoolRules};
use kube::ResourceExt;

use super::{Action, Mend, Object, PATIENCE, Scene, Severity};
use crate::output::{ago, plural};
use crate::world::{Meta, Word};

pub(super) fn check(scene: &mut Scene) {
    let world = scene.world;
    for (at, pool) in world.pools.iter().enumerate() {
        let rules = PoolRules::read(&pool.spec);
        spec(scene, pool, &rules);
        neighbours(scene, pool, &rules, &world.pools[at + 1..]);
        reservations(scene, pool, &rules);
        indexes(scene, pool);
        finalizer(scene, pool);
    }
}

fn object(pool: &IPPool) -> Object {
    Object {
        kind: Kind::Pool,
        namespace: pool.namespace().unwrap_or_default(),
        name: pool.name_any(),
        uid: pool.uid().unwrap_or_default(),
    }
}

/// As much of its metadata as the mends go by.
fn meta(pool: &IPPool) -> Meta {
    Meta {
        finalizers: pool.finalizers().iter().map(|finalizer| finalizer.as_str().into()).collect(),
        deletion_timestamp: pool.metadata.deletion_timestamp.clone(),
        ..Meta::default()
    }
}

fn edit(pool: &IPPool) -> String {
    format!("kubectl edit ippools {} -n {}", pool.name_any(), pool.namespace().unwrap_or_default())
}

fn spec(scene: &mut Scene, pool: &IPPool, rules: &PoolRules) {
    let Some(first) = rules.violations.first() else { return };
    let more = rules.violations.len() - 1;
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    let severity = if rules.space().capacity() == 0 { Severity::Error } else { Severity::Warning };
    scene.find(severity, "invalid-pool", object(pool), format!("{first}{more}"), edit(pool), Vec::new());
}

/// Other pools of the namespace that hold the same addresses.
fn neighbours(scene: &mut Scene, pool: &IPPool, rules: &PoolRules, others: &[IPPool]) {
    let ours: AddressSet = rules.entries.iter().filter_map(|entry| entry.range).collect();
    for other in others.iter().filter(|other| other.namespace() == pool.namespace()) {
        let theirs = PoolRules::read(&other.spec);
        let shared = theirs.entries.iter().find_map(|entry| shared(&ours, entry.range?));
        let Some(shared) = shared else { continue };
        let name = other.name_any();
        let message = format!("it holds {shared}, which the pool {name} holds too");
        scene.find(Severity::Warning, "overlapping-pools", object(pool), message, edit(pool), Vec::new());
        if other.spec.name_prefix == pool.spec.name_prefix {
            let message = format!(
                "it has the namePrefix `{}` of the pool {name} and the same addresses: an IPAddress of one has the name that the other needs",
                pool.spec.name_prefix
            );
            let command =
                format!("kubectl ipam plan -f POOL.yaml -n {}", pool.namespace().unwrap_or_default());
            scene.find(Severity::Error, "name-collision", object(pool), message, command, Vec::new());
        }
    }
}

fn shared(ours: &AddressSet, range: Range) -> Option<Range> {
    ours.ranges().find_map(|part| part.intersect(&range))
}

/// What is reserved for a name and held by another.
fn reservations(scene: &mut Scene, pool: &IPPool, rules: &PoolRules) {
    if rules.pre_allocations.is_empty() {
        return;
    }
    let of = scene.addresses_of(pool).iter();
    let holders: BTreeMap<IpAddr, Word> =
        of.filter_map(|address| Some((address.ip?, address.claim))).collect();
    for (name, ip) in &rules.pre_allocations {
        if let Some(holder) = holders.get(ip).filter(|holder| **holder != **name) {
            let message = format!("{ip} is reserved for the claim {name} and held by the claim {holder}");
            let command = format!("kubectl ipam whois {ip} -n {}", pool.namespace().unwrap_or_default());
            scene.find(Severity::Warning, "held-reservation", object(pool), message, command, Vec::new());
        }
    }
}

/// `status.indexes` against the addresses that there are.
fn indexes(scene: &mut Scene, pool: &IPPool) {
    let Some(status) = &pool.status else { return };
    let truncated = status
        .conditions
        .iter()
        .any(|condition| condition.type_ == "IndexesTruncated" && condition.status == "True");
    // Addresses that are deleted by another mend are held no longer when this one comes.
    let deleted: BTreeSet<&str> = scene
        .findings
        .iter()
        .flat_map(|finding| &finding.mends)
        .filter(|mend| matches!(mend.action, Action::Delete { .. }))
        .map(|mend| mend.object.uid.as_str())
        .collect();
    let mut held: BTreeMap<&str, Vec<IpAddr>> = BTreeMap::new();
    let mut wanted: BTreeMap<String, (Family, String)> = BTreeMap::new();
    for address in scene.addresses_of(pool) {
        let Some(ip) = address.ip else { continue };
        held.entry(address.claim.as_str()).or_default().push(ip);
        if deleted.contains(address.meta.uid.as_str()) {
            continue;
        }
        let entry = wanted.entry(address.claim.owned());
        let entry = entry.or_insert_with(|| (address.family, ip.to_string()));
        if address.family < entry.0 {
            *entry = (address.family, ip.to_string());
        }
    }
    let is_held = |(claim, ip): (&String, &String)| {
        held.get(claim.as_str()).is_some_and(|ips| parse_ip(ip).is_ok_and(|ip| ips.contains(&ip)))
    };
    let wrong = status.indexes.iter().filter(|entry| !is_held(*entry)).count();
    let missing =
        if truncated { 0 } else { held.keys().filter(|claim| !status.indexes.contains_key(**claim)).count() };
    if wrong + missing == 0 {
        return;
    }
    let message = format!("its status.indexes is not what is held: {wrong} wrong, {missing} missing");
    let wanted: BTreeMap<String, String> = wanted.into_iter().map(|(claim, (_, ip))| (claim, ip)).collect();
    let mend =
        (!truncated).then(|| Mend::indexes(object(pool), &wanted, "the IPAddress objects are the truth"));
    scene.warning("drifted-indexes", object(pool), message, mend.into_iter().collect());
}

/// What keeps the pool, and what does not let it go.
fn finalizer(scene: &mut Scene, pool: &IPPool) {
    let left = scene.addresses_of(pool).len();
    let has = pool.finalizers().iter().any(|finalizer| finalizer == POOL_FINALIZER);
    let Some(deleted) = &pool.metadata.deletion_timestamp else {
        if left > 0 && !has {
            let message = format!(
                "it has {} and lacks its finalizer: it could be deleted under them",
                plural(left, "address")
            );
            let mend = Mend::protect(object(pool), &meta(pool), "it lacks its finalizer");
            scene.warning("unprotected-pool", object(pool), message, mend.into_iter().collect());
        }
        return;
    };
    let since = scene.now.as_second() - deleted.0.as_second();
    if since < PATIENCE {
        return;
    }
    if left > 0 {
        let message = format!(
            "its deletion was asked for {} ago and waits for {}",
            ago(since),
            plural(left, "address")
        );
        let command = format!(
            "kubectl ipam delete-pool {} --release-claims -n {}",
            pool.name_any(),
            pool.namespace().unwrap_or_default()
        );
        return scene.find(Severity::Warning, "stuck-deletion", object(pool), message, command, Vec::new());
    }
    let message = format!(
        "its deletion was asked for {} ago; finalizers: {}",
        ago(since),
        pool.finalizers().join(", ")
    );
    let ours = Kind::Pool.finalizer();
    if !pool.finalizers().iter().any(|finalizer| Some(finalizer.as_str()) == ours) {
        let command = format!(
            "kubectl get ippools.ipam.metal3.io {} -n {} -o jsonpath='{{.metadata.finalizers}}'",
            pool.name_any(),
            pool.namespace().unwrap_or_default()
        );
        let message = format!("{message}: whoever set them has to take them off");
        return scene.find(Severity::Error, "stuck-deletion", object(pool), message, command, Vec::new());
    }
    let mend = Mend::let_go(object(pool), &meta(pool), "no address of it is left");
    scene.error("stuck-deletion", object(pool), message, mend.into_iter().collect());
}
