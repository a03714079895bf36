//! `delete-pool`

use clap::Args;
use ipam::api::{IPClaim, IPPool, Kind as ObjectKind};
use ipam::apply::Change;
use kube::ResourceExt;

use super::release;
use crate::Globals;
use crate::cluster::Cluster;
use crate::error::{Error, Kind};
use crate::plan::{Consent, Plan, Writing};
use crate::ui::missing;
use crate::usage::World;
use crate::wait::{Look, Waiting};

/// Delete pools that nobody uses
///
/// Refuses while claims or addresses are left, and shows them. With --release-claims these are deleted first.
#[derive(Args, Debug)]
pub struct DeletePool {
    /// Names of the pools
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
        if self.name.is_empty() {
            return Err(missing(&["POOL"]));
        }
        let cluster = globals.connection.open().await?;
        let world = World::read(&cluster.client, Some(&cluster.namespace)).await?;
        let mut pools = Vec::new();
        for name in &self.name {
            let pool = world.pools.iter().find(|pool| pool.name_any() == *name);
            let gone = || {
                Error::new(
                    Kind::Failed,
                    format!("there is no pool {name} in namespace {}", cluster.namespace),
                )
            };
            pools.push(pool.ok_or_else(gone)?);
        }
        let claims: Vec<IPClaim> = pools.iter().flat_map(|pool| world.claims_of(pool)).cloned().collect();
        if !self.release_claims {
            pools.iter().try_for_each(|pool| unused(&world, pool))?;
        }
        let mut plan = release::deletion(&cluster, &claims);
        for pool in &pools {
            deletion(&mut plan, &cluster, pool);
        }
        self.consent.ask(&globals.ui, &plan, &self.writing)?;
        if plan.carry_out(&cluster, &self.writing).await? && self.waiting.wanted() {
            release::follow(&globals.ui, &cluster, &claims, &self.waiting).await?;
            for pool in pools {
                self.follow(globals, &cluster, pool).await?;
            }
        }
        Ok(())
    }

    async fn follow(&self, globals: &Globals, cluster: &Cluster, pool: &IPPool) -> Result<(), Error> {
        let (name, uid) = (pool.name_any(), pool.uid());
        let look = |pool: Option<&IPPool>| match pool.filter(|pool| pool.uid() == uid) {
            None => Look::Done(()),
            Some(pool) => Look::NotYet(Some(format!("held by {}", pool.finalizers().join(", ")))),
        };
        let what = format!("pool {name} is gone");
        self.waiting.until(cluster.objects::<IPPool>(), &name, &what, &globals.ui, look).await?;
        println!("ippool.ipam.metal3.io/{name} deleted");
        Ok(())
    }
}

fn deletion(plan: &mut Plan, cluster: &Cluster, pool: &IPPool) {
    let name = pool.name_any();
    let change =
        Change::Delete { target: cluster.target(ObjectKind::Pool, &name), uid: pool.uid(), version: None };
    plan.step('-', &format!("ippool.ipam.metal3.io/{name}"), "deletion asked for", change);
}

/// Refuses where something is left of a pool, and says what.
fn unused(world: &World, pool: &IPPool) -> Result<(), Error> {
    const SHOWN: usize = 10;
    let claims = world.claims_of(pool).map(|claim| format!("claim {}", claim.name_any()));
    let addresses = world.addresses_of(pool).map(|address| format!("address {}", address.spec.address));
    let users: Vec<String> = claims.chain(addresses).collect();
    if users.is_empty() {
        return Ok(());
    }
    let more = users.len().saturating_sub(SHOWN);
    let mut shown = users[..users.len().min(SHOWN)].join(", ");
    if more > 0 {
        shown = format!("{shown}, and {more} more");
    }
    Err(Error::new(Kind::Failed, format!("pool {} is in use", pool.name_any()))
        .caused_by(shown)
        .hint("--release-claims deletes the claims first; their machines lose the addresses"))
}
