//! `preallocate`

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use clap::Args;
use ipam::addr::parse_ip;
use ipam::api::{IPPool, Kind as ObjectKind, PoolRules};
use ipam::apply::{Change, PatchOp, pointer_token};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::Globals;
use crate::error::{Error, Kind};
use crate::plan::{Plan, Writing};
use crate::ui::missing;
use crate::usage::World;

/// Reserve addresses of a pool for claims, by the claims' names
///
/// CLAIM=IP adds or changes a reservation, CLAIM- removes one, and with --free a bare CLAIM gets a free address.
#[derive(Args, Debug)]
pub struct Preallocate {
    /// Name of the pool
    pool: Option<String>,
    /// CLAIM=IP, CLAIM-, or with --free CLAIM
    reservation: Vec<String>,
    /// Reserve a free address for each bare name
    #[arg(long)]
    free: bool,
    #[command(flatten)]
    writing: Writing,
}

/// One reservation as it was written.
enum Wish<'a> {
    Set(&'a str, &'a str),
    Remove(&'a str),
    Any(&'a str),
}

impl Preallocate {
    pub async fn run(&self, globals: &Globals) -> Result<(), Error> {
        let Some(name) = self.pool.as_ref().filter(|_| !self.reservation.is_empty()) else {
            return Err(missing(&["POOL", "CLAIM=IP"]));
        };
        let wishes: Vec<Wish> =
            self.reservation.iter().map(|text| self.wish(text)).collect::<Result<_, _>>()?;
        let cluster = globals.connection.open().await?;
        let world = World::read(&cluster.client, Some(&cluster.namespace)).await?;
        let pool = world.pools.iter().find(|pool| pool.name_any() == *name).ok_or_else(|| {
            Error::new(Kind::Failed, format!("there is no pool {name} in namespace {}", cluster.namespace))
                .hint("`kubectl ipam status` lists the pools")
        })?;
        let after = reservations(&world, pool, &wishes)?;
        check(&world, pool, &after)?;
        let ops = ops(pool, &after);
        if ops.is_empty() {
            println!("ippool.ipam.metal3.io/{name} unchanged");
            return Ok(());
        }
        let mut plan = Plan::default();
        let target = cluster.target(ObjectKind::Pool, name);
        let change = Change::Patch { target, subresource: None, ops };
        plan.step('~', &format!("ippool.ipam.metal3.io/{name}"), "preallocations changed", change);
        plan.carry_out(&cluster, &self.writing).await?;
        for claim in wishes.iter().filter_map(|wish| match wish {
            Wish::Set(claim, _) | Wish::Any(claim) => Some(claim),
            Wish::Remove(_) => None,
        }) {
            println!("{claim}={}", after.get(*claim).map(String::as_str).unwrap_or_default());
        }
        Ok(())
    }

    fn wish<'a>(&self, text: &'a str) -> Result<Wish<'a>, Error> {
        if let Some((claim, ip)) = text.split_once('=') {
            return Ok(Wish::Set(claim, ip));
        }
        if let Some(claim) = text.strip_suffix('-') {
            return Ok(Wish::Remove(claim));
        }
        if self.free {
            return Ok(Wish::Any(text));
        }
        Err(Error::new(Kind::Usage, format!("`{text}` is neither CLAIM=IP nor CLAIM-"))
            .hint("--free picks a free address for a bare name"))
    }
}

/// The reservations as they are to be.
fn reservations(world: &World, pool: &IPPool, wishes: &[Wish]) -> Result<BTreeMap<String, String>, Error> {
    let mut after = pool.spec.pre_allocations.clone();
    let mut space = PoolRules::read(&pool.spec).space();
    for ip in world.held(pool) {
        space.take(ip);
    }
    for wish in wishes {
        match *wish {
            Wish::Set(claim, ip) => {
                if let Ok(ip) = parse_ip(ip) {
                    space.take(ip);
                }
                after.insert(claim.to_owned(), ip.to_owned());
            }
            Wish::Remove(claim) => {
                after.remove(claim);
            }
            Wish::Any(claim) => {
                let ip = space.pick_lowest().ok_or_else(|| {
                    Error::new(
                        Kind::Failed,
                        format!("pool {} has no free address for {claim}", pool.name_any()),
                    )
                })?;
                space.take(ip);
                after.insert(claim.to_owned(), ip.to_string());
            }
        }
    }
    Ok(after)
}

/// Refuses what admission would refuse of the change, and what somebody else holds.
fn check(world: &World, pool: &IPPool, after: &BTreeMap<String, String>) -> Result<(), Error> {
    let said = |spec: &ipam::api::IPPoolSpec| -> BTreeSet<String> {
        PoolRules::read(spec).violations.iter().map(ToString::to_string).collect()
    };
    let mut spec = pool.spec.clone();
    spec.pre_allocations.clone_from(after);
    let wrong: Vec<String> = said(&spec).difference(&said(&pool.spec)).cloned().collect();
    if !wrong.is_empty() {
        return Err(
            Error::new(Kind::Usage, "the pool would not be valid").caused_by(wrong.join("\n           "))
        );
    }
    let holders: BTreeMap<IpAddr, String> = world
        .addresses_of(pool)
        .filter_map(|address| Some((parse_ip(&address.spec.address).ok()?, address.spec.claim.name.clone()?)))
        .collect();
    for (claim, ip) in after.iter().filter(|(claim, ip)| pool.spec.pre_allocations.get(*claim) != Some(*ip)) {
        let holder = parse_ip(ip).ok().and_then(|ip| holders.get(&ip)).filter(|holder| *holder != claim);
        if let Some(holder) = holder {
            return Err(Error::new(Kind::Failed, format!("{ip} is held by claim {holder}"))
                .hint(format!("`kubectl ipam release {holder}` frees it, if its machine is gone")));
        }
    }
    Ok(())
}

/// The patch from the reservations that are there; it counts only if they are still the same.
fn ops(pool: &IPPool, after: &BTreeMap<String, String>) -> Vec<PatchOp> {
    const PATH: &str = "/spec/preAllocations";
    let before = &pool.spec.pre_allocations;
    if before == after {
        return Vec::new();
    }
    let mut ops = vec![PatchOp::test_uid(pool.metadata.uid.as_deref().unwrap_or_default())];
    if before.is_empty() {
        ops.extend([PatchOp::add(PATH, json!(after))]);
        return ops;
    }
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names.into_iter().filter(|name| before.get(*name) != after.get(*name)) {
        let member = format!("{PATH}/{}", pointer_token(name));
        ops.push(PatchOp::test(&member, before.get(name).map_or(Value::Null, |ip| json!(ip))));
        ops.push(match after.get(name) {
            Some(ip) => PatchOp::add(member, ip.as_str()),
            None => PatchOp::remove(member),
        });
    }
    ops
}
