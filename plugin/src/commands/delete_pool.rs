//! `delete-pool`

use std::collections::BTreeSet;

use clap::Args;
use ipam::api::{IPPool, Kind as ObjectKind, PAUSED_ANNOTATION};
use ipam::apply::Change;
use kube::ResourceExt;

use super::{release, target};
use crate::Globals;
use crate::cluster::Cluster;
use crate::error::{Error, Kind};
use crate::output::{line, named, some_of};
use crate::plan::{Consent, Plan, Writing};
use crate::ui::{Ui, missing};
use crate::wait::{Awaited, Look, Waiting};
use crate::world::{Address, Claim, Raw, Scope, World};

/// Delete pools that nobody uses
///
/// Refuses while claims or addresses are left, and shows them. With --release-claims these are deleted first.
#[derive(Args, Debug)]
pub struct DeletePool {
    /// Names of the pools
    #[arg(add = crate::complete::pools())]
    name: Vec<String>,
    /// Delete the claims of the pools first
    #[arg(long)]
    release_claims: bool,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    writing: Writing,
    #[command(flatten)]
    waiting: Waiting,
}

impl DeletePool {
    pub async fn run(&self, globals: &Globals) -> Result<(), Error> {
        let ui = &globals.ui;
        if self.name.is_empty() && ui.person().is_none() {
            return Err(missing(&["POOL"]));
        }
        let cluster = globals.connection.open().await?;
        let mut names = chosen(&self.name, ui, &cluster).await?;
        once(&mut names);
        let mut world = World::read(&cluster, &Scope::of(&cluster.namespace)).await;
        world.require_all()?;
        let pools = names.iter().map(|name| world.pool_named(&cluster.namespace, name));
        let pools: Vec<&IPPool> = pools.collect::<Result<_, _>>()?;
        let claims: Vec<Claim> = pools.iter().flat_map(|pool| world.claims_of(pool)).cloned().collect();
        pools.iter().try_for_each(|pool| self.refuse(&world, pool))?;
        let (mut release, mut delete) = (Plan::default(), Plan::default());
        release::delete_claims(&mut release, &cluster, &claims).await?;
        for pool in &pools {
            deletion(&mut delete, &cluster, pool).await?;
        }
        let whole = Plan::of(&[release.clone(), delete.clone()]);
        if self.consent.ask(ui, &whole, &self.writing)? {
            self.look_again(&cluster, &pools, &claims, "nothing was written").await?;
        }
        if !self.writing.is_real() {
            return whole.carry_out(ui, &cluster, &self.writing).await.map(drop);
        }
        let mut written = Vec::new();
        if !release.is_empty() {
            written.extend(release.carry_out(ui, &cluster, &self.writing).await?.unwrap_or_default());
            // Many claims take their time, and who makes machines may have made another meanwhile.
            self.look_again(&cluster, &pools, &claims, "the claims are released, and the pools stay").await?;
        }
        written.extend(delete.carry_out(ui, &cluster, &self.writing).await?.unwrap_or_default());
        self.writing.print(&written)?;
        if self.waiting.wanted() {
            release::follow(ui, &cluster, &claims, &self.waiting, self.writing.shows_objects()).await?;
            self.follow(ui, &cluster, &pools).await?;
        }
        Ok(())
    }

    /// Refuses while something holds the pool that is not to go with it.
    fn refuse(&self, world: &World, pool: &IPPool) -> Result<(), Error> {
        if !self.release_claims {
            unused(world, pool)?;
        } else if pool.annotations().contains_key(PAUSED_ANNOTATION) && world.claims_of(pool).next().is_some()
        {
            let name = pool.name_any();
            return Err(Error::new(
                Kind::Failed,
                format!("pool {name} is paused: its claims would not be released"),
            )
            .hint(format!("`kubectl ipam resume {name}` ends that, once you know who paused it and why")));
        }
        // They hold the pool, and no claim goes with which they would.
        none_by_hand(world, pool)
    }

    /// Nobody can take a deletion back: what came to the pools meanwhile has to be agreed to as well. `left` says what was
    /// written until then.
    async fn look_again(
        &self,
        cluster: &Cluster,
        pools: &[&IPPool],
        agreed: &[Claim],
        left: &str,
    ) -> Result<(), Error> {
        let mut world = World::read(cluster, &Scope::of(&cluster.namespace)).await;
        world.require_all()?;
        for pool in pools {
            self.refuse(&world, pool)?;
            let is_new = |claim: &&Claim| !agreed.iter().any(|known| known.meta.uid == claim.meta.uid);
            let new: Vec<String> = world
                .claims_of(pool)
                .filter(is_new)
                .map(|claim| format!("claim {}", claim.meta.name))
                .collect();
            if !new.is_empty() {
                return Err(Error::new(
                    Kind::Failed,
                    format!("pool {} came into use meanwhile", pool.name_any()),
                )
                .caused_by(some_of(&new))
                .hint(format!("{left}; the same command again shows these too")));
            }
        }
        Ok(())
    }

    async fn follow(&self, ui: &Ui, cluster: &Cluster, pools: &[&IPPool]) -> Result<(), Error> {
        let names: Vec<String> = pools.iter().map(|pool| pool.name_any()).collect();
        let look = |_: &str, now: Option<&Raw>| {
            let same =
                |raw: &&Raw| pools.iter().any(|pool| pool.uid().as_deref() == Some(&*raw.metadata.uid));
            match now.filter(same) {
                None => Look::Done(()),
                Some(raw) => Look::NotYet(Some(format!("held by {}", raw.metadata.holders()))),
            }
        };
        let done = |name: &str, ()| {
            if !self.writing.shows_objects() {
                line(format_args!("{} deleted", named(ObjectKind::Pool, name)));
            }
        };
        let what = |name: &str| format!("pool {name} is gone");
        let awaited = Awaited { kind: ObjectKind::Pool, names: &names, what: &what };
        self.waiting.until_each(cluster, &awaited, ui, look, done).await
    }
}

/// The names that were given, or the one that is chosen.
pub async fn chosen(given: &[String], ui: &Ui, cluster: &Cluster) -> Result<Vec<String>, Error> {
    let Some(person) = ui.person().filter(|_| given.is_empty()) else { return Ok(given.to_vec()) };
    let names = target::pool_names(cluster).await?;
    if names.is_empty() {
        let what = format!("there is no pool in namespace {}", cluster.namespace);
        return Err(Error::new(Kind::Failed, what).hint("`kubectl ipam create-pool` makes one"));
    }
    Ok(vec![person.choose_name("Pool", None, names)?])
}

async fn deletion(plan: &mut Plan, cluster: &Cluster, pool: &IPPool) -> Result<(), Error> {
    let name = pool.name_any();
    let target = cluster.target(ObjectKind::Pool, &cluster.namespace, &name).await?;
    plan.step(
        '-',
        &named(ObjectKind::Pool, &name),
        "deletion asked for",
        Change::Delete { target, uid: pool.uid(), version: None },
    );
    Ok(())
}

/// Each name once, in the order in which they first came.
pub fn once(names: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
}

/// Refuses where people have made addresses of a pool: nobody but people takes them away.
fn none_by_hand(world: &World, pool: &IPPool) -> Result<(), Error> {
    let hand: Vec<&Address> = world.addresses_of(pool).filter(|address| !address.made()).collect();
    let Some(first) = hand.first() else { return Ok(()) };
    let all: Vec<String> =
        hand.iter().map(|address| format!("address {} ({})", address.text, address.meta.name)).collect();
    let object = named(first.kind(), &first.meta.name);
    Err(Error::new(Kind::Failed, format!("pool {} is in use", pool.name_any()))
        .caused_by(format!("{}, made by hand", some_of(&all)))
        .hint(format!(
            "`kubectl delete -n {} {object}` gives one up, if nothing uses it",
            first.meta.namespace
        )))
}

/// Refuses where something is left of a pool, and says what.
fn unused(world: &World, pool: &IPPool) -> Result<(), Error> {
    let claims = world.claims_of(pool).map(|claim| format!("claim {}", claim.meta.name));
    let addresses = world.addresses_of(pool).map(|address| format!("address {}", address.text));
    let users: Vec<String> = claims.chain(addresses).collect();
    if users.is_empty() {
        return Ok(());
    }
    Err(Error::new(Kind::Failed, format!("pool {} is in use", pool.name_any()))
        .caused_by(some_of(&users))
        .hint("--release-claims deletes the claims first; their machines lose the addresses"))
}
