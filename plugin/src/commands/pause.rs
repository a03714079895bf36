//! `pause` and `resume`

use clap::Args;
use ipam::api::{Family, IPClaim, IPPool, Kind as ObjectKind, PAUSED_ANNOTATION};
use ipam::apply::{Change, PatchOp, pointer_token};
use kube::ResourceExt;
use kube::core::ObjectMeta;
use serde_json::json;

use crate::Globals;
use crate::cluster::Cluster;
use crate::error::{Error, api};
use crate::plan::{Plan, Writing};
use crate::ui::missing;
use crate::usage::World;
use crate::wait::{Look, Waiting, ready};

/// Pause pools or claims: nothing is allocated or released until they are resumed
#[derive(Args, Debug)]
pub struct Pause {
    /// Names of pools, or claim/NAME
    name: Vec<String>,
    #[command(flatten)]
    writing: Writing,
}

/// Resume pools or claims that were paused
///
/// Waits until the claims that were waiting are served, or say why they are not.
#[derive(Args, Debug)]
pub struct Resume {
    /// Names of pools, or claim/NAME
    name: Vec<String>,
    #[command(flatten)]
    writing: Writing,
    #[command(flatten)]
    waiting: Waiting,
}

impl Pause {
    pub async fn run(&self, globals: &Globals) -> Result<(), Error> {
        let (cluster, _) = turn(globals, &self.name, &self.writing, true).await?;
        let world = World::read(&cluster.client, Some(&cluster.namespace)).await?;
        for pool in world.pools.iter().filter(|pool| self.name.contains(&pool.name_any())) {
            let waiting = world.waiting_for(pool).len();
            globals.ui.say(&format!("{waiting} claims of pool {} are waiting", pool.name_any()));
        }
        Ok(())
    }
}

impl Resume {
    pub async fn run(&self, globals: &Globals) -> Result<(), Error> {
        let (cluster, written) = turn(globals, &self.name, &self.writing, false).await?;
        if !written || !self.waiting.wanted() {
            return Ok(());
        }
        let world = World::read(&cluster.client, Some(&cluster.namespace)).await?;
        for pool in world.pools.iter().filter(|pool| self.name.contains(&pool.name_any())) {
            for claim in world.waiting_for(pool) {
                self.follow(globals, &cluster, claim).await?;
            }
        }
        Ok(())
    }

    /// Waits until a claim is served, or says a reason that is not the pause.
    async fn follow(&self, globals: &Globals, cluster: &Cluster, claim: &IPClaim) -> Result<(), Error> {
        let name = claim.name_any();
        let look = |claim: Option<&IPClaim>| {
            let Some(status) = claim.map(|claim| claim.status.clone().unwrap_or_default()) else {
                return Look::Done(None);
            };
            let ready = ready(&status.conditions);
            match ready {
                Some(ready) if ready.status == "True" => Look::Done(None),
                Some(ready) if ready.reason != "PoolNotReady" => Look::Done(Some(ready.message.clone())),
                _ if ready.is_none() && status.address.is_some() => Look::Done(None),
                _ => Look::NotYet(ready.map(|ready| ready.message.clone())),
            }
        };
        let what = format!("claim {name} is served");
        let unserved =
            self.waiting.until(cluster.objects::<IPClaim>(), &name, &what, &globals.ui, look).await?;
        match unserved {
            Some(why) => globals.ui.say(&format!("claim {name} is not served: {why}")),
            None => println!("ipclaim.ipam.metal3.io/{name} served"),
        }
        Ok(())
    }
}

async fn turn(
    globals: &Globals,
    names: &[String],
    writing: &Writing,
    pause: bool,
) -> Result<(Cluster, bool), Error> {
    if names.is_empty() {
        return Err(missing(&["POOL"]));
    }
    let cluster = globals.connection.open().await?;
    let mut plan = Plan::default();
    for name in names {
        let (kind, name) = match name.split_once('/') {
            Some(("claim" | "ipclaim", name)) => (ObjectKind::Claim(Family::Metal3), name),
            _ => (ObjectKind::Pool, name.as_str()),
        };
        let meta = meta(&cluster, kind, name).await?;
        let ops = ops(&meta, pause);
        let object = format!("{}.ipam.metal3.io/{name}", kind.name().to_lowercase());
        let done = if pause { "paused" } else { "resumed" };
        if ops.is_empty() {
            println!("{object} {done} (unchanged)");
            continue;
        }
        let target = cluster.target(kind, name);
        plan.step('~', &object, done, Change::Patch { target, subresource: None, ops });
    }
    let written = plan.carry_out(&cluster, writing).await?;
    Ok((cluster, written))
}

async fn meta(cluster: &Cluster, kind: ObjectKind, name: &str) -> Result<ObjectMeta, Error> {
    let meta = match kind {
        ObjectKind::Pool => cluster.objects::<IPPool>().get(name).await.map(|pool| pool.metadata),
        _ => cluster.objects::<IPClaim>().get(name).await.map(|claim| claim.metadata),
    };
    meta.map_err(|error| api(&format!("read {} {name}", kind.name()), error))
}

/// The patch that sets or removes the annotation; empty where it is as wanted.
fn ops(meta: &ObjectMeta, pause: bool) -> Vec<PatchOp> {
    let uid = PatchOp::test_uid(meta.uid.as_deref().unwrap_or_default());
    let paused =
        meta.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(PAUSED_ANNOTATION));
    let member = format!("/metadata/annotations/{}", pointer_token(PAUSED_ANNOTATION));
    match (pause, paused) {
        (true, true) | (false, false) => Vec::new(),
        (false, true) => vec![uid, PatchOp::remove(member)],
        (true, false) if meta.annotations.is_some() => vec![uid, PatchOp::add(member, "")],
        (true, false) => vec![
            uid,
            PatchOp::test("/metadata/annotations", serde_json::Value::Null),
            PatchOp::add("/metadata/annotations", json!({PAUSED_ANNOTATION: ""})),
        ],
    }
}
