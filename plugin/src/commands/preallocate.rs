//! `preallocate`

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use clap::Args;
use ipam::addr::parse_ip;
use ipam::api::{IPPool, IPPoolSpec, Kind as ObjectKind, PoolRules};
use ipam::apply::{Change, PatchOp, Reply, pointer_token};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::delete_pool::chosen;
use super::target::creatable;
use crate::Globals;
use crate::cluster::Cluster;
use crate::error::{Error, Kind};
use crate::output::{line, named};
use crate::plan::{Plan, Writing};
use crate::ui::{Ui, missing};
use crate::world::{Scope, Tally, World};

/// Reserve addresses of a pool for claims, by the claims' names
///
/// CLAIM=IP adds or changes a reservation, CLAIM- removes one, and with --free a bare CLAIM gets a free address.
#[derive(Args, Debug)]
pub struct Preallocate {
    /// Name of the pool
    #[arg(add = crate::complete::pools())]
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
        let ui = &globals.ui;
        if (self.pool.is_none() || self.reservation.is_empty()) && ui.person().is_none() {
            let flags = [(self.pool.is_none(), "POOL"), (self.reservation.is_empty(), "CLAIM=IP")];
            let flags = flags.into_iter().filter(|(is, _)| *is).map(|(_, flag)| flag);
            return Err(missing(&flags.collect::<Vec<_>>()));
        }
        for text in &self.reservation {
            self.wish(text)?;
        }
        let cluster = globals.connection.open().await?;
        let name = chosen(self.pool.as_slice(), ui, &cluster).await?.pop().unwrap_or_default();
        let mut world = World::read(&cluster, &Scope::of(&cluster.namespace)).await;
        world.require(&[ObjectKind::Pool])?;
        let asked = self.reservations(ui, &world, world.pool_named(&cluster.namespace, &name)?)?;
        let wishes: Vec<Wish> = asked.iter().map(|text| self.wish(text)).collect::<Result<_, _>>()?;
        if wishes.iter().any(|wish| !matches!(wish, Wish::Remove(_))) {
            // What is not seen would be taken for free.
            world.require_all()?;
        }
        let pool = world.pool_named(&cluster.namespace, &name)?;
        let holders = holders(&world, pool);
        let after = reservations(&world.tallies().of(pool), pool, &holders, &wishes)?;
        check(&holders, pool, &after)?;
        self.write(ui, &cluster, pool, &wishes, &after).await
    }

    /// What is to be reserved; one is asked for where none was given.
    fn reservations(&self, ui: &Ui, world: &World, pool: &IPPool) -> Result<Vec<String>, Error> {
        let Some(person) = ui.person().filter(|_| self.reservation.is_empty()) else {
            return Ok(self.reservation.clone());
        };
        let (tally, holders) = (world.tallies().of(pool), holders(world, pool));
        let try_it = |text: &str| -> Result<(), String> {
            let wish = self.wish(text).map_err(|error| error.line())?;
            let after = reservations(&tally, pool, &holders, &[wish]).map_err(|error| error.line())?;
            check(&holders, pool, &after).map_err(|error| error.line())
        };
        let text = person.ask("Reservation: CLAIM=IP, or CLAIM- to remove one", None, try_it)?;
        person.note([text.clone()]);
        Ok(vec![text])
    }

    async fn write(
        &self,
        ui: &Ui,
        cluster: &Cluster,
        pool: &IPPool,
        wishes: &[Wish<'_>],
        after: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let (name, mut ops) = (pool.name_any(), ops(pool, after));
        if ops.is_empty() && self.writing.shows_objects() {
            return self.writing.print(&[json!(pool)]);
        }
        if ops.is_empty() {
            line(format_args!("{} unchanged", named(ObjectKind::Pool, &name)));
            return Ok(());
        }
        let mut plan = Plan::default();
        let target = cluster.target(ObjectKind::Pool, &cluster.namespace, &name).await?;
        if pool.spec.pre_allocations.is_empty() {
            // An empty map and none are two things to a guard, and the same to whoever reads the pool.
            let now = cluster.applier.carry_out(&Change::Read { target: target.clone() }).await;
            let stored = match now {
                Reply::Object(pool) => pool["spec"]["preAllocations"].clone(),
                _ => Value::Null,
            };
            let none = if stored.is_null() { Value::Null } else { json!({}) };
            ops.insert(1, PatchOp::test(PATH, none));
        }
        let change = Change::Patch { target, subresource: None, ops };
        plan.step('~', &named(ObjectKind::Pool, &name), "preallocations changed", change);
        if let Some(person) = ui.person().filter(|_| self.reservation.is_empty()) {
            plan.agree(&person, "Change it?")?;
        }
        if let Some(written) = plan.carry_out(ui, cluster, &self.writing).await? {
            self.writing.print(&written)?;
        }
        if self.writing.shows_objects() {
            return Ok(());
        }
        for claim in wishes.iter().filter_map(|wish| match wish {
            Wish::Set(claim, _) | Wish::Any(claim) => Some(claim),
            Wish::Remove(_) => None,
        }) {
            if let Some(ip) = after.get(*claim) {
                line(format_args!("{claim}={ip}"));
            }
        }
        Ok(())
    }

    fn wish<'a>(&self, text: &'a str) -> Result<Wish<'a>, Error> {
        if let Some((claim, ip)) = text.split_once('=') {
            return creatable("claim", claim).map(|()| Wish::Set(claim, ip));
        }
        if let Some(claim) = text.strip_suffix('-') {
            // Whatever is there can be taken away.
            return Ok(Wish::Remove(claim));
        }
        if self.free {
            return creatable("claim", text).map(|()| Wish::Any(text));
        }
        Err(Error::new(Kind::Usage, format!("`{text}` is neither CLAIM=IP nor CLAIM-"))
            .hint("--free picks a free address for a bare name"))
    }
}

/// The reservations as they are to be. Who has an address, reserved or held, keeps it where any will do.
fn reservations(
    tally: &Tally,
    pool: &IPPool,
    holders: &BTreeMap<IpAddr, String>,
    wishes: &[Wish],
) -> Result<BTreeMap<String, String>, Error> {
    let mut after = pool.spec.pre_allocations.clone();
    let mut space = tally.space(&PoolRules::read(&pool.spec));
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
            Wish::Any(_) => {}
        }
    }
    // After those that are certain, whatever the order in which they were written.
    for wish in wishes {
        let Wish::Any(claim) = *wish else { continue };
        if after.contains_key(claim) {
            continue;
        }
        let held = holders.iter().find(|(_, holder)| *holder == claim).map(|(ip, _)| *ip);
        let ip = held.or_else(|| space.pick_lowest()).ok_or_else(|| {
            let what = format!("pool {} has no free address for {claim}", pool.name_any());
            Error::new(Kind::Failed, what)
        })?;
        space.take(ip);
        after.insert(claim.to_owned(), ip.to_string());
    }
    Ok(after)
}

/// Refuses what admission would refuse of the change, and what somebody else holds.
fn check(
    holders: &BTreeMap<IpAddr, String>,
    pool: &IPPool,
    after: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let said = |spec: &IPPoolSpec| -> BTreeSet<String> {
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
    for (claim, ip) in after.iter().filter(|(claim, ip)| pool.spec.pre_allocations.get(*claim) != Some(*ip)) {
        let holder = parse_ip(ip).ok().and_then(|ip| holders.get(&ip)).filter(|holder| *holder != claim);
        if let Some(holder) = holder {
            return Err(Error::new(Kind::Failed, format!("{ip} is held by claim {holder}"))
                .hint(format!("`kubectl ipam release {holder}` frees it, if its machine is gone")));
        }
    }
    Ok(())
}

/// The claims that hold addresses of a pool, by address.
fn holders(world: &World, pool: &IPPool) -> BTreeMap<IpAddr, String> {
    let named = world.addresses_of(pool).filter(|address| !address.claim.is_empty());
    named.filter_map(|address| Some((address.ip?, address.claim.owned()))).collect()
}

/// Where the reservations stand.
const PATH: &str = "/spec/preAllocations";

/// The patch from the reservations that are there; it counts only if those that it changes are still the same. That there is
/// still none, its caller has to guard.
fn ops(pool: &IPPool, after: &BTreeMap<String, String>) -> Vec<PatchOp> {
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
