//! Defects that addresses show.

use std::collections::BTreeMap;

use ipam::addr::{Space, parse_ip};
use ipam::api::{IPPool, Kind, PoolRules};

use super::{Mend, Object, PATIENCE, Scene, Severity};
use crate::output::ago;
use crate::world::{Address, Claim, Word, key};

pub(super) fn check(scene: &mut Scene) {
    duplicates(scene);
    extras(scene);
    let pools = scene.world.pools.iter();
    let spaces: BTreeMap<_, _> =
        pools.map(|pool| (key(pool), (pool, PoolRules::read(&pool.spec).space()))).collect();
    for address in &scene.world.addresses {
        owner(scene, address);
        stuck(scene, address);
        match spaces.get(&(address.meta.namespace, address.pool)) {
            Some((pool, space)) => place(scene, address, pool, space),
            None => no_pool(scene, address),
        }
    }
}

fn object(address: &Address) -> Object {
    Object::of(address.kind(), &address.meta)
}

/// Whether the claim of an address publishes it.
fn publisher<'a>(scene: &Scene<'a>, address: &Address) -> Option<&'a Claim> {
    let claim = scene.joined.claim_called(address)?;
    (claim.address.as_deref() == Some(&address.meta.name)).then_some(claim)
}

/// The claim that a controller gives the address to, as soon as its pool gives anything: it has the name of the former one, and
/// no address. To take the address away meanwhile, as one that is leaked, would give it another.
fn heir<'a>(scene: &Scene<'a>, address: &Address) -> Option<&'a Claim> {
    let claim = scene.joined.claim_called(address)?;
    let suits = claim.requested().is_none_or(|ip| parse_ip(ip).ok() == address.ip);
    let waits = claim.address.is_none() && !claim.meta.deleting() && claim.pool == address.pool;
    (waits && suits).then_some(claim)
}

/// An address is held by two objects, of whatever kinds and pools. The one stays that a claim publishes, else the
/// older.
fn duplicates(scene: &mut Scene) {
    let place = |address: &Address| Some((address.meta.namespace, address.ip?));
    let held = scene.world.addresses.iter().filter_map(|address| Some((place(address)?, address)));
    for ((_, ip), mut of) in shared(held.collect()) {
        of.sort_by_key(|address| {
            let created = address.meta.creation_timestamp.as_ref().map(|time| time.0);
            (publisher(scene, address).is_none(), created, address.family, &address.meta.name)
        });
        let (stays, rest) = (of[0], &of[1..]);
        for address in rest {
            let holder = |address: &Address| {
                format!("claim {} ({})", address.claim, Kind::Claim(address.family).name())
            };
            let message = format!("{ip} is held by {} and by {}", holder(stays), holder(address));
            if address.pool != stays.pool {
                // They may be two networks, and each pool goes on to hand out what it has: a person has to say which is to
                // change.
                let message = format!("{message}, in the pools {} and {}", stays.pool, address.pool);
                let edit = format!("kubectl edit ippools {} -n {}", address.pool, address.meta.namespace);
                scene.find(Severity::Error, "duplicate-address", object(address), message, edit, Vec::new());
                continue;
            }
            let mends = if address.made() { yielding(scene, address) } else { Vec::new() };
            scene.error("duplicate-address", object(address), message, mends);
        }
    }
}

/// What has the same key as something else, key by key. Of a hundred thousand, hardly any: so they are sorted, and no list
/// is made for each.
fn shared<K: Ord + Copy, T: Copy>(mut of: Vec<(K, T)>) -> Vec<(K, Vec<T>)> {
    of.sort_by_key(|(key, _)| *key);
    let groups = of.chunk_by(|(one, _), (other, _)| one == other).filter(|group| group.len() > 1);
    groups.map(|group| (group[0].0, group.iter().map(|(_, item)| *item).collect())).collect()
}

/// The writes after which an address is free, and its claim, if there is one, is served anew.
fn yielding(scene: &Scene, address: &Address) -> Vec<Mend> {
    let why = "another claim has the address; this one gets a new one, which its machine has to take up";
    let clear = publisher(scene, address).and_then(|claim| Mend::clear_reference(claim, why));
    clear.into_iter().chain(removal(address, "another object has the address")).collect()
}

/// Deletes an address and lets it go.
fn removal(address: &Address, why: &str) -> Vec<Mend> {
    let delete = (!address.meta.deleting()).then(|| Mend::delete(object(address), &address.meta, why));
    delete.into_iter().chain(Mend::let_go(object(address), &address.meta, why)).collect()
}

/// A claim has more than one address. The published one stays, else the oldest.
fn extras(scene: &mut Scene) {
    let made = scene.world.addresses.iter().filter(|address| address.made() && !address.meta.deleting());
    let of_claims = made.filter_map(|address| {
        let claim = scene.joined.claim_of(address)?;
        Some((claim.meta.uid, (address, claim)))
    });
    for (_, mut of) in shared(of_claims.collect()) {
        of.sort_by_key(|(address, claim)| {
            let published = claim.address.as_deref() == Some(&address.meta.name);
            (!published, address.meta.creation_timestamp.as_ref().map(|time| time.0), &address.meta.name)
        });
        for (address, claim) in &of[1..] {
            let message =
                format!("the claim {} has this address besides {}", claim.meta.name, of[0].0.shown());
            let mends = removal(address, "its claim has another address");
            scene.error("extra-address", object(address), message, mends);
        }
    }
}

/// The claim is gone, or is not the one that the address names.
fn owner(scene: &mut Scene, address: &Address) {
    if address.meta.deleting() || !address.made() || scene.joined.claim_of(address).is_some() {
        if address.made() && !address.meta.held_by_us(address.kind()) && !address.meta.deleting() {
            let message =
                "it lacks its finalizer: whoever deletes it frees an address that is in use".to_owned();
            let mend = Mend::protect(object(address), &address.meta, "it lacks its finalizer");
            scene.warning("unprotected-address", object(address), message, mend.into_iter().collect());
        }
        return;
    }
    if let Some(claim) = publisher(scene, address) {
        let message =
            format!("it names an earlier claim {}, and the claim of that name publishes it", address.claim);
        let mend = Mend::new_owner(address, claim, "its claim was made anew, by a restore or a move");
        return scene.warning("stale-owner", object(address), message, vec![mend]);
    }
    if let Some(heir) = heir(scene, address) {
        let name = &heir.meta.name;
        let message = format!("it names an earlier claim {name}, and the claim of that name is to have it");
        let command = format!("kubectl ipam explain {name} -n {}", heir.meta.namespace);
        return scene.find(Severity::Warning, "stale-owner", object(address), message, command, Vec::new());
    }
    let again = scene.joined.claim_called(address).map_or("", |_| " (another claim has its name now)");
    let message =
        format!("it holds {} for the claim {}, which is gone{again}", address.shown(), address.claim);
    let mends = removal(address, "its claim is gone");
    scene.error("leaked-address", object(address), message, mends);
}

/// The pool is gone.
fn no_pool(scene: &mut Scene, address: &Address) {
    if scene.joined.claim_of(address).is_some() {
        let message = format!("its pool {} is gone, while its claim {} lives", address.pool, address.claim);
        let command = format!("kubectl ipam create-pool {} -n {}", address.pool, address.meta.namespace);
        scene.find(Severity::Warning, "orphaned-address", object(address), message, command, Vec::new());
    }
}

/// Where the address lies in its pool.
fn place(scene: &mut Scene, address: &Address, pool: &IPPool, space: &Space) {
    let named = &address.pool;
    let namespace = &address.meta.namespace;
    let Some(ip) = address.ip else {
        let message = format!("`{}` is no IP address", address.text);
        let command = format!("kubectl ipam whois {} -n {namespace}", address.meta.name);
        return scene.find(Severity::Error, "invalid-address", object(address), message, command, Vec::new());
    };
    let widen = format!("kubectl edit ippools {named} -n {namespace}");
    let Some(entry) = space.entry_of(ip) else {
        let message = format!("{ip} is in no entry of the pool {named}");
        return scene.find(Severity::Error, "out-of-range", object(address), message, widen, Vec::new());
    };
    if !space.may_name(ip) {
        let message =
            format!("{ip} is held by the claim {}, and the pool {named} excludes it", address.claim);
        return scene.find(
            Severity::Warning,
            "excluded-address",
            object(address),
            message,
            widen,
            Vec::new(),
        );
    }
    let gateway = address.gateway.as_deref().and_then(|text| parse_ip(text).ok());
    let same = address.prefix == entry.prefix.map(i64::from) && gateway == entry.gateway;
    // A pool on its way out changes nothing any more, what a hand wrote is as it was meant, and what leaked goes anyway.
    let has_claim = || scene.joined.claim_of(address).is_some();
    if !same && address.made() && pool.metadata.deletion_timestamp.is_none() && has_claim() {
        let shown = |prefix: Option<i64>, gateway: Option<String>| {
            format!(
                "/{} via {}",
                prefix.map_or("-".into(), |p| p.to_string()),
                gateway.unwrap_or_else(|| "-".into())
            )
        };
        let message = format!(
            "it says {}, and the pool {named} says {} for {ip}",
            shown(address.prefix, address.gateway.map(Word::owned)),
            shown(entry.prefix.map(i64::from), entry.gateway.map(|ip| ip.to_string())),
        );
        // Only a claim that is made anew gets other values, and a machine uses this one.
        let command = format!("kubectl ipam whois {ip} -n {namespace}");
        scene.find(Severity::Warning, "drifted-values", object(address), message, command, Vec::new());
    }
}

/// The deletion does not come to its end.
fn stuck(scene: &mut Scene, address: &Address) {
    let Some(since) = address.meta.dying_for(scene.now).filter(|since| *since >= PATIENCE) else { return };
    let message =
        format!("its deletion was asked for {} ago; finalizers: {}", ago(since), address.meta.holders());
    let gone = scene.joined.claim_of(address).is_none();
    let why = "its claim is gone, and nobody releases it";
    let mend = if gone { Mend::let_go(object(address), &address.meta, why) } else { None };
    scene.warning("stuck-deletion", object(address), message, mend.into_iter().collect());
}
